/**
 * The kernel's log as a witness: errno cannot tell who refused a block, the records of that moment can.
 */
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { type KernelLogRecord, parseKmsgRecord } from '../sysfs/kernel-log.js';

const RECORD_BYTES_MAX = 8192;

/** /dev/kmsg, read from where the last reading ended. */
export class KernelLog implements Disposable {
  #fd: number | null;
  readonly #record = Buffer.alloc(RECORD_BYTES_MAX);

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Null when the log may not be read. */
  static open(path = '/dev/kmsg'): KernelLog | null {
    try {
      return new KernelLog(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
    } catch {
      return null;
    }
  }

  /** The records since the last call. The reads do not block: each returns one record at once. */
  drain(): KernelLogRecord[] {
    const records: KernelLogRecord[] = [];
    while (this.#fd !== null) {
      try {
        const bytes = readSync(this.#fd, this.#record);
        if (bytes === 0) break;
        const record = parseKmsgRecord(this.#record.toString('utf8', 0, bytes));
        if (record) records.push(record);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        // EPIPE: records were overwritten before they were read; the next read goes on after the gap.
        if (code === 'EPIPE' || code === 'EINTR') continue;
        break;
      }
    }
    return records;
  }

  [Symbol.dispose](): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }
}
