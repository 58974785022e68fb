/**
 * Reads what a device answered, and writes what it is sent. What is read is hostile input: its lengths and offsets are checked here and
 * nowhere else. What is written must fit its field.
 */
import { IntegrityError } from '../errors.js';

/**
 * Big-endian fields of one structure that a device returned. Reading beyond its end throws
 * ERR_MALFORMED_RESPONSE.
 */
export class ResponseReader {
  /** What the bytes are, for the error message: `READ CAPACITY(16) data`. */
  readonly structure: string;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  /** Borrows `bytes`: nothing is copied. */
  constructor(structure: string, bytes: Uint8Array) {
    this.structure = structure;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.#bytes.length;
  }

  u8(at: number): number {
    return this.#view.getUint8(this.#within(at, 1));
  }

  u16(at: number): number {
    return this.#view.getUint16(this.#within(at, 2));
  }

  u32(at: number): number {
    return this.#view.getUint32(this.#within(at, 4));
  }

  u64(at: number): bigint {
    return this.#view.getBigUint64(this.#within(at, 8));
  }

  /** Bits `high` to `low` of one byte, as T10's tables number them. */
  bits(at: number, high: number, low: number): number {
    return (this.u8(at) >> low) & ((1 << (high - low + 1)) - 1);
  }

  bit(at: number, bit: number): boolean {
    return this.bits(at, bit, bit) === 1;
  }

  /** A view of `length` bytes, not a copy. */
  slice(at: number, length: number): Uint8Array {
    this.#within(at, length);
    return this.#bytes.subarray(at, at + length);
  }

  /**
   * Left-aligned ASCII, trailing spaces and NULs cut. What is not printable becomes a dot: it may reach a
   * terminal.
   */
  ascii(at: number, length: number): string {
    const field = this.slice(at, length);
    // A regular expression for it would take time by the square of the length.
    const last = field.findLastIndex((byte) => byte !== 0x20 && byte !== 0);
    return Array.from(field.subarray(0, last + 1), (byte) =>
      byte >= 0x20 && byte <= 0x7e ? String.fromCharCode(byte) : '.',
    ).join('');
  }

  /** The error for a field that has no legal reading. */
  malformed(at: number, problem: string): IntegrityError {
    return new IntegrityError('ERR_MALFORMED_RESPONSE', `${this.structure}: byte ${at}: ${problem}`, {
      advice: 'The device, or the host adapter in front of it, answers against the standard.',
    });
  }

  #within(at: number, length: number): number {
    if (at + length > this.#bytes.length) {
      throw this.malformed(at, `${length} byte(s) wanted, but the structure ends at ${this.#bytes.length}`);
    }
    return at;
  }
}

/**
 * The value, which a field of `where` can hold.
 *
 * @throws ERR_OUT_OF_RANGE naming the field, for anything but a whole number from `least` to `most`.
 */
export function requireWithin(
  where: string,
  field: string,
  value: bigint | number | boolean,
  [least, most]: readonly [bigint, bigint],
): bigint {
  const whole = typeof value === 'bigint' || typeof value === 'boolean' || Number.isSafeInteger(value);
  if (whole && BigInt(value) >= least && BigInt(value) <= most) return BigInt(value);
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `${field} is ${String(value)}: it must be ${least} to ${most} in ${where}`,
  );
}

/** Big-endian fields of one structure to be sent. A value that does not fit throws ERR_OUT_OF_RANGE naming its field. */
export class StructureWriter {
  readonly structure: string;
  readonly bytes: Uint8Array;

  constructor(structure: string, length: number) {
    this.structure = structure;
    this.bytes = new Uint8Array(length);
  }

  /** Whole bytes. */
  uint(at: number, bytes: number, field: string, value: bigint | number): this {
    let rest = this.#within(field, value, 8 * bytes);
    for (let i = at + bytes - 1; i >= at; i--) {
      this.bytes[i] = Number(rest & 0xffn);
      rest >>= 8n;
    }
    return this;
  }

  /** Bits `high` to `low` of one byte. */
  bits(at: number, high: number, low: number, field: string, value: number): this {
    this.bytes[at] = this.bytes[at]! | (Number(this.#within(field, value, high - low + 1)) << low);
    return this;
  }

  bit(at: number, bit: number, value: boolean): this {
    this.bytes[at] = this.bytes[at]! | (Number(value) << bit);
    return this;
  }

  /**
   * Left-aligned ASCII, filled with spaces (SPC-5).
   *
   * @throws ERR_OUT_OF_RANGE for text that is longer, or not printable.
   */
  ascii(at: number, length: number, field: string, text: string): this {
    if (text.length > length || !/^[ -~]*$/.test(text)) {
      throw new IntegrityError(
        'ERR_OUT_OF_RANGE',
        `${field} is ${JSON.stringify(text)}: it must be up to ${length} printable characters in ${this.structure}`,
      );
    }
    for (let i = 0; i < length; i++) this.bytes[at + i] = i < text.length ? text.charCodeAt(i) : 0x20;
    return this;
  }

  #within(field: string, value: bigint | number, bits: number): bigint {
    return requireWithin(this.structure, field, value, [0n, (1n << BigInt(bits)) - 1n]);
  }
}

/** Two lower-case hex digits a byte, with `separator` between bytes. */
export function hex(bytes: ArrayLike<number>, separator = ''): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(separator);
}

/** One byte as T10 writes it: `0Bh`. */
export function byteText(byte: number): string {
  return `${byte.toString(16).toUpperCase().padStart(2, '0')}h`;
}
