/**
 * Blocks with their tuples, as one READ or WRITE by SG_IO: its CDB, its length, and the reference tags that it counts from.
 */
import { defaultEngine } from '../pi/engine.js';
import type { Profile } from '../pi/profile.js';
import { type TransferCdbSize, type TransferForm, transferLength } from '../scsi/cdb.js';

/**
 * RDPROTECT and WRPROTECT by which tuples are transferred here (SBC-4): 001b, the disk checks them, and 011b, it does not.
 */
export const PROTECT = { checked: 1, unchecked: 3 } as const;
export type ProtectField = (typeof PROTECT)[keyof typeof PROTECT];

/** Type 2 knows its reference tags from 32-byte commands only (T10 SBC-4, READ(32)). */
export function protectedCdbSize(profile: Profile): TransferCdbSize {
  return profile.type === 2 ? 32 : 16;
}

/** Blocks of a disk that is formatted with protection. */
export interface ProtectedRange {
  readonly profile: Profile;
  readonly blockSize: number;
  readonly lba: bigint;
  readonly blocks: number;
}

/** Where a range begins, in intervals of its profile. */
interface Beginning extends Pick<ProtectedRange, 'blockSize' | 'lba'> {
  readonly profile: Pick<Profile, 'interval'>;
}

/** The first reference tag of the range as types 1 and 2 count: an interval after the other from the beginning of the disk. */
export function seedOf({ profile, blockSize, lba }: Beginning): bigint {
  return (lba * BigInt(blockSize)) / BigInt(profile.interval);
}

/** The same, as the 32 bits of a command or a tuple hold it. */
export function refTagOf(range: Beginning): number {
  return Number(BigInt.asUintN(32, seedOf(range)));
}

/** The tuples that belong to the range's data, with this application tag. */
export function tuplesFor(range: Omit<ProtectedRange, 'blocks'>, data: Uint8Array, appTag = 0): Uint8Array {
  const { profile } = range;
  const seed = seedOf(range);
  return defaultEngine().generate(data, { profile, layout: 'separate', seed, appTag, type3Ref: 'seed' });
}

/** Bytes of the range with its tuples. */
export function protectedLength({ profile, blockSize, blocks }: ProtectedRange): number {
  const intervalsPerBlock = blockSize / profile.interval;
  return transferLength({ blocks, blockSize, intervalsPerBlock, protect: PROTECT.checked });
}

/** A READ or WRITE of the range with its tuples; by 32 bytes it expects the reference tags from {@link refTagOf} on. */
export function protectedForm(
  range: Omit<ProtectedRange, 'blocks'>,
  protect: number = PROTECT.checked,
  size: TransferCdbSize = protectedCdbSize(range.profile),
): TransferForm {
  const expected = { refTag: refTagOf(range), appTag: 0, appTagMask: 0 };
  return { size, protect, ...(size === 32 && { expected }) };
}
