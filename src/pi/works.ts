/** The four works on intervals, each by the addon where it knows the profile, else plain; and the plans for many calls. */
import { type NativePlan, native } from '../binding.js';
import { type GenerateOptions, generatePlain } from './generate.js';
import { insertPlain, stripPlain } from './insert-strip.js';
import { type Layout, type Placement, stridesOf } from './layout.js';
import { nativeGenerateJob, nativeVerifyJob, resultOf } from './native.js';
import type { Profile } from './profile.js';
import { type VerifyOptions, type VerifyResult, verifyPlain } from './verify.js';

/** Once, with options that were read; or a plan for many times: null where the work is done plain. */
export interface Works {
  generate(placement: Placement, options: GenerateOptions): void;
  insert(placement: Placement, options: GenerateOptions): void;
  verify(placement: Placement, options: VerifyOptions): VerifyResult;
  strip(placement: Placement, options: VerifyOptions): VerifyResult;
  generatePlan(options: GenerateOptions, layout: Layout | 'blocks'): NativePlan<'generate'> | null;
  verifyPlan(options: VerifyOptions, layout: Layout | 'blocks'): NativePlan<'verify'> | null;
}

export const plainWorks: Works = {
  generate: generatePlain,
  insert: insertPlain,
  verify: verifyPlain,
  strip: stripPlain,
  generatePlan: () => null,
  verifyPlan: () => null,
};

/** What the addon does not know goes the plain way. */
export const nativeWorks: Works = {
  generate(placement, options) {
    const job = nativeGenerateJob(placement, options);
    if (job === null) generatePlain(placement, options);
    else native().generate(job);
  },
  insert(placement, options) {
    const job = nativeGenerateJob(placement, options);
    if (job === null) insertPlain(placement, options);
    else native().insert(job);
  },
  verify(placement, options) {
    const job = nativeVerifyJob(placement, options);
    if (job === null) return verifyPlain(placement, options);
    return resultOf(native().verify(job), placement, options, options.seed);
  },
  strip(placement, options) {
    const job = nativeVerifyJob(placement, options);
    if (job === null) return stripPlain(placement, options);
    return resultOf(native().strip(job), placement, options, options.seed);
  },
  generatePlan(options, layout) {
    const job = nativeGenerateJob(anyOf(options.profile, layout), options);
    return job && native().generatePlan(job);
  },
  verifyPlan(options, layout) {
    const job = nativeVerifyJob(anyOf(options.profile, layout), options);
    return job && native().verifyPlan(job);
  },
};

/** A placement of as many intervals as the addon numbers, for options that are prepared before there are any. */
function anyOf(profile: Profile, layout: Layout | 'blocks'): Placement {
  const nothing = new Uint8Array(0);
  return { intervals: 2 ** 32 - 1, data: nothing, metadata: nothing, ...stridesOf(profile, layout) };
}
