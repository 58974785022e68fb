/** The parameter list of UNMAP (SBC-4). */
import { StructureWriter } from './bytes.js';

export interface LbaRange {
  readonly lba: bigint;
  readonly blocks: number;
}

const HEADER_BYTES = 8;
const DESCRIPTOR_BYTES = 16;

/** Throws ERR_OUT_OF_RANGE naming the field that does not fit, or for more ranges than the list's lengths can tell. */
export function encodeUnmapList(ranges: readonly LbaRange[]): Uint8Array {
  const list = new StructureWriter('UNMAP parameter list', HEADER_BYTES + DESCRIPTOR_BYTES * ranges.length);
  list.uint(0, 2, 'data length', list.bytes.length - 2);
  list.uint(2, 2, 'block descriptor data length', list.bytes.length - HEADER_BYTES);
  for (const [i, { lba, blocks }] of ranges.entries()) {
    const at = HEADER_BYTES + i * DESCRIPTOR_BYTES;
    list.uint(at, 8, 'lba', lba).uint(at + 8, 4, 'blocks', blocks);
  }
  return list.bytes;
}

/** The ranges that are there whole; null for a list shorter than its header. */
export function decodeUnmapList(bytes: Uint8Array): LbaRange[] | null {
  if (bytes.length < HEADER_BYTES) return null;
  const list = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = Math.min(bytes.length, HEADER_BYTES + list.getUint16(2));
  const ranges: LbaRange[] = [];
  for (let at = HEADER_BYTES; at + DESCRIPTOR_BYTES <= end; at += DESCRIPTOR_BYTES) {
    ranges.push({ lba: list.getBigUint64(at), blocks: list.getUint32(at + 8) });
  }
  return ranges;
}

/** The ranges of a list that is just as long as its header says (SBC-4); null for one that is not, of which a disk may take anything. */
export function decodeWholeUnmapList(bytes: Uint8Array): LbaRange[] | null {
  const ranges = decodeUnmapList(bytes);
  if (ranges === null || bytes.length !== HEADER_BYTES + DESCRIPTOR_BYTES * ranges.length) return null;
  const list = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const told = list.getUint16(0) === bytes.length - 2 && list.getUint16(2) === bytes.length - HEADER_BYTES;
  return told ? ranges : null;
}
