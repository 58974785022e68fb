/** Faults on purpose: single bits, flipped by a seeded choice. */
import { IntegrityError } from '../errors.js';
import { type Layout, type Placement, place, tupleOffset } from './layout.js';
import { readOptions } from './options.js';
import { countsReferenceTags, type Profile } from './profile.js';
import { shown } from './shown.js';
import { isEscaped, readTuple, viewOf } from './tuple.js';
import type { CheckedField } from './verify.js';

/** The field that a fault is in. `data` is the interval's data without its metadata. */
export type FaultTarget = 'data' | CheckedField;

const TARGETS: readonly FaultTarget[] = ['data', 'guard', 'app', 'ref'];

/** One flipped bit. */
export interface InjectedFault {
  /** Counted from 0. */
  readonly interval: number;
  readonly target: FaultTarget;
  /** Counted from the first byte of the interval's data, else from the first byte of its tuple. */
  readonly byte: number;
  /** 0 is the least significant. */
  readonly bit: number;
}

export interface Protected {
  readonly profile: Profile;
  readonly layout: Layout;
}

const PROTECTED = ['profile', 'layout'] as const;

export interface InjectOptions extends Protected {
  /** 0 to 2^32 - 1. The same number gives the same faults in the same blocks, in either layout, in every release. */
  readonly randomSeed: number;
  readonly target: FaultTarget;
  /** How many intervals get a fault, each one bit. */
  readonly count: number;
}

/**
 * Flips one bit in each of `count` distinct intervals, in place, and says which, by interval. Escaped intervals are passed over, and
 * no bit is flipped that would make a tuple escaped: nobody would be looking there. `undoFaults` takes them back.
 *
 * Choices are by xorshift32 (Marsaglia 2003: shifts 13, 17, 5), from the seed times 9E3779B1h plus 12345678h, or from 1 where that is
 * 0; a number below n is the state times n, divided by 2^32.
 *
 * @throws ERR_OUT_OF_RANGE for more faults than there are intervals that can have one, and for numbers that are none; ERR_USAGE for
 * a profile without tuples, for the reference tag of type 3, which is not compared, and for a target that is none; for profile, layout and
 * lengths that do not fit, as `verify`.
 */
export function injectFaults(
  data: Uint8Array,
  metadata: Uint8Array | null,
  options: InjectOptions,
): InjectedFault[] {
  const { profile, layout } = readOptions(options, PROTECTED);
  const { randomSeed, target, count } = options;
  const { tupleSize } = profile;
  if (tupleSize === 0)
    throw new IntegrityError('ERR_USAGE', `${profile.name} has no tuples: no fault would be found`);
  requireTarget(profile, target);
  if (target === 'ref' && !countsReferenceTags(profile)) {
    throw new IntegrityError(
      'ERR_USAGE',
      `${profile.name}: no fault in a reference tag that nobody compares`,
    );
  }
  const placement = place(profile, layout, data, metadata);
  const view = viewOf(placement.metadata);
  const tupleAt = (interval: number) => readTuple(view, tupleOffset(profile, placement, interval), tupleSize);

  const open: number[] = [];
  for (let i = 0; i < placement.intervals; i++) {
    if (!isEscaped(profile, tupleSize, tupleAt(i))) open.push(i);
  }
  requireWhole('randomSeed', randomSeed, 2 ** 32 - 1);
  requireWhole('count', count, open.length);

  const below = xorshift32(randomSeed);
  const { start, bytes } = fieldOf(profile, target);
  const faults: InjectedFault[] = [];
  for (let k = 0; k < count; k++) {
    // The first k are taken; one of the others comes next (Fisher and Yates).
    const chosen = k + below(open.length - k);
    [open[k], open[chosen]] = [open[chosen]!, open[k]!];
    const interval = open[k]!;
    const bit = below(8 * bytes);
    let fault = faultAt(interval, target, start, bit);
    flip(profile, placement, fault);
    if (isEscaped(profile, tupleSize, tupleAt(interval))) {
      flip(profile, placement, fault);
      fault = faultAt(interval, target, start, (bit + 1) % (8 * bytes));
      flip(profile, placement, fault);
    }
    faults.push(fault);
  }
  return faults.sort((a, b) => a.interval - b.interval);
}

/**
 * Flips the bits of `faults` back, all or none.
 *
 * @throws ERR_OUT_OF_RANGE for a fault that is not in these buffers or not in the field that it names; ERR_USAGE for a target that is
 * none or that the profile has not; for profile, layout and lengths that do not fit, as `verify`.
 */
export function undoFaults(
  data: Uint8Array,
  metadata: Uint8Array | null,
  options: Protected,
  faults: readonly InjectedFault[],
): void {
  const { profile, layout } = readOptions(options, PROTECTED);
  const placement = place(profile, layout, data, metadata);
  const read = faults.map(({ interval, target, byte, bit }) => ({ interval, target, byte, bit }));
  for (const { interval, target, byte, bit } of read) {
    requireTarget(profile, target);
    const { start, bytes } = fieldOf(profile, target);
    requireWhole('interval', interval, placement.intervals - 1);
    requireWhole(`byte of the ${target}`, byte, start + bytes - 1, start);
    requireWhole('bit', bit, 7);
  }
  for (const fault of read) flip(profile, placement, fault);
}

function requireTarget(profile: Profile, target: FaultTarget): void {
  const targets: readonly FaultTarget[] = profile.tupleSize === 0 ? ['data'] : TARGETS;
  if (targets.includes(target)) return;
  throw new IntegrityError('ERR_USAGE', `target ${shown(target)} is none of ${targets.join(', ')}`);
}

function flip(profile: Profile, placement: Placement, { interval, target, byte, bit }: InjectedFault): void {
  const [bytes, start] =
    target === 'data'
      ? [placement.data, interval * placement.dataStride]
      : [placement.metadata, tupleOffset(profile, placement, interval)];
  bytes[start + byte]! ^= 1 << bit;
}

function faultAt(interval: number, target: FaultTarget, start: number, bit: number): InjectedFault {
  return { interval, target, byte: start + (bit >> 3), bit: bit & 7 };
}

function fieldOf({ interval, tupleSize }: Profile, target: FaultTarget): { start: number; bytes: number } {
  const guardSize = tupleSize === 16 ? 8 : 2;
  const fields = {
    data: { start: 0, bytes: interval },
    guard: { start: 0, bytes: guardSize },
    app: { start: guardSize, bytes: 2 },
    ref: { start: guardSize + 2, bytes: tupleSize - guardSize - 2 },
  };
  return fields[target];
}

/** Whole numbers from 0 to n - 1. */
function xorshift32(seed: number): (n: number) => number {
  // The factor keeps neighbouring seeds from beginning alike.
  let state = (Math.imul(seed, 0x9e3779b1) + 0x12345678) | 0 || 1;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.floor(((state >>> 0) / 2 ** 32) * n);
  };
}

function requireWhole(name: string, value: number, max: number, min = 0): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `${name} ${shown(value)} must be a whole number from ${min} to ${max}`,
  );
}
