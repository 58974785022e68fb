/**
 * Finds and loads the native addon, and says what to do when it cannot.
 * This file lies directly in src/ so that '..' is the package root from src/ and from lib/ alike.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { IntegrityError } from './errors.js';

/** What one SG_IO (sg v3) answered: the fields of sg_io_hdr that carry results. `errno` 0 means the ioctl itself succeeded. */
export interface SgResult {
  readonly errno: number;
  /** SCSI status byte. */
  readonly status: number;
  /** DID_* of the host adapter's driver. */
  readonly hostStatus: number;
  readonly driverStatus: number;
  /** Bytes of the data buffer that were not transferred, by the driver's word. */
  readonly resid: number;
  /** The sense bytes that were written, 0 to 96. */
  readonly sense: Uint8Array;
  readonly durationMs: number;
  /** Bytes behind the data buffer were written to. The buffer of the kernel's transfer is the addon's own, with a canary at its end. */
  readonly overrun: boolean;
}

export interface SgRequest {
  /** 6 to 32 bytes. */
  readonly cdb: Uint8Array;
  readonly direction: 'none' | 'from-device' | 'to-device';
  /** The data buffer, filled or sent whole; null with direction 'none'. Not to be touched until settled. */
  readonly data: Uint8Array | null;
  readonly timeoutMs: number;
}

/** What a read or write answered: `bytes` transferred when errno is 0. */
export interface TransferResult {
  readonly errno: number;
  readonly bytes: number;
}

/** The PI attribute of one io_uring command (struct io_uring_attr_pi, Linux 6.14). */
export interface PiAttribute {
  /** IO_INTEGRITY_CHK_* bits: guard 1, reference tag 2, application tag 4. */
  readonly flags: number;
  readonly appTag: number;
  /** Reference tag of the first interval, in intervals. */
  readonly seed: bigint;
  /** The tuples: read into, or written from, this buffer. Not to be touched until settled. */
  readonly tuples: Uint8Array;
}

/** How blocks that were read are verified where they came in. Sizes in bytes. */
export interface NativeReadRule extends Pick<NativeTupleJob, 'interval' | 'piOffset' | 'guard'> {
  readonly metadataSize: number;
  /** Reference tag of the first interval: the low bits that a tuple holds are compared. */
  readonly seed: bigint;
  readonly checks: NativeVerifyJob['checks'];
  readonly escape: NativeVerifyJob['escape'];
  /** So many bad intervals are named at most. */
  readonly findingsMax: number;
}

export interface NativeReadVerdict extends Pick<NativeVerifyResult, 'checked' | 'escaped' | 'bad'> {
  /** Numbers of the first bad intervals, from 0, in order. */
  readonly badIntervals: Uint32Array;
}

/**
 * What a run of reads came to whose bytes stay in the addon. One is begun when those before it are clean: whole, and no interval bad. After
 * a second none is begun any more.
 */
export interface NativeRunVerdict {
  /** Of the clean ones together; of the first alone where it is not clean: null when not all of it came. */
  readonly verified: NativeReadVerdict | null;
  /** Reads that the verdict is of. */
  readonly reads: number;
  /** Whether the last one that was sent is. */
  readonly clean: boolean;
}

/** READs of neighbouring blocks, 1 to 1024, whose bytes, data and tuples interleaved, stay in the addon. */
export interface SgVerifyRequest {
  readonly cdbs: readonly Uint8Array[];
  /** Of each. */
  readonly bytes: number;
  /** Of each. */
  readonly timeoutMs: number;
  /** Of the first; the others go on from its reference tags. */
  readonly rule: NativeReadRule;
}

/** All is there when a command is GOOD without sense and residue, and has written to every tuple. The other members are of the last one sent. */
export interface SgVerifyResult extends SgResult, NativeRunVerdict {}

/** Neighbouring io_uring reads with tuples, 1 to 1024, whose bytes stay in the addon. */
export interface PiVerifyRequest extends Pick<PiAttribute, 'flags' | 'seed'> {
  readonly offset: bigint;
  /** Of data, and of tuples, of each. */
  readonly bytes: number;
  readonly tupleBytes: number;
  readonly reads: number;
  /** Of the first; the others go on from its reference tags. */
  readonly rule: NativeReadRule;
}

/** The other members are of the last one. */
export interface PiVerifyResult extends TransferResult, NativeRunVerdict {}

/** struct logical_block_metadata_cap of FS_IOC_GETLBMD_CAP (Linux 6.17). */
export interface LbmdCapability {
  readonly errno: number;
  readonly flags: number;
  readonly interval: number;
  readonly size: number;
  readonly opaqueSize: number;
  readonly opaqueOffset: number;
  readonly piSize: number;
  readonly piOffset: number;
  readonly guardTagType: number;
  readonly appTagSize: number;
  readonly refTagSize: number;
  readonly storageTagSize: number;
}

/** One NVMe Read or Write. Buffers of the sizes that the namespace is formatted to, or EINVAL (22) and nothing is sent. */
export interface NvmeIoRequest {
  readonly opcode: 'read' | 'write';
  readonly slba: bigint;
  /** 1 to 65536. */
  readonly blocks: number;
  /** Read into or written from; neither to be touched until settled. */
  readonly data: Uint8Array;
  readonly metadata: Uint8Array;
  /** Tags that the controller is to check: guard 4, application tag 2, reference tag 1. PRACT is 0: tuples travel. */
  readonly prchk: number;
  /** To be expected of the first block; 48 bits. */
  readonly refTag: bigint;
  readonly appTag: number;
  readonly appMask: number;
  readonly timeoutMs: number;
}

export interface NvmeResult {
  readonly errno: number;
  /** Status field of the completion, 15 bits: SC in bits 7:0, SCT in 10:8, DNR 4000h. 0 is success. */
  readonly status: number;
}

export interface NvmeIdentifyRequest {
  /** CNS 00h, or 05h for the NVM command set's own. */
  readonly structure: 'namespace' | 'nvm-namespace';
  readonly timeoutMs: number;
}

export interface NvmeIdentifyResult extends NvmeResult {
  readonly nsid: number;
  /** 4096 bytes. */
  readonly data: Uint8Array;
}

/** What fstat and the block ioctls say of an open node. Sizes are 0 for a node that is no block device. */
export interface NodeStatus {
  readonly errno: number;
  readonly mode: number;
  readonly major: number;
  readonly minor: number;
  /** BLKSSZGET, bytes. */
  readonly logicalBlockSize: number;
  /** BLKGETSIZE64, bytes. */
  readonly sizeBytes: bigint;
}

/** A device node that a process has open. */
export interface OpenNode {
  readonly pid: number;
  readonly command: string;
  readonly type: 'block' | 'character';
  readonly major: number;
  readonly minor: number;
}

export interface OpenNodes {
  /** Of reading /proc itself. */
  readonly errno: number;
  readonly nodes: readonly OpenNode[];
  /** Process ids whose files may not be looked at. */
  readonly hidden: readonly number[];
}

/**
 * One open device node with threads of its own, never of libuv's pool: calls are begun in their order, as many at once as it has threads,
 * and answered as they end. Every call answers with an errno (positive, 0 for success) instead of throwing; a call after close() answers
 * EBADF (9), one that would wait behind 64 others, or behind as many as it has threads where those are more, EAGAIN (11).
 */
export interface NativeHandle {
  /** open(2) with O_CLOEXEC added. */
  open(path: string, flags: number): Promise<{ readonly errno: number }>;
  status(): Promise<NodeStatus>;
  /** SG_IO version 3, on a block node or an sg node. */
  sgIo(request: SgRequest): Promise<SgResult>;
  /** SG_IO version 4, on a bsg node. */
  bsgIo(request: SgRequest): Promise<SgResult>;
  /** Several of the same, with the bytes verified on the thread that read them: the verdict alone comes back. */
  sgVerify(request: SgVerifyRequest): Promise<SgVerifyResult>;
  bsgVerify(request: SgVerifyRequest): Promise<SgVerifyResult>;
  verifyWithPi(request: PiVerifyRequest): Promise<PiVerifyResult>;
  /**
   * Neighbouring reads, 1 to 1024 of so many bytes each, by pread(2), that nobody here looks at: others check them on their way. They end as
   * a {@link NativeRunVerdict} does; `bytes` came of all.
   */
  readThrough(bytes: number, offset: bigint, reads: number): Promise<TransferResult>;
  /** pread(2) and pwrite(2) at `offset` bytes. */
  read(buffer: Uint8Array, offset: bigint): Promise<TransferResult>;
  write(buffer: Uint8Array, offset: bigint): Promise<TransferResult>;
  /** IORING_OP_READ and IORING_OP_WRITE with the PI attribute: ENOTSUP (95) when the kernel lacks the feature bit. */
  readWithPi(buffer: Uint8Array, offset: bigint, pi: PiAttribute): Promise<TransferResult>;
  writeWithPi(buffer: Uint8Array, offset: bigint, pi: PiAttribute): Promise<TransferResult>;
  lbmdCapability(): Promise<LbmdCapability>;
  /** NVMe pass-through on a namespace's block node: NVME_IOCTL_IO_CMD and NVME_IOCTL_ADMIN_CMD; ENOTTY (25) elsewhere. */
  nvmeIo(request: NvmeIoRequest): Promise<NvmeResult>;
  nvmeIdentify(request: NvmeIdentifyRequest): Promise<NvmeIdentifyResult>;
  /** flock(2) LOCK_EX | LOCK_NB. */
  lockExclusive(): Promise<{ readonly errno: number }>;
  /** fsync(2), then BLKFLSBUF on a block device. */
  flush(): Promise<{ readonly errno: number }>;
  /** Waits for the commands in flight, answers the queued ones with ECANCELED (125), closes the node. Idempotent. */
  close(): Promise<void>;
}

/** A SCSI command that the kernel hands to a TCMU server. */
export interface TcmuCommand {
  /** Names the command until it is completed. */
  readonly id: number;
  readonly cdb: Uint8Array;
  /** As many bytes as the initiator sends or takes: the CDB tells which. */
  readonly dataBytes: number;
}

export interface TcmuBatch {
  /** 0; EPROTO (71) when the ring is malformed, ESTALE (116) when somebody reset it: then nothing more can be served. */
  readonly errno: number;
  readonly commands: readonly TcmuCommand[];
  /** Commands that a task management function aborts, which waits for them to be completed. */
  readonly aborted: readonly number[];
}

/** Serves one TCMU device. The process stays alive while it is open. Its calls on the ring do not block. */
export interface NativeTcmuServer {
  /**
   * Opens a UIO node whose map 0 has `mapBytes` bytes; from the next turn of the event loop on `onCommands` is called. It must not throw.
   * Returns 0 or an errno: EBUSY (16) when it is open already or another process serves the device.
   */
  open(path: string, mapBytes: number, onCommands: (batch: TcmuBatch) => void): number;
  /** A copy of what the initiator of a command sends. Throws ERR_OUT_OF_RANGE when no such command is under way. */
  dataOut(id: number): Uint8Array;
  /**
   * Completes a command, in any order: at most 96 bytes of sense; null for data when the command brings none, else the initiator is told
   * how many bytes came. Returns 0 or an errno, ENOENT (2) when no such command is under way. The kernel looks when it is kicked.
   */
  complete(id: number, status: number, sense: Uint8Array, dataIn: Uint8Array | null): number;
  /** Tells the kernel of what was completed. Returns 0 or an errno. */
  kick(): number;
  /** Commands under way stay in the ring. Idempotent. */
  close(): void;
}

/** How the tuples of a run of intervals lie in memory, and the rule they follow. Offsets and sizes in bytes. */
export interface NativeTupleJob {
  /** The buffer with the data. Interval i is data[i * dataStride .. + interval]. */
  readonly data: Uint8Array;
  readonly dataStride: number;
  readonly interval: number;
  readonly intervals: number;
  /** The buffer with the metadata: the same one when interleaved. Metadata i starts at metadataStart + i * metadataStride. */
  readonly metadata: Uint8Array;
  readonly metadataStart: number;
  readonly metadataStride: number;
  /** Where the tuple lies inside the metadata; the metadata before it is covered by the guard, after the data. */
  readonly piOffset: number;
  /** 0 CRC-16 T10-DIF, 1 IP checksum, both in tuples of 8 bytes; 2 CRC-64 NVMe, in tuples of 16. */
  readonly guard: 0 | 1 | 2;
  /** Reference tag of the first interval (32 bits; 48 in a tuple of 16 bytes). */
  readonly seed: number;
  /**
   * Application tags of ranges, in rising order and apart, three numbers each: first interval, count (1 or more), tag. The others have
   * the job's `appTag`.
   */
  readonly appTags: Uint32Array;
}

export interface NativeGenerateJob extends NativeTupleJob {
  /** Counts up from the seed, or is written 0. */
  readonly refTag: 'count' | 'zero';
  readonly appTag: number;
}

export interface NativeVerifyJob extends NativeTupleJob {
  /** What is compared, in this order: 0 guard, 1 application tag, 2 reference tag. Without 0 the data is not read. */
  readonly checks: Uint8Array;
  /** Which tuples are not checked: application tag FFFFh, or that and a reference tag of all ones. */
  readonly escape: 'app' | 'app-and-ref';
  /** Whether such a tuple ends the job. */
  readonly escapeCovers: 'interval' | 'rest';
  /** The application tag to compare with outside the ranges, or -1 for none. */
  readonly appTag: number;
  /** The bits of it that are compared. */
  readonly appTagMask: number;
  /** At most so many findings are returned; the counts go on. */
  readonly findingsMax: number;
}

export interface NativeVerifyResult {
  /** Intervals of which a field was compared. */
  readonly checked: number;
  readonly escaped: number;
  readonly bad: number;
  /** The bad intervals by the first check that differed: guard, application tag, reference tag. */
  readonly badByCheck: readonly [number, number, number];
  /**
   * Five numbers a finding, in order of intervals: interval, the first check that differs (0 guard, 1 app, 2 ref), its stored and its
   * computed value, and a bit (1 << check) for each that differs.
   */
  readonly findings: BigUint64Array;
}

/** The ways to compute guards that the addon has for this architecture, the slowest first. */
export interface GuardKernels {
  /** `runsHere`: whether this CPU has the instructions, and the system saves their registers. */
  readonly kernels: readonly { readonly name: string; readonly runsHere: boolean }[];
  /** The name of that which computes guards: the last that runs here, or that which BLK_INTEGRITY_GUARD_KERNEL names. */
  readonly inUse: string;
}

declare const ofPlan: unique symbol;

/** A job whose other parts were read once: for any number of intervals, in memory that comes with every call. */
export interface NativePlan<Kind extends 'generate' | 'verify'> {
  readonly [ofPlan]: Kind;
}

/**
 * Every interval of `data` is worked on; without `metadata` they are interleaved. The seed is from 0 to 2^64 - 1. Shared and resizable
 * memory is the caller's to refuse.
 */
export type NativeRun<Kind extends 'generate' | 'verify', Answer> = (
  plan: NativePlan<Kind>,
  seed: bigint,
  data: Uint8Array,
  metadata?: Uint8Array,
) => Answer;

/** As {@link NativeRun}; the blocks are never left out. */
export type NativeCopyingRun<Kind extends 'generate' | 'verify', Answer> = (
  plan: NativePlan<Kind>,
  seed: bigint,
  data: Uint8Array,
  blocks: Uint8Array,
) => Answer;

/** Null when `stop` came in time. */
export interface NativeBackgroundJob<Answer> {
  readonly done: Promise<Answer | null>;
  readonly stop: () => void;
}

/** A number: so many intervals there are, every one was checked, and none is bad. */
export type NativeVerdict = NativeVerifyResult | number;

export interface NativeBinding {
  /**
   * `threads`: calls under way at once, 1 to 128, 1 without it. An sg node is opened once for every 16. `idle`: their I/O goes when no
   * other's waits (ioprio_set(2)), where a scheduler heeds that.
   */
  readonly Handle: new (
    threads?: number,
    idle?: boolean,
  ) => NativeHandle;
  readonly TcmuServer: new () => NativeTcmuServer;
  /** CRC-16 T10-DIF (polynomial 8BB7h) going on from `seed`. */
  crc16T10Dif(seed: number, data: Uint8Array): number;
  /** CRC-64 NVMe going on from `seed`, the CRC of what came before (0 to begin). */
  crc64Nvme(seed: bigint, data: Uint8Array): bigint;
  /** IP checksum, as the two stored bytes read big-endian. Odd lengths are padded with a zero byte. */
  ipChecksum(data: Uint8Array): number;
  guardKernels(): GuardKernels;
  /** From now on, in every thread of the process. False where no kernel of that name runs here: then nothing changes. */
  useGuardKernel(name: string): boolean;
  generate(job: NativeGenerateJob): void;
  /** Per interval: escape, then the checks in their order. */
  verify(job: NativeVerifyJob): NativeVerifyResult;
  /** Copies each interval into its block first, which is the job's metadata; the block's metadata outside the tuple becomes 0. */
  insert(job: NativeGenerateJob): void;
  /** Copies each interval out of its block first. */
  strip(job: NativeVerifyJob): NativeVerifyResult;
  /** These do not look at the job's buffers, intervals and seed. */
  generatePlan(job: NativeGenerateJob): NativePlan<'generate'>;
  verifyPlan(job: NativeVerifyJob): NativePlan<'verify'>;
  readonly runGenerate: NativeRun<'generate', void>;
  readonly runVerify: NativeRun<'verify', NativeVerdict>;
  readonly runInsert: NativeCopyingRun<'generate', void>;
  readonly runStrip: NativeCopyingRun<'verify', NativeVerdict>;
  /**
   * On threads of the addon's own. Works on {@link pinnedMemory} as it is, on a copy of other memory: metadata that was made in a copy
   * comes into the caller's array at the end; false when that is detached by then.
   */
  readonly startGenerate: NativeRun<'generate', NativeBackgroundJob<boolean>>;
  readonly startVerify: NativeRun<'verify', NativeBackgroundJob<NativeVerdict>>;
  /** Zeroed, from a page's beginning on; lives as long as this ArrayBuffer or a job on it. */
  pinnedMemory(bytes: number): ArrayBuffer;
  /** The smallest offset into `buffer` whose address is a multiple of `alignment` (a power of two, at most 65536). */
  alignedOffset(buffer: ArrayBuffer, alignment: number): number;
  /** io_uring's features word of the running kernel, or the errno of io_uring_setup. */
  ioUringFeatures(): { readonly errno: number; readonly features: number };
  /** Device nodes that processes have open, by `proc`/PID/fd; `proc` is /proc, or a folder like it in tests. */
  openNodes(proc: string): Promise<OpenNodes>;
  /**
   * One snapshot below `root`: each pattern is a relative path in which a component `*` stands for every entry. A pattern
   * that ends in '@' reads a symbolic link's target, one that ends in '/' lists a folder (names joined with newlines), any other reads
   * a file of up to 64 KiB, trailing white space cut. What does not exist is left out; other errors are counted by path.
   */
  sysfsSnapshot(
    root: string,
    patterns: readonly string[],
  ): Promise<{ readonly entries: Record<string, string>; readonly errors: Record<string, number> }>;
}

const require = createRequire(import.meta.url);
const packageRoot = fileURLToPath(new URL('..', import.meta.url));

function load(): NativeBinding {
  const nodeGypBuild = require('node-gyp-build') as (root: string) => NativeBinding;
  try {
    return nodeGypBuild(packageRoot);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    throw new IntegrityError(
      'ERR_NO_ADDON',
      `the native addon of blk-integrity could not be loaded: ${(cause as Error).message}`,
      {
        cause,
        advice:
          code === 'ERR_DLOPEN_DISABLED'
            ? 'Run node with --allow-addons.'
            : 'In a clone run `npm run build:native`; in an installed package `npm explore blk-integrity -- npm run build:native` (g++, make and python3 are needed).',
      },
    );
  }
}

/** For tests and bug reports. */
const GUARD_KERNEL = 'BLK_INTEGRITY_GUARD_KERNEL';

function withGuardKernelOf(environment: NodeJS.ProcessEnv, loaded: NativeBinding): NativeBinding {
  const name = environment[GUARD_KERNEL];
  if (name === undefined || loaded.useGuardKernel(name)) return loaded;
  const names = loaded.guardKernels().kernels.flatMap((kernel) => (kernel.runsHere ? [kernel.name] : []));
  throw new IntegrityError(
    'ERR_USAGE',
    `${GUARD_KERNEL}=${name}: no guard kernel of that name runs on this CPU`,
    {
      advice: `Unset it, or set it to one of ${names.join(', ')}.`,
    },
  );
}

let binding: NativeBinding | undefined;

/**
 * The addon, loaded on first use. Throws ERR_NO_ADDON with what to do, and ERR_USAGE where the environment asks for a guard kernel that does
 * not run here.
 */
export function native(): NativeBinding {
  binding ??= withGuardKernelOf(process.env, load());
  return binding;
}
