/**
 * What sg3_utils prints of an open disk, beside what the decoders make of the same answers.
 */
import {
  decodeBlockDeviceCharacteristics,
  decodeBlockLimits,
  decodeDeviceIdentification,
  decodeExtendedInquiry,
  decodeInquiry,
  decodeLogicalBlockProvisioning,
  decodeModeSense,
  decodeReadCapacity10,
  decodeReadCapacity16,
  decodeSupportedBlockLengths,
  decodeSupportedPages,
  decodeUnitSerialNumber,
  encodeCdb,
  inquiryCdb,
  readCapacity16Cdb,
  type ScsiTransport,
} from 'blk-integrity';
import type { Test } from 'tap';
import { fetch } from '../../lib/device/transport.js';
import { command } from './command.js';
import {
  CAPACITY_10_LABELS,
  CAPACITY_16_LABELS,
  INQUIRY_LABELS,
  INQUIRY_TEXTS,
  type Labels,
  MODE_LABELS,
  told,
  VPD_LABELS,
} from './sg3-labels.js';

type Fields = Readonly<Record<string, bigint | number | boolean | null>>;

const ALL_PAGES = 0x3f;
const ALLOCATED = 252;

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const hexIn = (text: string): string => text.replace(/\s/g, '');

/** Pages of fields, by code. */
const VPD_FIELDS: readonly (readonly [code: number, decode: (page: Uint8Array) => object, labels: Labels])[] =
  [
    [0x86, decodeExtendedInquiry, VPD_LABELS['86']],
    [0xb0, decodeBlockLimits, VPD_LABELS.b0],
    [0xb1, decodeBlockDeviceCharacteristics, VPD_LABELS.b1],
    [0xb2, decodeLogicalBlockProvisioning, VPD_LABELS.b2],
    [0xb4, firstBlockLength, VPD_LABELS.b4],
  ];

function firstBlockLength(page: Uint8Array): object {
  const [{ types, ...rest }] = decodeSupportedBlockLengths(page) as [
    ReturnType<typeof decodeSupportedBlockLengths>[number],
  ];
  return {
    ...rest,
    ...Object.fromEntries([0, 1, 2, 3].map((type) => [`type${type}`, types.includes(type)])),
  };
}

/** Everything that is printed is what was decoded. */
export async function describedAlike(t: Test, disk: ScsiTransport, node: string): Promise<void> {
  const alike = (name: string, printed: string, labels: Labels, ours: object) => {
    const names = Object.keys(labels);
    const values = ours as Fields;
    t.same(
      Object.fromEntries(names.map((field) => [field, told(printed, labels[field]!)])),
      Object.fromEntries(names.map((field) => [field, BigInt(values[field] ?? -1)])),
      name,
    );
  };
  const vpd = async (code: number) => (await fetch(disk, inquiryCdb(ALLOCATED, code), ALLOCATED))!;
  const print = (code: number, ...options: string[]) =>
    command('sg_vpd', ...options, '-p', `0x${code.toString(16)}`, node);

  const inquiry = decodeInquiry((await fetch(disk, inquiryCdb(96), 96))!);
  const inq = await command('sg_inq', node);
  alike('INQUIRY', inq, INQUIRY_LABELS, inquiry);
  for (const [field, label] of Object.entries(INQUIRY_TEXTS)) {
    t.equal(label.exec(inq)?.[1]?.trim(), inquiry[field as 'vendor'], field);
  }

  const codes = decodeSupportedPages(await vpd(0x00));
  t.same(
    [...(await print(0x00, '--long')).matchAll(/^\s+0x([0-9a-f]{2})/gm)].map(([, code]) =>
      Number(`0x${code}`),
    ),
    codes,
    'VPD 00h',
  );
  const serial = /Unit serial number: (.*)/.exec(await print(0x80))?.[1]?.trim();
  t.equal(decodeUnitSerialNumber(await vpd(0x80)), serial, 'VPD 80h');
  await designators(t, await vpd(0x83), await print(0x83));
  for (const [code, decode, labels] of VPD_FIELDS) {
    if (!codes.includes(code)) continue;
    alike(`VPD ${code.toString(16)}h`, await print(code), labels, decode(await vpd(code)));
  }

  const capacity16 = decodeReadCapacity16((await fetch(disk, readCapacity16Cdb(), 32))!);
  const { protectionType } = capacity16;
  alike('READ CAPACITY(16)', await command('sg_readcap', '--long', node), CAPACITY_16_LABELS, {
    ...capacity16,
    protected: protectionType !== 0,
    protectionCode: Math.max(protectionType - 1, 0),
  });
  const capacity10 = decodeReadCapacity10((await fetch(disk, encodeCdb('READ CAPACITY(10)', {}), 8))!);
  // Where 32 bits are too few, sg_readcap goes on to the longer one.
  const lastLba = capacity10.lastLba ?? capacity16.lastLba;
  alike('READ CAPACITY(10)', await command('sg_readcap', node), CAPACITY_10_LABELS, {
    ...capacity10,
    lastLba,
  });

  await modePages(t, disk, node, alike);
}

const DESIGNATOR_TYPES: Readonly<Record<string, number>> = {
  'T10 vendor identification': 1,
  'EUI-64 based': 2,
  NAA: 3,
  'Relative target port': 4,
  'Target port group': 5,
  'SCSI name string': 8,
};
const CODE_SETS = ['Reserved', 'Binary', 'ASCII', 'UTF-8'];

/** sg_vpd groups them by association. */
async function designators(t: Test, page: Uint8Array, printed: string): Promise<void> {
  const { designators: ours, identity } = decodeDeviceIdentification(page);
  const theirs = [...printed.matchAll(/designator type: ([^,]*), +code set: (\S+)/g)];
  t.same(
    theirs.map(([, type, set]) => [DESIGNATOR_TYPES[type!.trim()], set]).sort(),
    ours.map(({ type, codeSet }) => [type, CODE_SETS[codeSet]]).sort(),
    'VPD 83h: designators',
  );
  for (const { type, bytes } of ours.filter(({ type }) => type === 3)) {
    t.ok(printed.includes(`0x${hexOf(bytes)}`), `VPD 83h: type ${type} ${hexOf(bytes)}`);
  }
  t.equal(identity, `naa.${/NAA.*\s+0x(\w+)/.exec(printed)?.[1]}`, 'VPD 83h: identity');
}

type Alike = (name: string, printed: string, labels: Labels, ours: object) => void;

async function modePages(t: Test, disk: ScsiTransport, node: string, alike: Alike): Promise<void> {
  const cdb = encodeCdb('MODE SENSE(10)', { page: ALL_PAGES, allocationLength: ALLOCATED });
  const ours = decodeModeSense((await fetch(disk, cdb, ALLOCATED))!, 10);
  const printed = await command('sg_modes', '--all', node);
  alike('mode parameter header', printed, MODE_LABELS, ours);
  // One heading a page or block descriptor, then its bytes, 16 in a line behind their offset.
  const parts = [...printed.matchAll(/^>+ (.*)\n((?:(?: +Density.*| [0-9a-f]{2} .*)\n?)+)/gm)].map(
    ([, name, lines]) => ({
      descriptor: name!.includes('block descriptor'),
      hex: [...lines!.matchAll(/^ [0-9a-f]{2} (.*)$/gm)].map(([, bytes]) => hexIn(bytes!)).join(''),
    }),
  );
  t.same(
    parts.filter(({ descriptor }) => !descriptor).map(({ hex }) => hex),
    ours.pages.map(({ bytes }) => hexOf(bytes)),
    'mode pages',
  );
  t.same(
    parts.filter(({ descriptor }) => descriptor).map(({ hex }) => hex),
    ours.blockDescriptors.map(({ blocks, blockSize }) => shortDescriptor(blocks, blockSize)),
    'block descriptors',
  );
}

function shortDescriptor(blocks: bigint, blockSize: number): string {
  return blocks.toString(16).padStart(8, '0') + blockSize.toString(16).padStart(8, '0');
}
