/**
 * A disk: its nodes, what the kernel and the disk say of it, and the paths that it really has.
 */
import type { LbmdCapability, NativeHandle } from '../binding.js';
import { native } from '../binding.js';
import { IntegrityError } from '../errors.js';
import type { NamespaceFormat } from '../nvme/identify.js';
import type { Profile } from '../pi/profile.js';
import { shown } from '../pi/shown.js';
import { type TransferCdbSize, type TransferForm, transferLength } from '../scsi/cdb.js';
import { findDisk, interpret, type SysfsDisk } from '../sysfs/disks.js';
import { readSnapshot, readSnapshotOf } from '../sysfs/snapshot.js';
import type { PathName } from '../words.js';
import type { BlocksRead } from './blocks.js';
import { openCommandNode } from './command-node.js';
import { errnoName } from './errno.js';
import {
  type DiskFacts,
  disagreements,
  diskProfile,
  isStillThat,
  kernelProfile,
  learnFacts,
} from './facts.js';
import { KernelLog } from './kernel-log.js';
import { learnNamespaceFormat } from './namespace.js';
import { deviceNumber, openNode, READ_ONLY_DIRECT } from './node.js';
import { type BlockSource, readBlock } from './paths/block.js';
import { type BlockPiSource, judgeBlockPi, readBlockPi } from './paths/block-pi.js';
import {
  judgeInterleaved,
  type PassthroughSource,
  readAs,
  readInterleaved,
  readPlain,
} from './paths/passthrough.js';
import { type BlockRun, type Proof, proveTuplesCross } from './proof.js';
import { PROTECT, protectedCdbSize } from './protected-range.js';
import type { BlocksJudged, TransferRun } from './read-verdict.js';
import { type OnCommand, traced } from './trace.js';
import { type CommandNode, type DiskTransport, SgTransport } from './transport.js';

/** IORING_FEAT_RW_ATTR: the running kernel takes attributes with a read or write (Linux 6.14). */
const IORING_FEAT_RW_ATTR = 1 << 16;

/** SCSI peripheral device types that hold logical blocks as a disk does: direct access, reduced block commands, host-managed zones. */
export const DISK_TYPES: readonly number[] = [0x00, 0x0e, 0x14];

/** Bytes of data that one transfer carries at most: within what every host takes, and enough that calls cost nothing. */
const TRANSFER_BYTES_MAX = 256 * 1024;

/** Transfers of one call to the addon at most. */
const RUN_TRANSFERS_MAX = 1024;

/** Kilobytes of one command where no queue says what it takes. */
const UNTOLD_KB = 1024;

/** Of one block at most: 8 tuples. */
const TUPLES_BYTES = 64;

/** How often a proof that a UNIT ATTENTION overtook is made again at once: a storm of them ends somewhere. */
const PROOFS_MORE = 4;

export interface OpenDiskOptions {
  readonly signal?: AbortSignal;
  /** Told of every SCSI command to the disk, those of opening it included, when it has its answer. It must not throw. */
  readonly onCommand?: OnCommand | undefined;
  /** Commands under way at once, 1 to {@link QUEUE_DEPTH_MAX}, 1 without it: each takes a thread. What is more waits. */
  readonly queueDepth?: number | undefined;
  /** What is read gives way to others' reads and writes, as far as the disk's scheduler heeds ioprio_set(2). Default false. */
  readonly idle?: boolean | undefined;
}

export const QUEUE_DEPTH_MAX = 128;

/** The kernel's log as each disk reads it; nobody's business outside. */
const logs = new WeakMap<Disk, KernelLog>();

/** How the kernel lists a disk at this moment; undefined when it is gone. */
type Listing = () => Promise<SysfsDisk | undefined>;

/** What the block paths of a disk work on, with a descriptor of the caller's. */
export function blockSourceOf(disk: Disk, handle: NativeHandle): BlockSource {
  const { device, blockSize, sysfs } = disk;
  return { disk: device, name: sysfs.name, hctl: sysfs.hctl, handle, log: logs.get(disk) ?? null, blockSize };
}

/** An open disk. Reading only: writes are claimed from the safeguard. Close it, or declare it with `await using`. */
export class Disk implements AsyncDisposable {
  /** The node of the whole disk by which messages name it. */
  readonly device: string;
  readonly sysfs: SysfsDisk;
  /** What the disk says of itself; null for a disk that takes no SCSI commands. */
  readonly facts: DiskFacts | null;
  /** How an NVMe namespace says that it is formatted; null for every other disk, and where it was not told. */
  readonly namespace: NamespaceFormat | null;
  /** By which the kernel's block layer makes and checks tuples; null when it does not. */
  readonly kernelProfile: Profile | null;
  /** By which the disk itself is formatted; null without protection. */
  readonly diskProfile: Profile | null;
  /** FS_IOC_GETLBMD_CAP, or null where the kernel lacks it. */
  readonly lbmd: LbmdCapability | null;
  /** Where kernel and disk disagree, in words. */
  readonly disagreements: readonly string[];
  /** SCSI commands to this disk that cannot alter it; null for a disk that takes none. */
  readonly transport: DiskTransport | null;
  readonly paths: readonly PathName[];
  /** Why there is no path block-pi; null when there is. */
  readonly noBlockPi: string | null;
  readonly logReadable: boolean;
  /** Commands under way at once. */
  readonly queueDepth: number;
  readonly blockSize: number;
  readonly blocks: bigint;
  /** Blocks that one transfer carries here, with their tuples. */
  readonly transferBlocksMax: number;
  /** What one SCSI command may carry, by the word of the kernel's queue, and of the disk (VPD B0h). */
  readonly #commandMax: { readonly bytes: number; readonly blocks: number };
  readonly #sg: CommandNode | null;
  readonly #block: NativeHandle | null;
  readonly #listing: Listing;
  readonly #proofs = new Map<string, Proof>();
  #written: BlockRun | null = null;

  /** @internal Use {@link openDevice}. */
  constructor(parts: {
    device: string;
    sysfs: SysfsDisk;
    facts: DiskFacts | null;
    namespace: NamespaceFormat | null;
    lbmd: LbmdCapability | null;
    noBlockPi: string | null;
    sg: CommandNode | null;
    block: NativeHandle | null;
    transport: DiskTransport | null;
    log: KernelLog | null;
    queueDepth: number;
    listing: Listing;
  }) {
    const { device, sysfs, facts, namespace, lbmd, sg, block, transport, log } = parts;
    this.device = device;
    this.sysfs = sysfs;
    this.facts = facts;
    this.namespace = namespace;
    this.lbmd = lbmd;
    this.kernelProfile = kernelProfile(sysfs, parts, lbmd);
    this.noBlockPi = this.kernelProfile?.tupleSize
      ? parts.noBlockPi
      : 'the block layer has no integrity profile for this disk';
    this.diskProfile = diskProfile(parts);
    this.disagreements = disagreements(sysfs, facts);
    this.transport = transport;
    this.logReadable = log !== null;
    this.queueDepth = parts.queueDepth;
    this.blockSize = facts?.capacity?.blockSize || sysfs.logicalBlockSize || 512;
    this.blocks = facts?.capacity?.blocks ?? sysfs.blocks ?? 0n;
    this.#commandMax = {
      bytes: (sysfs.queue.maxHwSectorsKb ?? UNTOLD_KB) * 1024,
      blocks: facts?.limits?.transferBlocksMax || Number.POSITIVE_INFINITY,
    };
    const room = Math.min(TRANSFER_BYTES_MAX, this.#commandMax.bytes);
    const fitting = Math.floor(room / (this.blockSize + TUPLES_BYTES));
    this.transferBlocksMax = Math.max(1, Math.min(fitting, this.#commandMax.blocks));
    this.#sg = sg;
    this.#block = block;
    this.#listing = parts.listing;
    if (log !== null) logs.set(this, log);
    this.paths = [
      ...(transport && facts ? (['passthrough'] as const) : []),
      ...(block ? (['block'] as const) : []),
      ...(block && this.noBlockPi === null ? (['block-pi'] as const) : []),
    ];
  }

  /** By which the tuples of a path are judged. On the wire they are the disk's own. */
  profileBy(path: PathName): Profile | null {
    return path === 'passthrough' ? this.diskProfile : this.kernelProfile;
  }

  /** The kernel's profile, where it has one, else the disk's. */
  get profile(): Profile | null {
    return this.kernelProfile ?? this.diskProfile;
  }

  /** Throws ERR_OUT_OF_RANGE for more than one SCSI command may carry; `blocks` of one that transfers none is 0. */
  requireTransfer(bytes: number, blocks: number): void {
    const most = this.#commandMax;
    const why =
      bytes > most.bytes
        ? `${bytes} bytes: one transfer takes ${most.bytes} at most`
        : blocks > most.blocks
          ? `${blocks} blocks: one command of this disk takes ${most.blocks} at most (VPD B0h)`
          : null;
    if (why === null) return;
    throw new IntegrityError('ERR_OUT_OF_RANGE', `${this.device}: ${why}`, { disk: this.device });
  }

  /** Bytes of the READ and WRITE commands that carry the tuples of this disk's type. */
  get naturalCdbSize(): TransferCdbSize {
    return this.diskProfile === null ? 16 : protectedCdbSize(this.diskProfile);
  }

  /**
   * Whether tuples cross SG_IO here with this RDPROTECT, 001b without it, in a READ of this size, that which the disk's type knows
   * without it: proved by reading, once, and again after a UNIT ATTENTION.
   */
  async proof(
    signal?: AbortSignal,
    protect: number = PROTECT.checked,
    cdbSize: TransferCdbSize = this.naturalCdbSize,
  ): Promise<Proof | null> {
    if (this.transport === null) return null;
    const form = `${protect} ${cdbSize}`;
    const known = this.#proofs.get(form);
    if (known?.unitAttentions === this.transport.unitAttentions) return known;
    const { transport, blockSize, blocks, diskProfile: profile } = this;
    const subject = { transport, blockSize, blocks, profile, protect, cdbSize, avoid: this.#written };
    let proof = await proveTuplesCross(subject, signal);
    // A UNIT ATTENTION meanwhile ended it before it was made.
    for (let more = PROOFS_MORE; more > 0 && proof.unitAttentions !== transport.unitAttentions; more--)
      proof = await proveTuplesCross(subject, signal);
    this.#proofs.set(form, proof);
    return proof;
  }

  /** From here on these blocks are written to, and prove nothing; null: no longer. */
  proveOutside(blocks: BlockRun | null): void {
    this.#written = blocks;
    // Made at other places than the usual ones.
    if (blocks === null) this.#proofs.clear();
  }

  /** Whether data and tuples may be sent interleaved now. */
  async tuplesCross(protect: number, signal?: AbortSignal, cdbSize?: TransferCdbSize): Promise<boolean> {
    const proof = await this.proof(signal, protect, cdbSize);
    return proof?.result === 'crosses' && proof.unitAttentions === this.transport?.unitAttentions;
  }

  /**
   * Reads `blocks` blocks at `lba` by `path`: one transfer of at most {@link transferBlocksMax}. What was refused or failed is in
   * the answer; an error is thrown when the disk is gone, the path is not there or the range is not on the disk.
   */
  async read(path: PathName, lba: bigint, blocks: number, signal?: AbortSignal): Promise<BlocksRead> {
    signal?.throwIfAborted();
    this.requirePath(path);
    this.requireRange(lba, blocks);
    return this.#unlessGone(await this.#readers[path](lba, blocks, signal));
  }

  /**
   * Reads by a SCSI READ of the caller's choice, as {@link read}. Tuples are in it only where they are proved to cross with this size and
   * RDPROTECT: elsewhere the data of one that ends GOOD is that of a plain READ.
   */
  async readAs(form: TransferForm, lba: bigint, blocks: number, signal?: AbortSignal): Promise<BlocksRead> {
    signal?.throwIfAborted();
    this.requirePath('passthrough');
    this.requireRange(lba, blocks);
    const { size, protect = 0 } = form;
    this.#requireRead(blocks, protect);
    const crosses = protect !== 0 && (await this.tuplesCross(protect, signal, size));
    const { diskProfile: profile } = this;
    const read = await readAs(this.#passthrough(), form, lba, blocks, { profile, crosses, signal });
    const unknown = read.answer.kind === 'good' && protect !== 0 && !crosses;
    return this.#unlessGone(
      unknown
        ? await readPlain(this.#passthrough(), lba, blocks, signal)
        : await this.#withMedium(read, signal),
    );
  }

  /** What a read was refused for is read unchecked, so that the software can judge it too. */
  async #withMedium(read: BlocksRead, signal?: AbortSignal): Promise<BlocksRead> {
    const { lba, blocks, answer } = read;
    return answer.kind === 'refused' ? { ...(await this.readMedium(lba, blocks, signal)), answer } : read;
  }

  async #unlessGone(read: BlocksRead): Promise<BlocksRead> {
    // A disk that vanishes under a read shows as a plain I/O error: ask whether it is still there.
    if (read.answer.kind === 'failed' && !(await this.stillThere())) {
      throw new IntegrityError('ERR_DEVICE_GONE', `${this.device} disappeared during a read`, {
        disk: this.device,
        advice: 'It was removed, or its host lost it: see dmesg.',
        cause: read.answer.error,
      });
    }
    return read;
  }

  #requireRead(blocks: number, protect: number): void {
    const { blockSize, diskProfile: profile } = this;
    const intervalsPerBlock = profile === null ? 1 : blockSize / profile.interval;
    this.requireTransfer(transferLength({ blocks, blockSize, intervalsPerBlock, protect }), blocks);
  }

  readonly #readers: Record<
    PathName,
    (lba: bigint, blocks: number, signal?: AbortSignal) => Promise<BlocksRead>
  > = {
    passthrough: async (lba, blocks, signal) => {
      this.#requireRead(blocks, PROTECT.checked);
      const crosses = await this.tuplesCross(PROTECT.checked, signal);
      const source = this.#passthrough();
      if (!crosses || !this.diskProfile) return readPlain(source, lba, blocks, signal);
      return this.#withMedium(
        await readInterleaved(source, this.diskProfile, lba, blocks, { signal }),
        signal,
      );
    },
    block: (lba, blocks) => readBlock(blockSourceOf(this, this.#block as NativeHandle), lba, blocks),
    'block-pi': (lba, blocks) => readBlockPi(this.#blockPi(), lba, blocks),
  };

  /**
   * What lies on the medium, by SG_IO: data and tuples that nobody checks (RDPROTECT 011b) where they are proved to cross, else a plain
   * READ, which the kernel does not check and the disk may.
   */
  async readMedium(lba: bigint, blocks: number, signal?: AbortSignal): Promise<BlocksRead> {
    this.requireRange(lba, blocks);
    const protect = PROTECT.unchecked;
    this.#requireRead(blocks, protect);
    const crosses = await this.tuplesCross(protect, signal);
    return crosses && this.diskProfile
      ? readInterleaved(this.#passthrough(), this.diskProfile, lba, blocks, { protect, signal })
      : readPlain(this.#passthrough(), lba, blocks, signal);
  }

  /**
   * The software's verdict on the first of these blocks, which are read by a path with tuples, once, and judged where they come in: as many
   * transfers as a call may take, as long as they are clean, else one. No verdict unless all of it came, GOOD, and as tuples: {@link read} says why.
   * Throws as it does.
   */
  async judge(
    path: 'passthrough' | 'block-pi',
    lba: bigint,
    blocks: number,
    signal?: AbortSignal,
  ): Promise<BlocksJudged> {
    signal?.throwIfAborted();
    this.requirePath(path);
    this.requireRange(lba, blocks);
    const run = this.#transfers(lba, blocks);
    if (path === 'block-pi') return judgeBlockPi(this.#blockPi(), run);
    this.#requireRead(run.blocks, PROTECT.checked);
    const none = { blocks: run.blocks, verdict: null, wrong: false };
    const proof = await this.proof(signal);
    const holds = () => proof?.unitAttentions === this.transport?.unitAttentions;
    if (proof?.result !== 'crosses' || !holds() || !this.diskProfile) return none;
    const judged = await judgeInterleaved(this.#passthrough(), this.diskProfile, run, signal);
    // What came after a UNIT ATTENTION may be another disk's.
    return holds() ? judged : none;
  }

  /**
   * Reads these blocks by the block path until a transfer does not come whole: so many did, none if it was the first. Nobody here looks at
   * them: the kernel checks them on their way. It may end earlier, after a while.
   */
  async readThrough(lba: bigint, blocks: number, signal?: AbortSignal): Promise<number> {
    signal?.throwIfAborted();
    this.requirePath('block');
    this.requireRange(lba, blocks);
    const { blocks: each, count } = this.#transfers(lba, blocks);
    const handle = this.#block as NativeHandle;
    const { bytes } = await handle.readThrough(each * this.blockSize, lba * BigInt(this.blockSize), count);
    return Math.floor(bytes / (each * this.blockSize)) * each;
  }

  /** These blocks, or the first of them, as whole transfers. */
  #transfers(lba: bigint, blocks: number): TransferRun {
    const each = Math.min(blocks, this.transferBlocksMax);
    return { lba, blocks: each, count: Math.min(RUN_TRANSFERS_MAX, Math.floor(blocks / each)) };
  }

  #blockPi(): BlockPiSource {
    return {
      ...blockSourceOf(this, this.#block as NativeHandle),
      profile: this.kernelProfile as Profile,
    };
  }

  #passthrough(): PassthroughSource & { readonly transport: DiskTransport } {
    return { disk: this.device, transport: this.transport as DiskTransport, blockSize: this.blockSize };
  }

  /** Throws ERR_NO_PATH, and says why where that is given, unless the disk has the path. */
  requirePath(path: PathName, why: string | null = null): void {
    if (this.paths.includes(path)) return;
    const message = `${this.device} has no path ${path}${why === null ? '' : `: ${why}`}`;
    throw new IntegrityError('ERR_NO_PATH', message, { disk: this.device });
  }

  /** Throws ERR_OUT_OF_RANGE unless the blocks are all on the disk, and for what is no bigint and no whole number of blocks. */
  requireRange(lba: bigint, blocks: number): void {
    if (typeof lba === 'bigint' && Number.isInteger(blocks)) {
      this.requireOnDisk(lba, BigInt(blocks));
      return;
    }
    throw new IntegrityError(
      'ERR_OUT_OF_RANGE',
      `${this.device}: first block ${shown(lba)} must be a bigint, and ${shown(blocks)} blocks a whole number`,
      { disk: this.device },
    );
  }

  /** As {@link requireRange}, of any number of blocks. */
  requireOnDisk(lba: bigint, blocks: bigint): void {
    if (lba >= 0n && blocks > 0n && lba + blocks <= this.blocks) return;
    const range =
      lba < this.blocks ? `blocks ${lba} to ${lba + blocks - 1n} are not all` : `block ${lba} is not`;
    throw new IntegrityError(
      'ERR_OUT_OF_RANGE',
      `${this.device}: ${range} on the disk: it has blocks 0 to ${this.blocks - 1n}`,
      { disk: this.device },
    );
  }

  /** Whether the kernel still lists this very disk. */
  async stillThere(): Promise<boolean> {
    return (await this.sysfsNow()) !== null;
  }

  /** What sysfs says of it at this moment; null when it is gone. */
  async sysfsNow(): Promise<SysfsDisk | null> {
    return (await this.#listing()) ?? null;
  }

  /**
   * Whether it still is the disk that was opened, formatted as it was: by its own word, and of one that takes no commands by the kernel's, which
   * is asked unless `now` has its answer ({@link sysfsNow}).
   */
  async isSame(signal?: AbortSignal, now?: SysfsDisk | null): Promise<boolean> {
    if (this.transport !== null && this.facts !== null)
      return isStillThat(this.facts, this.transport, signal);
    const listed = now === undefined ? await this.sysfsNow() : now;
    if (listed === null) return false;
    const { wwid, blocks, logicalBlockSize, integrity } = this.sysfs;
    return (
      listed.wwid === wwid &&
      listed.blocks === blocks &&
      listed.logicalBlockSize === logicalBlockSize &&
      listed.integrity.format === integrity.format &&
      listed.integrity.interval === integrity.interval &&
      listed.integrity.tagSize === integrity.tagSize
    );
  }

  async close(): Promise<void> {
    await Promise.all([this.#sg?.close(), this.#block?.close()]);
    logs.get(this)?.[Symbol.dispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Opens a disk by its block node, its sg node or its bsg node, for reading.
 * Errors: ERR_OUT_OF_RANGE for a queue depth, ERR_NO_DEVICE, ERR_NOT_A_DISK, ERR_PARTITION, ERR_PERMISSION, ERR_DEVICE_GONE, ERR_NO_ADDON.
 */
export async function openDevice(path: string, options: OpenDiskOptions = {}): Promise<Disk> {
  const { signal, onCommand, queueDepth = 1, idle = false } = options;
  requireQueueDepth(queueDepth);
  const threads = { threads: queueDepth, idle };
  const { type, major, minor } = await deviceNumber(path);
  const found = findDisk(interpret(await readSnapshot()), type, major, minor);
  if (found === null) {
    throw new IntegrityError('ERR_NOT_A_DISK', `${path} is no disk that the kernel lists`, {
      disk: path,
      advice: 'See `blk-integrity list` for the disks of this host.',
    });
  }
  if (found.partition !== null) {
    throw new IntegrityError('ERR_PARTITION', `${path} is a partition of /dev/${found.disk.name}`, {
      disk: path,
      advice: `Name the whole disk and the blocks: /dev/${found.disk.name} --lba N --blocks N.`,
    });
  }
  const sysfs = found.disk;
  if (sysfs.peripheralType !== null && !DISK_TYPES.includes(sysfs.peripheralType)) {
    const message = `${path} is no disk: its SCSI peripheral device type is ${sysfs.peripheralType.toString(16)}h`;
    throw new IntegrityError('ERR_NOT_A_DISK', message, { disk: path });
  }
  const handles: NativeHandle[] = [];
  const keep = async (opening: Promise<NativeHandle>) => {
    const handle = await opening;
    handles.push(handle);
    return handle;
  };
  let log: KernelLog | null = null;
  try {
    const block = sysfs.block && (await keep(openNode(sysfs.block, READ_ONLY_DIRECT, threads)));
    const device = `/dev/${sysfs.name}`;
    const scsi = await openCommandNode(sysfs, found.by, block, (node) => keep(node), threads);
    const transport = scsi && traced(new SgTransport(scsi, device, false, { queueDepth }), onCommand);
    const facts = transport && (await learnFacts(transport, signal));
    const namespace = block && sysfs.kind === 'nvme' ? await learnNamespaceFormat(block) : null;
    const lbmd = block && (await block.lbmdCapability());
    log = KernelLog.open();
    return new Disk({
      device,
      sysfs,
      facts,
      namespace,
      lbmd: lbmd?.errno === 0 ? lbmd : null,
      noBlockPi: whyNoAttribute(),
      sg: scsi,
      block,
      transport,
      log,
      queueDepth,
      listing: async () => {
        const snapshot = await (sysfs.block ? readSnapshotOf(sysfs.name) : readSnapshot());
        return interpret(snapshot).find(isDisk(sysfs));
      },
    });
  } catch (error) {
    log?.[Symbol.dispose]();
    await Promise.all(handles.map((handle) => handle.close()));
    throw error;
  }
}

/** @throws ERR_OUT_OF_RANGE */
export function requireQueueDepth(queueDepth: number): void {
  if (Number.isInteger(queueDepth) && queueDepth >= 1 && queueDepth <= QUEUE_DEPTH_MAX) return;
  const message = `a queue depth of ${queueDepth}: it is a whole number from 1 to ${QUEUE_DEPTH_MAX}`;
  throw new IntegrityError('ERR_OUT_OF_RANGE', message);
}

/** Names come again for other disks, and so do addresses; both at once do not. */
export function isDisk({ name, hctl }: Pick<SysfsDisk, 'name' | 'hctl'>): (other: SysfsDisk) => boolean {
  return (other) => other.name === name && other.hctl === hctl;
}

/** Why this kernel takes no tuples by io_uring; null when it does. */
function whyNoAttribute(): string | null {
  const { errno, features } = native().ioUringFeatures();
  if (errno !== 0) return `io_uring cannot be used: ${errnoName(errno)} (sysctl kernel.io_uring_disabled)`;
  if ((features & IORING_FEAT_RW_ATTR) !== 0) return null;
  return 'this kernel takes no tuples by io_uring (Linux 6.14 and later do)';
}
