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
  type CheckedField,
  type Finding,
  type VerifyOptions,
  type VerifyResult,
  verifyPlain,
} from './verify.js';

const NATIVE_GUARDS: Partial<Record<GuardKind, 0 | 1>> = { crc16: 0, ip: 1 };
const NATIVE_CHECKS: readonly CheckedField[] = ['guard', 'app', 'ref'];

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
  const { intervals } = placement;
  const checkRef = countsReferenceTags(options.profile);
  const { escaped, bad, findings } = native().verify({
    ...job,
    checkRef,
    escape: checkRef ? 'app' : 'app-and-ref',
    appTag: options.appTag ?? -1,
    findingsMax: Math.min(options.findingsMax ?? intervals, intervals),
  });
  return {
    ok: bad === 0,
    intervals,
    checked: intervals - escaped,
    escaped,
    bad,
    findings: decodeFindings(findings, options.startInterval ?? 0),
  };
}

/** Null for what the addon does not know. */
function nativeJob(placement: Placement, options: GenerateOptions | VerifyOptions): NativeTupleJob | null {
  const { profile, seed, ipGuardCovers } = options;
  const guard = profile.guard === null ? undefined : NATIVE_GUARDS[profile.guard];
  if (guard === undefined || ipGuardCovers === 'metadata-alone') return null;
  return {
    ...placement,
    interval: profile.interval,
    piOffset: profile.piOffset,
    guard,
    seed: referenceTag(8, seed, 0),
  };
}

function decodeFindings(words: Uint32Array, startInterval: number): Finding[] {
  return Array.from({ length: words.length / 4 }, (_, i) => {
    const [interval, check, stored, computed] = words.subarray(4 * i, 4 * i + 4);
    return {
      interval: startInterval + interval!,
      check: NATIVE_CHECKS[check!]!,
      stored: stored!,
      computed: computed!,
    };
  });
}
