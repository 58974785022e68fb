/**
 * What a write to this disk leaves beside its data, by the software mirror.
 */
import { release } from 'node:os';
import { Bio, type BioOptions } from '../bio/bio.js';
import { semanticsForRelease } from '../bio/semantics.js';
import { submitBio } from '../bio/submit.js';
import type { Disk } from '../device/disk.js';
import { seedOf, tuplesFor } from '../device/protected-range.js';
import type { PathName } from '../words.js';

/** The memory of a write: one piece, or segments as a bio has them. */
export type WriteMemory =
  | { readonly data: Uint8Array }
  | Pick<Extract<BioOptions, { segments: unknown }>, 'segments'>;

/**
 * The tuples that a write at `lba` leaves on the medium: prepared with virtual reference tags, then remapped to LBAs. Empty for a
 * disk without a profile. Throws ERR_OUT_OF_RANGE for a kernel that the mirror has no semantics for.
 */
export function mirrorTuples(disk: Disk, lba: bigint, memory: WriteMemory): Uint8Array {
  const profile = disk.kernelProfile;
  if (profile === null) return new Uint8Array(0);
  const { readVerify, writeGenerate } = disk.sysfs.integrity;
  const device = { profile, semantics: semanticsForRelease(release()), readVerify, writeGenerate };
  const interval = seedOf({ profile, blockSize: disk.blockSize, lba });
  return submitBio(Bio.write({ device, lba: interval, ...memory })) ?? new Uint8Array(0);
}

/**
 * The tuples that belong to data which is written at `lba` by `path`: the kernel's, or on the wire the disk's own, with this application
 * tag. Empty without.
 */
export function tuplesBy(
  path: PathName,
  disk: Disk,
  lba: bigint,
  data: Uint8Array,
  appTag?: number,
): Uint8Array {
  const { blockSize, diskProfile: profile } = disk;
  if (path !== 'passthrough') return mirrorTuples(disk, lba, { data });
  return profile === null ? new Uint8Array(0) : tuplesFor({ profile, blockSize, lba }, data, appTag);
}
