/** Profiles: what a disk's integrity is, by the names that the kernel shows in sysfs. */
import { IntegrityError } from '../errors.js';
import { shown } from './shown.js';

/** How a guard is made: CRC-16 T10-DIF, Internet checksum, or the 64-bit CRC of NVMe. */
export type GuardKind = 'crc16' | 'ip' | 'crc64';

/** Protection types of T10 SBC-4; 0 is a disk without protection information. */
export type ProtectionType = 0 | 1 | 2 | 3;

/** The formats that `/sys/block/DISK/integrity/format` can show. */
export type ProfileName =
  | 'T10-DIF-TYPE1-CRC'
  | 'T10-DIF-TYPE1-IP'
  | 'T10-DIF-TYPE3-CRC'
  | 'T10-DIF-TYPE3-IP'
  | 'EXT-DIF-TYPE1-CRC64'
  | 'EXT-DIF-TYPE3-CRC64'
  | 'nop'
  | 'none';

/** What one disk's integrity is: the kernel's `struct blk_integrity`. Sizes and offsets in bytes. */
export interface Profile {
  readonly name: ProfileName;
  readonly type: ProtectionType;
  /** Null where there is no tuple. */
  readonly guard: GuardKind | null;
  /** The data that one tuple protects. */
  readonly interval: number;
  readonly tupleSize: 0 | 8 | 16;
  /** The metadata beside every interval: the tuple and, on some NVMe disks, more. */
  readonly metadataSize: number;
  /** Where in the metadata the tuple lies. The guard covers the metadata before it, after the data. */
  readonly piOffset: number;
  /** How much of the tuple the application may use, by the disk's word; 0 when nothing. */
  readonly tagSize: number;
}

interface Format {
  readonly type: 0 | 1 | 3;
  readonly guard: GuardKind | null;
  readonly tupleSize: 0 | 8 | 16;
}

const FORMATS: Readonly<Record<ProfileName, Format>> = {
  'T10-DIF-TYPE1-CRC': { type: 1, guard: 'crc16', tupleSize: 8 },
  'T10-DIF-TYPE1-IP': { type: 1, guard: 'ip', tupleSize: 8 },
  'T10-DIF-TYPE3-CRC': { type: 3, guard: 'crc16', tupleSize: 8 },
  'T10-DIF-TYPE3-IP': { type: 3, guard: 'ip', tupleSize: 8 },
  'EXT-DIF-TYPE1-CRC64': { type: 1, guard: 'crc64', tupleSize: 16 },
  'EXT-DIF-TYPE3-CRC64': { type: 3, guard: 'crc64', tupleSize: 16 },
  nop: { type: 0, guard: null, tupleSize: 0 },
  none: { type: 0, guard: null, tupleSize: 0 },
};

/** All of them. `nop` is metadata without tuples, `none` is no metadata. */
export const PROFILE_NAMES: readonly ProfileName[] = Object.keys(FORMATS) as ProfileName[];

/** Bytes of a guard; the rest of the tuple are tags. */
const GUARD_SIZE: Readonly<Record<GuardKind, number>> = { crc16: 2, ip: 2, crc64: 8 };

const INTERVALS = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];
/** NVMe's metadata size is a field of 16 bits. */
const LARGEST_METADATA = 65535;

interface Allowed {
  has(value: unknown): boolean;
  /** After "must be". */
  readonly called: string;
}

const oneOf = (...values: readonly unknown[]): Allowed => ({
  has: (value) => values.includes(value),
  called: values.map(String).join(' or '),
});

const wholeUpTo = (max: number, min = 0): Allowed => ({
  has: (value) => Number.isInteger(value) && Number(value) >= min && Number(value) <= max,
  called: min === max ? `${min}` : `a whole number from ${min} to ${max}`,
});

/** What each field may be, a field after those that it depends on. */
const FIELDS: readonly (readonly [keyof Profile, (profile: Profile, format: Format) => Allowed])[] = [
  ['type', (_, { type }) => (type === 1 ? oneOf(1, 2) : oneOf(type))],
  ['guard', (_, { guard }) => oneOf(guard)],
  ['tupleSize', (_, { tupleSize }) => oneOf(tupleSize)],
  ['interval', () => oneOf(...INTERVALS)],
  ['metadataSize', ({ name }, { tupleSize }) => wholeUpTo(name === 'none' ? 0 : LARGEST_METADATA, tupleSize)],
  [
    'piOffset',
    ({ metadataSize, tupleSize, guard }) => wholeUpTo(guard === null ? 0 : metadataSize - tupleSize),
  ],
  ['tagSize', (_, format) => wholeUpTo(tagRoom(format))],
];

export interface ProfileOptions {
  /** A power of two from 512 to 65536. Default 512. */
  readonly interval?: number;
  /** Default: the size of the tuple. */
  readonly metadataSize?: number;
  /** Default 0. */
  readonly piOffset?: number;
  /** Default 0. */
  readonly tagSize?: number;
  /** 2 for a type 2 disk, whose format is shown as type 1. Default: what the name says. */
  readonly type?: ProtectionType;
}

/**
 * The profile of a sysfs format name, with everything that must fit together checked together: a power of two
 * as the interval, a tuple that lies inside the metadata, tags that lie inside the tuple (Linux 7.1
 * block/blk-settings.c).
 *
 * A type 2 disk shows a TYPE1 format, and `scsi_disk/protection_type` says 2: give that as `type`. A disk
 * without protection behind a host that protects the way to it (DIX type 0) shows TYPE1 as well and is judged
 * by it: give no type.
 *
 * @throws ERR_UNKNOWN_FORMAT for a name that no kernel shows; ERR_OUT_OF_RANGE for a number that does not
 * fit.
 */
export function profileByName(name: string, options: ProfileOptions = {}): Profile {
  const format = formatByName(name);
  const { guard, tupleSize } = format;
  const { interval = 512, metadataSize = tupleSize, piOffset = 0, tagSize = 0 } = options;
  const { type = format.type } = options;
  return requireProfile({
    name: name as ProfileName,
    type,
    guard,
    tupleSize,
    interval,
    metadataSize,
    piOffset,
    tagSize,
  });
}

/**
 * The same profile, read once and frozen, with everything checked that `profileByName` checks: one made by hand may be anything.
 *
 * @throws ERR_UNKNOWN_FORMAT for a name that no kernel shows; ERR_OUT_OF_RANGE for a field that does not fit.
 */
export function requireProfile(profile: Profile): Profile {
  const { name, type, guard, interval, tupleSize, metadataSize, piOffset, tagSize } =
    profile ?? ({} as Profile);
  const read = Object.freeze({ name, type, guard, interval, tupleSize, metadataSize, piOffset, tagSize });
  const format = formatByName(name);
  for (const [field, allowed] of FIELDS) {
    const { has, called } = allowed(read, format);
    if (has(read[field])) continue;
    throw new IntegrityError('ERR_OUT_OF_RANGE', `${name}: ${field} ${shown(read[field])} must be ${called}`);
  }
  return read;
}

/** Bytes of a tuple that are not its guard: the most that `tagSize` can be. */
export function tagRoom({ guard, tupleSize }: Pick<Profile, 'guard' | 'tupleSize'>): number {
  return guard === null ? 0 : tupleSize - GUARD_SIZE[guard];
}

/**
 * Whether reference tags count up with the intervals and are compared: the kernel's BLK_INTEGRITY_REF_TAG.
 */
export function countsReferenceTags(profile: Profile): boolean {
  return profile.type === 1 || profile.type === 2;
}

function formatByName(name: unknown): Format {
  if (typeof name !== 'string' || !Object.hasOwn(FORMATS, name)) {
    throw new IntegrityError(
      'ERR_UNKNOWN_FORMAT',
      `no format is named ${shown(name)}: the formats are ${PROFILE_NAMES.join(', ')}`,
    );
  }
  return FORMATS[name as ProfileName];
}
