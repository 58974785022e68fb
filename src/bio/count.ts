/** What every count that a caller gives is held to. */
import { IntegrityError } from '../errors.js';

/** @throws ERR_OUT_OF_RANGE unless `value` is a whole number from 0 on. */
export function requireCount(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 0) return;
  throw new IntegrityError('ERR_OUT_OF_RANGE', `${name} ${value} must be a whole number from 0 on`);
}
