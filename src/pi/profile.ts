/** Profiles: what a disk's integrity is, by the names that the kernel shows in sysfs. */
import { IntegrityError } from '../errors.js';

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

const SMALLEST_INTERVAL = 512;
const LARGEST_INTERVAL = 65536;
/** NVMe's metadata size is a field of 16 bits. */
const LARGEST_METADATA = 65535;

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
  const { tupleSize, guard } = format;
  const { interval = SMALLEST_INTERVAL, metadataSize = tupleSize, piOffset = 0, tagSize = 0 } = options;
  const { type = format.type } = options;

  requireRange(name, 'interval', interval, SMALLEST_INTERVAL, LARGEST_INTERVAL);
  if ((interval & (interval - 1)) !== 0) {
    throw new IntegrityError('ERR_OUT_OF_RANGE', `${name}: interval ${interval} is not a power of two`);
  }
  requireRange(name, 'metadataSize', metadataSize, tupleSize, name === 'none' ? 0 : LARGEST_METADATA);
  requireRange(name, 'piOffset', piOffset, 0, guard === null ? 0 : metadataSize - tupleSize);
  requireRange(name, 'tagSize', tagSize, 0, tagRoom(format));
  if (type !== format.type && !(type === 2 && format.type === 1)) {
    throw new IntegrityError('ERR_OUT_OF_RANGE', `${name}: a disk of this format has no type ${type}`);
  }
  return { name: name as ProfileName, type, guard, interval, tupleSize, metadataSize, piOffset, tagSize };
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

function formatByName(name: string): Format {
  if (!Object.hasOwn(FORMATS, name)) {
    throw new IntegrityError(
      'ERR_UNKNOWN_FORMAT',
      `no format is named ${JSON.stringify(name)}: the formats are ${PROFILE_NAMES.join(', ')}`,
    );
  }
  return FORMATS[name as ProfileName];
}

function requireRange(format: string, parameter: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  const range = min === max ? `${min}` : `from ${min} to ${max}`;
  throw new IntegrityError('ERR_OUT_OF_RANGE', `${format}: ${parameter} ${value} must be ${range}`);
}
