/** Generate and verify with options that are read once, for many calls: by a plan of the addon, or plain. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type NativeBackgroundJob, type NativePlan, type NativeVerdict, native } from '../binding.js';
import { IntegrityError } from '../errors.js';
import { type GenerateOptions, generatePlain } from './generate.js';
import { insertPlain, stripPlain } from './insert-strip.js';
import { type Placement, place, placeBlocks, requireInterleaved } from './layout.js';
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

type GeneratePlan = NativePlan<'generate'> | null;
type VerifyPlan = NativePlan<'verify'> | null;

export function prepareGenerate(works: Works, given: GenerateOptions): PreparedGenerate {
  const options = readGenerateOptions(given);
  const { profile, layout } = options;
  let plan: GeneratePlan | undefined;
  let planOfBlocks: GeneratePlan | undefined;
  return {
    generateInto(data, metadata, seed = options.seed) {
      const placement = place(profile, layout, data, metadata);
      plan ??= works.generatePlan(options, layout);
      generate(plan, placement, options, requireTagCounter(seed, 'seed'));
    },
    insert(data, blocks, seed = options.seed) {
      requireInterleaved(layout);
      const placement = placeBlocks(profile, data, blocks);
      planOfBlocks ??= works.generatePlan(options, 'blocks');
      insert(planOfBlocks, placement, options, requireTagCounter(seed, 'seed'));
    },
    async generateIntoAsync(data, metadata, { seed = options.seed, signal } = {}) {
      signal?.throwIfAborted();
      const placement = place(profile, layout, data, metadata);
      plan ??= works.generatePlan(options, layout);
      await generateAsync(plan, placement, options, requireTagCounter(seed, 'seed'), signal);
    },
  };
}

export function prepareVerify(works: Works, given: VerifyOptions): PreparedVerify {
  const options = readVerifyOptions(given);
  const { profile, layout, startInterval } = options;
  let plan: VerifyPlan | undefined;
  let planOfBlocks: VerifyPlan | undefined;
  return {
    verify(data, metadata, seed = options.seed) {
      const placement = place(profile, layout, data, metadata);
      requireNumbered(placement.intervals, startInterval);
      plan ??= works.verifyPlan(options, layout);
      return verify(plan, placement, options, requireTagCounter(seed, 'seed'));
    },
    strip(blocks, data, seed = options.seed) {
      requireInterleaved(layout);
      const placement = placeBlocks(profile, data, blocks);
      requireNumbered(placement.intervals, startInterval);
      planOfBlocks ??= works.verifyPlan(options, 'blocks');
      return strip(planOfBlocks, placement, options, requireTagCounter(seed, 'seed'));
    },
    async verifyAsync(data, metadata, { seed = options.seed, signal } = {}) {
      signal?.throwIfAborted();
      const placement = place(profile, layout, data, metadata);
      requireNumbered(placement.intervals, startInterval);
      plan ??= works.verifyPlan(options, layout);
      return verifyAsync(plan, placement, options, requireTagCounter(seed, 'seed'), signal);
    },
  };
}

// Functions of the module and one of the addon for all plans: V8 inlines a call where it has always met the same function, and what is
// made anew for each checker would be another every time.

function generate(plan: GeneratePlan, placement: Placement, options: GenerateOptions, seed: bigint): void {
  const { data, metadata } = placement;
  if (plan === null) generatePlain(placement, { ...options, seed });
  else if (metadata === data) native().runGenerate(plan, seed, data);
  else native().runGenerate(plan, seed, data, metadata);
}

function insert(plan: GeneratePlan, placement: Placement, options: GenerateOptions, seed: bigint): void {
  if (plan === null) insertPlain(placement, { ...options, seed });
  else native().runInsert(plan, seed, placement.data, placement.metadata);
}

function verify(plan: VerifyPlan, placement: Placement, options: VerifyOptions, seed: bigint): VerifyResult {
  if (plan === null) return verifyPlain(placement, { ...options, seed });
  const { data, metadata } = placement;
  const verdict =
    metadata === data ? native().runVerify(plan, seed, data) : native().runVerify(plan, seed, data, metadata);
  return verdictOf(verdict, placement, options, seed);
}

function strip(plan: VerifyPlan, placement: Placement, options: VerifyOptions, seed: bigint): VerifyResult {
  if (plan === null) return stripPlain(placement, { ...options, seed });
  return verdictOf(
    native().runStrip(plan, seed, placement.data, placement.metadata),
    placement,
    options,
    seed,
  );
}

async function generateAsync(
  plan: GeneratePlan,
  placement: Placement,
  options: GenerateOptions,
  seed: bigint,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (plan === null) {
    await laterTurn(signal);
    generatePlain(placement, { ...options, seed });
  } else if (!(await ended(native().startGenerate(plan, seed, ...buffersOf(placement)), signal))) {
    throw new IntegrityError(
      'ERR_USAGE',
      'the ArrayBuffer of the metadata was detached before they were made',
    );
  }
}

async function verifyAsync(
  plan: VerifyPlan,
  placement: Placement,
  options: VerifyOptions,
  seed: bigint,
  signal: AbortSignal | undefined,
): Promise<VerifyResult> {
  if (plan === null) {
    await laterTurn(signal);
    return verifyPlain(placement, { ...options, seed });
  }
  const verdict = await ended(native().startVerify(plan, seed, ...buffersOf(placement)), signal);
  return verdictOf(verdict, placement, options, seed);
}

/** Without threads: the work is done in a later turn of the event loop, and a signal counts until it begins. */
async function laterTurn(signal: AbortSignal | undefined): Promise<void> {
  await nextTurn();
  signal?.throwIfAborted();
}

/** As the addon takes them. */
function buffersOf({ data, metadata }: Placement): [Uint8Array, Uint8Array?] {
  return metadata === data ? [data] : [data, metadata];
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
