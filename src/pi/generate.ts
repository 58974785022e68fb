/** Makes tuples, plain: the oracle of the tests, and what serves where the addon does not. */
import { type AppTagRange, appTagReader } from './app-tags.js';
import { computeGuard, type IpGuardCovers } from './guard.js';
import { dataOf, type Layout, type Placement, prefixOf, tupleOffset } from './layout.js';
import { countsReferenceTags, type Profile } from './profile.js';
import { referenceTag, viewOf, writeTuple } from './tuple.js';

/** The reference tag of type 3, which nobody compares: 0 up to Linux 6.12, the seed counted up in 7.1. */
export type Type3Ref = 'zero' | 'seed';

export interface GenerateOptions {
  readonly profile: Profile;
  readonly layout: Layout;
  /** The first interval's reference tag, 0 to 2^64 - 1; the tuple keeps the low 32 or 48 bits. */
  readonly seed: bigint;
  /** The application tag of every tuple, 0 to FFFFh. Default 0, as the kernel writes it. */
  readonly appTag?: number | undefined;
  /** The tags of ranges, in order and apart; `appTag` is for the others. */
  readonly appTags?: readonly AppTagRange[] | undefined;
  readonly type3Ref: Type3Ref;
  /** Default `data-and-metadata`. */
  readonly ipGuardCovers?: IpGuardCovers | undefined;
}

/** Whether the reference tags that are written count up from the seed; else they are 0. */
export function writesReferenceTags({ profile, type3Ref }: GenerateOptions): boolean {
  return countsReferenceTags(profile) || type3Ref === 'seed';
}

/**
 * Writes one tuple an interval; the metadata around the tuples stays as it is, and what lies before them is
 * guarded.
 */
export function generatePlain(placement: Placement, options: GenerateOptions): void {
  const { profile, seed, appTag = 0, appTags, ipGuardCovers = 'data-and-metadata' } = options;
  const { tupleSize, guard: kind } = profile;
  if (tupleSize === 0 || kind === null) return;
  const counts = writesReferenceTags(options);
  const appTagOf = appTagReader({ appTag, appTags });
  const view = viewOf(placement.metadata);
  for (let i = 0; i < placement.intervals; i++) {
    const guard = computeGuard(
      kind,
      dataOf(profile, placement, i),
      prefixOf(profile, placement, i),
      ipGuardCovers,
    );
    const ref = counts ? referenceTag(tupleSize, seed, i) : 0;
    writeTuple(view, tupleOffset(profile, placement, i), tupleSize, {
      guard,
      app: appTagOf(i) ?? appTag,
      ref,
    });
  }
}
