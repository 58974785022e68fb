/**
 * Fills a testbed disk, so that every block has a tuple: the kernel's, or on a disk without a block node ours.
 */
import type { Answer } from '../device/blocks.js';
import type { Disk } from '../device/disk.js';
import { tuplesFor } from '../device/protected-range.js';
import { claimRegion } from '../device/safeguard/claim.js';
import type { Region } from '../device/safeguard/region.js';
import { IntegrityError } from '../errors.js';

/** Data that differs from block to block and within a block: no two guards of a disk are alike by design. `seed` names the block. */
export function pattern(length: number, seed: number): Uint8Array {
  const data = new Uint8Array(length);
  const words = new Uint32Array(data.buffer);
  // xorshift32; its state must not be zero.
  let x = (Math.imul(seed + 1, 0x9e3779b1) | 1) >>> 0;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return data;
}

/** Blocks are claimed, and so kept in memory, in pieces of this many bytes. */
const PIECE_BYTES = 16 * 1024 * 1024;

/** Writes the whole disk; what was on it is gone. Only for disks of the testbed: the safeguard refuses others. */
export async function fillDisk(disk: Disk, signal?: AbortSignal): Promise<void> {
  const total = Number(disk.blocks);
  const piece = PIECE_BYTES / disk.blockSize;
  for (let at = 0; at < total; at += piece) await fillPiece(disk, at, Math.min(piece, total - at), signal);
}

function writeRight(region: Region, lba: bigint, data: Uint8Array): Promise<Answer> {
  const { paths, blockSize, diskProfile: profile } = region.disk;
  if (paths.includes('block')) return region.write('block', lba, data);
  const tuples = profile === null ? undefined : tuplesFor({ profile, blockSize, lba }, data);
  return region.write('passthrough', lba, data, tuples);
}

async function fillPiece(disk: Disk, first: number, blocks: number, signal?: AbortSignal): Promise<void> {
  const { blockSize, transferBlocksMax } = disk;
  await using region = await claimRegion(disk, { lba: BigInt(first), blocks }, { signal });
  for (let at = first; at < first + blocks; at += transferBlocksMax) {
    signal?.throwIfAborted();
    const count = Math.min(transferBlocksMax, first + blocks - at);
    const data = new Uint8Array(count * blockSize);
    for (let i = 0; i < count; i++) data.set(pattern(blockSize, at + i), i * blockSize);
    const answer = await writeRight(region, BigInt(at), data);
    if (answer.kind === 'good') continue;
    const why = answer.kind === 'failed' ? answer.error.message : answer.text;
    throw new IntegrityError('ERR_TESTBED', `${disk.device} could not be filled: ${why}`, {
      disk: disk.device,
    });
  }
  await region.keep();
}
