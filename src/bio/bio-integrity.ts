/**
 * The block layer's own integrity: what it attaches to a bio, generates for a write and verifies of a read.
 * Functions carry the kernel's names; what differs between kernels comes from the device's semantics.
 *
 * The everyday way through all of it is submitBio and completeBio of submit.ts.
 */
import { IntegrityError, KernelBugError } from '../errors.js';
import { countsReferenceTags } from '../pi/profile.js';
import type { Bio } from './bio.js';
import {
  bioIntegrityAddPage,
  bioIntegrityAlloc,
  bioIntegrityBytes,
  bioIntegrityFree,
  payloadOf,
  remainingMetadata,
} from './bip.js';
import { type BioVerifyResult, generateFn, verifyFn } from './blk-integrity.js';
import { gather, inOnePiece, rewindIterator, SECTOR, segmentsFrom, viewOfSegment } from './bvec.js';
import { KMALLOC_MAX, type Memory, plenty } from './memory.js';
import { BioIntegrityPayload, type BipFlag, type SavedPosition } from './payload.js';
import { requireFunction, requireKnownProfile, type Semantics, type SkipRule } from './semantics.js';
import { BLK_STATUS_ERRNO, type BlkStatus, EIO, ENOMEM } from './status.js';

/** What prep does to one bio. */
export interface IntegrityAction {
  /** Attaches a buffer for the metadata. */
  readonly buffer: boolean;
  /** Generates on a write, verifies on a read. */
  readonly check: boolean;
  /** Zeroes the buffer first. */
  readonly zero: boolean;
  /** Why it does not check; null when it does. */
  readonly skipped: SkipRule | null;
}

/** What memory holds that nobody zeroed: the slab's poison, so that a use of it shows. */
const UNINITIALISED = 0x5a;

/** Bytes of a page, of which the metadata's vectors are. */
const PAGE = 4096;

/** Everything but a read counts as a write (bio_data_dir). */
const isRead = ({ op }: Bio): boolean => op === 'read';

const SKIPS: Readonly<Record<SkipRule, (bio: Bio) => boolean>> = {
  'no-profile': ({ device }) => device.profile.metadataSize === 0,
  'no-functions': ({ device }) => device.profile.guard === null,
  'other-op': ({ op }) => op !== 'read' && op !== 'write',
  'no-sectors': ({ iterator }) => iterator.size === 0,
  'no-sectors-to-write': ({ op, iterator }) => op === 'write' && iterator.size === 0,
  'has-payload': ({ integrity }) => integrity !== null,
  'switched-off': (bio) => (isRead(bio) ? bio.device.readVerify : bio.device.writeGenerate) === false,
};

/** What prep of Linux 3.10 would be stopped for. */
const PREP_BUGS: readonly (readonly [SkipRule, condition: string])[] = [
  ['no-profile', 'bi == NULL'],
  ['has-payload', 'bio_integrity(bio)'],
];

/** What comes of a segment that cuts an interval. */
const CUT_SEGMENTS: Readonly<Record<Semantics['cutSegment'], string>> = {
  'rounded-down': "would read past it, and put the next segment's tuples over its last one",
  'rounded-up': 'would run past the buffer of tuples',
};

const VERIFIES: Readonly<
  Record<Semantics['verifyWhen'], (bio: Bio, payload: BioIntegrityPayload) => boolean>
> = {
  'end_io-replaced': (_, { replacesEndIo }) => replacesEndIo,
  'block-integrity': () => true,
  guard: ({ device }) => device.profile.guard !== null,
  'check-flags': (_, { flags }) => flags.has('CHECK_GUARD') || flags.has('CHECK_REFTAG'),
};

/** What verify walks: the data, and the reference tag that it begins with. */
interface Walk {
  readonly data: readonly Uint8Array[];
  readonly seed: bigint;
}

/** By where it begins; null where that cannot be found. */
const WALKS: Readonly<
  Record<
    Semantics['verifyFrom'],
    (bio: Bio, payload: BioIntegrityPayload, saved: SavedPosition) => Walk | null
  >
> = {
  'current-segment': ({ segments, iterator }, { seed }) => ({
    data: segments.slice(iterator.index).map(viewOfSegment),
    seed,
  }),
  'first-segment': ({ segments }, { seed }) => ({ data: segments.map(viewOfSegment), seed }),
  rewound: ({ segments, iterator }) => {
    const start = rewindIterator(segments, iterator, iterator.moved);
    return start && { data: segmentsFrom(segments, start), seed: start.sector };
  },
  'saved-iterator': ({ segments }, _, { data }) => ({
    data: segmentsFrom(segments, data),
    seed: data.sector,
  }),
};

/**
 * bio_integrity_enabled, Linux 3.10: whether a bio is to be prepared. It does not look at the operation, so
 * that discards are. @throws ERR_OUT_OF_RANGE for later kernels
 */
export function bioIntegrityEnabled(bio: Bio): boolean {
  requireFunction(bio.device.semantics, 'bio_integrity_enabled');
  return skippedBy(bio) === null;
}

function skippedBy(bio: Bio): SkipRule | null {
  return bio.device.semantics.skipOrder.find((rule) => SKIPS[rule](bio)) ?? null;
}

/**
 * What becomes of a bio: bio_integrity_action of Linux 7.1. Before, bio_integrity_prep decided the same on its
 * own, and in 3.10 its caller by bio_integrity_enabled.
 */
export function bioIntegrityAction(bio: Bio): IntegrityAction {
  const { semantics, profile } = bio.device;
  const wider = profile.metadataSize > profile.tupleSize;
  const skipped = skippedBy(bio);
  const check = skipped === null;
  const bare =
    skipped === 'switched-off' && semantics.switchedOff === 'buffer-where-metadata-is-wider' && wider;
  const buffer = check || bare;
  const zeroes = { never: false, 'every-write': true, 'where-metadata-is-wider': wider };
  return { buffer, check, zero: buffer && !isRead(bio) && zeroes[semantics.zeroes], skipped };
}

/**
 * bio_integrity_prep: attaches a payload where the rules want one, seeds it with the bio's sector (units of
 * 512 bytes) and generates the tuples of a write, with virtual reference tags.
 *
 * @returns 0 when the bio goes on, with or without a payload: also in 3.10 when the vectors were full, and
 * then it goes unprotected. A negative errno when it does not: in 3.10 the caller has to end it, and does so
 * with EIO whatever the errno; up to 6.12 it has ended, and `bio.status` says how. From 7.1 on the kernel's
 * function is void, and this one always 0.
 * @throws ERR_BAD_LENGTH for a segment that cuts an interval, where the kernel does not expect one: it would run
 * past the buffer of tuples, or in 3.10 read past the segment and overwrite a tuple. ERR_OUT_OF_RANGE for a profile that the
 * kernel cannot have. KernelBugError in 3.10 for a bio that has a payload or a disk that has no profile.
 */
export function bioIntegrityPrep(bio: Bio, memory: Memory = plenty): number {
  const { semantics, profile } = bio.device;
  requireKnownProfile(semantics, profile);
  if (semantics.skipsIn === 'caller') {
    const bug = PREP_BUGS.find(([rule]) => SKIPS[rule](bio));
    if (bug !== undefined) throw new KernelBugError(bug[1]);
  }
  const action =
    semantics.skipsIn === 'caller' ? { buffer: true, check: true, zero: false } : bioIntegrityAction(bio);
  if (!action.buffer) return 0;
  if (action.check && !semantics.straddling) requireWholeIntervals(bio);

  const bytes = bioIntegrityBytes(profile, bio.iterator.size / SECTOR, semantics);
  const waits = semantics.noMemory === 'waits-for-the-pool';
  if (!waits && !(bytes <= KMALLOC_MAX && memory('buffer', bytes))) return failed(bio, ENOMEM);
  const buffer = new Uint8Array(bytes).fill(action.zero ? 0 : UNINITIALISED);

  const payload = bioIntegrityAlloc(bio, Math.ceil(bytes / PAGE), waits ? plenty : memory);
  if (!(payload instanceof BioIntegrityPayload)) return failed(bio, payload ?? EIO);
  payload.buffer = buffer;
  for (const flag of flagsOf(bio, action.check)) payload.flags.add(flag);
  const mapped = mapBuffer(bio, buffer);
  const seed = action.check ? bio.iterator.sector : 0n;
  payload.iterator = { sector: seed, size: bytes, index: 0, done: 0, moved: 0 };
  payload.saved = { data: bio.iterator, metadata: payload.iterator };
  if (!mapped) {
    if (semantics.vecsFull === 'passes-for-success') return 0;
    bioIntegrityFree(bio);
    return failed(bio, ENOMEM);
  }
  payload.replacesEndIo = semantics.verifyWhen === 'end_io-replaced' && isRead(bio);
  if (action.check && !isRead(bio)) bioIntegrityGenerate(bio);
  return 0;
}

/** Puts every page of the buffer into the payload; false when one does not fit. */
function mapBuffer(bio: Bio, buffer: Uint8Array): boolean {
  for (let at = 0; at < buffer.length; at += PAGE) {
    const length = Math.min(PAGE, buffer.length - at);
    if (bioIntegrityAddPage(bio, buffer, length, at) !== length) return false;
  }
  return true;
}

/** No memory: 3.10 says so to its caller, later kernels end the bio. */
function failed(bio: Bio, errno: number): number {
  if (bio.device.semantics.noMemory === 'is-returned') return errno;
  bio.status = 'RESOURCE';
  end(bio);
  return BLK_STATUS_ERRNO.RESOURCE;
}

/**
 * bio_integrity_generate (bio_integrity_process up to 6.1): the tuples of everything from where the bio stands
 * to its end, into its payload.
 *
 * @throws KernelBugError for a bio without payload, and in 3.10 for one whose payload is too small;
 * ERR_BAD_LENGTH for that in later kernels.
 */
export function bioIntegrityGenerate(bio: Bio): void {
  const { device, segments, iterator } = bio;
  const data = segmentsFrom(segments, iterator);
  inOnePiece(metadataOf(bio), (metadata) => generateFn({ device, data, metadata, seed: iterator.sector }));
}

/**
 * bio_integrity_verify: walks the segments and stops at the first bad interval: escape, reference tag, guard;
 * never the application tag. Where it begins is the kernel's (`verifyFrom`): up to the fix in 3.10 where the
 * bio stands, which is the end once it has completed. The metadata is that of the whole bio.
 *
 * `from` `here`: what is left of the bio against what is left of its payload, which no kernel does: for the
 * halves of a split, a clone, the rest of a bio.
 *
 * @throws KernelBugError for a bio without payload; ERR_BAD_LENGTH where the kernel would run past it.
 */
export function bioIntegrityVerify(bio: Bio, from: 'prepared' | 'here' = 'prepared'): BioVerifyResult {
  const { device, segments, iterator } = bio;
  const payload = payloadOf(bio);
  if (from === 'here' || payload.saved === null) {
    const metadata = gather(remainingMetadata(device, payload));
    return verifyFn({ device, data: segmentsFrom(segments, iterator), metadata, seed: payload.seed });
  }
  const { saved } = payload;
  const walk = WALKS[device.semantics.verifyFrom](bio, payload, saved);
  if (walk === null) return { status: 'IOERR', errno: EIO, intervals: 0, finding: null };
  return verifyFn({ device, ...walk, metadata: gather(metadataOf(bio)) });
}

/** The metadata of the whole bio, where the kernel looks for it. */
function metadataOf(bio: Bio): readonly Uint8Array[] {
  const payload = payloadOf(bio);
  const { buffer, vecs, saved } = payload;
  if (bio.device.semantics.metadataIn === 'vectors') {
    return saved === null ? remainingMetadata(bio.device, payload) : segmentsFrom(vecs, saved.metadata);
  }
  if (buffer === null) throw new KernelBugError('bip->bip_buf == NULL');
  return [buffer];
}

/**
 * bio_integrity_verify_fn: the work that bio_integrity_endio queues. Verifies a read, and ends the bio for
 * good: its original end_io is called.
 */
export function bioIntegrityVerifyFn(bio: Bio): void {
  bio.waits = false;
  bio.status = bioIntegrityVerify(bio).status;
  release(bio);
  end(bio);
}

/**
 * bio_integrity_endio: called when a bio with a payload ends. A read that succeeded is queued to be verified,
 * where the kernel verifies it; a bio that failed is not, nor is a write.
 *
 * @returns whether the bio may end now: also where the payload is not the block layer's. False: it ends when
 * kintegrityd has verified it.
 * @throws KernelBugError in 3.10 for a bio without payload, or with that of another
 */
export function bioIntegrityEndio(bio: Bio): boolean {
  const { semantics, kintegrityd } = bio.device;
  const payload = bio.integrity;
  if (semantics.verifyWhen === 'end_io-replaced') payloadOf(bio);
  if (!payload?.replacesEndIo && !payload?.flags.has('BLOCK_INTEGRITY')) return true;
  if (payload.replacesEndIo && payload.bio !== bio) throw new KernelBugError('bip->bip_bio != bio');
  if (isRead(bio) && bio.status === 'OK' && VERIFIES[semantics.verifyWhen](bio, payload)) {
    if (kintegrityd !== undefined) {
      bio.waits = true;
      kintegrityd.queue(() => bioIntegrityVerifyFn(bio));
    } else bioIntegrityVerifyFn(bio);
    return false;
  }
  release(bio);
  return true;
}

/**
 * bio_endio: the device is done with the bio, and `status` says how. Its payload, if the block layer made it,
 * has its turn first.
 *
 * @throws ERR_BUSY for a bio that waits to be verified, which a kernel would verify after it is gone; ERR_USAGE for a status that is none.
 */
export function bioEndio(bio: Bio, status: BlkStatus = 'OK'): void {
  if (!Object.hasOwn(BLK_STATUS_ERRNO, status)) {
    throw new IntegrityError(
      'ERR_USAGE',
      `${String(status)} is none of ${Object.keys(BLK_STATUS_ERRNO).join(', ')}`,
    );
  }
  if (bio.waits)
    throw new IntegrityError(
      'ERR_BUSY',
      'the bio waits in kintegrityd to be verified: it was completed already',
    );
  bio.status = status;
  if (bio.integrity === null || bioIntegrityEndio(bio)) end(bio);
}

function end(bio: Bio): void {
  bio.ended = true;
  bio.endIo?.(bio);
}

/** The payload has done its work: since 4.13 it goes, in 3.10 it stays with the bio and only end_io is put back. */
function release(bio: Bio): void {
  if (bio.device.semantics.freed === 'at-the-end') bioIntegrityFree(bio);
  else payloadOf(bio).replacesEndIo = false;
}

function flagsOf(bio: Bio, check: boolean): BipFlag[] {
  const { profile, semantics } = bio.device;
  const flags: BipFlag[] = semantics.verifyWhen === 'end_io-replaced' ? [] : ['BLOCK_INTEGRITY'];
  if (check && profile.guard === 'ip' && semantics.ipFlag) flags.push('IP_CHECKSUM');
  if (check && semantics.checkFlags) {
    if (profile.guard !== null) flags.push('CHECK_GUARD');
    if (countsReferenceTags(profile)) flags.push('CHECK_REFTAG');
  }
  return flags;
}

function requireWholeIntervals({ segments, device }: Bio): void {
  const { profile, semantics } = device;
  const { interval } = profile;
  const odd = segments.findIndex(({ length }) => length % interval !== 0);
  if (odd === -1) return;
  throw new IntegrityError(
    'ERR_BAD_LENGTH',
    `segment ${odd} is ${segments[odd]!.length} bytes, no whole number of intervals of ${interval}: Linux ${semantics.name} ${CUT_SEGMENTS[semantics.cutSegment]}`,
    {
      advice: 'Give segments of whole intervals, or semantics where an interval may straddle segments (7.1).',
    },
  );
}
