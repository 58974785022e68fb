/**
 * Whatever a device answers: no decoder throws anything but ERR_MALFORMED_RESPONSE, and none reads what lies around its bytes.
 *
 * SCSI_FUZZ_CASES: how many buffers each decoder gets; SCSI_FUZZ_SEED: the seed that a failure printed.
 */
import { randomInt } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { IntegrityError } from '../../src/errors.js';
import { COMMANDS, decodeCdb, encodeCdb } from '../../src/scsi/commands.js';
import { decodeFormatList } from '../../src/scsi/format-unit.js';
import { decodeInquiry, encodeInquiry } from '../../src/scsi/inquiry.js';
import { decodeLbaStatus } from '../../src/scsi/lba-status.js';
import { decodeLogPage, decodeSupportedLogPages } from '../../src/scsi/log-page.js';
import {
  decodeApplicationTagModePage,
  decodeControlExtensionModePage,
  decodeControlModePage,
  decodeModeSense,
} from '../../src/scsi/mode-page.js';
import { decodeReadCapacity10, decodeReadCapacity16 } from '../../src/scsi/read-capacity.js';
import { decodeScatteredList } from '../../src/scsi/scattered.js';
import { decodeSense } from '../../src/scsi/sense.js';
import { decodeAllCommands, decodeOneCommand, encodeAllCommands } from '../../src/scsi/supported-opcodes.js';
import { decodeUnmapList } from '../../src/scsi/unmap.js';
import {
  decodeBlockDeviceCharacteristics,
  decodeBlockLimits,
  decodeDeviceIdentification,
  decodeExtendedInquiry,
  decodeLogicalBlockProvisioning,
  decodeSupportedBlockLengths,
  decodeSupportedPages,
  decodeUnitSerialNumber,
} from '../../src/scsi/vpd.js';
import { Random } from '../support/random.js';
import { bytes, padded } from './hex.js';

const CASES = Number(process.env['SCSI_FUZZ_CASES'] ?? 100_000);
const SEED = Number(process.env['SCSI_FUZZ_SEED'] ?? randomInt(2 ** 32));
/** Of so many buffers one is decoded twice, among bytes of different values. */
const AROUND_EVERY = 8;
const LONGEST = 300;

const FIXED = 'f0 00 05 00000019 0a 00000007 24 00 44 c00002';
const CONTROL = '0012 00 10 00 00 0000 8a 0a 3b 12 78 f2 0000 0102 0304';
const EXTENSION = `0026 00 10 00 00 0000 ca 01 001c 06 05 fc ${'00'.repeat(25)}`;
const APP_TAGS = `00 46 00 10 00 00 0000 ca 02 003c ${'00'.repeat(12)} 00 0000000000 1234 0000000000000000 0000000000000009 80 0000000000 5678 0000000000000009 0000000000000009`;

type Decoder = (response: Uint8Array) => unknown;

/** With answers that are right: what is mutated. */
const DECODERS: Readonly<Record<string, readonly [decode: Decoder, ...answers: Uint8Array[]]>> = {
  decodeSense: [
    decodeSense,
    bytes(FIXED),
    bytes(
      `72 05 24 00 000000 34 00 0a 80 00 0000000000000019 02 06 0000 c0 0001 00 03 02 00 99 0c 14 82 02 ${FIXED} 80 02 0102`,
    ),
    bytes('73 0b 10 01 000000 30 09 0c 01 11 2233 44 55 66 77 88 99 aa bb 0d 1e a0 00 cf 0009 77'),
  ],
  decodeInquiry: [
    decodeInquiry,
    encodeInquiry({ protect: true, vendor: 'vendor', product: 'product', revision: '1' }),
  ],
  decodeSupportedPages: [decodeSupportedPages, padded('00 00 0004 00 80 83 86', 64)],
  decodeUnitSerialNumber: [decodeUnitSerialNumber, bytes('00 80 0004 20414243')],
  decodeDeviceIdentification: [
    decodeDeviceIdentification,
    bytes('00 83 0014 61 93 0008 5000c50012345679 02 01 0004 41424344'),
  ],
  decodeExtendedInquiry: [decodeExtendedInquiry, padded('00 86 003c 3f 07 0f 30', 64)],
  decodeBlockLimits: [decodeBlockLimits, padded('00 b0 003c 01 ff 0008 00002000', 64)],
  decodeBlockDeviceCharacteristics: [decodeBlockDeviceCharacteristics, padded('00 b1 003c 1c20', 64)],
  decodeLogicalBlockProvisioning: [decodeLogicalBlockProvisioning, bytes('00 b2 0004 0a ea 2a 14')],
  decodeSupportedBlockLengths: [
    decodeSupportedBlockLengths,
    bytes('00 b4 0010 00000200 07 03 0000 00001000 4f 0f 0000'),
  ],
  decodeReadCapacity10: [decodeReadCapacity10, bytes('00007fff 00000200')],
  decodeReadCapacity16: [decodeReadCapacity16, padded('00000001ffffffff 00001000 13 33 d234', 32)],
  decodeModeSense6: [
    (data) => decodeModeSense(data, 6),
    bytes('17 00 10 08 00001000 00000200 8a 0a 3b 12 78 f2 0000 0102 0304'),
  ],
  decodeModeSense10: [(data) => decodeModeSense(data, 10), bytes(CONTROL), bytes(EXTENSION), bytes(APP_TAGS)],
  decodeControlModePage: [decodeControlModePage, bytes(CONTROL)],
  decodeControlExtensionModePage: [decodeControlExtensionModePage, bytes(EXTENSION)],
  decodeApplicationTagModePage: [decodeApplicationTagModePage, bytes(APP_TAGS)],
  decodeAllCommands: [
    decodeAllCommands,
    encodeAllCommands(COMMANDS.slice(0, 9), true),
    encodeAllCommands(COMMANDS.slice(0, 9), false),
  ],
  decodeOneCommand: [decodeOneCommand, bytes('00 93 0006 12 01 ff ffff 00 000a 00 00 0000001e 0000003c')],
  decodeLbaStatus: [
    decodeLbaStatus,
    bytes('00000024 000000 06 0000000000000010 00000001 00 00 0000 0000000100000011 00000002 01 01 0000'),
  ],
  decodeSupportedLogPages: [
    decodeSupportedLogPages,
    bytes('00 00 0003 00 0d 2f'),
    bytes('40 ff 0004 00 00 19 20'),
  ],
  decodeLogPage: [decodeLogPage, bytes('8d 00 000c 0000 03 02 0025 0001 03 02 0046')],
  decodeUnmapList: [decodeUnmapList, bytes('0016 0010 00000000 0000000100000002 00000003 00000000')],
  decodeFormatList: [(list) => decodeFormatList('long', list), bytes('01 da 00 13 00000008')],
  decodeScatteredList: [(list) => decodeScatteredList(list, 2), new Uint8Array(96), new Uint8Array(64)],
  decodeCdb: [decodeCdb, ...COMMANDS.map(({ name }) => encodeCdb(name, {}))],
};

/** Puts a case at `at` of the arena and returns its length: noise, or a right answer cut, lengthened and with bytes changed. */
function putCase(random: Random, arena: Uint8Array, at: number, answers: readonly Uint8Array[]): number {
  const noise = random.below(4) === 0;
  const answer = answers[random.below(answers.length)]!;
  const length = random.below(3) === 0 ? random.below(LONGEST) : answer.length;
  for (let i = 0; i < length; i++)
    arena[at + i] = noise || i >= answer.length ? random.below(256) : answer[i]!;
  for (let changes = random.below(5); length > 0 && changes > 0; changes--) {
    const byte = random.below(2) === 0 ? random.below(256) : [0x00, 0x01, 0x7f, 0x80, 0xff][random.below(5)]!;
    arena[at + random.below(length)] = byte;
  }
  return length;
}

/** What a decoder makes of a case, or the message where it throws what it may. */
function outcomeOf(decode: Decoder, response: Uint8Array): { value: unknown } | { refused: string } {
  try {
    return { value: decode(response) };
  } catch (error) {
    if (error instanceof IntegrityError && error.code === 'ERR_MALFORMED_RESPONSE') {
      return { refused: error.message };
    }
    throw error;
  }
}

interface Tally {
  decoded: number;
  /** The first case that went wrong. */
  wrong: string | null;
}

function fuzz(decode: Decoder, answers: readonly Uint8Array[]): Tally {
  const random = new Random(SEED);
  const at = 64;
  const arena = new Uint8Array(at + LONGEST + 64);
  const outcomeAmong = (length: number, value: number) => {
    arena.fill(value, 0, at);
    arena.fill(value, at + length);
    return outcomeOf(decode, arena.subarray(at, at + length));
  };
  let decoded = 0;
  for (let i = 0; i < CASES; i++) {
    const length = putCase(random, arena, at, answers);
    const wrong = (why: string): Tally => {
      const hex = Buffer.from(arena.subarray(at, at + length)).toString('hex');
      return { decoded, wrong: `${why}: SCSI_FUZZ_SEED=${SEED}, case ${i}: ${hex}` };
    };
    try {
      const outcome = outcomeAmong(length, 0x00);
      if ('value' in outcome) decoded++;
      if (i % AROUND_EVERY !== 0) continue;
      const before = structuredClone(outcome);
      if (!isDeepStrictEqual(structuredClone(outcomeAmong(length, 0xff)), before)) {
        return wrong('it read what lies around');
      }
    } catch (error) {
      return wrong(String(error));
    }
  }
  return { decoded, wrong: null };
}

t.setTimeout(120_000 + CASES);
for (const [name, [decode, ...answers]] of Object.entries(DECODERS)) {
  t.test(name, async (t) => {
    const { decoded, wrong } = fuzz(decode, answers);
    t.equal(wrong, null);
    t.ok(decoded > CASES / 20, `${decoded} of ${CASES} were decoded`);
  });
}
