/**
 * Every decoder of what a device or its kernel says, with answers that are right: what is mutated. test/hostile.test.ts sees to it that
 * none is missing.
 */
import { createHash } from 'node:crypto';
import {
  type JournalHead,
  parseJournal,
  savedRecords,
  stepRecord,
} from '../../src/device/safeguard/journal-format.js';
import type { IntegrityError } from '../../src/errors.js';
import { decodeNamespaceFormat, IDENTIFY_BYTES } from '../../src/nvme/identify.js';
import { decodeAnswer } from '../../src/scsi/answers.js';
import { hex } from '../../src/scsi/bytes.js';
import { cdbFieldsText, cdbText, decodeWholeCdb, isReadOnlyCdb } from '../../src/scsi/cdb.js';
import {
  COMMANDS,
  type CommandDefinition,
  type DecodedCdb,
  decodeCdb,
  encodeCdb,
} from '../../src/scsi/commands.js';
import { decodeFormatList, encodeFormatList } from '../../src/scsi/format-unit.js';
import { decodeInquiry, encodeInquiry } from '../../src/scsi/inquiry.js';
import { decodeLbaStatus, encodeLbaStatus } from '../../src/scsi/lba-status.js';
import { decodeLogPage, decodeSupportedLogPages } from '../../src/scsi/log-page.js';
import {
  decodeApplicationTagModePage,
  decodeControlExtensionModePage,
  decodeControlModePage,
  decodeModePage,
  decodeModeSelectList,
  decodeModeSense,
  encodeApplicationTagModePage,
} from '../../src/scsi/mode-page.js';
import { classify, describeOutcome } from '../../src/scsi/outcome.js';
import {
  decodeReadCapacity10,
  decodeReadCapacity16,
  encodeReadCapacity10,
  encodeReadCapacity16,
} from '../../src/scsi/read-capacity.js';
import { decodeScatteredList, encodeScatteredList, scatteredListBytes } from '../../src/scsi/scattered.js';
import { decodeSense, encodeSense, type Sense } from '../../src/scsi/sense.js';
import { decodeAllCommands, decodeOneCommand, encodeAllCommands } from '../../src/scsi/supported-opcodes.js';
import { decodeUnmapList, decodeWholeUnmapList, encodeUnmapList } from '../../src/scsi/unmap.js';
import {
  decodeBlockDeviceCharacteristics,
  decodeBlockLimits,
  decodeDeviceIdentification,
  decodeExtendedInquiry,
  decodeLogicalBlockProvisioning,
  decodeSupportedBlockLengths,
  decodeSupportedPages,
  decodeUnitSerialNumber,
  encodeBlockDeviceCharacteristics,
  encodeBlockLimits,
  encodeDeviceIdentification,
  encodeExtendedInquiry,
  encodeLogicalBlockProvisioning,
  encodeSupportedBlockLengths,
  encodeSupportedPages,
  encodeUnitSerialNumber,
} from '../../src/scsi/vpd.js';
import { interpret } from '../../src/sysfs/disks.js';
import { explainRefusals, parseKmsgRecord } from '../../src/sysfs/kernel-log.js';
import { parseMountinfo, parseSwaps } from '../../src/sysfs/mounts.js';
import { bytes, padded } from '../scsi/hex.js';

export interface Decoder {
  readonly decode: (response: Uint8Array) => unknown;
  readonly answers: readonly Uint8Array[];
  /** The other way, where there is one. */
  readonly again?: Again;
}

interface Again {
  /** Bytes that decode to what `kept` keeps; null for a value that has none. */
  readonly encode: (value: unknown) => Uint8Array | null;
  readonly kept: (value: unknown) => unknown;
}

/** One that is encoded whole, or as far as `kept` says. */
function decoder<T>(
  decode: (response: Uint8Array) => T,
  answers: readonly Uint8Array[],
  encode?: (value: NonNullable<T>) => Uint8Array,
  kept: (value: NonNullable<T>) => unknown = (value) => value,
): Decoder {
  if (encode === undefined) return { decode, answers };
  const unlessNull =
    <R>(act: (value: NonNullable<T>) => R) =>
    (value: unknown) =>
      value === null ? null : act(value as NonNullable<T>);
  return { decode, answers, again: { encode: unlessNull(encode), kept: unlessNull(kept) } };
}

/** A CDB is the user's: one that is not sent is refused. */
function wholeCdbOf(cdb: Uint8Array): DecodedCdb | null {
  try {
    return decodeWholeCdb(cdb);
  } catch (error) {
    const { code } = error as IntegrityError;
    if (code === 'ERR_READ_ONLY' || code === 'ERR_USAGE') return null;
    throw error;
  }
}

const textOf = (response: Uint8Array): string => Buffer.from(response).toString('latin1');
const textAnswers = (...texts: string[]): Uint8Array[] => texts.map((text) => Buffer.from(text, 'latin1'));

const FIXED = 'f0 00 05 00000019 0a 00000007 24 00 44 c00002';
const SENSE = [
  bytes(FIXED),
  bytes(
    `72 05 24 00 000000 34 00 0a 80 00 0000000000000019 02 06 0000 c0 0001 00 03 02 00 99 0c 14 82 02 ${FIXED} 80 02 0102`,
  ),
  bytes('73 0b 10 01 000000 30 09 0c 01 11 2233 44 55 66 77 88 99 aa bb 0d 1e a0 00 cf 0009 77'),
  bytes(`72 05 24 00 000000 20 0d 1e a0 00 cf 0009 77 ${'11'.repeat(16)} 0000000000000000`),
  bytes('72 03 11 00 000000 10 05 02 00 20 00 0a 80 00 0000000000000019'),
];
const CONTROL = '0012 00 10 00 00 0000 8a 0a 3b 12 78 f2 0000 0102 0304';
const EXTENSION = `0026 00 10 00 00 0000 ca 01 001c 06 05 fc ${'00'.repeat(25)}`;
const APP_TAGS = `0046 00 10 00 00 0000 ca 02 003c ${'00'.repeat(12)} 00 0000000000 1234 0000000000000000 0000000000000009 80 0000000000 5678 0000000000000009 0000000000000009`;
const CDBS = COMMANDS.map(({ name }) => encodeCdb(name, {}));

/** What encodeSense has words for. */
function senseContent(sense: Sense) {
  const { format, deferred, key, asc, ascq, information, commandSpecific, fieldPointer, replaceableUnit } =
    sense;
  return { format, deferred, key, asc, ascq, information, commandSpecific, fieldPointer, replaceableUnit };
}

function encodeAgain(sense: Sense): Uint8Array {
  const { format, deferred, key, asc, ascq, information, commandSpecific, fieldPointer, replaceableUnit } =
    sense;
  return encodeSense({
    descriptor: format === 'descriptor',
    deferred,
    key,
    asc,
    ascq,
    ...(information !== null && { information }),
    ...(commandSpecific !== null && { commandSpecific }),
    ...(fieldPointer !== null && {
      fieldPointer: {
        inCdb: fieldPointer.inCdb,
        byte: fieldPointer.byte,
        ...(fieldPointer.bit !== null && { bit: fieldPointer.bit }),
      },
    }),
    ...(replaceableUnit !== null && { replaceableUnit }),
  });
}

/** All that a pass-through command came to, with this sense. */
const outcomeText = (sense: Uint8Array): string =>
  describeOutcome(classify({ errno: 0, status: 0x02, hostStatus: 0, driverStatus: 0x08, sense }));

/** What is said of a CDB that somebody else made. */
/** The same bytes as the answer of each kind of command. */
function answersOf(answer: Uint8Array): unknown[] {
  return (
    [
      ['INQUIRY', {}],
      ['MODE SENSE(6)', {}],
      ['MODE SENSE(10)', {}],
      ['LOG SENSE', {}],
      ['REPORT SUPPORTED OPERATION CODES', { reportingOptions: 1 }],
    ] as const
  ).map(([name, fields]) => decodeAnswer(decodeCdb(encodeCdb(name, fields))!, answer));
}

const wordsOf = (cdb: Uint8Array) => [cdbText(cdb), cdbFieldsText(cdb), isReadOnlyCdb(cdb)];

/** MODE SENSE(10) data of one page. */
const modeDataOf = (page: Uint8Array): Uint8Array =>
  Uint8Array.of((page.length + 6) >> 8, (page.length + 6) & 0xff, 0, 0, 0, 0, 0, 0, ...page);

/** The beginning of Identify data; the rest is zeros. */
function identifyData(beginning: Uint8Array): Uint8Array {
  const data = new Uint8Array(IDENTIFY_BYTES);
  data.set(beginning.subarray(0, IDENTIFY_BYTES));
  return data;
}
const IDENTIFY_BEGINNING = 192;
const NAMESPACE = padded('', IDENTIFY_BEGINNING);
NAMESPACE.set([0x01], 26);
NAMESPACE.set([0x09], 29);
NAMESPACE.set(bytes('0000 09 00 0800 0c 00'), 128);

const HEAD: JournalHead = {
  version: 1,
  made: '2026-11-26T00:00:00.000Z',
  device: '/dev/sda',
  vendor: 'Linux',
  product: 'disk',
  identity: null,
  serial: '1',
  blockSize: 4,
  diskBlocks: '1024',
  protectionType: 1,
  intervalExponent: 0,
  lba: '100',
  blocks: 2,
  tuples: [{ path: 'passthrough', bytesPerBlock: 8 }],
};
const JOURNAL = Buffer.concat([
  ...savedRecords(HEAD, new Uint8Array(8), new Map([['passthrough', new Uint8Array(16)]])),
  stepRecord({ kind: 'writing', index: 0, blocks: 1, touchesTuples: true, digests: ['00'] }),
  stepRecord({ kind: 'restored', index: 0, blocks: 1 }),
  stepRecord({ kind: 'kept' }),
]);

/** Its record of the disk is `null`. */
const NO_HEAD = bytes(`424c4b4a 00000001 00000004 6e756c6c ${'00'.repeat(32)}`);

/** The journal with the checksum that each of its records ought to have, as far as they can be told apart: what else would be refused. */
function resealed(journal: Uint8Array): Buffer {
  const [prefixBytes, digestBytes] = [12, 32];
  const sealed = Buffer.from(journal);
  for (let at = 0; at + prefixBytes <= sealed.length; ) {
    const end = at + prefixBytes + sealed.readUInt32BE(at + 8);
    if (end + digestBytes > sealed.length) break;
    createHash('sha256').update(sealed.subarray(at, end)).digest().copy(sealed, end);
    at = end + digestBytes;
  }
  return sealed;
}

const KMSG = textAnswers(
  '3,101,5001,-;sd 0:0:0:0: [sda] tag#1 FAILED Result: hostbyte=DID_OK driverbyte=DRIVER_OK cmd_age=0s\n SUBSYSTEM=scsi\n',
  [
    '3,1,1,-;sd 0:0:0:0: [sda] tag#1 FAILED Result: hostbyte=DID_OK driverbyte=DRIVER_OK cmd_age=0s',
    '3,2,2,-;sd 0:0:0:0: [sda] tag#1 Sense Key : Aborted Command [current] ',
    '3,3,3,-;sd 0:0:0:0: [sda] tag#1 Add. Sense: Logical block guard check failed',
    '3,4,4,-;protection error, dev sda, sector 8 op 0x0:(READ) flags 0x800 phys_seg 1 prio class 2',
    '3,5,5,-;sda: guard tag error at sector 8 (rcvd 1234, want 5678)',
    '3,6,6,-;sda: ref tag error at location 8 (rcvd 9)',
  ].join('\n'),
);

const SNAPSHOT = textAnswers(
  [
    'block/sda/dev=8:0',
    'block/sda/size=2048',
    'block/sda/device@=../../../0:0:0:0',
    'block/sda/holders/=dm-0',
    'block/sda/integrity/format=T10-DIF-TYPE1-CRC',
    'block/sda/integrity/tag_size=2',
    'block/sda/integrity/protection_interval_bytes=512',
    'block/sda/queue/logical_block_size=512',
    'block/sda/device/vendor=Linux',
    'block/sda/device/wwid=naa.5000',
    'block/sda/sda1/partition=1',
    'block/sda/sda1/start=8',
    'block/sda/sda1/size=8',
    'block/sda/sda1/dev=8:1',
    'block/dm-0/dm/name=x',
    'class/scsi_generic/sg0/dev=21:0',
    'class/scsi_generic/sg0/device@=../../../0:0:0:0',
    'class/scsi_host/host0/prot_capabilities=7',
    'class/bsg/0:0:0:0/dev=250:0',
  ].join('\n'),
);

/** One entry a line. */
const snapshotOf = (text: string) => ({
  entries: Object.fromEntries(
    text.split('\n').map((line): [string, string] => {
      const equals = line.indexOf('=');
      return equals < 0 ? [line, ''] : [line.slice(0, equals), line.slice(equals + 1)];
    }),
  ),
  errors: {},
});

/** By the name of the function, and where it is here more than once, with what. */
export const DECODERS: Readonly<Record<string, Decoder>> = {
  decodeSense: decoder(decodeSense, SENSE, encodeAgain, senseContent),
  'classify, as text': decoder(outcomeText, SENSE),
  decodeInquiry: decoder(
    decodeInquiry,
    [encodeInquiry({ protect: true, vendor: 'vendor', product: 'product', revision: '1' })],
    encodeInquiry,
    ({ protect, vendor, product, revision }) => ({ protect, vendor, product, revision }),
  ),
  decodeSupportedPages: decoder(
    decodeSupportedPages,
    [padded('00 00 0004 00 80 83 86', 64)],
    encodeSupportedPages,
    (codes) => [...codes].sort((a, b) => a - b),
  ),
  decodeUnitSerialNumber: decoder(
    decodeUnitSerialNumber,
    [bytes('00 80 0004 20414243')],
    encodeUnitSerialNumber,
  ),
  decodeDeviceIdentification: decoder(
    decodeDeviceIdentification,
    [bytes('00 83 0014 61 93 0008 5000c50012345679 02 01 0004 41424344')],
    ({ designators }) => encodeDeviceIdentification(designators),
    ({ designators, identity }) => [
      identity,
      ...designators.map(({ association, type, bytes }) => [association, type, hex(bytes)]),
    ],
  ),
  decodeExtendedInquiry: decoder(
    decodeExtendedInquiry,
    [padded('00 86 003c 3f 07 0f 30', 64)],
    encodeExtendedInquiry,
  ),
  decodeBlockLimits: decoder(
    decodeBlockLimits,
    [padded('00 b0 003c 01 ff 0008 00002000', 64)],
    encodeBlockLimits,
  ),
  decodeBlockDeviceCharacteristics: decoder(
    decodeBlockDeviceCharacteristics,
    [padded('00 b1 003c 1c20', 64)],
    encodeBlockDeviceCharacteristics,
  ),
  decodeLogicalBlockProvisioning: decoder(
    decodeLogicalBlockProvisioning,
    [bytes('00 b2 0004 0a ea 2a 14')],
    encodeLogicalBlockProvisioning,
  ),
  decodeSupportedBlockLengths: decoder(
    decodeSupportedBlockLengths,
    [bytes('00 b4 0010 00000200 07 03 0000 00001000 4f 0f 0000')],
    encodeSupportedBlockLengths,
  ),
  decodeReadCapacity10: decoder(decodeReadCapacity10, [bytes('00007fff 00000200')], encodeReadCapacity10),
  decodeReadCapacity16: decoder(
    decodeReadCapacity16,
    [padded('00000001ffffffff 00001000 13 33 d234', 32)],
    encodeReadCapacity16,
  ),
  'decodeModeSense, 6 bytes': decoder(
    (data) => decodeModeSense(data, 6),
    [bytes('17 00 10 08 00001000 00000200 8a 0a 3b 12 78 f2 0000 0102 0304')],
  ),
  'decodeModeSense, 10 bytes': decoder(
    (data) => decodeModeSense(data, 10),
    [bytes(CONTROL), bytes(EXTENSION), bytes(APP_TAGS)],
  ),
  'decodeModeSelectList, 6 bytes': decoder(
    (list) => decodeModeSelectList(list, 6),
    [bytes('00 00 00 08 00001000 00000200 0a 0a 3b 12 78 f2 0000 0102 0304')],
  ),
  'decodeModeSelectList, 10 bytes': decoder(
    (list) => decodeModeSelectList(list, 10),
    [bytes(CONTROL), bytes(EXTENSION), bytes(APP_TAGS)],
  ),
  decodeModePage: decoder(
    (data) => decodeModeSense(data, 10).pages.map(decodeModePage),
    [bytes(CONTROL), bytes(EXTENSION), bytes(APP_TAGS)],
  ),
  decodeAnswer: decoder(answersOf, [bytes(CONTROL), bytes('00 03 0006 12 01 ff ffff 00')]),
  decodeControlModePage: decoder(decodeControlModePage, [bytes(CONTROL)]),
  decodeControlExtensionModePage: decoder(decodeControlExtensionModePage, [bytes(EXTENSION)]),
  decodeApplicationTagModePage: decoder(decodeApplicationTagModePage, [bytes(APP_TAGS)], (descriptors) =>
    modeDataOf(encodeApplicationTagModePage(descriptors)),
  ),
  decodeAllCommands: decoder(
    decodeAllCommands,
    [encodeAllCommands(COMMANDS.slice(0, 9), true), encodeAllCommands(COMMANDS.slice(0, 9), false)],
    (commands) =>
      encodeAllCommands(
        commands.map(
          ({ opcode, serviceAction, length }): CommandDefinition => ({
            name: '',
            operation: serviceAction === null ? [opcode] : [opcode, serviceAction],
            length,
            fields: {},
            data: 'none',
          }),
        ),
        false,
      ),
    (commands) => commands.map(({ opcode, serviceAction, length }) => [opcode, serviceAction, length]),
  ),
  decodeOneCommand: decoder(decodeOneCommand, [
    bytes('00 93 0006 12 01 ff ffff 00 000a 00 00 0000001e 0000003c'),
  ]),
  decodeLbaStatus: decoder(
    decodeLbaStatus,
    [bytes('00000024 000000 06 0000000000000010 00000001 00 00 0000 0000000100000011 00000002 01 01 0000')],
    encodeLbaStatus,
  ),
  decodeSupportedLogPages: decoder(decodeSupportedLogPages, [
    bytes('00 00 0003 00 0d 2f'),
    bytes('40 ff 0004 00 00 19 20'),
  ]),
  decodeLogPage: decoder(decodeLogPage, [bytes('8d 00 000c 0000 03 02 0025 0001 03 02 0046')]),
  decodeUnmapList: decoder(
    decodeUnmapList,
    [bytes('0016 0010 00000000 0000000100000002 00000003 00000000')],
    encodeUnmapList,
  ),
  decodeWholeUnmapList: decoder(
    decodeWholeUnmapList,
    [bytes('0016 0010 00000000 0000000100000002 00000003 00000000')],
    encodeUnmapList,
  ),
  'decodeFormatList, long': decoder(
    (list) => decodeFormatList('long', list),
    [bytes('01 da 00 13 00000008')],
    (list) => encodeFormatList('long', list),
  ),
  'decodeFormatList, short': decoder(
    (list) => decodeFormatList('short', list),
    [bytes('01 da 0008')],
    (list) => encodeFormatList('short', list),
  ),
  decodeScatteredList: decoder(
    (list) => decodeScatteredList(list, 2),
    [new Uint8Array(96), new Uint8Array(64)],
    (ranges) => encodeScatteredList(ranges, scatteredListBytes(ranges.length)),
  ),
  decodeCdb: decoder(
    decodeCdb,
    CDBS,
    ({ command, fields }: DecodedCdb) => encodeCdb(command.name, fields),
    ({ command, fields }) => [command.name, fields],
  ),
  decodeWholeCdb: decoder(
    wholeCdbOf,
    CDBS,
    ({ command, fields }: DecodedCdb) => encodeCdb(command.name, fields),
    ({ command, fields }) => [command.name, fields],
  ),
  'cdbText, cdbFieldsText, isReadOnlyCdb': decoder(wordsOf, CDBS),
  decodeNamespaceFormat: decoder(
    (response) =>
      decodeNamespaceFormat(
        identifyData(response.subarray(0, IDENTIFY_BEGINNING)),
        response.length <= IDENTIFY_BEGINNING ? null : identifyData(response.subarray(IDENTIFY_BEGINNING)),
      ),
    [NAMESPACE, Uint8Array.of(...NAMESPACE, ...padded('', 12), ...bytes('00000000 00010000'))],
  ),
  parseKmsgRecord: decoder((record) => parseKmsgRecord(textOf(record)), KMSG),
  explainRefusals: decoder(
    (lines) =>
      explainRefusals(
        textOf(lines)
          .split('\n')
          .map(parseKmsgRecord)
          .filter((record) => record !== null),
        { diskName: 'sda', hctl: '0:0:0:0' },
      ),
    KMSG,
  ),
  parseMountinfo: decoder(
    (text) => parseMountinfo(textOf(text)),
    textAnswers(
      '36 35 8:1 / /mnt/a\\040b rw,noatime master:1 - ext4 /dev/sda1 rw\n37 35 0:4 / /proc rw - proc proc rw\n',
    ),
  ),
  parseSwaps: decoder(
    (text) => parseSwaps(textOf(text)),
    textAnswers('Filename\t\tType\t\tSize\n/dev/sda2  partition\t8\n/a\\040b file 8\n'),
  ),
  interpret: decoder((text) => interpret(snapshotOf(textOf(text))), SNAPSHOT),
  parseJournal: decoder((file) => parseJournal(resealed(file), 'a journal'), [JOURNAL, NO_HEAD]),
};
