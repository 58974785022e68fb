/**
 * Which blocks a job reads.
 */
import type { Disk } from '../device/disk.js';
import { IntegrityError } from '../errors.js';

export interface BlockRange {
  readonly lba: bigint;
  readonly blocks: number;
}

const SAMPLE_BYTES = 8 * 1024 * 1024;

/** The first, middle and last 8 MiB of a disk; the whole of a small one, as one range. */
export function sampleRanges(disk: Disk): { ranges: BlockRange[]; note: string } {
  const sample = BigInt(SAMPLE_BYTES / disk.blockSize);
  const total = disk.blocks;
  if (total <= sample * 3n) return { ranges: [{ lba: 0n, blocks: Number(total) }], note: 'the whole disk' };
  const starts = [0n, (total - sample) / 2n, total - sample];
  return {
    ranges: starts.map((lba) => ({ lba, blocks: Number(sample) })),
    note: 'a sample: the first, middle and last 8 MiB; name others with --lba and --blocks',
  };
}

/** The range that a user named; `blocks` without a number goes to the end of the disk. Throws ERR_OUT_OF_RANGE. */
export function namedRange(disk: Disk, lba: bigint, blocks: bigint | undefined): BlockRange {
  const count = blocks ?? disk.blocks - lba;
  disk.requireOnDisk(lba, count);
  if (count > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new IntegrityError('ERR_OUT_OF_RANGE', `${count} blocks are more than one run can report`, {
      disk: disk.device,
    });
  }
  return { lba, blocks: Number(count) };
}
