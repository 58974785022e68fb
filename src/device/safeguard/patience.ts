/** Asking a disk again that does not answer, where what is to be put back depends on it. */
import { setTimeout as delay } from 'node:timers/promises';
import type { IntegrityError } from '../../errors.js';
import type { Answer } from '../blocks.js';

/** A disk that does not answer while it is put back is asked again after these pauses, in milliseconds. */
export const PATIENCE_MS = [100, 300, 1000, 3000] as const;

/** Whether a read failed because a checker refused the blocks for their tuples: its error has the answer as its cause. */
export function isRefusal({ cause }: { readonly cause?: unknown }): boolean {
  return (cause as Answer | undefined)?.kind === 'refused';
}

/** Asks again while the disk does not answer; another disk, somebody else's data, or a refusal, is an answer. */
export async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (const pause of PATIENCE_MS) {
    try {
      return await ask();
    } catch (error) {
      const { code } = error as IntegrityError;
      if (code === 'ERR_NOT_OURS' || code === 'ERR_DEVICE_GONE' || code === 'ERR_CLOSED') throw error;
      if (isRefusal(error as Error)) throw error;
      await delay(pause);
    }
  }
  return ask();
}
