/** Application tags by ranges of intervals. */
import { IntegrityError } from '../errors.js';

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

/** @throws ERR_OUT_OF_RANGE for ranges that overlap or are out of order, and for a tag that is none. */
export function requireAppTagRanges(ranges: readonly AppTagRange[]): void {
  let end = 0;
  for (const range of ranges) {
    const { first, count, value } = range;
    const whole = Number.isSafeInteger(first) && Number.isSafeInteger(count) && count >= 0;
    const ordered = whole && first >= end && Number.isSafeInteger(endOf(range));
    if (!ordered || !Number.isInteger(value) || value < 0 || value > 0xffff) {
      throw new IntegrityError(
        'ERR_OUT_OF_RANGE',
        `appTags: ${count} intervals from ${first} with tag ${value}: ranges must be in order and apart, tags from 0 to 65535`,
      );
    }
    end = endOf(range);
  }
}

function endOf({ first, count }: AppTagRange): number {
  return first + count;
}
