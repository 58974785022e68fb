/**
 * READ CAPACITY(16) data (SBC-4): how large the disk is and how it is formatted.
 */
import { ResponseReader } from './bytes.js';

export interface ReadCapacity16 {
  readonly lastLba: bigint;
  readonly blocks: bigint;
  /** Logical block length in bytes, without protection information. */
  readonly blockSize: number;
  /** 0 without protection information, else PROT_EN with P_TYPE + 1. */
  readonly protectionType: 0 | 1 | 2 | 3;
  /** P_I_EXPONENT: one tuple protects blockSize / 2^intervalExponent bytes. */
  readonly intervalExponent: number;
  /** Logical blocks in a physical one, as a power of two. */
  readonly physicalExponent: number;
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
    physicalExponent: data.bits(13, 3, 0),
    thinProvisioned: data.bit(14, 7),
    unmappedReadZeros: data.bit(14, 6),
  };
}

/** READ CAPACITY(10) data: LBAs beyond 32 bits are told as FFFFFFFFh. */
export function encodeReadCapacity10({
  lastLba,
  blockSize,
}: {
  lastLba: number;
  blockSize: number;
}): Uint8Array {
  const data = new DataView(new ArrayBuffer(8));
  data.setUint32(0, lastLba);
  data.setUint32(4, blockSize);
  return new Uint8Array(data.buffer);
}

/** READ CAPACITY(16) data, one logical block in a physical one. */
export function encodeReadCapacity16({
  lastLba,
  blockSize,
  protectionType,
  intervalExponent,
  thinProvisioned,
  unmappedReadZeros,
}: Omit<ReadCapacity16, 'blocks' | 'physicalExponent'>): Uint8Array {
  const data = new DataView(new ArrayBuffer(32));
  data.setBigUint64(0, lastLba);
  data.setUint32(8, blockSize);
  if (protectionType !== 0) data.setUint8(12, ((protectionType - 1) << 1) | 1);
  data.setUint8(13, intervalExponent << 4);
  data.setUint8(14, (Number(thinProvisioned) << 7) | (Number(unmappedReadZeros) << 6));
  return new Uint8Array(data.buffer);
}
