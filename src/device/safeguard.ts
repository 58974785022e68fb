/**
 * The one door through which anything is written. It opens only for disks that this package's own testbed made, holds the disk
 * exclusively, and saves the region first.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { NativeHandle } from '../binding.js';
import { IntegrityError } from '../errors.js';
import { defaultEngine } from '../pi/engine.js';
import { interpret, type SysfsDisk } from '../sysfs/disks.js';
import { parseMountinfo, parseSwaps, usesOf } from '../sysfs/mounts.js';
import { readSnapshot } from '../sysfs/snapshot.js';
import type { BlocksRead } from './blocks.js';
import type { Disk } from './disk.js';
import { ERRNO, errnoError } from './errno.js';
import { type DiskIdentity, learnIdentity, sameIdentity } from './facts.js';
import { openNode, READ_WRITE, READ_WRITE_EXCLUSIVE } from './node.js';
import { testbedKind } from './ours.js';
import { Region, type RegionRange } from './region.js';
import { SgTransport } from './transport.js';

/** How long, and how often, to ask for a lock that somebody holds. */
const LOCK_PATIENCE_MS = 5000;
const LOCK_STEP_MS = 100;

/** Bytes that one region may hold: it is saved in memory. */
const REGION_BYTES_MAX = 256 * 1024 * 1024;

/** Throws ERR_NOT_OURS unless this package's own testbed made the disk. */
export function requireOurs({ device: disk, sysfs, facts }: Disk): void {
  if (testbedKind(sysfs, facts) === null) throw notOurs(disk, sysfs, facts);
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

/**
 * Claims blocks of a testbed disk for writing: holds the disk with O_EXCL and flock(2), makes sure that both of its descriptors are that
 * disk, and saves data and tuples.
 * Errors: ERR_NOT_OURS, ERR_BUSY, ERR_PERMISSION, ERR_OUT_OF_RANGE, ERR_DEVICE_GONE, and ERR_IO for a region that does not read well by
 * every path.
 */
export async function claimRegion(
  disk: Disk,
  { lba, blocks }: RegionRange,
  signal?: AbortSignal,
): Promise<Region> {
  const range = Object.freeze({ lba, blocks });
  requireOurs(disk);
  disk.requireRange(lba, BigInt(blocks));
  if (blocks * disk.blockSize > REGION_BYTES_MAX) {
    const message = `a region of ${blocks} blocks is larger than ${REGION_BYTES_MAX} bytes`;
    throw new IntegrityError('ERR_OUT_OF_RANGE', message, { disk: disk.device });
  }
  const before = await listed(disk);
  requireWritable(disk, before);
  await requireIdle(disk.device, before);
  await requireSoleStore(disk.device, before);
  const { block: blockNode, sg: sgNode } = before.sysfs;
  if (!blockNode || !sgNode) {
    throw new IntegrityError(
      'ERR_NO_PATH',
      `${disk.device} needs a block node and an sg node to be written`,
      {
        disk: disk.device,
        advice: 'modprobe sd_mod sg',
      },
    );
  }
  const handles: NativeHandle[] = [];
  try {
    const block = await openNode(blockNode, READ_WRITE_EXCLUSIVE);
    handles.push(block);
    await lock(block, disk.device);
    const sg = await openNode(sgNode, READ_WRITE);
    handles.push(sg);
    const identity = await requireBothAre(disk, block, sg);
    const flushed = await block.flush();
    if (flushed.errno !== 0) throw errnoError(flushed.errno, 'flush', disk.device);
    return new Region({ disk, range, ...(await save(disk, range, signal)), block, sg, identity });
  } catch (error) {
    await Promise.all(handles.map((handle) => handle.close()));
    throw error;
  }
}

/** udev holds the lock for a moment after a disk came or was written: it is waited for. */
async function lock(block: NativeHandle, disk: string): Promise<void> {
  const end = performance.now() + LOCK_PATIENCE_MS;
  for (;;) {
    const { errno } = await block.lockExclusive();
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
async function listed({ device: disk, sysfs: { name, hctl } }: Disk): Promise<Listed> {
  const disks = interpret(await readSnapshot());
  const sysfs = disks.find((one) => one.name === name && one.hctl === hctl);
  if (sysfs) return { sysfs, disks };
  throw errnoError(ERRNO.ENODEV, 'no longer listed by the kernel', disk);
}

/** A disk that somebody set read-only stays as it is, by SG_IO too. */
function requireWritable({ device: disk, facts }: Disk, { sysfs }: Listed): void {
  if (!sysfs.readOnly && !facts?.control?.softwareWriteProtect) return;
  const why = sysfs.readOnly ? 'the kernel has it read-only' : 'SWP is set in its Control mode page';
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

/** Whatever the names did meanwhile: both descriptors are the disk that was opened, of its size, and ours. */
async function requireBothAre(disk: Disk, block: NativeHandle, sg: NativeHandle): Promise<DiskIdentity> {
  const { sysfs } = await listed(disk);
  const node = await block.status();
  const sgNode = await sg.status();
  const numbered =
    sysfs.block?.major === node.major &&
    sysfs.block.minor === node.minor &&
    sysfs.sg?.major === sgNode.major &&
    sysfs.sg.minor === sgNode.minor;
  const sized =
    node.logicalBlockSize === disk.blockSize && node.sizeBytes === disk.blocks * BigInt(disk.blockSize);
  if (!numbered || !sized) {
    const message = `${disk.device} is not the disk that was opened: its number, block size or size differs`;
    throw new IntegrityError('ERR_NOT_OURS', message, { disk: disk.device });
  }
  const [first, second] = [
    await learnIdentity(new SgTransport(block, disk.device, false)),
    await learnIdentity(new SgTransport(sg, disk.device, false)),
  ];
  if (first === null || second === null || testbedKind(sysfs, first) === null)
    throw notOurs(disk.device, sysfs, first);
  if (!sameIdentity(first, second) || disk.facts === null || !sameIdentity(first, disk.facts)) {
    throw notOurs(disk.device, sysfs, second);
  }
  return first;
}

/** Data and tuples of the region, which must read well by every path: what is wrong already cannot be put back as it was. */
async function save(
  disk: Disk,
  { lba, blocks }: RegionRange,
  signal?: AbortSignal,
): Promise<{ savedData: Uint8Array; savedTuples: Uint8Array | null }> {
  const { blockSize, kernelProfile, transferBlocksMax } = disk;
  const tupleBytes =
    kernelProfile === null ? 0 : (blockSize / kernelProfile.interval) * kernelProfile.metadataSize;
  const savedData = new Uint8Array(blocks * blockSize);
  let savedTuples = disk.paths.includes('block-pi') ? new Uint8Array(blocks * tupleBytes) : null;
  for (let at = 0; at < blocks; at += transferBlocksMax) {
    const from = lba + BigInt(at);
    const count = Math.min(transferBlocksMax, blocks - at);
    const reads = [await disk.readMedium(from, count, signal)];
    for (const path of disk.paths.filter((one) => one !== 'passthrough')) {
      reads.push(await disk.read(path, from, count, signal));
    }
    for (const read of reads) requireWell(disk, read, reads[0] as BlocksRead);
    savedData.set((reads[0] as BlocksRead).data as Uint8Array, at * blockSize);
    const tuples = reads.find((read) => read.tuples !== null)?.tuples ?? null;
    if (tuples === null) savedTuples = null;
    else savedTuples?.set(tuples, at * tupleBytes);
  }
  return { savedData, savedTuples };
}

function requireWell(disk: Disk, { lba, data, tuples, answer }: BlocksRead, medium: BlocksRead): void {
  const unwell = (why: string) =>
    new IntegrityError('ERR_IO', `${disk.device}: the region from block ${lba} cannot be saved: ${why}`, {
      disk: disk.device,
      advice: 'Choose blocks that read well by every path: see `blk-integrity crosscheck`.',
    });
  if (answer.kind === 'failed') throw unwell(answer.error.message);
  if (answer.kind === 'refused') throw unwell(`refused by ${answer.checker}: ${answer.text}`);
  if (data === null || medium.data === null) throw unwell('its data was not delivered');
  if (Buffer.compare(data, medium.data) !== 0) throw unwell('two paths deliver different data');
  const profile = disk.kernelProfile;
  if (tuples === null || profile === null) return;
  const seed = (lba * BigInt(disk.blockSize)) / BigInt(profile.interval);
  const { ok } = defaultEngine().verify(data, tuples, { profile, layout: 'separate', seed });
  if (!ok) throw unwell('its tuples do not fit its data');
}
