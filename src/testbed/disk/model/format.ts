/** How a disk is formatted, and how many bytes that makes of a block. */
import { IntegrityError } from '../../../errors.js';

export interface Format {
  /** 0 without protection information. */
  readonly type: 0 | 1 | 2 | 3;
  /** Logical block length in bytes, without protection information. */
  readonly blockSize: number;
  /** P_I_EXPONENT: a block has 2^intervalExponent tuples. */
  readonly intervalExponent: number;
  readonly blocks: number;
}

export const TUPLE_BYTES = 8;
/** Of a block, by which the smallest interval is 512 bytes. */
export const INTERVAL_EXPONENT_MAX = 3;
export const BLOCK_SIZES: readonly number[] = [512, 1024, 2048, 4096];
/** Every place in the file of a disk fits a number, with data, tuples and state in each record. */
const BLOCKS_MAX = 2 ** 40;

export function intervalsOf({ intervalExponent }: Format): number {
  return 1 << intervalExponent;
}

/** Bytes of tuples beside the data of one block. */
export function tupleBytesOf(format: Format): number {
  return format.type === 0 ? 0 : TUPLE_BYTES * intervalsOf(format);
}

/**
 * T10 SBC-4: more than one interval a block only with types 2 and 3.
 *
 * @throws ERR_OUT_OF_RANGE
 */
export function requireFormat(format: Format): Format {
  const { type, blockSize, intervalExponent, blocks } = format;
  const rules: readonly [boolean, string][] = [
    [[0, 1, 2, 3].includes(type), `type ${type} must be 0, 1, 2 or 3`],
    [
      BLOCK_SIZES.includes(blockSize),
      `blocks of ${blockSize} bytes: they must have ${BLOCK_SIZES.join(', ')}`,
    ],
    [
      Number.isInteger(intervalExponent) &&
        intervalExponent >= 0 &&
        intervalExponent <= INTERVAL_EXPONENT_MAX &&
        blockSize >> intervalExponent >= 512,
      `interval exponent ${intervalExponent}: an interval of ${blockSize} bytes / 2^n must have 512 or more`,
    ],
    [
      intervalExponent === 0 || type >= 2,
      `interval exponent ${intervalExponent}: type ${type} has one interval a block`,
    ],
    [
      Number.isInteger(blocks) && blocks > 0 && blocks <= BLOCKS_MAX,
      `${blocks} blocks: there must be 1 to ${BLOCKS_MAX}`,
    ],
  ];
  const broken = rules.find(([holds]) => !holds);
  if (broken) throw new IntegrityError('ERR_OUT_OF_RANGE', broken[1]);
  return format;
}
