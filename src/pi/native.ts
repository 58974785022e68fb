/** The same as generate.ts and verify.ts, by the addon. */
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

const NATIVE_GUARDS: Readonly<Record<GuardKind, NativeTupleJob['guard']>> = { crc16: 0, ip: 1, crc64: 2 };
const NATIVE_CHECKS: readonly CheckedField[] = ['guard', 'app', 'ref'];
const NUMBERS_OF_A_FINDING = 5;

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
