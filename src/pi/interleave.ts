/** Intervals with their tuples in one stream, and apart. */

/** The inverse of {@link deinterleave}, into a buffer that has room for both. */
export function interleave(
  into: Uint8Array,
  data: Uint8Array,
  tuples: Uint8Array,
  interval: number,
  tupleSize: number,
): void {
  const stride = interval + tupleSize;
  for (let i = 0; i < data.length / interval; i++) {
    into.set(data.subarray(i * interval, (i + 1) * interval), i * stride);
    into.set(tuples.subarray(i * tupleSize, (i + 1) * tupleSize), i * stride + interval);
  }
}

/** Splits blocks that came with their tuples behind each interval. Both results are new buffers. */
export function deinterleave(
  bytes: Uint8Array,
  interval: number,
  tupleSize: number,
): { data: Uint8Array; tuples: Uint8Array } {
  const stride = interval + tupleSize;
  const intervals = bytes.length / stride;
  const data = new Uint8Array(intervals * interval);
  const tuples = new Uint8Array(intervals * tupleSize);
  for (let i = 0; i < intervals; i++) {
    const at = i * stride;
    data.set(bytes.subarray(at, at + interval), i * interval);
    tuples.set(bytes.subarray(at + interval, at + stride), i * tupleSize);
  }
  return { data, tuples };
}
