/**
 * What a disk's profile does: generate and verify over runs of data, and the remap of reference tags by which
 * a request's virtual tags become LBAs on its way to the disk, and back.
 */
import { IntegrityError, KernelBugError } from '../errors.js';
import { defaultEngine } from '../pi/engine.js';
import { countsReferenceTags, type Profile } from '../pi/profile.js';
import { remapReferenceTags } from '../pi/remap.js';
import type { CheckedField } from '../pi/verify.js';
import { Bio, type BioDevice } from './bio.js';
import { remainingMetadata } from './bip.js';
import { gather, inOnePiece, SECTOR, segmentsFrom } from './bvec.js';
import { requireCount } from './count.js';
import type { BioIntegrityPayload } from './payload.js';
import { requireKnownProfile } from './semantics.js';
import { BLK_STATUS_ERRNO, type BlkStatus } from './status.js';

/** Data and its metadata as a profile's functions take them: struct blk_integrity_exchg, later _iter. */
export interface BlkIntegrityIter {
  readonly device: BioDevice;
  /** Segments, in order. */
  readonly data: readonly Uint8Array[];
  /** At least that of the data. */
  readonly metadata: Uint8Array;
  /** The virtual reference tag of the first interval. */
  readonly seed: bigint;
}

/** How one verify ended. */
export interface BioVerifyResult {
  readonly status: BlkStatus;
  /** The same as a negative errno; 0 for OK. */
  readonly errno: number;
  /** How many intervals it came to, the escaped and the bad one included. */
  readonly intervals: number;
  /**
   * The first bad interval, where the kernel stops. `seed` is its virtual reference tag: the number in the
   * kernel's log.
   */
  readonly finding: {
    readonly seed: bigint;
    readonly check: CheckedField;
    readonly stored: number | bigint;
    readonly computed: number | bigint;
  } | null;
}

/**
 * generate_fn of the profile (sd_dif_type*_generate in Linux 3.10, t10_pi_type*_generate, later
 * blk_integrity_generate): guard, application tag 0, and the reference tag where the type has one.
 *
 * @throws KernelBugError where Linux 3.10 finds that it has written past the metadata; ERR_BAD_LENGTH where
 * other kernels would not notice.
 */
export function generateFn(iter: BlkIntegrityIter): void {
  const { device, seed } = iter;
  const { profile, semantics } = device;
  requireKnownProfile(semantics, profile);
  const data = gather(iter.data);
  defaultEngine().generateInto(data, metadataOf(iter, data.length), {
    profile,
    layout: 'separate',
    seed,
    type3Ref: semantics.type3Ref,
    ipGuardCovers: semantics.ipGuardCovers,
  });
}

/**
 * verify_fn of the profile: one interval after the other: escape, reference tag, guard; never the application
 * tag. It stops at the first bad one. In Linux 3.10 an escaped tuple exempts the rest of its segment too.
 *
 * @throws as generateFn
 */
export function verifyFn(iter: BlkIntegrityIter): BioVerifyResult {
  const { device, seed } = iter;
  const { profile, semantics } = device;
  requireKnownProfile(semantics, profile);
  const size = iter.data.reduce((total, { length }) => total + length, 0);
  const bySegment = semantics.escape === 'rest-of-segment';
  let at = 0;
  for (const part of bySegment ? iter.data : [gather(iter.data)]) {
    // A mismatch ends the walk before it gets past the metadata.
    const reached = Math.floor(iter.metadata.length / profile.metadataSize) - at;
    const intervals = Math.min(part.length / profile.interval, reached);
    const data = part.subarray(0, intervals * profile.interval);
    const tuples = iter.metadata.subarray(at * profile.metadataSize, (at + intervals) * profile.metadataSize);
    const [first] = defaultEngine().verify(data, tuples, {
      profile,
      layout: 'separate',
      seed: seed + BigInt(at),
      findingsMax: 1,
      ipGuardCovers: semantics.ipGuardCovers,
      escapeCovers: bySegment ? 'rest' : 'interval',
    }).findings;
    if (first !== undefined) {
      const { check, stored, computed } = first;
      const finding = { seed: seed + BigInt(at + first.interval), check, stored, computed };
      return { ...ended(semantics.mismatch), intervals: at + first.interval + 1, finding };
    }
    if (data.length < part.length) throw overrun(iter, size);
    at += intervals;
  }
  return { ...ended('OK'), intervals: at, finding: null };
}

function ended(status: BlkStatus): { status: BlkStatus; errno: number } {
  return { status, errno: BLK_STATUS_ERRNO[status] };
}

/** Just the metadata of so many bytes of data. */
function metadataOf({ device, metadata }: BlkIntegrityIter, bytes: number): Uint8Array {
  const needed = metadataBytes(device.profile, bytes);
  if (needed > metadata.length) throw overrun({ device, metadata }, bytes);
  return metadata.subarray(0, needed);
}

function metadataBytes({ interval, metadataSize }: Profile, dataBytes: number): number {
  return Math.ceil(dataBytes / interval) * metadataSize;
}

/** The walk over so many bytes of data got past the metadata. */
function overrun({ device, metadata }: Pick<BlkIntegrityIter, 'device' | 'metadata'>, bytes: number): Error {
  const { profile, semantics } = device;
  const needed = metadataBytes(profile, bytes);
  if (semantics.overrun === 'BUG') return new KernelBugError('total > bio->bi_integrity->bip_size');
  return new IntegrityError(
    'ERR_BAD_LENGTH',
    `${bytes} bytes of data have ${needed} bytes of metadata, and the payload ${metadata.length}: Linux ${semantics.name} would run past it`,
  );
}

/**
 * blk_integrity_prepare, before a request goes to the driver (sd_dif_prepare in Linux 3.10,
 * t10_pi_type1_prepare up to 6.1): virtual reference tags become LBAs, in place. `request`: its bios in order.
 * Bios without payload and type 3 have nothing to remap.
 */
export function blkIntegrityPrepare(request: Bio | readonly Bio[]): void {
  for (const { bio, payload, lba } of remappable(request)) {
    if (!payload.flags.has('MAPPED_INTEGRITY')) {
      remap(bio, payload, payload.seed, lba, Infinity);
      payload.flags.add('MAPPED_INTEGRITY');
    } else if (bio.device.semantics.alreadyRemapped === 'ends-the-remap') {
      return;
    }
  }
}

/**
 * blk_integrity_complete, when a request comes back (sd_dif_complete in Linux 3.10, t10_pi_type1_complete up to
 * 6.1): the LBAs of its first `goodBytes` bytes of data, all of them by default, become virtual again, in
 * place. To be called before the bios are advanced over them. Linux 3.10 takes the LBA of a block of 1024 or
 * 2048 bytes to be its sector.
 */
export function blkIntegrityComplete(request: Bio | readonly Bio[], goodBytes: number = Infinity): void {
  if (goodBytes !== Infinity) requireCount('goodBytes', goodBytes);
  for (const { bio, payload, lba, sector, before } of remappable(request)) {
    const { profile, semantics } = bio.device;
    const bytes = Math.min(Math.max(goodBytes - before, 0), bio.iterator.size);
    const right = semantics.completeLba === 'all' || profile.interval === 4096;
    remap(bio, payload, right ? lba : sector, payload.seed, Math.floor(bytes / profile.interval));
  }
}

/** Remaps the tags of the next intervals that the bio has not completed. */
function remap(bio: Bio, payload: BioIntegrityPayload, from: bigint, to: bigint, intervals: number): void {
  const { profile } = bio.device;
  const { metadataSize } = profile;
  inOnePiece(metadataOfRest(bio, payload), (metadata) => {
    const whole = Math.min(Math.floor(metadata.length / metadataSize), intervals);
    remapReferenceTags(profile, metadata.subarray(0, whole * metadataSize), from, to);
  });
}

/** The metadata of what the bio has not completed, where the kernel looks for it. */
export function metadataOfRest({ device }: Bio, payload: BioIntegrityPayload): Uint8Array[] {
  return device.semantics.metadataIn === 'buffer'
    ? [...remainingMetadata(device, payload)]
    : segmentsFrom(payload.vecs, payload.iterator);
}

interface Remappable {
  readonly bio: Bio;
  readonly payload: BioIntegrityPayload;
  /** Of the first interval that the bio has not completed. */
  readonly lba: bigint;
  readonly sector: bigint;
  /** Bytes of the request's data before this bio's. */
  readonly before: number;
}

/**
 * The payloads of a request that have reference tags to remap. LBAs count on from the request's first sector.
 */
function* remappable(request: Bio | readonly Bio[]): Generator<Remappable> {
  const bios = request instanceof Bio ? [request] : request;
  const first = bios[0]?.iterator.sector ?? 0n;
  let before = 0;
  for (const bio of bios) {
    const { integrity: payload, iterator } = bio;
    const { profile } = bio.device;
    if (payload !== null && countsReferenceTags(profile)) {
      const bytes = first * BigInt(SECTOR) + BigInt(before);
      const lba = bytes / BigInt(profile.interval);
      yield { bio, payload, lba, sector: bytes / BigInt(SECTOR), before };
    }
    before += iterator.size;
  }
}
