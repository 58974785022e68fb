/** Reference tags between the virtual seed and the LBA: blk_integrity_prepare and _complete of Linux. */
import { IntegrityError } from '../errors.js';
import { readOptions, requireNumbered, requireTagCounter } from './options.js';
import { countsReferenceTags, type Profile, requireProfile } from './profile.js';
import { isEscaped, readTuple, referenceTag, viewOf, writeReferenceTag } from './tuple.js';
import type { Finding } from './verify.js';

export interface RemapOptions {
  /** At most so many findings are listed; the counts go on. Default: all. */
  readonly findingsMax?: number | undefined;
  /** The number that findings give the first interval. Default 0. */
  readonly startInterval?: number | undefined;
}

const OPTIONS = ['findingsMax', 'startInterval'] as const;

export interface RemapResult {
  /** Every tuple that is not escaped held the expected tag. */
  readonly ok: boolean;
  readonly intervals: number;
  readonly remapped: number;
  /** Escaped tuples without the expected tag, left as they were: as a rule their tag is no tag. */
  readonly escaped: number;
  /** All other tuples without the expected tag, left as they were. */
  readonly mismatched: number;
  /** Those, in order, or the first `findingsMax`; `computed` is the tag that was expected. No data is given, so none has a place. */
  readonly findings: readonly Omit<Finding, 'dataOffset'>[];
}

/**
 * Rewrites `metadata` in place: where tuple k holds reference tag `from + k`, it becomes `to + k`. Any other
 * tag is left alone, so that it fails a later check; the counters go on past it. Type 3 and profiles without
 * tuples are not touched.
 *
 * From virtual to LBA before a request is sent, from LBA to virtual when it has completed (Linux 6.1
 * block/t10-pi.c).
 *
 * @throws ERR_BAD_LENGTH unless `metadata` is that of whole intervals; ERR_OUT_OF_RANGE unless `from` and `to` are 0 to 2^64 - 1;
 * for a profile that is none, as `profileByName`.
 */
export function remapReferenceTags(profile: Profile, metadata: Uint8Array, from: bigint, to: bigint): void {
  remapReferenceTagsChecked(profile, metadata, from, to, { findingsMax: 0 });
}

/**
 * The same bytes, and tells what the kernel does not: which tuples did not hold the expected tag. Of a profile whose tags do not
 * count it says nothing: 0 remapped.
 *
 * @throws ERR_BAD_LENGTH unless `metadata` is that of whole intervals; ERR_OUT_OF_RANGE unless `from` and `to` are 0 to 2^64 - 1;
 * for a profile or options that are none, as `verify`.
 */
export function remapReferenceTagsChecked(
  given: Profile,
  metadata: Uint8Array,
  from: bigint,
  to: bigint,
  options: RemapOptions = {},
): RemapResult {
  const profile = requireProfile(given);
  const { findingsMax = Infinity, startInterval = 0 } = readOptions(options, OPTIONS);
  const { tupleSize, metadataSize, piOffset } = profile;
  const intervals = metadataSize === 0 ? 0 : Math.floor(metadata.length / metadataSize);
  requireTagCounter(from, 'from');
  requireTagCounter(to, 'to');
  requireNumbered(intervals, startInterval);
  const findings: Omit<Finding, 'dataOffset'>[] = [];
  let remapped = 0;
  let escaped = 0;
  let mismatched = 0;
  if (intervals * metadataSize !== metadata.length) {
    throw new IntegrityError(
      'ERR_BAD_LENGTH',
      `${metadata.length} bytes of metadata are no whole number of intervals' ${metadataSize}`,
    );
  }
  if (tupleSize === 0 || !countsReferenceTags(profile)) {
    return { ok: true, intervals, remapped, escaped, mismatched, findings };
  }
  const view = viewOf(metadata);
  for (let k = 0; k < intervals; k++) {
    const offset = k * metadataSize + piOffset;
    const tuple = readTuple(view, offset, tupleSize);
    const computed = referenceTag(tupleSize, from, k);
    if (tuple.ref === computed) {
      writeReferenceTag(view, offset, tupleSize, referenceTag(tupleSize, to, k));
      remapped++;
    } else if (isEscaped(profile, tupleSize, tuple)) {
      escaped++;
    } else {
      mismatched++;
      if (findings.length < findingsMax) {
        findings.push({
          interval: startInterval + k,
          check: 'ref',
          stored: tuple.ref,
          computed,
          differs: ['ref'],
          tupleOffset: offset,
          ref: computed,
        });
      }
    }
  }
  return { ok: mismatched === 0, intervals, remapped, escaped, mismatched, findings };
}
