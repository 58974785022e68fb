/** Memory in segments and how far an I/O over it has come: the kernel's bio_vec and bvec_iter. */
import { IntegrityError } from '../errors.js';

/** One segment of memory: `length` bytes of `buffer` from `offset`. The buffer stays the caller's. */
export interface BioVec {
  readonly buffer: Uint8Array;
  readonly offset: number;
  readonly length: number;
}

/** How far an I/O has come: struct bvec_iter. */
export interface BioIterator {
  /** In units of 512 bytes, of the whole disk; of a payload, its seed. */
  readonly sector: bigint;
  /** Bytes to go. */
  readonly size: number;
  /** The segment where it stands, and the bytes of it that are done. */
  readonly index: number;
  readonly done: number;
  /** Bytes that it has moved since it was made or split off: bi_done, Linux 4.13 to 4.19. */
  readonly moved: number;
}

/** Bytes of the unit in which the block layer counts. */
export const SECTOR = 512;

/** An iterator at the beginning of `segments`. */
export function iteratorOver(segments: readonly BioVec[], sector: bigint): BioIterator {
  return { sector, size: bytesOf(segments), index: 0, done: 0, moved: 0 };
}

export function bytesOf(segments: readonly BioVec[]): number {
  return segments.reduce((total, { length }) => total + length, 0);
}

export function viewOfSegment({ buffer, offset, length }: BioVec): Uint8Array {
  return buffer.subarray(offset, offset + length);
}

/** What lies from `iterator` to its end: bio_for_each_segment. */
export function bvecsFrom(segments: readonly BioVec[], iterator: BioIterator): BioVec[] {
  const vecs: BioVec[] = [];
  let { index, done, size } = iterator;
  for (; size > 0 && index < segments.length; index++) {
    const segment = segments[index]!;
    const length = Math.min(segment.length - done, size);
    if (length > 0) vecs.push({ ...segment, offset: segment.offset + done, length });
    size -= length;
    done = 0;
  }
  return vecs;
}

/** The same as bytes, one view a segment. */
export function segmentsFrom(segments: readonly BioVec[], iterator: BioIterator): Uint8Array[] {
  return bvecsFrom(segments, iterator).map(viewOfSegment);
}

/** The parts one after the other: one view where they are neighbours in memory, else a copy. */
export function gather(parts: readonly Uint8Array[]): Uint8Array {
  return viewOfNeighbours(parts) ?? copyOf(parts);
}

/** Null where the parts are not neighbours in memory, in their order. */
export function viewOfNeighbours(parts: readonly Uint8Array[]): Uint8Array | null {
  const [first, ...others] = parts;
  if (first === undefined) return new Uint8Array(0);
  let end = first.byteOffset + first.length;
  for (const { buffer, byteOffset, length } of others) {
    if (buffer !== first.buffer || byteOffset !== end) return null;
    end += length;
  }
  return new Uint8Array(first.buffer, first.byteOffset, end - first.byteOffset);
}

/** In memory of its own: Buffer.concat takes small ones from a pool that the parts may lie in too. */
function copyOf(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Does `work` on the parts in one piece; what it changes there is changed in them. */
export function inOnePiece(parts: readonly Uint8Array[], work: (whole: Uint8Array) => void): void {
  const view = viewOfNeighbours(parts);
  if (view !== null) {
    work(view);
    return;
  }
  const whole = copyOf(parts);
  work(whole);
  let at = 0;
  for (const part of parts) {
    part.set(whole.subarray(at, at + part.length));
    at += part.length;
  }
}

/**
 * bvec_iter_advance: moves over so many bytes of the segments. The sector goes up by 1 every 512 bytes.
 *
 * @throws ERR_OUT_OF_RANGE beyond the end
 */
export function advanceIterator(
  segments: readonly BioVec[],
  iterator: BioIterator,
  bytes: number,
): BioIterator {
  if (!(Number.isInteger(bytes) && bytes >= 0 && bytes <= iterator.size)) {
    throw new IntegrityError('ERR_OUT_OF_RANGE', `cannot advance ${bytes} bytes with ${iterator.size} to go`);
  }
  let { index, done } = iterator;
  done += bytes;
  while (index < segments.length && done >= segments[index]!.length) {
    done -= segments[index]!.length;
    index++;
  }
  return {
    sector: iterator.sector + BigInt(Math.floor(bytes / SECTOR)),
    size: iterator.size - bytes,
    index,
    done,
    moved: iterator.moved + bytes,
  };
}

/** bvec_iter_rewind of Linux 4.13 to 4.19: back over so many bytes; null where the segments begin before that. */
export function rewindIterator(
  segments: readonly BioVec[],
  iterator: BioIterator,
  bytes: number,
): BioIterator | null {
  let { index, done } = iterator;
  let back = bytes;
  while (back > done) {
    if (index === 0) return null;
    back -= done;
    index--;
    done = segments[index]!.length;
  }
  return {
    sector: iterator.sector - BigInt(Math.floor(bytes / SECTOR)),
    size: iterator.size + bytes,
    index,
    done: done - back,
    moved: iterator.moved - bytes,
  };
}

export function requireInside({ buffer, offset, length }: BioVec, index: number): void {
  if (!(buffer instanceof Uint8Array)) {
    throw new IntegrityError('ERR_USAGE', `segment ${index}: its memory is no Uint8Array`);
  }
  const whole = [offset, length].every((value) => Number.isInteger(value) && value >= 0);
  if (whole && offset + length <= buffer.length) return;
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `segment ${index}: ${length} bytes from ${offset} do not lie in a buffer of ${buffer.length}`,
  );
}
