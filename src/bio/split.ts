/** One bio becomes two, or is had twice: bio_split, bio_clone, bio_trim. */
import { IntegrityError, KernelBugError } from '../errors.js';
import { bioAdvance } from './advance.js';
import { Bio } from './bio.js';
import { bioIntegrityClone, bioIntegritySplit, bioIntegrityTrim } from './bip.js';
import { type BioIterator, type BioVec, bvecsFrom, SECTOR } from './bvec.js';
import { requireCount } from './count.js';
import { type Memory, plenty } from './memory.js';

/**
 * bio_clone, later bio_alloc_clone: a bio over the same memory that stands where `bio` stands, with a payload
 * over the same metadata.
 *
 * @returns the clone, or a negative errno when there was no memory for its payload.
 */
export function bioClone(bio: Bio, memory: Memory = plenty): Bio | number {
  const { op, device, bioset, segments, iterator } = bio;
  const clone = new Bio({ op, device, bioset, segments, iterator, cloned: true });
  const errno = bio.integrity === null ? 0 : bioIntegrityClone(clone, bio, memory);
  return errno === 0 ? clone : errno;
}

/**
 * bio_trim: cuts a clone, and its payload, to `sectors` from `offset` on, both in 512-byte sectors from where
 * it stands. For Linux 3.10 it is what dm does to its clones.
 *
 * @throws ERR_OUT_OF_RANGE for a range that the bio does not have
 */
export function bioTrim(bio: Bio, offset: number, sectors: number): void {
  requireSectors(bio, offset);
  requireCount('sectors', sectors);
  requireSectors(bio, offset + sectors);
  const { integrity, device } = bio;
  const shortened = device.semantics.segments === 'shortened';
  // There the payload is cut by trim alone; bio_advance would cut it as well.
  if (shortened) bio.integrity = null;
  bioAdvance(bio, offset * SECTOR);
  bio.integrity = integrity;
  bio.iterator = { ...bio.iterator, size: sectors * SECTOR };
  if (shortened) {
    bio.segments.splice(0, Infinity, ...bvecsFrom(bio.segments, bio.iterator));
    bio.iterator = { ...bio.iterator, index: 0, done: 0 };
  }
  if (integrity !== null) bioIntegrityTrim(bio, shortened ? offset : 0, sectors);
}

/**
 * bio_split: the first `sectors` 512-byte sectors, and the rest. The front is a clone, and `bio` itself becomes
 * the rest. In Linux 3.10 both are new, and `bio` must be of one segment.
 *
 * @throws ERR_OUT_OF_RANGE unless there is something on both sides; KernelBugError in 3.10 for a bio of more
 * than one segment.
 */
export function bioSplit(bio: Bio, sectors: number): [front: Bio, rest: Bio] {
  requireSectors(bio, sectors);
  if (sectors === 0 || sectors * SECTOR === bio.iterator.size) {
    throw new IntegrityError('ERR_OUT_OF_RANGE', `a split at ${sectors} sectors leaves one side empty`);
  }
  if (bio.device.semantics.functions.includes('bio_integrity_split')) return bioPair(bio, sectors);
  const front = bioClone(bio) as Bio;
  front.iterator = { ...front.iterator, size: sectors * SECTOR };
  if (front.integrity !== null) bioIntegrityTrim(front);
  bioAdvance(bio, sectors * SECTOR);
  bio.iterator = { ...bio.iterator, moved: 0 };
  return [front, bio];
}

function bioPair(bio: Bio, sectors: number): [Bio, Bio] {
  const { op, device, bioset, segments, iterator } = bio;
  const [segment] = segments;
  if (segment === undefined || segments.length !== 1) throw new KernelBugError('bi->bi_vcnt != 1');
  const bytes = sectors * SECTOR;
  const half = (vec: BioVec, at: Partial<BioIterator>): Bio =>
    new Bio({ op, device, bioset, segments: [vec], iterator: { ...iterator, ...at } });
  const front = half({ ...segment, length: bytes }, { size: bytes });
  const rest = half(
    { ...segment, offset: segment.offset + bytes, length: segment.length - bytes },
    { sector: iterator.sector + BigInt(sectors), size: iterator.size - bytes },
  );
  bioIntegritySplit(bio, [front, rest], sectors);
  return [front, rest];
}

function requireSectors(bio: Bio, sectors: number): void {
  const there = bio.iterator.size / SECTOR;
  if (Number.isInteger(sectors) && sectors >= 0 && sectors <= there) return;
  throw new IntegrityError('ERR_OUT_OF_RANGE', `${sectors} sectors of a bio with ${there} to go`);
}
