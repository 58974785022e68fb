/** What every entry of src/pi refuses before it touches anything, and the options as it uses them. */
import { IntegrityError } from '../errors.js';
import { requireAppTagRanges } from './app-tags.js';
import type { GenerateOptions } from './generate.js';
import { requireProfile } from './profile.js';
import { shown } from './shown.js';
import { CHECK_ORDERS, type CheckedField, type VerifyOptions } from './verify.js';

type Options = VerifyOptions & GenerateOptions;
type Rule<Value> = (value: Value, name: string) => Value;

const SEED_MAX = 2n ** 64n - 1n;

/** By option: what it may be, and a copy where it has parts, which are read once as well. */
const RULES: { readonly [Name in keyof Options]-?: Rule<Options[Name]> } = {
  profile: requireProfile,
  layout: oneOf('separate', 'interleaved'),
  seed: requireTagCounter,
  checks: checksOf,
  order: oneOf(...(Object.keys(CHECK_ORDERS) as (keyof typeof CHECK_ORDERS)[]), undefined),
  appTag: wholeUpTo(0xffff),
  appTags: requireAppTagRanges,
  appTagMask: wholeUpTo(0xffff),
  escapeCovers: oneOf('interval', 'rest', undefined),
  findingsMax: (value, name) =>
    value === Infinity ? value : wholeUpTo(Number.MAX_SAFE_INTEGER)(value, name),
  startInterval: wholeUpTo(Number.MAX_SAFE_INTEGER),
  ipGuardCovers: oneOf('data-and-metadata', 'metadata-alone', undefined),
  type3Ref: oneOf('zero', 'seed', undefined as never),
};

const VERIFY = [
  'profile',
  'layout',
  'seed',
  'checks',
  'order',
  'appTag',
  'appTags',
  'appTagMask',
  'escapeCovers',
  'findingsMax',
  'startInterval',
  'ipGuardCovers',
] as const satisfies readonly (keyof VerifyOptions)[];

const GENERATE = [
  'profile',
  'layout',
  'seed',
  'appTag',
  'appTags',
  'type3Ref',
  'ipGuardCovers',
] as const satisfies readonly (keyof GenerateOptions)[];

/**
 * The named options, each read once, so that what is used is what was looked at, whether it is the object's own, inherited or made
 * by a getter.
 *
 * @throws ERR_UNKNOWN_FORMAT and ERR_OUT_OF_RANGE as `requireProfile`; ERR_USAGE for a name that no option has: a typo would pass a
 * corrupt disk; ERR_OUT_OF_RANGE for numbers. Null is no number; undefined is left to its default.
 */
export function readOptions<Name extends keyof Options>(
  options: Pick<Options, Name>,
  names: readonly Name[],
): Readonly<Pick<Options, Name>> {
  const given: Partial<Pick<Options, Name>> = options ?? {};
  const read = names.map((name) => {
    const rule = RULES[name] as Rule<unknown>;
    return [name, rule(given[name], name)];
  });
  return Object.freeze(Object.fromEntries(read));
}

export function readGenerateOptions(options: GenerateOptions): GenerateOptions {
  return readOptions(options, GENERATE);
}

/** @throws ERR_USAGE for the check of an application tag that is not given as well. */
export function readVerifyOptions(options: VerifyOptions): VerifyOptions {
  const read = readOptions(options, VERIFY);
  if (read.checks?.includes('app') && read.appTag === undefined && read.appTags === undefined) {
    throw new IntegrityError('ERR_USAGE', 'checks: app, and no application tag is given to compare with');
  }
  return read;
}

/** @throws ERR_OUT_OF_RANGE unless it is a bigint from 0 to 2^64 - 1. */
export function requireTagCounter(value: bigint, name: string): bigint {
  if (typeof value === 'bigint' && value >= 0n && value <= SEED_MAX) return value;
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `${name} ${shown(value)} must be a bigint from 0 to ${SEED_MAX}`,
  );
}

/** @throws ERR_OUT_OF_RANGE where the numbers of findings would go beyond 2^53 - 1. */
export function requireNumbered(intervals: number, startInterval = 0): void {
  if (startInterval + Math.max(0, intervals - 1) <= Number.MAX_SAFE_INTEGER) return;
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `startInterval ${startInterval}: the last of ${intervals} intervals would be beyond ${Number.MAX_SAFE_INTEGER}`,
  );
}

function oneOf<Value extends string | undefined>(...known: readonly Value[]): Rule<Value> {
  return (value, name) => {
    if (known.includes(value)) return value;
    throw unknownName(name, value, known);
  };
}

function wholeUpTo(max: number): Rule<number | undefined> {
  return (value, name) => {
    if (value === undefined || (Number.isInteger(value) && value >= 0 && value <= max)) return value;
    throw new IntegrityError(
      'ERR_OUT_OF_RANGE',
      `${name} ${shown(value)} must be a whole number from 0 to ${max}`,
    );
  };
}

function checksOf(
  checks: readonly CheckedField[] | undefined,
  name: string,
): readonly CheckedField[] | undefined {
  if (checks === undefined) return undefined;
  if (!Array.isArray(checks)) throw unknownName(name, checks, CHECK_ORDERS.t10);
  return Array.from(checks, (check) => oneOf(...CHECK_ORDERS.t10)(check, name));
}

function unknownName(option: string, value: unknown, known: readonly unknown[]): IntegrityError {
  const names = known.filter((name) => name !== undefined).join(', ');
  return new IntegrityError('ERR_USAGE', `${option}: ${shown(value)} is none of ${names}`);
}
