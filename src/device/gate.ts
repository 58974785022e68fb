/**
 * A gate before a disk.
 */

/** Many pass at once, or one goes alone, with whom nobody passes. Whoever wants to go alone waits for those who pass, and goes before any other. */
export class Gate {
  #passing = 0;
  #wait: Promise<void> | null = null;
  #lastLeft: () => void = () => {};

  async pass<T>(job: () => Promise<T>): Promise<T> {
    while (this.#wait !== null) await this.#wait;
    this.#passing++;
    try {
      return await job();
    } finally {
      if (--this.#passing === 0) this.#lastLeft();
    }
  }

  async alone<T>(job: () => Promise<T>): Promise<T> {
    while (this.#wait !== null) await this.#wait;
    let open: () => void = () => {};
    this.#wait = new Promise((resolve) => {
      open = resolve;
    });
    try {
      if (this.#passing > 0) {
        await new Promise<void>((resolve) => {
          this.#lastLeft = resolve;
        });
      }
      return await job();
    } finally {
      this.#wait = null;
      open();
    }
  }
}
