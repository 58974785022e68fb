/** The outside vectors of this folder; each file says where its values come from. */
import { readFileSync } from 'node:fs';

export type Pattern = 'zeros' | 'ones' | 'inc' | 'dec' | 'spdk' | 'xs32';

/** Each byte from its index and the xorshift32 word of that index. */
const PATTERNS: Record<Pattern, (index: number, xorshift: number) => number> = {
  zeros: () => 0,
  ones: () => 0xff,
  inc: (i) => i,
  dec: (i) => 0xff - i,
  spdk: (i) => 0xab + i,
  xs32: (_, xorshift) => xorshift,
};

/** The first `length` bytes of a pattern of the vector files. */
export function patternBytes(pattern: Pattern, length: number): Uint8Array {
  let x = 0x12345678;
  return new Uint8Array(length).map((_, i) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return PATTERNS[pattern](i, x) & 0xff;
  });
}

function load<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8')) as T;
}

/** CRC-16 T10-DIF of patterns, by seed. */
export interface Crc16Vectors {
  readonly check: { readonly ascii: string; readonly crc: string };
  /** Hexadecimal with 0x. */
  readonly seeds: readonly string[];
  /** Pattern, length, and one CRC for each seed, hexadecimal. */
  readonly vectors: readonly (readonly [Pattern, number, ...string[]])[];
}

export const crc16Vectors: Crc16Vectors = load('crc16_t10dif.json');

/** The messages of the kernel's own self-test of the CRC, seed 0. */
export const kernelCrc16Vectors: {
  readonly vectors: readonly { readonly hex: string; readonly crc: string }[];
} = load('linux_testmgr_crct10dif.json');

/** The IP checksum of patterns: `beValue` is the two stored bytes read big-endian. */
export const ipVectors: {
  readonly vectors: readonly {
    readonly pattern: Pattern;
    readonly length: number;
    readonly beValue: string;
  }[];
} = load('ip_checksum.json');
