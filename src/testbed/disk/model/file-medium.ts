/** A medium in a file: what was written is there again when the disk is made anew from it. */
import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { IntegrityError } from '../../../errors.js';
import { type Format, requireFormat } from './format.js';
import { type Medium, MediumError, recordBytesOf, STATE, unmappedRecord } from './medium.js';
import { areSavedPages, type SavedPages } from './mode-pages.js';

/** A line of JSON, filled with spaces. The records begin behind it. */
const HEADER_BYTES = 4096;
const MAGIC = 'blk-integrity emulated disk 2';

/** What of a disk outlives its process beside its blocks. */
export interface FileHeader {
  readonly format: Format;
  /** Bytes of data that there is room for. */
  readonly capacityBytes: number;
  /** Who the disk is, as long as its file lives. */
  readonly serial: string;
  readonly savedPages: SavedPages;
}

/** Records one after the other in a sparse file; a hole is an unmapped block. */
export class FileMedium implements Medium {
  /** -1 when it is closed: the number is another file's by then. */
  #fd: number;
  readonly #path: string;
  #header: FileHeader;
  #bytes: number;
  #blank: Uint8Array;

  private constructor(fd: number, path: string, header: FileHeader) {
    this.#fd = fd;
    this.#path = path;
    this.#header = header;
    this.#bytes = recordBytesOf(header.format);
    this.#blank = unmappedRecord(header.format);
  }

  /**
   * Opens the disk in a file, or makes one in a file that is empty or not there.
   *
   * @throws ERR_TESTBED for a file that is something else: it is left as it is.
   */
  static open(path: string, format: Format, serial: string): FileMedium {
    const fd = openFile(path);
    try {
      const status = fstatSync(fd);
      // A device node has the size 0 as well: nothing is ever written to one.
      if (!status.isFile()) throw unusable(path, 'it is no regular file');
      if (status.size === 0) {
        const capacityBytes = format.blocks * format.blockSize;
        const made = { format: requireFormat(format), capacityBytes, serial, savedPages: {} };
        const medium = new FileMedium(fd, path, made);
        medium.#writeHeader();
        return medium;
      }
      return new FileMedium(fd, path, readHeader(fd, path));
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  get format(): Format {
    return this.#header.format;
  }

  get capacityBytes(): number {
    return this.#header.capacityBytes;
  }

  get serial(): string {
    return this.#header.serial;
  }

  get savedPages(): SavedPages {
    return this.#header.savedPages;
  }

  save(savedPages: SavedPages): void {
    this.#header = { ...this.#header, savedPages };
    this.#writeHeader();
  }

  load(lba: number, count: number): Uint8Array {
    const records = new Uint8Array(count * this.#bytes);
    // What lies behind the end of the file was never written.
    this.#try(false, () => readSync(this.#open(), records, 0, records.length, this.#at(lba)));
    for (let end = this.#bytes; end <= records.length; end += this.#bytes) {
      if (records[end - 1] === STATE.UNMAPPED) records.set(this.#blank, end - this.#bytes);
    }
    return records;
  }

  store(lba: number, records: Uint8Array): void {
    this.#write(records, this.#at(lba));
  }

  unmap(lba: number, count: number): void {
    const { size } = this.#try(false, () => fstatSync(this.#open()));
    const end = Math.min(lba + count, Math.ceil((size - HEADER_BYTES) / this.#bytes));
    const zeros = new Uint8Array(UNMAP_BATCH * this.#bytes);
    for (let at = lba; at < end; at += UNMAP_BATCH) {
      const count = Math.min(UNMAP_BATCH, end - at);
      const there = new Uint8Array(count * this.#bytes);
      this.#try(false, () => readSync(this.#open(), there, 0, there.length, this.#at(at)));
      // A hole stays one: zeros would take room.
      if (there.some((byte) => byte !== 0)) this.#write(zeros.subarray(0, there.length), this.#at(at));
    }
  }

  reformat(format: Format): void {
    this.#try(true, () => ftruncateSync(this.#open(), HEADER_BYTES));
    this.#header = { ...this.#header, format };
    this.#bytes = recordBytesOf(format);
    this.#blank = unmappedRecord(format);
    this.#writeHeader();
  }

  flush(): void {
    this.#try(true, () => fdatasyncSync(this.#open()));
  }

  close(): void {
    const fd = this.#fd;
    if (fd < 0) return;
    this.#fd = -1;
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  #open(): number {
    if (this.#fd < 0) throw new Error('the file is closed');
    return this.#fd;
  }

  #at(lba: number): number {
    return HEADER_BYTES + lba * this.#bytes;
  }

  #write(bytes: Uint8Array, at: number): void {
    const written = this.#try(true, () => writeSync(this.#open(), bytes, 0, bytes.length, at));
    if (written !== bytes.length)
      throw new MediumError(true, `${this.#path}: ${written} of ${bytes.length} bytes written`);
  }

  #try<T>(writing: boolean, call: () => T): T {
    try {
      return call();
    } catch (cause) {
      throw new MediumError(writing, `${this.#path}: ${(cause as Error).message}`, cause);
    }
  }

  #writeHeader(): void {
    const text = JSON.stringify({ magic: MAGIC, ...this.#header });
    // The records begin behind it.
    if (text.length >= HEADER_BYTES) throw new MediumError(true, `${this.#path}: the header is too long`);
    this.#write(Buffer.from(`${text.padEnd(HEADER_BYTES - 1)}\n`), 0);
  }
}

const UNMAP_BATCH = 1024;

function openFile(path: string): number {
  try {
    return openSync(path, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      throw unusable(path, (error as Error).message, error);
  }
  try {
    return openSync(path, 'wx+', 0o600);
  } catch (error) {
    throw unusable(path, (error as Error).message, error);
  }
}

function readHeader(fd: number, path: string): FileHeader {
  const header = Buffer.alloc(HEADER_BYTES);
  readSync(fd, header, 0, HEADER_BYTES, 0);
  try {
    const { magic, format, capacityBytes, serial, savedPages } = JSON.parse(
      header.toString(),
    ) as FileHeader & {
      magic: string;
    };
    const sound =
      Number.isSafeInteger(capacityBytes) && typeof serial === 'string' && areSavedPages(savedPages);
    if (magic === MAGIC && sound) return { capacityBytes, serial, savedPages, format: requireFormat(format) };
  } catch (cause) {
    throw unusable(path, 'it has no readable header', cause);
  }
  throw unusable(path, 'it is something else');
}

export function unusable(path: string, why: string, cause?: unknown): IntegrityError {
  return new IntegrityError('ERR_TESTBED', `${path} cannot hold an emulated disk: ${why}`, {
    advice: 'Name a file that this package made, or one that is not there yet.',
    cause,
  });
}
