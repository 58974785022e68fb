/** Bytes from hex digits; white space is free. */
export function bytes(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replace(/\s/g, ''), 'hex'));
}

/** `length` bytes that start with `hex` and go on with zeros. */
export function padded(hex: string, length: number): Uint8Array {
  const out = new Uint8Array(length);
  out.set(bytes(hex));
  return out;
}
