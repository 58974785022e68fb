/** Generate and verify over whole buffers: one interface, served plain or by the addon. */
import { native } from '../binding.js';
import { IntegrityError } from '../errors.js';
import { type GenerateOptions, generatePlain } from './generate.js';
import { countIntervals, type Placement, place, strideOf } from './layout.js';
import { generateNative, verifyNative } from './native.js';
import { readGenerateOptions, readVerifyOptions, requireNumbered } from './options.js';
import { type VerifyOptions, type VerifyResult, verifyPlain } from './verify.js';

export type { AppTagRange } from './app-tags.js';
export type { GenerateOptions, Type3Ref } from './generate.js';
export type { IpGuardCovers } from './guard.js';
export type { Layout } from './layout.js';
export type { CheckedField, CheckOrder, Finding, VerifyOptions, VerifyResult } from './verify.js';

/**
 * Every method throws ERR_BAD_LENGTH where the lengths do not fit the profile, with the numbers, and
 * ERR_OUT_OF_RANGE for a seed, tag, range or count that is none, ERR_USAGE for a name that no option has, and ERR_OUT_OF_RANGE or
 * ERR_UNKNOWN_FORMAT for a profile that is none. Nothing is kept of the buffers after the return.
 */
export interface PiEngine {
  /**
   * The metadata of all intervals (separate), or blocks with their metadata (interleaved), in a buffer that
   * is the caller's; `data` is plain data. The metadata outside the tuples is zero.
   */
  generate(data: Uint8Array, options: GenerateOptions): Uint8Array;
  /**
   * The same in place: separate, into `metadata`; interleaved, into `data` with `metadata` null. Only tuples
   * are written.
   */
  generateInto(data: Uint8Array, metadata: Uint8Array | null, options: GenerateOptions): void;
  /**
   * Compares every interval and goes on after a bad one. Interleaved: one stream in `data`, `metadata` null. ERR_USAGE for
   * the check of an application tag that is not given.
   */
  verify(data: Uint8Array, metadata: Uint8Array | null, options: VerifyOptions): VerifyResult;
}

/** In TypeScript, for every profile. */
export const plainEngine: PiEngine = engineOf(generatePlain, verifyPlain);

/** By the addon, which is loaded on first use; throws ERR_NO_ADDON when it cannot be. */
export const nativeEngine: PiEngine = engineOf(generateNative, verifyNative);

let chosen: PiEngine | undefined;

/** The native engine where the addon loads, else the plain one. */
export function defaultEngine(): PiEngine {
  chosen ??= addonLoads() ? nativeEngine : plainEngine;
  return chosen;
}

function addonLoads(): boolean {
  try {
    native();
    return true;
  } catch (error) {
    if (error instanceof IntegrityError && error.code === 'ERR_NO_ADDON') return false;
    throw error;
  }
}

function engineOf(
  generateTuples: (placement: Placement, options: GenerateOptions) => void,
  verifyTuples: (placement: Placement, options: VerifyOptions) => VerifyResult,
): PiEngine {
  const fill = (data: Uint8Array, metadata: Uint8Array | null, options: GenerateOptions) =>
    generateTuples(place(options.profile, options.layout, data, metadata), options);
  return {
    generateInto: (data, metadata, given) => fill(data, metadata, readGenerateOptions(given)),
    generate(data, given) {
      const options = readGenerateOptions(given);
      const { profile, layout } = options;
      const { interval, metadataSize } = profile;
      const intervals = countIntervals(profile, 'separate', data.length);
      if (layout === 'separate') {
        const metadata = new Uint8Array(intervals * metadataSize);
        fill(data, metadata, options);
        return metadata;
      }
      const stride = strideOf(profile, layout);
      const blocks = new Uint8Array(intervals * stride);
      for (let i = 0; i < intervals; i++) {
        blocks.set(data.subarray(i * interval, (i + 1) * interval), i * stride);
      }
      fill(blocks, null, options);
      return blocks;
    },
    verify(data, metadata, given) {
      const options = readVerifyOptions(given);
      const placement = place(options.profile, options.layout, data, metadata);
      requireNumbered(placement.intervals, options.startInterval);
      return verifyTuples(placement, options);
    },
  };
}
