/**
 * Guards from one kind to the other, as a host adapter with DIX does it between host memory (IP checksum, for it is cheap to make) and
 * the wire, where T10 SBC-4 knows only the CRC.
 */
import { IntegrityError } from '../errors.js';
import { computeGuard, type IpGuardCovers } from './guard.js';
import { dataOf, type Layout, place, prefixOf, tupleOffset } from './layout.js';
import { readOptions, requireNumbered } from './options.js';
import { type Profile, type ProfileName, profileByName } from './profile.js';
import { isEscaped, readTuple, viewOf, writeTuple } from './tuple.js';
import { type Finding, placeOf } from './verify.js';

const COUNTERPARTS: Partial<Record<ProfileName, ProfileName>> = {
  'T10-DIF-TYPE1-CRC': 'T10-DIF-TYPE1-IP',
  'T10-DIF-TYPE1-IP': 'T10-DIF-TYPE1-CRC',
  'T10-DIF-TYPE3-CRC': 'T10-DIF-TYPE3-IP',
  'T10-DIF-TYPE3-IP': 'T10-DIF-TYPE3-CRC',
};

export interface ConvertOptions {
  /** What the tuples are now. */
  readonly profile: Profile;
  readonly layout: Layout;
  /** At most so many findings are listed; the counts go on. Default: all. */
  readonly findingsMax?: number | undefined;
  /** The number that findings give the first interval. Default 0. */
  readonly startInterval?: number | undefined;
  /** Default `data-and-metadata`. */
  readonly ipGuardCovers?: IpGuardCovers | undefined;
}

const OPTIONS = ['profile', 'layout', 'findingsMax', 'startInterval', 'ipGuardCovers'] as const;

export interface ConvertResult {
  /** What the tuples are now. */
  readonly profile: Profile;
  readonly ok: boolean;
  readonly intervals: number;
  /** Intervals whose guard was right and is right still. */
  readonly converted: number;
  /** Escaped tuples, left as they are. */
  readonly escaped: number;
  /** Intervals whose guard was wrong and is wrong still. */
  readonly bad: number;
  /** The wrong guards, by the old kind; the first `findingsMax`. */
  readonly findings: readonly Finding[];
}

/**
 * Rewrites the guards in place, CRC-16 to IP checksum or back; tags and other metadata stay as they are. Each old guard is compared
 * with the data first, and both guards come from the same reading of it: a new guard made without asking the old one would certify
 * corrupt data.
 *
 * A host adapter that finds a wrong guard fails the command (05h/10h/01h with DID_ABORT) and sends nothing on. Memory cannot be
 * failed, so here the error goes along: the new guard differs from the right one in the same bits as the old guard did. It is never
 * right, and converting back gives every tuple back as it was.
 *
 * An escaped tuple says nothing of its data and is left, guard and all; FFh x 8 of a fresh format stays that. Reference and application
 * tags are not looked at: `verify` compares them before or after alike.
 *
 * @throws ERR_USAGE for a profile whose guard has no other kind, CRC-64 or none; for options and lengths that do not fit, as `verify`.
 */
export function convertGuards(
  data: Uint8Array,
  metadata: Uint8Array | null,
  given: ConvertOptions,
): ConvertResult {
  const options = readOptions(given, OPTIONS);
  const { profile, layout, findingsMax = Infinity, startInterval = 0 } = options;
  const { ipGuardCovers = 'data-and-metadata' } = options;
  const converted = counterpart(profile);
  const placement = place(profile, layout, data, metadata);
  const { intervals } = placement;
  requireNumbered(intervals, startInterval);
  const view = viewOf(placement.metadata);
  const findings: Finding[] = [];
  let escaped = 0;
  let bad = 0;
  for (let i = 0; i < intervals; i++) {
    const offset = tupleOffset(profile, placement, i);
    const tuple = readTuple(view, offset, 8);
    if (isEscaped(profile, 8, tuple)) {
      escaped++;
      continue;
    }
    const [computed, next] = [profile, converted].map(({ guard }) =>
      Number(
        computeGuard(guard!, dataOf(profile, placement, i), prefixOf(profile, placement, i), ipGuardCovers),
      ),
    ) as [number, number];
    const stored = Number(tuple.guard);
    writeTuple(view, offset, 8, { ...tuple, guard: next ^ stored ^ computed });
    if (stored === computed) continue;
    bad++;
    if (findings.length < findingsMax) {
      findings.push({
        interval: startInterval + i,
        check: 'guard',
        stored,
        computed,
        differs: ['guard'],
        ...placeOf(profile, placement, null, i),
      });
    }
  }
  return {
    profile: converted,
    ok: bad === 0,
    intervals,
    converted: intervals - escaped - bad,
    escaped,
    bad,
    findings,
  };
}

/** The same profile with the other 16-bit guard. @throws ERR_USAGE where there is none. */
function counterpart(profile: Profile): Profile {
  const name = COUNTERPARTS[profile.name];
  if (name === undefined) {
    throw new IntegrityError(
      'ERR_USAGE',
      `${profile.name}: only CRC-16 and IP checksum guards are converted`,
    );
  }
  return profileByName(name, profile);
}
