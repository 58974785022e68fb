/**
 * Blocks as they come from a path.
 */
import type { IntegrityError } from '../errors.js';
import type { Check, Checker } from '../words.js';

/** A run of blocks with what a path delivered of them. The caller owns the buffers. */
export interface ProtectedBlocks {
  readonly lba: bigint;
  readonly blocks: number;
  /** `blocks` × block size bytes; null when the path did not deliver the data. */
  readonly data: Uint8Array | null;
  /** The tuples of all intervals one after the other; null when the path carries none. */
  readonly tuples: Uint8Array | null;
}

/** What the hardware and the kernel answered to one read or write. */
export type Answer =
  | { readonly kind: 'good' }
  | {
      readonly kind: 'refused';
      readonly checker: Exclude<Checker, 'software'>;
      readonly check: Check;
      /** The kernel's or the sense's own words. */
      readonly text: string;
      /** What the kernel's log says it found in the tuple and made from the data. */
      readonly tags?: { readonly stored: number; readonly computed: number };
      /** The block that the sense names, where it names one. */
      readonly lba?: bigint;
    }
  | { readonly kind: 'failed'; readonly error: IntegrityError };

export const GOOD: Answer = { kind: 'good' };

export interface BlocksRead extends ProtectedBlocks {
  readonly answer: Answer;
}

/** What of the bytes of `blocks` blocks, data or tuples, belongs to `count` of them from `index` on: a view. */
export function partOf(bytes: Uint8Array, blocks: number, index: number, count = 1): Uint8Array {
  const size = bytes.length / blocks;
  return bytes.subarray(index * size, (index + count) * size);
}
