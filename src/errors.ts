/**
 * The errors of this package. Each carries a stable `code`, and where there is one the disk, the CDB, the sense and
 * one line of advice: what to do next.
 */

/** Every `code` that this package throws, with the exit status of the command for it. */
export const ERROR_CODES = {
  ERR_USAGE: 2,
  ERR_OUT_OF_RANGE: 2,
  ERR_UNKNOWN_FORMAT: 2,
  ERR_BAD_LENGTH: 2,
  ERR_PARTITION: 2,
  ERR_NOT_A_DISK: 2,
  ERR_READ_ONLY: 2,
  ERR_NOT_OURS: 2,
  ERR_NO_DEVICE: 3,
  ERR_PERMISSION: 3,
  ERR_BUSY: 3,
  ERR_DEVICE_GONE: 3,
  ERR_IO: 3,
  ERR_CHECK_CONDITION: 3,
  ERR_TRANSPORT: 3,
  ERR_TIMEOUT: 3,
  ERR_MALFORMED_RESPONSE: 3,
  ERR_NO_PATH: 3,
  ERR_CANNOT_PLANT: 3,
  ERR_RESTORE: 3,
  ERR_KERNEL_BUG: 3,
  ERR_TESTBED: 3,
  ERR_MISSING_TOOL: 3,
  ERR_NO_KERNEL: 3,
  ERR_GUEST: 3,
  ERR_NO_ADDON: 3,
  ERR_CLOSED: 3,
  ERR_QUEUE_FULL: 3,
  ERR_ABORTED: 130,
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface ErrorDetails {
  /** What the user can do about it, as one or more sentences. */
  readonly advice?: string;
  /** The disk it happened on, as its node (`/dev/sda`). */
  readonly disk?: string;
  /** The SCSI command, when one was sent. */
  readonly cdb?: Uint8Array;
  /** The sense data that came back, when there was any. */
  readonly sense?: Uint8Array;
  /** The system call's errno, positive, when one failed. */
  readonly errno?: number;
  readonly cause?: unknown;
}

/** The base of every error that this package throws on purpose. */
export class IntegrityError extends Error {
  override readonly name: string = 'IntegrityError';
  readonly code: ErrorCode;
  readonly advice: string | undefined;
  readonly disk: string | undefined;
  readonly cdb: Uint8Array | undefined;
  readonly sense: Uint8Array | undefined;
  readonly errno: number | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.advice = details.advice;
    this.disk = details.disk;
    this.cdb = details.cdb;
    this.sense = details.sense;
    this.errno = details.errno;
  }
}

const DENIED: readonly unknown[] = ['EACCES', 'EPERM', 'EROFS'];

/** Of a system call on a file of the user's that failed. A disk's node has errnoError. */
export function fileErrorCode(cause: unknown): 'ERR_PERMISSION' | 'ERR_IO' {
  return DENIED.includes((cause as NodeJS.ErrnoException).code) ? 'ERR_PERMISSION' : 'ERR_IO';
}

/** What a BUG_ON is in the kernel: the caller broke a rule that the kernel would have stopped the machine for. */
export class KernelBugError extends Error {
  override readonly name = 'KernelBugError';
  readonly code: ErrorCode = 'ERR_KERNEL_BUG';
  /** The condition that held, in the kernel's words. */
  readonly condition: string;

  constructor(condition: string) {
    super(`kernel BUG: ${condition}`);
    this.condition = condition;
  }
}
