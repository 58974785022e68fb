/**
 * The same as generate.ts and verify.ts, by the addon. It knows tuples of 8 bytes; the others are made and
 * checked plain.
 */
import { type NativeTupleJob, native } from '../binding.js';
import { type GenerateOptions, generatePlain, writesReferenceTags } from './generate.js';
import type { Placement } from './layout.js';
import { countsReferenceTags, type GuardKind } from './profile.js';
import { referenceTag } from './tuple.js';
import {
  CHECK_ORDERS,
  type CheckedField,
  comparedFields,
  type Finding,
  placeOf,
  type VerifyOptions,
  type VerifyResult,
  verifyPlain,
} from './verify.js';

const NATIVE_GUARDS: Partial<Record<GuardKind, 0 | 1>> = { crc16: 0, ip: 1 };
const NATIVE_CHECKS: readonly CheckedField[] = ['guard', 'app', 'ref'];
const WORDS_OF_A_FINDING = 5;

export function generateNative(placement: Placement, options: GenerateOptions): void {
  const job = nativeJob(placement, options);
  if (job === null) {
    generatePlain(placement, options);
  } else {
    const refTag = writesReferenceTags(options) ? 'count' : 'zero';
    native().generate({ ...job, refTag, appTag: options.appTag ?? 0 });
  }
}

export function verifyNative(placement: Placement, options: VerifyOptions): VerifyResult {
  const job = nativeJob(placement, options);
  if (job === null) return verifyPlain(placement, options);
  const { profile, escapeCovers = 'interval' } = options;
  const { intervals } = placement;
  const { badByCheck, findings, ...counts } = native().verify({
    ...job,
    checks: Uint8Array.from(comparedFields(options), (field) => NATIVE_CHECKS.indexOf(field)),
    escape: countsReferenceTags(profile) ? 'app' : 'app-and-ref',
    escapeCovers,
    appTag: options.appTag ?? -1,
    appTagMask: options.appTagMask ?? 0xffff,
    findingsMax: Math.min(options.findingsMax ?? intervals, intervals),
  });
  const [guard, app, ref] = badByCheck;
  return {
    ok: counts.bad === 0,
    intervals,
    ...counts,
    badByCheck: { guard, app, ref },
    findings: decodeFindings(findings, placement, options),
  };
}

/** Null for what the addon does not know. */
function nativeJob(placement: Placement, options: GenerateOptions | VerifyOptions): NativeTupleJob | null {
  const { profile, seed, ipGuardCovers, appTags = [] } = options;
  const guard = profile.guard === null ? undefined : NATIVE_GUARDS[profile.guard];
  if (guard === undefined || ipGuardCovers === 'metadata-alone') return null;
  const { intervals } = placement;
  const ranges = appTags
    .filter(({ first, count }) => first < intervals && count > 0)
    .flatMap(({ first, count, value }) => [first, Math.min(count, intervals - first), value]);
  return {
    ...placement,
    interval: profile.interval,
    piOffset: profile.piOffset,
    guard,
    seed: referenceTag(8, seed, 0),
    appTags: Uint32Array.from(ranges),
  };
}

function decodeFindings(
  words: Uint32Array,
  placement: Placement,
  { profile, seed, startInterval = 0, order = 'kernel' }: VerifyOptions,
): Finding[] {
  return Array.from({ length: words.length / WORDS_OF_A_FINDING }, (_, i) => {
    const at = i * WORDS_OF_A_FINDING;
    const [interval, check, stored, computed, differs] = words.subarray(at, at + WORDS_OF_A_FINDING);
    return {
      interval: startInterval + interval!,
      check: NATIVE_CHECKS[check!]!,
      stored: stored!,
      computed: computed!,
      differs: CHECK_ORDERS[order].filter((field) => differs! & (1 << NATIVE_CHECKS.indexOf(field))),
      ...placeOf(profile, placement, seed, interval!),
    };
  });
}
