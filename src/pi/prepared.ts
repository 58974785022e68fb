/** Generate and verify with options that are read once, for many calls: by a plan of the addon, or plain. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type NativeBackgroundJob, type NativePlan, native } from '../binding.js';
import { IntegrityError } from '../errors.js';
import { onAbort } from '../on-abort.js';
import { type GenerateOptions, generatePlain } from './generate.js';
import { insertPlain, stripPlain } from './insert-strip.js';
import { fit, fitBlocks, place, placeBlocks, requireInterleaved } from './layout.js';
import { resultOf } from './native.js';
import { readGenerateOptions, readVerifyOptions, requireNumbered, requireTagCounter } from './options.js';
import { type VerifyOptions, type VerifyResult, verifyPlain } from './verify.js';
import type { Works } from './works.js';

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

// The addon has one function for all plans, and good results are one object: V8 inlines a call where it has always met the same function,
// and to make an object takes as long as to check a block.

export function prepareGenerate(works: Works, given: GenerateOptions): PreparedGenerate {
  const options = readGenerateOptions(given);
  const { profile, layout } = options;
  let plan: NativePlan<'generate'> | null | undefined;
  let planOfBlocks: NativePlan<'generate'> | null | undefined;
  return {
    generateInto(data, metadata, seed = options.seed) {
      fit(profile, layout, data, metadata);
      requireTagCounter(seed, 'seed');
      plan ??= works.generatePlan(options, layout);
      if (plan === null) generatePlain(place(profile, layout, data, metadata), { ...options, seed });
      else if (metadata === null) native().runGenerate(plan, seed, data);
      else native().runGenerate(plan, seed, data, metadata);
    },
    insert(data, blocks, seed = options.seed) {
      requireInterleaved(layout);
      fitBlocks(profile, data, blocks);
      requireTagCounter(seed, 'seed');
      planOfBlocks ??= works.generatePlan(options, 'blocks');
      if (planOfBlocks === null) insertPlain(placeBlocks(profile, data, blocks), { ...options, seed });
      else native().runInsert(planOfBlocks, seed, data, blocks);
    },
    async generateIntoAsync(data, metadata, { seed = options.seed, signal } = {}) {
      signal?.throwIfAborted();
      const placement = place(profile, layout, data, metadata);
      requireTagCounter(seed, 'seed');
      plan ??= works.generatePlan(options, layout);
      if (plan === null) {
        await laterTurn(signal);
        generatePlain(placement, { ...options, seed });
        return;
      }
      const delivered = await ended(native().startGenerate(plan, seed, ...buffers(data, metadata)), signal);
      if (delivered) return;
      throw new IntegrityError(
        'ERR_USAGE',
        'the ArrayBuffer of the metadata was detached before they were made',
      );
    },
  };
}

export function prepareVerify(works: Works, given: VerifyOptions): PreparedVerify {
  const options = readVerifyOptions(given);
  const { profile, layout, startInterval } = options;
  let plan: NativePlan<'verify'> | null | undefined;
  let planOfBlocks: NativePlan<'verify'> | null | undefined;
  return {
    verify(data, metadata, seed = options.seed) {
      requireNumbered(fit(profile, layout, data, metadata), startInterval);
      requireTagCounter(seed, 'seed');
      plan ??= works.verifyPlan(options, layout);
      if (plan === null) return verifyPlain(place(profile, layout, data, metadata), { ...options, seed });
      const verdict =
        metadata === null
          ? native().runVerify(plan, seed, data)
          : native().runVerify(plan, seed, data, metadata);
      if (typeof verdict === 'number') return goodResult(verdict);
      return resultOf(verdict, place(profile, layout, data, metadata), options, seed);
    },
    strip(blocks, data, seed = options.seed) {
      requireInterleaved(layout);
      requireNumbered(fitBlocks(profile, data, blocks), startInterval);
      requireTagCounter(seed, 'seed');
      planOfBlocks ??= works.verifyPlan(options, 'blocks');
      if (planOfBlocks === null) return stripPlain(placeBlocks(profile, data, blocks), { ...options, seed });
      const verdict = native().runStrip(planOfBlocks, seed, data, blocks);
      if (typeof verdict === 'number') return goodResult(verdict);
      return resultOf(verdict, placeBlocks(profile, data, blocks), options, seed);
    },
    async verifyAsync(data, metadata, { seed = options.seed, signal } = {}) {
      signal?.throwIfAborted();
      const placement = place(profile, layout, data, metadata);
      requireNumbered(placement.intervals, startInterval);
      requireTagCounter(seed, 'seed');
      plan ??= works.verifyPlan(options, layout);
      if (plan === null) {
        await laterTurn(signal);
        return verifyPlain(placement, { ...options, seed });
      }
      const verdict = await ended(native().startVerify(plan, seed, ...buffers(data, metadata)), signal);
      if (typeof verdict === 'number') return goodResult(verdict);
      return resultOf(verdict, placement, options, seed);
    },
  };
}

/** Every interval was checked, and none is bad. The same object as before where it says the same. */
function goodResult(intervals: number): VerifyResult {
  if (lastGood.intervals !== intervals) lastGood = makeGood(intervals);
  return lastGood;
}

let lastGood = makeGood(0);

function makeGood(intervals: number): VerifyResult {
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

/** Without threads: the work is done in a later turn of the event loop, and a signal counts until it begins. */
async function laterTurn(signal: AbortSignal | undefined): Promise<void> {
  await nextTurn();
  signal?.throwIfAborted();
}

/** As the addon takes them: interleaved, there is one. */
function buffers(data: Uint8Array, metadata: Uint8Array | null): [Uint8Array, Uint8Array?] {
  return metadata === null ? [data] : [data, metadata];
}

/** What the job answers; it is stopped when the signal is aborted before. */
async function ended<Answer>(
  { done, stop }: NativeBackgroundJob<Answer>,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  const waitNoMore = onAbort(signal, stop);
  try {
    const answer = await done;
    signal?.throwIfAborted();
    // Null only of a job that was stopped.
    return answer as Answer;
  } finally {
    waitNoMore();
  }
}
