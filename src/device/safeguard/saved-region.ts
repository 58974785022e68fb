/**
 * A region as it was saved, and how its blocks are put back. Whose they are by now is asked first, of each.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { IntegrityError } from '../../errors.js';
import { SENSE_KEY, senseKeyOf } from '../../scsi/sense.js';
import type { PathName } from '../../words.js';
import { type Answer, partOf } from '../blocks.js';
import { alignedCopy } from '../buffers.js';
import type { Disk } from '../disk.js';
import { digestOf, type Extent, WITHOUT_DIGEST } from './journal-format.js';
import { isOurs } from './ours.js';
import { isRefusal, PATIENCE_MS, patiently } from './patience.js';
import { type Blocks, WAYS, type WayName } from './ways.js';
import type { Run, Touched, WrittenBlocks } from './written-blocks.js';

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

/**
 * Ways to put a block back, the best first. One that carries no tuples is for data that is not back yet. Data that was changed by plain
 * SG_IO writes alone may lie under its old tuple still.
 */
const RESTORING: Readonly<Record<Touched, readonly WayName[]>> = {
  data: ['plain', 'interleaved unchecked', 'block-pi', 'block'],
  'data and tuples': ['interleaved unchecked', 'block-pi', 'block', 'plain'],
};

/** A write whose end is not known may still come: so long is waited before and after the restore. */
export const LATE_WRITE_MS = 1000;

/** How a disk that is held is written: directly after it was asked who it is. Null where there is no such way: nothing was sent. */
export type SendHeld = (way: WayName, blocks: Blocks) => Promise<Answer | null>;

/** Blocks that are not back, and why. */
export interface NotBack {
  readonly run: Run;
  readonly error: Error;
}

export interface PutBack {
  readonly back: readonly Run[];
  readonly failures: readonly NotBack[];
  readonly restored: Restored;
}

export class SavedRegion {
  readonly #disk: Disk;
  readonly #range: RegionRange;
  readonly #saved: Saved;
  readonly #send: SendHeld;

  constructor(disk: Disk, range: RegionRange, saved: Saved, send: SendHeld) {
    this.#disk = disk;
    this.#range = range;
    this.#saved = saved;
    this.#send = send;
  }

  lbaOf({ index }: Pick<Extent, 'index'>): bigint {
    return this.#range.lba + BigInt(index);
  }

  /** The data of blocks as the medium has it, in transfers. Throws what the read was refused or failed for. */
  async readMedium({ index, blocks }: Extent): Promise<Uint8Array> {
    const { device: disk, transferBlocksMax: most } = this.#disk;
    const parts: Uint8Array[] = [];
    for (let at = 0; at < blocks; at += most) {
      const lba = this.lbaOf({ index: index + at });
      const { data, answer } = await this.#disk.readMedium(lba, Math.min(most, blocks - at));
      if (data === null) {
        if (answer.kind === 'failed') throw answer.error;
        const refusal = answer.kind === 'refused' ? `: ${answer.text}` : '';
        const message = `${disk}: the medium cannot be read${refusal}`;
        throw new IntegrityError('ERR_IO', message, { disk, cause: answer });
      }
      parts.push(data);
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  /**
   * Puts back every written block, and reads it to see: data and tuples where a way carries them, else the data alone. A block that holds
   * neither what was written nor what was saved is somebody else's by now and is left. `uncertain`: a write may still come.
   */
  async putBack(written: WrittenBlocks, uncertain: boolean): Promise<PutBack> {
    const left = await this.#blocksToLeave(written);
    const runs = written.runs(this.#disk.transferBlocksMax, new Set(left.map(({ run }) => run.index)));
    const failures: NotBack[] = [];
    const failed = (run: Run) => failures.some((failure) => failure.run === run);
    let restored: Restored = 'exact';
    for (const run of runs) {
      try {
        if ((await this.#putBackRun(run)) !== 'exact') restored = 'tuples regenerated';
      } catch (error) {
        failures.push({ run, error: error as Error });
      }
    }
    failures.push(...left);
    if (uncertain) {
      await delay(LATE_WRITE_MS);
      for (const run of runs.filter((one) => !failed(one))) {
        await this.#requireBack(run).catch((error: Error) => failures.push({ run, error }));
      }
    }
    return { back: runs.filter((run) => !failed(run)), failures, restored };
  }

  /** The blocks of the region, by their place in it, that hold something else than what was saved, or cannot be read. */
  async differing(): Promise<number[]> {
    const differing: number[] = [];
    const most = this.#disk.transferBlocksMax;
    for (let index = 0; index < this.#range.blocks; index += most) {
      const run = { index, blocks: Math.min(most, this.#range.blocks - index) };
      const medium = await this.#medium(run).catch(() => null);
      const { data } = this.#savedOf(run);
      for (let i = 0; i < run.blocks; i++) {
        const one = { index: index + i, blocks: 1 };
        const now = medium
          ? partOf(medium, run.blocks, i)
          : await this.readMedium(one).catch(() => new Uint8Array(0));
        if (!same(now, partOf(data, run.blocks, i))) differing.push(one.index);
      }
    }
    return differing;
  }

  notBack(): IntegrityError {
    const { device: disk } = this.#disk;
    return new IntegrityError('ERR_RESTORE', `${disk}: the medium does not hold what was put back`, { disk });
  }

  async #putBackRun(run: Run): Promise<Restored> {
    const { data, tuples } = this.#savedOf(run);
    const lba = this.lbaOf(run);
    let back = false;
    for (const name of RESTORING[run.touched]) {
      const way = WAYS[name];
      const own = (way.carriesTuples && tuples.get(way.path)) || null;
      if (way.carriesTuples ? own === null : back) continue;
      // A UNIT ATTENTION or a busy disk is no reason for a lesser way.
      for (const pause of [...PATIENCE_MS, null]) {
        const blocks = { lba, data: alignedCopy(data), tuples: own && alignedCopy(own) };
        const answer = await this.#send(name, blocks);
        if (answer === null) break;
        back = same(await this.#medium(run), data);
        if (back && (await this.#tuplesAreBack(run))) return 'exact';
        if (answer.kind !== 'failed' || !mayPass(answer.error) || pause === null) break;
        await delay(answer.error.code === 'ERR_TIMEOUT' ? LATE_WRITE_MS : pause);
      }
    }
    if (!back) throw this.notBack();
    // One tuple that is not accepted must not cost the others theirs.
    return tuples.size > 0 && run.blocks > 1 ? this.#putBackSingly(run) : 'tuples regenerated';
  }

  async #putBackSingly({ index, blocks, touched }: Run): Promise<Restored> {
    let restored: Restored = 'exact';
    for (let i = 0; i < blocks; i++) {
      if ((await this.#putBackRun({ index: index + i, blocks: 1, touched })) !== 'exact')
        restored = 'tuples regenerated';
    }
    return restored;
  }

  #savedOf({ index, blocks }: Extent): Saved {
    const part = (bytes: Uint8Array) => partOf(bytes, this.#range.blocks, index, blocks);
    const tuples = [...this.#saved.tuples].map(([path, bytes]) => [path, part(bytes)] as const);
    return { data: part(this.#saved.data), tuples: new Map(tuples) };
  }

  #medium(run: Extent): Promise<Uint8Array> {
    return patiently(() => this.readMedium(run));
  }

  /** Written blocks that are left: they hold neither what was written here nor what was saved, or cannot be read. */
  async #blocksToLeave(written: WrittenBlocks): Promise<NotBack[]> {
    const left: NotBack[] = [];
    const { device: disk } = this.#disk;
    for (const run of written.runs(this.#disk.transferBlocksMax)) {
      const medium = await this.#mediumIfAny(run, written.versionsIn(run));
      for (let i = 0; i < run.blocks; i++) {
        const one: Run = { ...run, index: run.index + i, blocks: 1 };
        const known = medium && partOf(medium, run.blocks, i);
        const why = await this.#whyLeft(one, written.versionsIn(one), known);
        if (why === null) continue;
        const message = `${disk}: block ${this.lbaOf(one)} ${why} and is left`;
        left.push({ run: one, error: new IntegrityError('ERR_RESTORE', message, { disk }) });
      }
    }
    return left;
  }

  /** Null where it cannot be read as a whole. What was made unreadable here is not waited for. */
  #mediumIfAny(run: Run, versions: ReadonlySet<string>): Promise<Uint8Array | null> {
    const marked = versions.has(WITHOUT_DIGEST.unreadable);
    return (marked ? this.readMedium(run) : this.#medium(run)).catch(() => null);
  }

  /** Null for a block that is ours to put back. */
  async #whyLeft(one: Run, versions: ReadonlySet<string>, known: Uint8Array | null): Promise<string | null> {
    if (versions.has(WITHOUT_DIGEST.anything)) return null;
    try {
      const now = known ?? (await this.readMedium(one));
      const ours = same(this.#savedOf(one).data, now) || versions.has(digestOf(now));
      return ours ? null : 'was written by somebody else';
    } catch (error) {
      const ours = (versions.has(WITHOUT_DIGEST.unreadable) && isBadBlock(error)) || this.#isTorn(error);
      return ours ? null : `cannot be read (${(error as Error).message})`;
    }
  }

  /**
   * A block that was written here and that the disk refuses for its tuple: a power cut came between the two. Disks store them in one piece;
   * a testbed's may have a file for each.
   */
  #isTorn(error: unknown): boolean {
    return isOurs(this.#disk) && isRefusal(error as Error);
  }

  async #requireBack(run: Run): Promise<void> {
    if (!same(await this.#medium(run), this.#savedOf(run).data)) throw this.notBack();
  }

  /** Only tuples that were saved and read again are known to be back; a disk without protection has none. */
  async #tuplesAreBack(run: Run): Promise<boolean> {
    const { tuples } = this.#savedOf(run);
    for (const [path, saved] of tuples) {
      const now = await this.#disk.read(path, this.lbaOf(run), run.blocks);
      if (now.tuples === null || !same(now.tuples, saved)) return false;
    }
    return tuples.size > 0 || this.#disk.profile === null;
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

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
