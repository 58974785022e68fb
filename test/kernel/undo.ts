/**
 * Steps that take back what a test set up: the testbed's, to be declared with `await using`.
 */
import { Undo as Steps } from '../../lib/testbed/undo.js';

export class Undo extends Steps implements AsyncDisposable {
  /** The value, and its removal among the steps. */
  use<T extends AsyncDisposable>(value: T): T {
    this.push(async () => value[Symbol.asyncDispose]());
    return value;
  }

  /** Sets up, and takes back what was done when that fails half-way. */
  static async around<T>(setUp: (undo: Undo) => Promise<T>): Promise<T> {
    const undo = new Undo();
    try {
      return await setUp(undo);
    } catch (error) {
      // The first failure is the one to tell of.
      await undo.run().catch(() => {});
      throw error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.run();
  }
}
