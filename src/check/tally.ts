/**
 * Counts verdicts into the cells of a matrix.
 */
import type { Cell } from '../report/model.js';
import { CHECKERS, type Checker, PATHS, type PathName, type Verdict } from '../words.js';

/** What one checker said of a run of intervals on one path, and why, where it said nothing. */
export interface Judgement {
  readonly verdict: Verdict;
  readonly why?: string;
}

interface Count {
  readonly verdicts: Map<Verdict, number>;
  readonly why: Set<string>;
}

export class Tally {
  readonly #cells: Map<string, Count> = new Map();

  add(checker: Checker, path: PathName, { verdict, why }: Judgement, intervals: number): void {
    if (intervals === 0) return;
    const key = `${checker} ${path}`;
    const count = this.#cells.get(key) ?? { verdicts: new Map(), why: new Set() };
    this.#cells.set(key, count);
    count.verdicts.set(verdict, (count.verdicts.get(verdict) ?? 0) + intervals);
    if (why !== undefined) count.why.add(why);
  }

  /** The cells that anything was counted in, in the order of checkers and paths. */
  cells(): Cell[] {
    return CHECKERS.flatMap((checker) =>
      PATHS.flatMap((path) => {
        const count = this.#cells.get(`${checker} ${path}`);
        if (count === undefined) return [];
        return [{ checker, path, counts: Object.fromEntries(count.verdicts), why: [...count.why] }];
      }),
    );
  }
}
