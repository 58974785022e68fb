/** The kernel's struct bio_integrity_payload: the metadata that travels with a bio. */

import type { Bio } from './bio.js';
import type { BioIterator, BioVec } from './bvec.js';
import type { PoolElement } from './memory.js';

/** BIP_* without the prefix. The kernel's numbers for them have moved and are no interface. */
export type BipFlag =
  | 'BLOCK_INTEGRITY'
  | 'MAPPED_INTEGRITY'
  | 'IP_CHECKSUM'
  | 'CHECK_GUARD'
  | 'CHECK_REFTAG'
  | 'CHECK_APPTAG';

/** Where a bio and its metadata stood at one moment. */
export interface SavedPosition {
  readonly data: BioIterator;
  readonly metadata: BioIterator;
}

export class BioIntegrityPayload {
  /** bip_bio: the bio that bio_integrity_alloc attached it to. Null in one that was made without. */
  bio: Bio | null = null;
  /**
   * The metadata of the whole bio where prep made it: the device reads it on a write and fills it on a read.
   * Null in a payload that was put together from pages, and in a clone.
   */
  buffer: Uint8Array | null = null;
  readonly flags: Set<BipFlag> = new Set();
  /** Pages of metadata, in order. */
  readonly vecs: BioVec[] = [];
  /** How many of them the kernel thinks it can hold, and how many it has memory for: not the same in 3.10. */
  readonly vecsMax: number;
  readonly vecsRoom: number;
  /** How far it has come over the vectors. Its sector is the seed: the virtual reference tag of the next interval. */
  iterator: BioIterator = { sector: 0n, size: 0, index: 0, done: 0, moved: 0 };
  /** Where both stood when it was prepared: the walk of verify, which completion does not move. Null for a clone. */
  saved: SavedPosition | null = null;
  /** Whether the end of the bio goes through bio_integrity_endio (bi_end_io replaced, Linux 3.10). */
  replacesEndIo = false;
  /** Of user-supplied metadata (Linux 6.14 and later); the kernel's own is 0. */
  appTag = 0;
  /** What it holds of memory pools. */
  readonly elements: readonly PoolElement[];

  constructor(vecsMax: number, vecsRoom: number, elements: readonly PoolElement[] = []) {
    this.vecsMax = vecsMax;
    this.vecsRoom = vecsRoom;
    this.elements = elements;
  }

  /** The virtual reference tag of the next interval to complete. */
  get seed(): bigint {
    return this.iterator.sector;
  }
}
