/**
 * Steps that take back what was set up, run in the opposite order.
 */
export class Undo {
  readonly #steps: (() => Promise<unknown>)[] = [];
  #running: Promise<void> | null = null;

  push(...steps: (() => Promise<unknown>)[]): void {
    this.#steps.push(...steps);
  }

  /** One step that fails does not leave the others undone; the first failure is thrown. A second run waits for the first. */
  run(): Promise<void> {
    this.#running ??= this.#runAll();
    return this.#running;
  }

  async #runAll(): Promise<void> {
    const failures: unknown[] = [];
    for (const step of this.#steps.splice(0).reverse()) await step().catch((error) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  }
}
