/**
 * Whether a disk may be written at all, and where: the testbed's disks, and those whose owner says so by name.
 */
import { IntegrityError } from '../../errors.js';
import type { SysfsDisk } from '../../sysfs/disks.js';
import type { Disk } from '../disk.js';
import { isOurs } from './ours.js';
import type { RegionRange } from './saved-region.js';

/** The word of a disk's owner. */
export interface Ownership {
  /** WWN (VPD 83h: `naa.5000c500…`, or as lsblk has it, `0x5000c500…`) or serial number (VPD 80h) of a disk that is not the testbed's. */
  readonly iOwn?: string | undefined;
  /** The partition that the region lies in, `sda1`; without it the region lies in none. */
  readonly partition?: string | undefined;
}

/** Throws ERR_NOT_OURS unless the disk is the testbed's or is named by its owner, and for a name that is not this disk's, whose it is. */
export function requireAllowed(disk: Disk, { iOwn }: Ownership = {}): void {
  if (iOwn === undefined && isOurs(disk)) return;
  const { device, sysfs, facts } = disk;
  const names = [facts?.identity, facts?.serial].filter((name) => typeof name === 'string' && name !== '');
  const refuse = (message: string, advice: string) =>
    new IntegrityError('ERR_NOT_OURS', `${device} ${message}: nothing is written to it`, {
      disk: device,
      advice,
    });
  if (iOwn === undefined) {
    const { vendor = '-', product = '-' } = facts?.inquiry ?? {};
    const seen = `driver ${sysfs.host?.driver ?? 'none'}, INQUIRY ${vendor} ${product}`;
    throw refuse(
      `was not made by this package's testbed (${seen})`,
      names.length === 0
        ? 'It has no name of its own (VPD 83h, 80h), so it cannot be told from others.'
        : `If it is yours, and its blocks may be written and put back, say so by its name: --i-own ${names[0]}`,
    );
  }
  if (names.some((name) => normal(name as string) === normal(iOwn))) return;
  throw refuse(`is not ${iOwn}`, `Its names are ${names.join(' and ') || 'none'}.`);
}

/** `naa.5000…` and `0x5000…` are one name. */
function normal(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/^(?:naa\.|eui\.|0x)/, '');
}

/** Blocks at both ends that hold the tables of a partitioned disk (UEFI, GPT). */
const TABLE_BLOCKS = 34n;

/**
 * Throws ERR_OUT_OF_RANGE for a region that is neither wholly outside all partitions nor wholly inside the named one, and ERR_NOT_A_DISK
 * for blocks of 520 or 528 bytes that are no protection information.
 */
export function requirePlace(
  disk: Disk,
  { partitions }: SysfsDisk,
  range: RegionRange,
  { partition }: Ownership,
): void {
  const { device, blockSize, blocks: size } = disk;
  if (!Number.isInteger(Math.log2(blockSize))) {
    const message = `${device} has blocks of ${blockSize} bytes: what the odd ones are for is not known, and nothing is written`;
    throw new IntegrityError('ERR_NOT_A_DISK', message, { disk: device });
  }
  const first = range.lba;
  const end = range.lba + BigInt(range.blocks);
  const refuse = (why: string, advice: string) =>
    new IntegrityError('ERR_OUT_OF_RANGE', `${device}: blocks ${first} to ${end - 1n}: ${why}`, {
      disk: device,
      advice,
    });
  const lbaOf = (sector: bigint) => (sector * 512n) / BigInt(blockSize);
  const bounds = partitions.map(({ name, startSector512: start, sectors512: length }) => ({
    name,
    first: lbaOf(start),
    end: lbaOf(start + length),
  }));
  const touched = bounds.filter((one) => first < one.end && end > one.first);
  const [inside] = touched;
  if (partition !== undefined) {
    if (inside?.name === partition && touched.length === 1 && first >= inside.first && end <= inside.end)
      return;
    throw refuse(`not wholly inside ${partition}`, 'Partitions and their blocks: lsblk, sfdisk -d.');
  }
  if (inside) throw refuse(`inside ${inside.name}`, `If that is meant: --partition ${inside.name}`);
  if (bounds.length > 0 && (first < TABLE_BLOCKS || end > size - TABLE_BLOCKS))
    throw refuse('where the partition table lies', 'Choose blocks further from the ends.');
}
