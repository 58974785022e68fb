/**
 * Bytes as people read them.
 */

const BYTES_A_LINE = 16;

/** Offset, 16 bytes, and those of them that are printable ASCII: a line each. */
export function hexDump(bytes: Uint8Array): string[] {
  return Array.from({ length: Math.ceil(bytes.length / BYTES_A_LINE) }, (_, i) => {
    const at = i * BYTES_A_LINE;
    const line = bytes.subarray(at, at + BYTES_A_LINE);
    const hex = Array.from(line, (byte, j) => `${j === 8 ? ' ' : ''}${byte.toString(16).padStart(2, '0')}`);
    const text = Array.from(line, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.'));
    return `${at.toString(16).padStart(8, '0')}  ${hex.join(' ').padEnd(3 * BYTES_A_LINE)}  ${text.join('')}`;
  });
}
