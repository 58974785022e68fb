/**
 * Steps that take back what was set up, run in the opposite order.
 */
export class Undo implements AsyncDisposable {
  readonly #steps: (() => PromiseLike<unknown>)[] = [];

  push(step: () => PromiseLike<unknown>): void {
    this.#steps.push(step);
  }

  /** The value, and its removal among the steps. */
  use<T extends AsyncDisposable>(value: T): T {
    this.push(() => value[Symbol.asyncDispose]());
    return value;
  }

  /** Sets up, and takes back what was done when that fails half-way. */
  static async around<T>(setUp: (undo: Undo) => Promise<T>): Promise<T> {
    const undo = new Undo();
    try {
      return await setUp(undo);
    } catch (error) {
      // The first failure is the one to tell of.
      await undo[Symbol.asyncDispose]().catch(() => {});
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) await step();
  }
}
