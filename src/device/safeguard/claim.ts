/**
 * The one door through which anything is written. It opens for disks that this package's own testbed made or that their owner names,
 * holds the disk exclusively, and saves the region first.
 */
import { IntegrityError } from '../../errors.js';
import { defaultEngine } from '../../pi/engine.js';
import type { PathName } from '../../words.js';
import type { BlocksRead } from '../blocks.js';
import type { Disk } from '../disk.js';
import { seedOf } from '../protected-range.js';
import { holdDisk, requireFlushed } from './hold.js';
import { requireSight } from './idle.js';
import { headOf, Journal } from './journal.js';
import { requireSafePlace } from './journal-place.js';
import { requireSoleName } from './named-disk.js';
import { isOurs } from './ours.js';
import { type Ownership, requireAllowed, requirePlace } from './permission.js';
import { Region } from './region.js';
import type { RegionRange, Saved } from './saved-region.js';

/** Bytes that one region may hold: it is saved in memory. */
const REGION_BYTES_MAX = 256 * 1024 * 1024;

export interface ClaimOptions extends Ownership {
  /**
   * The file in which the region is saved before the first write. Without it a disk of the testbed is saved in memory alone; any other
   * needs one.
   */
  readonly journal?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Claims blocks for writing: holds the disk with O_EXCL and flock(2), makes sure that nobody else uses it and that its descriptors are
 * that disk, and saves data and tuples. It opens for disks that this package's testbed made, and for those that their owner names.
 * Errors: ERR_NOT_OURS, ERR_USAGE without a journal or for one in a bad place, ERR_BUSY, ERR_PERMISSION, ERR_OUT_OF_RANGE, ERR_NOT_A_DISK,
 * ERR_NO_PATH where no path shows the tuples of a disk that is not ours, ERR_DEVICE_GONE, and ERR_IO for a region that does not read well
 * by every path.
 */
export async function claimRegion(
  disk: Disk,
  { lba, blocks }: RegionRange,
  options: ClaimOptions = {},
): Promise<Region> {
  const range = Object.freeze({ lba, blocks });
  const { device } = disk;
  const { journal: path, signal } = options;
  requireClaimable(disk, range, options);
  const ours = isOurs(disk);
  const hold = await holdDisk(disk);
  try {
    if (!ours && hold.listed) {
      const { sysfs, disks } = hold.listed;
      await requireSight(device);
      await requireSoleName(disk, hold.listed);
      requirePlace(disk, sysfs, range, options);
      if (hold.block === null) await requireNoTable(disk);
      await requireSafePlace(path as string, sysfs, disks);
    }
    // What a power cut leaves of the region is what is saved, or what is written over it: nothing older.
    if (path !== undefined) await requireFlushed(disk, hold);
    const saved = await save(disk, range, signal);
    if (!ours && disk.profile !== null && saved.tuples.size === 0) {
      throw new IntegrityError(
        'ERR_NO_PATH',
        `${device}: no path shows its tuples, so they could not be put back`,
        {
          disk: device,
        },
      );
    }
    const { data, tuples } = saved;
    const journal =
      path === undefined ? null : await Journal.make(path, await headOf(disk, range, tuples), data, tuples);
    return new Region({ disk, range, saved, hold, journal, keptIn: path ?? null });
  } catch (error) {
    await hold.release();
    throw error;
  }
}

/** The kernel tells of no partitions where it has no block node: a disk that has some is then not written. */
async function requireNoTable(disk: Disk): Promise<void> {
  const { data } = await disk.readMedium(0n, Math.min(2, Number(disk.blocks)));
  const bytes = Buffer.from(data ?? []);
  const hasMbr = bytes.length < 512 || bytes.readUInt16LE(510) === 0xaa55;
  const hasGpt = bytes.subarray(disk.blockSize, disk.blockSize + 8).toString('latin1') === 'EFI PART';
  if (!hasMbr && !hasGpt) return;
  throw new IntegrityError(
    'ERR_NO_PATH',
    `${disk.device} may have partitions, and no block node that tells of them`,
    {
      disk: disk.device,
      advice: 'Let sd have the disk (modprobe sd_mod), so that the kernel reads its table.',
    },
  );
}

/**
 * What can be said against a claim before the disk is held. Errors: ERR_NOT_OURS, ERR_OUT_OF_RANGE, ERR_USAGE without a journal that is
 * needed.
 */
export function requireClaimable(disk: Disk, { lba, blocks }: RegionRange, options: ClaimOptions): void {
  const { device, blockSize } = disk;
  requireAllowed(disk, options);
  disk.requireRange(lba, blocks);
  requireRewritable(disk);
  if (blocks * blockSize > REGION_BYTES_MAX) {
    const message = `a region of ${blocks} blocks is larger than ${REGION_BYTES_MAX} bytes`;
    throw new IntegrityError('ERR_OUT_OF_RANGE', message, { disk: device });
  }
  if (isOurs(disk) || options.journal !== undefined) return;
  const message = `${device} is not the testbed's: it is not written without a journal`;
  throw new IntegrityError('ERR_USAGE', message, {
    disk: device,
    advice: 'Name a file on another disk: --journal FILE.',
  });
}

/** SCSI peripheral device type of a disk whose zones are written in order alone (ZBC). */
const HOST_MANAGED = 0x14;

/** Throws ERR_NOT_A_DISK for a disk on which a block that was written cannot be written again. */
function requireRewritable({ device, facts }: Disk): void {
  if (facts?.inquiry.peripheralType !== HOST_MANAGED) return;
  const message = `${device} has host-managed zones: what is written in them cannot be put back`;
  throw new IntegrityError('ERR_NOT_A_DISK', message, { disk: device });
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
      advice:
        'Choose blocks that read well by every path: see `blk-integrity crosscheck`. A bad block, whose data is lost, is mended by what saves nothing first: dd of=… seek=LBA count=1 oflag=direct.',
    });
  if (answer.kind === 'failed') throw unwell(answer.error.message);
  if (answer.kind === 'refused') throw unwell(`refused by ${answer.checker}: ${answer.text}`);
  if (data === null || medium.data === null) throw unwell('its data was not delivered');
  if (Buffer.compare(data, medium.data) !== 0) throw unwell('two paths deliver different data');
  const profile = disk.profileBy(path);
  if (tuples === null || profile === null) return;
  const seed = seedOf({ profile, blockSize: disk.blockSize, lba });
  const { ok } = defaultEngine().verify(data, tuples, { profile, layout: 'separate', seed });
  if (!ok) throw unwell('its tuples do not fit its data');
}
