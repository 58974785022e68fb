/** Memory that outlives the jobs on it. */
import { constants } from 'node:buffer';
import { native } from '../binding.js';
import { IntegrityError } from '../errors.js';
import { shown } from './shown.js';

/**
 * Zeroed memory, from a page's beginning on. The async forms hold it as long as they run, whatever becomes of the ArrayBuffer, and so
 * work on it, and on any view of it, without a copy.
 *
 * @throws ERR_OUT_OF_RANGE for a length that no buffer has; RangeError when there is not so much memory; ERR_NO_ADDON.
 */
export function pinnedBuffer(length: number): Uint8Array {
  if (Number.isInteger(length) && length >= 0 && length <= constants.MAX_LENGTH) {
    return new Uint8Array(native().pinnedMemory(length));
  }
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `length ${shown(length)} must be a whole number from 0 to ${constants.MAX_LENGTH}`,
  );
}
