/**
 * Which blocks of a region were written, and what each of them may hold by now.
 */
import type { Extent, JournalWrite } from './journal-format.js';

/** What a write changed of a block. */
export type Touched = 'data' | 'data and tuples';

interface Written {
  touched: Touched;
  /** Digests of all that was sent to this block, or WITHOUT_DIGEST: the medium holds one of them, or the saved data. */
  readonly versions: string[];
}

/** Blocks of a region, by their place in it, that were touched alike. */
export interface Run {
  readonly index: number;
  blocks: number;
  readonly touched: Touched;
}

export class WrittenBlocks {
  readonly #blocks = new Map<number, Written>();

  has(index: number): boolean {
    return this.#blocks.has(index);
  }

  get size(): number {
    return this.#blocks.size;
  }

  /** From here on the blocks may hold what is sent to them. */
  note({ index, blocks, touchesTuples, digests }: JournalWrite): void {
    for (let i = 0; i < blocks; i++) {
      const written = this.#blocks.get(index + i) ?? { touched: 'data', versions: [] };
      if (touchesTuples) written.touched = 'data and tuples';
      const digest = digests.length === 1 ? digests[0]! : digests[i]!;
      if (!written.versions.includes(digest)) written.versions.push(digest);
      this.#blocks.set(index + i, written);
    }
  }

  forget({ index, blocks }: Extent): void {
    for (let i = 0; i < blocks; i++) this.#blocks.delete(index + i);
  }

  clear(): void {
    this.#blocks.clear();
  }

  /** The written blocks but for these, as runs that were touched alike, of `most` blocks at most. */
  runs(most: number, without: ReadonlySet<number> = new Set()): Run[] {
    const runs: Run[] = [];
    for (const [index, { touched }] of [...this.#blocks].sort(([a], [b]) => a - b)) {
      if (without.has(index)) continue;
      const last = runs.at(-1);
      const joins = last?.touched === touched && last.index + last.blocks === index && last.blocks < most;
      if (joins) last.blocks++;
      else runs.push({ index, blocks: 1, touched });
    }
    return runs;
  }

  /** All that the blocks of a run may hold. */
  versionsIn({ index, blocks }: Extent): Set<string> {
    const all = Array.from({ length: blocks }, (_, i) => this.#blocks.get(index + i)?.versions ?? []);
    return new Set(all.flat());
  }
}
