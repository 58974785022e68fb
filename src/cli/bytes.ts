/**
 * Bytes in and out of the commands that work on files and pipes. Memory stays constant whatever their length.
 */
import { constants, type Stats } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { addAbortSignal, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { IntegrityError } from '../errors.js';
import type { CommandIo } from './io.js';

/** What stands for stdin or stdout in place of a file name. */
const STANDARD_STREAM = '-';

/** About so many bytes are in memory at a time. */
const PIECE = 1024 * 1024;

/** A file or stdin, read from its beginning to its end. */
export class ByteSource {
  readonly name: string;
  /** Null for stdin. */
  readonly stats: Stats | null;
  /** Bytes handed out so far. */
  position = 0;
  readonly #stream: Readable;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #held: Uint8Array = new Uint8Array(0);

  constructor(name: string, stats: Stats | null, stream: Readable, signal: AbortSignal) {
    this.name = name;
    this.stats = stats;
    this.#stream = addAbortSignal(signal, stream);
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  /** Known beforehand for a regular file only. */
  get size(): number | null {
    return this.stats?.isFile() ? this.stats.size : null;
  }

  /** The next `length` bytes; fewer only at the end. @throws ERR_IO, ERR_ABORTED */
  async read(length: number): Promise<Uint8Array> {
    const parts = [this.#held];
    let bytes = this.#held.length;
    try {
      while (bytes < length) {
        const { done, value } = await this.#chunks.next();
        if (done) break;
        parts.push(value);
        bytes += value.length;
      }
    } catch (cause) {
      throw failure('read', this.name, cause);
    }
    const all = parts.length === 1 ? this.#held : Buffer.concat(parts);
    this.#held = all.subarray(length);
    const piece = all.subarray(0, length);
    this.position += piece.length;
    return piece;
  }

  /** The rest in pieces of whole units; only the last may end with a fraction of one. */
  async *pieces(unit: number): AsyncGenerator<Uint8Array> {
    const length = Math.max(1, Math.floor(PIECE / unit)) * unit;
    for (;;) {
      const piece = await this.read(length);
      if (piece.length > 0) yield piece;
      if (piece.length < length) return;
    }
  }

  [Symbol.dispose](): void {
    this.#stream.destroy();
  }
}

/** Opens a file; no name, or `-`, is stdin. @throws ERR_IO, ERR_PERMISSION */
export async function openSource(name: string | undefined, io: CommandIo): Promise<ByteSource> {
  if (name === undefined || name === STANDARD_STREAM) {
    return new ByteSource('stdin', null, io.stdin as Readable, io.signal);
  }
  try {
    const handle = await open(name, 'r');
    const stats = await handle.stat();
    return new ByteSource(name, stats, handle.createReadStream({ highWaterMark: PIECE }), io.signal);
  } catch (cause) {
    throw failure('read', name, cause);
  }
}

/**
 * Writes all that `pieces` yields to a file, or to stdout for `null`.
 *
 * @throws ERR_IO, ERR_PERMISSION, ERR_ABORTED, and whatever `pieces` throws
 */
export async function deliver(
  pieces: AsyncIterable<Uint8Array | string>,
  output: OutputFile | null,
  io: CommandIo,
): Promise<void> {
  const name = output?.name ?? 'stdout';
  try {
    await pipeline(pieces, output?.stream ?? io.stdout, { signal: io.signal, end: output !== null });
  } catch (cause) {
    throw failure('write', name, cause);
  }
}

export interface OutputFile {
  readonly name: string;
  readonly stream: NodeJS.WritableStream;
}

/**
 * Opens a file to write, empty; null for no name or `-`, which is stdout. Only a regular file or a pipe is
 * ever opened: a device node, by whatever name or link, is refused, and so is one of the sources.
 *
 * @throws ERR_USAGE for those; ERR_IO, ERR_PERMISSION
 */
export async function openOutput(
  name: string | undefined,
  sources: readonly ByteSource[],
): Promise<OutputFile | null> {
  if (name === undefined || name === STANDARD_STREAM) return null;
  try {
    requireWritable(name, await statIfExists(name), sources);
    // Without O_TRUNC: what was opened is looked at again before a byte of it changes.
    const handle = await open(name, constants.O_WRONLY | constants.O_CREAT | constants.O_NOCTTY, 0o666);
    const stats = await handle.stat();
    try {
      requireWritable(name, stats, sources);
      if (stats.isFile()) await handle.truncate();
    } catch (error) {
      await handle.close();
      throw error;
    }
    return { name, stream: handle.createWriteStream() };
  } catch (cause) {
    throw failure('write', name, cause);
  }
}

function requireWritable(name: string, stats: Stats | null, sources: readonly ByteSource[]): void {
  if (stats === null) return;
  if (!stats.isFile() && !stats.isFIFO()) {
    throw new IntegrityError('ERR_USAGE', `${name} is neither a regular file nor a pipe: not written`, {
      advice: 'Write to a regular file, a pipe or stdout.',
    });
  }
  const same = sources.find((source) => source.stats?.dev === stats.dev && source.stats.ino === stats.ino);
  if (same !== undefined) {
    throw new IntegrityError('ERR_USAGE', `${name} is ${same.name}, which is being read: not written`);
  }
}

async function statIfExists(name: string): Promise<Stats | null> {
  try {
    return await stat(name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** A failed system call as an error of ours; anything else, a fault of ours, as it is. */
function failure(verb: 'read' | 'write', name: string, cause: unknown): unknown {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (cause instanceof IntegrityError || code === undefined) return cause;
  if (code === 'ABORT_ERR') return new IntegrityError('ERR_ABORTED', 'interrupted', { cause });
  const denied = code === 'EACCES' || code === 'EPERM' || code === 'EROFS';
  return new IntegrityError(denied ? 'ERR_PERMISSION' : 'ERR_IO', `cannot ${verb} ${name}: ${message}`, {
    cause,
  });
}
