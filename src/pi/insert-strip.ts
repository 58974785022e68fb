/** Intervals into blocks and out of them, with their tuples, plain. The metadata of the placement are the blocks. */
import { type GenerateOptions, generatePlain } from './generate.js';
import { dataOf, type Placement } from './layout.js';
import { type VerifyOptions, type VerifyResult, verifyPlain } from './verify.js';

/** The metadata of a block outside its tuple becomes zero. */
export function insertPlain(placement: Placement, options: GenerateOptions): void {
  const { profile } = options;
  for (let i = 0; i < placement.intervals; i++) {
    const block = blockOf(placement, i);
    block.set(dataOf(profile, placement, i));
    block.fill(0, profile.interval);
  }
  generatePlain(placement, options);
}

/** Bad intervals are copied too. */
export function stripPlain(placement: Placement, options: VerifyOptions): VerifyResult {
  const { profile } = options;
  for (let i = 0; i < placement.intervals; i++) {
    dataOf(profile, placement, i).set(blockOf(placement, i).subarray(0, profile.interval));
  }
  return verifyPlain(placement, options);
}

function blockOf({ metadata: blocks, metadataStride }: Placement, index: number): Uint8Array {
  return blocks.subarray(index * metadataStride, (index + 1) * metadataStride);
}
