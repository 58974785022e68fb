/**
 * From an errno to an error that says what to do.
 */
import { constants as osConstants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { type ErrorCode, type ErrorDetails, IntegrityError } from '../errors.js';

export const ERRNO: typeof osConstants.errno = osConstants.errno;

interface Meaning {
  readonly code: ErrorCode;
  readonly advice?: string;
}

const NO_SUCH = {
  code: 'ERR_NO_DEVICE',
  advice: 'See `blk-integrity list` for the disks of this host.',
} as const;
const NOT_ALLOWED = {
  code: 'ERR_PERMISSION',
  advice:
    'Run as root, or as a member of the group that owns the node (often `disk`); SG_IO needs CAP_SYS_RAWIO for some commands.',
} as const;
const GONE = {
  code: 'ERR_DEVICE_GONE',
  advice: 'The disk was removed, or its host lost it: see dmesg.',
} as const;

const MEANINGS: Readonly<Record<number, Meaning>> = {
  [ERRNO.ENOENT]: NO_SUCH,
  [ERRNO.ENOTDIR]: NO_SUCH,
  [ERRNO.EACCES]: NOT_ALLOWED,
  [ERRNO.EPERM]: NOT_ALLOWED,
  [ERRNO.ENXIO]: GONE,
  [ERRNO.ENODEV]: GONE,
  [ERRNO.EBUSY]: {
    code: 'ERR_BUSY',
    advice: 'Something else holds the disk: see its mounts, holders and `fuser`.',
  },
  [ERRNO.EWOULDBLOCK]: {
    code: 'ERR_BUSY',
    advice: 'Another process has locked the disk: wait for it to end.',
  },
  [ERRNO.EROFS]: { code: 'ERR_READ_ONLY', advice: 'The disk is write-protected.' },
  [ERRNO.ETIMEDOUT]: { code: 'ERR_TIMEOUT' },
  [ERRNO.EBADF]: { code: 'ERR_CLOSED' },
  [ERRNO.ECANCELED]: { code: 'ERR_CLOSED' },
};

/**
 * What the block layer ends a transfer with (blk_errors of block/blk-core.c), and whether one of its blocks can be why. EREMOTEIO and EBADE are
 * numbers: Node has no constants of them.
 */
const IS_OF_BLOCK: Readonly<Record<number, boolean>> = {
  [ERRNO.EIO]: true, // BLK_STS_IOERR
  [ERRNO.ENODATA]: true, // BLK_STS_MEDIUM
  [ERRNO.EILSEQ]: true, // BLK_STS_PROTECTION
  121: true, // BLK_STS_TARGET
  [ERRNO.ENOLINK]: false, // BLK_STS_TRANSPORT
  52: false, // BLK_STS_RESV_CONFLICT, BLK_STS_NEXUS before Linux 6.4
};

/** Whether an errno of the block paths can be of one block, so that others of the same transfer may be good. What the table does not have cannot. */
export function isErrnoOfBlock(errno: number): boolean {
  return IS_OF_BLOCK[errno] ?? false;
}

/** `EILSEQ (Invalid or incomplete multibyte or wide character)` helps nobody: the name alone, in the kernel's spelling. */
export function errnoName(errno: number): string {
  // libuv knows fewer: ENOLCK is none of its own.
  const others = Object.entries(ERRNO).find(([, value]) => value === errno);
  return getSystemErrorMap().get(-errno)?.[0] ?? others?.[0] ?? `errno ${errno}`;
}

/** The error for a system call on a disk that failed with `errno` (positive). */
export function errnoError(
  errno: number,
  what: string,
  disk: string,
  details: ErrorDetails = {},
): IntegrityError {
  const { code, advice }: Meaning = MEANINGS[errno] ?? { code: 'ERR_IO' };
  return new IntegrityError(code, `${disk}: ${what}: ${errnoName(errno)}`, {
    errno,
    disk,
    ...(advice === undefined ? {} : { advice }),
    ...details,
  });
}
