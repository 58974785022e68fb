import { Command } from 'commander';
import { namedRange } from '../check/ranges.js';
import { type ScrubOptions, scrub } from '../check/scrub.js';
import type { Sample } from '../check/scrub-plan.js';
import { type Disk, QUEUE_DEPTH_MAX } from '../device/disk.js';
import { ERROR_CODES, IntegrityError } from '../errors.js';
import type { ScrubProgress, ScrubReport } from '../report/model.js';
import { printableJson } from '../report/printable.js';
import { progressText, scrubText } from '../report/scrub-text.js';
import type { CommandIo } from './io.js';
import { BLOCK_COUNT, integerUpTo, LBA, parseInteger } from './options.js';
import { type OutputOptions, printReport } from './output.js';
import { TESTBED_HERE_OPTION, TRACE_OPTION, withDisk } from './testbeds.js';

interface ScrubVerbOptions extends OutputOptions {
  readonly lba?: bigint;
  readonly blocks?: bigint;
  readonly sample?: number;
  readonly seed?: number;
  readonly queueDepth: number;
  readonly rate?: number;
  readonly idle?: true;
  readonly state?: string;
  readonly testbed?: string;
  readonly trace?: boolean;
}

/** Enough that a disk is never without work. */
const QUEUE_DEPTH = 8;

/** How often a terminal is told, and a pipe. */
const TERMINAL_MS = 200;
const PIPE_MS = 5_000;

/** `scrub [DEVICE]`: every tuple. Exit status 1 with findings, 3 when something could not be told, 130 when interrupted. */
export function scrubCommand(io: CommandIo): Command {
  return new Command('scrub')
    .description('check every tuple of a disk or range, by the best path that shows them; reads only')
    .argument('[device]')
    .option('--lba <n>', 'first block (default: 0)', (text: string) => parseInteger('--lba', text, LBA))
    .option('--blocks <n>', 'how many blocks; to the end of the disk without it', (text: string) =>
      parseInteger('--blocks', text, BLOCK_COUNT),
    )
    .option('--sample <percent>', 'only so much of it, spread evenly', parsePercent)
    .option('--seed <n>', 'which sample (default: 0)', integerUpTo('--seed', 2 ** 32 - 1))
    .option(
      '--queue-depth <n>',
      `transfers under way at once, 1 to ${QUEUE_DEPTH_MAX}`,
      (text: string) => parseInteger('--queue-depth', text, { min: 1, max: QUEUE_DEPTH_MAX }),
      QUEUE_DEPTH,
    )
    .option('--rate <bytes>', 'data a second at most: 500M, 1.5G; K is 1024', parseRate)
    .option('--idle', 'give way to others, where the disk has a scheduler that heeds it (ionice -c 3)')
    .option('--state <file>', 'go on where this file says, and keep in it how far it is', parseStateName)
    .option(...TESTBED_HERE_OPTION)
    .option(...TRACE_OPTION)
    .option('--json', 'JSON Lines: findings, transient ones and progress as they come, the report last')
    .action(async (device: string | undefined, options: ScrubVerbOptions) => {
      const sample = sampleOf(options);
      const { testbed, trace, queueDepth, idle } = options;
      await withDisk(io, { device, testbed, trace, queueDepth, idle, verb: null }, async (disk) => {
        const report = await run(io, disk, options, sample);
        printReport(io, options, report, { text: scrubText });
        io.setExitStatus(scrubExitStatus(report));
      });
    });
}

async function run(
  io: CommandIo,
  disk: Disk,
  options: ScrubVerbOptions,
  sample: Sample | undefined,
): Promise<ScrubReport> {
  const { lba, blocks, rate, state, json } = options;
  const named = lba !== undefined || blocks !== undefined;
  using told = new Told(io, json === true);
  // Of lines that nobody takes any more there need be no more: on a large disk that would be days of reading.
  const gone = new AbortController();
  if (json) io.stdout.once('error', () => gone.abort());
  const job: ScrubOptions = {
    range: named ? namedRange(disk, lba ?? 0n, blocks) : undefined,
    sample,
    rate,
    state,
    signal: AbortSignal.any([io.signal, gone.signal]),
    onProgress: (progress) => told.progress(progress),
    onFinding: (finding) => told.event('finding', finding),
    onTransient: (transient) => told.event('transient', transient),
  };
  return await scrub(disk, job);
}

/** What is told while it runs: lines of JSON, or one line of a terminal that is written over. */
class Told implements Disposable {
  readonly #io: CommandIo;
  readonly #json: boolean;
  readonly #terminal: boolean;
  #last: number = performance.now();
  #shown = false;

  constructor(io: CommandIo, json: boolean) {
    this.#io = io;
    this.#json = json;
    this.#terminal = !json && 'isTTY' in io.stderr && io.stderr.isTTY === true;
  }

  event(event: 'finding' | 'transient' | 'progress', what: object): void {
    if (this.#json) this.#io.stdout.write(`${printableJson({ event, ...what })}\n`);
  }

  progress(progress: ScrubProgress): void {
    const now = performance.now();
    if (now - this.#last < (this.#terminal ? TERMINAL_MS : PIPE_MS)) return;
    this.#last = now;
    this.event('progress', progress);
    if (!this.#terminal) return;
    this.#shown = true;
    this.#io.stderr.write(`\r${progressText(progress)}${ERASE}`);
  }

  /** The line of the terminal is gone. */
  [Symbol.dispose](): void {
    if (this.#shown) this.#io.stderr.write(`\r${ERASE}`);
  }
}

/** EL of ECMA-48: to the end of the line. */
const ERASE = '\x1b[K';

function sampleOf({ sample: percent, seed }: ScrubVerbOptions): Sample | undefined {
  if (percent !== undefined) return { percent, seed: seed ?? 0 };
  if (seed === undefined) return undefined;
  throw new IntegrityError('ERR_USAGE', '--seed is of a sample: it needs --sample');
}

function parsePercent(text: string): number {
  const percent = Number(/^(\d{1,3}(?:\.\d{1,9})?)%?$/.exec(text)?.[1] ?? 0);
  if (percent > 0 && percent <= 100) return percent;
  throw new IntegrityError(
    'ERR_USAGE',
    `--sample ${JSON.stringify(text)} is no percentage above 0, up to 100`,
    { advice: 'Such as 5, 0.5 or 5%.' },
  );
}

function parseStateName(text: string): string {
  if (text !== '') return text;
  throw new IntegrityError('ERR_USAGE', "--state '' names no file");
}

const POWERS: Readonly<Record<string, number>> = { '': 0, k: 1, m: 2, g: 3 };

function parseRate(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,15}(?:\.\d{1,9})?)([kmg]?)(?:\/s)?$/i.exec(text) ?? [];
  const rate = Number(digits ?? 0) * 1024 ** POWERS[unit.toLowerCase()]!;
  if (rate > 0) return rate;
  throw new IntegrityError('ERR_USAGE', `--rate ${JSON.stringify(text)} is no number of bytes a second`, {
    advice: 'Such as 750000, 500K, 200M or 1.5G.',
  });
}

/** What was not looked at, or failed, tells nothing; whatever else is found is a finding, listed or only counted. */
export function scrubExitStatus({ ended, findings, checked, checker, counts }: ScrubReport): number {
  if (ended === 'interrupted') return ERROR_CODES.ERR_ABORTED;
  const counted = counts.bad > 0 || counts.refused > 0;
  if (counted || findings.some(({ kind }) => kind !== 'read-error')) return 1;
  const unseen = counts.changing > 0 || (checker === 'software' && counts.unchecked > 0);
  return ended === 'failed' || findings.length > 0 || checked === 0 || unseen ? 3 : 0;
}
