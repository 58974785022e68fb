/**
 * The main job: the same blocks by every path, judged by every checker. Reads only.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { BlocksRead } from '../device/blocks.js';
import type { Disk } from '../device/disk.js';
import type { CrosscheckReport, Finding, RangeReport } from '../report/model.js';
import type { PathName, Verdict } from '../words.js';
import { claimsOf, switchedMeanwhile } from './claims.js';
import { finding, judge, type Reads, type Rules } from './judge.js';
import type { BlockRange } from './ranges.js';
import { runsBetween, slice, suspectBlocks } from './runs.js';
import { readAll, settle } from './settle.js';
import { summarise } from './summary.js';
import { Tally } from './tally.js';

/** The SCSI layer logs at most 10 failures in 5 seconds; after a pause it speaks again. */
const LOG_SILENCE_MS = 5_500;
/** A disk with many bad blocks is not waited for at each. */
const LOG_WAITS_MAX = 3;

export interface CrosscheckOptions {
  readonly ranges: readonly BlockRange[];
  /** How the ranges were chosen, for the report. */
  readonly note?: string | null;
  readonly signal?: AbortSignal | undefined;
  /** Called after each transfer with the blocks done so far, of all ranges. */
  readonly onProgress?: (blocksDone: number) => void;
}

/** Reads the ranges by all paths of the disk and returns matrix and findings. Throws when the disk is gone or the signal aborts. */
export async function crosscheck(disk: Disk, options: CrosscheckOptions): Promise<CrosscheckReport> {
  const { ranges, note = null, signal, onProgress } = options;
  const rules = await rulesOf(disk, signal);
  const findings: Finding[] = disk.disagreements.map((text) => finding({ kind: 'facts', text }));
  const reports: RangeReport[] = [];
  let done = 0;
  for (const range of ranges) {
    const report = await checkRange(disk, rules, range, signal, (blocks) => {
      done += blocks;
      onProgress?.(done);
    });
    reports.push(report.range);
    findings.push(...report.findings);
  }
  const switched = switchedMeanwhile(disk, await disk.sysfsNow(), ['format', 'readVerify', 'writeGenerate']);
  findings.push(...switched.map((text) => finding({ kind: 'facts', text })));
  const checked = reports.reduce((sum, range) => sum + checkedIn(range), 0);
  const summary = await summarise(disk, signal);
  return { verb: 'crosscheck', disk: summary, note, ranges: reports, checked, written: null, findings };
}

/** Intervals of a range that the checker which judged most of them judged. */
export function checkedIn({ cells }: Pick<RangeReport, 'cells'>): number {
  const judged: readonly Verdict[] = ['ok', 'guard', 'app', 'ref', 'protection'];
  return Math.max(
    0,
    ...cells.map(({ counts }) => judged.reduce((sum, verdict) => sum + (counts[verdict] ?? 0), 0)),
  );
}

/** By what the reads of this disk are judged. */
export async function rulesOf(disk: Disk, signal?: AbortSignal): Promise<Rules> {
  const { kernelProfile, diskProfile, blockSize } = disk;
  return {
    blockSize,
    claims: claimsOf(disk, await disk.proof(signal)),
    profiles: { passthrough: diskProfile, block: kernelProfile, 'block-pi': kernelProfile },
  };
}

/** The matrix and the findings of one range. */
export async function checkRange(
  disk: Disk,
  rules: Rules,
  range: BlockRange,
  signal?: AbortSignal,
  onBlocks?: (blocks: number) => void,
): Promise<{ range: RangeReport; findings: Finding[] }> {
  const tally = new Tally();
  const findings: Finding[] = [];
  const witness = new Witness(disk);
  let changing = 0;
  for await (const reads of transfers(disk, range, signal)) {
    const { lba, blocks } = Object.values(reads)[0] as BlocksRead;
    const suspects = suspectBlocks(reads, rules);
    for (const run of runsBetween(lba, blocks, suspects))
      judge(slice(reads, run.lba, run.blocks), rules, tally);
    for (const suspect of suspects) {
      const settled = await settle(disk, { lba: suspect, blocks: 1 }, signal);
      if (settled.changing.length > 0) changing++;
      else findings.push(...judge(await witness.name(settled.reads, signal), rules, tally));
    }
    onBlocks?.(blocks);
  }
  const { blocks } = range;
  const profile = disk.profile;
  const intervals = profile === null ? blocks : blocks * (disk.blockSize / profile.interval);
  return { range: { lba: Number(range.lba), blocks, intervals, changing, cells: tally.cells() }, findings };
}

/** The range in transfers by every path. One that a path refused comes again block by block, so that every bad block is found. */
async function* transfers(disk: Disk, range: BlockRange, signal?: AbortSignal): AsyncGenerator<Reads> {
  for (let at = 0; at < range.blocks; at += disk.transferBlocksMax) {
    const blocks = Math.min(disk.transferBlocksMax, range.blocks - at);
    const lba = range.lba + BigInt(at);
    const reads = await readAll(disk, { lba, blocks }, signal);
    if (blocks === 1 || Object.values(reads).every(({ answer }) => answer.kind === 'good')) yield reads;
    else
      for (let i = 0; i < blocks; i++) yield await readAll(disk, { lba: lba + BigInt(i), blocks: 1 }, signal);
  }
}

/** Names the author of a refusal that the kernel's log kept to itself because it had said as much just before. */
export class Witness {
  readonly #disk: Disk;
  #waits = 0;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  async name(reads: Reads, signal?: AbortSignal): Promise<Reads> {
    const named = { ...reads };
    for (const [path, { lba, answer }] of Object.entries(reads) as [PathName, BlocksRead][]) {
      const unnamed =
        answer.kind === 'refused' && answer.checker === 'kernel-or-device' && this.#disk.logReadable;
      if (!unnamed || this.#waits === LOG_WAITS_MAX) continue;
      this.#waits++;
      await delay(LOG_SILENCE_MS, undefined, signal ? { signal } : {});
      named[path] = await this.#disk.read(path, lba, 1, signal);
    }
    return named;
  }
}
