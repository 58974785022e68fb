/** What is wrong when intervals fail: which one explanation fits how many of them. */
import { IntegrityError } from '../errors.js';
import {
  type BadInterval,
  type DiagnosisKind,
  type FlippedBit,
  type Hypothesis,
  LAST_PROPOSERS,
  PROPOSERS,
  type Proposer,
  Scene,
} from './hypotheses.js';
import { place } from './layout.js';
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
 * for, since then many are tried in every call.
 */
const EVIDENCE_BITS = { given: 12, searched: 20 };

const UNKNOWN_TEXT = 'nothing that is known here explains it';

/**
 * Explains the findings of a `verify` of these very buffers, most intervals first, the unknown last. Pure. A kind is claimed only for
 * intervals whose bytes show it, and only when chance would hardly give so many: random garbage is `unknown`. What is bad in several
 * ways at once may be explained by one, so the text says what was seen.
 *
 * The cost is that of at most 512 findings, each with the shifts of up to 256 intervals either way and a few dozen guards; it does
 * not grow with the number of intervals or of findings.
 *
 * @param findings Of `verify` with these `options`; their numbers begin at `startInterval`.
 * @throws ERR_OUT_OF_RANGE for a finding outside the buffers; ERR_BAD_LENGTH as `verify`.
 */
export function diagnose(
  data: Uint8Array,
  metadata: Uint8Array | null,
  options: VerifyOptions,
  findings: readonly Finding[],
): Diagnosis[] {
  const { profile, layout, seed, startInterval = 0, ipGuardCovers = 'data-and-metadata' } = options;
  const placement = place(profile, layout, data, metadata);
  if (profile.guard === null || findings.length === 0) return [];
  const scene = new Scene(profile, profile.guard, placement, seed, ipGuardCovers);

  const lookedAt = Math.min(findings.length, LOOKED_AT_MAX);
  let left = Array.from({ length: lookedAt }, (_, k) => {
    const { interval } = findings[Math.floor((k * findings.length) / lookedAt)]!;
    if (!scene.has(interval - startInterval)) {
      throw new IntegrityError('ERR_OUT_OF_RANGE', `a finding is of interval ${interval}, which is not here`);
    }
    return scene.examine(interval - startInterval);
  });

  const diagnoses: Diagnosis[] = [];
  for (let claims = 0; claims < CLAIMS_MAX && left.length > 0; claims++) {
    const best = bestOf(PROPOSERS, scene, left) ?? bestOf(LAST_PROPOSERS, scene, left);
    if (best === null) break;
    const { hypothesis, explained, alsoFits } = best;
    const { kind, parameters, text } = hypothesis;
    const flips =
      hypothesis.flipped === undefined ? [] : explained.slice(0, FLIPPED_MAX).map(hypothesis.flipped);
    diagnoses.push({
      kind,
      intervals: explained.length,
      lookedAt,
      first: startInterval + explained[0]!.index,
      parameters,
      flipped: flips.map((flip) => ({ ...flip, interval: startInterval + flip.interval })),
      alsoFits,
      text,
    });
    const done = new Set(explained);
    left = left.filter((bad) => !done.has(bad));
  }
  // Staleness is claimed for want of anything better, so it comes behind.
  const rank = ({ kind }: Diagnosis) => (kind === 'stale' ? 1 : 0);
  diagnoses.sort((a, b) => rank(a) - rank(b) || b.intervals - a.intervals || a.first - b.first);
  if (left.length > 0) {
    diagnoses.push({
      kind: 'unknown',
      intervals: left.length,
      lookedAt,
      first: startInterval + left[0]!.index,
      parameters: {},
      flipped: [],
      alsoFits: [],
      text: UNKNOWN_TEXT,
    });
  }
  return diagnoses;
}

interface Claim {
  readonly hypothesis: Hypothesis;
  readonly explained: readonly BadInterval[];
  /** Whether chance is as good as out of the question. */
  readonly certain: boolean;
}

/** The claim that explains most, the first proposed where several explain the same number. */
function bestOf(
  proposers: readonly Proposer[],
  scene: Scene,
  left: readonly BadInterval[],
): (Claim & { alsoFits: DiagnosisKind[] }) | null {
  const claims = claimsOf(proposers, scene, left);
  const most = Math.max(0, ...claims.map(({ explained }) => explained.length));
  const best = claims.find(({ explained }) => explained.length === most);
  if (best === undefined) return null;
  const rivals = best.certain ? claims : [...claims, ...claimsOf(LAST_PROPOSERS, scene, left)];
  const fits = rivals.filter(({ explained }) => best.explained.every((bad) => explained.includes(bad)));
  const kinds = new Set(fits.map(({ hypothesis }) => hypothesis.kind));
  kinds.delete(best.hypothesis.kind);
  return { ...best, alsoFits: [...kinds] };
}

function claimsOf(proposers: readonly Proposer[], scene: Scene, left: readonly BadInterval[]): Claim[] {
  return proposers
    .flatMap((propose) => propose(scene, left))
    .flatMap((hypothesis) => {
      const explained = left.filter((bad) => hypothesis.fits(bad));
      if (explained.length < hypothesis.atLeast) return [];
      const needed = hypothesis.choices > 0 ? EVIDENCE_BITS.searched : EVIDENCE_BITS.given;
      const certain = evidence(hypothesis, explained.filter(hypothesis.proves).length, left.length) >= needed;
      const { speaksOf } = hypothesis;
      const allOfThem = speaksOf !== undefined && left.filter(speaksOf).length === explained.length;
      return certain || allOfThem ? [{ hypothesis, explained, certain }] : [];
    });
}

/** How unlikely it is, as -log2, that so many or more of `total` random intervals fit: the chance of any one set, times the sets. */
function evidence({ bits, choices, spent }: Hypothesis, fitting: number, total: number): number {
  if (fitting <= spent) return 0;
  let sets = 0;
  for (let k = 1; k <= fitting; k++) sets += Math.log2((total - fitting + k) / k);
  return (fitting - spent) * bits - sets - choices;
}
