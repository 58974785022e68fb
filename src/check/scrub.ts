/**
 * Every tuple of a disk or a range, by the best path that shows them. Reads only; a disk may be in use.
 */
// The global of that name is looked up by a getter, each time.
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { Disk } from '../device/disk.js';
import { IntegrityError } from '../errors.js';
import type {
  DiskSummary,
  ScrubCounts,
  ScrubFinding,
  ScrubProgress,
  ScrubReport,
  ScrubTransient,
} from '../report/model.js';
import { ahead } from './ahead.js';
import { switchedMeanwhile } from './claims.js';
import { rulesOf, Witness } from './crosscheck.js';
import { type BlockRange, namedRange } from './ranges.js';
import { NO_FINDINGS, ScrubFindings } from './scrub-findings.js';
import { planScrub, type Sample, type ScrubPlan } from './scrub-plan.js';
import { type ScrubState, StateFile } from './scrub-state.js';
import {
  addCounts,
  type Counts,
  countsOfClean,
  noCounts,
  type ScrubTools,
  ScrubTransfer,
} from './scrub-transfer.js';
import { type Look, type ScrubWay, wayOf } from './scrub-way.js';
import { summarise } from './summary.js';

export interface ScrubOptions {
  /** Default: the whole disk. */
  readonly range?: BlockRange | undefined;
  /** Only so many of its transfers, spread evenly. Default: all. */
  readonly sample?: Sample | undefined;
  /** Bytes of data a second at most, from one block on. Default: as fast as it goes. */
  readonly rate?: number | undefined;
  /**
   * A file that says how far it is, with FILE.lock beside it and, while it is written, FILE.new. One that is there is gone on from, if it is
   * of this disk and these options; ERR_USAGE if not, and ERR_BUSY while another scrub works with it. It is removed when the scrub has finished.
   */
  readonly state?: string | undefined;
  /**
   * Aborted, it ends with what is done: the report says so. Before it has begun there is nothing to report: then the signal's reason is
   * thrown.
   */
  readonly signal?: AbortSignal | undefined;
  /** Told of each range of blocks that are bad alike, when it has ended. */
  readonly onFinding?: ((finding: ScrubFinding) => void) | undefined;
  /** Told of each transfer with which something was wrong that was right when it was read again. */
  readonly onTransient?: ((transient: ScrubTransient) => void) | undefined;
  /** Told after each few transfers. */
  readonly onProgress?: ((progress: ScrubProgress) => void) | undefined;
}

/** So many transfers side by side are one stretch at most: one job of the disk's, which needs JavaScript once, where the addon does it. */
const STRETCH_TRANSFERS_MAX = 32;

/** In the beginning, when nobody knows yet how fast the disk is, and in the end. */
const STRETCH_TRANSFERS_FEW = 4;

/**
 * So long a stretch should take at most, by what those before it took: progress is told between stretches. Less than the second that a job of
 * the disk's may go on, so that it is one.
 */
const STRETCH_MS = 750;

/** Each of the jobs at once has so many stretches at least: a scrub that is ended has judged what was under way, and little else. */
const STRETCHES_MIN = 8;

/** How often it is asked whether all is as it was: what was judged since the last time counts then. */
const CONFIRM_MS = 1_000;

/** Where that takes long, so many times as long is spent on the disk in between, as far as the state allows. */
const CONFIRM_PAUSE = 30;

/** How often the state is written. */
const STATE_MS = 5_000;

/**
 * Looks at every block once, as many transfers under way at once as the disk is opened for, and at those that look wrong again.
 *
 * @throws ERR_NO_PATH when nobody can check; ERR_OUT_OF_RANGE; ERR_USAGE, ERR_BUSY, ERR_IO and ERR_PERMISSION for the state when it begins. What
 * stops it later is in the report.
 */
export async function scrub(disk: Disk, options: ScrubOptions = {}): Promise<ScrubReport> {
  const { signal, sample = null } = options;
  if (options.rate !== undefined) requireRate(disk, options.rate);
  const range = options.range ?? namedRange(disk, 0n, undefined);
  disk.requireRange(range.lba, range.blocks);
  const way = await wayOf(disk, signal);
  const plan = planScrub(range, disk.transferBlocksMax, sample);
  // Before the scrub: afterwards the disk may be gone.
  const summary = await summarise(disk, signal);
  await using file =
    options.state === undefined ? null : await StateFile.open(options.state, disk, way, range, sample, plan);
  const job = new ScrubJob(disk, way, plan, options, file?.state ?? null);
  const ending = await job.run(file);
  return report({ summary, way, plan, range, sample, job, ending, resumed: file?.state != null });
}

type Ending = Pick<ScrubReport, 'ended' | 'reason' | 'code' | 'advice'>;

const WITHOUT_REASON = { reason: null, code: null, advice: null } as const;

function failed({ message, code, advice }: IntegrityError): Ending {
  return { ended: 'failed', reason: message, code, advice: advice ?? null };
}

/** Transfers that a report names as transient. */
const TRANSIENTS_LISTED_MAX = 1000;

/** It is another disk, or nobody checks any more: what was judged since that was asked last does not count. */
class Lapsed extends IntegrityError {}

/** The looks at a stretch of transfers, or at the rest of one, from its first block on: to its end, to one without a verdict, or to what failed. */
interface Seen {
  readonly range: BlockRange;
  readonly looks: readonly Look[];
  readonly failure: { readonly reason: unknown } | null;
}

/** What follows the looks. */
function restOf({ range: { lba, blocks }, looks }: Seen): BlockRange {
  const seen = looks.reduce((sum, look) => sum + look.blocks, 0);
  return { lba: lba + BigInt(seen), blocks: blocks - seen };
}

/** What was seen and is not counted yet: as many of the transfers as are judged, from the first on. */
class Judged {
  readonly range: BlockRange;
  readonly counts: Counts = noCounts();
  readonly findings: ScrubFinding[] = [];
  readonly transients: ScrubTransient[] = [];
  blocks = 0;

  constructor(range: BlockRange) {
    this.range = range;
  }

  /** The first block behind those that are judged. */
  get end(): bigint {
    return this.range.lba + BigInt(this.blocks);
  }

  add(blocks: number, findings: readonly ScrubFinding[], counts: Partial<ScrubCounts>): void {
    this.findings.push(...findings);
    addCounts(this.counts, counts);
    this.blocks += blocks;
  }
}

class ScrubJob {
  readonly counts: Counts = noCounts();
  readonly findings: ScrubFindings;
  readonly transients: ScrubTransient[] = [];
  /** Transfers that are done, all from the first on. */
  transfers: number;
  blocks: number;
  readonly #firstBlocks: number;
  readonly #disk: Disk;
  readonly #way: ScrubWay;
  readonly #plan: ScrubPlan;
  readonly #options: ScrubOptions;
  /** Null without a rate. */
  readonly #pace: Pace | null;
  /** Of the stretches that are yet to begin. */
  #stretchTransfers = STRETCH_TRANSFERS_FEW;
  /** What is not counted yet. */
  #judged: Judged[] = [];
  readonly #start: number = performance.now();
  #end: number | null = null;

  constructor(disk: Disk, way: ScrubWay, plan: ScrubPlan, options: ScrubOptions, earlier: ScrubState | null) {
    this.#disk = disk;
    this.#way = way;
    this.#plan = plan;
    this.#options = options;
    this.#pace = options.rate === undefined ? null : new Pace(options.rate);
    this.transfers = earlier?.transfers ?? 0;
    this.blocks = earlier?.blocks ?? 0;
    this.#firstBlocks = this.blocks;
    if (earlier) addCounts(this.counts, earlier.counts);
    this.findings = new ScrubFindings(options.onFinding, earlier ?? NO_FINDINGS);
  }

  async run(file: StateFile | null): Promise<Ending> {
    const ending = await this.#transfers(file).catch((error: unknown) => this.#endingOf(error));
    this.#end = performance.now();
    const left = file === null ? ending : await this.#leave(file, ending);
    // What is left is open: it may go on where the next run begins.
    this.findings.close();
    return left;
  }

  /** A file that cannot be written or removed is told in the report: what was found until then is not lost for it. */
  async #leave(file: StateFile, ending: Ending): Promise<Ending> {
    try {
      await (ending.ended === 'finished' ? file.remove() : file.write(this.#state()));
      return ending;
    } catch (error) {
      if (!(error instanceof IntegrityError)) throw error;
      if (ending.reason === null || ending.reason === error.message) return failed(error);
      return { ...ending, reason: `${ending.reason}; ${error.message}` };
    }
  }

  async #transfers(file: StateFile | null): Promise<Ending> {
    const disk = this.#disk;
    const { signal } = this.#options;
    const tools = {
      disk,
      way: this.#way,
      rules: await rulesOf(disk, signal),
      witness: new Witness(disk),
      signal,
    };
    let saved = performance.now();
    let due = saved + CONFIRM_MS;
    try {
      for await (const seen of this.#looks()) {
        await this.#judge(seen, tools);
        this.#options.onProgress?.(this.#progress());
        const asked = performance.now();
        if (asked < due) continue;
        await this.#confirm(signal);
        const confirmed = performance.now();
        this.#count();
        if (confirmed - saved >= STATE_MS) {
          await file?.write(this.#state());
          saved = confirmed;
        }
        const pause = Math.max(CONFIRM_MS, CONFIRM_PAUSE * (confirmed - asked));
        due = Math.min(confirmed + pause, saved + STATE_MS);
      }
      await this.#confirm(signal);
    } catch (error) {
      if (error instanceof Lapsed) {
        this.#judged = [];
        throw error;
      }
      // Whoever wants no more waits for this all the same; where nobody answers, what is not counted yet stays so.
      await this.#confirm(undefined).catch((reason: unknown) => {
        this.#judged = [];
        if (reason instanceof Lapsed) throw reason;
      });
      this.#count();
      throw error;
    }
    this.#count();
    return { ended: 'finished', ...WITHOUT_REASON };
  }

  /**
   * That what was looked at until now was this disk, and was checked. Another may answer by the same node, and only one command of all that are sent
   * to it, anybody's, is told so by a UNIT ATTENTION: so it is asked.
   */
  async #confirm(signal: AbortSignal | undefined): Promise<void> {
    const disk = this.#disk;
    const { device } = disk;
    const now = this.#way.checker === 'kernel' ? await disk.sysfsNow() : undefined;
    if (!(await disk.isSame(signal, now))) {
      throw new Lapsed('ERR_DEVICE_GONE', `${device}: another disk answers`, {
        disk: device,
        advice: 'Its name, or how it is formatted, is another than when it was opened.',
      });
    }
    if (now === undefined) return;
    const [switched] = switchedMeanwhile(disk, now, ['format', 'readVerify']);
    if (switched !== undefined) throw new Lapsed('ERR_NO_PATH', `${device}: ${switched}`, { disk: device });
  }

  /**
   * What is left of the plan, in stretches as long as the disk is fast: in the end hardly longer than the share of each of the jobs at once
   * in what is left, so that all end together. At a rate, as in a sample, each transfer is by itself.
   */
  *#stretches(jobs: number): Generator<BlockRange> {
    const { transfers, at } = this.#plan;
    const { sample, rate } = this.#options;
    const each = Math.floor((transfers - this.transfers) / (STRETCHES_MIN * jobs));
    for (let from = this.transfers, end = from; from < transfers; from = end) {
      const left = transfers - from;
      const share = Math.max(STRETCH_TRANSFERS_FEW, Math.floor(left / jobs));
      const most = sample || rate ? 1 : Math.min(this.#stretchTransfers, each, share, left);
      end = from + Math.max(1, most);
      const { lba } = at(from);
      const last = at(end - 1);
      yield { lba, blocks: Number(last.lba - lba) + last.blocks };
    }
  }

  /** The looks at all that is left. What has no verdict is judged before the rest of its stretch is looked at: it may be the end of all. */
  async *#looks(): AsyncGenerator<Seen> {
    const depth = this.#depth;
    for await (const first of ahead(this.#stretches(depth), depth, (stretch) => this.#lookOver(stretch))) {
      yield first;
      for (let seen = first; seen.failure === null && restOf(seen).blocks > 0; ) {
        seen = await this.#lookOver(restOf(seen));
        yield seen;
      }
    }
  }

  /** As far as there is a verdict, and that without one. */
  async #lookOver(range: BlockRange): Promise<Seen> {
    const { lba, blocks } = range;
    const { signal } = this.#options;
    const looks: Look[] = [];
    try {
      await this.#pace?.take(blocks * this.#disk.blockSize, signal);
      const begun = performance.now();
      let done = 0;
      while (done < blocks) {
        const look = await this.#way.look(lba + BigInt(done), blocks - done, signal);
        looks.push(look);
        done += look.blocks;
        if (look.verdict === null) break;
      }
      this.#learn(done, performance.now() - begun);
      return { range, looks, failure: null };
    } catch (reason) {
      return { range, looks, failure: { reason } };
    }
  }

  /** So many blocks of a stretch took so long. The next ones have no more than twice as many: what came from a cache says little of the disk. */
  #learn(blocks: number, ms: number): void {
    const transfers = Math.ceil(blocks / this.#disk.transferBlocksMax);
    const inTime = Math.floor((transfers * STRETCH_MS) / ms);
    this.#stretchTransfers = Math.max(1, Math.min(STRETCH_TRANSFERS_MAX, 2 * transfers, inTime));
  }

  /** Throws what the looks ended with. */
  async #judge({ range, looks, failure }: Seen, tools: ScrubTools): Promise<void> {
    const { disk, way } = tools;
    const judged = new Judged(range);
    this.#judged.push(judged);
    let wrong = false;
    for (const look of looks) {
      const { blocks, verdict } = look;
      // Nearly all of them: nothing is to be awaited.
      const clean = wrong || look.wrong ? null : countsOfClean(disk, way, look);
      if (clean !== null) {
        judged.add(blocks, [], clean);
        continue;
      }
      const lba = judged.end;
      const transfer = new ScrubTransfer(tools, { lba, blocks });
      const bad = verdict === null || verdict === 'passed' ? 0 : verdict.bad;
      const isClean = verdict !== null && bad === 0;
      const findings = await transfer.examine(look, wrong || (look.wrong && !isClean));
      judged.add(blocks, findings, transfer.counts);
      if (transfer.counts.transient > 0) {
        // What was wrong was one transfer, in front of those that were clean when they were looked at.
        const first = Math.min(blocks, disk.transferBlocksMax);
        judged.transients.push({ lba: Number(lba), blocks: first, bad: bad || null });
      }
      // With the next one, then.
      wrong = look.wrong && isClean;
    }
    if (failure) throw failure.reason;
  }

  /** Transfers at once. No more than a rate lets begin in a second: what is judged would wait long for those beside it to end. */
  get #depth(): number {
    const { queueDepth, transferBlocksMax, blockSize } = this.#disk;
    const { rate = Number.POSITIVE_INFINITY } = this.#options;
    return Math.min(queueDepth, Math.ceil(rate / (transferBlocksMax * blockSize)));
  }

  #count(): void {
    // Each once, whatever comes of it: who is told of findings may throw.
    for (let one = this.#judged.shift(); one; one = this.#judged.shift()) {
      const { blocks, end, counts, findings, transients } = one;
      for (const finding of findings) this.findings.add(finding);
      for (const transient of transients) this.#transient(transient);
      if (blocks > 0) this.findings.reached(Number(end));
      addCounts(this.counts, counts);
      this.transfers += Math.ceil(blocks / this.#disk.transferBlocksMax);
      this.blocks += blocks;
    }
  }

  #transient(transient: ScrubTransient): void {
    this.#options.onTransient?.(transient);
    if (this.transients.length < TRANSIENTS_LISTED_MAX) this.transients.push(transient);
  }

  /** What is no answer of the disk's or its kernel's, and no wish of the caller's, is a fault of ours. */
  #endingOf(error: unknown): Ending {
    if (this.#options.signal?.aborted) return { ended: 'interrupted', ...WITHOUT_REASON };
    if (!(error instanceof IntegrityError)) throw error;
    return failed(error);
  }

  #state(): ScrubState {
    const { transfers, blocks, counts } = this;
    return { transfers, blocks, counts, ...this.findings.soFar() };
  }

  /** Of this run alone. */
  speed(): Pick<ScrubReport, 'seconds' | 'bytesPerSecond'> {
    return { seconds: this.#seconds, bytesPerSecond: this.#rateOf(this.blocks) };
  }

  get #seconds(): number {
    return ((this.#end ?? performance.now()) - this.#start) / 1000;
  }

  #rateOf(done: number): number {
    const bytes = (done - this.#firstBlocks) * this.#disk.blockSize;
    return this.#seconds > 0 ? bytes / this.#seconds : 0;
  }

  /** Of what is judged, counted or not. */
  #progress(): ScrubProgress {
    const sum = (of: (one: Judged) => number) => this.#judged.reduce((total, one) => total + of(one), 0);
    const done = this.blocks + sum(({ blocks }) => blocks);
    const bytesPerSecond = this.#rateOf(done);
    const left = (this.#plan.blocks - done) * this.#disk.blockSize;
    return {
      planned: this.#plan.blocks,
      done,
      findings: this.findings.count + sum(({ findings }) => findings.length),
      bytesPerSecond,
      secondsLeft: bytesPerSecond > 0 ? left / bytesPerSecond : null,
    };
  }
}

/** Below a block a second, which is minutes between two transfers, hours and days would go by in which nothing is seen to happen. */
function requireRate({ device, blockSize }: Disk, rate: number): void {
  if (Number.isFinite(rate) && rate >= blockSize) return;
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `${device}: a rate of ${rate} bytes a second: a number from ${blockSize} on, which is a block a second`,
    { disk: device },
  );
}

/** Keeps to a rate: each transfer waits until those before it have had their time. One timer at a time, however many wait. */
class Pace {
  readonly #bytesPerMs: number;
  #next = 0;
  #turn: Promise<void> = Promise.resolve();

  constructor(rate: number) {
    this.#bytesPerMs = rate / 1000;
  }

  take(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    const turn = this.#turn.then(() => this.#wait(bytes, signal));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #wait(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    const now = performance.now();
    const start = Math.max(now, this.#next);
    this.#next = start + bytes / this.#bytesPerMs;
    if (start > now) await delay(start - now, undefined, signal ? { signal } : {});
  }
}

function report(parts: {
  readonly summary: DiskSummary;
  readonly way: ScrubWay;
  readonly plan: ScrubPlan;
  readonly range: BlockRange;
  readonly sample: Sample | null;
  readonly job: ScrubJob;
  readonly ending: Ending;
  readonly resumed: boolean;
}): ScrubReport {
  const { summary, way, plan, range, sample, job, ending, resumed } = parts;
  const { counts } = job;
  const next = job.transfers < plan.transfers ? Number(plan.at(job.transfers).lba) : null;
  return {
    verb: 'scrub',
    disk: summary,
    lba: Number(range.lba),
    blocks: range.blocks,
    sample: sample && { percent: sample.percent, seed: sample.seed },
    checker: way.checker,
    path: way.path,
    checks: way.checks,
    by: way.by,
    notSoftware: way.notSoftware,
    ...ending,
    resumed,
    planned: plan.blocks,
    done: job.blocks,
    next,
    counts,
    checked: counts.ok + counts.bad + checkedUnseen(way.checker, counts),
    ...job.findings.list(),
    transients: job.transients,
    ...job.speed(),
  };
}

/**
 * Intervals of which no tuple was seen, and yet somebody judged: those that were refused, and those that the kernel let pass, whose code is
 * known. That a disk lets pass what it says that it checks is its word alone.
 */
function checkedUnseen(checker: ScrubWay['checker'], { unchecked, passed }: Counts): number {
  if (checker === 'software') return 0;
  return checker === 'kernel' ? unchecked : unchecked - passed;
}
