/** A file that one alone works with, of whatever process: the kernel lets go of it however that one ends. */
import { constants } from 'node:fs';
import { type FileHandle, open, rm, stat } from 'node:fs/promises';
import { type NativeHandle, native } from '../binding.js';
import type { IntegrityError } from '../errors.js';
import { ERRNO, errnoName } from './errno.js';

/** The error for a file that cannot be locked. */
export type Unusable = (path: string, why: string, cause?: unknown) => IntegrityError;

export class FileLock {
  readonly #path: string;
  readonly #handle: NativeHandle;

  private constructor(path: string, handle: NativeHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  /** By flock(2); the file is made when it is not there. Null when another has it; throws `unusable` when it cannot be locked. */
  static async take(path: string, unusable: Unusable): Promise<FileLock | null> {
    // A watchdog or a tape starts to work when it is opened.
    const there = await stat(path).catch(() => null);
    if (there !== null && !there.isFile()) throw unusable(path, 'it is no regular file');
    await using file = await open(path, MAKE, 0o600).catch((cause: Error) => {
      throw unusable(path, cause.message, cause);
    });
    const handle = new (native().Handle)();
    const opened = await handle.open(`/proc/self/fd/${file.fd}`, constants.O_RDWR | constants.O_NONBLOCK);
    const { errno } = opened.errno === 0 ? await handle.lockExclusive() : opened;
    if (errno === 0 && (await isNamed(path, file))) return new FileLock(path, handle);
    await handle.close();
    if (errno === ERRNO.EWOULDBLOCK) return null;
    if (errno !== 0) throw unusable(path, errnoName(errno));
    // Whoever had it has just taken it away.
    return FileLock.take(path, unusable);
  }

  async release(): Promise<void> {
    await this.#handle.close();
  }

  /** Takes the file away first, if nothing was ever written to it. One that stays does no harm. */
  async remove(): Promise<void> {
    const there = await stat(this.#path).catch(() => null);
    if (there?.size === 0) await rm(this.#path).catch(() => {});
    await this.release();
  }
}

/** Nobody waits for the other end of a FIFO. */
const MAKE = constants.O_WRONLY | constants.O_CREAT | constants.O_NONBLOCK | constants.O_NOCTTY;

/** Whether the name still leads to the file that is open. */
async function isNamed(path: string, file: FileHandle): Promise<boolean> {
  const [open, named] = [await file.stat(), await stat(path).catch(() => null)];
  return named !== null && named.ino === open.ino && named.dev === open.dev;
}
