/**
 * A region of a testbed disk that may be written: nothing beside it, and it is put back.
 */
import type { NativeHandle } from '../binding.js';
import { IntegrityError } from '../errors.js';
import { writeCdb } from '../scsi/cdb.js';
import type { PathName } from '../words.js';
import { type Answer, GOOD } from './blocks.js';
import { alignedBuffer } from './buffers.js';
import type { Disk } from './disk.js';
import { type DiskIdentity, learnIdentity } from './facts.js';
import { testbedKind } from './ours.js';
import { answerOf } from './paths/block.js';
import { checkFlags } from './paths/block-pi.js';
import { answerOf as scsiAnswerOf } from './paths/passthrough.js';
import type { ScsiTransport } from './transport.js';

export interface RegionRange {
  readonly lba: bigint;
  readonly blocks: number;
}

/** How a region was left: byte for byte as it was, or its data as it was under tuples that the kernel made anew. */
export type Restored = 'exact' | 'tuples regenerated';

/** What a write changed of a block. */
type Touched = 'data' | 'data and tuples';

/** Blocks of a region, by their place in it, that were touched alike. */
interface WrittenRun {
  readonly index: number;
  blocks: number;
  readonly touched: Touched;
}

/** A region of a testbed disk, claimed for writing until it is put back. Declare it with `await using`. */
export class Region implements AsyncDisposable {
  readonly disk: Disk;
  readonly range: RegionRange;
  /** The data of the whole region as it was. */
  readonly savedData: Uint8Array;
  /** Its tuples as they were, where a path delivers them. */
  readonly savedTuples: Uint8Array | null;
  readonly #block: NativeHandle;
  readonly #sg: NativeHandle;
  readonly #transport: ScsiTransport;
  readonly #identity: string;
  /** The blocks that were written, by their place in the region. */
  readonly #written: Map<number, Touched> = new Map();

  /** @internal Use {@link claimRegion}. */
  constructor(parts: {
    disk: Disk;
    range: RegionRange;
    savedData: Uint8Array;
    savedTuples: Uint8Array | null;
    block: NativeHandle;
    sg: NativeHandle;
    transport: ScsiTransport;
  }) {
    this.disk = parts.disk;
    this.range = parts.range;
    this.savedData = parts.savedData;
    this.savedTuples = parts.savedTuples;
    this.#block = parts.block;
    this.#sg = parts.sg;
    this.#transport = parts.transport;
    this.#identity = identityOf(parts.disk.facts);
  }

  /**
   * Writes whole blocks inside the region. `passthrough` is a plain WRITE by SG_IO (WRPROTECT 000b), `block` O_DIRECT with the
   * kernel's tuples, `block-pi` with the caller's. A refusal is an answer; a write outside the region or to another disk throws.
   */
  async write(path: PathName, lba: bigint, data: Uint8Array, tuples?: Uint8Array): Promise<Answer> {
    const { blocks, first } = this.#requireInside(lba, data);
    this.#requirePath(path, data, tuples);
    await this.#requireSameDisk();
    for (let i = first; i < first + blocks; i++) {
      const plainOnly = path === 'passthrough' && this.#written.get(i) !== 'data and tuples';
      this.#written.set(i, plainOnly ? 'data' : 'data and tuples');
    }
    return this.#send(path, lba, data, tuples);
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

  /** What was written so far stays: it is not put back. */
  keep(): void {
    this.#written.clear();
  }

  /**
   * Puts back every block that was written and reads it to see. Data that was changed by plain SG_IO writes alone goes back the same way,
   * which leaves the tuple as it was; otherwise data and saved tuples go back together, or, where they were not saved or are not
   * accepted, the data alone under new tuples. Throws ERR_RESTORE when the medium does not hold the saved data afterwards.
   */
  async restore(): Promise<Restored> {
    const outcomes: Restored[] = [];
    for (const run of this.#writtenRuns()) outcomes.push(await this.#restoreRun(run));
    this.#written.clear();
    return outcomes.includes('tuples regenerated') ? 'tuples regenerated' : 'exact';
  }

  /** Puts back what is still written, and lets go of the disk. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.restore();
    } finally {
      await this.#block.flush();
      await Promise.all([this.#block.close(), this.#sg.close()]);
    }
  }

  async #send(path: PathName, lba: bigint, data: Uint8Array, tuples?: Uint8Array): Promise<Answer> {
    const { disk } = this;
    const own = alignedBuffer(data.length);
    own.set(data);
    const offset = lba * BigInt(disk.blockSize);
    if (path === 'passthrough') {
      const cdb = writeCdb({ size: 16, lba, blocks: data.length / disk.blockSize });
      const { outcome, result } = await this.#transport.send({ cdb, direction: 'to-device', data: own });
      return scsiAnswerOf(outcome, disk.device, cdb, result.sense);
    }
    const source = disk.blockPiSource(this.#block);
    source.log?.drain();
    const transfer = { lba, length: data.length };
    if (path === 'block') {
      return answerOf(source, { what: 'write', ...transfer, ...(await this.#block.write(own, offset)) });
    }
    const ownTuples = alignedBuffer(tuples!.length);
    ownTuples.set(tuples!);
    const result = await this.#block.writeWithPi(own, offset, {
      flags: checkFlags(source.profile),
      appTag: 0,
      seed: offset / BigInt(source.profile.interval),
      tuples: ownTuples,
    });
    return answerOf(source, { what: 'io_uring write with tuples', ...transfer, ...result });
  }

  /** The written blocks as runs that were touched alike and fit one transfer, by their place in the region. */
  #writtenRuns(): WrittenRun[] {
    const runs: WrittenRun[] = [];
    for (const [index, touched] of [...this.#written].sort(([a], [b]) => a - b)) {
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

  async #restoreRun(run: WrittenRun): Promise<Restored> {
    const { index, blocks, touched } = run;
    const lba = this.range.lba + BigInt(index);
    const { data, tuples } = this.#saved(run);
    let restored: Restored = 'exact';
    if (touched === 'data') {
      await this.#putBack('passthrough', lba, data);
    } else if (tuples === null || !(await this.#putBack('block-pi', lba, data, tuples))) {
      // One tuple that is not accepted must not cost the others theirs.
      if (tuples !== null && blocks > 1) return this.#restoreSingly(run);
      await this.#putBack('block', lba, data);
      if (!(await this.#tuplesAreBack(lba, blocks, tuples))) restored = 'tuples regenerated';
    }
    const { data: now } = await this.disk.readMedium(lba, blocks);
    if (now === null || Buffer.compare(now, data) !== 0) {
      throw new IntegrityError(
        'ERR_RESTORE',
        `${this.disk.device}: blocks from ${lba} on could not be put back`,
        {
          disk: this.disk.device,
          advice: 'It is a testbed disk: remove it and make it again.',
        },
      );
    }
    return restored;
  }

  async #restoreSingly({ index, blocks, touched }: WrittenRun): Promise<Restored> {
    let restored: Restored = 'exact';
    for (let i = 0; i < blocks; i++) {
      if ((await this.#restoreRun({ index: index + i, blocks: 1, touched })) !== 'exact')
        restored = 'tuples regenerated';
    }
    return restored;
  }

  /** False when the path is not there or the write was refused. */
  async #putBack(path: PathName, lba: bigint, data: Uint8Array, tuples?: Uint8Array): Promise<boolean> {
    if (!this.disk.paths.includes(path)) return false;
    await this.#requireSameDisk();
    return (await this.#send(path, lba, data, tuples)) === GOOD;
  }

  #saved({ index, blocks }: WrittenRun): { data: Uint8Array; tuples: Uint8Array | null } {
    const part = (bytes: Uint8Array) => {
      const size = bytes.length / this.range.blocks;
      return bytes.subarray(index * size, (index + blocks) * size);
    };
    return { data: part(this.savedData), tuples: this.savedTuples && part(this.savedTuples) };
  }

  async #tuplesAreBack(lba: bigint, blocks: number, saved: Uint8Array | null): Promise<boolean> {
    if (saved === null) return this.disk.profile === null;
    const { tuples } = await this.disk.read('block-pi', lba, blocks);
    return tuples !== null && Buffer.compare(tuples, saved) === 0;
  }

  /** Names move: before each write the open descriptor is asked again who it is. */
  async #requireSameDisk(): Promise<void> {
    const now = await learnIdentity(this.#transport);
    const same = now !== null && identityOf(now) === this.#identity;
    if (same && testbedKind(this.disk.sysfs, now) !== null) return;
    throw new IntegrityError(
      'ERR_NOT_OURS',
      `${this.disk.device} is no longer the disk that was claimed: nothing more is written to it`,
      {
        disk: this.disk.device,
      },
    );
  }
}

function identityOf(disk: DiskIdentity | null): string {
  return JSON.stringify([disk?.inquiry.vendor, disk?.inquiry.product, disk?.identity, disk?.serial]);
}
