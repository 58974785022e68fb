/**
 * The one door through which anything is written. It opens only for disks that this package's own testbed made, holds the disk
 * exclusively, and saves the region first.
 */
import { IntegrityError } from '../errors.js';
import { defaultEngine } from '../pi/engine.js';
import type { PathName } from '../words.js';
import type { BlocksRead } from './blocks.js';
import type { Disk } from './disk.js';
import { holdDisk, requireOurs } from './hold.js';
import { Region, type RegionRange, type Saved } from './region.js';

/** Bytes that one region may hold: it is saved in memory. */
const REGION_BYTES_MAX = 256 * 1024 * 1024;

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
  requireClaimable(disk, range);
  const hold = await holdDisk(disk);
  try {
    return new Region(disk, range, await save(disk, range, signal), hold);
  } catch (error) {
    await hold.release();
    throw error;
  }
}

/** What can be said against a claim before the disk is held. Errors: ERR_NOT_OURS, ERR_OUT_OF_RANGE. */
export function requireClaimable(disk: Disk, { lba, blocks }: RegionRange): void {
  requireOurs(disk);
  disk.requireRange(lba, BigInt(blocks));
  if (blocks * disk.blockSize <= REGION_BYTES_MAX) return;
  const message = `a region of ${blocks} blocks is larger than ${REGION_BYTES_MAX} bytes`;
  throw new IntegrityError('ERR_OUT_OF_RANGE', message, { disk: disk.device });
}

/**
 * Data of the region and the tuples that each path delivers. They must read well by every path: what is wrong already cannot be put
 * back as it was.
 */
async function save(disk: Disk, { lba, blocks }: RegionRange, signal?: AbortSignal): Promise<Saved> {
  const { blockSize, transferBlocksMax } = disk;
  const data = new Uint8Array(blocks * blockSize);
  const tuples = new Map<PathName, Uint8Array>();
  const untold = new Set<PathName>();
  for (let at = 0; at < blocks; at += transferBlocksMax) {
    const from = lba + BigInt(at);
    const count = Math.min(transferBlocksMax, blocks - at);
    const medium = await disk.readMedium(from, count, signal);
    requireWell(disk, 'passthrough', medium, medium);
    data.set(medium.data as Uint8Array, at * blockSize);
    for (const path of disk.paths) {
      const read = await disk.read(path, from, count, signal);
      requireWell(disk, path, read, medium);
      if (read.tuples === null) {
        untold.add(path);
        continue;
      }
      const size = read.tuples.length / count;
      const saved = tuples.get(path) ?? new Uint8Array(blocks * size);
      saved.set(read.tuples, at * size);
      tuples.set(path, saved);
    }
  }
  // A path that kept any of its tuples back has saved none.
  for (const path of untold) tuples.delete(path);
  return { data, tuples };
}

function requireWell(disk: Disk, path: PathName, read: BlocksRead, medium: BlocksRead): void {
  const { lba, data, tuples, answer } = read;
  const unwell = (why: string) =>
    new IntegrityError('ERR_IO', `${disk.device}: the region from block ${lba} cannot be saved: ${why}`, {
      disk: disk.device,
      advice: 'Choose blocks that read well by every path: see `blk-integrity crosscheck`.',
    });
  if (answer.kind === 'failed') throw unwell(answer.error.message);
  if (answer.kind === 'refused') throw unwell(`refused by ${answer.checker}: ${answer.text}`);
  if (data === null || medium.data === null) throw unwell('its data was not delivered');
  if (Buffer.compare(data, medium.data) !== 0) throw unwell('two paths deliver different data');
  const profile = disk.profileBy(path);
  if (tuples === null || profile === null) return;
  const seed = (lba * BigInt(disk.blockSize)) / BigInt(profile.interval);
  const { ok } = defaultEngine().verify(data, tuples, { profile, layout: 'separate', seed });
  if (!ok) throw unwell('its tuples do not fit its data');
}
