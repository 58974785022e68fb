/** Generate and verify over whole buffers: one interface, served plain or by the addon. */
import { native } from '../binding.js';
import { IntegrityError } from '../errors.js';
import { requireBytes } from './bytes.js';
import type { GenerateOptions } from './generate.js';
import { countIntervals, place, placeBlocks, requireInterleaved, strideOf } from './layout.js';
import { readGenerateOptions, readVerifyOptions, requireNumbered } from './options.js';
import {
  type BackgroundOptions,
  type PreparedGenerate,
  type PreparedVerify,
  prepareGenerate,
  prepareVerify,
} from './prepared.js';
import type { VerifyOptions, VerifyResult } from './verify.js';
import { nativeWorks, plainWorks, type Works } from './works.js';

export type { AppTagRange } from './app-tags.js';
export type { GenerateOptions, Type3Ref } from './generate.js';
export type { IpGuardCovers } from './guard.js';
export type { Layout } from './layout.js';
export type { BackgroundOptions, PreparedGenerate, PreparedVerify } from './prepared.js';
export type { CheckedField, CheckOrder, Finding, VerifyOptions, VerifyResult } from './verify.js';

/**
 * Every method throws ERR_BAD_LENGTH where the lengths do not fit the profile, with the numbers, and
 * ERR_OUT_OF_RANGE for a seed, tag, range or count that is none, ERR_USAGE for a name that no option has and for a buffer that is
 * shared, resizable or detached, and ERR_OUT_OF_RANGE or ERR_UNKNOWN_FORMAT for a profile that is none. Nothing is kept of the
 * buffers after the return, or the end of the job.
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
   * Plain data into blocks with their metadata, in one pass: copies, and writes the tuples; the metadata outside of them becomes zero.
   * The layout is interleaved.
   */
  insert(data: Uint8Array, blocks: Uint8Array, options: GenerateOptions): void;
  /** `generateInto` on threads of the addon's own; see `verifyAsync`. After an abort the metadata may be made in part. */
  generateIntoAsync(
    data: Uint8Array,
    metadata: Uint8Array | null,
    options: GenerateOptions,
    job?: Pick<BackgroundOptions, 'signal'>,
  ): Promise<void>;
  /**
   * Compares every interval and goes on after a bad one. Interleaved: one stream in `data`, `metadata` null. ERR_USAGE for
   * the check of an application tag that is not given.
   */
  verify(data: Uint8Array, metadata: Uint8Array | null, options: VerifyOptions): VerifyResult;
  /**
   * Blocks with their metadata to plain data, in one pass: copies every interval, the bad ones too, and verifies. The layout is
   * interleaved.
   */
  strip(blocks: Uint8Array, data: Uint8Array, options: VerifyOptions): VerifyResult;
  /**
   * The same as `verify` on threads of the addon's own, a job a thread: for what takes longer than a millisecond or so. It works on a
   * {@link pinnedBuffer} as it is; other memory can be transferred away at any time and is copied before this returns. What is
   * written to the buffers before the promise is settled may be seen or not. The plain engine has no threads: it does the work in a
   * later turn of the event loop.
   */
  verifyAsync(
    data: Uint8Array,
    metadata: Uint8Array | null,
    options: VerifyOptions,
    job?: Pick<BackgroundOptions, 'signal'>,
  ): Promise<VerifyResult>;
  /** For many calls with the same options, which are read once. */
  prepareGenerate(options: GenerateOptions): PreparedGenerate;
  prepareVerify(options: VerifyOptions): PreparedVerify;
}

/** In TypeScript, for every profile. */
export const plainEngine: PiEngine = engineOf(plainWorks);

/** By the addon, which is loaded on first use; throws ERR_NO_ADDON when it cannot be. */
export const nativeEngine: PiEngine = engineOf(nativeWorks);

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

function engineOf(works: Works): PiEngine {
  return {
    generateInto(data, metadata, given) {
      const options = readGenerateOptions(given);
      works.generate(place(options.profile, options.layout, data, metadata), options);
    },
    generate(data, given) {
      const options = readGenerateOptions(given);
      const { profile, layout } = options;
      requireBytes(data, 'data');
      const intervals = countIntervals(profile, 'separate', data.length);
      if (layout === 'separate') {
        const metadata = new Uint8Array(intervals * profile.metadataSize);
        works.generate(place(profile, layout, data, metadata), options);
        return metadata;
      }
      const blocks = new Uint8Array(intervals * strideOf(profile, layout));
      works.insert(placeBlocks(profile, data, blocks), options);
      return blocks;
    },
    verify(data, metadata, given) {
      const options = readVerifyOptions(given);
      const placement = place(options.profile, options.layout, data, metadata);
      requireNumbered(placement.intervals, options.startInterval);
      return works.verify(placement, options);
    },
    insert(data, blocks, given) {
      const options = readGenerateOptions(given);
      requireInterleaved(options.layout);
      works.insert(placeBlocks(options.profile, data, blocks), options);
    },
    strip(blocks, data, given) {
      const options = readVerifyOptions(given);
      requireInterleaved(options.layout);
      const placement = placeBlocks(options.profile, data, blocks);
      requireNumbered(placement.intervals, options.startInterval);
      return works.strip(placement, options);
    },
    generateIntoAsync: async (data, metadata, options, job) =>
      prepareGenerate(works, options).generateIntoAsync(data, metadata, job),
    verifyAsync: async (data, metadata, options, job) =>
      prepareVerify(works, options).verifyAsync(data, metadata, job),
    prepareGenerate: (options) => prepareGenerate(works, options),
    prepareVerify: (options) => prepareVerify(works, options),
  };
}
