/** How a bio ended: BLK_STS_* without the prefix. */
export type BlkStatus = 'OK' | 'IOERR' | 'RESOURCE' | 'PROTECTION';

/**
 * The errno that each status becomes at the system call: blk_status_to_errno, Linux 4.13 to 7.1. A bio of 3.10
 * ends with the errno itself.
 */
export const BLK_STATUS_ERRNO: Readonly<Record<BlkStatus, number>> = {
  OK: 0,
  IOERR: -5,
  RESOURCE: -12,
  PROTECTION: -84,
};

/** The errnos that the mirrored functions return, as the kernel does, negative. */
export const EIO = -5;
export const ENOMEM = -12;
