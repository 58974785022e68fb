/** How a bio moves on as it completes: bio_advance. */
import type { Bio } from './bio.js';
import { bioIntegrityAdvance } from './bip.js';
import { advanceIterator, type BioIterator, type BioVec } from './bvec.js';

/**
 * bio_advance: `bytes` of the bio are done. It takes the payload along.
 *
 * @throws ERR_OUT_OF_RANGE beyond the end
 */
export function bioAdvance(bio: Bio, bytes: number): void {
  const { segments, device, integrity } = bio;
  const next = advanceIterator(segments, bio.iterator, bytes);
  if (integrity !== null) bioIntegrityAdvance(bio, bytes);
  bio.iterator = device.semantics.segments === 'shortened' ? shorten(segments, next) : next;
}

/** A segment that is done in part becomes its rest, for good (Linux 3.10, before immutable biovecs of 3.14). */
function shorten(segments: BioVec[], iterator: BioIterator): BioIterator {
  const { index, done } = iterator;
  const segment = segments[index];
  if (segment === undefined || done === 0) return iterator;
  segments[index] = { ...segment, offset: segment.offset + done, length: segment.length - done };
  return { ...iterator, done: 0 };
}
