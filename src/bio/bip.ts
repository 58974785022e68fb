/**
 * Payloads: making them, putting pages into them, and cutting them as their bio is advanced, trimmed, split
 * or cloned.
 */
import { IntegrityError, KernelBugError } from '../errors.js';
import type { Profile } from '../pi/profile.js';
import type { Bio, BioDevice } from './bio.js';
import type { BioSet } from './bioset.js';
import { advanceIterator, type BioVec, requireInside, SECTOR, segmentsFrom, viewOfSegment } from './bvec.js';
import { requireCount } from './count.js';
import { type Memory, type PoolElement, plenty } from './memory.js';
import { BioIntegrityPayload } from './payload.js';
import { requireFunction, type Semantics } from './semantics.js';
import { EIO, ENOMEM } from './status.js';

/** Vectors inside a payload that comes from a pool (BIP_INLINE_VECS). */
const INLINE_VECS = 4;

/** Vectors beyond those come in arrays of these lengths (bvec_slabs). */
const VECTOR_ARRAYS = [16, 64, 128, 256];

/**
 * bio_integrity_intervals, Linux 4.13 to 7.1: how many intervals so many 512-byte sectors are. In 3.10 it is
 * bio_integrity_hw_sectors, which knows 512 and 4096 bytes and counts any other interval as one of 512.
 */
export function bioIntegrityIntervals(profile: Profile, sectors: number, semantics?: Semantics): number {
  const { interval } = profile;
  const known = semantics?.countsIntervals !== '512-and-4096' || interval === 4096;
  return Math.floor((sectors * SECTOR) / (known ? interval : SECTOR));
}

/** bio_integrity_bytes, Linux 4.13 to 7.1: the metadata of so many 512-byte sectors, in bytes. */
export function bioIntegrityBytes(profile: Profile, sectors: number, semantics?: Semantics): number {
  return bioIntegrityIntervals(profile, sectors, semantics) * profile.metadataSize;
}

/** bio_integrity_hw_sectors, Linux 3.10. @throws ERR_OUT_OF_RANGE for later kernels */
export function bioIntegrityHwSectors(profile: Profile, sectors: number, semantics: Semantics): number {
  requireFunction(semantics, 'bio_integrity_hw_sectors');
  return bioIntegrityIntervals(profile, sectors, semantics);
}

/**
 * bio_integrity_alloc: attaches an empty payload with room for so many vectors.
 *
 * Where it comes from a bioset's pools it has 4 vectors, or an array of 16, 64, 128 or 256; in 6.12 it says that
 * it has those asked for. Without, it has as many as asked for; Linux 3.10 takes any such payload for one of 4.
 *
 * @returns the payload; without memory, or for more vectors than a pool has, null in 3.10 and -ENOMEM later.
 * @throws ERR_BUSY where the kernel would wait for an element of a pool.
 */
export function bioIntegrityAlloc(
  bio: Bio,
  nrVecs: number,
  memory: Memory = plenty,
): BioIntegrityPayload | null | typeof ENOMEM {
  requireCount('nrVecs', nrVecs);
  const { semantics } = bio.device;
  const payload =
    semantics.pools && bio.bioset?.payloads
      ? fromPools(semantics, bio.bioset, nrVecs, memory)
      : fromMemory(semantics, nrVecs, memory);
  if (payload === null) return semantics.noPayload === 'null' ? null : ENOMEM;
  payload.bio = bio;
  bio.integrity = payload;
  return payload;
}

function fromPools(
  semantics: Semantics,
  bioset: BioSet,
  nrVecs: number,
  memory: Memory,
): BioIntegrityPayload | null {
  const room = nrVecs <= INLINE_VECS ? INLINE_VECS : VECTOR_ARRAYS.find((length) => nrVecs <= length);
  const elements: PoolElement[] = [bioset.payloads!.alloc(memory('payload', 0))];
  if (room === undefined) {
    elements[0]!.free();
    return null;
  }
  if (room > INLINE_VECS) {
    if (bioset.vectors === null) throw new KernelBugError('bs->bvec_integrity_pool == NULL');
    elements.push(bioset.vectors.alloc(memory('vectors', 0)));
  }
  return new BioIntegrityPayload(semantics.vecsOfPool === 'all' ? room : nrVecs, room, elements);
}

function fromMemory(semantics: Semantics, nrVecs: number, memory: Memory): BioIntegrityPayload | null {
  if (!memory('payload', 0)) return null;
  return new BioIntegrityPayload(semantics.vecsWithoutPool === 'four' ? INLINE_VECS : nrVecs, nrVecs);
}

/**
 * bio_integrity_free: lets the payload go.
 *
 * @throws KernelBugError for a bio without payload
 */
export function bioIntegrityFree(bio: Bio): void {
  for (const element of payloadOf(bio).elements) element.free();
  bio.integrity = null;
}

/**
 * bio_integrity_add_page: puts `length` bytes of `page` from `offset` behind the metadata that is there.
 *
 * @returns `length`, or 0 when it does not fit: the vectors are full ("bip_vec full"), the page leaves a gap
 * that the queue cannot take, or there are more pieces than the queue takes.
 * @throws KernelBugError for a bio without payload. ERR_OUT_OF_RANGE for bytes outside the page, and where
 * Linux 3.10 would write past the memory of the payload.
 */
export function bioIntegrityAddPage(bio: Bio, page: Uint8Array, length: number, offset: number): number {
  const payload = payloadOf(bio);
  const { vecs, vecsMax, vecsRoom, iterator } = payload;
  const { semantics, virtBoundary = 0, maxIntegritySegments = Infinity } = bio.device;
  const added: BioVec = { buffer: page, offset, length };
  requireInside(added, vecs.length);
  const last = vecs.at(-1);

  if (semantics.pageMerge && last && continues(last, added)) {
    vecs[vecs.length - 1] = { ...last, length: last.length + length };
  } else {
    // Since 6.12 the first page is put in without being counted.
    const limit = semantics.pageMerge ? Math.max(1, Math.min(vecsMax, maxIntegritySegments)) : vecsMax;
    if (vecs.length >= limit) return 0;
    if (semantics.pageGaps === 'refused' && last && leavesGap(last, added, virtBoundary)) return 0;
    if (vecs.length >= vecsRoom) {
      throw new IntegrityError(
        'ERR_OUT_OF_RANGE',
        `vector ${vecs.length} of a payload with memory for ${vecsRoom}: Linux ${semantics.name} would write past it`,
      );
    }
    vecs.push(added);
  }
  if (semantics.pageSize === 'counted') payload.iterator = { ...iterator, size: iterator.size + length };
  return length;
}

function continues(last: BioVec, { buffer, offset }: BioVec): boolean {
  const end = last.buffer.byteOffset + last.offset + last.length;
  return last.buffer.buffer === buffer.buffer && end === buffer.byteOffset + offset;
}

function leavesGap(last: BioVec, { offset }: BioVec, mask: number): boolean {
  return (offset & mask) !== 0 || ((last.offset + last.length) & mask) !== 0;
}

/**
 * bio_integrity_mark_head, Linux 3.10: drops the first `skip` bytes of metadata, for good; the size of the
 * payload stays. A skip of all that is there changes nothing, nor does a longer one.
 *
 * @throws ERR_OUT_OF_RANGE for later kernels
 */
export function bioIntegrityMarkHead(semantics: Semantics, payload: BioIntegrityPayload, skip: number): void {
  requireFunction(semantics, 'bio_integrity_mark_head');
  requireCount('skip', skip);
  const { vecs, iterator } = payload;
  let left = skip;
  for (let index = iterator.index; index < vecs.length; index++) {
    const { buffer, offset, length } = vecs[index]!;
    if (left < length) {
      vecs[index] = { buffer, offset: offset + left, length: length - left };
      payload.iterator = { ...iterator, index };
      return;
    }
    left -= length;
  }
}

/**
 * bio_integrity_mark_tail, Linux 3.10: drops what lies behind the first `length` bytes of metadata; the size of
 * the payload stays.
 *
 * @throws ERR_OUT_OF_RANGE for later kernels
 */
export function bioIntegrityMarkTail(
  semantics: Semantics,
  payload: BioIntegrityPayload,
  length: number,
): void {
  requireFunction(semantics, 'bio_integrity_mark_tail');
  requireCount('length', length);
  const { vecs, iterator } = payload;
  let left = length;
  for (let index = iterator.index; index < vecs.length; index++) {
    if (left === 0) {
      vecs.length = index;
      return;
    }
    const vec = vecs[index]!;
    if (left < vec.length) vecs[index] = { ...vec, length: left };
    left = Math.max(left - vec.length, 0);
  }
}

/**
 * bio_integrity_advance: `bytes` of data are done. The metadata follows; the seed does not in 3.10, goes on
 * by 512-byte sectors in 4.19, and by intervals since 5.10.y.
 *
 * @throws KernelBugError for a bio without payload
 */
export function bioIntegrityAdvance(bio: Bio, bytes: number): void {
  const { semantics, profile } = bio.device;
  const payload = payloadOf(bio);
  requireCount('bytes', bytes);
  const sectors = Math.floor(bytes / SECTOR);
  const metadata = bioIntegrityBytes(profile, sectors, semantics);
  if (semantics.functions.includes('bio_integrity_mark_head')) {
    bioIntegrityMarkHead(semantics, payload, metadata);
    return;
  }
  const steps = { nothing: 0, sectors512: sectors, intervals: bioIntegrityIntervals(profile, sectors) };
  const moved = advanceIterator(payload.vecs, payload.iterator, metadata);
  payload.iterator = { ...moved, sector: payload.seed + BigInt(steps[semantics.advanceSeed]) };
}

/**
 * bio_integrity_trim: cuts the payload of a clone to its bio. Since 4.14 to the size that the bio has by now,
 * its beginning having been advanced; in 3.10 to `sectors` from `offset` on, both in 512-byte sectors, for
 * each of which it drops or keeps a tuple: eight times too far on a disk of 4096-byte blocks.
 *
 * @throws KernelBugError for a bio without payload, in 3.10 for one that is no clone
 */
export function bioIntegrityTrim(bio: Bio, offset = 0, sectors: number = bio.iterator.size / SECTOR): void {
  const { semantics, profile } = bio.device;
  requireCount('offset', offset);
  requireCount('sectors', sectors);
  const payload = payloadOf(bio);
  if (semantics.tupleCount === 'sectors512') {
    if (!bio.cloned) throw new KernelBugError('!bio_flagged(bio, BIO_CLONED)');
    bioIntegrityMarkHead(semantics, payload, offset * profile.metadataSize);
    payload.iterator = { ...payload.iterator, sector: payload.seed + BigInt(offset) };
    bioIntegrityMarkTail(semantics, payload, sectors * profile.metadataSize);
    return;
  }
  const size = bioIntegrityBytes(profile, bio.iterator.size / SECTOR);
  payload.iterator = { ...payload.iterator, size };
}

/**
 * bio_integrity_clone: gives `clone` a payload over the metadata of `source`'s, with its seed. Of the flags
 * it takes none up to 5.15, not even that of the guard's kind; later all but the one that has it verified.
 *
 * @returns 0; without memory -EIO in 3.10 and -ENOMEM later.
 * @throws KernelBugError when `source` has no payload
 */
export function bioIntegrityClone(clone: Bio, source: Bio, memory: Memory = plenty): number {
  const { semantics } = clone.device;
  const { vecs, iterator, flags, appTag } = payloadOf(source);
  const payload = bioIntegrityAlloc(clone, semantics.cloneVecs === 'copied' ? vecs.length : 0, memory);
  if (payload === null) return EIO;
  if (payload === ENOMEM) return ENOMEM;
  const { cloneSize, cloneFlags, cloneAppTag } = semantics;
  payload.vecs.push(...vecs);
  payload.iterator = cloneSize === 'copied' ? iterator : { ...iterator, size: 0 };
  for (const flag of cloneFlags) if (flags.has(flag)) payload.flags.add(flag);
  if (cloneAppTag) payload.appTag = appTag;
  return 0;
}

/**
 * bio_integrity_split, Linux 3.10: gives the two halves of a bio of one segment a payload each. The metadata
 * is cut after one tuple for each of `sectors` 512-byte sectors, the second seed is that many *intervals* on:
 * on a disk of 4096-byte blocks the two do not fit together. No-op for a bio without payload.
 *
 * @throws KernelBugError for a payload of more than one vector; ERR_OUT_OF_RANGE for later kernels, and where
 * the kernel would give the second half a negative length.
 */
export function bioIntegritySplit(bio: Bio, [front, rest]: readonly [Bio, Bio], sectors: number): void {
  const { semantics, profile } = bio.device;
  requireFunction(semantics, 'bio_integrity_split');
  if (bio.integrity === null) return;
  const { vecs, seed } = bio.integrity;
  if (vecs.length !== 1) throw new KernelBugError('bip->bip_vcnt != 1');
  const vec = vecs[0]!;
  const cut = sectors * profile.metadataSize;
  if (cut > vec.length) {
    throw new IntegrityError(
      'ERR_OUT_OF_RANGE',
      `${sectors} sectors are taken for as many tuples, ${cut} bytes of metadata, and there are ${vec.length}: Linux ${semantics.name} would give the second half a negative length`,
    );
  }
  const halves = [
    { bio: front, seed, vec: { ...vec, length: cut } },
    {
      bio: rest,
      seed: seed + BigInt(bioIntegrityHwSectors(profile, sectors, semantics)),
      vec: { ...vec, offset: vec.offset + cut, length: vec.length - cut },
    },
  ];
  for (const half of halves) {
    const payload = new BioIntegrityPayload(1, 1);
    payload.vecs.push(half.vec);
    payload.iterator = { sector: half.seed, size: half.vec.length, index: 0, done: 0, moved: 0 };
    half.bio.integrity = payload;
  }
}

/**
 * The metadata of what the bio has to go. Linux 3.10 looks at the vectors alone. Up to 6.1 add_page leaves the
 * size of the payload to its caller, who may not have set it: 0 is then all that is there.
 */
export function remainingMetadata(
  { semantics }: BioDevice,
  { vecs, iterator }: BioIntegrityPayload,
): readonly Uint8Array[] {
  if (semantics.metadataIn === 'buffer') return vecs.slice(iterator.index).map(viewOfSegment);
  return iterator.size === 0 && iterator.moved === 0 ? vecs.map(viewOfSegment) : segmentsFrom(vecs, iterator);
}

/** @throws KernelBugError for a bio without payload, where the kernel would follow a null pointer */
export function payloadOf(bio: Bio): BioIntegrityPayload {
  if (bio.integrity === null) throw new KernelBugError('bio_integrity(bio) == NULL');
  return bio.integrity;
}
