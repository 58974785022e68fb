/** How the command line reads option values. */
import { IntegrityError } from '../errors.js';
import type { Layout } from '../pi/layout.js';

export interface Range<T extends number | bigint> {
  readonly min: T;
  readonly max: T;
}

const INTEGER = /^(?:[0-9]{1,40}|0[xX][0-9a-fA-F]{1,32})$/;

/**
 * A whole number, decimal or 0x, in the type of its range.
 *
 * @param name the option as the user wrote it, for the message
 * @throws ERR_USAGE for anything else: negative, a fraction, beyond the range, not a number.
 */
export function parseInteger(name: string, text: string, range: Range<number>): number;
export function parseInteger(name: string, text: string, range: Range<bigint>): bigint;
export function parseInteger(
  name: string,
  text: string,
  { min, max }: Range<number> | Range<bigint>,
): number | bigint {
  const value = INTEGER.test(text) ? BigInt(text) : null;
  if (value !== null && value >= min && value <= max) return typeof min === 'bigint' ? value : Number(value);
  throw new IntegrityError(
    'ERR_USAGE',
    `${name} ${JSON.stringify(text)} is not a whole number from ${min} to ${max}`,
    { advice: 'Numbers are decimal or 0x.' },
  );
}

/** @throws ERR_USAGE unless `text` is one of the choices. */
export function parseChoice<const T extends string>(name: string, text: string, choices: readonly T[]): T {
  const choice = choices.find((candidate) => candidate === text);
  if (choice !== undefined) return choice;
  throw new IntegrityError('ERR_USAGE', `${name} ${JSON.stringify(text)} is none of ${choices.join(', ')}`);
}

/** A logical block address as an option value. */
export const LBA: Range<bigint> = { min: 0n, max: 2n ** 64n - 1n };
/** A number of blocks as an option value. */
export const BLOCK_COUNT: Range<bigint> = { min: 1n, max: 2n ** 64n - 1n };

export const LAYOUTS: readonly Layout[] = ['separate', 'interleaved'];
export const parseLayout = (text: string): Layout => parseChoice('--layout', text, LAYOUTS);

/** Parses the value of one option as a whole number from 0 to `max`. */
export const integerUpTo =
  (name: string, max: number) =>
  (text: string): number =>
    parseInteger(name, text, { min: 0, max });
