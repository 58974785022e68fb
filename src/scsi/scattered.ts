/** The parameter list of WRITE SCATTERED (SBC-4): where each part of the data goes, and which tags it has. */
import { ResponseReader, requireWithin, StructureWriter } from './bytes.js';
import { decodeLayout, encodeLayout, type Layout, uint, uint64 } from './layout.js';

/** An LBA range descriptor. */
export interface ScatteredRange {
  readonly lba: bigint;
  /** Logical blocks. */
  readonly blocks: number;
  /** What WRITE SCATTERED(32) tells the disk to expect, as the CDBs of other 32-byte commands do. */
  readonly refTag: number;
  readonly appTag: number;
  readonly appTagMask: number;
}

const RANGE: Layout<ScatteredRange> = {
  lba: uint64(0),
  blocks: uint(8, 4),
  refTag: uint(12, 4),
  appTag: uint(16, 2),
  appTagMask: uint(18, 2),
};
/** Of a descriptor, and of the header before them, which is reserved. */
const EACH_BYTES = 32;
const STRUCTURE = 'WRITE SCATTERED parameter list';

/** Bytes of header and descriptors. */
export function scatteredListBytes(ranges: number): number {
  return EACH_BYTES * (1 + ranges);
}

/**
 * Header, descriptors and zeros up to `bytes`, where the data begins: LOGICAL BLOCK DATA OFFSET times the bytes of a block as it crosses.
 *
 * @throws ERR_OUT_OF_RANGE naming the field that does not fit, or where there is no room for the descriptors.
 */
export function encodeScatteredList(ranges: readonly ScatteredRange[], bytes: number): Uint8Array {
  const least = BigInt(scatteredListBytes(ranges.length));
  requireWithin(STRUCTURE, 'bytes', bytes, [least, 0xffffffffn]);
  const list = new StructureWriter(STRUCTURE, bytes);
  for (const [i, range] of ranges.entries()) encodeLayout(RANGE, list, range, EACH_BYTES * (i + 1));
  return list.bytes;
}

/** Throws ERR_MALFORMED_RESPONSE where the list ends before its descriptors. */
export function decodeScatteredList(bytes: Uint8Array, ranges: number): ScatteredRange[] {
  const list = new ResponseReader(STRUCTURE, bytes);
  return Array.from({ length: ranges }, (_, i) =>
    decodeLayout(RANGE, list, EACH_BYTES, EACH_BYTES * (i + 1)),
  );
}
