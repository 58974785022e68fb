/** An I/O from the file system's call to its end, in two calls. */
import { bioAdvance } from './advance.js';
import type { Bio } from './bio.js';
import { bioEndio, bioIntegrityEnabled, bioIntegrityPrep } from './bio-integrity.js';
import { blkIntegrityComplete, blkIntegrityPrepare } from './blk-integrity.js';
import { type Memory, plenty } from './memory.js';
import type { BlkStatus } from './status.js';

/**
 * submit_bio down to the driver: prepares the bio and remaps its reference tags.
 *
 * @returns the metadata as the disk gets it with a write; for a read, the buffer that takes the disk's. Null
 * when the bio goes without, and when it has ended for want of memory (`bio.ended`).
 * @throws as bioIntegrityPrep
 */
export function submitBio(bio: Bio, memory: Memory = plenty): Uint8Array | null {
  if (bio.device.semantics.skipsIn === 'caller') {
    // blk_queue_bio of Linux 3.10: whatever the errno, the submitter sees EIO.
    if (bioIntegrityEnabled(bio) && bioIntegrityPrep(bio, memory) !== 0) bioEndio(bio, 'IOERR');
  } else {
    bioIntegrityPrep(bio, memory);
  }
  blkIntegrityPrepare(bio);
  return bio.integrity?.buffer ?? null;
}

/**
 * The driver's answer up to the end of the bio: the reference tags become virtual again, the bio is advanced
 * to its end, and a read that succeeded is verified.
 *
 * @param status how the device ended it
 * @returns how the bio ended; with a `kintegrityd` of one's own, only once that has run.
 */
export function completeBio(bio: Bio, status: BlkStatus = 'OK'): BlkStatus {
  if (status === 'OK') {
    blkIntegrityComplete(bio);
    bioAdvance(bio, bio.iterator.size);
  }
  bioEndio(bio, status);
  return bio.status;
}
