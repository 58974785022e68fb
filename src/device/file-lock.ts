/** A file that one alone works with, of whatever process: the kernel lets go of it however that one ends. */
import { type BigIntStats, constants } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import { type NativeHandle, native } from '../binding.js';
import type { IntegrityError } from '../errors.js';
import { ERRNO, errnoName } from './errno.js';

/** The error for a file that cannot be locked; of a system call that failed, `cause` has the errno's name as its `code`. */
export type Unusable = (path: string, why: string, cause?: unknown) => IntegrityError;

export class FileLock {
  readonly #path: string;
  readonly #handle: NativeHandle;
  readonly #own: Identity;

  private constructor(path: string, handle: NativeHandle, own: Identity) {
    this.#path = path;
    this.#handle = handle;
    this.#own = own;
  }

  /**
   * By flock(2); the file is made when it is not there. Null when another has it; throws `unusable` when it cannot be locked.
   *
   * @param flags of open(2), beside those that it takes anyway: O_NOFOLLOW where the name may not be a link's
   */
  static async take(path: string, unusable: Unusable, flags = 0): Promise<FileLock | null> {
    // A watchdog or a tape starts to work when it is opened.
    const there = await stat(path).catch(() => null);
    if (there !== null && !there.isFile()) throw unusable(path, 'it is no regular file');
    await using file = await open(path, MAKE | flags, 0o600).catch((cause: Error) => {
      throw unusable(path, cause.message, cause);
    });
    const own = await file.stat({ bigint: true });
    const handle = new (native().Handle)();
    const opened = await handle.open(`/proc/self/fd/${file.fd}`, constants.O_RDWR | constants.O_NONBLOCK);
    const { errno } = opened.errno === 0 ? await handle.lockExclusive() : opened;
    if (errno === 0 && isSame(own, await named(path))) return new FileLock(path, handle, own);
    await handle.close();
    if (errno === ERRNO.EWOULDBLOCK) return null;
    if (errno !== 0) {
      const code = errnoName(errno);
      throw unusable(path, code, Object.assign(new Error(code), { code }));
    }
    // Whoever had it has just taken it away.
    return FileLock.take(path, unusable, flags);
  }

  /** Whether the name still leads to the file that is locked. Where it does not, another may have locked what it leads to. */
  async isNamed(): Promise<boolean> {
    return isSame(this.#own, await named(this.#path));
  }

  async release(): Promise<void> {
    await this.#handle.close();
  }

  /** Takes the file away first, if it still has the name and nothing was ever written to it. One that stays does no harm. */
  async remove(): Promise<void> {
    const there = await named(this.#path);
    if (isSame(this.#own, there) && there?.size === 0n) await rm(this.#path).catch(() => {});
    await this.release();
  }
}

/** Nobody waits for the other end of a FIFO. */
const MAKE = constants.O_WRONLY | constants.O_CREAT | constants.O_NONBLOCK | constants.O_NOCTTY;

/** What is one file's alone as long as it is open. */
export type Identity = Pick<BigIntStats, 'dev' | 'ino'>;

export const isSame = (one: Identity, other: Identity | null): boolean =>
  one.dev === other?.dev && one.ino === other.ino;

const named = (path: string): Promise<BigIntStats | null> => stat(path, { bigint: true }).catch(() => null);
