/** The parameter list of UNMAP (SBC-4). */

export interface LbaRange {
  readonly lba: bigint;
  readonly blocks: number;
}

const HEADER_BYTES = 8;
const DESCRIPTOR_BYTES = 16;

export function encodeUnmapList(ranges: readonly LbaRange[]): Uint8Array {
  const list = new DataView(new ArrayBuffer(HEADER_BYTES + DESCRIPTOR_BYTES * ranges.length));
  list.setUint16(0, list.byteLength - 2);
  list.setUint16(2, DESCRIPTOR_BYTES * ranges.length);
  for (const [i, { lba, blocks }] of ranges.entries()) {
    const at = HEADER_BYTES + i * DESCRIPTOR_BYTES;
    list.setBigUint64(at, lba);
    list.setUint32(at + 8, blocks);
  }
  return new Uint8Array(list.buffer);
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
