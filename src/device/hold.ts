/**
 * Holding a disk of our own testbed for writing: nobody else uses it, nobody else can claim it, and every descriptor that writes is
 * that very disk.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { NativeHandle } from '../binding.js';
import { IntegrityError } from '../errors.js';
import { interpret, type SysfsDisk } from '../sysfs/disks.js';
import { parseMountinfo, parseSwaps, usesOf } from '../sysfs/mounts.js';
import { readSnapshot } from '../sysfs/snapshot.js';
import { type Disk, isDisk } from './disk.js';
import { ERRNO, errnoError } from './errno.js';
import { type DiskIdentity, learnCapacity, learnIdentity, sameCapacity, sameIdentity } from './facts.js';
import { inProcessNode } from './in-process.js';
import { openNode, READ_WRITE, READ_WRITE_EXCLUSIVE } from './node.js';
import { testbedKind } from './ours.js';
import type { CommandNode, DiskTransport } from './transport.js';

/** How long, and how often, to ask for a lock that somebody holds. */
const LOCK_PATIENCE_MS = 5000;
const LOCK_STEP_MS = 100;

/** Disks in this process that are held. */
const heldInProcess = new WeakSet<CommandNode>();

/** Throws ERR_NOT_OURS unless this package's own testbed made the disk. What lies in this process is nobody else's. */
export function requireOurs(disk: Disk): void {
  const { device, sysfs, facts } = disk;
  if (inProcessNode(disk) === null && testbedKind(sysfs, facts) === null) throw notOurs(device, sysfs, facts);
}

function notOurs(disk: string, sysfs: SysfsDisk, identity: DiskIdentity | null): IntegrityError {
  const { vendor = '-', product = '-' } = identity?.inquiry ?? {};
  const seen = `driver ${sysfs.host?.driver ?? 'none'}, INQUIRY ${vendor} ${product}`;
  const message = `${disk} was not made by this package's testbed (${seen}): nothing is written to it`;
  return new IntegrityError('ERR_NOT_OURS', message, {
    disk,
    advice: 'Make one with `blk-integrity testbed scsi-debug create`, or leave out what writes.',
  });
}

/** A disk that is held until it is released. */
export interface Hold {
  /** Null where the disk has no block node. */
  readonly block: NativeHandle | null;
  /** By either descriptor: each is asked who it is before it is written through. */
  readonly transports: { readonly block: DiskTransport | null; readonly sg: DiskTransport };
  release(): Promise<void>;
}

/** Errors: ERR_NOT_OURS, ERR_READ_ONLY, ERR_BUSY, ERR_PERMISSION, ERR_NO_PATH, ERR_DEVICE_GONE. */
export async function holdDisk(disk: Disk): Promise<Hold> {
  requireOurs(disk);
  const node = inProcessNode(disk);
  return node === null ? holdNodes(disk) : holdInProcess(disk, node);
}

async function holdInProcess(disk: Disk, node: CommandNode): Promise<Hold> {
  requireWritable(disk);
  if (heldInProcess.has(node)) throw errnoError(ERRNO.EWOULDBLOCK, 'claim', disk.device);
  heldInProcess.add(node);
  const release = async () => {
    heldInProcess.delete(node);
  };
  try {
    const sg = writableBy(disk, node);
    await requireSameDisk(disk, sg);
    return { block: null, transports: { block: null, sg }, release };
  } catch (error) {
    await release();
    throw error;
  }
}

async function holdNodes(disk: Disk): Promise<Hold> {
  const before = await listed(disk);
  requireWritable(disk, before.sysfs.readOnly);
  await requireIdle(disk.device, before);
  await requireSoleStore(disk.device, before);
  const { block: blockNode, sg: sgNode } = before.sysfs;
  // sd is kept from an emulated disk with protection, and what has no block node nobody mounts.
  const needsBlock = disk.paths.includes('block') || testbedKind(before.sysfs, disk.facts) !== 'emulated';
  if (!sgNode || (!blockNode && needsBlock)) {
    const message = `${disk.device} needs ${needsBlock ? 'a block node and ' : ''}an sg node to be written`;
    throw new IntegrityError('ERR_NO_PATH', message, { disk: disk.device, advice: 'modprobe sd_mod sg' });
  }
  const handles: NativeHandle[] = [];
  const release = async () => {
    await Promise.all(handles.map((handle) => handle.close()));
  };
  try {
    const block = blockNode && (await openNode(blockNode, READ_WRITE_EXCLUSIVE));
    if (block) handles.push(block);
    const sg = await openNode(sgNode, READ_WRITE);
    handles.push(sg);
    await lock(block ?? sg, disk.device);
    const transports = { block: block && writableBy(disk, block), sg: writableBy(disk, sg) };
    await requireNumbered(disk, block, sg);
    if (transports.block) await requireSameDisk(disk, transports.block);
    await requireSameDisk(disk, transports.sg);
    const flushed = await block?.flush();
    if (flushed && flushed.errno !== 0) throw errnoError(flushed.errno, 'flush', disk.device);
    return {
      block,
      transports,
      release: async () => {
        await block?.flush();
        await release();
      },
    };
  } catch (error) {
    await release();
    throw error;
  }
}

/** A disk that is ours has answered commands. */
function writableBy(disk: Disk, node: CommandNode): DiskTransport {
  return (disk.transport as DiskTransport).writableBy(node);
}

/**
 * Asks the disk behind a descriptor again who it is and how it is formatted. Throws ERR_NOT_OURS unless it is the one that was opened,
 * as it was then.
 */
export async function requireSameDisk(disk: Disk, transport: DiskTransport): Promise<void> {
  const { device, facts } = disk;
  const now = await learnIdentity(transport);
  const capacity = await learnCapacity(transport);
  if (facts !== null && now !== null && sameIdentity(now, facts) && sameCapacity(capacity, facts.capacity))
    return;
  const message = `${device} is no longer the disk that was opened, or was formatted anew: nothing is written to it`;
  throw new IntegrityError('ERR_NOT_OURS', message, { disk: device });
}

/** udev holds the lock for a moment after a disk came or was written: it is waited for. */
async function lock(handle: NativeHandle, disk: string): Promise<void> {
  const end = performance.now() + LOCK_PATIENCE_MS;
  for (;;) {
    const { errno } = await handle.lockExclusive();
    if (errno === 0) return;
    if (errno !== ERRNO.EWOULDBLOCK || performance.now() > end) throw errnoError(errno, 'flock', disk);
    await delay(LOCK_STEP_MS);
  }
}

interface Listed {
  readonly sysfs: SysfsDisk;
  readonly disks: readonly SysfsDisk[];
}

/** The disk as the kernel lists it now. */
async function listed({ device: disk, sysfs: opened }: Disk): Promise<Listed> {
  const disks = interpret(await readSnapshot());
  const sysfs = disks.find(isDisk(opened));
  if (sysfs) return { sysfs, disks };
  throw errnoError(ERRNO.ENODEV, 'no longer listed by the kernel', disk);
}

/** A disk that somebody set read-only stays as it is, by SG_IO too. */
function requireWritable({ device: disk, facts }: Disk, readOnly = false): void {
  if (!readOnly && !facts?.control?.softwareWriteProtect) return;
  const why = readOnly ? 'the kernel has it read-only' : 'SWP is set in its Control mode page';
  throw new IntegrityError('ERR_READ_ONLY', `${disk} is write-protected: ${why}`, {
    disk,
    advice: 'blockdev --setrw, or leave out what writes.',
  });
}

/** Throws ERR_BUSY while the disk or a partition of it is mounted, swapped on or held by a device above it. */
async function requireIdle(disk: string, { sysfs, disks }: Listed): Promise<void> {
  const mounts = parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
  const swaps = parseSwaps(await readFile('/proc/swaps', 'utf8'));
  const users = usesOf(disks, sysfs, { mounts, swaps }).map(
    ({ name, how, by }) => `${name} is ${how} (${by})`,
  );
  if (users.length === 0) return;
  throw new IntegrityError('ERR_BUSY', `${disk} is in use: ${users.join(', ')}`, {
    disk,
    advice: 'Unmount it, switch it off or take it out of what holds it.',
  });
}

/** All disks of scsi_debug share one memory, and with virtual_gb several blocks of one disk do: a write would show elsewhere too. */
async function requireSoleStore(disk: string, { sysfs, disks }: Listed): Promise<void> {
  if (sysfs.host?.driver !== 'scsi_debug') return;
  const others = disks.filter((one) => one.host?.driver === 'scsi_debug' && one.hctl !== sysfs.hctl);
  const virtual = await readFile('/sys/bus/pseudo/drivers/scsi_debug/virtual_gb', 'utf8').catch(() => '0');
  const why = [
    ...others.map(({ name }) => `it may share its blocks with /dev/${name}`),
    ...(Number(virtual) === 0 ? [] : ['virtual_gb makes several of its blocks one']),
  ];
  if (why.length === 0) return;
  throw new IntegrityError('ERR_BUSY', `${disk}: ${why.join(', ')}`, {
    disk,
    advice: 'Load scsi_debug with one disk (add_host=1 num_tgts=1 max_luns=1 virtual_gb=0).',
  });
}

/** Whatever the names did meanwhile: both descriptors are the nodes of the disk, as the kernel lists it now, and of its size. */
async function requireNumbered(disk: Disk, block: NativeHandle | null, sg: NativeHandle): Promise<void> {
  const { sysfs } = await listed(disk);
  if (testbedKind(sysfs, disk.facts) === null) throw notOurs(disk.device, sysfs, disk.facts);
  const node = await block?.status();
  const sgNode = await sg.status();
  const numbered =
    sysfs.block?.major === node?.major &&
    sysfs.block?.minor === node?.minor &&
    sysfs.sg?.major === sgNode.major &&
    sysfs.sg.minor === sgNode.minor;
  const sized =
    node === undefined ||
    (node.logicalBlockSize === disk.blockSize && node.sizeBytes === disk.blocks * BigInt(disk.blockSize));
  if (numbered && sized) return;
  const message = `${disk.device} is not the disk that was opened: its number, block size or size differs`;
  throw new IntegrityError('ERR_NOT_OURS', message, { disk: disk.device });
}
