/** Checks tuples, plain: the oracle of the tests, and what serves where the addon does not. */
import { type AppTagRange, appTagReader } from './app-tags.js';
import { computeGuard, type IpGuardCovers } from './guard.js';
import { dataOf, dataOffset, type Layout, type Placement, prefixOf, tupleOffset } from './layout.js';
import { countsReferenceTags, type Profile } from './profile.js';
import { isEscaped, readTuple, referenceTag, type Tuple, viewOf } from './tuple.js';

export type CheckedField = keyof Tuple;

/** Whose order of checks decides which of several differing fields a finding names. */
export type CheckOrder = 'kernel' | 't10' | 'spdk';

export const CHECK_ORDERS: Readonly<Record<CheckOrder, readonly CheckedField[]>> = {
  // Linux 3.10 (drivers/scsi/sd_dif.c) to 7.1 (block/t10-pi.c). The application tag, which no kernel compares, comes last.
  kernel: ['ref', 'guard', 'app'],
  // T10 SBC-4 lists the fields so and numbers the additional sense codes so: 10h/01h guard, 02h application tag, 03h reference
  // tag. Which of several a device reports, it leaves open.
  t10: ['guard', 'app', 'ref'],
  // SPDK lib/util/dif.c, v26.09.
  spdk: ['guard', 'app', 'ref'],
};

export interface VerifyOptions {
  readonly profile: Profile;
  readonly layout: Layout;
  /** The reference tag expected of the first interval, 0 to 2^64 - 1; its low 32 or 48 bits are compared. */
  readonly seed: bigint;
  /**
   * The fields to compare. Default: reference tag and guard, and the application tag when one is given. Without `guard` the data
   * is not read. A reference tag of type 3 is never compared.
   */
  readonly checks?: readonly CheckedField[] | undefined;
  /** Default `kernel`. */
  readonly order?: CheckOrder | undefined;
  /** The application tag expected. No kernel compares it. */
  readonly appTag?: number | undefined;
  /** The tags of ranges, in order and apart. Outside of them `appTag` is expected, or none. */
  readonly appTags?: readonly AppTagRange[] | undefined;
  /** The bits of the application tag that are compared (T10 SBC-4 application tag mask). Default FFFFh; with 0 it is not compared. */
  readonly appTagMask?: number | undefined;
  /**
   * How far an escaped tuple reaches: its own interval, or in Linux 3.10 (drivers/scsi/sd_dif.c) all that is left of the call, which
   * there is one segment. Default `interval`.
   */
  readonly escapeCovers?: 'interval' | 'rest' | undefined;
  /** At most so many findings are listed; the counts go on. Default: all. */
  readonly findingsMax?: number | undefined;
  /** The number that findings give the first interval. Default 0. */
  readonly startInterval?: number | undefined;
  /** Default `data-and-metadata`. */
  readonly ipGuardCovers?: IpGuardCovers | undefined;
}

/** One bad interval. */
export interface Finding {
  readonly interval: number;
  /** The first field that differs, in the order asked for. */
  readonly check: CheckedField;
  /**
   * The value of `check` found in the tuple. A CRC-64 guard is a bigint; an IP guard is its two bytes read big-endian.
   */
  readonly stored: number | bigint;
  /** The value that the software made, in the same form. */
  readonly computed: number | bigint;
  /** Every field that differs, of those compared, in the same order. */
  readonly differs: readonly CheckedField[];
  /** Where the interval's data begins, in bytes from the start of the data given; interleaved, of the one stream. */
  readonly dataOffset: number;
  /** Where its tuple begins, in bytes from the start of the metadata given; interleaved, of the one stream. */
  readonly tupleOffset: number;
  /**
   * The reference tag expected there: on a medium of type 1 or 2 the low 32 or 48 bits of the LBA. Null where none is: in type 3, and
   * where no seed is given.
   */
  readonly ref: number | null;
}

/** What a finding says of the place of an interval, counted from 0 in the call. A seed of null is none. */
export function placeOf(
  profile: Profile,
  placement: Placement,
  seed: bigint | null,
  index: number,
): Pick<Finding, 'dataOffset' | 'tupleOffset' | 'ref'> {
  const size = profile.tupleSize === 16 ? 16 : 8;
  return {
    dataOffset: dataOffset(placement, index),
    tupleOffset: tupleOffset(profile, placement, index),
    ref: seed === null || !countsReferenceTags(profile) ? null : referenceTag(size, seed, index),
  };
}

export interface VerifyResult {
  /**
   * Nothing bad was found. Says nothing unless `checked` is what you expect: escaped intervals were not
   * checked.
   */
  readonly ok: boolean;
  readonly intervals: number;
  /** Intervals of which a field was compared, the bad ones included. */
  readonly checked: number;
  /** Escaped tuples. What is neither checked nor escaped was not looked at, for want of a tuple or of a check, or behind an escape. */
  readonly escaped: number;
  readonly bad: number;
  /** The bad intervals by `check`. */
  readonly badByCheck: Readonly<Record<CheckedField, number>>;
  /** Every bad interval in order, or the first `findingsMax`. */
  readonly findings: readonly Finding[];
}

/** The fields that these options compare in an interval whose application tag is known, first to last. */
export function comparedFields(options: VerifyOptions): CheckedField[] {
  const { profile, order = 'kernel', appTag, appTags, appTagMask = 0xffff } = options;
  const knowsAppTag = appTag !== undefined || appTags !== undefined;
  const { checks = knowsAppTag ? ['ref', 'guard', 'app'] : ['ref', 'guard'] } = options;
  const comparable = { ref: countsReferenceTags(profile), guard: true, app: appTagMask !== 0 };
  return CHECK_ORDERS[order].filter((field) => checks.includes(field) && comparable[field]);
}

/** One interval after the other: escape, then the fields that are compared. */
export function verifyPlain(placement: Placement, options: VerifyOptions): VerifyResult {
  const { profile, seed, appTagMask = 0xffff, findingsMax = Infinity, startInterval = 0 } = options;
  const { ipGuardCovers = 'data-and-metadata', escapeCovers = 'interval' } = options;
  const { intervals } = placement;
  const { tupleSize, guard: kind } = profile;
  const badByCheck = { guard: 0, app: 0, ref: 0 };
  if (tupleSize === 0 || kind === null) {
    return { ok: true, intervals, checked: 0, escaped: 0, bad: 0, badByCheck, findings: [] };
  }

  const appTagOf = appTagReader(options);
  const compute: Record<CheckedField, (i: number) => number | bigint | undefined> = {
    ref: (i) => referenceTag(tupleSize, seed, i),
    guard: (i) =>
      computeGuard(kind, dataOf(profile, placement, i), prefixOf(profile, placement, i), ipGuardCovers),
    app: appTagOf,
  };
  const differs = (field: CheckedField, stored: Tuple, computed: number | bigint) =>
    field === 'app' ? ((stored.app ^ Number(computed)) & appTagMask) !== 0 : stored[field] !== computed;

  const fields = comparedFields(options);
  const view = viewOf(placement.metadata);
  const findings: Finding[] = [];
  let checked = 0;
  let escaped = 0;
  let bad = 0;

  for (let i = 0; i < intervals; i++) {
    const stored = readTuple(view, tupleOffset(profile, placement, i), tupleSize);
    if (isEscaped(profile, tupleSize, stored)) {
      escaped++;
      if (escapeCovers === 'rest') break;
      continue;
    }
    const compared = fields.flatMap((field) => {
      const computed = compute[field](i);
      return computed === undefined ? [] : { field, computed, differs: differs(field, stored, computed) };
    });
    if (compared.length > 0) checked++;
    const first = compared.find((comparison) => comparison.differs);
    if (first === undefined) continue;
    const { field: check, computed } = first;
    bad++;
    badByCheck[check]++;
    if (findings.length < findingsMax) {
      findings.push({
        interval: startInterval + i,
        check,
        stored: stored[check],
        computed,
        differs: compared.filter((comparison) => comparison.differs).map(({ field }) => field),
        ...placeOf(profile, placement, seed, i),
      });
    }
  }
  return { ok: bad === 0, intervals, checked, escaped, bad, badByCheck, findings };
}
