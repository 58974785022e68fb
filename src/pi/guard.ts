/** The three guards, plain. Each is over the data of one interval and then the metadata before its tuple. */
import { IntegrityError } from '../errors.js';
import type { GuardKind } from './profile.js';
import { shown } from './shown.js';

/** x^16 + x^15 + x^11 + x^9 + x^8 + x^7 + x^5 + x^4 + x^2 + x + 1 (T10 SBC-4), most significant bit first. */
const CRC16_T10_DIF = 0x8bb7;
/** The 64-bit CRC of the NVM command set specification, bits reversed: least significant bit first. */
const CRC64_NVME = 0x9a6c9329ac4bc9b5n;

const crc16Table = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ CRC16_T10_DIF : crc << 1;
  return crc;
});

// The 64-bit table in two halves: arithmetic on bigint would cost fifty times as much a byte.
const crc64Low = new Uint32Array(256);
const crc64High = new Uint32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let crc = BigInt(byte);
  for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ CRC64_NVME : crc >> 1n;
  crc64Low[byte] = Number(crc & 0xffffffffn);
  crc64High[byte] = Number(crc >> 32n);
}

/**
 * CRC-16 T10-DIF of `data`, going on from the low 16 bits of `seed`, the CRC of what came before (0 to
 * begin).
 */
export function crc16T10Dif(seed: number, data: Uint8Array): number {
  let crc = seed & 0xffff;
  for (const byte of data) crc = ((crc << 8) & 0xffff) ^ crc16Table[(crc >> 8) ^ byte]!;
  return crc;
}

/**
 * The Internet checksum (RFC 1071) of the parts one after the other, as its two stored bytes read big-endian.
 * All parts but the last have an even length; an odd one is padded with a zero byte.
 */
export function ipChecksum(...parts: Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) sum += (part[i]! << 8) | (part[i + 1] ?? 0);
  }
  return folded(sum) ^ 0xffff;
}

/**
 * The NVMe CRC-64 of `data`, going on from the low 64 bits of `seed`, the CRC of what came before (0 to
 * begin).
 */
export function crc64Nvme(seed: bigint, data: Uint8Array): bigint {
  let low = ~Number(seed & 0xffffffffn);
  let high = ~Number((seed >> 32n) & 0xffffffffn);
  for (const byte of data) {
    const index = (low ^ byte) & 0xff;
    low = ((low >>> 8) | (high << 24)) ^ crc64Low[index]!;
    high = (high >>> 8) ^ crc64High[index]!;
  }
  return (BigInt(~high >>> 0) << 32n) | BigInt(~low >>> 0);
}

/**
 * What the IP guard is over where metadata lies before the tuple. Linux 6.12 loses the data there and sums
 * the metadata alone (block/t10-pi.c); the other guards, and other kernels, are over both.
 */
export type IpGuardCovers = 'data-and-metadata' | 'metadata-alone';

/** The guard of no bytes. */
const OF_NOTHING: Readonly<Record<GuardKind, number | bigint>> = { crc16: 0, ip: 0xffff, crc64: 0n };

/**
 * The guard of one interval: `data`, then `prefix`, the metadata before the tuple. A bigint for CRC-64, else
 * a number.
 *
 * @throws ERR_OUT_OF_RANGE for a kind that is none.
 */
export function computeGuard(
  kind: GuardKind,
  data: Uint8Array,
  prefix: Uint8Array,
  ipGuardCovers: IpGuardCovers,
): number | bigint {
  return guardBehind(kind, goingOn(kind, OF_NOTHING[kind], data), prefix, ipGuardCovers);
}

/** The same from the guard of the data alone, which has an even length. */
export function guardBehind(
  kind: GuardKind,
  ofData: number | bigint,
  prefix: Uint8Array,
  ipGuardCovers: IpGuardCovers,
): number | bigint {
  const losesData = kind === 'ip' && ipGuardCovers === 'metadata-alone' && prefix.length > 0;
  return goingOn(kind, losesData ? OF_NOTHING.ip : ofData, prefix);
}

function goingOn(kind: GuardKind, before: number | bigint, bytes: Uint8Array): number | bigint {
  switch (kind) {
    case 'crc16':
      return crc16T10Dif(Number(before), bytes);
    case 'ip':
      return folded((Number(before) ^ 0xffff) + (ipChecksum(bytes) ^ 0xffff)) ^ 0xffff;
    case 'crc64':
      return crc64Nvme(BigInt(before), bytes);
    default:
      throw new IntegrityError(
        'ERR_OUT_OF_RANGE',
        `guard ${shown(kind satisfies never)} is no kind of guard`,
      );
  }
}

/** A sum in ones' complement, 16 bits of it. */
function folded(sum: number): number {
  let left = sum;
  while (left > 0xffff) left = Math.floor(left / 0x10000) + (left & 0xffff);
  return left;
}
