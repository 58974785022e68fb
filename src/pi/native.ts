/** The jobs of the addon for what generate.ts and verify.ts do plain, and its answers. */
import type {
  NativeGenerateJob,
  NativeReadRule,
  NativeTupleJob,
  NativeVerifyJob,
  NativeVerifyResult,
} from '../binding.js';
import { type GenerateOptions, writesReferenceTags } from './generate.js';
import type { Placement } from './layout.js';
import { countsReferenceTags, type GuardKind, type Profile } from './profile.js';
import { referenceTag } from './tuple.js';
import {
  CHECK_ORDERS,
  type CheckedField,
  comparedFields,
  type Finding,
  placeOf,
  type VerifyOptions,
  type VerifyResult,
} from './verify.js';

const NATIVE_GUARDS: Readonly<Record<GuardKind, NativeTupleJob['guard']>> = { crc16: 0, ip: 1, crc64: 2 };
const NATIVE_CHECKS: readonly CheckedField[] = ['guard', 'app', 'ref'];
const NUMBERS_OF_A_FINDING = 5;

/** How the addon verifies blocks of this profile that it has read, the first with the reference tag `seed`. Null where there is no guard. */
export function nativeReadRule(profile: Profile, seed: bigint, findingsMax: number): NativeReadRule | null {
  if (profile.guard === null) return null;
  const { interval, metadataSize, piOffset } = profile;
  const fields = comparedFields({ profile, layout: 'separate', seed });
  return {
    interval,
    metadataSize,
    piOffset,
    guard: NATIVE_GUARDS[profile.guard],
    seed,
    checks: nativeChecks(fields),
    escape: nativeEscape(profile),
    findingsMax,
  };
}

const nativeChecks = (fields: readonly CheckedField[]) =>
  Uint8Array.from(fields, (field) => NATIVE_CHECKS.indexOf(field));
const nativeEscape = (profile: Profile) => (countsReferenceTags(profile) ? 'app' : 'app-and-ref');

/** Null for what the addon does not know. */
export function nativeGenerateJob(placement: Placement, options: GenerateOptions): NativeGenerateJob | null {
  const job = nativeJob(placement, options);
  const refTag = writesReferenceTags(options) ? 'count' : 'zero';
  return job && { ...job, refTag, appTag: options.appTag ?? 0 };
}

/** Null for what the addon does not know. */
export function nativeVerifyJob(placement: Placement, options: VerifyOptions): NativeVerifyJob | null {
  const job = nativeJob(placement, options);
  const { profile, escapeCovers = 'interval', appTag = -1, appTagMask = 0xffff, findingsMax } = options;
  const { intervals } = placement;
  return (
    job && {
      ...job,
      checks: nativeChecks(comparedFields(options)),
      escape: nativeEscape(profile),
      escapeCovers,
      appTag,
      appTagMask,
      findingsMax: Math.min(findingsMax ?? intervals, intervals),
    }
  );
}

/** The answer of the addon in the words of the engine. */
export function resultOf(
  { badByCheck: [guard, app, ref], findings, ...counts }: NativeVerifyResult,
  placement: Placement,
  options: VerifyOptions,
  seed: bigint,
): VerifyResult {
  return {
    ok: counts.bad === 0,
    intervals: placement.intervals,
    ...counts,
    badByCheck: { guard, app, ref },
    findings: decodeFindings(findings, placement, { ...options, seed }),
  };
}

function nativeJob(placement: Placement, options: GenerateOptions | VerifyOptions): NativeTupleJob | null {
  const { profile, seed, ipGuardCovers, appTags = [] } = options;
  if (profile.guard === null || ipGuardCovers === 'metadata-alone') return null;
  const { intervals } = placement;
  const ranges = appTags
    .filter(({ first, count }) => first < intervals && count > 0)
    .flatMap(({ first, count, value }) => [first, Math.min(count, intervals - first), value]);
  return {
    ...placement,
    interval: profile.interval,
    piOffset: profile.piOffset,
    guard: NATIVE_GUARDS[profile.guard],
    seed: referenceTag(profile.tupleSize === 16 ? 16 : 8, seed, 0),
    appTags: Uint32Array.from(ranges),
  };
}

function decodeFindings(
  numbers: BigUint64Array,
  placement: Placement,
  { profile, seed, startInterval = 0, order = 'kernel' }: VerifyOptions,
): Finding[] {
  return Array.from({ length: numbers.length / NUMBERS_OF_A_FINDING }, (_, i) => {
    const at = i * NUMBERS_OF_A_FINDING;
    const [interval, checkNumber, stored, computed, differs] = numbers.subarray(
      at,
      at + NUMBERS_OF_A_FINDING,
    );
    const check = NATIVE_CHECKS[Number(checkNumber)]!;
    const ofField = check === 'guard' && profile.guard === 'crc64' ? BigInt : Number;
    return {
      interval: startInterval + Number(interval),
      check,
      stored: ofField(stored!),
      computed: ofField(computed!),
      differs: CHECK_ORDERS[order].filter((field) => Number(differs) & (1 << NATIVE_CHECKS.indexOf(field))),
      ...placeOf(profile, placement, seed, Number(interval)),
    };
  });
}
