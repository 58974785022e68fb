/** What the tests of the mirror are made of. */
import { bioAdvance } from '../../src/bio/advance.js';
import { Bio, type BioDevice } from '../../src/bio/bio.js';
import { bioEndio, bioIntegrityPrep } from '../../src/bio/bio-integrity.js';
import { blkIntegrityComplete } from '../../src/bio/blk-integrity.js';
import type { BioIntegrityPayload } from '../../src/bio/payload.js';
import { SEMANTICS, semanticsByName } from '../../src/bio/semantics.js';
import { type IntegrityError, KernelBugError } from '../../src/errors.js';
import { plainEngine } from '../../src/pi/engine.js';
import { type ProfileOptions, profileByName } from '../../src/pi/profile.js';

export const TYPE1 = 'T10-DIF-TYPE1-CRC';
export const TYPE3 = 'T10-DIF-TYPE3-CRC';

export const NAMES = SEMANTICS.map(({ name }) => name);
/** Linux 3.10 has tests of its own. */
export const SINCE_4_19 = NAMES.filter((name) => !name.startsWith('3.10'));

export function device(
  semantics: string,
  format: string = TYPE1,
  options: ProfileOptions & Partial<BioDevice> = {},
): BioDevice {
  const {
    readVerify = true,
    writeGenerate = true,
    kintegrityd,
    virtBoundary,
    maxIntegritySegments,
    ...profile
  } = options;
  return {
    profile: profileByName(format, profile),
    semantics: semanticsByName(semantics),
    readVerify,
    writeGenerate,
    ...(kintegrityd && { kintegrityd }),
    ...(virtBoundary && { virtBoundary }),
    ...(maxIntegritySegments && { maxIntegritySegments }),
  };
}

export const filled = (byte: number, length = 512): Uint8Array => new Uint8Array(length).fill(byte);

/** Data of which no two intervals are alike. */
export const varied = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7) ^ (i >> 8) ^ (i >> 13));

export const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes)
    .toString('hex')
    .replaceAll(/(.{16})(?=.)/g, '$1 ');

export function errorOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof KernelBugError) return error.message;
    return `${(error as IntegrityError).code}: ${(error as IntegrityError).message}`;
  }
  return 'nothing thrown';
}

/** The payload, which must be there and have prep's buffer. */
export function payload(bio: Bio): BioIntegrityPayload & { buffer: Uint8Array } {
  const { integrity } = bio;
  if (integrity?.buffer == null) throw new Error('the bio has no payload with a buffer');
  return integrity as typeof integrity & { buffer: Uint8Array };
}

/** Ends the bio as it stands, and says how it ended. */
export function ended(bio: Bio): string {
  bioEndio(bio, bio.status);
  return bio.status;
}

/** The tuples of `data` as they lie on the medium of a disk of type 1. */
export function mediumTuples({ profile }: BioDevice, lba: bigint, data: Uint8Array): Uint8Array {
  return plainEngine.generate(data, { profile, layout: 'separate', seed: lba, type3Ref: 'zero' });
}

/** `data` in segments that begin at `cuts`, each in a buffer of its own. */
export function segmented(
  data: Uint8Array,
  cuts: readonly number[],
): { buffer: Uint8Array; offset: number; length: number }[] {
  const bounds = [0, ...cuts, data.length].sort((a, b) => a - b);
  return bounds.slice(1).flatMap((end, i) => {
    const part = data.subarray(bounds[i]!, end);
    if (part.length === 0) return [];
    const buffer = filled(0xee, part.length + 64);
    buffer.set(part, 32);
    return [{ buffer, offset: 32, length: part.length }];
  });
}

/** A read that the disk has served with `tuples` as they are on the medium, up to its completion. */
export function servedRead(
  on: BioDevice,
  lba: bigint,
  memory: { data: Uint8Array } | { segments: ReturnType<typeof segmented> },
  tuples: Uint8Array,
): Bio {
  const bio = Bio.read({ device: on, lba, ...memory });
  bioIntegrityPrep(bio);
  payload(bio).buffer.set(tuples);
  blkIntegrityComplete(bio);
  bioAdvance(bio, bio.iterator.size);
  return bio;
}
