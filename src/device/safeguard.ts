/**
 * The one door through which anything is written. It opens only for disks that this package's own testbed made, holds the disk
 * exclusively, saves the region first, lets nothing be written beside it, and puts it back.
 */
import { readFile } from 'node:fs/promises';
import type { NativeHandle } from '../binding.js';
import { IntegrityError } from '../errors.js';
import { interpret } from '../sysfs/disks.js';
import { parseMountinfo, parseSwaps, usesOf } from '../sysfs/mounts.js';
import { readSnapshot } from '../sysfs/snapshot.js';
import type { Answer } from './blocks.js';
import type { Disk } from './disk.js';
import { errnoError } from './errno.js';
import { openNode, READ_WRITE, READ_WRITE_EXCLUSIVE } from './node.js';
import { testbedKind } from './ours.js';
import { Region, type RegionRange } from './region.js';
import { SgTransport } from './transport.js';

/** Bytes that one region may hold: it is saved in memory. */
const REGION_BYTES_MAX = 256 * 1024 * 1024;

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
