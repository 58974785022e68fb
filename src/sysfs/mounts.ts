/**
 * What uses a disk: mounts, swap areas, and the devices that are built on it.
 */
import { type DeviceNumber, layersAbove, type SysfsDisk } from './disks.js';

/** One line of /proc/self/mountinfo. */
export interface Mount extends DeviceNumber {
  readonly mountPoint: string;
  readonly fsType: string;
  /** The device's path as it was given to mount, for file systems that have one. */
  readonly source: string;
}

/** Lines that are no mountinfo lines are left out. */
export function parseMountinfo(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [fields = '', superBlock = ''] = line.split(' - ', 2);
    const [, , device = '', , mountPoint] = fields.split(' ');
    const [fsType, source] = superBlock.split(' ');
    const [, major, minor] = /^(\d+):(\d+)$/.exec(device) ?? [];
    if (major === undefined || mountPoint === undefined || fsType === undefined || source === undefined)
      return [];
    const number = { major: Number(major), minor: Number(minor) };
    return { ...number, mountPoint: unescapeOctal(mountPoint), fsType, source: unescapeOctal(source) };
  });
}

/** The paths in /proc/swaps: block devices and files. */
export function parseSwaps(text: string): string[] {
  const lines = text.split('\n').slice(1);
  return lines.flatMap((line) => (/^\S/.test(line) ? unescapeOctal(line.split(/\s/, 1)[0]!) : []));
}

/** Spaces, tabs, newlines and backslashes are written `\040` and so on. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

export interface DiskUse {
  /** The block device in use: the disk, a partition, or a device built on them. */
  readonly name: string;
  readonly how: 'mounted' | 'swap' | 'held';
  /** The mount point, or the name of the holder; for swap the path. */
  readonly by: string;
}

export interface UseTables {
  readonly mounts: readonly Mount[];
  /** Of parseSwaps. */
  readonly swaps: readonly string[];
}

/**
 * Every use of the disk, its partitions and what is built on them that these tables show; empty when there is
 * none.
 */
export function usesOf(
  disks: readonly SysfsDisk[],
  disk: SysfsDisk,
  { mounts, swaps }: UseTables,
): DiskUse[] {
  const uses: DiskUse[] = [];
  for (const device of [disk, ...layersAbove(disks, disk)]) {
    for (const { name, number, holders } of blockNodes(device)) {
      const paths = [
        `/dev/${name}`,
        ...(device.layer?.kind === 'dm' ? [`/dev/mapper/${device.layer.name}`] : []),
      ];
      for (const holder of holders) uses.push({ name, how: 'held', by: holder });
      for (const mount of mounts) {
        // btrfs and its like mount under a number of their own: only the source tells.
        const same = mount.major === number.major && mount.minor === number.minor;
        if (same || paths.includes(mount.source)) uses.push({ name, how: 'mounted', by: mount.mountPoint });
      }
      for (const swap of swaps) if (paths.includes(swap)) uses.push({ name, how: 'swap', by: swap });
    }
  }
  return uses;
}

function blockNodes({
  block,
  holders,
  partitions,
}: SysfsDisk): { name: string; number: DeviceNumber; holders: readonly string[] }[] {
  const whole = block ? [{ name: block.name, number: block, holders }] : [];
  return [
    ...whole,
    ...partitions.map((partition) => ({
      name: partition.name,
      number: partition,
      holders: partition.holders,
    })),
  ];
}
