/** One output of the command, as it comes, up to the trailer that the guest sends when the command has ended. */

import { type Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { IntegrityError } from '../../errors.js';

/** Length of the longest end of `bytes` that is a beginning of `trailer`. */
function overlap(bytes: Buffer, trailer: Buffer): number {
  let length = Math.min(bytes.length, trailer.length);
  while (!bytes.subarray(bytes.length - length).equals(trailer.subarray(0, length))) length -= 1;
  return length;
}

/** Passes everything on at once but what may be the trailer's beginning. Ends at the trailer, and says so, or where the source ends. */
export async function* untilTrailer(
  source: AsyncIterable<Buffer>,
  trailer: Buffer,
): AsyncGenerator<Buffer, boolean> {
  let held: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    const bytes = Buffer.concat([held, chunk]);
    const kept = overlap(bytes, trailer);
    if (bytes.length > kept) yield bytes.subarray(0, bytes.length - kept);
    if (kept === trailer.length) return true;
    held = bytes.subarray(bytes.length - kept);
  }
  if (held.length > 0) yield held;
  return false;
}

/** Takes everything, and hands it to `destination` for as long as that has a reader: the command runs on without one. */
function whileRead(destination: NodeJS.WritableStream | undefined): Writable {
  let read = destination !== undefined;
  // The callback of the write tells; the event would end the process.
  destination?.on('error', () => {});
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (!read) return done();
      destination!.write(chunk, (error: NodeJS.ErrnoException | null | undefined) => {
        read = error?.code !== 'EPIPE';
        done(read ? error : null);
      });
    },
  });
}

/**
 * Writes the output to `destination` (nowhere if undefined, or once its reader has gone), which is not ended. Whether all of it came.
 * Throws ERR_IO.
 */
export async function passOn(
  source: Readable,
  trailer: Buffer,
  destination: NodeJS.WritableStream | undefined,
): Promise<boolean> {
  let whole = false;
  const output = async function* (): AsyncGenerator<Buffer> {
    whole = yield* untilTrailer(source, trailer);
  };
  await pipeline(output, whileRead(destination)).catch((cause: Error) => {
    throw new IntegrityError('ERR_IO', `the command's output could not be passed on: ${cause.message}`, {
      cause,
    });
  });
  return whole;
}
