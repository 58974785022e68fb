/** A file that one disk alone works on, of whatever process. */
import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { type NativeHandle, native } from '../../binding.js';
import { ERRNO, errnoName } from '../../device/errno.js';
import { IntegrityError } from '../../errors.js';
import { unusable } from './model/file-medium.js';

export class FileLock {
  readonly #handle: NativeHandle;

  private constructor(handle: NativeHandle) {
    this.#handle = handle;
  }

  /** By flock(2); the file is made when it is not there. Errors: ERR_TESTBED for one that cannot be opened, ERR_BUSY. */
  static async take(path: string): Promise<FileLock> {
    // A watchdog or a tape starts to work when it is opened.
    const there = await stat(path).catch(() => null);
    if (there !== null && !there.isFile()) throw unusable(path, 'it is no regular file');
    const made = await open(path, MAKE, 0o600).catch((cause: Error) => {
      throw unusable(path, cause.message, cause);
    });
    await made.close();
    const handle = new (native().Handle)();
    const opened = await handle.open(path, constants.O_RDWR | constants.O_NONBLOCK);
    const { errno } = opened.errno === 0 ? await handle.lockExclusive() : opened;
    if (errno === 0) return new FileLock(handle);
    await handle.close();
    if (errno === ERRNO.EWOULDBLOCK)
      throw new IntegrityError('ERR_BUSY', `${path} is the file of a disk that is there already`);
    throw unusable(path, errnoName(errno));
  }

  async release(): Promise<void> {
    await this.#handle.close();
  }
}

/** Nobody waits for the other end of a FIFO. */
const MAKE = constants.O_WRONLY | constants.O_CREAT | constants.O_NONBLOCK | constants.O_NOCTTY;
