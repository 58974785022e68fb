/**
 * Bytes in and out of the commands that work on files and pipes. Memory stays constant whatever their length.
 */
import { constants, fstatSync, openSync, type Stats } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { addAbortSignal, type Readable, type Writable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fileErrorCode, IntegrityError } from '../errors.js';
import type { CommandIo } from './io.js';

/** What stands for stdin or stdout in place of a file name. */
const STANDARD_STREAM = '-';

/** About so many bytes are in memory at a time. */
const PIECE = 1024 * 1024;

/** A file or stdin, read from its beginning to its end. */
export class ByteSource {
  readonly name: string;
  /** Null for a stdin that is no open file of the process. */
  readonly stats: Stats | null;
  /** Known beforehand for a named regular file only: stdin may stand anywhere in its file. */
  readonly size: number | null;
  /** Bytes handed out so far. */
  position = 0;
  readonly #stream: Readable;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #held: Uint8Array = new Uint8Array(0);

  constructor(
    { name, stats, size }: Pick<ByteSource, 'name' | 'stats' | 'size'>,
    stream: Readable,
    signal: AbortSignal,
  ) {
    this.name = name;
    this.stats = stats;
    this.size = size;
    this.#stream = endedBy(signal, stream);
    this.#chunks = stream[Symbol.asyncIterator]();
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
      throw streamError('read', this.name, cause);
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
    const stats = statsOf(io.stdin);
    return new ByteSource({ name: 'stdin', stats, size: null }, io.stdin as Readable, io.signal);
  }
  try {
    const stats = await stat(name);
    if (stats.isFIFO()) return new ByteSource({ name, stats, size: null }, fifoToRead(name), io.signal);
    const handle = await open(name, 'r');
    const opened = await handle.stat();
    const size = opened.isFile() ? opened.size : null;
    const stream = handle.createReadStream({ highWaterMark: PIECE });
    return new ByteSource({ name, stats: opened, size }, stream, io.signal);
  } catch (cause) {
    throw streamError('read', name, cause);
  }
}

/** An error reaches the next read or write; until there is one it must not count as unhandled. */
function endedBy<Stream extends Readable | Writable>(signal: AbortSignal, stream: Stream): Stream {
  stream.on('error', () => {});
  addAbortSignal(signal, stream);
  return stream;
}

/** Of the file behind one of the process's own streams. */
function statsOf(stream: object): Stats | null {
  return 'fd' in stream && typeof stream.fd === 'number' ? fstatSync(stream.fd) : null;
}

/*
 * The open, read or write of a FIFO waits in the kernel for the other end, and no signal of ours reaches a thread there. So both ends
 * are opened with O_NONBLOCK and given to the event loop, which waits: a FIFO that had no writer yet is not at its end for poll(2).
 */
function fifoToRead(name: string): Readable {
  const fd = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK);
  return new Socket({ fd, readable: true, writable: false });
}

/** How often a FIFO is asked whether it has a reader by now: until then its open fails with ENXIO. */
const READER_POLL_MS = 50;

async function openFifoToWrite(name: string, signal: AbortSignal): Promise<number> {
  for (;;) {
    try {
      return openSync(name, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
    }
    await delay(READER_POLL_MS, undefined, { signal });
  }
}

/**
 * Writes all that `pieces` yields to a file, or to stdout for `null`; no more once the reader of stdout has gone.
 *
 * @throws ERR_IO, ERR_PERMISSION, ERR_ABORTED, and whatever `pieces` throws
 */
export async function deliver(
  pieces: AsyncIterable<Uint8Array | string>,
  output: OutputFile | null,
  io: CommandIo,
): Promise<void> {
  try {
    await pipeline(pieces, output?.stream ?? io.stdout, { signal: io.signal, end: output !== null });
  } catch (cause) {
    if (output === null && (cause as NodeJS.ErrnoException).code === 'EPIPE') return;
    throw streamError('write', output?.name ?? 'stdout', cause);
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
  io: CommandIo,
): Promise<OutputFile | null> {
  if (name === undefined || name === STANDARD_STREAM) {
    const stats = statsOf(io.stdout);
    if (stats?.isFile()) requireWritable('stdout', stats, sources);
    return null;
  }
  try {
    io.signal.throwIfAborted();
    const before = await statIfExists(name);
    requireWritable(name, before, sources);
    if (before?.isFIFO()) {
      const fd = await openFifoToWrite(name, io.signal);
      requireWritable(name, fstatSync(fd), sources);
      return { name, stream: new Socket({ fd, readable: false, writable: true }) };
    }
    // Without O_TRUNC: what was opened is looked at again before a byte of it changes.
    const handle = await open(name, constants.O_WRONLY | constants.O_CREAT | constants.O_NOCTTY, 0o666);
    const stats = await handle.stat();
    try {
      requireWritable(name, stats, sources);
      io.signal.throwIfAborted();
      if (stats.isFile()) await handle.truncate();
    } catch (error) {
      await handle.close();
      throw error;
    }
    return { name, stream: handle.createWriteStream() };
  } catch (cause) {
    throw streamError('write', name, cause);
  }
}

/** Takes bytes for a file, or for stdout with `null`, in any number of pieces. Declare it with `await using`, and end it when all is in. */
class ByteSink implements AsyncDisposable {
  readonly #name: string;
  readonly #stream: NodeJS.WritableStream;
  readonly #own: boolean;
  #gone = false;

  constructor(output: OutputFile | null, io: CommandIo) {
    this.#name = output?.name ?? 'stdout';
    this.#stream = output?.stream ?? io.stdout;
    this.#own = output !== null;
    if (output === null) return;
    // A write that is never taken ends when the user gives up.
    endedBy(io.signal, output.stream as Writable);
  }

  /** @throws ERR_IO, ERR_PERMISSION, ERR_ABORTED. A reader of stdout that has gone is none. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#gone) return;
    const error = await new Promise<Error | null | undefined>((done) => void this.#stream.write(bytes, done));
    if (!error) return;
    this.#gone = !this.#own && (error as NodeJS.ErrnoException).code === 'EPIPE';
    if (!this.#gone) throw streamError('write', this.#name, error);
  }

  /** @throws as write */
  async end(): Promise<void> {
    if (!this.#own) return;
    const stream = this.#stream;
    stream.end();
    await finished(stream).catch((error: unknown) => {
      throw streamError('write', this.#name, error);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#own) (this.#stream as Writable).destroy();
  }
}

/** As openOutput, to be written piece by piece; null for an output that is not asked for. */
export async function openSink(name: string | undefined, io: CommandIo): Promise<ByteSink | null> {
  return name === undefined ? null : new ByteSink(await openOutput(name, [], io), io);
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

/** A failed system call and the user's giving up as errors of ours; anything else, a fault of ours, as it is. */
export function streamError(verb: 'read' | 'write', name: string, cause: unknown): unknown {
  const { name: kind, code, message } = cause as NodeJS.ErrnoException;
  if (kind === 'AbortError') return new IntegrityError('ERR_ABORTED', 'interrupted', { cause });
  if (cause instanceof IntegrityError || code === undefined) return cause;
  return new IntegrityError(fileErrorCode(cause), `cannot ${verb} ${name}: ${message}`, {
    cause,
  });
}
