/** One output of the command, as it comes, up to the trailer that the guest sends when the command has ended. */

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
