/**
 * How a read ends, by the mirror: first the device's own rule, then the kernel's verify as src/bio has it.
 */
import { constants, release } from 'node:os';
import {
  Bio,
  type BioVec,
  BLK_STATUS_ERRNO,
  bioIntegrityVerify,
  blkIntegrityComplete,
  completeBio,
  type Disk,
  defaultEngine,
  type Profile,
  semanticsForRelease,
  submitBio,
} from 'blk-integrity';
import type { DeviceRule } from './targets/target.js';

export interface Prediction {
  /** Positive, 0 for success. */
  readonly errno: number;
  readonly checker: 'device' | 'kernel' | null;
  readonly check: string | null;
  /** What the kernel's log says of the kernel's own finding, where it has both. */
  readonly tags?: { readonly stored: number; readonly computed: number };
}

const GOOD: Prediction = { errno: 0, checker: null, check: null };

/** Of what lies on the medium as `data` with `metadata`, read into `segments`; `first` is the first interval. */
export function predictRead(
  disk: Disk,
  rule: DeviceRule | undefined,
  first: bigint,
  medium: { readonly data: Uint8Array; readonly metadata: Uint8Array },
  segments: readonly BioVec[],
): Prediction {
  const profile = disk.kernelProfile!;
  const check = rule ? deviceRefuses(profile, rule, first, medium.data, medium.metadata) : null;
  if (check !== null) return { errno: constants.errno.EILSEQ, checker: 'device', check };
  return kernelRead(disk, first, medium.data, medium.metadata, segments);
}

/** The fields of a tuple by their offsets in it (T10 SBC-4; NVM command set, 64-bit guard). */
export const FIELDS = {
  8: { guard: [0, 2], app: [2, 4], ref: [4, 8] },
  16: { guard: [0, 8], app: [8, 10], ref: [10, 16] },
} as const;

/** By comparison with tuples as they should be: nothing of the code that the kernel's side runs through. */
function deviceRefuses(
  profile: Profile,
  { checks, exempts }: DeviceRule,
  first: bigint,
  data: Uint8Array,
  metadata: Uint8Array,
): string | null {
  if (checks.length === 0) return null;
  const right = defaultEngine().generate(data, {
    profile,
    layout: 'separate',
    seed: first,
    type3Ref: 'zero',
  });
  const { metadataSize, piOffset, tupleSize } = profile;
  const fields = FIELDS[tupleSize as 8 | 16];
  for (let at = piOffset; at < metadata.length; at += metadataSize) {
    const field = (bytes: Uint8Array, name: keyof typeof fields) =>
      bytes.subarray(at + fields[name][0], at + fields[name][1]);
    const ones = (name: keyof typeof fields) => field(metadata, name).every((byte) => byte === 0xff);
    if (ones('app') && (exempts === 'app' || profile.type !== 3 || ones('ref'))) continue;
    const bad = checks.find((name) => Buffer.compare(field(metadata, name), field(right, name)) !== 0);
    if (bad !== undefined) return bad;
  }
  return null;
}

function kernelRead(
  disk: Disk,
  first: bigint,
  data: Uint8Array,
  metadata: Uint8Array,
  segments: readonly BioVec[],
): Prediction {
  const { readVerify, writeGenerate } = disk.sysfs.integrity;
  const profile = disk.kernelProfile!;
  const device = { profile, semantics: semanticsForRelease(release()), readVerify, writeGenerate };
  /** As far as the device's answer. */
  const submitted = (): Bio => {
    const bio = Bio.read({ device, lba: first, segments });
    const buffer = submitBio(bio);
    scatter(data, segments);
    buffer!.set(metadata);
    return bio;
  };
  const status = completeBio(submitted());
  if (status === null) throw new Error('the bio waits in a queue');
  const errno = -BLK_STATUS_ERRNO[status];
  if (status === 'OK') return GOOD;
  // The same again, for what the log says of it.
  const bio = submitted();
  blkIntegrityComplete(bio);
  const { check, stored, computed } = bioIntegrityVerify(bio).finding!;
  // The log's line of a guard has both values, that of a reference tag one.
  if (check !== 'guard') return { errno, checker: 'kernel', check };
  const logged = profile.guard === 'ip' && logsIpGuardsSwapped() ? swapBytes : Number;
  return { errno, checker: 'kernel', check, tags: { stored: logged(stored), computed: logged(computed) } };
}

export function scatter(data: Uint8Array, memory: readonly BioVec[]): void {
  let at = 0;
  for (const { buffer, offset, length } of memory) {
    buffer.set(data.subarray(at, at + length), offset);
    at += length;
  }
}

/** Linux 7.3 logs IP guards as this CPU reads their bytes, 6.1 and 6.12 as they lie on the medium. */
function logsIpGuardsSwapped(): boolean {
  return Number(release().split('.')[0]) >= 7;
}

function swapBytes(guard: number | bigint): number {
  const word = Number(guard);
  return ((word & 0xff) << 8) | (word >> 8);
}
