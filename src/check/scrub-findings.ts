/**
 * The findings of a scrub as ranges: neighbours that are bad alike are one, and however many there are, only so many are kept.
 */
import type { ScrubFinding, ScrubReport } from '../report/model.js';

/** Findings that a report lists. */
export const FINDINGS_LISTED_MAX = 1000;

/** As they are in the middle of a scrub. */
export interface FindingsSoFar {
  /** Those that grow no more, as far as they are listed. */
  readonly findings: readonly ScrubFinding[];
  readonly findingsOmitted: number;
  /** The last one, which may grow. */
  readonly open: ScrubFinding | null;
}

export const NO_FINDINGS: FindingsSoFar = { findings: [], findingsOmitted: 0, open: null };

export class ScrubFindings {
  readonly #onFinding: ((finding: ScrubFinding) => void) | undefined;
  readonly #listed: ScrubFinding[];
  #omitted: number;
  #open: ScrubFinding | null;

  /** `onFinding` is told of each that grows no more, of an earlier run's open one as well. */
  constructor(onFinding: ((finding: ScrubFinding) => void) | undefined, earlier: FindingsSoFar) {
    this.#onFinding = onFinding;
    this.#listed = [...earlier.findings];
    this.#omitted = earlier.findingsOmitted;
    this.#open = earlier.open;
  }

  get count(): number {
    return this.#listed.length + this.#omitted + (this.#open === null ? 0 : 1);
  }

  /** In order of LBAs. */
  add(finding: ScrubFinding): void {
    const open = this.#open;
    if (open !== null && joins(open, finding)) {
      this.#open = joined(open, finding);
    } else {
      this.close();
      this.#open = finding;
    }
  }

  /** All before this LBA is judged: the last one has ended, unless it ends there and may go on. */
  reached(lba: number): void {
    if (this.#open !== null && this.#open.lba + this.#open.blocks < lba) this.close();
  }

  /** The last one has ended. */
  close(): void {
    if (this.#open === null) return;
    this.#onFinding?.(this.#open);
    if (this.#listed.length < FINDINGS_LISTED_MAX) this.#listed.push(this.#open);
    else this.#omitted++;
    this.#open = null;
  }

  /** To be gone on with. */
  soFar(): FindingsSoFar {
    return { findings: this.#listed, findingsOmitted: this.#omitted, open: this.#open };
  }

  /** As they are now, the open one among them. */
  list(): Pick<ScrubReport, 'findings' | 'findingsOmitted'> {
    const open = this.#open === null ? [] : [this.#open];
    const findings = [...this.#listed, ...open].slice(0, FINDINGS_LISTED_MAX);
    return { findings, findingsOmitted: this.count - findings.length };
  }
}

const ALIKE = ['kind', 'checker', 'path', 'check'] as const;

/** What is of one block (a medium error, a refusal) joins by kind; the text is that of the first. */
function joins(a: ScrubFinding, b: ScrubFinding): boolean {
  const last = a.lba + a.blocks - 1;
  return (
    (b.lba === last || b.lba === last + 1) &&
    ALIKE.every((name) => a[name] === b[name]) &&
    a.diagnosis?.text === b.diagnosis?.text
  );
}

function joined(a: ScrubFinding, b: ScrubFinding): ScrubFinding {
  return {
    ...a,
    blocks: b.lba + b.blocks - a.lba,
    intervals: a.intervals === null || b.intervals === null ? null : a.intervals + b.intervals,
  };
}
