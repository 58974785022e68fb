/**
 * How much of something is under way at once.
 */
import { onAbort } from '../on-abort.js';

/** At most so many jobs at once. The others wait in their order; one whose signal is aborted meanwhile is never begun. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async use<T>(job: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await this.#turn(signal);
    try {
      signal?.throwIfAborted();
      return await job();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }

  /** The slot of whoever ends goes to who has waited longest. */
  #turn(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(signal?.reason as Error);
      };
      const enter = () => {
        waitNoMore();
        resolve();
      };
      const waitNoMore = onAbort(signal, leave);
      this.#waiting.push(enter);
    });
  }
}
