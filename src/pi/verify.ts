/** Checks tuples, plain: the oracle of the tests, and what serves where the addon does not. */
import { computeGuard, type IpGuardCovers } from './guard.js';
import { dataOf, type Layout, type Placement, prefixOf, tupleOffset } from './layout.js';
import { countsReferenceTags, type Profile } from './profile.js';
import { isEscaped, readTuple, referenceTag, type Tuple, viewOf } from './tuple.js';

export interface VerifyOptions {
  readonly profile: Profile;
  readonly layout: Layout;
  /** The reference tag expected of the first interval, 0 to 2^64 - 1; its low 32 or 48 bits are compared. */
  readonly seed: bigint;
  /** Compared last, when given. No kernel compares it. */
  readonly appTag?: number | undefined;
  /** At most so many findings are listed; the counts go on. Default: all. */
  readonly findingsMax?: number | undefined;
  /** The number that findings give the first interval. Default 0. */
  readonly startInterval?: number | undefined;
  /** Default `data-and-metadata`. */
  readonly ipGuardCovers?: IpGuardCovers | undefined;
}

export type CheckedField = keyof Tuple;

const KERNEL_ORDER: readonly CheckedField[] = ['ref', 'guard', 'app'];

/**
 * One bad interval, with the first field that differed in the kernel's order: reference tag, guard,
 * application tag.
 */
export interface Finding {
  readonly interval: number;
  readonly check: CheckedField;
  /**
   * The value found in the tuple. A CRC-64 guard is a bigint; an IP guard is its two bytes read big-endian.
   */
  readonly stored: number | bigint;
  /** The value that the software made, in the same form. */
  readonly computed: number | bigint;
}

export interface VerifyResult {
  /**
   * Nothing bad was found. Says nothing unless `checked` is what you expect: escaped intervals were not
   * checked.
   */
  readonly ok: boolean;
  readonly intervals: number;
  /** Intervals compared, the bad ones included: all but the escaped; 0 for a profile without tuples. */
  readonly checked: number;
  readonly escaped: number;
  readonly bad: number;
  /** Every bad interval in order, or the first `findingsMax`. */
  readonly findings: readonly Finding[];
}

/**
 * One interval after the other: escape, then reference tag, then guard (Linux block/t10-pi.c), then
 * application tag.
 */
export function verifyPlain(placement: Placement, options: VerifyOptions): VerifyResult {
  const { profile, seed, appTag, findingsMax = Infinity, startInterval = 0 } = options;
  const { ipGuardCovers = 'data-and-metadata' } = options;
  const { intervals } = placement;
  const { tupleSize, guard: kind } = profile;
  if (tupleSize === 0 || kind === null) {
    return { ok: true, intervals, checked: 0, escaped: 0, bad: 0, findings: [] };
  }

  const checksRef = countsReferenceTags(profile);
  const view = viewOf(placement.metadata);
  const findings: Finding[] = [];
  let escaped = 0;
  let bad = 0;

  for (let i = 0; i < intervals; i++) {
    const stored = readTuple(view, tupleOffset(profile, placement, i), tupleSize);
    if (isEscaped(profile, tupleSize, stored)) {
      escaped++;
      continue;
    }
    const computed: Tuple = {
      ref: checksRef ? referenceTag(tupleSize, seed, i) : stored.ref,
      guard: computeGuard(
        kind,
        dataOf(profile, placement, i),
        prefixOf(profile, placement, i),
        ipGuardCovers,
      ),
      app: appTag ?? stored.app,
    };
    const check = KERNEL_ORDER.find((field) => stored[field] !== computed[field]);
    if (check === undefined) continue;
    bad++;
    if (findings.length < findingsMax) {
      findings.push({ interval: startInterval + i, check, stored: stored[check], computed: computed[check] });
    }
  }
  return { ok: bad === 0, intervals, checked: intervals - escaped, escaped, bad, findings };
}
