/** Where payloads come from: a bioset's memory pools. */
import { requireCount } from './count.js';
import { type Memory, Mempool, plenty } from './memory.js';
import { requireFunction, type Semantics } from './semantics.js';

/** struct bio_set, as far as integrity sees it. */
export class BioSet {
  payloads: Mempool | null = null;
  vectors: Mempool | null = null;
}

/**
 * bioset_integrity_create, Linux 3.10 to 6.12: gives the set its pools of `reserve` elements each.
 *
 * @returns 0, also when it has them; -1 without memory: in 3.10 the pool that was had is left behind, and the
 * next call may take the set for complete.
 * @throws ERR_OUT_OF_RANGE for Linux 7.1, which has no pools in biosets.
 */
export function biosetIntegrityCreate(
  semantics: Semantics,
  bioset: BioSet,
  reserve: number,
  memory: Memory = plenty,
): 0 | -1 {
  requireFunction(semantics, 'bioset_integrity_create');
  requireCount('reserve', reserve);
  if (bioset.payloads !== null) return 0;
  bioset.payloads = memory('payload', 0) ? new Mempool(reserve) : null;
  bioset.vectors = memory('vectors', 0) ? new Mempool(reserve) : null;
  if (bioset.payloads !== null && bioset.vectors !== null) return 0;
  if (semantics.biosetFailure === 'keeps-nothing') {
    bioset.payloads = null;
    bioset.vectors = null;
  }
  return -1;
}

/** bioset_integrity_free, Linux 3.10 to 6.12. @throws ERR_OUT_OF_RANGE for Linux 7.1 */
export function biosetIntegrityFree(semantics: Semantics, bioset: BioSet): void {
  requireFunction(semantics, 'bioset_integrity_free');
  bioset.payloads = null;
  bioset.vectors = null;
}

/** A set as the block layer's own, fs_bio_set: with both pools, two elements in each. */
export function fsBioSet(): BioSet {
  const bioset = new BioSet();
  bioset.payloads = new Mempool(2);
  bioset.vectors = new Mempool(2);
  return bioset;
}
