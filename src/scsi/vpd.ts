/**
 * Vital product data pages of INQUIRY (SPC-5, SBC-4).
 */
import { hex, putAscii, ResponseReader } from './bytes.js';

const HEADER_BYTES = 4;

/** A page from its header to its end, or to where the allocation length cut it short. */
function openPage(name: string, code: number, bytes: Uint8Array): ResponseReader {
  const page = new ResponseReader(`VPD page ${name}`, bytes);
  if (page.u8(1) !== code) throw page.malformed(1, `page code ${hex(bytes.subarray(1, 2))}h, not ${name}`);
  const end = HEADER_BYTES + page.u16(2);
  return end < bytes.length ? new ResponseReader(page.structure, bytes.subarray(0, end)) : page;
}

/** Page 00h: the codes of the pages that the device has. */
export function decodeSupportedPages(bytes: Uint8Array): number[] {
  const page = openPage('00h', 0x00, bytes);
  return [...page.slice(HEADER_BYTES, page.length - HEADER_BYTES)];
}

/** Page 80h: the unit serial number, or null when the device left it blank. */
export function decodeUnitSerialNumber(bytes: Uint8Array): string | null {
  const page = openPage('80h', 0x80, bytes);
  return page.ascii(HEADER_BYTES, page.length - HEADER_BYTES).trim() || null;
}

/** One designator of page 83h. */
export interface Designator {
  /** 0 the logical unit, 1 the target port, 2 the target device. */
  readonly association: number;
  /** 1 T10 vendor id, 2 EUI-64, 3 NAA, 8 SCSI name string. */
  readonly type: number;
  /** A view of the page, not a copy. */
  readonly bytes: Uint8Array;
}

export interface DeviceIdentification {
  readonly designators: readonly Designator[];
  /**
   * The logical unit's own name: `naa.5000c500...`, else `eui.0025...`, else `t10.` and text; null when it
   * has none.
   */
  readonly identity: string | null;
}

/** Which designators of the logical unit name it, the best first, and how they are written. */
const IDENTITIES: readonly { readonly type: number; readonly text: (bytes: Uint8Array) => string }[] = [
  { type: 3, text: (bytes) => `naa.${hex(bytes)}` },
  { type: 2, text: (bytes) => `eui.${hex(bytes)}` },
  { type: 1, text: (bytes) => `t10.${new ResponseReader('T10 vendor id', bytes).ascii(0, bytes.length)}` },
];

/** Page 83h. A designator that is not whole, where the allocation length cut the page short, is left out. */
export function decodeDeviceIdentification(bytes: Uint8Array): DeviceIdentification {
  const page = openPage('83h', 0x83, bytes);
  const designators: Designator[] = [];
  for (let at = HEADER_BYTES; at + 4 <= page.length; ) {
    const length = page.u8(at + 3);
    if (at + 4 + length > page.length) break;
    designators.push({
      association: page.bits(at + 1, 5, 4),
      type: page.bits(at + 1, 3, 0),
      bytes: page.slice(at + 4, length),
    });
    at += 4 + length;
  }
  return { designators, identity: identityOf(designators) };
}

function identityOf(designators: readonly Designator[]): string | null {
  const own = designators.filter(({ association, bytes }) => association === 0 && bytes.length > 0);
  for (const { type, text } of IDENTITIES) {
    // A longer one is the more specific: NAA 6 over NAA 5.
    const [longest] = own.filter((one) => one.type === type).sort((a, b) => b.bytes.length - a.bytes.length);
    if (longest) return text(longest.bytes);
  }
  return null;
}

export interface ExtendedInquiry {
  /** Which tags the device checks when it reads the medium. */
  readonly guardCheck: boolean;
  readonly appCheck: boolean;
  readonly refCheck: boolean;
  /** NO_PI_CHK: it checks none while it does not transfer them. */
  readonly noPiCheck: boolean;
  /**
   * Protection types that it can be formatted with; null when page B4h has to be asked. Means nothing unless
   * INQUIRY says PROTECT.
   */
  readonly supportedTypes: readonly number[] | null;
  /** P_I_I_SUP: it can have more than one interval a block. */
  readonly multipleIntervals: boolean;
}

/** SPT of page 86h (SBC-4), by its value. */
const SUPPORTED_TYPES: readonly (readonly number[] | null)[] = [
  [1],
  [1, 2],
  [2],
  [1, 3],
  [3],
  [2, 3],
  null,
  [1, 2, 3],
];

/** Page 86h, extended INQUIRY data. */
export function decodeExtendedInquiry(bytes: Uint8Array): ExtendedInquiry {
  const page = openPage('86h', 0x86, bytes);
  return {
    supportedTypes: SUPPORTED_TYPES[page.bits(4, 5, 3)] ?? null,
    guardCheck: page.bit(4, 2),
    appCheck: page.bit(4, 1),
    refCheck: page.bit(4, 0),
    noPiCheck: page.bit(7, 5),
    multipleIntervals: page.bit(7, 4),
  };
}

function newPage(code: number, length: number): Uint8Array {
  const page = new Uint8Array(HEADER_BYTES + length);
  page.set([0, code, length >> 8, length & 0xff]);
  return page;
}

/** Page 00h, in rising order. */
export function encodeSupportedPages(codes: readonly number[]): Uint8Array {
  const page = newPage(0x00, codes.length);
  page.set(
    [...codes].sort((a, b) => a - b),
    HEADER_BYTES,
  );
  return page;
}

/** Page 80h. */
export function encodeUnitSerialNumber(serial: string): Uint8Array {
  const page = newPage(0x80, serial.length);
  putAscii(page, HEADER_BYTES, serial.length, serial);
  return page;
}

/** CODE SET by designator type (SPC-5): ASCII for a T10 vendor id, UTF-8 for a SCSI name string, else binary. */
const CODE_SETS: Readonly<Record<number, number>> = { 1: 2, 8: 3 };
const BINARY = 1;

/** Page 83h. */
export function encodeDeviceIdentification(designators: readonly Designator[]): Uint8Array {
  const bytes = designators.flatMap(({ association, type, bytes: name }) => [
    CODE_SETS[type] ?? BINARY,
    (association << 4) | type,
    0,
    name.length,
    ...name,
  ]);
  const page = newPage(0x83, bytes.length);
  page.set(bytes, HEADER_BYTES);
  return page;
}

/** Page 86h, with the task attributes SIMPLE, ORDERED and HEAD OF QUEUE. */
export function encodeExtendedInquiry(
  content: Omit<ExtendedInquiry, 'supportedTypes'> & {
    readonly supportedTypes: readonly number[];
  },
): Uint8Array {
  const page = newPage(0x86, 0x3c);
  const types = content.supportedTypes.join();
  const spt = SUPPORTED_TYPES.findIndex((known) => known?.join() === types);
  page[4] =
    (Math.max(0, spt) << 3) |
    (Number(content.guardCheck) << 2) |
    (Number(content.appCheck) << 1) |
    Number(content.refCheck);
  page[5] = 0x07;
  page[7] = (Number(content.noPiCheck) << 5) | (Number(content.multipleIntervals) << 4);
  page[13] = 252;
  return page;
}

/** What is limited of one command, in blocks (SBC-4). */
export interface BlockLimits {
  /** WSNZ: WRITE SAME of no blocks is refused. */
  readonly writeSameNonZero: boolean;
  readonly compareAndWriteBlocksMax: number;
  /** 0 says nothing. */
  readonly transferBlocksMax: number;
  readonly unmapBlocksMax: number;
  readonly unmapDescriptorsMax: number;
  readonly unmapGranularity: number;
  readonly writeSameBlocksMax: bigint;
  readonly atomicBlocksMax: number;
}

/** Page B0h. */
export function encodeBlockLimits(limits: BlockLimits): Uint8Array {
  const page = newPage(0xb0, 0x3c);
  const view = new DataView(page.buffer);
  page[4] = Number(limits.writeSameNonZero);
  page[5] = limits.compareAndWriteBlocksMax;
  view.setUint32(8, limits.transferBlocksMax);
  view.setUint32(20, limits.unmapBlocksMax);
  view.setUint32(24, limits.unmapDescriptorsMax);
  view.setUint32(28, limits.unmapGranularity);
  view.setBigUint64(36, limits.writeSameBlocksMax);
  view.setUint32(44, limits.atomicBlocksMax);
  return page;
}

/** Page B0h. What lies beyond the end of a shorter page of SBC-2 is 0: not told. */
export function decodeBlockLimits(bytes: Uint8Array): BlockLimits {
  const page = openPage('B0h', 0xb0, bytes);
  const u32 = (at: number) => (at + 4 <= page.length ? page.u32(at) : 0);
  return {
    writeSameNonZero: page.bit(4, 0),
    compareAndWriteBlocksMax: page.u8(5),
    transferBlocksMax: u32(8),
    unmapBlocksMax: u32(20),
    unmapDescriptorsMax: u32(24),
    unmapGranularity: u32(28),
    writeSameBlocksMax: (BigInt(u32(36)) << 32n) | BigInt(u32(40)),
    atomicBlocksMax: u32(44),
  };
}

/** Page B1h. A rotation rate of 1 is none: not a rotating medium. VBULS: VERIFY compares unmapped blocks. */
export function encodeBlockDeviceCharacteristics(content: {
  readonly rotationRate: number;
  readonly verifyUnmapped: boolean;
}): Uint8Array {
  const page = newPage(0xb1, 0x3c);
  new DataView(page.buffer).setUint16(4, content.rotationRate);
  page[8] = Number(content.verifyUnmapped);
  return page;
}

/** Page B2h (SBC-4). */
export interface LogicalBlockProvisioning {
  /** LBPU, LBPWS, LBPWS10: UNMAP, WRITE SAME(16) and WRITE SAME(10) let blocks go. */
  readonly unmap: boolean;
  readonly writeSame16: boolean;
  readonly writeSame10: boolean;
  /** LBPRZ: 1 where unmapped blocks read as zeros. */
  readonly readZeros: number;
  /** 0 not told, 1 resource, 2 thin provisioned. */
  readonly provisioningType: number;
}

/** Page B2h. */
export function encodeLogicalBlockProvisioning(content: LogicalBlockProvisioning): Uint8Array {
  const page = newPage(0xb2, 4);
  page[5] =
    (Number(content.unmap) << 7) |
    (Number(content.writeSame16) << 6) |
    (Number(content.writeSame10) << 5) |
    (content.readZeros << 2);
  page[6] = content.provisioningType;
  return page;
}

/** Page B2h. */
export function decodeLogicalBlockProvisioning(bytes: Uint8Array): LogicalBlockProvisioning {
  const page = openPage('B2h', 0xb2, bytes);
  return {
    unmap: page.bit(5, 7),
    writeSame16: page.bit(5, 6),
    writeSame10: page.bit(5, 5),
    readZeros: page.bits(5, 4, 2),
    provisioningType: page.bits(6, 2, 0),
  };
}

/** A block length that a disk can be formatted to, with the protection types it can have there. */
export interface SupportedBlockLength {
  readonly blockSize: number;
  readonly guardCheck: boolean;
  readonly appCheck: boolean;
  readonly refCheck: boolean;
  readonly noPiCheck: boolean;
  /** Of 0 to 3. */
  readonly types: readonly number[];
}

const BLOCK_LENGTH_BYTES = 8;

/** Page B4h. */
export function encodeSupportedBlockLengths(lengths: readonly SupportedBlockLength[]): Uint8Array {
  const page = newPage(0xb4, BLOCK_LENGTH_BYTES * lengths.length);
  const view = new DataView(page.buffer);
  for (const [i, one] of lengths.entries()) {
    const at = HEADER_BYTES + i * BLOCK_LENGTH_BYTES;
    view.setUint32(at, one.blockSize);
    page[at + 4] =
      (Number(one.noPiCheck) << 3) |
      (Number(one.guardCheck) << 2) |
      (Number(one.appCheck) << 1) |
      Number(one.refCheck);
    page[at + 5] = one.types.reduce((byte, type) => byte | (1 << type), 0);
  }
  return page;
}

/** Page B4h. */
export function decodeSupportedBlockLengths(bytes: Uint8Array): SupportedBlockLength[] {
  const page = openPage('B4h', 0xb4, bytes);
  const lengths: SupportedBlockLength[] = [];
  for (let at = HEADER_BYTES; at + BLOCK_LENGTH_BYTES <= page.length; at += BLOCK_LENGTH_BYTES) {
    lengths.push({
      blockSize: page.u32(at),
      noPiCheck: page.bit(at + 4, 3),
      guardCheck: page.bit(at + 4, 2),
      appCheck: page.bit(at + 4, 1),
      refCheck: page.bit(at + 4, 0),
      types: [0, 1, 2, 3].filter((type) => page.bit(at + 5, type)),
    });
  }
  return lengths;
}
