/**
 * A region of a disk that may be written: nothing beside it, one write after the other, and it is put back.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { IntegrityError } from '../../errors.js';
import { metadataLength } from '../../pi/layout.js';
import { cdbText, type TransferCdbSize } from '../../scsi/cdb.js';
import { decodeCdb } from '../../scsi/commands.js';
import type { AlteredBlocks, BlockContent } from '../../scsi/effect.js';
import type { ScsiOutcome } from '../../scsi/outcome.js';
import type { PathName } from '../../words.js';
import { type Answer, partOf } from '../blocks.js';
import { alignedCopy } from '../buffers.js';
import type { Disk } from '../disk.js';
import type { DiskTransport, ScsiReply } from '../transport.js';
import { type AlteringCommand, effectOn, ownCopy, sendOnce } from './alter.js';
import { ChangedModePages } from './changed-mode-pages.js';
import { type Hold, type IdentifiedSend, requireFlushed, requireSameDisk, sendIdentified } from './hold.js';
import type { Journal } from './journal.js';
import {
  digestOf,
  type Extent,
  type JournalStep,
  type JournalWrite,
  WITHOUT_DIGEST,
} from './journal-format.js';
import { selectModePage } from './mode-pages.js';
import { isOurs } from './ours.js';
import { patiently } from './patience.js';
import {
  LATE_WRITE_MS,
  type NotBack,
  type RegionRange,
  type Restored,
  type Saved,
  SavedRegion,
} from './saved-region.js';
import { type Blocks, WAYS, type WayName } from './ways.js';
import { WrittenBlocks } from './written-blocks.js';

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

/** A disk that loses what it had in its cache does so again and again, or was unlucky once. */
const PUT_BACK_ROUNDS = 3;

/** A region claimed for writing until it is put back. Declare it with `await using`; get it from the safeguard. */
export class Region implements AsyncDisposable {
  readonly disk: Disk;
  readonly range: RegionRange;
  readonly #saved: Saved;
  readonly #hold: Hold;
  readonly #journal: Journal | null;
  readonly #written = new WrittenBlocks();
  readonly #savedRegion: SavedRegion;
  readonly #modePages: ChangedModePages;
  /** The end of what was asked for last: writes and restores go one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #closing = false;
  #uncertain = false;
  #timedOut = false;
  /** The journal could not be written: nothing more is sent. */
  #broken: unknown = null;
  /** What was sent may lie in the disk's cache: so many UNIT ATTENTIONs were seen before the first of it. Null: all of it was flushed. */
  #unflushedSince: number | null = null;
  /** Something was sent, by this run or the one that it puts back. */
  #sent = false;
  #kept = false;
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
    this.#savedRegion = new SavedRegion(parts.disk, parts.range, parts.saved, (way, blocks) =>
      this.#sendPatiently(way, blocks),
    );
    // A place that holds what is written here proves nothing, or the wrong thing.
    parts.disk.proveOutside(parts.range);
  }

  /** @internal A region of an interrupted run, as its journal tells of it: nothing but to be restored. */
  static resume(parts: RegionParts, steps: readonly JournalStep[]): Region {
    const region = new Region(parts);
    region.#closing = true;
    region.#sent = true;
    // A command that was under way when the run ended may still come.
    region.#uncertain = true;
    for (const step of steps) region.#follow(step);
    return region;
  }

  #follow(step: JournalStep): void {
    if (step.kind === 'writing') this.#written.note(step);
    else if (step.kind === 'restored') this.#written.forget(step);
    else if (step.kind === 'mode page') this.#modePages.note(step);
    else if (step.kind === 'mode page restored') this.#modePages.forget(step);
    else {
      this.#written.clear();
      this.#kept = true;
    }
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
      const answer = await this.#sendArmed([write], this.#descriptorOf(way), {
        ready: () => WAYS[way].available(this.disk),
        send: (again) => this.#send(way, { lba, ...own }, again),
      });
      if (answer === null) throw await this.#noWay(way);
      return answer;
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
    const { altered, interleaved, at } = effect;
    for (const run of altered) this.#requireAlterable(run);
    if (altered.length === 0 && at !== null) this.#requireAlterable({ lba: at, blocks: 1, may: [] });
    return this.#inTurn(async () => {
      this.#requireUsable();
      const { sg } = this.#hold.transports;
      const writes: JournalWrite[] = [];
      for (const run of altered) writes.push(...(await this.#writesOf(run, interleaved)));
      const reply = await this.#sendArmed(writes, sg, {
        timeoutMs: own.timeoutMs,
        ready: async () => !interleaved || (await this.#crosses(own.cdb)),
        send: (again) => this.#sendCommand(() => sendOnce(sg, own, again)),
      });
      if (reply === null) throw await this.#notCrossing(own.cdb);
      return reply;
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
      const reply = (await sendIdentified(this.disk, sg, {
        ready: async () => true,
        send: () => {
          this.#modePages.note(step);
          return this.#sendCommand(() => selectModePage(sg, Buffer.from(step.sent, 'hex')));
        },
      })) as ScsiReply;
      if (reply.outcome.kind !== 'good') return reply;
      const { unitAttentions } = sg;
      const sent = await this.#modePages.current(step);
      // After a UNIT ATTENTION it may be what somebody else has set.
      if (sent !== step.sent && sg.unitAttentions === unitAttentions) {
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
      await this.#requireLasting();
      await this.#journaled(() => this.#journal?.kept());
      this.#written.clear();
      this.#kept = true;
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

  /** Puts back what is still written, and lets go of the disk; once. Its journal goes when all is back, else it stays. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    this.#closing = true;
    const failure = await this.#inTurn(() => this.#restoreAll()).then(
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
    if (this.#unflushedSince === null) return;
    await requireFlushed(this.disk, this.#hold);
    this.#unflushedSince = null;
  }

  /** What was written and is to stay is on the medium: nobody told of a reset, by which a cache may be lost, before it was flushed. */
  async #requireLasting(): Promise<void> {
    const since = this.#unflushedSince;
    await this.#flush();
    if (since === null || since === this.#hold.transports.sg.unitAttentions) return;
    const { device: disk } = this.disk;
    const message = `${disk} told of a change after it was written: whether its cache came to the medium is not known`;
    throw new IntegrityError('ERR_CHECK_CONDITION', message, {
      disk,
      advice: 'See the UNIT ATTENTION with --trace; write again.',
    });
  }

  /** One step ahead of the medium: before anything is sent the journal has what the blocks may hold from now on. */
  #sendArmed<T>(
    writes: readonly JournalWrite[],
    transport: DiskTransport,
    { ready, send, timeoutMs }: IdentifiedSend<T> & { readonly timeoutMs?: number | undefined },
  ): Promise<T | null> {
    let armed = false;
    return sendIdentified(this.disk, transport, {
      ready: async () => {
        if (!(await ready())) return false;
        if (!armed) await this.#journaled(() => this.#journal?.writing(writes, timeoutMs));
        armed = true;
        // The journal went to its medium meanwhile.
        return ready();
      },
      send: (again) => {
        for (const write of writes) this.#written.note(write);
        return send(again);
      },
    });
  }

  /** As a restore writes: a disk that does not answer is asked again. */
  #sendPatiently(way: WayName, blocks: Blocks): Promise<Answer | null> {
    const transport = this.#descriptorOf(way);
    return sendIdentified(this.disk, transport, {
      ready: () => patiently(() => WAYS[way].available(this.disk)),
      send: (again) => this.#send(way, blocks, again),
      same: () => patiently(() => requireSameDisk(this.disk, transport)),
    });
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
      const current = content.is === 'ored' ? await this.#savedRegion.readMedium({ index, blocks }) : null;
      const touchesTuples = interleaved || content.is !== 'data';
      writes.push({ index, blocks, touchesTuples, digests: digestsOf(content, blocks, current) });
    }
    return writes;
  }

  /** Whether tuples cross with the protect field of the command, in a READ of its size. */
  #crosses(cdb: Uint8Array): Promise<boolean> {
    return this.disk.tuplesCross(protectOf(cdb), undefined, cdb.length as TransferCdbSize);
  }

  async #notCrossing(cdb: Uint8Array): Promise<IntegrityError> {
    const { device: disk } = this.disk;
    const protect = protectOf(cdb);
    const size = cdb.length as TransferCdbSize;
    const proof = await this.disk.proof(undefined, protect, size);
    const message = `${disk}: ${cdbText(cdb)} is not sent: ${proof?.text ?? 'the disk takes no SCSI commands'}`;
    return new IntegrityError('ERR_NO_PATH', message, {
      disk,
      cdb,
      advice: `Tuples are sent interleaved only where they are proved to cross: here by READ(${size}) with RDPROTECT ${protect}.`,
    });
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

  /** Names move: before each write the descriptor that carries it is asked again who it is. */
  #descriptorOf(way: WayName): DiskTransport {
    return this.#hold.transports[WAYS[way].by]!;
  }

  #send(way: WayName, blocks: Blocks, again: () => Promise<void>): Promise<Answer> {
    return this.#ending(
      () => WAYS[way].send(this.disk, this.#hold, blocks, again),
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
    this.#sent = true;
    this.#unflushedSince ??= this.#hold.transports.sg.unitAttentions;
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
    let restored: Restored = 'exact';
    for (let round = 1; ; round++) {
      const put = await this.#savedRegion.putBack(this.#written, this.#uncertain);
      if (put.restored !== 'exact') restored = put.restored;
      await this.#flush();
      // Read again behind the flush: a disk that was reset in between may have lost what it had in its cache.
      const changed = await this.#changedBlocks(put.failures);
      if (changed.some((index) => this.#written.has(index)) && round < PUT_BACK_ROUNDS) continue;
      if (put.failures.length + changed.length === 0) await this.#noteRestored(put.back);
      const errors = [
        ...put.failures.map(({ error }) => error),
        ...changed.map(() => this.#savedRegion.notBack()),
        ...pages,
      ];
      if (errors[0] === undefined) return restored;
      const blocks = [
        ...put.failures.map(({ run }) => `${this.#savedRegion.lbaOf(run)} (${run.blocks})`),
        ...changed.map((index) => `${this.#savedRegion.lbaOf({ index })}`),
      ];
      throw this.#notRestored(blocks.join(', '), errors[0], pages.length);
    }
  }

  /** Blocks that do not hold what was saved, beside those that are known not to. A region that was kept is to hold something else. */
  async #changedBlocks(known: readonly NotBack[]): Promise<number[]> {
    if (this.#kept || !this.#sent) return [];
    const told = new Set(
      known.flatMap(({ run }) => Array.from({ length: run.blocks }, (_, i) => run.index + i)),
    );
    return (await this.#savedRegion.differing()).filter((index) => !told.has(index));
  }

  /** A restore leaves alone what a record says is back: it must not say so of what a power cut undoes. */
  async #noteRestored(back: readonly Extent[]): Promise<void> {
    for (const { index, blocks } of back) {
      // Without it a restore does the same again.
      await this.#journal?.restored({ index, blocks }).catch(() => {});
      this.#written.forget({ index, blocks });
    }
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

const protectOf = (cdb: Uint8Array): number => decodeCdb(cdb)?.fields.protect ?? 0;

/** Null for what no way does. */
function wayOf(path: PathName, withTuples: boolean, checked: boolean): WayName | null {
  if (path === 'passthrough' && withTuples) return checked ? 'interleaved' : 'interleaved unchecked';
  const name = path === 'passthrough' ? 'plain' : path;
  return checked && WAYS[name].carriesTuples === withTuples ? name : null;
}
