/**
 * The table of how kernels differ: one row a kernel series, one column a behaviour. The code reads it and
 * names no version. A row is written as what it changes of the row before.
 */
import { IntegrityError } from '../errors.js';
import type { IpGuardCovers, Type3Ref } from '../pi/engine.js';
import type { GuardKind, Profile } from '../pi/profile.js';
import type { BipFlag } from './payload.js';
import type { BlkStatus } from './status.js';

/** A reason for which a bio gets no integrity of the kernel's making. */
export type SkipRule =
  | 'no-profile'
  | 'no-functions'
  | 'other-op'
  | 'no-sectors'
  | 'no-sectors-to-write'
  | 'has-payload'
  | 'switched-off';

/** The kernel's functions that not every kernel has. */
export const OPTIONAL_FUNCTIONS = [
  'bio_integrity_enabled',
  'bio_integrity_hw_sectors',
  'bio_integrity_tag_size',
  'bio_integrity_set_tag',
  'bio_integrity_get_tag',
  'bio_integrity_mark_head',
  'bio_integrity_mark_tail',
  'bio_integrity_split',
  'bioset_integrity_create',
  'bioset_integrity_free',
  'bio_integrity_action',
] as const;
export type OptionalFunction = (typeof OPTIONAL_FUNCTIONS)[number];

type Version = readonly [major: number, minor: number];

/** How one series of kernels makes and checks protection information on its own. */
export interface Semantics {
  readonly name: string;
  /** The first version that the row describes. */
  readonly since: Version;
  readonly source: {
    /** The tree that the behaviour was read from. */
    readonly read: string;
    /** The kernel on which it was seen, if any. */
    readonly run: string | null;
  };
  /** The optional functions that this kernel has. */
  readonly functions: readonly OptionalFunction[];

  // Payloads: alloc, add_page, biosets

  /** What bio_integrity_alloc returns without memory: NULL, or ERR_PTR(-ENOMEM). */
  readonly noPayload: 'null' | 'ENOMEM';
  /**
   * How many vectors a payload without a bioset's pool holds: 4 whatever was asked (and allocated), or what
   * was asked.
   */
  readonly vecsWithoutPool: 'four' | 'as-asked';
  /** Whether payloads of more than 4 vectors come from the bioset's pools, which have at most 256. */
  readonly pools: boolean;
  /** How many vectors a payload of a pool says it holds: as many as it has room for, or as were asked for. */
  readonly vecsOfPool: 'all' | 'as-asked';
  /** What a bioset_integrity_create that fails at one pool leaves: the other one, or nothing. */
  readonly biosetFailure: 'keeps-the-other-pool' | 'keeps-nothing';
  /** Whether bio_integrity_add_page refuses a page that leaves a gap (queue limit virt_boundary). */
  readonly pageGaps: 'not-looked-at' | 'refused';
  /** Whether a page that continues the last vector in memory lengthens it, within max_integrity_segments. */
  readonly pageMerge: boolean;
  /** Whether bio_integrity_add_page counts into the payload's size, or leaves that to its caller. */
  readonly pageSize: 'left-alone' | 'counted';

  // Prep

  /**
   * When no memory is had: the errno is returned to the caller, which ends the bio with EIO; prep ends the bio
   * with BLK_STS_RESOURCE and returns false; or prep, which is void, waits for the pool.
   */
  readonly noMemory: 'is-returned' | 'ends-the-bio' | 'waits-for-the-pool';
  /** When the vectors are full before all tuples have a page: the bio goes on unprotected, or ends. */
  readonly vecsFull: 'passes-for-success' | 'ends-the-bio';
  /** Asked in this order; the first that holds is why the bio is not prepared. */
  readonly skipOrder: readonly SkipRule[];
  /** Whether prep itself asks them, or its caller by bio_integrity_enabled: then they are BUG_ON in prep. */
  readonly skipsIn: 'caller' | 'prep';
  /**
   * With read_verify or write_generate off: no payload, or still a buffer where the metadata is more than the
   * tuple.
   */
  readonly switchedOff: 'no-payload' | 'buffer-where-metadata-is-wider';
  /** Which buffers are zeroed before a write is generated. */
  readonly zeroes: 'never' | 'every-write' | 'where-metadata-is-wider';
  /** Which interval sizes the count of intervals is right for; for the others it is that of 512. */
  readonly countsIntervals: '512-and-4096' | 'all';
  /** Whether an IP guard is flagged, so that the host adapter computes it rather than a CRC. */
  readonly ipFlag: boolean;
  /** The flags of CHECK_*, by which 7.1 says what is to be checked. */
  readonly checkFlags: boolean;

  // Generate and verify

  readonly guards: readonly GuardKind[];
  readonly type3Ref: Type3Ref;
  /** Whether the tuple can lie behind other metadata. */
  readonly piOffset: boolean;
  readonly ipGuardCovers: IpGuardCovers;
  /** Whether an interval may lie in two segments. */
  readonly straddling: boolean;
  /**
   * Where it may not: how many tuples the walk goes on by after a segment that cuts one. Each cut makes a tuple of
   * its own, so that rounded down the next one is put over it, and rounded up they come to more than there is room for.
   */
  readonly cutSegment: 'rounded-down' | 'rounded-up';
  /** A bio with more intervals than its payload has room for: BUG_ON, after it has written past it; or that alone. */
  readonly overrun: 'BUG' | 'unnoticed';
  /** What a read must have for its tuples to be verified when it succeeded. */
  readonly verifyWhen: 'end_io-replaced' | 'block-integrity' | 'guard' | 'check-flags';
  /**
   * Where verify begins: at the segment where the bio stands, which completion has moved to the end; at the
   * first segment; at where the count of completed bytes leads back to; or where the bio stood at prep.
   */
  readonly verifyFrom: 'current-segment' | 'first-segment' | 'rewound' | 'saved-iterator';
  /** Where generate and verify find the metadata: in the buffer that prep made, or in the vectors. */
  readonly metadataIn: 'buffer' | 'vectors';
  /** What an escaped tuple exempts: itself, or the rest of its segment too. */
  readonly escape: 'rest-of-segment' | 'interval';
  /** How a bio ends whose tuples do not match. */
  readonly mismatch: BlkStatus;
  /** When a payload goes: with its bio, or when the I/O ends. */
  readonly freed: 'with-the-bio' | 'at-the-end';

  // Advance, trim, split, clone

  /** What completion does to the memory of a bio: it shortens the segment where it stands, or only moves an iterator. */
  readonly segments: 'shortened' | 'immutable';
  /** What advance adds to the seed. */
  readonly advanceSeed: 'nothing' | 'sectors512' | 'intervals';
  /** The units in which trim and split count tuples. */
  readonly tupleCount: 'sectors512' | 'intervals';
  /** What a clone takes of the size of the payload. */
  readonly cloneSize: 'nothing' | 'copied';
  /** What a clone takes of the flags. */
  readonly cloneFlags: readonly BipFlag[];
  readonly cloneAppTag: boolean;
  /** Whether a clone has vectors of its own, for which memory may be missing. */
  readonly cloneVecs: 'copied' | 'shared';

  // Remap

  /** Whether completion finds the LBA of blocks that are neither 512 nor 4096 bytes. */
  readonly completeLba: '512-and-4096' | 'all';
  /** What a bio that is remapped already, on a retry, does to the rest of its request. */
  readonly alreadyRemapped: 'ends-the-remap' | 'is-passed-over';
}

const V3_10_BEFORE_FIX: Semantics = {
  name: '3.10-before-fix',
  since: [3, 10],
  source: {
    read: 'Linux 3.10.72, fs/bio-integrity.c and drivers/scsi/sd_dif.c, without 5837c80e870b',
    run: null,
  },
  functions: OPTIONAL_FUNCTIONS.filter((name) => name !== 'bio_integrity_action'),
  noPayload: 'null',
  vecsWithoutPool: 'four',
  pools: true,
  vecsOfPool: 'all',
  biosetFailure: 'keeps-the-other-pool',
  pageGaps: 'not-looked-at',
  pageMerge: false,
  pageSize: 'left-alone',
  noMemory: 'is-returned',
  vecsFull: 'passes-for-success',
  skipOrder: ['has-payload', 'no-profile', 'no-functions', 'switched-off'],
  skipsIn: 'caller',
  switchedOff: 'no-payload',
  zeroes: 'never',
  countsIntervals: '512-and-4096',
  ipFlag: false,
  checkFlags: false,
  guards: ['crc16', 'ip'],
  type3Ref: 'zero',
  piOffset: false,
  ipGuardCovers: 'data-and-metadata',
  straddling: false,
  cutSegment: 'rounded-down',
  overrun: 'BUG',
  verifyWhen: 'end_io-replaced',
  verifyFrom: 'current-segment',
  metadataIn: 'buffer',
  escape: 'rest-of-segment',
  mismatch: 'IOERR',
  freed: 'with-the-bio',
  segments: 'shortened',
  advanceSeed: 'nothing',
  tupleCount: 'sectors512',
  cloneSize: 'nothing',
  cloneFlags: [],
  cloneAppTag: false,
  cloneVecs: 'copied',
  completeLba: '512-and-4096',
  alreadyRemapped: 'ends-the-remap',
};

const V3_10: Semantics = {
  ...V3_10_BEFORE_FIX,
  name: '3.10',
  source: {
    read: 'Linux 3.10.72, fs/bio-integrity.c and drivers/scsi/sd_dif.c, with 5837c80e870b',
    run: null,
  },
  verifyFrom: 'first-segment',
};

const V4_19: Semantics = {
  ...V3_10,
  name: '4.19',
  since: [4, 14],
  source: { read: 'Linux 4.19.191, block/bio-integrity.c and block/t10-pi.c', run: null },
  functions: ['bioset_integrity_create', 'bioset_integrity_free'],
  noPayload: 'ENOMEM',
  vecsWithoutPool: 'as-asked',
  biosetFailure: 'keeps-nothing',
  pageGaps: 'refused',
  noMemory: 'ends-the-bio',
  vecsFull: 'ends-the-bio',
  skipOrder: ['no-profile', 'other-op', 'no-sectors', 'has-payload', 'switched-off'],
  skipsIn: 'prep',
  countsIntervals: 'all',
  ipFlag: true,
  cutSegment: 'rounded-up',
  overrun: 'unnoticed',
  verifyWhen: 'block-integrity',
  verifyFrom: 'rewound',
  metadataIn: 'vectors',
  escape: 'interval',
  mismatch: 'PROTECTION',
  freed: 'at-the-end',
  segments: 'immutable',
  advanceSeed: 'sectors512',
  tupleCount: 'intervals',
  cloneSize: 'copied',
  completeLba: 'all',
};

const V5_10: Semantics = {
  ...V4_19,
  name: '5.10',
  since: [5, 10],
  source: {
    read: 'Linux 5.10.y of openEuler, block/bio-integrity.c alone; the rest lies between 4.19 and 5.15',
    run: 'Debian 5.10.223: LIO fileio types 1 and 3 and QEMU NVMe byte for byte, scsi_debug types 0 to 3 by verdict',
  },
  zeroes: 'every-write',
  verifyFrom: 'saved-iterator',
  advanceSeed: 'intervals',
};

const V6_1: Semantics = {
  ...V5_10,
  name: '6.1',
  since: [6, 1],
  source: {
    read: 'Linux 6.1.192, block/bio-integrity.c and block/t10-pi.c',
    run: 'Debian 6.1.192: LIO fileio types 1 and 3 and QEMU NVMe byte for byte, scsi_debug types 0 to 3 by verdict',
  },
  guards: ['crc16', 'ip', 'crc64'],
  cloneFlags: ['MAPPED_INTEGRITY', 'IP_CHECKSUM'],
};

const V6_12: Semantics = {
  ...V6_1,
  name: '6.12',
  since: [6, 12],
  source: {
    read: 'Linux 6.12.117, block/bio-integrity.c and block/t10-pi.c',
    run: 'Debian 6.12.118: LIO fileio types 1 and 3 and QEMU NVMe byte for byte, scsi_debug types 0 to 3 by verdict',
  },
  vecsOfPool: 'as-asked',
  pageMerge: true,
  pageSize: 'counted',
  skipOrder: ['no-profile', 'no-sectors', 'has-payload', 'switched-off', 'other-op'],
  zeroes: 'where-metadata-is-wider',
  piOffset: true,
  ipGuardCovers: 'metadata-alone',
  verifyWhen: 'guard',
  cloneVecs: 'shared',
};

const V7_1: Semantics = {
  ...V6_12,
  name: '7.1',
  since: [7, 1],
  source: {
    read: 'Linux 7.1 in its merge window, block/bio-integrity.c, block/bio-integrity-auto.c and block/t10-pi.c',
    run: 'Debian 7.3.4: scsi_debug types 0 to 3, LIO fileio types 1 and 3, QEMU NVMe and ublk, byte for byte',
  },
  functions: ['bio_integrity_action'],
  pools: false,
  noMemory: 'waits-for-the-pool',
  skipOrder: ['no-profile', 'has-payload', 'other-op', 'no-sectors-to-write', 'switched-off'],
  switchedOff: 'buffer-where-metadata-is-wider',
  checkFlags: true,
  type3Ref: 'seed',
  ipGuardCovers: 'data-and-metadata',
  straddling: true,
  verifyWhen: 'check-flags',
  cloneFlags: ['MAPPED_INTEGRITY', 'IP_CHECKSUM', 'CHECK_GUARD', 'CHECK_REFTAG', 'CHECK_APPTAG'],
  cloneAppTag: true,
  alreadyRemapped: 'is-passed-over',
};

/** Oldest first. */
export const SEMANTICS: readonly Semantics[] = [V3_10_BEFORE_FIX, V3_10, V4_19, V5_10, V6_1, V6_12, V7_1];

/** From immutable biovecs up to block statuses: kernels that are neither as 3.10 nor as 4.19. */
const UNDESCRIBED: { readonly from: Version; readonly to: Version } = { from: [3, 14], to: [4, 14] };

/** The rows' names, and `current` for the last row. */
export const SEMANTICS_NAMES: readonly string[] = [...SEMANTICS.map(({ name }) => name), 'current'];

/** @throws ERR_OUT_OF_RANGE for a name that is not in SEMANTICS_NAMES. */
export function semanticsByName(name: string): Semantics {
  const row = name === 'current' ? SEMANTICS.at(-1) : SEMANTICS.find((candidate) => candidate.name === name);
  if (row !== undefined) return row;
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `no semantics are named ${JSON.stringify(name)}: there are ${SEMANTICS_NAMES.join(', ')}`,
  );
}

/**
 * The row of a running kernel, by its release as `uname -r` prints it: the newest that is not newer. A 3.10
 * is taken for one with the fix, which its stable series has; a distribution's kernel for the version that it
 * bears, though some (RHEL 7's 3.10, RHEL 8's 4.18) carry much of later ones.
 *
 * @throws ERR_OUT_OF_RANGE for a kernel that no row describes (before 3.10, 3.14 to 4.13), and for what is no
 * release.
 */
export function semanticsForRelease(release: string): Semantics {
  const version = /^(\d{1,4})\.(\d{1,4})(?!\d)/.exec(release);
  const [major, minor] = [Number(version?.[1]), Number(version?.[2])];
  const isUndescribed = isSince(UNDESCRIBED.from, major, minor) && !isSince(UNDESCRIBED.to, major, minor);
  const row = version && SEMANTICS.findLast(({ since }) => isSince(since, major, minor));
  if (row && !isUndescribed) return row;
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `no semantics for kernel ${JSON.stringify(release)}: there are ${SEMANTICS.map(({ name }) => name).join(', ')}`,
    { advice: 'A kernel is judged by the newest semantics that are not newer than itself.' },
  );
}

/** @throws ERR_OUT_OF_RANGE for a profile that these kernels could not have. */
export function requireKnownProfile(semantics: Semantics, profile: Profile): void {
  const { guard, piOffset } = profile;
  if (piOffset !== 0 && !semantics.piOffset) {
    throw new IntegrityError(
      'ERR_OUT_OF_RANGE',
      `piOffset ${piOffset}: Linux ${semantics.name} keeps every tuple at offset 0`,
    );
  }
  if (guard !== null && !semantics.guards.includes(guard)) {
    throw new IntegrityError(
      'ERR_OUT_OF_RANGE',
      `${profile.name}: Linux ${semantics.name} knows the guards ${semantics.guards.join(' and ')} alone`,
    );
  }
}

/** @throws ERR_OUT_OF_RANGE for a function that these kernels do not have. */
export function requireFunction(semantics: Semantics, name: OptionalFunction): void {
  if (semantics.functions.includes(name)) return;
  const having = SEMANTICS.filter(({ functions }) => functions.includes(name)).map((row) => row.name);
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `Linux ${semantics.name} has no ${name}: it is in ${having.join(', ')}`,
  );
}

function isSince([major, minor]: Version, runningMajor: number, runningMinor: number): boolean {
  return runningMajor > major || (runningMajor === major && runningMinor >= minor);
}
