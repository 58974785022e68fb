/** The memory of an I/O and how far it has come: the kernel's bio_vec and bvec_iter. */
import { IntegrityError } from '../errors.js';

/** One segment of memory: `length` bytes of `buffer` from `offset`. The buffer stays the caller's. */
export interface BioVec {
  readonly buffer: Uint8Array;
  readonly offset: number;
  readonly length: number;
}

/** How far an I/O has come: struct bvec_iter. */
export interface BioIterator {
  /** In units of 512 bytes, of the whole disk. */
  readonly sector: bigint;
  /** Bytes to go. */
  readonly size: number;
  /** The segment where it stands, and the bytes of it that are done. */
  readonly index: number;
  readonly done: number;
}

const SECTOR = 512;

/** The bytes from `iterator` to the end, one view a segment. */
export function segmentsFrom(segments: readonly BioVec[], iterator: BioIterator): Uint8Array[] {
  return segments.slice(iterator.index).map(({ buffer, offset, length }, i) => {
    const done = i === 0 ? iterator.done : 0;
    return buffer.subarray(offset + done, offset + length);
  });
}

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
  };
}

export function requireInside({ buffer, offset, length }: BioVec, index: number): void {
  const whole = [offset, length].every((value) => Number.isInteger(value) && value >= 0);
  if (whole && offset + length <= buffer.length) return;
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `segment ${index}: ${length} bytes from ${offset} do not lie in a buffer of ${buffer.length}`,
  );
}
