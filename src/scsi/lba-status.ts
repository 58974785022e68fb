/** GET LBA STATUS data (SBC-4): which blocks are mapped. */
import { ResponseReader, StructureWriter } from './bytes.js';
import { bits, decodeLayout, encodeLayout, type Layout, uint, uint64 } from './layout.js';

/** PROVISIONING STATUS of a range of blocks. */
export const PROVISIONING_STATUS = { MAPPED: 0, DEALLOCATED: 1, ANCHORED: 2 } as const;

export interface LbaStatus {
  readonly lba: bigint;
  readonly blocks: number;
  /** PROVISIONING STATUS. */
  readonly status: number;
  /** ADDITIONAL STATUS: 1 where a read may end in an unrecovered error. */
  readonly additional: number;
}

export interface LbaStatusData {
  /** COMPLETION CONDITION: why there is no more: 1 the allocation length, 2 the scan length, 3 the last block; 0 not told. */
  readonly completion: number;
  readonly ranges: readonly LbaStatus[];
}

const HEADER_BYTES = 8;
const DESCRIPTOR_BYTES = 16;
const STRUCTURE = 'GET LBA STATUS data';

const DESCRIPTOR: Layout<LbaStatus> = {
  lba: uint64(0),
  blocks: uint(8, 4),
  status: bits(12, 3, 0),
  additional: uint(13, 1),
};

/** The ranges that came whole. Throws ERR_MALFORMED_RESPONSE for less than a header. */
export function decodeLbaStatus(bytes: Uint8Array): LbaStatusData {
  const data = new ResponseReader(STRUCTURE, bytes);
  const completion = data.bits(7, 3, 1);
  const end = Math.min(data.length, 4 + data.u32(0));
  const ranges: LbaStatus[] = [];
  for (let at = HEADER_BYTES; at + DESCRIPTOR_BYTES <= end; at += DESCRIPTOR_BYTES) {
    ranges.push(decodeLayout(DESCRIPTOR, data, DESCRIPTOR_BYTES, at));
  }
  return { completion, ranges };
}

/** Throws ERR_OUT_OF_RANGE naming the field that does not fit. */
export function encodeLbaStatus({ completion, ranges }: LbaStatusData): Uint8Array {
  const data = new StructureWriter(STRUCTURE, HEADER_BYTES + DESCRIPTOR_BYTES * ranges.length);
  data.uint(0, 4, 'parameter data length', data.bytes.length - 4).bits(7, 3, 1, 'completion', completion);
  for (const [i, range] of ranges.entries()) {
    encodeLayout(DESCRIPTOR, data, range, HEADER_BYTES + i * DESCRIPTOR_BYTES);
  }
  return data.bytes;
}
