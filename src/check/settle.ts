/**
 * A disk in use changes between two reads: what looks wrong is read again until it stands still.
 */
import { type BlocksRead, partOf } from '../device/blocks.js';
import type { Disk } from '../device/disk.js';
import type { Reads } from './judge.js';
import type { BlockRange } from './ranges.js';

/** How often blocks that look wrong are read before they count as changing. */
const STANDSTILL_ROUNDS = 5;

/** The same blocks by every path of the disk, one after the other. */
export async function readAll(disk: Disk, { lba, blocks }: BlockRange, signal?: AbortSignal): Promise<Reads> {
  const reads: Reads = {};
  for (const path of disk.paths) reads[path] = await disk.read(path, lba, blocks, signal);
  return reads;
}

export interface Settled {
  /** The last round. */
  readonly reads: Reads;
  /** The blocks that never stood still. */
  readonly changing: readonly bigint[];
}

/** Reads blocks by every path until two rounds agree on them byte for byte. */
export async function settle(disk: Disk, range: BlockRange, signal?: AbortSignal): Promise<Settled> {
  let before = await readAll(disk, range, signal);
  let changing: bigint[] = [];
  for (let round = 1; round < STANDSTILL_ROUNDS; round++) {
    const reads = await readAll(disk, range, signal);
    changing = blocksThatDiffer(before, reads, range);
    if (changing.length === 0) return { reads, changing };
    before = reads;
  }
  return { reads: before, changing };
}

function blocksThatDiffer(before: Reads, now: Reads, { lba, blocks }: BlockRange): bigint[] {
  const all = Array.from({ length: blocks }, (_, i) => i);
  const differing = all.filter((i) => pathsOf(now).some((path) => differs(before[path], now[path], i)));
  return differing.map((i) => lba + BigInt(i));
}

const pathsOf = (reads: Reads) => Object.keys(reads) as (keyof Reads)[];

function differs(a: BlocksRead | undefined, b: BlocksRead | undefined, index: number): boolean {
  if (a === undefined || b === undefined || a.answer.kind !== b.answer.kind) return true;
  const changed = (x: Uint8Array | null, y: Uint8Array | null) =>
    x && y ? Buffer.compare(partOf(x, a.blocks, index), partOf(y, b.blocks, index)) !== 0 : x !== y;
  return changed(a.data, b.data) || changed(a.tuples, b.tuples);
}
