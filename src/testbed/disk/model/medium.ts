/**
 * What lies on the medium. A block is one record: its data, its tuples, and a byte of state, so that whatever cuts a write short, the
 * three belong together.
 */
import { type Format, tupleBytesOf } from './format.js';

/** The last byte of a record. */
export const STATE = {
  /** Never written, or unmapped: zeros under tuples of FFh (SBC-4, LBPRZ 1). */
  UNMAPPED: 0,
  WRITTEN: 1,
  /** Marked by WRITE LONG: an unrecovered read error until it is written. */
  UNREADABLE: 2,
} as const;

/** What holds the blocks has failed. */
export class MediumError extends Error {
  readonly writing: boolean;

  constructor(writing: boolean, message: string, cause?: unknown) {
    super(message, { cause });
    this.writing = writing;
  }
}

export interface Medium {
  readonly format: Format;
  /** Bytes of data that there is room for, however it is formatted. */
  readonly capacityBytes: number;
  /** Records from `lba` on. A view that is not to be changed, good until the next call. */
  load(lba: number, count: number): Uint8Array;
  store(lba: number, records: Uint8Array): void;
  unmap(lba: number, count: number): void;
  /** Everything unmapped, in another format. */
  reformat(format: Format): void;
  /** What was answered GOOD outlives a power cut. */
  flush(): void;
  close(): void;
}

export function recordBytesOf(format: Format): number {
  return format.blockSize + tupleBytesOf(format) + 1;
}

/** An unmapped block. */
export function unmappedRecord(format: Format): Uint8Array {
  const record = new Uint8Array(recordBytesOf(format));
  record.fill(0xff, format.blockSize, record.length - 1);
  record[record.length - 1] = STATE.UNMAPPED;
  return record;
}

/** Records that are made together: sparse at this grain. */
const CHUNK_RECORDS = 16;

/** A medium in memory, of which only what was written takes room. */
export class MemoryMedium implements Medium {
  #format: Format;
  #bytes: number;
  #blank: Uint8Array;
  readonly #chunks = new Map<number, Uint8Array>();
  readonly capacityBytes: number;

  constructor(format: Format) {
    this.capacityBytes = format.blocks * format.blockSize;
    this.#format = format;
    this.#bytes = recordBytesOf(format);
    this.#blank = blankChunk(format);
  }

  get format(): Format {
    return this.#format;
  }

  load(lba: number, count: number): Uint8Array {
    const bytes = this.#bytes;
    const within = lba % CHUNK_RECORDS;
    if (within + count <= CHUNK_RECORDS) {
      const chunk = this.#chunks.get(Math.floor(lba / CHUNK_RECORDS)) ?? this.#blank;
      return chunk.subarray(within * bytes, (within + count) * bytes);
    }
    const records = new Uint8Array(count * bytes);
    for (const { chunk, from, length, at } of pieces(lba, count)) {
      const source = this.#chunks.get(chunk) ?? this.#blank;
      records.set(source.subarray(from * bytes, (from + length) * bytes), at * bytes);
    }
    return records;
  }

  store(lba: number, records: Uint8Array): void {
    const bytes = this.#bytes;
    for (const { chunk, from, length, at } of pieces(lba, records.length / bytes)) {
      let target = this.#chunks.get(chunk);
      if (target === undefined) {
        target = this.#blank.slice();
        this.#chunks.set(chunk, target);
      }
      target.set(records.subarray(at * bytes, (at + length) * bytes), from * bytes);
    }
  }

  unmap(lba: number, count: number): void {
    const last = Math.floor((lba + count - 1) / CHUNK_RECORDS);
    const first = Math.floor(lba / CHUNK_RECORDS);
    // What was never written is not walked, however large the range.
    const there =
      last - first < this.#chunks.size
        ? Array.from({ length: last - first + 1 }, (_, k) => first + k)
        : [...this.#chunks.keys()].filter((chunk) => chunk >= first && chunk <= last);
    for (const chunk of there) {
      const from = Math.max(lba, chunk * CHUNK_RECORDS) - chunk * CHUNK_RECORDS;
      const to = Math.min(lba + count, (chunk + 1) * CHUNK_RECORDS) - chunk * CHUNK_RECORDS;
      if (to - from === CHUNK_RECORDS) this.#chunks.delete(chunk);
      else
        this.#chunks.get(chunk)?.set(this.#blank.subarray(0, (to - from) * this.#bytes), from * this.#bytes);
    }
  }

  reformat(format: Format): void {
    this.#chunks.clear();
    this.#format = format;
    this.#bytes = recordBytesOf(format);
    this.#blank = blankChunk(format);
  }

  flush(): void {}

  close(): void {
    this.#chunks.clear();
  }
}

function blankChunk(format: Format): Uint8Array {
  const record = unmappedRecord(format);
  const chunk = new Uint8Array(CHUNK_RECORDS * record.length);
  for (let i = 0; i < CHUNK_RECORDS; i++) chunk.set(record, i * record.length);
  return chunk;
}

interface Piece {
  readonly chunk: number;
  /** Record in the chunk, number of records, and their place in the run. */
  readonly from: number;
  readonly length: number;
  readonly at: number;
}

function* pieces(lba: number, count: number): Generator<Piece> {
  for (let at = 0; at < count; ) {
    const from = (lba + at) % CHUNK_RECORDS;
    const length = Math.min(count - at, CHUNK_RECORDS - from);
    yield { chunk: Math.floor((lba + at) / CHUNK_RECORDS), from, length, at };
    at += length;
  }
}
