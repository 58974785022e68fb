/** Reference tags between the virtual seed and the LBA: blk_integrity_prepare and _complete of Linux. */
import { IntegrityError } from '../errors.js';
import { countsReferenceTags, type Profile } from './profile.js';
import { readTuple, referenceTag, viewOf, writeReferenceTag } from './tuple.js';

/**
 * Rewrites `metadata` in place: where tuple k holds reference tag `from + k`, it becomes `to + k`. Any other
 * tag is left alone, so that it fails a later check; the counters go on past it. Type 3 and profiles without
 * tuples are not touched.
 *
 * From virtual to LBA before a request is sent, from LBA to virtual when it has completed (Linux 6.1
 * block/t10-pi.c).
 *
 * @throws ERR_BAD_LENGTH unless `metadata` is that of whole intervals.
 */
export function remapReferenceTags(profile: Profile, metadata: Uint8Array, from: bigint, to: bigint): void {
  const { tupleSize, metadataSize, piOffset } = profile;
  if (tupleSize === 0 || !countsReferenceTags(profile)) return;
  if (metadata.length % metadataSize !== 0) {
    throw new IntegrityError(
      'ERR_BAD_LENGTH',
      `${metadata.length} bytes of metadata are no whole number of intervals' ${metadataSize}`,
    );
  }
  const view = viewOf(metadata);
  for (let k = 0; k * metadataSize < metadata.length; k++) {
    const offset = k * metadataSize + piOffset;
    if (readTuple(view, offset, tupleSize).ref === referenceTag(tupleSize, from, k)) {
      writeReferenceTag(view, offset, tupleSize, referenceTag(tupleSize, to, k));
    }
  }
}
