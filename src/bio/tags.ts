/**
 * The tags that Linux 3.10 let a file system keep in the tuples of a bio: as they were, byte order and steps
 * included. On a host whose bytes are little-endian, as all of these kernels' tests ran.
 */
import { IntegrityError, KernelBugError } from '../errors.js';
import type { Profile } from '../pi/profile.js';
import { viewOf } from '../pi/tuple.js';
import type { Bio } from './bio.js';
import { bioIntegrityHwSectors, payloadOf } from './bip.js';
import { requireCount } from './count.js';
import { requireFunction } from './semantics.js';

/** What one type of profile keeps of a tag in each tuple: set_tag_fn and get_tag_fn (sd_dif.c). */
interface TagFunctions {
  /** Bytes of the tag that a tuple takes, and bytes that get goes on by. */
  readonly size: number;
  readonly getStep: number;
  set(tuples: DataView, offset: number, tag: DataView, at: number): void;
  get(tuples: DataView, offset: number, tag: DataView, at: number): void;
}

/**
 * Bytes 2 and 3 of the tag's tuple are its two bytes swapped: the number that they make is stored in the
 * host's byte order into a big-endian field.
 */
const TYPE1: TagFunctions = {
  size: 2,
  getStep: 2,
  set: (tuples, offset, tag, at) => {
    const app = tag.getUint16(at);
    if (app === 0xffff) throw new KernelBugError('sdt->app_tag == 0xffff');
    tuples.setUint16(offset + 2, app, true);
  },
  get: (tuples, offset, tag, at) => tag.setUint16(at, tuples.getUint16(offset + 2, true)),
};

/** As type 1, with four bytes more in the reference tag. What get reads it steps over by 2, so that tags overlap. */
const TYPE3: TagFunctions = {
  size: 6,
  getStep: 2,
  set: (tuples, offset, tag, at) => {
    tuples.setUint16(offset + 2, tag.getUint16(at), true);
    tuples.setUint32(offset + 4, tag.getUint32(at + 2), true);
  },
  get: (tuples, offset, tag, at) => {
    const app = tuples.getUint16(offset + 2, true);
    const ref = tuples.getUint32(offset + 4, true);
    if (app === 0xffff || ref === 0xffffffff) {
      throw new KernelBugError('sdt->app_tag == 0xffff || sdt->ref_tag == 0xffffffff');
    }
    tag.setUint16(at, app);
    tag.setUint32(at + 2, ref);
  },
};

const tagFunctionsOf = ({ type }: Profile): TagFunctions => (type === 3 ? TYPE3 : TYPE1);

/**
 * bio_integrity_tag_size, Linux 3.10: the bytes of tags that a bio's whole intervals take; 0 where the disk leaves no tags to
 * the host.
 *
 * @throws KernelBugError for a bio of zero length; ERR_OUT_OF_RANGE for later kernels
 */
export function bioIntegrityTagSize(bio: Bio): number {
  const { profile, semantics } = bio.device;
  requireFunction(semantics, 'bio_integrity_tag_size');
  if (bio.iterator.size === 0) throw new KernelBugError('bio->bi_size == 0');
  return profile.tagSize * Math.floor(bio.iterator.size / profile.interval);
}

/**
 * bio_integrity_set_tag, Linux 3.10: puts `tags` into the tuples of a write. They are counted in tuples, which
 * are then taken for sectors: on a disk of 4096-byte blocks an eighth of them is stored, or none.
 *
 * @returns 0; -1 (no errno) where the disk leaves no tags to the host, and for tags longer than the room.
 * @throws KernelBugError for a read, a bio without a buffer of metadata, and a type 1 tag of FFFFh, which would
 * say "do not check me". ERR_BAD_LENGTH where the kernel would read past the tags. ERR_OUT_OF_RANGE for later kernels.
 */
export function bioIntegritySetTag(bio: Bio, tags: Uint8Array): 0 | -1 {
  requireFunction(bio.device.semantics, 'bio_integrity_set_tag');
  if (bio.op === 'read') throw new KernelBugError('bio_data_dir(bio) != WRITE');
  return bioIntegrityTag(bio, tags, setTagFn);
}

/**
 * bio_integrity_get_tag, Linux 3.10: reads `tags` back from the tuples of a read. Of type 3 each tag is
 * written over but for its first two bytes by the next.
 *
 * @returns as bioIntegritySetTag
 * @throws KernelBugError for a write, a bio without a buffer of metadata, and a type 3 tag of FFFFh or
 * FFFFFFFFh; the rest as bioIntegritySetTag
 */
export function bioIntegrityGetTag(bio: Bio, tags: Uint8Array): 0 | -1 {
  requireFunction(bio.device.semantics, 'bio_integrity_get_tag');
  if (bio.op !== 'read') throw new KernelBugError('bio_data_dir(bio) != READ');
  return bioIntegrityTag(bio, tags, getTagFn);
}

/** set_tag_fn and get_tag_fn of a profile: the tags of so many tuples. */
type TagFn = (profile: Profile, metadata: Uint8Array, tags: Uint8Array, sectors: number) => void;

/**
 * set_tag_fn of the profile (sd_dif_type1_set_tag, sd_dif_type3_set_tag; Linux 3.10): the tags into the first
 * `sectors` tuples.
 *
 * @throws ERR_BAD_LENGTH where the kernel would go past tags or tuples; KernelBugError for a type 1 tag of FFFFh.
 */
export const setTagFn: TagFn = (profile, metadata, tags, sectors) =>
  forEachTag(profile, metadata, tags, sectors, 'set');

/** get_tag_fn of the profile: the tags of the first `sectors` tuples. @throws as setTagFn, for type 3 tags of FFFFh or FFFFFFFFh */
export const getTagFn: TagFn = (profile, metadata, tags, sectors) =>
  forEachTag(profile, metadata, tags, sectors, 'get');

/** bio_integrity_tag */
function bioIntegrityTag(bio: Bio, tags: Uint8Array, tagFn: TagFn): 0 | -1 {
  const { profile, semantics } = bio.device;
  const { buffer } = payloadOf(bio);
  if (buffer === null) throw new KernelBugError('bip->bip_buf == NULL');
  if (profile.tagSize === 0) return -1;
  const sectors = bioIntegrityHwSectors(profile, Math.ceil(tags.length / profile.tagSize), semantics);
  if (sectors * profile.metadataSize > buffer.length) return -1;
  tagFn(profile, buffer, tags, sectors);
  return 0;
}

function forEachTag(
  profile: Profile,
  metadata: Uint8Array,
  tags: Uint8Array,
  sectors: number,
  way: 'set' | 'get',
): void {
  requireCount('sectors', sectors);
  const functions = tagFunctionsOf(profile);
  const step = way === 'set' ? functions.size : functions.getStep;
  const touched = sectors === 0 ? 0 : (sectors - 1) * step + functions.size;
  if (touched > tags.length) {
    throw new IntegrityError(
      'ERR_BAD_LENGTH',
      `${tags.length} bytes of tags: Linux 3.10 would go on to byte ${touched}`,
    );
  }
  if (sectors * profile.metadataSize > metadata.length) {
    throw new IntegrityError(
      'ERR_BAD_LENGTH',
      `${metadata.length} bytes of metadata are not those of ${sectors} tuples`,
    );
  }
  const [tuples, view] = [viewOf(metadata), viewOf(tags)];
  for (let i = 0; i < sectors; i++) functions[way](tuples, i * profile.metadataSize, view, i * step);
}
