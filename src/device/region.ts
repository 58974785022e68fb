/**
 * A region of a testbed disk that may be written: nothing beside it, one write after the other, and it is put back.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { NativeHandle } from '../binding.js';
import { IntegrityError } from '../errors.js';
import type { Profile } from '../pi/profile.js';
import { writeCdb } from '../scsi/cdb.js';
import type { PathName } from '../words.js';
import { type Answer, GOOD } from './blocks.js';
import { alignedBuffer } from './buffers.js';
import { blockSourceOf, type Disk } from './disk.js';
import { type DiskIdentity, learnIdentity, sameIdentity } from './facts.js';
import { answerOf } from './paths/block.js';
import { checkFlags } from './paths/block-pi.js';
import { plainAnswerOf } from './paths/passthrough.js';
import { SgTransport } from './transport.js';

export interface RegionRange {
  readonly lba: bigint;
  readonly blocks: number;
}

/**
 * How a region was left: byte for byte as it was, or its data as it was under tuples that were made anew, or that no path can
 * show.
 */
export type Restored = 'exact' | 'tuples regenerated';

/** What a write changed of a block. */
type Touched = 'data' | 'data and tuples';

interface Written {
  touched: Touched;
  /** All that was sent to this block: the medium holds one of them, or the saved data. */
  readonly versions: Uint8Array[];
}

/** Blocks of a region, by their place in it, that were touched alike. */
interface Run {
  readonly index: number;
  blocks: number;
  readonly touched: Touched;
}

/** A disk that does not answer while it is put back is asked again after these pauses, in milliseconds. */
const PATIENCE_MS = [100, 300, 1000, 3000] as const;

/** A write whose end is not known may still come: so long is waited before and after the restore. */
const LATE_WRITE_MS = 1000;

/** A region claimed for writing until it is put back. Declare it with `await using`; get it from the safeguard. */
export class Region implements AsyncDisposable {
  readonly disk: Disk;
  readonly range: RegionRange;
  readonly #savedData: Uint8Array;
  readonly #savedTuples: Uint8Array | null;
  readonly #block: NativeHandle;
  readonly #sg: NativeHandle;
  /** Both descriptors take SCSI commands: each is asked who it is before it is written through. */
  readonly #transports: { readonly block: SgTransport; readonly sg: SgTransport };
  readonly #identity: DiskIdentity;
  readonly #written: Map<number, Written> = new Map();
  /** The end of what was asked for last: writes and restores go one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #closing = false;
  #uncertain = false;

  /** @internal Use claimRegion. */
  constructor(parts: {
    disk: Disk;
    range: RegionRange;
    savedData: Uint8Array;
    savedTuples: Uint8Array | null;
    block: NativeHandle;
    sg: NativeHandle;
    identity: DiskIdentity;
  }) {
    this.disk = parts.disk;
    this.range = parts.range;
    this.#savedData = parts.savedData;
    this.#savedTuples = parts.savedTuples;
    this.#block = parts.block;
    this.#sg = parts.sg;
    this.#identity = parts.identity;
    const { device } = parts.disk;
    this.#transports = {
      block: new SgTransport(parts.block, device, true),
      sg: new SgTransport(parts.sg, device, true),
    };
  }

  /** The data of the whole region as it was; a copy. */
  savedData(): Uint8Array {
    return this.#savedData.slice();
  }

  /** Its tuples as they were, where a path delivers them; a copy. */
  savedTuples(): Uint8Array | null {
    return this.#savedTuples?.slice() ?? null;
  }

  /**
   * Writes whole blocks inside the region. `passthrough` is a plain WRITE by SG_IO (WRPROTECT 000b), `block` O_DIRECT with the
   * kernel's tuples, `block-pi` with the caller's. Data and tuples are copied at once. A refusal is an answer; a write outside
   * the region or to another disk throws.
   */
  async write(path: PathName, lba: bigint, data: Uint8Array, tuples?: Uint8Array): Promise<Answer> {
    const own = { data: alignedCopy(data), tuples: tuples && alignedCopy(tuples) };
    if (this.#closing)
      throw new IntegrityError('ERR_CLOSED', `${this.disk.device}: the region was given back`);
    const { first, blocks } = this.#requireInside(lba, own.data);
    this.#requirePath(path, own.data, own.tuples);
    return this.#inTurn(async () => {
      await this.#requireSameDisk(path);
      for (let i = 0; i < blocks; i++) this.#mark(first + i, path, blockOf(own.data, i, blocks));
      return this.#send(path, lba, own.data, own.tuples);
    });
  }

  /** What was written so far stays: it is not put back. */
  async keep(): Promise<void> {
    await this.#inTurn(async () => this.#written.clear());
  }

  /**
   * Puts back every block that was written, and reads it to see. Data that was changed by plain SG_IO writes alone goes back the
   * same way, which leaves the tuple as it was; otherwise data and saved tuples go back together, or, where they were not saved
   * or are not accepted, the data alone under new tuples. A block that holds neither what was written nor what was saved is
   * somebody else's by now and is left. Throws ERR_RESTORE, with the blocks that are not back, after all others are.
   */
  restore(): Promise<Restored> {
    return this.#inTurn(() => this.#restoreAll());
  }

  /** Puts back what is still written, and lets go of the disk. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    try {
      await this.restore();
    } finally {
      await this.#block.flush();
      await Promise.all([this.#block.close(), this.#sg.close()]);
    }
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

  #requirePath(path: PathName, data: Uint8Array, tuples: Uint8Array | undefined): void {
    const { device: disk, paths, kernelProfile } = this.disk;
    if (!paths.includes(path))
      throw new IntegrityError('ERR_NO_PATH', `${disk} has no path ${path}`, { disk });
    if (path !== 'block-pi' || kernelProfile === null) return;
    const wanted = (data.length / kernelProfile.interval) * kernelProfile.metadataSize;
    if (tuples?.length === wanted) return;
    const message = `${tuples?.length ?? 0} bytes of tuples for ${data.length} bytes of data: ${wanted} needed`;
    throw new IntegrityError('ERR_BAD_LENGTH', `${disk}: ${message}`, { disk });
  }

  #mark(index: number, path: PathName, version: Uint8Array): void {
    const written = this.#written.get(index) ?? { touched: 'data', versions: [] };
    if (path !== 'passthrough') written.touched = 'data and tuples';
    written.versions.push(version);
    this.#written.set(index, written);
  }

  /** Names move: before each write the descriptor that carries it is asked again who it is. */
  async #requireSameDisk(path: PathName): Promise<void> {
    const now = await learnIdentity(this.#transports[path === 'passthrough' ? 'sg' : 'block']);
    if (now !== null && sameIdentity(now, this.#identity)) return;
    const { device: disk } = this.disk;
    const message = `${disk} is no longer the disk that was claimed: nothing more is written to it`;
    throw new IntegrityError('ERR_NOT_OURS', message, { disk });
  }

  async #send(path: PathName, lba: bigint, data: Uint8Array, tuples?: Uint8Array): Promise<Answer> {
    const answer = await this.#sendBy(path, lba, data, tuples);
    if (answer.kind === 'failed') this.#uncertain = true;
    return answer;
  }

  async #sendBy(path: PathName, lba: bigint, data: Uint8Array, tuples?: Uint8Array): Promise<Answer> {
    const { device, blockSize } = this.disk;
    if (path === 'passthrough') {
      const cdb = writeCdb({ size: 16, lba, blocks: data.length / blockSize });
      return plainAnswerOf(
        await this.#transports.sg.send({ cdb, direction: 'to-device', data }),
        device,
        cdb,
      );
    }
    const source = blockSourceOf(this.disk, this.#block);
    source.log?.drain();
    const offset = lba * BigInt(blockSize);
    const transfer = { lba, length: data.length };
    if (path === 'block') {
      return answerOf(source, { what: 'write', ...transfer, ...(await this.#block.write(data, offset)) });
    }
    const profile = this.disk.kernelProfile as Profile;
    const seed = offset / BigInt(profile.interval);
    const pi = { flags: checkFlags(profile), appTag: 0, seed, tuples: tuples as Uint8Array };
    const result = await this.#block.writeWithPi(data, offset, pi);
    return answerOf(source, { what: 'io_uring write with tuples', ...transfer, ...result });
  }

  async #restoreAll(): Promise<Restored> {
    if (this.#uncertain) await delay(LATE_WRITE_MS);
    const runs = this.#writtenRuns();
    const failures: { readonly run: Run; readonly error: unknown }[] = [];
    let restored: Restored = 'exact';
    for (const run of runs) {
      try {
        if ((await this.#restoreRun(run)) !== 'exact') restored = 'tuples regenerated';
      } catch (error) {
        failures.push({ run, error });
      }
    }
    if (this.#uncertain) {
      await delay(LATE_WRITE_MS);
      for (const run of runs.filter((one) => !failures.some((failure) => failure.run === one))) {
        await this.#requireBack(run).catch((error: unknown) => failures.push({ run, error }));
      }
    }
    for (const run of runs) {
      if (failures.some((failure) => failure.run === run)) continue;
      for (let i = 0; i < run.blocks; i++) this.#written.delete(run.index + i);
    }
    const [first] = failures;
    if (first === undefined) return restored;
    const { device: disk } = this.disk;
    const blocks = failures.map(({ run }) => `${this.#lbaOf(run)} (${run.blocks})`).join(', ');
    const message = `${disk}: not put back, from block (count): ${blocks}: ${(first.error as Error).message}`;
    throw new IntegrityError('ERR_RESTORE', message, {
      disk,
      advice: 'It is a testbed disk: remove it and make it again.',
      cause: first.error,
    });
  }

  /** The written blocks as runs that were touched alike and fit one transfer. */
  #writtenRuns(): Run[] {
    const runs: Run[] = [];
    for (const [index, { touched }] of [...this.#written].sort(([a], [b]) => a - b)) {
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
    const lba = this.#lbaOf(run);
    const { data, tuples } = this.#saved(run);
    await this.#requireNobodyElse(run);
    if (run.touched === 'data') {
      await this.#putBack('passthrough', lba, data);
    } else if (tuples === null || !(await this.#putBack('block-pi', lba, data, tuples))) {
      // One tuple that is not accepted must not cost the others theirs.
      if (tuples !== null && run.blocks > 1) return this.#restoreSingly(run);
      await this.#putBack('block', lba, data);
    }
    await this.#requireBack(run);
    return (await this.#tuplesAreBack(run)) ? 'exact' : 'tuples regenerated';
  }

  async #restoreSingly({ index, blocks, touched }: Run): Promise<Restored> {
    let restored: Restored = 'exact';
    for (let i = 0; i < blocks; i++) {
      if ((await this.#restoreRun({ index: index + i, blocks: 1, touched })) !== 'exact')
        restored = 'tuples regenerated';
    }
    return restored;
  }

  /** False when the path is not there or the write was refused. A disk that does not answer is waited for. */
  async #putBack(path: PathName, lba: bigint, data: Uint8Array, tuples?: Uint8Array): Promise<boolean> {
    if (!this.disk.paths.includes(path)) return false;
    await patiently(() => this.#requireSameDisk(path));
    const own = tuples && alignedCopy(tuples);
    return (await this.#send(path, lba, alignedCopy(data), own)) === GOOD;
  }

  #saved({ index, blocks }: Run): { data: Uint8Array; tuples: Uint8Array | null } {
    const part = (bytes: Uint8Array) => {
      const size = bytes.length / this.range.blocks;
      return bytes.subarray(index * size, (index + blocks) * size);
    };
    return { data: part(this.#savedData), tuples: this.#savedTuples && part(this.#savedTuples) };
  }

  async #medium(run: Run): Promise<Uint8Array> {
    return patiently(async () => {
      const { data, answer } = await this.disk.readMedium(this.#lbaOf(run), run.blocks);
      if (data !== null) return data;
      if (answer.kind === 'failed') throw answer.error;
      throw new IntegrityError('ERR_IO', `${this.disk.device}: the medium cannot be read`, {
        disk: this.disk.device,
      });
    });
  }

  /** Throws when a block holds neither what was written here nor what was saved. */
  async #requireNobodyElse(run: Run): Promise<void> {
    const medium = await this.#medium(run);
    const { data: saved } = this.#saved(run);
    for (let i = 0; i < run.blocks; i++) {
      const now = blockOf(medium, i, run.blocks);
      const known = [blockOf(saved, i, run.blocks), ...(this.#written.get(run.index + i)?.versions ?? [])];
      if (known.some((version) => same(version, now))) continue;
      const lba = this.#lbaOf(run) + BigInt(i);
      const { device: disk } = this.disk;
      throw new IntegrityError(
        'ERR_RESTORE',
        `${disk}: block ${lba} was written by somebody else and is left`,
        { disk },
      );
    }
  }

  async #requireBack(run: Run): Promise<void> {
    if (same(await this.#medium(run), this.#saved(run).data)) return;
    const { device: disk } = this.disk;
    throw new IntegrityError('ERR_RESTORE', `${disk}: the medium does not hold what was put back`, { disk });
  }

  /** Only tuples that were saved and read again are known to be back; a disk without protection has none. */
  async #tuplesAreBack(run: Run): Promise<boolean> {
    const { tuples: saved } = this.#saved(run);
    if (saved === null) return this.disk.profile === null;
    const { tuples } = await this.disk.read('block-pi', this.#lbaOf(run), run.blocks);
    return tuples !== null && same(tuples, saved);
  }
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
