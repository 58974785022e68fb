/**
 * The one door through which anything is written. It opens only for disks that this package's own testbed made, holds the disk
 * exclusively, saves the region first, lets nothing be written beside it, and puts it back.
 */
import { readFile } from 'node:fs/promises';
import type { NativeHandle } from '../binding.js';
import { IntegrityError } from '../errors.js';
import { writeCdb } from '../scsi/cdb.js';
import { interpret } from '../sysfs/disks.js';
import { parseMountinfo, parseSwaps, usesOf } from '../sysfs/mounts.js';
import { readSnapshot } from '../sysfs/snapshot.js';
import type { PathName } from '../words.js';
import { type Answer, GOOD } from './blocks.js';
import { alignedBuffer } from './buffers.js';
import type { Disk } from './disk.js';
import { errnoError } from './errno.js';
import { type DiskIdentity, learnIdentity } from './facts.js';
import { openNode, READ_WRITE, READ_WRITE_EXCLUSIVE } from './node.js';
import { testbedKind } from './ours.js';
import { answerOf } from './paths/block.js';
import { checkFlags } from './paths/block-pi.js';
import { answerOf as scsiAnswerOf } from './paths/passthrough.js';
import { type ScsiTransport, SgTransport } from './transport.js';

/** Bytes that one region may hold: it is saved in memory. */
const REGION_BYTES_MAX = 256 * 1024 * 1024;

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

/** Throws ERR_NOT_OURS unless this package's own testbed made the disk. */
export function requireOurs(disk: Disk): void {
  if (testbedKind(disk.sysfs, disk.facts) !== null) return;
  const { inquiry } = disk.facts ?? {};
  const seen = `driver ${disk.sysfs.host?.driver ?? 'none'}, INQUIRY ${inquiry?.vendor ?? '-'} ${inquiry?.product ?? '-'}`;
  throw new IntegrityError(
    'ERR_NOT_OURS',
    `${disk.device} was not made by this package's testbed (${seen}): nothing is written to it`,
    {
      disk: disk.device,
      advice: 'Make one with `blk-integrity testbed scsi-debug create`, or leave out what writes.',
    },
  );
}

/** Throws ERR_BUSY while the disk or a partition of it is mounted, swapped on or held by a device above it. */
async function requireIdle(disk: Disk): Promise<void> {
  const { sysfs, device } = disk;
  const mounts = parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
  const swaps = parseSwaps(await readFile('/proc/swaps', 'utf8'));
  const disks = interpret(await readSnapshot());
  const now = disks.find(({ name, hctl }) => name === sysfs.name && hctl === sysfs.hctl) ?? sysfs;
  const users = usesOf(disks, now, { mounts, swaps }).map(({ name, how, by }) => `${name} is ${how} (${by})`);
  if (users.length === 0) return;
  throw new IntegrityError('ERR_BUSY', `${device} is in use: ${users.join(', ')}`, {
    disk: device,
    advice: 'Unmount it, switch it off or take it out of what holds it.',
  });
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
  #settled = false;

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
    const { blockSize, kernelProfile } = this.disk;
    const blocks = data.length / blockSize;
    const first = Number(lba - this.range.lba);
    if (!Number.isInteger(blocks) || blocks === 0 || first < 0 || first + blocks > this.range.blocks) {
      throw new IntegrityError(
        'ERR_OUT_OF_RANGE',
        `a write of ${data.length} bytes at block ${lba} is not whole blocks inside the claimed region`,
        {
          disk: this.disk.device,
        },
      );
    }
    if (!this.disk.paths.includes(path)) {
      throw new IntegrityError('ERR_NO_PATH', `${this.disk.device} has no path ${path}`, {
        disk: this.disk.device,
      });
    }
    if (
      path === 'block-pi' &&
      tuples?.length !== (data.length / kernelProfile!.interval) * kernelProfile!.metadataSize
    ) {
      throw new IntegrityError(
        'ERR_BAD_LENGTH',
        `${tuples?.length ?? 0} bytes of tuples do not fit ${data.length} bytes of data`,
        {
          disk: this.disk.device,
        },
      );
    }
    await this.#requireSameDisk();
    for (let i = 0; i < blocks; i++) {
      const before = this.#written.get(first + i);
      this.#written.set(
        first + i,
        path === 'passthrough' && before !== 'data and tuples' ? 'data' : 'data and tuples',
      );
    }
    return this.#send(path, lba, data, tuples);
  }

  /** Keeps what was written: the region is not put back. */
  keep(): void {
    this.#settled = true;
  }

  /**
   * Puts back every block that was written and reads it to see. Data that was changed by plain SG_IO writes alone goes back the same way,
   * which leaves the tuple as it was; otherwise data and saved tuples go back together, or, where they were not saved or are not
   * accepted, the data alone under new tuples. Throws ERR_RESTORE when the medium does not hold the saved data afterwards.
   */
  async restore(): Promise<Restored> {
    const outcomes: Restored[] = [];
    for (const run of this.#writtenRuns()) outcomes.push(await this.#restoreRun(run));
    this.#settled = true;
    return outcomes.includes('tuples regenerated') ? 'tuples regenerated' : 'exact';
  }

  /** Puts the region back unless that was done or {@link keep} was called, and lets go of the disk. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (!this.#settled) await this.restore();
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

/**
 * Claims blocks of a testbed disk for writing: holds the disk with O_EXCL and flock(2), and saves data and tuples.
 * Errors: ERR_NOT_OURS, ERR_BUSY, ERR_PERMISSION, ERR_OUT_OF_RANGE, and ERR_IO for a block that cannot be read.
 */
export async function claimRegion(disk: Disk, range: RegionRange, signal?: AbortSignal): Promise<Region> {
  requireOurs(disk);
  disk.requireRange(range.lba, BigInt(range.blocks));
  if (range.blocks * disk.blockSize > REGION_BYTES_MAX) {
    throw new IntegrityError(
      'ERR_OUT_OF_RANGE',
      `a region of ${range.blocks} blocks is larger than ${REGION_BYTES_MAX} bytes`,
      { disk: disk.device },
    );
  }
  const { block: blockNode, sg: sgNode } = disk.sysfs;
  if (!blockNode || !sgNode) {
    throw new IntegrityError(
      'ERR_NO_PATH',
      `${disk.device} needs both a block node and an sg node to be written`,
      {
        disk: disk.device,
        advice: 'modprobe sd_mod sg',
      },
    );
  }
  await requireIdle(disk);
  const block = await openNode(blockNode, READ_WRITE_EXCLUSIVE);
  let sgHandle: NativeHandle | null = null;
  try {
    const { errno } = await block.lockExclusive();
    if (errno !== 0) throw errnoError(errno, 'flock', disk.device);
    sgHandle = await openNode(sgNode, READ_WRITE);
    const flushed = await block.flush();
    if (flushed.errno !== 0) throw errnoError(flushed.errno, 'flush', disk.device);
    const { savedData, savedTuples } = await save(disk, range, signal);
    const transport = new SgTransport(sgHandle, disk.device, true);
    return new Region({ disk, range, savedData, savedTuples, block, sg: sgHandle, transport });
  } catch (error) {
    await Promise.all([block.close(), sgHandle?.close()]);
    throw error;
  }
}

async function save(
  disk: Disk,
  { lba, blocks }: RegionRange,
  signal?: AbortSignal,
): Promise<{ savedData: Uint8Array; savedTuples: Uint8Array | null }> {
  const savedData = new Uint8Array(blocks * disk.blockSize);
  const tupleBytes =
    disk.kernelProfile === null
      ? 0
      : (disk.blockSize / disk.kernelProfile.interval) * disk.kernelProfile.metadataSize;
  let savedTuples = disk.paths.includes('block-pi') ? new Uint8Array(blocks * tupleBytes) : null;
  for (let at = 0; at < blocks; at += disk.transferBlocksMax) {
    const count = Math.min(disk.transferBlocksMax, blocks - at);
    const from = lba + BigInt(at);
    const { data, answer } = await disk.readMedium(from, count, signal);
    if (data === null) throw unreadable(disk, from, answer);
    savedData.set(data, at * disk.blockSize);
    if (savedTuples === null) continue;
    const { tuples, answer: tupleAnswer } = await disk.read('block-pi', from, count, signal);
    if (tuples === null && tupleAnswer.kind !== 'good') throw unreadable(disk, from, tupleAnswer);
    if (tuples === null) savedTuples = null;
    else savedTuples.set(tuples, at * tupleBytes);
  }
  return { savedData, savedTuples };
}

function unreadable(disk: Disk, lba: bigint, answer: Answer): IntegrityError {
  const why =
    answer.kind === 'failed'
      ? answer.error.message
      : answer.kind === 'refused'
        ? answer.text
        : 'not delivered';
  return new IntegrityError(
    'ERR_IO',
    `${disk.device}: the region from block ${lba} cannot be saved: ${why}`,
    {
      disk: disk.device,
      advice: 'Choose blocks that can be read, data and tuples: --lba N.',
    },
  );
}
