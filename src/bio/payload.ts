/** The kernel's struct bio_integrity_payload: the metadata that travels with a bio. */
import type { BioIterator } from './bvec.js';

/** BIP_* without the prefix. The kernel's numbers for them have moved and are no interface. */
export type BipFlag = 'BLOCK_INTEGRITY' | 'MAPPED_INTEGRITY' | 'IP_CHECKSUM' | 'CHECK_GUARD' | 'CHECK_REFTAG';

export class BioIntegrityPayload {
  /** The metadata of the whole bio, tuples and all. The device reads it on a write and fills it on a read. */
  readonly buffer: Uint8Array;
  readonly flags: Set<BipFlag>;
  /** Where the bio stood when it was prepared: the walk of verify, which completion does not move. */
  readonly savedIterator: BioIterator;
  /** The virtual reference tag of the next interval to complete. */
  seed: bigint;
  /** Intervals completed. */
  completed = 0;

  constructor(buffer: Uint8Array, flags: Iterable<BipFlag>, savedIterator: BioIterator, seed: bigint) {
    this.buffer = buffer;
    this.flags = new Set(flags);
    this.savedIterator = savedIterator;
    this.seed = seed;
  }

  /** bio_integrity_advance, Linux 5.17 to 7.1: the seed counts intervals on. */
  advance(intervals: number): void {
    this.seed += BigInt(intervals);
    this.completed += intervals;
  }
}
