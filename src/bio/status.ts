/** How a bio ended: BLK_STS_* without the prefix. */
export type BlkStatus = 'OK' | 'IOERR' | 'RESOURCE' | 'PROTECTION';

/** The errno that each status becomes at the system call: blk_status_to_errno, Linux 6.1 to 7.1. */
export const BLK_STATUS_ERRNO: Readonly<Record<BlkStatus, number>> = {
  OK: 0,
  IOERR: -5,
  RESOURCE: -12,
  PROTECTION: -84,
};
