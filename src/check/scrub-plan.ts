/**
 * Which transfers a scrub makes: all of a range, or a sample that is spread evenly over it. By number, so that a plan takes no memory
 * and a scrub can go on where it was.
 */
import { IntegrityError } from '../errors.js';
import type { BlockRange } from './ranges.js';

/** A part of the range, in so many percent of its transfers. */
export interface Sample {
  /** Above 0, up to 100. */
  readonly percent: number;
  /** Which ones: the same seed, the same transfers. 0 to 2^32 - 1. */
  readonly seed: number;
}

export interface ScrubPlan {
  readonly transfers: number;
  /** Blocks of all transfers. */
  readonly blocks: number;
  /** The transfer of that number, in rising order of LBAs. */
  at(index: number): BlockRange;
}

/** @throws ERR_OUT_OF_RANGE for a percentage or seed that is none. */
export function planScrub(range: BlockRange, transferBlocks: number, sample: Sample | null): ScrubPlan {
  if (sample !== null) requireSample(sample);
  const total = Math.ceil(range.blocks / transferBlocks);
  const transfers = sample === null ? total : Math.ceil((total * sample.percent) / 100);
  const nth = (number: number): BlockRange => {
    const at = number * transferBlocks;
    return { lba: range.lba + BigInt(at), blocks: Math.min(transferBlocks, range.blocks - at) };
  };
  // Where the stratum of that number begins; exact also where the product is beyond 2^53.
  const start = (index: number) => Number((BigInt(index) * BigInt(total)) / BigInt(transfers));
  const at = (index: number): BlockRange => {
    if (sample === null) return nth(index);
    const from = start(index);
    return nth(from + (mixed(sample.seed, index) % (start(index + 1) - from)));
  };
  // Only the range's last transfer may be shorter.
  const last = transfers === 0 ? 0 : at(transfers - 1).blocks;
  return { transfers, at, blocks: Math.max(0, transfers - 1) * transferBlocks + last };
}

function requireSample({ percent, seed }: Sample): void {
  if (!(percent > 0 && percent <= 100)) {
    throw new IntegrityError('ERR_OUT_OF_RANGE', `a sample of ${percent} percent: above 0, up to 100`);
  }
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)) {
    throw new IntegrityError('ERR_OUT_OF_RANGE', `sample seed ${seed}: a whole number from 0 to 2^32 - 1`);
  }
}

/** 32 bits that depend on seed and number (the finaliser of MurmurHash3). */
function mixed(seed: number, index: number): number {
  let x = Math.imul(seed ^ 0x9e3779b1, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35);
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
