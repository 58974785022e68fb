/** Generate and verify with options that are read once, for many calls: one interface, served plain or by the addon. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type NativeBackgroundJob, type NativeVerdict, native } from '../binding.js';
import { IntegrityError } from '../errors.js';
import { type GenerateOptions, generatePlain } from './generate.js';
import { dataOf, type Layout, type Placement, place, placeBlocks, stridesOf } from './layout.js';
import { nativeGenerateJob, nativeVerifyJob, resultOf } from './native.js';
import { readGenerateOptions, readVerifyOptions, requireNumbered, requireTagCounter } from './options.js';
import type { Profile } from './profile.js';
import { type VerifyOptions, type VerifyResult, verifyPlain } from './verify.js';

export interface BackgroundOptions {
  /** Default: that of the options. */
  readonly seed?: bigint | undefined;
  /** Ends the job within a part of a millisecond; the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Every method throws what those of {@link PiEngine} throw for buffers and seeds. A seed is the first interval's reference tag, 0 to
 * 2^64 - 1, by default that of the options.
 */
export interface PreparedGenerate {
  generateInto(data: Uint8Array, metadata: Uint8Array | null, seed?: bigint): void;
  insert(data: Uint8Array, blocks: Uint8Array, seed?: bigint): void;
  generateIntoAsync(data: Uint8Array, metadata: Uint8Array | null, job?: BackgroundOptions): Promise<void>;
}

/** As {@link PreparedGenerate}. */
export interface PreparedVerify {
  verify(data: Uint8Array, metadata: Uint8Array | null, seed?: bigint): VerifyResult;
  strip(blocks: Uint8Array, data: Uint8Array, seed?: bigint): VerifyResult;
  verifyAsync(data: Uint8Array, metadata: Uint8Array | null, job?: BackgroundOptions): Promise<VerifyResult>;
}

type Work<Result> = (placement: Placement, seed: bigint) => Result;
type BackgroundWork<Result> = (
  placement: Placement,
  seed: bigint,
  signal: AbortSignal | undefined,
) => Promise<Result>;

/** What an engine makes of options that were read. */
export interface Works {
  generate(options: GenerateOptions): Work<void>;
  insert(options: GenerateOptions): Work<void>;
  generateAsync(options: GenerateOptions): BackgroundWork<void>;
  verify(options: VerifyOptions): Work<VerifyResult>;
  strip(options: VerifyOptions): Work<VerifyResult>;
  verifyAsync(options: VerifyOptions): BackgroundWork<VerifyResult>;
}

/** Without threads: the work is done in a later turn of the event loop, and a signal counts until it begins. */
const later =
  <Result>(work: Work<Result>): BackgroundWork<Result> =>
  async (placement, seed, signal) => {
    await nextTurn();
    signal?.throwIfAborted();
    return work(placement, seed);
  };

export const plainWorks: Works = {
  generate: (options) => (placement, seed) => generatePlain(placement, { ...options, seed }),
  insert: (options) => (placement, seed) => {
    const { profile } = options;
    const { metadata: blocks, metadataStride } = placement;
    for (let i = 0; i < placement.intervals; i++) {
      const block = blocks.subarray(i * metadataStride, (i + 1) * metadataStride);
      block.set(dataOf(profile, placement, i));
      block.fill(0, profile.interval);
    }
    generatePlain(placement, { ...options, seed });
  },
  generateAsync: (options) => later(plainWorks.generate(options)),
  verify: (options) => (placement, seed) => verifyPlain(placement, { ...options, seed }),
  strip: (options) => (placement, seed) => {
    const { profile } = options;
    const { metadata: blocks, metadataStride } = placement;
    for (let i = 0; i < placement.intervals; i++) {
      const start = i * metadataStride;
      dataOf(profile, placement, i).set(blocks.subarray(start, start + profile.interval));
    }
    return verifyPlain(placement, { ...options, seed });
  },
  verifyAsync: (options) => later(plainWorks.verify(options)),
};

/** What the addon does not know goes the plain way. */
export const nativeWorks: Works = {
  generate(options) {
    const job = nativeGenerateJob(anyOf(options.profile, options.layout), options);
    if (job === null) return plainWorks.generate(options);
    const run = native().prepareGenerate(job);
    return (placement, seed) => run(placement.data, metadataOf(placement), seed);
  },
  insert(options) {
    const job = nativeGenerateJob(anyOf(options.profile, 'blocks'), options);
    if (job === null) return plainWorks.insert(options);
    const run = native().prepareInsert(job);
    return ({ data, metadata }, seed) => run(data, metadata, seed);
  },
  generateAsync(options) {
    const job = nativeGenerateJob(anyOf(options.profile, options.layout), options);
    if (job === null) return plainWorks.generateAsync(options);
    const start = native().prepareGenerateAsync(job);
    return async (placement, seed, signal) => {
      const delivered = await ended(start(placement.data, metadataOf(placement), seed), signal);
      if (delivered) return;
      throw new IntegrityError(
        'ERR_USAGE',
        'the ArrayBuffer of the metadata was detached before they were made',
      );
    };
  },
  verify(options) {
    const job = nativeVerifyJob(anyOf(options.profile, options.layout), options);
    if (job === null) return plainWorks.verify(options);
    const run = native().prepareVerify(job);
    return (placement, seed) =>
      verdictOf(run(placement.data, metadataOf(placement), seed), placement, options, seed);
  },
  strip(options) {
    const job = nativeVerifyJob(anyOf(options.profile, 'blocks'), options);
    if (job === null) return plainWorks.strip(options);
    const run = native().prepareStrip(job);
    return (placement, seed) =>
      verdictOf(run(placement.data, placement.metadata, seed), placement, options, seed);
  },
  verifyAsync(options) {
    const job = nativeVerifyJob(anyOf(options.profile, options.layout), options);
    if (job === null) return plainWorks.verifyAsync(options);
    const start = native().prepareVerifyAsync(job);
    return async (placement, seed, signal) => {
      const verdict = await ended(start(placement.data, metadataOf(placement), seed), signal);
      return verdictOf(verdict, placement, options, seed);
    };
  },
};

export function prepareGenerate(works: Works, given: GenerateOptions): PreparedGenerate {
  const options = readGenerateOptions(given);
  const { profile, layout } = options;
  let generate: Work<void> | undefined;
  let insert: Work<void> | undefined;
  let generateAsync: BackgroundWork<void> | undefined;
  return {
    generateInto(data, metadata, seed = options.seed) {
      const placement = place(profile, layout, data, metadata);
      generate ??= works.generate(options);
      generate(placement, requireTagCounter(seed, 'seed'));
    },
    insert(data, blocks, seed = options.seed) {
      requireInterleaved(layout);
      const placement = placeBlocks(profile, data, blocks);
      insert ??= works.insert(options);
      insert(placement, requireTagCounter(seed, 'seed'));
    },
    async generateIntoAsync(data, metadata, { seed = options.seed, signal } = {}) {
      signal?.throwIfAborted();
      const placement = place(profile, layout, data, metadata);
      generateAsync ??= works.generateAsync(options);
      await generateAsync(placement, requireTagCounter(seed, 'seed'), signal);
    },
  };
}

export function prepareVerify(works: Works, given: VerifyOptions): PreparedVerify {
  const options = readVerifyOptions(given);
  const { profile, layout, startInterval } = options;
  let verify: Work<VerifyResult> | undefined;
  let strip: Work<VerifyResult> | undefined;
  let verifyAsync: BackgroundWork<VerifyResult> | undefined;
  return {
    verify(data, metadata, seed = options.seed) {
      const placement = place(profile, layout, data, metadata);
      requireNumbered(placement.intervals, startInterval);
      verify ??= works.verify(options);
      return verify(placement, requireTagCounter(seed, 'seed'));
    },
    strip(blocks, data, seed = options.seed) {
      requireInterleaved(layout);
      const placement = placeBlocks(profile, data, blocks);
      requireNumbered(placement.intervals, startInterval);
      strip ??= works.strip(options);
      return strip(placement, requireTagCounter(seed, 'seed'));
    },
    async verifyAsync(data, metadata, { seed = options.seed, signal } = {}) {
      signal?.throwIfAborted();
      const placement = place(profile, layout, data, metadata);
      requireNumbered(placement.intervals, startInterval);
      verifyAsync ??= works.verifyAsync(options);
      return verifyAsync(placement, requireTagCounter(seed, 'seed'), signal);
    },
  };
}

/** A placement of as many intervals as the addon numbers, for options that are prepared before there are any. */
function anyOf(profile: Profile, layout: Layout | 'blocks'): Placement {
  const nothing = new Uint8Array(0);
  return { intervals: 2 ** 32 - 1, data: nothing, metadata: nothing, ...stridesOf(profile, layout) };
}

function verdictOf(
  verdict: NativeVerdict,
  placement: Placement,
  options: VerifyOptions,
  seed: bigint,
): VerifyResult {
  if (verdict !== undefined) return resultOf(verdict, placement, options, seed);
  // The same object where it says the same: to make one takes as long as to check a block.
  if (allGood.intervals !== placement.intervals) allGood = goodResult(placement.intervals);
  return allGood;
}

let allGood = goodResult(0);

function goodResult(intervals: number): VerifyResult {
  return Object.freeze({
    ok: true,
    intervals,
    checked: intervals,
    escaped: 0,
    bad: 0,
    badByCheck: Object.freeze({ guard: 0, app: 0, ref: 0 }),
    findings: Object.freeze([]),
  });
}

/** As the addon takes it. */
function metadataOf({ data, metadata }: Placement): Uint8Array | null {
  return metadata === data ? null : metadata;
}

/** What the job answers; it is stopped when the signal is aborted before. */
async function ended<Answer>(
  { done, stop }: NativeBackgroundJob<Answer>,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const answer = await done;
    signal?.throwIfAborted();
    // Null only of a job that was stopped.
    return answer as Answer;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

function requireInterleaved(layout: Layout): void {
  if (layout === 'interleaved') return;
  throw new IntegrityError('ERR_USAGE', `layout ${layout}: the metadata of blocks is interleaved`);
}
