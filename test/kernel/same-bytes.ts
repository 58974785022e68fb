import type { Test } from 'tap';

/** `t.same` for much data: tap describes each byte of both before it compares them, for seconds on an emulated processor. */
export function sameBytes(
  t: Test,
  found: Uint8Array | null,
  wanted: Uint8Array | null,
  name = 'byte for byte',
): void {
  t.equal(difference(found, wanted), 'none', name);
}

function difference(found: Uint8Array | null, wanted: Uint8Array | null): string {
  if (found === null || wanted === null) return 'there are no bytes';
  if (found.length !== wanted.length) return `${found.length} bytes, not ${wanted.length}`;
  if (Buffer.compare(found, wanted) === 0) return 'none';
  const at = found.findIndex((byte, i) => byte !== wanted[i]);
  const [is, was] = [found, wanted].map((bytes) => Buffer.from(bytes.subarray(at, at + 16)).toString('hex'));
  return `from byte ${at} on: ${is}, not ${was}`;
}
