/**
 * A region of a testbed disk that may be written: nothing beside it, one write after the other, and it is put back.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { IntegrityError } from '../errors.js';
import { metadataLength } from '../pi/layout.js';
import { cdbText, type TransferCdbSize } from '../scsi/cdb.js';
import { decodeCdb } from '../scsi/commands.js';
import type { AlteredBlocks, BlockContent } from '../scsi/effect.js';
import type { ScsiOutcome } from '../scsi/outcome.js';
import { SENSE_KEY, senseKeyOf } from '../scsi/sense.js';
import type { PathName } from '../words.js';
import { type AlteringCommand, effectOn, ownCopy, sendOnce } from './alter.js';
import { type Answer, partOf } from './blocks.js';
import { alignedCopy } from './buffers.js';
import { ChangedModePages } from './changed-mode-pages.js';
import type { Disk } from './disk.js';
import { type Hold, requireFlushed, requireSameDisk } from './hold.js';
import type { Journal } from './journal.js';
import {
  digestOf,
  type Extent,
  type JournalStep,
  type JournalWrite,
  WITHOUT_DIGEST,
} from './journal-format.js';
import { selectModePage } from './mode-pages.js';
import { PATIENCE_MS, patiently } from './patience.js';
import { isOurs } from './permission.js';
import type { DiskTransport, ScsiReply } from './transport.js';
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
  /** Digests of all that was sent to this block, or WITHOUT_DIGEST: the medium holds one of them, or the saved data. */
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
  readonly #modePages: ChangedModePages;
  /** The end of what was asked for last: writes and restores go one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #closing = false;
  #uncertain = false;
  #timedOut = false;
  /** The journal could not be written: nothing more is sent. */
  #broken: unknown = null;
  /** Something was sent that may lie in the disk's cache. */
  #unflushed = false;
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
    this.#modePages = new ChangedModePages(parts.disk, parts.hold.transports.sg);
    // A place that holds what is written here proves nothing, or the wrong thing.
    parts.disk.proveOutside(parts.range);
  }

  /** @internal A region of an interrupted run, as its journal tells of it: nothing but to be restored. */
  static resume(parts: RegionParts, steps: readonly JournalStep[]): Region {
    const region = new Region(parts);
    region.#closing = true;
    // A command that was under way when the run ended may still come.
    region.#uncertain = true;
    for (const step of steps) region.#follow(step);
    return region;
  }

  #follow(step: JournalStep): void {
    if (step.kind === 'writing') this.#markAll(step);
    else if (step.kind === 'restored') this.#forget(step);
    else if (step.kind === 'mode page') this.#modePages.note(step);
    else if (step.kind === 'mode page restored') this.#modePages.forget(step);
    else this.#written.clear();
  }

  /** Mode pages that were set and are not back. */
  get changedModePages(): number {
    return this.#modePages.size;
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
    this.#requireNotClosing();
    const { first, blocks } = this.#requireInside(lba, own.data);
    const way = wayOf(path, tuples !== undefined, checked);
    if (way === null) {
      const message = `${path} ${tuples ? 'takes no tuples of the caller' : 'needs tuples'}, or cannot leave them unchecked`;
      throw new IntegrityError('ERR_USAGE', `${disk}: ${message}`, { disk });
    }
    this.#requireTuples(path, own.data, own.tuples);
    return this.#inTurn(async () => {
      this.#requireUsable();
      const digests = digestsOf({ is: 'data', data: own.data }, blocks);
      const write = { index: first, blocks, touchesTuples: way !== 'plain', digests };
      await this.#arm([write], this.#descriptorOf(way), () => this.#requireWay(way));
      return this.#send(way, lba, own.data, own.tuples);
    });
  }

  /**
   * Sends a command that alters blocks, all of them in the region, by SG_IO, once: WRITE in all forms, WRITE SAME, UNMAP, WRITE LONG and so
   * on. Whatever the disk answers is the reply. Data-out with tuples takes the proof that they cross with this protect field, in a READ of
   * this size.
   * Errors, before anything is sent: as effectOn; ERR_USAGE for a command that alters something else; ERR_OUT_OF_RANGE for blocks outside
   * the region; ERR_NOT_OURS where nobody can say what the blocks hold afterwards and the disk is not the testbed's; ERR_NO_PATH without
   * the proof.
   */
  async command(command: AlteringCommand): Promise<ScsiReply> {
    const own = ownCopy(command);
    this.#requireNotClosing();
    const effect = effectOn(this.disk, own);
    const { device: disk } = this.disk;
    if (effect.kind !== 'blocks') {
      const message = `${disk}: ${cdbText(own.cdb)} alters no blocks, or all of them`;
      throw new IntegrityError('ERR_USAGE', message, { disk, cdb: own.cdb });
    }
    const { altered, interleaved } = effect;
    for (const run of altered) this.#requireAlterable(run);
    return this.#inTurn(async () => {
      this.#requireUsable();
      const { sg } = this.#hold.transports;
      const writes: JournalWrite[] = [];
      for (const run of altered) writes.push(...(await this.#writesOf(run, interleaved)));
      await this.#arm(writes, sg, () => this.#requireCrossing(own.cdb, interleaved));
      return this.#sendCommand(() => sendOnce(sg, own));
    });
  }

  /**
   * Sets a mode page, as MODE SENSE returns it, from its header on: Control, Control Extension or Application Tag. It is not saved (SP 0),
   * and is put back before the blocks are, whether these are kept or not.
   * Errors, before anything is sent: ERR_USAGE for another page, or for bits that the disk does not let be changed; ERR_NO_PATH for a page
   * that the disk has not.
   */
  async selectModePage(page: Uint8Array): Promise<ScsiReply> {
    const own = Uint8Array.from(page);
    this.#requireNotClosing();
    return this.#inTurn(async () => {
      this.#requireUsable();
      const { sg } = this.#hold.transports;
      await requireSameDisk(this.disk, sg);
      const step = await this.#modePages.plan(own);
      await this.#journaled(() => this.#journal?.settingModePage(step));
      await requireSameDisk(this.disk, sg);
      this.#modePages.note(step);
      const reply = await this.#sendCommand(() => selectModePage(sg, Buffer.from(step.sent, 'hex')));
      if (reply.outcome.kind !== 'good') return reply;
      const sent = await this.#modePages.current(step);
      if (sent !== step.sent) {
        await this.#journaled(() => this.#journal?.settingModePage({ ...step, sent }));
        this.#modePages.note({ ...step, sent });
      }
      return reply;
    });
  }

  /** What was written stays: it is not put back, and nothing more is written. */
  async keep(): Promise<void> {
    this.#requireOpen();
    this.#closing = true;
    await this.#inTurn(async () => {
      await this.#flush();
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
        if (!same(partOf(medium, run.blocks, i), partOf(data, run.blocks, i)))
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
      await this.#flush();
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

  #requireNotClosing(): void {
    if (this.#closing) {
      throw new IntegrityError('ERR_CLOSED', `${this.disk.device}: the region was given back`);
    }
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

  async #flush(): Promise<void> {
    if (!this.#unflushed) return;
    await requireFlushed(this.disk, this.#hold);
    this.#unflushed = false;
  }

  /** One step ahead of the medium: the journal has what the blocks may hold from now on, and the descriptor is asked who it is. */
  async #arm(
    writes: readonly JournalWrite[],
    transport: DiskTransport,
    requireReady: () => Promise<void>,
  ): Promise<void> {
    await requireReady();
    await this.#journaled(() => this.#journal?.writing(writes));
    // Directly before the write: the disk may have become another while the journal went to its medium.
    await requireSameDisk(this.disk, transport);
    await requireReady();
    for (const write of writes) this.#markAll(write);
  }

  #requireAlterable({ lba, blocks, may }: AlteredBlocks): void {
    const { device: disk } = this.disk;
    const { lba: from, blocks: length } = this.range;
    if (lba < from || lba + BigInt(blocks) > from + BigInt(length)) {
      const message = `${disk}: blocks ${lba} to ${lba + BigInt(blocks) - 1n} are altered: they are not all in the claimed region`;
      throw new IntegrityError('ERR_OUT_OF_RANGE', message, {
        disk,
        advice: `It is ${from} to ${from + BigInt(length) - 1n}.`,
      });
    }
    const untold = may.find((content) => content.is === 'untold');
    if (untold === undefined || isOurs(this.disk)) return;
    const message = `${disk}: ${untold.why}: it could not be told from somebody else's data, and is not sent`;
    throw new IntegrityError('ERR_NOT_OURS', message, { disk });
  }

  /** One for each content that the blocks may have. Plain data may lie under its old tuple still. */
  async #writesOf({ lba, blocks, may }: AlteredBlocks, interleaved: boolean): Promise<JournalWrite[]> {
    const index = Number(lba - this.range.lba);
    const writes: JournalWrite[] = [];
    for (const content of may) {
      const current = content.is === 'ored' ? await this.#readRange(lba, blocks) : null;
      const touchesTuples = interleaved || content.is !== 'data';
      writes.push({ index, blocks, touchesTuples, digests: digestsOf(content, blocks, current) });
    }
    return writes;
  }

  /** In transfers, as the disk takes them. */
  async #readRange(lba: bigint, blocks: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    const most = this.disk.transferBlocksMax;
    for (let at = 0; at < blocks; at += most) {
      const index = Number(lba - this.range.lba) + at;
      parts.push(await this.#readMedium({ index, blocks: Math.min(most, blocks - at) }));
    }
    return Buffer.concat(parts);
  }

  async #requireCrossing(cdb: Uint8Array, interleaved: boolean): Promise<void> {
    if (!interleaved) return;
    const { device: disk } = this.disk;
    const protect = decodeCdb(cdb)?.fields.protect;
    const size = cdb.length as TransferCdbSize;
    if (await this.disk.tuplesCross(protect as number, undefined, size)) return;
    const proof = await this.disk.proof(undefined, protect, size);
    const message = `${disk}: ${cdbText(cdb)} is not sent: ${proof?.text ?? 'the disk takes no SCSI commands'}`;
    throw new IntegrityError('ERR_NO_PATH', message, {
      disk,
      cdb,
      advice: `Tuples are sent interleaved only where they are proved to cross: here by READ(${size}) with RDPROTECT ${protect}.`,
    });
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
    const { device: disk } = this.disk;
    this.disk.requirePath(path);
    const profile = this.disk.profileBy(path);
    if (tuples === null || profile === null) return;
    const wanted = metadataLength(profile, data.length);
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

  #markAll({ index, blocks, touchesTuples, digests }: JournalWrite): void {
    for (let i = 0; i < blocks; i++) {
      const written = this.#written.get(index + i) ?? { touched: 'data', versions: [] };
      if (touchesTuples) written.touched = 'data and tuples';
      const digest = digests.length === 1 ? digests[0]! : digests[i]!;
      if (!written.versions.includes(digest)) written.versions.push(digest);
      this.#written.set(index + i, written);
    }
  }

  #forget({ index, blocks }: Extent): void {
    for (let i = 0; i < blocks; i++) this.#written.delete(index + i);
  }

  /** Names move: before each write the descriptor that carries it is asked again who it is. */
  #descriptorOf(way: WayName): DiskTransport {
    return this.#hold.transports[WAYS[way].by]!;
  }

  async #send(way: WayName, lba: bigint, data: Uint8Array, tuples: Uint8Array | null): Promise<Answer> {
    return this.#ending(
      () => WAYS[way].send(this.disk, this.#hold, { lba, data, tuples }),
      (answer) => answer.kind !== 'failed',
      (answer) => answer.kind === 'failed' && answer.error.code === 'ERR_TIMEOUT',
    );
  }

  #sendCommand(send: () => Promise<ScsiReply>): Promise<ScsiReply> {
    return this.#ending(
      send,
      ({ outcome }) => ENDED.includes(outcome.kind),
      ({ outcome }) => outcome.kind === 'timeout',
    );
  }

  /** What has not ended may still come to the medium. */
  async #ending<T>(
    send: () => Promise<T>,
    hasEnded: (reply: T) => boolean,
    timedOut: (reply: T) => boolean,
  ): Promise<T> {
    this.#unflushed = true;
    const reply = await send().catch((error: unknown) => {
      this.#uncertain = true;
      throw error;
    });
    this.#uncertain ||= !hasEnded(reply);
    this.#timedOut ||= timedOut(reply);
    return reply;
  }

  async #restoreAll(): Promise<Restored> {
    if (this.#uncertain) await delay(LATE_WRITE_MS);
    // Before the blocks: SWP, or ATO, may stand in their way.
    const pages = await this.#modePages.putBack(async (code) =>
      this.#journal?.modePageRestored(code).catch(() => {}),
    );
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
    // A restore leaves alone what a record says is back: it must not say so of what a power cut undoes.
    const journal = failures.length === 0 ? this.#journal : null;
    if (journal) await this.#flush();
    for (const run of runs) {
      if (failures.some((failure) => failure.run === run)) continue;
      // Without it a restore does the same again.
      await journal?.restored({ index: run.index, blocks: run.blocks }).catch(() => {});
      this.#forget(run);
    }
    const [first = pages[0]] = failures.map(({ error }) => error as Error);
    if (first === undefined) return restored;
    const blocks = failures.map(({ run }) => `${this.#lbaOf(run)} (${run.blocks})`).join(', ');
    throw this.#notRestored(blocks, first, pages.length);
  }

  #notRestored(blocks: string, cause: Error, modePages = 0): IntegrityError {
    const { device: disk } = this.disk;
    const what = [
      ...(modePages > 0 ? [`${modePages} mode page(s)`] : []),
      ...(blocks === '' ? [] : [`from block (count): ${blocks}`]),
    ];
    const message = `${disk}: not put back, ${what.join('; ')}: ${cause.message}`;
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

  #lbaOf({ index }: Pick<Run, 'index'>): bigint {
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
    const part = (bytes: Uint8Array) => partOf(bytes, this.range.blocks, index, blocks);
    const tuples = [...this.#saved.tuples].map(([path, bytes]) => [path, part(bytes)] as const);
    return { data: part(this.#saved.data), tuples: new Map(tuples) };
  }

  #medium(run: Run): Promise<Uint8Array> {
    return patiently(() => this.#readMedium(run));
  }

  async #readMedium(run: Pick<Run, 'index' | 'blocks'>): Promise<Uint8Array> {
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
      const medium = await this.#mediumIfAny(run);
      for (let i = 0; i < run.blocks; i++) {
        const one: Run = { ...run, index: run.index + i, blocks: 1 };
        const why = await this.#whyLeft(one, medium && partOf(medium, run.blocks, i));
        if (why !== null) left.push({ run: one, why });
      }
    }
    return left;
  }

  /** Null where it cannot be read as a whole. What was made unreadable here is not waited for. */
  #mediumIfAny(run: Run): Promise<Uint8Array | null> {
    const marked = this.#versionsIn(run).has(WITHOUT_DIGEST.unreadable);
    return (marked ? this.#readMedium(run) : this.#medium(run)).catch(() => null);
  }

  #versionsIn({ index, blocks }: Run): Set<string> {
    const all = Array.from({ length: blocks }, (_, i) => this.#written.get(index + i)?.versions ?? []);
    return new Set(all.flat());
  }

  /** Null for a block that is ours to put back. */
  async #whyLeft(one: Run, known: Uint8Array | null): Promise<string | null> {
    const versions = this.#versionsIn(one);
    if (versions.has(WITHOUT_DIGEST.anything)) return null;
    try {
      const now = known ?? (await this.#readMedium(one));
      const ours = same(this.#savedOf(one).data, now) || versions.has(digestOf(now));
      return ours ? null : 'was written by somebody else';
    } catch (error) {
      return versions.has(WITHOUT_DIGEST.unreadable) && isBadBlock(error) ? null : 'cannot be read';
    }
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
function mayPass(error: IntegrityError): boolean {
  const { code } = error;
  if (code !== 'ERR_CHECK_CONDITION') return code === 'ERR_TRANSPORT' || code === 'ERR_TIMEOUT';
  const key = senseKeyOf(error);
  return key !== null && PASSING.includes(key);
}

/** An unrecovered read error, as WRITE LONG leaves it. */
function isBadBlock(error: unknown): boolean {
  return senseKeyOf(error as IntegrityError) === SENSE_KEY.MEDIUM_ERROR;
}

/** Outcomes after which nothing of the command comes any more: the disk has answered. */
const ENDED: readonly ScsiOutcome['kind'][] = [
  'good',
  'protection',
  'check-condition',
  'unit-attention',
  'not-ready',
  'busy',
  'task-set-full',
  'reservation-conflict',
  'status',
];

/** As JournalWrite has them. `current` is what lies there, where data is ORed into it. */
function digestsOf(content: BlockContent, blocks: number, current: Uint8Array | null = null): string[] {
  const each = (data: Uint8Array) =>
    Array.from({ length: blocks }, (_, i) => digestOf(partOf(data, blocks, i)));
  switch (content.is) {
    case 'data':
      return each(content.data);
    case 'repeated':
      return [digestOf(content.data)];
    case 'ored':
      return each(content.data.map((byte, i) => byte | current![i]!));
    case 'unreadable':
      return [WITHOUT_DIGEST.unreadable];
    case 'untold':
      return [WITHOUT_DIGEST.anything];
  }
}

/** Null for what no way does. */
function wayOf(path: PathName, withTuples: boolean, checked: boolean): WayName | null {
  if (path === 'passthrough' && withTuples) return checked ? 'interleaved' : 'interleaved unchecked';
  const name = path === 'passthrough' ? 'plain' : path;
  return checked && WAYS[name].carriesTuples === withTuples ? name : null;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
