/**
 * How far a scrub is, in a file: after a crash it goes on from there. What stands in it is done, whatever happens while it is written.
 */
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Disk } from '../device/disk.js';
import { FileLock, isSame } from '../device/file-lock.js';
import { syncFolderOf } from '../device/sync-folder.js';
import { fileErrorCode, IntegrityError } from '../errors.js';
import type { ScrubCounts, ScrubFinding } from '../report/model.js';
import { CHECKERS, PATHS } from '../words.js';
import type { BlockRange } from './ranges.js';
import { FINDINGS_LISTED_MAX, type FindingsSoFar, NO_FINDINGS } from './scrub-findings.js';
import type { Sample, ScrubPlan } from './scrub-plan.js';
import { noCounts } from './scrub-transfer.js';
import { intervalsPerBlock, type ScrubWay } from './scrub-way.js';

export interface ScrubState extends FindingsSoFar {
  /** Transfers that are done, all from the first on, and their blocks. */
  readonly transfers: number;
  readonly blocks: number;
  readonly counts: ScrubCounts;
}

/** What must be the same, or the file is another scrub's. */
interface Subject {
  readonly identity: string;
  readonly diskBlocks: number;
  readonly blockSize: number;
  readonly format: string;
  readonly intervalsPerBlock: number;
  readonly checker: string;
  readonly path: string;
  readonly transferBlocks: number;
  readonly lba: number;
  readonly blocks: number;
  readonly samplePercent: number | null;
  readonly sampleSeed: number | null;
}

const VERB = 'blk-integrity scrub';
const VERSION = 3;

/** How each state begins. */
const BEGIN = `{"file":"${VERB}"`;

/** What lies beside a state: no state may have such a name. */
const NEXT = '.new';
const LOCK = '.lock';

/** The state of one scrub, which alone works with it as long as it is open. Declare it with `await using`. */
export class StateFile implements AsyncDisposable {
  readonly #path: string;
  readonly #subject: Subject;
  /** Of a file beside it: the state itself is a new file each time it is written. */
  readonly #lock: FileLock;
  #state: ScrubState | null = null;
  /** The file that was read, or that took the name last; null where there was none. It is open: else its inode could be another file's. */
  #own: FileHandle | null = null;

  private constructor(path: string, subject: Subject, lock: FileLock) {
    this.#path = path;
    this.#subject = subject;
    this.#lock = lock;
  }

  /** What was in the file; null where there was none. */
  get state(): ScrubState | null {
    return this.#state;
  }

  /**
   * @throws ERR_USAGE for a name that is none of a state, and a file that is something else, or of another scrub; ERR_BUSY for one of a scrub
   * that runs; ERR_IO, ERR_PERMISSION.
   */
  static async open(
    path: string,
    disk: Disk,
    way: ScrubWay,
    range: BlockRange,
    sample: Sample | null,
    plan: ScrubPlan,
  ): Promise<StateFile> {
    requireName(path);
    const subject = subjectOf(disk, way, range, sample);
    const stats = await told(path, 'looked at', () => lstat(path).catch(unlessMissing));
    if (stats !== null && !stats.isFile()) throw notOurs(path, 'it is no regular file');
    const file = new StateFile(path, subject, await lockBeside(path));
    try {
      await file.#read(plan);
      // That it can be written is known before hours have gone by.
      await file.write(file.state ?? { transfers: 0, blocks: 0, counts: noCounts(), ...NO_FINDINGS });
      return file;
    } catch (error) {
      await file[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#own?.close();
    await this.#lock.remove();
  }

  async #read(plan: ScrubPlan): Promise<void> {
    const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;
    const found = await told(this.#path, 'read', async () => {
      this.#own = await open(this.#path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW).catch(unlessMissing);
      return this.#own?.readFile('utf8');
    });
    if (found !== undefined) this.#state = parse(this.#path, found, this.#subject, plan);
  }

  /**
   * Whole, or as it was before: under another name first, on the medium before it is renamed, and the name as well.
   *
   * @throws ERR_BUSY when the lock is no longer where others look for it, and when another file has the state's name; ERR_USAGE when something
   * else has the other name; ERR_IO, ERR_PERMISSION
   */
  async write(state: ScrubState): Promise<void> {
    const text = `${JSON.stringify({ file: VERB, version: VERSION, ...this.#subject, state })}\n`;
    const next = this.#path + NEXT;
    await told(this.#path, 'written', async () => {
      await this.#requireLock();
      const file = await openNext(this.#path);
      let done: FileHandle | null = file;
      try {
        await file.truncate();
        await file.writeFile(text);
        await file.sync();
        await this.#requireOwn();
        await rename(next, this.#path);
        [done, this.#own] = [this.#own, file];
      } catch (error) {
        await rm(next, { force: true }).catch(() => {});
        throw error;
      } finally {
        await done?.close();
      }
      await syncFolderOf(this.#path);
    });
  }

  /** @throws as write() does */
  async remove(): Promise<void> {
    await told(this.#path, 'removed', async () => {
      await this.#requireLock();
      await this.#requireOwn();
      await rm(this.#path, { force: true });
      await syncFolderOf(this.#path);
    });
  }

  /** Only between this look and the call that follows it can another file still take the name. */
  async #requireOwn(): Promise<void> {
    const there = await lstat(this.#path, { bigint: true }).catch(unlessMissing);
    // Whoever took the state away may have it written again. A folder gives its name to no file: the system call says so.
    if (there === null || there.isDirectory()) return;
    if (this.#own !== null && isSame(await this.#own.stat({ bigint: true }), there)) return;
    throw new IntegrityError(
      'ERR_BUSY',
      `state ${this.#path} is another file by now: it took the name while this scrub ran`,
      { advice: 'See whose it is, and name another file.' },
    );
  }

  async #requireLock(): Promise<void> {
    if (await this.#lock.isNamed()) return;
    // Where the folder has gone as well, nobody has taken the state over: the system call's error says what is wrong.
    await stat(dirname(this.#path));
    throw new IntegrityError(
      'ERR_BUSY',
      `state ${this.#path} can be another scrub's by now: its lock, ${this.#path + LOCK}, was taken away while this one ran`,
      { advice: 'See that no other scrub runs with it, and leave the lock alone: it goes by itself.' },
    );
  }
}

/** A state that is there under such a name may be what lies beside another one. */
function requireName(path: string): void {
  if (path === '') throw new IntegrityError('ERR_USAGE', "a state of the name '' is no file");
  const beside = [NEXT, LOCK].find((ending) => path.endsWith(ending));
  if (beside === undefined) return;
  throw new IntegrityError(
    'ERR_USAGE',
    `state ${path} cannot end in ${beside}: that is what lies beside the state ${path.slice(0, -beside.length)}`,
    { advice: 'Name another file.' },
  );
}

/** The file that a state is first written to, empty or of a crash. */
async function openNext(path: string): Promise<FileHandle> {
  // What lies there may be anything: a FIFO would hold the open until somebody reads it, another name of a file would empty that one.
  const { O_WRONLY, O_CREAT, O_NONBLOCK, O_NOFOLLOW } = constants;
  const next = path + NEXT;
  const file = await open(next, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOFOLLOW, 0o644);
  try {
    const stats = await file.stat();
    if (!stats.isFile() || stats.nlink !== 1) throw inTheWay(path, next, 'it is no regular file of one name');
    if (!(await isRemainder(file))) throw inTheWay(path, next, 'it is no state of a scrub');
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Whether a file is what a crash leaves of a state: some of it from the first byte on, or nothing. */
async function isRemainder(file: FileHandle): Promise<boolean> {
  await using reader = await open(`/proc/self/fd/${file.fd}`);
  const { buffer, bytesRead } = await reader.read(Buffer.alloc(BEGIN.length));
  return BEGIN.startsWith(buffer.toString('latin1', 0, bytesRead));
}

function inTheWay(path: string, beside: string, why: string): IntegrityError {
  return new IntegrityError('ERR_USAGE', `state ${path} cannot use ${beside}: ${why}`, {
    advice: `Name another file, or move ${beside} away.`,
  });
}

async function lockBeside(path: string): Promise<FileLock> {
  const lock = await FileLock.take(
    path + LOCK,
    (beside, why, cause) =>
      cause === undefined ? inTheWay(path, beside, why) : failed(path, `locked by ${beside}`, cause),
    constants.O_NOFOLLOW,
  );
  if (lock !== null) return lock;
  throw new IntegrityError('ERR_BUSY', `state ${path} is that of a scrub that is running`, {
    advice: 'Wait until it has ended, or name another file.',
  });
}

function subjectOf(disk: Disk, way: ScrubWay, range: BlockRange, sample: Sample | null): Subject {
  const { facts, sysfs, profile } = disk;
  const identity = facts?.identity ?? facts?.serial ?? sysfs.wwid;
  if (identity === null || identity === undefined) {
    throw new IntegrityError(
      'ERR_USAGE',
      `${disk.device} says no name of its own: a state would fit any other disk`,
      { disk: disk.device, advice: 'Scrub it without --state.' },
    );
  }
  return {
    identity,
    diskBlocks: Number(disk.blocks),
    blockSize: disk.blockSize,
    format: `${profile?.name ?? 'none'} type ${profile?.type ?? 0} interval ${profile?.interval ?? 0}`,
    intervalsPerBlock: intervalsPerBlock(disk, way),
    checker: way.checker,
    path: way.path,
    transferBlocks: disk.transferBlocksMax,
    lba: Number(range.lba),
    blocks: range.blocks,
    samplePercent: sample?.percent ?? null,
    sampleSeed: sample?.seed ?? null,
  };
}

/** What a file says is believed only where it is what a scrub writes. */
function parse(path: string, text: string, subject: Subject, plan: ScrubPlan): ScrubState {
  let found: Record<string, unknown>;
  try {
    found = JSON.parse(text);
  } catch {
    throw notOurs(path, 'it is no JSON');
  }
  const version = found?.['version'];
  if (found?.['file'] !== VERB || !isNatural(version)) throw notOurs(path, 'it is no state of a scrub');
  if (version !== VERSION) {
    const whose = (version as number) < VERSION ? 'an earlier' : 'a later';
    throw notOurs(path, `it is a state of version ${version}, of ${whose} blk-integrity`);
  }
  for (const [name, wanted] of Object.entries(subject)) {
    if (found[name] === wanted) continue;
    throw notOurs(
      path,
      `its ${name} is ${JSON.stringify(found[name])}, and here it is ${JSON.stringify(wanted)}`,
    );
  }
  const state = found['state'] as ScrubState;
  if (!isState(state, subject, plan)) throw notOurs(path, 'its numbers cannot be');
  return state;
}

const isNatural = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isText = (value: unknown) => typeof value === 'string';
const isTag = (value: unknown) =>
  value === null || isNatural(value) || (isText(value) && /^0x[0-9a-f]{16}$/.test(value as string));

/** Whether an object has these members and no others, each as it may be. */
const isMadeOf = <T extends object>(
  what: T,
  members: { readonly [N in keyof T]-?: (value: T[N]) => boolean },
) =>
  Object.keys(what ?? {}).length === Object.keys(members).length &&
  Object.entries(members).every(([name, may]) => (may as (value: unknown) => boolean)(what[name as keyof T]));

function isState(state: ScrubState, subject: Subject, plan: ScrubPlan): boolean {
  return (
    isNatural(state?.transfers) &&
    state.transfers <= plan.transfers &&
    // Only the last transfer may be shorter.
    state.blocks === Math.min(plan.blocks, state.transfers * subject.transferBlocks) &&
    isMadeOf(state.counts, COUNTS) &&
    addUp(state.counts, state.blocks, subject.intervalsPerBlock) &&
    areFindings(state, subject, plan)
  );
}

const COUNTS = Object.fromEntries(Object.keys(noCounts()).map((name) => [name, isNatural])) as {
  readonly [Name in keyof ScrubCounts]: typeof isNatural;
};

/** Each interval of what is done is counted once, or else its block is. */
function addUp(counts: ScrubCounts, blocks: number, perBlock: number): boolean {
  const { ok, bad, escaped, unchecked, passed, refused, changing, unreadable } = counts;
  const counted = ok + bad + escaped + unchecked + (changing + unreadable) * perBlock;
  return counted === blocks * perBlock && passed <= unchecked && refused <= blocks;
}

/** Findings of blocks that are done; an open one ends where they do. */
function areFindings(
  state: ScrubState,
  { lba, intervalsPerBlock: perBlock }: Subject,
  plan: ScrubPlan,
): boolean {
  const { transfers, blocks, findings, findingsOmitted, open } = state;
  const last = transfers === 0 ? { lba: BigInt(lba), blocks: 0 } : plan.at(transfers - 1);
  const end = Number(last.lba) + last.blocks;
  const endOf = (one: ScrubFinding) => one.lba + one.blocks;
  const may = (one: ScrubFinding) =>
    isMadeOf(one, FINDING) &&
    one.lba >= lba &&
    endOf(one) <= end &&
    (one.intervals ?? 0) <= one.blocks * perBlock;
  return (
    Array.isArray(findings) &&
    findings.length <= FINDINGS_LISTED_MAX &&
    findings.every(may) &&
    (open === null || (may(open) && endOf(open) === end)) &&
    isNatural(findingsOmitted) &&
    // Of a block each interval can be bad, and each path have something to say.
    findingsOmitted <= (findings.length < FINDINGS_LISTED_MAX ? 0 : blocks * (perBlock + PATHS.length))
  );
}

/** What each member of a finding may be: a report is made of it without a further look. */
const FINDING: { readonly [Name in keyof ScrubFinding]-?: (value: ScrubFinding[Name]) => boolean } = {
  kind: (kind) => ['mismatch', 'refused', 'read-error', 'data-differs'].includes(kind),
  lba: isNatural,
  blocks: (blocks) => isNatural(blocks) && blocks > 0,
  intervals: (intervals) => intervals === null || isNatural(intervals),
  checker: (checker) => checker === null || CHECKERS.includes(checker),
  path: (path) => PATHS.includes(path),
  check: (check) => check === null || ['guard', 'app', 'ref', 'protection'].includes(check),
  stored: isTag,
  computed: isTag,
  text: isText,
  diagnosis: (diagnosis) =>
    diagnosis === null ||
    (isText(diagnosis?.kind) &&
      isText(diagnosis.text) &&
      Array.isArray(diagnosis.alsoFits) &&
      diagnosis.alsoFits.every(isText)),
};

function notOurs(path: string, why: string): IntegrityError {
  return new IntegrityError('ERR_USAGE', `state ${path} is not of this scrub: ${why}`, {
    advice: 'Name another file, or remove this one to begin anew.',
  });
}

function unlessMissing(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}

/** A failed system call as an error of ours. */
async function told<T>(path: string, done: string, job: () => Promise<T>): Promise<T> {
  try {
    return await job();
  } catch (cause) {
    throw cause instanceof IntegrityError ? cause : failed(path, done, cause);
  }
}

const ADVICE: Readonly<Record<ReturnType<typeof fileErrorCode>, string>> = {
  ERR_PERMISSION:
    'Name a file in a folder where you may write. What another user left there, FILE.lock of a killed scrub as well, remove by hand, or run as that user.',
  ERR_IO: 'Name a file in a folder that is there, and has room.',
};

function failed(path: string, done: string, cause: unknown): IntegrityError {
  const { message } = cause as Error;
  const code = fileErrorCode(cause);
  return new IntegrityError(code, `state ${path} cannot be ${done}: ${message}`, {
    advice: ADVICE[code],
    cause,
  });
}
