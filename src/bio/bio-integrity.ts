/**
 * The block layer's own integrity: what it attaches to a bio, generates for a write and verifies of a read.
 * Functions carry the kernel's names; what differs between kernels comes from the device's semantics.
 *
 * A write, everyday: `bioIntegrityPrep(bio)`, `blkIntegrityPrepare(bio)`; `bio.integrity.buffer` is then what
 * goes to the disk.
 * A read: `bioIntegrityPrep(bio)`, the disk's data into the segments and its metadata into
 * `bio.integrity.buffer`, then `blkIntegrityComplete(bio)`, `bioIntegrityEndio(bio)`; `bio.status` says how
 * it ended.
 */
import { IntegrityError, KernelBugError } from '../errors.js';
import { defaultEngine } from '../pi/engine.js';
import { countsReferenceTags, type Profile } from '../pi/profile.js';
import { remapReferenceTags } from '../pi/remap.js';
import type { CheckedField } from '../pi/verify.js';
import { Bio } from './bio.js';
import { type BioIterator, segmentsFrom } from './bvec.js';
import { BioIntegrityPayload, type BipFlag } from './payload.js';
import { requireKnownProfile, type Semantics, type SkipRule } from './semantics.js';
import { BLK_STATUS_ERRNO, type BlkStatus } from './status.js';

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

/** How one verify ended. */
export interface BioVerifyResult {
  readonly status: BlkStatus;
  /** The same as a negative errno; 0 for OK. */
  readonly errno: number;
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

/** Stands for the kernel's allocator: null when it has no memory. */
export type Allocate = (bytes: number) => Uint8Array | null;

/** What memory holds that nobody zeroed: the slab's poison, so that a use of it shows. */
const UNINITIALISED = 0x5a;

const SKIPS: Readonly<Record<SkipRule, (bio: Bio) => boolean>> = {
  'no-profile': ({ device }) => device.profile.metadataSize === 0,
  'no-sectors': ({ iterator }) => iterator.size === 0,
  'has-payload': ({ integrity }) => integrity !== null,
  'switched-off': ({ op, device }) => !(op === 'read' ? device.readVerify : device.writeGenerate),
};

const VERIFIES: Readonly<
  Record<Semantics['verifyWhen'], (bio: Bio, payload: BioIntegrityPayload) => boolean>
> = {
  'block-integrity': (_, { flags }) => flags.has('BLOCK_INTEGRITY'),
  guard: ({ device }) => device.profile.guard !== null,
  'check-flags': (_, { flags }) => flags.has('CHECK_GUARD') || flags.has('CHECK_REFTAG'),
};

const SEEDS: Readonly<Record<Semantics['seedUnit'], (iterator: BioIterator) => bigint>> = {
  sector512: ({ sector }) => sector,
};

/** bio_integrity_intervals: how many intervals so many 512-byte sectors are. Linux 4.13 to 7.1. */
export function bioIntegrityIntervals(profile: Profile, sectors: number): number {
  return Math.floor((sectors * 512) / profile.interval);
}

/** bio_integrity_bytes: the metadata of so many 512-byte sectors, in bytes. Linux 4.13 to 7.1. */
export function bioIntegrityBytes(profile: Profile, sectors: number): number {
  return bioIntegrityIntervals(profile, sectors) * profile.metadataSize;
}

/** bio_integrity_action of Linux 7.1; in 6.1 and 6.12 bio_integrity_prep decides the same on its own. */
export function bioIntegrityAction(bio: Bio): IntegrityAction {
  const { semantics, profile } = bio.device;
  const wider = profile.metadataSize > profile.tupleSize;
  const skipped = semantics.skipOrder.find((rule) => SKIPS[rule](bio)) ?? null;
  const check = skipped === null;
  const bare =
    skipped === 'switched-off' && semantics.switchedOff === 'buffer-where-metadata-is-wider' && wider;
  const buffer = check || bare;
  return {
    buffer,
    check,
    zero: buffer && bio.op === 'write' && (wider || semantics.zeroes === 'every-write'),
    skipped,
  };
}

/**
 * bio_integrity_prep, Linux 6.1 to 7.1: attaches a payload where the rules want one, seeds it with the bio's
 * sector (units of 512 bytes) and generates the tuples of a write, with virtual reference tags.
 *
 * @returns whether the bio goes on, with or without a payload. False: it has ended, and `bio.status` says
 * how. From 7.1 on the kernel's function is void, and this one always true.
 * @throws ERR_BAD_LENGTH for a segment that cuts an interval, where the kernel does not expect one:
 * generating or verifying it would run past the buffer of tuples. ERR_OUT_OF_RANGE for a profile that the
 * kernel cannot have.
 */
export function bioIntegrityPrep(bio: Bio, allocate: Allocate = (bytes) => new Uint8Array(bytes)): boolean {
  const { semantics, profile } = bio.device;
  requireKnownProfile(semantics, profile);
  const action = bioIntegrityAction(bio);
  if (!action.buffer) return true;
  if (action.check && !semantics.straddling) requireWholeIntervals(bio);

  const bytes = bioIntegrityBytes(profile, bio.iterator.size / 512);
  let buffer = allocate(bytes);
  if (buffer === null) {
    if (semantics.allocationFailure === 'ends-the-bio') {
      bio.status = 'RESOURCE';
      return false;
    }
    buffer = new Uint8Array(bytes);
  }
  buffer.fill(action.zero ? 0 : UNINITIALISED);

  bio.integrity = new BioIntegrityPayload(
    buffer,
    flagsOf(bio, action),
    bio.iterator,
    action.check ? SEEDS[semantics.seedUnit](bio.iterator) : 0n,
  );
  if (action.check && bio.op === 'write') bioIntegrityGenerate(bio);
  return true;
}

/**
 * bio_integrity_generate, Linux 6.1 to 7.1: the tuples of everything from where the bio stands to its end,
 * into its payload.
 *
 * @throws KernelBugError for a bio without payload
 */
export function bioIntegrityGenerate(bio: Bio): void {
  const { profile, semantics } = bio.device;
  const { buffer } = payloadOf(bio);
  defaultEngine().generateInto(gather(bio, bio.iterator), buffer, {
    profile,
    layout: 'separate',
    seed: SEEDS[semantics.seedUnit](bio.iterator),
    type3Ref: semantics.type3Ref,
    ipGuardCovers: semantics.ipGuardCovers,
  });
}

/**
 * bio_integrity_verify, Linux 6.1 to 7.1: walks every segment from where the bio stood when it was prepared,
 * whatever completion has advanced since, and stops at the first bad interval: escape, reference tag, guard;
 * never the application tag.
 *
 * @throws KernelBugError for a bio without payload
 */
export function bioIntegrityVerify(bio: Bio): BioVerifyResult {
  const { profile, semantics } = bio.device;
  const { buffer, savedIterator } = payloadOf(bio);
  const seed = SEEDS[semantics.seedUnit](savedIterator);
  const { findings } = defaultEngine().verify(gather(bio, savedIterator), buffer, {
    profile,
    layout: 'separate',
    seed,
    findingsMax: 1,
    ipGuardCovers: semantics.ipGuardCovers,
  });
  const first = findings[0];
  if (first === undefined) return { status: 'OK', errno: 0, finding: null };
  const { interval, ...difference } = first;
  return {
    status: semantics.mismatch,
    errno: BLK_STATUS_ERRNO[semantics.mismatch],
    finding: { seed: seed + BigInt(interval), ...difference },
  };
}

/**
 * bio_integrity_endio with the work that it queues, Linux 6.1 to 7.1: verifies a read that succeeded, lets
 * the payload go, and says how the bio ended. A bio that failed already is not verified.
 */
export function bioIntegrityEndio(bio: Bio): BlkStatus {
  const payload = bio.integrity;
  if (payload === null) return bio.status;
  const verifies = VERIFIES[bio.device.semantics.verifyWhen];
  if (bio.op === 'read' && bio.status === 'OK' && verifies(bio, payload)) {
    bio.status = bioIntegrityVerify(bio).status;
  }
  bio.integrity = null;
  return bio.status;
}

/**
 * blk_integrity_prepare, before a request goes to the driver (t10_pi_type1_prepare in Linux 6.1): virtual
 * reference tags become LBAs, in place. `request`: its bios in order. Bios without payload and type 3 have
 * nothing to remap.
 */
export function blkIntegrityPrepare(request: Bio | readonly Bio[]): void {
  for (const { bio, payload, lba, metadata } of remappable(request)) {
    if (!payload.flags.has('MAPPED_INTEGRITY')) {
      remapReferenceTags(bio.device.profile, metadata, payload.seed, lba);
      payload.flags.add('MAPPED_INTEGRITY');
    } else if (bio.device.semantics.alreadyRemapped === 'ends-the-remap') {
      return;
    }
  }
}

/**
 * blk_integrity_complete, when a request comes back (t10_pi_type1_complete in Linux 6.1): the LBAs of its
 * first `goodBytes` bytes of data, all of them by default, become virtual again, in place. To be called
 * before the bios are advanced over them.
 */
export function blkIntegrityComplete(request: Bio | readonly Bio[], goodBytes: number = Infinity): void {
  for (const { bio, payload, lba, metadata, before } of remappable(request)) {
    const { interval, metadataSize } = bio.device.profile;
    const bytes = Math.min(Math.max(goodBytes - before, 0), bio.iterator.size);
    const good = metadata.subarray(0, Math.floor(bytes / interval) * metadataSize);
    remapReferenceTags(bio.device.profile, good, lba, payload.seed);
  }
}

interface Remappable {
  readonly bio: Bio;
  readonly payload: BioIntegrityPayload;
  /** Of the first interval that the bio has not completed. */
  readonly lba: bigint;
  /** From that interval on. */
  readonly metadata: Uint8Array;
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
    const { interval, metadataSize } = bio.device.profile;
    if (payload !== null && countsReferenceTags(bio.device.profile)) {
      const lba = (first * 512n + BigInt(before)) / BigInt(interval);
      const metadata = payload.buffer.subarray(payload.completed * metadataSize);
      yield { bio, payload, lba, metadata, before };
    }
    before += iterator.size;
  }
}

function flagsOf(bio: Bio, action: IntegrityAction): BipFlag[] {
  const { profile, semantics } = bio.device;
  const flags: BipFlag[] = ['BLOCK_INTEGRITY'];
  if (action.check && profile.guard === 'ip') flags.push('IP_CHECKSUM');
  if (action.check && semantics.verifyWhen === 'check-flags') {
    if (profile.guard !== null) flags.push('CHECK_GUARD');
    if (countsReferenceTags(profile)) flags.push('CHECK_REFTAG');
  }
  return flags;
}

function payloadOf(bio: Bio): BioIntegrityPayload {
  if (bio.integrity === null) throw new KernelBugError('bio_integrity(bio) == NULL');
  return bio.integrity;
}

/** The data from `iterator` to the end in one buffer: the bio's own where it is one segment, else a copy. */
function gather(bio: Bio, iterator: BioIterator): Uint8Array {
  const parts = segmentsFrom(bio.segments, iterator);
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

function requireWholeIntervals({ segments, device }: Bio): void {
  const { interval } = device.profile;
  const odd = segments.findIndex(({ length }) => length % interval !== 0);
  if (odd === -1) return;
  throw new IntegrityError(
    'ERR_BAD_LENGTH',
    `segment ${odd} is ${segments[odd]!.length} bytes, no whole number of intervals of ${interval}: Linux ${device.semantics.name} would run past the buffer of tuples`,
    {
      advice: 'Give segments of whole intervals, or semantics where an interval may straddle segments (7.1).',
    },
  );
}
