/** An I/O from the file system's call to its end, in two calls. */
import { bioAdvance } from './advance.js';
import type { Bio } from './bio.js';
import { bioEndio, bioIntegrityEnabled, bioIntegrityPrep } from './bio-integrity.js';
import { blkIntegrityComplete, blkIntegrityPrepare, metadataOfRest } from './blk-integrity.js';
import { gather, viewOfNeighbours } from './bvec.js';
import { type Memory, plenty } from './memory.js';
import type { BlkStatus } from './status.js';

/**
 * submit_bio down to the driver: prepares the bio, and of a write remaps the reference tags (blk_mq_start_request;
 * sd_prep_fn in Linux 3.10).
 *
 * @returns the metadata as the disk gets it with a write; for a read, the memory that takes the disk's. Null
 * when the bio goes without, when it has ended for want of memory (`bio.ended`), and for a read whose payload is of
 * pages apart: those are to be filled one by one.
 * @throws as bioIntegrityPrep
 */
export function submitBio(bio: Bio, memory: Memory = plenty): Uint8Array | null {
  if (bio.device.semantics.skipsIn === 'caller') {
    // blk_queue_bio of Linux 3.10: whatever the errno, the submitter sees EIO.
    if (bioIntegrityEnabled(bio) && bioIntegrityPrep(bio, memory) !== 0) bioEndio(bio, 'IOERR');
  } else {
    bioIntegrityPrep(bio, memory);
  }
  if (bio.op === 'write') blkIntegrityPrepare(bio);
  const payload = bio.integrity;
  if (payload === null) return null;
  const parts = metadataOfRest(bio, payload);
  return bio.op === 'write' ? gather(parts) : viewOfNeighbours(parts);
}

/**
 * The driver's answer up to the end of the bio: the reference tags of a read become virtual (blk_update_request;
 * sd_done in Linux 3.10), the bio is advanced to its end, and a read that succeeded is verified. A bio that has
 * ended is left as it is.
 *
 * @throws ERR_BUSY for a bio that waits to be verified: it is completed already; ERR_USAGE for a status that is none.
 *
 * @param status how the device ended it
 * @returns how the bio ended; null while it waits in a `kintegrityd` of one's own.
 */
export function completeBio(bio: Bio, status: BlkStatus = 'OK'): BlkStatus | null {
  if (bio.ended) return bio.status;
  if (status === 'OK') {
    if (bio.op === 'read') blkIntegrityComplete(bio);
    bioAdvance(bio, bio.iterator.size);
  }
  bioEndio(bio, status);
  return bio.ended ? bio.status : null;
}
