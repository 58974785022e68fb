/**
 * The table of how kernels differ: one row a kernel series, one column a behaviour. The code reads it and
 * names no version.
 */
import { IntegrityError } from '../errors.js';
import type { IpGuardCovers, Type3Ref } from '../pi/engine.js';
import type { Profile } from '../pi/profile.js';
import type { BlkStatus } from './status.js';

/** A reason for which a bio gets no integrity of the kernel's making. */
export type SkipRule = 'no-profile' | 'no-sectors' | 'has-payload' | 'switched-off';

/** How one series of kernels makes and checks protection information on its own. */
export interface Semantics {
  readonly name: string;
  /** The first version that the row describes. */
  readonly since: readonly [major: number, minor: number];
  readonly source: {
    /** The tree that the behaviour was read from. */
    readonly read: string;
    /** The kernel on which it was seen, if any. */
    readonly run: string | null;
  };
  /** What bio_integrity_prep returns: whether the bio goes on, or nothing since it cannot fail. */
  readonly prepResult: 'bool' | 'void';
  /**
   * When no memory is had for the buffer: the bio ends with BLK_STS_RESOURCE, or prep waits for the memory
   * pool's.
   */
  readonly allocationFailure: 'ends-the-bio' | 'waits-for-the-pool';
  /** Asked in this order; the first that holds is why the bio is not prepared. */
  readonly skipOrder: readonly SkipRule[];
  /**
   * With read_verify or write_generate off: no payload, or still a buffer where the metadata is more than the
   * tuple.
   */
  readonly switchedOff: 'no-payload' | 'buffer-where-metadata-is-wider';
  /**
   * Which buffers are zeroed before a write is generated: every one, or those where the tuple does not fill
   * the metadata.
   */
  readonly zeroes: 'every-write' | 'where-metadata-is-wider';
  /** What the seed of a bio is counted in; it goes up by 1 an interval all the same. */
  readonly seedUnit: 'sector512';
  readonly type3Ref: Type3Ref;
  /** Whether the tuple can lie behind other metadata. */
  readonly piOffset: boolean;
  readonly ipGuardCovers: IpGuardCovers;
  /**
   * Whether an interval may lie in two segments. Where it may not, the kernel runs past the buffer of tuples.
   */
  readonly straddling: boolean;
  /** What a payload must have for a read that succeeded to be verified. */
  readonly verifyWhen: 'block-integrity' | 'guard' | 'check-flags';
  /** How a bio ends whose tuples do not match. */
  readonly mismatch: BlkStatus;
  /** What a bio that is remapped already, on a retry, does to the rest of its request. */
  readonly alreadyRemapped: 'ends-the-remap' | 'is-passed-over';
}

/** Oldest first. */
export const SEMANTICS: readonly Semantics[] = [
  {
    name: '6.1',
    since: [6, 1],
    source: {
      read: 'Linux 6.1.192, block/bio-integrity.c and block/t10-pi.c',
      run: 'Debian 6.1.192, scsi_debug types 0 to 3 by verdict, LIO fileio types 1 and 3 byte for byte',
    },
    prepResult: 'bool',
    allocationFailure: 'ends-the-bio',
    skipOrder: ['no-profile', 'no-sectors', 'has-payload', 'switched-off'],
    switchedOff: 'no-payload',
    zeroes: 'every-write',
    seedUnit: 'sector512',
    type3Ref: 'zero',
    piOffset: false,
    ipGuardCovers: 'data-and-metadata',
    straddling: false,
    verifyWhen: 'block-integrity',
    mismatch: 'PROTECTION',
    alreadyRemapped: 'ends-the-remap',
  },
  {
    name: '6.12',
    since: [6, 12],
    source: {
      read: 'Linux 6.12.117, block/bio-integrity.c and block/t10-pi.c',
      run: 'Debian 6.12.117, scsi_debug types 0 to 3 by verdict, LIO fileio types 1 and 3 byte for byte',
    },
    prepResult: 'bool',
    allocationFailure: 'ends-the-bio',
    skipOrder: ['no-profile', 'no-sectors', 'has-payload', 'switched-off'],
    switchedOff: 'no-payload',
    zeroes: 'where-metadata-is-wider',
    seedUnit: 'sector512',
    type3Ref: 'zero',
    piOffset: true,
    ipGuardCovers: 'metadata-alone',
    straddling: false,
    verifyWhen: 'guard',
    mismatch: 'PROTECTION',
    alreadyRemapped: 'ends-the-remap',
  },
  {
    name: '7.1',
    since: [7, 1],
    source: {
      read: 'Linux 7.1 in its merge window, block/bio-integrity.c, block/bio-integrity-auto.c and block/t10-pi.c',
      run: 'Debian 7.3.4, scsi_debug types 0 to 3 and LIO fileio types 1 and 3, byte for byte',
    },
    prepResult: 'void',
    allocationFailure: 'waits-for-the-pool',
    skipOrder: ['no-profile', 'has-payload', 'no-sectors', 'switched-off'],
    switchedOff: 'buffer-where-metadata-is-wider',
    zeroes: 'where-metadata-is-wider',
    seedUnit: 'sector512',
    type3Ref: 'seed',
    piOffset: true,
    ipGuardCovers: 'data-and-metadata',
    straddling: true,
    verifyWhen: 'check-flags',
    mismatch: 'PROTECTION',
    alreadyRemapped: 'is-passed-over',
  },
];

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
 * The row of a running kernel, by its release as `uname -r` prints it: the newest that is not newer.
 *
 * @throws ERR_OUT_OF_RANGE for a kernel older than every row, and for what is no release.
 */
export function semanticsForRelease(release: string): Semantics {
  const version = /^(\d{1,4})\.(\d{1,4})(?!\d)/.exec(release);
  const row =
    version && SEMANTICS.findLast(({ since }) => isSince(since, Number(version[1]), Number(version[2])));
  if (row) return row;
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `no semantics for kernel ${JSON.stringify(release)}: there are ${SEMANTICS.map(({ name }) => name).join(', ')}`,
    { advice: 'A kernel is judged by the newest semantics that are not newer than itself.' },
  );
}

/** @throws ERR_OUT_OF_RANGE for a profile that these kernels could not have. */
export function requireKnownProfile(semantics: Semantics, profile: Profile): void {
  if (profile.piOffset === 0 || semantics.piOffset) return;
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `piOffset ${profile.piOffset}: Linux ${semantics.name} keeps every tuple at offset 0`,
  );
}

function isSince([major, minor]: Semantics['since'], runningMajor: number, runningMinor: number): boolean {
  return runningMajor > major || (runningMajor === major && runningMinor >= minor);
}
