/** What `generate`, `verify` and `diagnose` refuse before they touch anything. */
import { IntegrityError } from '../errors.js';
import { requireAppTagRanges } from './app-tags.js';
import type { GenerateOptions } from './generate.js';
import { CHECK_ORDERS, type VerifyOptions } from './verify.js';

const SEED_MAX = 2n ** 64n - 1n;
const NUMBERS_MAX = [
  ['appTag', 0xffff],
  ['appTagMask', 0xffff],
  ['findingsMax', Infinity],
  ['startInterval', Number.MAX_SAFE_INTEGER],
] as const;
const CHECKS: readonly unknown[] = CHECK_ORDERS.t10;
const NAMES: readonly (readonly [string, readonly unknown[]])[] = [
  ['layout', ['separate', 'interleaved']],
  ['order', [...Object.keys(CHECK_ORDERS), undefined]],
  ['escapeCovers', ['interval', 'rest', undefined]],
  ['ipGuardCovers', ['data-and-metadata', 'metadata-alone', undefined]],
  ['type3Ref', ['zero', 'seed', undefined]],
];

/** @throws ERR_USAGE for a name that none of the options has: a typo would pass a corrupt disk; ERR_OUT_OF_RANGE for numbers. */
export function requireInRange(options: GenerateOptions | VerifyOptions): void {
  const given: VerifyOptions & Readonly<Record<string, unknown>> = { ...options };
  for (const [name, known] of NAMES) {
    if (!known.includes(given[name])) throw unknownName(name, given[name], known);
  }
  const { checks = [] } = given;
  if (!Array.isArray(checks)) throw unknownName('checks', checks, CHECKS);
  for (const check of checks) {
    if (!CHECKS.includes(check)) throw unknownName('checks', check, CHECKS);
  }
  requireTagCounter('seed', given.seed);
  for (const [name, max] of NUMBERS_MAX) {
    const value = given[name] ?? 0;
    if (!(value >= 0 && value <= max && (Number.isInteger(value) || value === Infinity))) {
      throw new IntegrityError(
        'ERR_OUT_OF_RANGE',
        `${name} ${value} must be a whole number from 0 to ${max}`,
      );
    }
  }
  requireAppTagRanges(given.appTags ?? []);
}

/** @throws ERR_OUT_OF_RANGE unless it is a bigint from 0 to 2^64 - 1. */
export function requireTagCounter(name: string, value: bigint): void {
  if (typeof value === 'bigint' && value >= 0n && value <= SEED_MAX) return;
  throw new IntegrityError('ERR_OUT_OF_RANGE', `${name} ${value} must be a bigint from 0 to ${SEED_MAX}`);
}

/** @throws ERR_OUT_OF_RANGE where the numbers of findings would go beyond 2^53 - 1. */
export function requireNumbered(intervals: number, startInterval = 0): void {
  if (startInterval + Math.max(0, intervals - 1) <= Number.MAX_SAFE_INTEGER) return;
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `startInterval ${startInterval}: the last of ${intervals} intervals would be beyond ${Number.MAX_SAFE_INTEGER}`,
  );
}

function unknownName(option: string, value: unknown, known: readonly unknown[]): IntegrityError {
  const names = known.filter((name) => name !== undefined).join(', ');
  return new IntegrityError('ERR_USAGE', `${option}: ${JSON.stringify(value) ?? value} is none of ${names}`);
}
