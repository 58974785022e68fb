/**
 * Where the fields of a structure lie, as a table by which it is both read and written. Offsets are those of T10's tables.
 */
import type { ResponseReader, StructureWriter } from './bytes.js';

export interface Place<T> {
  /** The byte behind the field. */
  readonly end: number;
  readonly read: (from: ResponseReader, start: number) => T;
  readonly write: (to: StructureWriter, start: number, field: string, value: T) => void;
  /** What a structure says that ends before the field. */
  readonly blank: T;
}

export type Layout<T> = { readonly [Field in keyof T]-?: Place<T[Field]> };

export function flag(at: number, bit: number): Place<boolean> {
  return {
    end: at + 1,
    read: (from, start) => from.bit(start + at, bit),
    write: (to, start, _, value) => void to.bit(start + at, bit, value),
    blank: false,
  };
}

export function bits(at: number, high: number, low: number): Place<number> {
  return {
    end: at + 1,
    read: (from, start) => from.bits(start + at, high, low),
    write: (to, start, field, value) => void to.bits(start + at, high, low, field, value),
    blank: 0,
  };
}

const READ_UINT = {
  1: (from: ResponseReader, at: number) => from.u8(at),
  2: (from: ResponseReader, at: number) => from.u16(at),
  4: (from: ResponseReader, at: number) => from.u32(at),
} as const;

export function uint(at: number, bytes: 1 | 2 | 4): Place<number> {
  return {
    end: at + bytes,
    read: (from, start) => READ_UINT[bytes](from, start + at),
    write: (to, start, field, value) => void to.uint(start + at, bytes, field, value),
    blank: 0,
  };
}

export function uint64(at: number): Place<bigint> {
  return {
    end: at + 8,
    read: (from, start) => from.u64(start + at),
    write: (to, start, field, value) => void to.uint(start + at, 8, field, value),
    blank: 0n,
  };
}

/** The structure that begins at `start`. Its first `least` bytes must be there; a field beyond the end is 0. */
export function decodeLayout<T>(layout: Layout<T>, from: ResponseReader, least: number, start = 0): T {
  from.slice(start, least);
  const read = (place: Place<T[keyof T]>) =>
    start + place.end <= from.length ? place.read(from, start) : place.blank;
  const fields = Object.keys(layout) as (keyof T)[];
  return Object.fromEntries(fields.map((field) => [field, read(layout[field])])) as T;
}

/** Fields that are left out are 0. Throws ERR_OUT_OF_RANGE naming a field that does not fit. */
export function encodeLayout<T>(
  layout: Layout<T>,
  to: StructureWriter,
  content: Partial<T>,
  start = 0,
): void {
  for (const field in layout) {
    const value = content[field];
    if (value !== undefined) layout[field].write(to, start, field, value as T[typeof field]);
  }
}
