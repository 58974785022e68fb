/** What is wrong when intervals fail: which one explanation fits how many of them. */
import { IntegrityError } from '../errors.js';
import {
  type BadInterval,
  type DiagnosisKind,
  type FlippedBit,
  type Hypothesis,
  PROPOSERS,
  type Proposer,
  Scene,
} from './hypotheses.js';
import { place } from './layout.js';
import { readVerifyOptions, requireNumbered } from './options.js';
import type { Finding, VerifyOptions } from './verify.js';

export type { DiagnosisKind, FlippedBit } from './hypotheses.js';

export interface Diagnosis {
  readonly kind: DiagnosisKind;
  /** Bad intervals that it explains; no interval counts twice. */
  readonly intervals: number;
  /** Of so many that were looked at. */
  readonly lookedAt: number;
  /** The first of them. */
  readonly first: number;
  /** By kind, as docs/mirror.md lists them. */
  readonly parameters: Readonly<Record<string, number | string | boolean>>;
  /** The bits of a bit flip, the first 16. */
  readonly flipped: readonly FlippedBit[];
  /** What explains just as many of these intervals: the bytes do not decide. */
  readonly alsoFits: readonly DiagnosisKind[];
  /** One sentence, without the numbers of intervals. */
  readonly text: string;
}

/** So many bad intervals are looked at, evenly spread where there are more. */
const LOOKED_AT_MAX = 512;
/** So many explanations are sought in one call. */
const CLAIMS_MAX = 8;
/** So many flipped bits are listed. */
export const FLIPPED_MAX = 16;
/**
 * An explanation is claimed when random bytes would give it less often than once in 2^12; once in 2^20 where its parameter was searched
 * for, since then many are tried in every call. What fits all that it speaks of leads from once in 2^6.
 */
const EVIDENCE_BITS = { given: 12, searched: 20, allOfThem: 6 };

const UNKNOWN_TEXT = 'nothing that is known here explains it';

/**
 * Explains the findings of a `verify` of these very buffers, most intervals first, the unknown last. Pure. A kind is claimed only for
 * intervals whose bytes show it, and only when chance would hardly give so many: random garbage is `unknown`. What is bad in several
 * ways at once may be explained by one, so the text says what was seen.
 *
 * The cost is that of at most 512 findings, each with the shifts of up to 256 intervals either way; no data is made a guard of twice. It
 * does not grow with the number of intervals or of findings.
 *
 * @param given The options of the `verify`.
 * @param findings What it found, or their intervals alone; their numbers begin at `startInterval`.
 * @throws ERR_OUT_OF_RANGE for a finding outside the buffers or numbers beyond 2^53 - 1; ERR_USAGE for a finding of an interval that is
 * not bad; otherwise as `verify`.
 */
export function diagnose(
  data: Uint8Array,
  metadata: Uint8Array | null,
  given: VerifyOptions,
  findings: readonly Pick<Finding, 'interval'>[],
): Diagnosis[] {
  const options = readVerifyOptions(given);
  const { profile, layout, startInterval = 0 } = options;
  const placement = place(profile, layout, data, metadata);
  requireNumbered(placement.intervals, startInterval);
  if (profile.guard === null || findings.length === 0) return [];
  const scene = new Scene(options, profile.guard, placement);

  const intervals = sampled(findings);
  const lookedAt = intervals.length;
  let left = intervals.map((interval) => {
    if (!scene.has(interval - startInterval)) {
      throw new IntegrityError('ERR_OUT_OF_RANGE', `a finding is of interval ${interval}, which is not here`);
    }
    const bad = scene.examine(interval - startInterval);
    if (!bad.guardWrong && !bad.refWrong && !bad.appWrong) {
      throw new IntegrityError('ERR_USAGE', `a finding is of interval ${interval}, which is not bad`, {
        advice: 'Give the findings of a verify of these buffers, with these options.',
      });
    }
    return bad;
  });

  const diagnoses: Diagnosis[] = [];
  const add = (kind: DiagnosisKind, text: string, explained: readonly BadInterval[], claims: Claims) => {
    const { parameters, flips } = claims;
    const flipped = flips === undefined ? [] : explained.slice(0, FLIPPED_MAX).map(flips);
    const alsoFits = [...new Set(claims.alsoFits)].filter((other) => other !== kind);
    diagnoses.push({
      kind,
      intervals: explained.length,
      lookedAt,
      first: startInterval + explained[0]!.index,
      parameters,
      flipped: flipped.map((flip) => ({ ...flip, interval: startInterval + flip.interval })),
      alsoFits,
      text,
    });
  };
  for (let claims = 0; claims < CLAIMS_MAX && left.length > 0; claims++) {
    const best = bestOf(scene, left);
    if (best === null) break;
    const { hypothesis, explained, rivals } = best;
    add(hypothesis.kind, hypothesis.text, explained, together([best, ...rivals]));
    const done = new Set(explained);
    left = left.filter((bad) => !done.has(bad));
  }
  // What is read in the wrong way comes before what may follow from that; staleness, claimed for want of anything better, comes behind.
  const rank = ({ kind }: Diagnosis) =>
    kind === 'pi-position' || kind === 'interval-size' ? 0 : kind === 'stale' ? 2 : 1;
  diagnoses.sort((a, b) => rank(a) - rank(b) || b.intervals - a.intervals || a.first - b.first);
  if (left.length > 0) {
    const weak = PROPOSERS.flatMap((group) => claimsOf(group, scene, left)).filter(isWeak);
    add('unknown', UNKNOWN_TEXT, left, together(covering(weak, left)));
  }
  return diagnoses;
}

/** The intervals to look at, in rising order and each once, however often it was found. */
function sampled(findings: readonly Pick<Finding, 'interval'>[]): number[] {
  const most = Math.min(findings.length, LOOKED_AT_MAX);
  const spread = Array.from(
    { length: most },
    (_, k) => findings[Math.floor((k * findings.length) / most)]!.interval,
  );
  return [...new Set(spread)].sort((a, b) => a - b);
}

interface Claim {
  readonly hypothesis: Hypothesis;
  readonly explained: readonly BadInterval[];
  /** Whether chance is out of the question, or improbable, or as good a reason: then it does not lead. */
  readonly strength: 'certain' | 'probable' | 'weak';
}

/** What the leading claim and its rivals come to. */
interface Claims {
  readonly parameters: Diagnosis['parameters'];
  readonly flips: Hypothesis['flipped'];
  readonly alsoFits: readonly DiagnosisKind[];
}

const isWeak = ({ strength }: Claim) => strength === 'weak';

const covering = (claims: readonly Claim[], bad: readonly BadInterval[]) =>
  claims.filter(({ explained }) => bad.every((one) => explained.includes(one)));

/** A weak one cannot lead, so that its parameters and bits are told by the claim that does. */
function together(claims: readonly Claim[]): Claims {
  const [first] = claims;
  const told = claims.filter((claim) => claim === first || isWeak(claim)).map(({ hypothesis }) => hypothesis);
  return {
    parameters: Object.assign({}, ...told.map(({ parameters }) => parameters).reverse()),
    flips: told.find(({ flipped }) => flipped !== undefined)?.flipped,
    alsoFits: claims.map(({ hypothesis }) => hypothesis.kind),
  };
}

/** The claim that explains most in the first group that has one, the first proposed where several explain the same number. */
function bestOf(scene: Scene, left: readonly BadInterval[]): (Claim & { rivals: Claim[] }) | null {
  const weak: Claim[] = [];
  for (const [at, group] of PROPOSERS.entries()) {
    const claims = claimsOf(group, scene, left);
    const strong = claims.filter((claim) => !isWeak(claim));
    weak.push(...claims.filter(isWeak));
    const most = Math.max(0, ...strong.map(({ explained }) => explained.length));
    const best = strong.find(({ explained }) => explained.length === most);
    if (best === undefined) continue;
    const later = best.strength === 'certain' ? [] : PROPOSERS.slice(at + 1);
    const others = [...strong, ...weak, ...later.flatMap((next) => claimsOf(next, scene, left))];
    const rivals = covering(
      others.filter((claim) => claim !== best),
      best.explained,
    );
    return { ...best, rivals };
  }
  return null;
}

function claimsOf(proposers: readonly Proposer[], scene: Scene, left: readonly BadInterval[]): Claim[] {
  return proposers
    .flatMap((propose) => propose(scene, left))
    .flatMap((hypothesis): Claim[] => {
      const fitting = left.filter((bad) => hypothesis.fits(bad));
      if (fitting.length < hypothesis.atLeast) return [];
      const { speaksOf, beyond, choices, bits } = hypothesis;
      const outside = beyond === undefined ? [] : left.filter(beyond);
      const proving = fitting.filter(hypothesis.proves).length;
      const needed = choices > 0 ? EVIDENCE_BITS.searched : EVIDENCE_BITS.given;
      if (evidence(hypothesis, proving, left.length - outside.length) >= needed) {
        return [{ ...withUntested(hypothesis, fitting, outside, left), strength: 'certain' }];
      }
      if (speaksOf === undefined || left.filter(speaksOf).length !== fitting.length) return [];
      const strength = proving * bits >= EVIDENCE_BITS.allOfThem ? 'probable' : 'weak';
      return [{ hypothesis, explained: fitting, strength }];
    });
}

function withUntested(
  hypothesis: Hypothesis,
  fitting: readonly BadInterval[],
  outside: readonly BadInterval[],
  left: readonly BadInterval[],
): Omit<Claim, 'strength'> {
  if (outside.length === 0) return { hypothesis, explained: fitting };
  const explained = new Set([...fitting, ...outside]);
  const parameters = { ...hypothesis.parameters, untested: outside.length };
  const text = `${hypothesis.text}; ${outside.length} of them cannot be tested, since their data is not here`;
  return {
    hypothesis: { ...hypothesis, parameters, text },
    explained: left.filter((bad) => explained.has(bad)),
  };
}

/** How unlikely it is, as -log2, that so many or more of `total` random intervals fit: the chance of any one set, times the sets. */
function evidence({ bits, choices, spent }: Hypothesis, fitting: number, total: number): number {
  if (fitting <= spent) return 0;
  let sets = 0;
  for (let k = 1; k <= fitting; k++) sets += Math.log2((total - fitting + k) / k);
  return (fitting - spent) * bits - sets - choices;
}
