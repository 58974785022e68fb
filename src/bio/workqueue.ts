/** The queue on which reads are verified after their interrupt: kintegrityd, one worker, in order. */

export class Workqueue {
  readonly #works: (() => void)[] = [];

  /** queue_work */
  queue(work: () => void): void {
    this.#works.push(work);
  }

  /** Works not done yet. */
  get length(): number {
    return this.#works.length;
  }

  /** Does what is queued, one after the other, and what that queues in turn: flush_workqueue. */
  run(): void {
    for (let work = this.#works.shift(); work !== undefined; work = this.#works.shift()) work();
  }
}

/**
 * bio_integrity_init: the queue of one kernel ("kintegrityd", max_active 1). Give it to a device as
 * `kintegrityd` to say yourself when verifies run; a device without one verifies at once.
 */
export function bioIntegrityInit(): Workqueue {
  return new Workqueue();
}
