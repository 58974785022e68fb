/**
 * READ CAPACITY data (SBC-4): how large the disk is, and, in the longer one, how it is formatted.
 */
import { ResponseReader, StructureWriter } from './bytes.js';

export interface ReadCapacity10 {
  /** Null where it needs more than 32 bits: READ CAPACITY(16) tells. */
  readonly lastLba: number | null;
  /** Logical block length in bytes, without protection information. */
  readonly blockSize: number;
}

const BEYOND_32_BITS = 0xffffffff;

/** Throws ERR_MALFORMED_RESPONSE for less than 8 bytes, or a block length of 0. */
export function decodeReadCapacity10(bytes: Uint8Array): ReadCapacity10 {
  const data = new ResponseReader('READ CAPACITY(10) data', bytes);
  const lastLba = data.u32(0);
  const blockSize = data.u32(4);
  if (blockSize === 0) throw data.malformed(4, 'the logical block length is 0');
  return { lastLba: lastLba === BEYOND_32_BITS ? null : lastLba, blockSize };
}

export interface ReadCapacity16 {
  readonly lastLba: bigint;
  readonly blocks: bigint;
  /** Logical block length in bytes, without protection information. */
  readonly blockSize: number;
  /** 0 without protection information, else PROT_EN with P_TYPE + 1. */
  readonly protectionType: 0 | 1 | 2 | 3;
  /** P_I_EXPONENT: one tuple protects blockSize / 2^intervalExponent bytes. */
  readonly intervalExponent: number;
  /** RC_BASIS: 0 the last LBA is that before the first zone that must be written in sequence, 1 the last of all; of zoned disks. */
  readonly basis: number;
  /** Logical blocks in a physical one, as a power of two. */
  readonly physicalExponent: number;
  /** LOWEST ALIGNED LOGICAL BLOCK ADDRESS: the first that begins a physical block. */
  readonly lowestAlignedLba: number;
  /** LBPME: blocks may be unmapped. */
  readonly thinProvisioned: boolean;
  /** LBPRZ: unmapped blocks read as zeros. */
  readonly unmappedReadZeros: boolean;
}

/** By P_TYPE. */
const PROTECTION_TYPES = [1, 2, 3] as const;

/** Throws ERR_MALFORMED_RESPONSE for a reserved P_TYPE, or a block length that cannot be. */
export function decodeReadCapacity16(bytes: Uint8Array): ReadCapacity16 {
  const data = new ResponseReader('READ CAPACITY(16) data', bytes);
  const lastLba = data.u64(0);
  const blockSize = data.u32(8);
  const protectionType = data.bit(12, 0) ? PROTECTION_TYPES[data.bits(12, 3, 1)] : 0;
  const intervalExponent = protectionType === 0 ? 0 : data.bits(13, 7, 4);
  if (blockSize === 0) throw data.malformed(8, 'the logical block length is 0');
  if (protectionType === undefined) throw data.malformed(12, `P_TYPE ${data.bits(12, 3, 1)} is reserved`);
  if (blockSize % 2 ** intervalExponent !== 0) {
    throw data.malformed(
      13,
      `blocks of ${blockSize} bytes do not have 2^${intervalExponent} protection intervals`,
    );
  }
  return {
    lastLba,
    blocks: lastLba + 1n,
    blockSize,
    protectionType,
    intervalExponent,
    basis: data.bits(12, 5, 4),
    physicalExponent: data.bits(13, 3, 0),
    lowestAlignedLba: data.u16(14) & 0x3fff,
    thinProvisioned: data.bit(14, 7),
    unmappedReadZeros: data.bit(14, 6),
  };
}

/**
 * READ CAPACITY(10) data.
 *
 * @throws ERR_OUT_OF_RANGE naming the field that does not fit.
 */
export function encodeReadCapacity10({ lastLba, blockSize }: ReadCapacity10): Uint8Array {
  return new StructureWriter('READ CAPACITY(10) data', 8)
    .uint(0, 4, 'lastLba', lastLba ?? BEYOND_32_BITS)
    .uint(4, 4, 'blockSize', blockSize).bytes;
}

/**
 * READ CAPACITY(16) data.
 *
 * @throws ERR_OUT_OF_RANGE naming the field that does not fit.
 */
export function encodeReadCapacity16(content: Omit<ReadCapacity16, 'blocks'>): Uint8Array {
  const { protectionType, thinProvisioned, unmappedReadZeros, lowestAlignedLba } = content;
  const data = new StructureWriter('READ CAPACITY(16) data', 32)
    .uint(0, 8, 'lastLba', content.lastLba)
    .uint(8, 4, 'blockSize', content.blockSize)
    .bits(12, 5, 4, 'basis', content.basis)
    .bits(13, 7, 4, 'intervalExponent', content.intervalExponent)
    .bits(13, 3, 0, 'physicalExponent', content.physicalExponent)
    .bits(14, 5, 0, 'lowestAlignedLba', lowestAlignedLba >> 8)
    .uint(15, 1, 'lowestAlignedLba', lowestAlignedLba & 0xff)
    .bit(14, 7, thinProvisioned)
    .bit(14, 6, unmappedReadZeros);
  if (protectionType !== 0) {
    data.bits(12, 3, 1, 'protectionType', PROTECTION_TYPES.indexOf(protectionType)).bit(12, 0, true);
  }
  return data.bytes;
}
