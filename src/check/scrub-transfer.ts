/**
 * One transfer of a scrub in which something may be wrong: which of its blocks, what is wrong with them, and why. Or several that are clean. Reads
 * only.
 */
import { type Answer, type BlocksRead, GOOD } from '../device/blocks.js';
import type { Disk } from '../device/disk.js';
import { type Diagnosis, diagnose } from '../pi/diagnose.js';
import { type CheckedField, defaultEngine } from '../pi/engine.js';
import type { ScrubCounts, ScrubFinding } from '../report/model.js';
import type { PathName } from '../words.js';
import type { Witness } from './crosscheck.js';
import {
  differingBlocks,
  mismatchText,
  type Reads,
  type Rules,
  refuser,
  softwareView,
  tag,
  verifyOptions,
} from './judge.js';
import type { BlockRange } from './ranges.js';
import { isOfBlock } from './read.js';
import { runsBetween, slice } from './runs.js';
import {
  blockNamedBy,
  intervalsPerBlock,
  type Look,
  type ScrubWay,
  type Verdict,
  verifyByDisk,
} from './scrub-way.js';
import { settle } from './settle.js';

export type Counts = { -readonly [Name in keyof ScrubCounts]: ScrubCounts[Name] };

export function noCounts(): Counts {
  return {
    ok: 0,
    bad: 0,
    escaped: 0,
    unchecked: 0,
    passed: 0,
    refused: 0,
    changing: 0,
    unreadable: 0,
    transient: 0,
  };
}

export function addCounts(to: Counts, more: Partial<ScrubCounts>): void {
  for (const name of Object.keys(more) as (keyof Counts)[]) to[name] += more[name] ?? 0;
}

/** The counts of blocks with which nothing is wrong by the verdict on them; null where that is not known. */
export function countsOfClean(
  disk: Disk,
  way: ScrubWay,
  { blocks, verdict }: Pick<Look, 'blocks' | 'verdict'>,
): Partial<ScrubCounts> | null {
  if (verdict === null) return null;
  if (verdict !== 'passed') return verdict.bad > 0 ? null : { escaped: verdict.escaped, ok: verdict.checked };
  const intervals = blocks * intervalsPerBlock(disk, way);
  return { unchecked: intervals, passed: intervals };
}

/** What a scrub works with. */
export interface ScrubTools {
  readonly disk: Disk;
  readonly way: ScrubWay;
  readonly rules: Rules;
  readonly witness: Witness;
  readonly signal?: AbortSignal | undefined;
}

/** A bad interval, before what is said of it. */
interface Mismatch {
  readonly lba: bigint;
  readonly check: CheckedField;
  readonly stored: number | bigint;
  readonly computed: number | bigint;
}

/** Blocks that are to be settled; none where nobody says which. */
interface Suspects {
  readonly lbas: readonly bigint[];
  /** By an answer, and not found bad by the software. */
  readonly areNamed: boolean;
}

type View = NonNullable<ReturnType<typeof softwareView>>;

export class ScrubTransfer {
  readonly counts: Counts = noCounts();
  readonly #tools: ScrubTools;
  readonly #range: BlockRange;
  readonly #mismatches: Mismatch[] = [];
  readonly #others: ScrubFinding[] = [];
  /** Whether a block that an answer names is looked at first: until one is named with which nothing is wrong. */
  #heedsNames = true;

  constructor(tools: ScrubTools, range: BlockRange) {
    this.#tools = tools;
    this.#range = range;
  }

  /**
   * `wrong`: whether something was wrong with it already. Throws when the disk is gone, when nothing more can be sent and when the caller gave up.
   */
  async examine(look: Look, wrong: boolean): Promise<ScrubFinding[]> {
    await this.#examine(this.#range, look);
    const findings = [...(await this.#diagnosed()), ...this.#others];
    if (wrong && findings.length === 0 && this.counts.changing === 0) this.counts.transient++;
    return findings.sort((a, b) => a.lba - b.lba);
  }

  /** Of blocks that are well the counts, else where they are bad; in halves, until it is known. */
  async #examine(range: BlockRange, { verdict, named = null }: Look): Promise<void> {
    const { lba, blocks } = range;
    const { disk, way } = this.#tools;
    const clean = countsOfClean(disk, way, { blocks, verdict });
    if (clean !== null) return addCounts(this.counts, clean);
    const suspects = await this.#suspects(range, verdict, named);
    if (suspects === null) return;
    const { lbas, areNamed } = suspects;
    if (lbas.length === 0 && blocks > 1) {
      const half = blocks >> 1;
      await this.#look({ lba, blocks: half });
      await this.#look({ lba: lba + BigInt(half), blocks: blocks - half });
      return;
    }
    const bad = lbas.length === 0 ? [lba] : lbas;
    const found = this.#found;
    for (const run of runsOf(bad)) await this.#settle(run);
    if (areNamed && this.#found === found) this.#heedsNames = false;
    for (const rest of runsBetween(lba, blocks, bad)) await this.#look(rest);
  }

  async #look(range: BlockRange): Promise<void> {
    const { way, signal } = this.#tools;
    await this.#examine(range, await way.look(range.lba, range.blocks, signal));
  }

  get #perBlock(): number {
    return intervalsPerBlock(this.#tools.disk, this.#tools.way);
  }

  /** The blocks that the software found bad, or the one that is named; none where nobody says which; null when all is counted. */
  async #suspects(
    { lba, blocks }: BlockRange,
    verdict: Verdict,
    named: bigint | null,
  ): Promise<Suspects | null> {
    const { disk, way, rules, signal } = this.#tools;
    if (verdict !== null && verdict !== 'passed') {
      return foundBad(verdict.badIntervals.map((i) => lba + BigInt(Math.floor(i / this.#perBlock))));
    }
    if (way.checker !== 'software') return this.#heed({ lba, blocks }, named);
    const read = await disk.read(way.path, lba, blocks, signal);
    const { answer } = read;
    if (answer.kind === 'failed' && !isOfBlock(answer)) throw answer.error;
    const view = softwareView({ [way.path]: read }, way.path, rules);
    if (view !== null && view.bad.length > 0) return foundBad(view.bad.map((bad) => bad.lba));
    if (answer.kind !== 'good') return this.#heed({ lba, blocks }, blockNamedBy(answer));
    if (view === null) {
      this.counts.unchecked += blocks * this.#perBlock;
    } else {
      this.counts.escaped += view.escaped;
      this.counts.ok += blocks * this.#perBlock - view.escaped;
    }
    return null;
  }

  /** The block that an answer names, if it is one of these: a disk may take many seconds for each read of a bad one, and halves have it in all of them. */
  #heed({ lba, blocks }: BlockRange, named: bigint | null): Suspects {
    const heeded = this.#heedsNames && named !== null && named >= lba && named < lba + BigInt(blocks);
    return { lbas: heeded ? [named] : [], areNamed: heeded };
  }

  get #found(): number {
    return this.#mismatches.length + this.#others.length;
  }

  /** Suspects that lie side by side, read again by every path until they stand still. */
  async #settle(run: BlockRange): Promise<void> {
    const { disk, signal } = this.#tools;
    const { reads, changing } = await settle(disk, run, signal);
    const moving = new Set(changing);
    this.counts.changing += moving.size;
    for (let i = 0; i < run.blocks; i++) {
      const lba = run.lba + BigInt(i);
      if (moving.has(lba)) continue;
      await this.#judge(lba, slice(reads, lba, 1), run.blocks === 1);
    }
  }

  /** One block that stands still. What was answered to a run is nobody's word on each of its blocks: then it is read alone. */
  async #judge(lba: bigint, reads: Reads, alone: boolean): Promise<void> {
    const { way, rules, witness, signal } = this.#tools;
    if (isVerify(way)) return this.#verify(lba);
    const view = way.checker === 'software' ? softwareView(reads, way.path, rules) : null;
    const answers = Object.values(reads).map(({ answer }) => answer);
    if (!view?.bad.length && !alone && answers.some(({ kind }) => kind !== 'good')) {
      return this.#settle({ lba, blocks: 1 });
    }
    this.#others.push(...dataDifferences(reads));
    if (view?.bad.length) {
      this.#mismatches.push(...view.bad);
      this.#count(view, true);
    } else {
      this.#answered(lba, await witness.name(reads, signal), view);
    }
  }

  /** One block that the software finds nothing wrong with, or does not see: the word of the scrub's own path goes before all others'. */
  #answered(lba: bigint, reads: Reads, view: View | null): void {
    const own = this.#tools.way.path;
    const others = (Object.keys(reads) as PathName[]).filter((path) => path !== own);
    const path = [own, ...others].find((one) => reads[one]!.answer.kind !== 'good');
    const answer = path === undefined ? GOOD : reads[path]!.answer;
    if (answer.kind === 'failed') {
      if (path === own && !isOfBlock(answer)) throw answer.error;
      this.#others.push(readError(lba, path!, answer.error.message));
    }
    if (answer.kind === 'refused') {
      this.counts.refused++;
      this.#others.push(refusal(lba, path!, answer));
    }
    if (answer.kind === 'failed' && path === own) this.counts.unreadable++;
    else this.#count(view, answer.kind === 'refused');
  }

  #count(view: View | null, refused: boolean): void {
    if (view !== null) {
      this.counts.escaped += view.escaped;
      this.counts.bad += view.bad.length;
      this.counts.ok += this.#perBlock - view.escaped - view.bad.length;
    } else {
      this.counts.unchecked += this.#perBlock;
      if (!refused && this.#tools.way.checker !== 'software') this.counts.passed += this.#perBlock;
    }
  }

  /** One block by the disk's own word. */
  async #verify(lba: bigint): Promise<void> {
    const { disk, way, signal } = this.#tools;
    const answer = await verifyByDisk(disk, lba, 1, signal);
    if (answer.kind === 'failed') {
      if (!isOfBlock(answer)) throw answer.error;
      this.counts.unreadable++;
      this.#others.push(readError(lba, way.path, answer.error.message));
      return;
    }
    this.#count(null, answer.kind === 'refused');
    if (answer.kind === 'good') return;
    this.counts.refused++;
    this.#others.push(refusal(lba, way.path, answer));
  }

  /** The mismatches as findings, each with what explains it beside its neighbours. */
  async #diagnosed(): Promise<ScrubFinding[]> {
    if (this.#mismatches.length === 0) return [];
    const { disk, way, rules, signal } = this.#tools;
    const { lba, blocks } = this.#range;
    const read = await disk.read(way.path, lba, blocks, signal);
    const explain = explainer(read, rules, way.path);
    return runsAlike(this.#mismatches).map((run) => {
      const [{ lba: first, check, stored, computed }] = run;
      return {
        kind: 'mismatch',
        lba: Number(first),
        blocks: Number(run.at(-1)!.lba - first) + 1,
        intervals: run.length,
        checker: 'software',
        path: way.path,
        check,
        stored: tag(stored),
        computed: tag(computed),
        text: mismatchText({ check, stored, computed }),
        diagnosis: explain(run),
      };
    });
  }
}

const isVerify = ({ checker, path }: ScrubWay) => checker === 'device' && path === 'passthrough';

const foundBad = (lbas: readonly bigint[]): Suspects => ({ lbas: [...new Set(lbas)], areNamed: false });

/** Blocks in rising order as runs of neighbours. */
function runsOf(lbas: readonly bigint[]): BlockRange[] {
  const runs: { lba: bigint; blocks: number }[] = [];
  for (const lba of lbas) {
    const last = runs.at(-1);
    if (last && last.lba + BigInt(last.blocks) === lba) last.blocks++;
    else runs.push({ lba, blocks: 1 });
  }
  return runs;
}

type Run = [Mismatch, ...Mismatch[]];

/** Mismatches of one tag in blocks side by side. */
function runsAlike(mismatches: readonly Mismatch[]): Run[] {
  const runs: Run[] = [];
  for (const one of [...mismatches].sort((a, b) => Number(a.lba - b.lba))) {
    const last = runs.at(-1)?.at(-1);
    if (last && last.check === one.check && one.lba - last.lba <= 1n) runs.at(-1)!.push(one);
    else runs.push([one]);
  }
  return runs;
}

/**
 * Says what explains a run of mismatches, by the whole transfer as it was read: the neighbours show shifts. All of them at once where one
 * explanation fits all, which is the usual case.
 */
function explainer(read: BlocksRead, rules: Rules, path: PathName): (run: Run) => ScrubFinding['diagnosis'] {
  const profile = rules.profiles[path];
  const { data, tuples, lba } = read;
  if (data === null || tuples === null || profile === null) return () => null;
  const options = verifyOptions(rules, profile, lba);
  const { findings } = defaultEngine().verify(data, tuples, options);
  const perBlock = rules.blockSize / profile.interval;
  const said = (diagnoses: readonly Diagnosis[]): ScrubFinding['diagnosis'] => {
    const [first] = diagnoses;
    return first ? { kind: first.kind, text: first.text, alsoFits: first.alsoFits } : null;
  };
  const all = diagnose(data, tuples, options, findings);
  return (run) => {
    if (all.length === 1) return said(all);
    const from = Number(run[0].lba - lba) * perBlock;
    const end = Number(run.at(-1)!.lba - lba + 1n) * perBlock;
    const own = findings.filter(({ interval }) => interval >= from && interval < end);
    return said(diagnose(data, tuples, options, own));
  };
}

const NOTHING_SEEN = {
  intervals: null,
  check: null,
  stored: null,
  computed: null,
  diagnosis: null,
  blocks: 1,
} as const;

function readError(lba: bigint, path: PathName, text: string): ScrubFinding {
  return { ...NOTHING_SEEN, kind: 'read-error', lba: Number(lba), checker: null, path, text };
}

function refusal(
  lba: bigint,
  path: PathName,
  { checker, check, text, tags }: Omit<Extract<Answer, { kind: 'refused' }>, 'kind'>,
): ScrubFinding {
  return {
    ...NOTHING_SEEN,
    kind: 'refused',
    lba: Number(lba),
    checker,
    path,
    check,
    stored: tags?.stored ?? null,
    computed: tags?.computed ?? null,
    text: `${refuser(checker)} refused the block: ${text}`,
  };
}

function dataDifferences(reads: Reads): ScrubFinding[] {
  return differingBlocks(reads).map(({ lba, paths }) => ({
    ...NOTHING_SEEN,
    kind: 'data-differs',
    lba: Number(lba),
    checker: null,
    path: paths[1],
    text: `${paths[0]} and ${paths[1]} deliver different data`,
  }));
}
