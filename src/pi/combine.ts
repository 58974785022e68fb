/** The CRC of two parts together from the CRCs of each, without their bytes. */
import { IntegrityError } from '../errors.js';

/** A polynomial over GF(2) without its highest term, bit k the coefficient of x^k. */
interface Modulus {
  readonly degree: bigint;
  readonly polynomial: bigint;
}

/** T10 SBC-4, as in guard.ts. */
const CRC16_T10_DIF: Modulus = { degree: 16n, polynomial: 0x8bb7n };
/** NVM command set, 64-bit guard, as in guard.ts but with bit 63 as x^63. */
const CRC64_NVME: Modulus = { degree: 64n, polynomial: 0xad93d23594c93659n };

/**
 * The CRC-16 T10-DIF of A followed by B, both CRCs from seed 0. In O(log lengthB).
 *
 * @param lengthB The bytes of B, a whole number.
 * @throws ERR_OUT_OF_RANGE for a CRC or a length that is none.
 */
export function crc16T10DifCombine(crcA: number, crcB: number, lengthB: number): number {
  requireWhole('crcA', crcA, 0xffff);
  requireWhole('crcB', crcB, 0xffff);
  return Number(followedBy(CRC16_T10_DIF, BigInt(crcA), lengthB)) ^ crcB;
}

/**
 * The same for CRC-64 NVMe. That it begins and ends with an inversion makes no difference: the two cancel out.
 */
export function crc64NvmeCombine(crcA: bigint, crcB: bigint, lengthB: number): bigint {
  for (const [name, crc] of Object.entries({ crcA, crcB })) {
    if (crc !== BigInt.asUintN(64, crc)) {
      throw new IntegrityError('ERR_OUT_OF_RANGE', `${name} ${crc} must be from 0 to 2^64 - 1`);
    }
  }
  return reflected(followedBy(CRC64_NVME, reflected(crcA), lengthB)) ^ crcB;
}

/** `crc` times x^(8 * bytes): what so many zero bytes make of it. */
function followedBy(modulus: Modulus, crc: bigint, bytes: number): bigint {
  requireWhole('lengthB', bytes, Number.MAX_SAFE_INTEGER);
  let product = crc;
  let power = 1n << 8n;
  for (let left = bytes; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) product = multiply(modulus, product, power);
    power = multiply(modulus, power, power);
  }
  return product;
}

function multiply({ degree, polynomial }: Modulus, a: bigint, b: bigint): bigint {
  let product = 0n;
  for (let bit = degree - 1n; bit >= 0n; bit--) {
    const overflows = (product >> (degree - 1n)) & 1n;
    product = BigInt.asUintN(Number(degree), product << 1n);
    if (overflows) product ^= polynomial;
    if ((b >> bit) & 1n) product ^= a;
  }
  return product;
}

/** The 64 bits in the opposite order. */
function reflected(value: bigint): bigint {
  return BigInt(`0b${[...value.toString(2).padStart(64, '0')].reverse().join('')}`);
}

function requireWhole(name: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 0 && value <= max) return;
  throw new IntegrityError('ERR_OUT_OF_RANGE', `${name} ${value} must be a whole number from 0 to ${max}`);
}
