/** Application tags by ranges of intervals. */
import { IntegrityError } from '../errors.js';
import { shown } from './shown.js';

/** A run of intervals with one application tag. */
export interface AppTagRange {
  /** Counted from 0, the first interval of the call. */
  readonly first: number;
  readonly count: number;
  /** 0 to FFFFh. */
  readonly value: number;
}

/** What `generate` and `verify` are told of application tags. */
export interface AppTagOptions {
  readonly appTag?: number | undefined;
  readonly appTags?: readonly AppTagRange[] | undefined;
}

/** The tag of each interval; it is asked for them in rising order. Undefined outside the ranges without `appTag`. */
export function appTagReader({
  appTag,
  appTags = [],
}: AppTagOptions): (interval: number) => number | undefined {
  let next = 0;
  return (interval) => {
    while (next < appTags.length && endOf(appTags[next]!) <= interval) next++;
    const range = appTags[next];
    return range !== undefined && range.first <= interval ? range.value : appTag;
  };
}

/**
 * A copy, each range read once.
 *
 * @throws ERR_OUT_OF_RANGE for ranges that overlap or are out of order, for a tag that is none, and for what is no list of ranges.
 */
export function requireAppTagRanges(
  ranges: readonly AppTagRange[] | undefined,
): readonly AppTagRange[] | undefined {
  if (ranges === undefined) return undefined;
  if (!Array.isArray(ranges)) {
    throw new IntegrityError('ERR_OUT_OF_RANGE', `appTags ${shown(ranges)} must be a list of ranges`);
  }
  let end = 0;
  return Array.from(ranges as readonly AppTagRange[], (given) => {
    const { first, count, value } = given ?? ({} as AppTagRange);
    const range = { first, count, value };
    const whole = Number.isSafeInteger(first) && Number.isSafeInteger(count) && count >= 0;
    const ordered = whole && first >= end && Number.isSafeInteger(endOf(range));
    if (!ordered || !Number.isInteger(value) || value < 0 || value > 0xffff) {
      throw new IntegrityError(
        'ERR_OUT_OF_RANGE',
        `appTags: ${shown(count)} intervals from ${shown(first)} with tag ${shown(value)}: ranges must be in order and apart, tags from 0 to 65535`,
      );
    }
    end = endOf(range);
    return range;
  });
}

function endOf({ first, count }: AppTagRange): number {
  return first + count;
}
