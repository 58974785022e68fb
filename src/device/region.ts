/**
 * A region of a testbed disk that may be written: nothing beside it, one write after the other, and it is put back.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { IntegrityError } from '../errors.js';
import { decodeSense, SENSE_KEY } from '../scsi/sense.js';
import type { PathName } from '../words.js';
import type { Answer } from './blocks.js';
import { alignedBuffer } from './buffers.js';
import type { Disk } from './disk.js';
import { type Hold, requireFlushed, requireSameDisk } from './hold.js';
import type { Journal } from './journal.js';
import { digestOf, type Extent, type JournalStep, type JournalWrite } from './journal-format.js';
import type { DiskTransport } from './transport.js';
import { WAYS, type WayName } from './ways.js';

export interface RegionRange {
  readonly lba: bigint;
  readonly blocks: number;
}

/** A region as it was: its data, and the tuples of each path that delivers them. */
export interface Saved {
  readonly data: Uint8Array;
  readonly tuples: ReadonlyMap<PathName, Uint8Array>;
}

/**
 * How a region was left: byte for byte as it was, or its data as it was under tuples that were made anew, or that no path can
 * show.
 */
export type Restored = 'exact' | 'tuples regenerated';

/** What a write changed of a block. */
type Touched = 'data' | 'data and tuples';

/**
 * Ways to put a block back, the best first. One that carries no tuples is for data that is not back yet. Data that was changed by plain
 * SG_IO writes alone may lie under its old tuple still.
 */
const RESTORING: Readonly<Record<Touched, readonly WayName[]>> = {
  data: ['plain', 'interleaved unchecked', 'block-pi', 'block'],
  'data and tuples': ['interleaved unchecked', 'block-pi', 'block', 'plain'],
};

interface Written {
  touched: Touched;
  /** Digests of all that was sent to this block: the medium holds one of them, or the saved data. */
  readonly versions: string[];
}

/** Blocks of a region, by their place in it, that were touched alike. */
interface Run {
  readonly index: number;
  blocks: number;
  readonly touched: Touched;
}

/** A written block that is not put back. */
interface Left {
  readonly run: Run;
  readonly why: string;
}

/** What a region is made of. */
export interface RegionParts {
  readonly disk: Disk;
  readonly range: RegionRange;
  readonly saved: Saved;
  readonly hold: Hold;
  readonly journal: Journal | null;
  /** The file of its journal, which outlives a restore that fails. */
  readonly keptIn: string | null;
}

/** A disk that does not answer while it is put back is asked again after these pauses, in milliseconds. */
const PATIENCE_MS = [100, 300, 1000, 3000] as const;

/** A write whose end is not known may still come: so long is waited before and after the restore. */
const LATE_WRITE_MS = 1000;

/** A region claimed for writing until it is put back. Declare it with `await using`; get it from the safeguard. */
export class Region implements AsyncDisposable {
  readonly disk: Disk;
  readonly range: RegionRange;
  readonly #saved: Saved;
  readonly #hold: Hold;
  readonly #journal: Journal | null;
  readonly #written: Map<number, Written> = new Map();
  /** The end of what was asked for last: writes and restores go one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #closing = false;
  #uncertain = false;
  #timedOut = false;
  /** The journal could not be written: nothing more is sent. */
  #broken: unknown = null;
  #wrote = false;
  #ended: Promise<void> | null = null;
  readonly #keptIn: string | null;

  /** @internal Use claimRegion. */
  constructor(parts: RegionParts) {
    this.disk = parts.disk;
    this.range = parts.range;
    this.#saved = parts.saved;
    this.#hold = parts.hold;
    this.#journal = parts.journal;
    this.#keptIn = parts.keptIn;
    // A place that holds what is written here proves nothing, or the wrong thing.
    parts.disk.proveOutside(parts.range);
  }

  /** @internal A region of an interrupted run, as its journal tells of it: nothing but to be restored. */
  static resume(parts: RegionParts, steps: readonly JournalStep[]): Region {
    const region = new Region(parts);
    region.#closing = true;
    // A command that was under way when the run ended may still come.
    region.#uncertain = true;
    for (const step of steps) {
      if (step.kind === 'kept') region.#written.clear();
      else if (step.kind === 'restored') region.#forget(step);
      else region.#markAll(step);
    }
    return region;
  }

  /** Blocks that were written and are not back. */
  get writtenBlocks(): number {
    return this.#written.size;
  }

  /** The data of the whole region as it was; a copy. */
  savedData(): Uint8Array {
    return this.#saved.data.slice();
  }

  /** Its tuples as they were: the block layer's where it delivers them, else the disk's own, else null; a copy. */
  savedTuples(): Uint8Array | null {
    const { tuples } = this.#saved;
    return (tuples.get('block-pi') ?? tuples.get('passthrough'))?.slice() ?? null;
  }

  /**
   * Writes whole blocks inside the region. `passthrough` is a plain WRITE by SG_IO (WRPROTECT 000b) or, with tuples, an interleaved one,
   * which takes the proof that they cross; `block` is O_DIRECT with the kernel's tuples, `block-pi` with the caller's. Data and tuples are
   * copied at once. A refusal is an answer; a write outside the region, to another disk or without the proof throws.
   *
   * `checked: false` has the disk store what comes, right or wrong (WRPROTECT 011b): interleaved writes alone.
   */
  async write(
    path: PathName,
    lba: bigint,
    data: Uint8Array,
    tuples?: Uint8Array,
    { checked = true }: { readonly checked?: boolean } = {},
  ): Promise<Answer> {
    const own = { data: alignedCopy(data), tuples: tuples ? alignedCopy(tuples) : null };
    const { device: disk } = this.disk;
    if (this.#closing) throw new IntegrityError('ERR_CLOSED', `${disk}: the region was given back`);
    const { first, blocks } = this.#requireInside(lba, own.data);
    const way = wayOf(path, tuples !== undefined, checked);
    if (way === null) {
      const message = `${path} ${tuples ? 'takes no tuples of the caller' : 'needs tuples'}, or cannot leave them unchecked`;
      throw new IntegrityError('ERR_USAGE', `${disk}: ${message}`, { disk });
    }
    this.#requireTuples(path, own.data, own.tuples);
    return this.#inTurn(async () => {
      this.#requireUsable();
      await this.#requireWay(way);
      const digests = Array.from({ length: blocks }, (_, i) => digestOf(blockOf(own.data, i, blocks)));
      const write = { index: first, blocks, touchesTuples: way !== 'plain', digests };
      await this.#journaled(() => this.#journal?.writing(write));
      // Directly before the write: the disk may have become another while the journal went to its medium.
      await requireSameDisk(this.disk, this.#descriptorOf(way));
      await this.#requireWay(way);
      this.#markAll(write);
      this.#wrote = true;
      return this.#send(way, lba, own.data, own.tuples);
    });
  }

  /** What was written stays: it is not put back, and nothing more is written. */
  async keep(): Promise<void> {
    this.#requireOpen();
    this.#closing = true;
    await this.#inTurn(async () => {
      await this.#journaled(() => this.#journal?.kept());
      this.#written.clear();
    });
  }

  /**
   * Puts back every block that was written, and reads it to see: data and tuples where a way carries them, else the data alone. A block
   * that holds neither what was written nor what was saved is somebody else's by now and is left. Throws ERR_RESTORE, with the blocks that
   * are not back, after all others are.
   */
  async restore(): Promise<Restored> {
    this.#requireOpen();
    return this.#inTurn(() => this.#restoreAll());
  }

  /** @internal Throws ERR_RESTORE, naming the blocks, unless every block of the region holds what was saved of it. */
  async requireWhole(): Promise<void> {
    const wrong: bigint[] = [];
    const most = this.disk.transferBlocksMax;
    for (let index = 0; index < this.range.blocks; index += most) {
      const run: Run = { index, blocks: Math.min(most, this.range.blocks - index), touched: 'data' };
      const medium = await this.#medium(run);
      const { data } = this.#savedOf(run);
      for (let i = 0; i < run.blocks; i++) {
        if (!same(blockOf(medium, i, run.blocks), blockOf(data, i, run.blocks)))
          wrong.push(this.#lbaOf(run) + BigInt(i));
      }
    }
    if (wrong.length > 0) throw this.#notRestored(wrong.join(', '), this.#notBack());
  }

  /** Puts back what is still written, and lets go of the disk; once. Its journal goes when all is back, else it stays. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    this.#closing = true;
    const failure = await this.#inTurn(async () => {
      await this.#restoreAll();
      if (this.#wrote) await requireFlushed(this.disk, this.#hold);
    }).then(
      () => null,
      (error: unknown) => ({ error }),
    );
    this.disk.proveOutside(null);
    await this.#hold.release();
    if (failure === null) return this.#journal?.finish();
    await this.#journal?.leave();
    throw failure.error;
  }

  #requireOpen(): void {
    if (this.#ended === null) return;
    throw new IntegrityError('ERR_CLOSED', `${this.disk.device}: the region was given back`);
  }

  #requireUsable(): void {
    const { device: disk } = this.disk;
    if (this.#timedOut) {
      const message = `${disk}: a command of this region has timed out: nothing more is written`;
      throw new IntegrityError('ERR_TIMEOUT', message, { disk });
    }
    if (this.#broken === null) return;
    const message = `${disk}: the journal could not be written: nothing more is written to the disk`;
    throw new IntegrityError('ERR_IO', message, { disk, cause: this.#broken });
  }

  /** After one record that did not come to its medium nobody knows what lies behind it. */
  async #journaled(append: () => Promise<void> | undefined): Promise<void> {
    try {
      await append();
    } catch (error) {
      this.#broken = error;
      throw error;
    }
  }

  async #requireWay(way: WayName): Promise<void> {
    if (!(await WAYS[way].available(this.disk))) throw await this.#noWay(way);
  }

  #inTurn<T>(job: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(job);
    this.#last = mine.catch(() => {});
    return mine;
  }

  #requireInside(lba: bigint, data: Uint8Array): { first: number; blocks: number } {
    const blocks = data.length / this.disk.blockSize;
    const first = Number(lba - this.range.lba);
    if (Number.isInteger(blocks) && blocks > 0 && first >= 0 && first + blocks <= this.range.blocks) {
      return { first, blocks };
    }
    const { device: disk } = this.disk;
    const message = `a write of ${data.length} bytes at block ${lba} is not whole blocks inside the claimed region`;
    throw new IntegrityError('ERR_OUT_OF_RANGE', `${disk}: ${message}`, { disk });
  }

  #requireTuples(path: PathName, data: Uint8Array, tuples: Uint8Array | null): void {
    const { device: disk, paths } = this.disk;
    if (!paths.includes(path))
      throw new IntegrityError('ERR_NO_PATH', `${disk} has no path ${path}`, { disk });
    const profile = this.disk.profileBy(path);
    if (tuples === null || profile === null) return;
    const wanted = (data.length / profile.interval) * profile.metadataSize;
    if (tuples.length === wanted) return;
    const message = `${tuples.length} bytes of tuples for ${data.length} bytes of data: ${wanted} needed`;
    throw new IntegrityError('ERR_BAD_LENGTH', `${disk}: ${message}`, { disk });
  }

  async #noWay(way: WayName): Promise<IntegrityError> {
    const { device: disk, transport } = this.disk;
    const proof = transport && (await this.disk.proof());
    const message = `${disk}: no ${way} write: ${proof?.text ?? 'the disk has no such path'}`;
    return new IntegrityError('ERR_NO_PATH', message, {
      disk,
      advice: 'Tuples are sent interleaved only to a disk that is proved to take them so.',
    });
  }

  #markAll({ index, touchesTuples, digests }: JournalWrite): void {
    digests.forEach((digest, i) => {
      const written = this.#written.get(index + i) ?? { touched: 'data', versions: [] };
      if (touchesTuples) written.touched = 'data and tuples';
      if (!written.versions.includes(digest)) written.versions.push(digest);
      this.#written.set(index + i, written);
    });
  }

  #forget({ index, blocks }: Extent): void {
    for (let i = 0; i < blocks; i++) this.#written.delete(index + i);
  }

  /** Names move: before each write the descriptor that carries it is asked again who it is. */
  #descriptorOf(way: WayName): DiskTransport {
    return this.#hold.transports[WAYS[way].by]!;
  }

  async #send(way: WayName, lba: bigint, data: Uint8Array, tuples: Uint8Array | null): Promise<Answer> {
    const sent = WAYS[way].send(this.disk, this.#hold, { lba, data, tuples });
    const answer = await sent.catch((error: unknown) => {
      this.#uncertain = true;
      throw error;
    });
    if (answer.kind === 'failed') {
      this.#uncertain = true;
      this.#timedOut ||= answer.error.code === 'ERR_TIMEOUT';
    }
    return answer;
  }

  async #restoreAll(): Promise<Restored> {
    if (this.#uncertain) await delay(LATE_WRITE_MS);
    const left = await this.#blocksToLeave();
    const runs = this.#writtenRuns(new Set(left.map(({ run }) => run.index)));
    const failures: { readonly run: Run; readonly error: unknown }[] = [];
    let restored: Restored = 'exact';
    for (const run of runs) {
      try {
        if ((await this.#restoreRun(run)) !== 'exact') restored = 'tuples regenerated';
      } catch (error) {
        failures.push({ run, error });
      }
    }
    for (const { run, why } of left) {
      const { device: disk } = this.disk;
      const message = `${disk}: block ${this.#lbaOf(run)} ${why} and is left`;
      failures.push({ run, error: new IntegrityError('ERR_RESTORE', message, { disk }) });
    }
    if (this.#uncertain) {
      await delay(LATE_WRITE_MS);
      for (const run of runs.filter((one) => !failures.some((failure) => failure.run === one))) {
        await this.#requireBack(run).catch((error: unknown) => failures.push({ run, error }));
      }
    }
    for (const run of runs) {
      if (failures.some((failure) => failure.run === run)) continue;
      // Without it a restore does the same again.
      await this.#journal?.restored({ index: run.index, blocks: run.blocks }).catch(() => {});
      this.#forget(run);
    }
    const [first] = failures;
    if (first === undefined) return restored;
    const blocks = failures.map(({ run }) => `${this.#lbaOf(run)} (${run.blocks})`).join(', ');
    throw this.#notRestored(blocks, first.error as Error);
  }

  #notRestored(blocks: string, cause: Error): IntegrityError {
    const { device: disk } = this.disk;
    const message = `${disk}: not put back, from block (count): ${blocks}: ${cause.message}`;
    return new IntegrityError('ERR_RESTORE', message, {
      disk,
      advice: this.#keptIn
        ? `What was saved stays in ${this.#keptIn}: blk-integrity restore ${this.#keptIn}`
        : 'It is a testbed disk: remove it and make it again.',
      cause,
    });
  }

  /** The written blocks but for these, as runs that were touched alike and fit one transfer. */
  #writtenRuns(without: ReadonlySet<number>): Run[] {
    const runs: Run[] = [];
    for (const [index, { touched }] of [...this.#written].sort(([a], [b]) => a - b)) {
      if (without.has(index)) continue;
      const last = runs.at(-1);
      const joins =
        last?.touched === touched &&
        last.index + last.blocks === index &&
        last.blocks < this.disk.transferBlocksMax;
      if (joins) last.blocks++;
      else runs.push({ index, blocks: 1, touched });
    }
    return runs;
  }

  #lbaOf({ index }: Run): bigint {
    return this.range.lba + BigInt(index);
  }

  async #restoreRun(run: Run): Promise<Restored> {
    const { data, tuples } = this.#savedOf(run);
    let back = false;
    for (const name of RESTORING[run.touched]) {
      const way = WAYS[name];
      const own = (way.carriesTuples && tuples.get(way.path)) || null;
      if (way.carriesTuples ? own === null : back) continue;
      if (!(await patiently(() => way.available(this.disk)))) continue;
      // A UNIT ATTENTION or a busy disk is no reason for a lesser way.
      for (const pause of [...PATIENCE_MS, null]) {
        await patiently(() => requireSameDisk(this.disk, this.#descriptorOf(name)));
        const answer = await this.#send(name, this.#lbaOf(run), alignedCopy(data), own && alignedCopy(own));
        back = same(await this.#medium(run), data);
        if (back && (await this.#tuplesAreBack(run))) return 'exact';
        if (answer.kind !== 'failed' || !mayPass(answer.error) || pause === null) break;
        await delay(answer.error.code === 'ERR_TIMEOUT' ? LATE_WRITE_MS : pause);
        if (!(await patiently(() => way.available(this.disk)))) break;
      }
    }
    if (!back) throw this.#notBack();
    // One tuple that is not accepted must not cost the others theirs.
    return tuples.size > 0 && run.blocks > 1 ? this.#restoreSingly(run) : 'tuples regenerated';
  }

  async #restoreSingly({ index, blocks, touched }: Run): Promise<Restored> {
    let restored: Restored = 'exact';
    for (let i = 0; i < blocks; i++) {
      if ((await this.#restoreRun({ index: index + i, blocks: 1, touched })) !== 'exact')
        restored = 'tuples regenerated';
    }
    return restored;
  }

  #savedOf({ index, blocks }: Pick<Run, 'index' | 'blocks'>): Saved {
    const part = (bytes: Uint8Array) => {
      const size = bytes.length / this.range.blocks;
      return bytes.subarray(index * size, (index + blocks) * size);
    };
    const tuples = [...this.#saved.tuples].map(([path, bytes]) => [path, part(bytes)] as const);
    return { data: part(this.#saved.data), tuples: new Map(tuples) };
  }

  #medium(run: Run): Promise<Uint8Array> {
    return patiently(() => this.#readMedium(run));
  }

  async #readMedium(run: Run): Promise<Uint8Array> {
    const { device: disk } = this.disk;
    const { data, answer } = await this.disk.readMedium(this.#lbaOf(run), run.blocks);
    if (data !== null) return data;
    if (answer.kind === 'failed') throw answer.error;
    throw new IntegrityError('ERR_IO', `${disk}: the medium cannot be read`, { disk });
  }

  /** Written blocks that are left: they hold neither what was written here nor what was saved, or cannot be read. */
  async #blocksToLeave(): Promise<Left[]> {
    const left: Left[] = [];
    for (const run of this.#writtenRuns(new Set())) {
      const medium = await this.#medium(run).catch(() => null);
      const { data: saved } = this.#savedOf(run);
      for (let i = 0; i < run.blocks; i++) {
        const one: Run = { ...run, index: run.index + i, blocks: 1 };
        const now = medium ? blockOf(medium, i, run.blocks) : await this.#readMedium(one).catch(() => null);
        const versions = this.#written.get(one.index)?.versions ?? [];
        if (now === null) left.push({ run: one, why: 'cannot be read' });
        else if (!same(blockOf(saved, i, run.blocks), now) && !versions.includes(digestOf(now)))
          left.push({ run: one, why: 'was written by somebody else' });
      }
    }
    return left;
  }

  async #requireBack(run: Run): Promise<void> {
    if (!same(await this.#medium(run), this.#savedOf(run).data)) throw this.#notBack();
  }

  #notBack(): IntegrityError {
    const { device: disk } = this.disk;
    return new IntegrityError('ERR_RESTORE', `${disk}: the medium does not hold what was put back`, { disk });
  }

  /** Only tuples that were saved and read again are known to be back; a disk without protection has none. */
  async #tuplesAreBack(run: Run): Promise<boolean> {
    const { tuples } = this.#savedOf(run);
    for (const [path, saved] of tuples) {
      const now = await this.disk.read(path, this.#lbaOf(run), run.blocks);
      if (now.tuples === null || !same(now.tuples, saved)) return false;
    }
    return tuples.size > 0 || this.disk.profile === null;
  }
}

/** Sense keys of a condition that is over soon. */
const PASSING: readonly number[] = [SENSE_KEY.NOT_READY, SENSE_KEY.UNIT_ATTENTION];

/** Whether the same write may end otherwise: the disk was busy, not ready or had something to say, or nobody answered. */
function mayPass({ code, sense }: IntegrityError): boolean {
  if (code !== 'ERR_CHECK_CONDITION') return code === 'ERR_TRANSPORT' || code === 'ERR_TIMEOUT';
  const key = sense && decodeSense(sense)?.key;
  return key !== undefined && PASSING.includes(key);
}

/** Null for what no way does. */
function wayOf(path: PathName, withTuples: boolean, checked: boolean): WayName | null {
  if (path === 'passthrough' && withTuples) return checked ? 'interleaved' : 'interleaved unchecked';
  const name = path === 'passthrough' ? 'plain' : path;
  return checked && WAYS[name].carriesTuples === withTuples ? name : null;
}

/** Asks again while the disk does not answer; another disk, or somebody else's data, is an answer. */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (const pause of PATIENCE_MS) {
    try {
      return await ask();
    } catch (error) {
      const { code } = error as IntegrityError;
      if (code === 'ERR_NOT_OURS' || code === 'ERR_DEVICE_GONE' || code === 'ERR_CLOSED') throw error;
      await delay(pause);
    }
  }
  return ask();
}

function alignedCopy(bytes: Uint8Array): Uint8Array {
  const copy = alignedBuffer(bytes.length);
  copy.set(bytes.subarray(0, copy.length));
  return copy;
}

function blockOf(bytes: Uint8Array, index: number, blocks: number): Uint8Array {
  const size = bytes.length / blocks;
  return bytes.subarray(index * size, (index + 1) * size);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
