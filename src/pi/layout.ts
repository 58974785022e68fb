/** Where interval i's data, metadata and tuple lie. */
import { IntegrityError } from '../errors.js';
import { requireApart, requireBytes } from './bytes.js';
import type { Profile } from './profile.js';

/** Data and metadata in two buffers, or in one where every interval is followed by its metadata. */
export type Layout = 'separate' | 'interleaved';

/**
 * A run of intervals in memory. Interval i's data begins at `i * dataStride` of `data`, its metadata at
 * `metadataStart + i * metadataStride` of `metadata`, which is the same buffer when interleaved. In bytes.
 */
export interface Placement extends Strides {
  readonly intervals: number;
  readonly data: Uint8Array;
  readonly metadata: Uint8Array;
}

export interface Strides {
  readonly dataStride: number;
  readonly metadataStart: number;
  readonly metadataStride: number;
}

const NO_BYTES = new Uint8Array(0);
const MISFIT_ADVICE = 'Check the interval, the metadata size and the layout.';

/**
 * The bytes from one interval to the next in a stream of this layout: of plain data, or of data and metadata.
 */
export function strideOf(profile: Profile, layout: Layout): number {
  return layout === 'separate' ? profile.interval : profile.interval + profile.metadataSize;
}

/**
 * How many intervals a stream of `bytes` holds.
 *
 * @throws ERR_BAD_LENGTH when they are no whole number of them.
 */
export function countIntervals(profile: Profile, layout: Layout, bytes: number): number {
  const stride = strideOf(profile, layout);
  const count = Math.floor(bytes / stride);
  if (count * stride === bytes) return count;
  const { interval, metadataSize } = profile;
  const units = layout === 'separate' ? `${interval}` : `${interval} + ${metadataSize}`;
  throw new IntegrityError(
    'ERR_BAD_LENGTH',
    `${bytes} bytes are no whole number of intervals of ${units}: ${count * stride} or ${(count + 1) * stride} would be`,
    { advice: MISFIT_ADVICE },
  );
}

/**
 * How many intervals the profile lays over the caller's buffers. Interleaved: one stream in `data` and `metadata` null.
 *
 * @throws ERR_BAD_LENGTH, with the numbers, when the lengths do not fit; ERR_USAGE for a buffer too many.
 */
export function fit(profile: Profile, layout: Layout, data: Uint8Array, metadata: Uint8Array | null): number {
  requireBytes(data, 'data');
  const intervals = countIntervals(profile, layout, data.length);
  if (layout === 'separate') {
    if (metadata !== null) requireBytes(metadata, 'metadata');
    requireMetadataLength(profile, intervals, metadata?.length ?? 0);
  } else if (metadata !== null) {
    throw new IntegrityError('ERR_USAGE', 'metadata must be null: interleaved, it lies within the data');
  }
  return intervals;
}

/** The buffers, which are used as they are and not copied, as {@link fit} found them. @throws What that throws. */
export function place(
  profile: Profile,
  layout: Layout,
  data: Uint8Array,
  metadata: Uint8Array | null,
): Placement {
  const intervals = fit(profile, layout, data, metadata);
  const at = layout === 'interleaved' ? data : (metadata ?? NO_BYTES);
  return { intervals, data, metadata: at, ...stridesOf(profile, layout) };
}

/**
 * How many intervals of plain data, and of blocks of data and metadata, of which one is copied into the other.
 *
 * @throws ERR_BAD_LENGTH, with the numbers, when the lengths do not fit; ERR_USAGE for buffers that overlap.
 */
export function fitBlocks(profile: Profile, data: Uint8Array, blocks: Uint8Array): number {
  requireBytes(data, 'data');
  requireBytes(blocks, 'blocks');
  const intervals = countIntervals(profile, 'separate', data.length);
  if (countIntervals(profile, 'interleaved', blocks.length) !== intervals) {
    throw new IntegrityError(
      'ERR_BAD_LENGTH',
      `${blocks.length} bytes of blocks for ${data.length} bytes of data: ${intervals * strideOf(profile, 'interleaved')} needed`,
      { advice: MISFIT_ADVICE },
    );
  }
  requireApart(data, blocks);
  return intervals;
}

/** The metadata of the placement are the blocks. @throws What {@link fitBlocks} throws. */
export function placeBlocks(profile: Profile, data: Uint8Array, blocks: Uint8Array): Placement {
  const intervals = fitBlocks(profile, data, blocks);
  return { intervals, data, metadata: blocks, ...stridesOf(profile, 'blocks') };
}

/** @throws ERR_USAGE for a layout that has no blocks. */
export function requireInterleaved(layout: Layout): void {
  if (layout === 'interleaved') return;
  throw new IntegrityError('ERR_USAGE', `layout ${layout}: the metadata of blocks is interleaved`);
}

/** Of `blocks`, the data lie in a buffer of their own, and the metadata in the blocks. */
export function stridesOf(profile: Profile, layout: Layout | 'blocks'): Strides {
  const { interval, metadataSize } = profile;
  const block = interval + metadataSize;
  switch (layout) {
    case 'separate':
      return { dataStride: interval, metadataStart: 0, metadataStride: metadataSize };
    case 'interleaved':
      return { dataStride: block, metadataStart: interval, metadataStride: block };
    case 'blocks':
      return { dataStride: interval, metadataStart: interval, metadataStride: block };
  }
}

/** Bytes of metadata that belong to so many bytes of data, which are whole intervals. */
export function metadataLength(
  { interval, metadataSize }: Pick<Profile, 'interval' | 'metadataSize'>,
  dataBytes: number,
): number {
  return (dataBytes / interval) * metadataSize;
}

/** @throws ERR_BAD_LENGTH unless `bytes` is just the metadata of so many intervals. */
export function requireMetadataLength(profile: Profile, intervals: number, bytes: number): void {
  const needed = intervals * profile.metadataSize;
  if (bytes === needed) return;
  throw new IntegrityError(
    'ERR_BAD_LENGTH',
    `${bytes} bytes of metadata for ${intervals} intervals of ${profile.metadataSize}: ${needed} needed`,
    { advice: MISFIT_ADVICE },
  );
}

/** Where in `placement.data` the data of interval `index` begins. */
export function dataOffset(placement: Placement, index: number): number {
  return index * placement.dataStride;
}

export function dataOf(profile: Profile, placement: Placement, index: number): Uint8Array {
  const start = dataOffset(placement, index);
  return placement.data.subarray(start, start + profile.interval);
}

/** The metadata before the tuple: empty on every SCSI disk. */
export function prefixOf(profile: Profile, placement: Placement, index: number): Uint8Array {
  const start = placement.metadataStart + index * placement.metadataStride;
  return placement.metadata.subarray(start, start + profile.piOffset);
}

/** Where in `placement.metadata` the tuple of interval `index` begins. */
export function tupleOffset(profile: Profile, placement: Placement, index: number): number {
  return placement.metadataStart + index * placement.metadataStride + profile.piOffset;
}
