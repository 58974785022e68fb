/**
 * Where a journal may lie: on storage that outlives the machine's memory and is not the disk that it is for.
 */
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { IntegrityError } from '../../errors.js';
import { findDisk, type SysfsDisk } from '../../sysfs/disks.js';
import { type Mount, parseMountinfo } from '../../sysfs/mounts.js';
import { numberOf } from '../node.js';

/** File systems, by their type in mountinfo. Others without a block device (overlay, zfs) may lie anywhere. */
const IN_MEMORY = /^(?:tmpfs|ramfs|devtmpfs|hugetlbfs|sysfs|proc)$/;
const ELSEWHERE = /^(?:nfs4?|cifs|smb3|9p|ceph|virtiofs|afs|glusterfs|fuse\.sshfs)$/;
/** Block devices that are memory. */
const MEMORY_DISK = /^(?:zram|ram)\d/;

/** The host as the journal's disk sees it: all disks, and what is mounted. */
interface Surroundings {
  readonly disk: SysfsDisk;
  readonly disks: readonly SysfsDisk[];
  readonly mounts: readonly Mount[];
}

/** Throws ERR_USAGE unless a file at `path` would outlive a power cut, apart from `disk`. */
export async function requireSafePlace(
  path: string,
  disk: SysfsDisk,
  disks: readonly SysfsDisk[],
): Promise<void> {
  const mounts = parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
  const why = await whyUnsafe(dirname(resolve(path)), { disk, disks, mounts });
  if (why === null) return;
  throw new IntegrityError('ERR_USAGE', `journal ${path}: ${why}`, {
    disk: `/dev/${disk.name}`,
    advice: 'Name a file on another disk: --journal FILE.',
  });
}

async function whyUnsafe(folder: string, around: Surroundings): Promise<string | null> {
  const found = await stat(folder).catch((error: NodeJS.ErrnoException) => error);
  if (found instanceof Error) return `${folder} cannot be looked at: ${found.code}`;
  const { major, minor } = numberOf(found.dev);
  if (major !== 0) return whyUnsafeDevice(major, minor, around);
  const mount = around.mounts.find((one) => one.major === major && one.minor === minor);
  if (mount === undefined) return `what ${folder} lies on cannot be told`;
  if (IN_MEMORY.test(mount.fsType)) return `${folder} is in memory (${mount.fsType})`;
  if (ELSEWHERE.test(mount.fsType)) return null;
  // btrfs has a number of its own; its source is a device.
  const source = mount.source.startsWith('/dev/') ? await stat(mount.source).catch(() => null) : null;
  if (!source?.isBlockDevice()) return `what ${folder} lies on (${mount.fsType}) cannot be told`;
  const number = numberOf(source.rdev);
  return whyUnsafeDevice(number.major, number.minor, around);
}

async function whyUnsafeDevice(major: number, minor: number, around: Surroundings): Promise<string | null> {
  const { disk, disks } = around;
  const found = findDisk(disks, 'block', major, minor);
  if (found === null) return `what block device ${major}:${minor} is cannot be told`;
  const { name, layer, slaves, wwid } = found.disk;
  if (name === disk.name || (wwid !== null && wwid === disk.wwid))
    return `it would lie on /dev/${disk.name} itself`;
  if (MEMORY_DISK.test(name)) return `/dev/${name} is in memory`;
  if (layer?.kind === 'loop') return whyUnsafe(dirname(layer.backingFile), around);
  for (const slave of slaves) {
    const below = disks.find(
      (one) => one.name === slave || one.partitions.some((part) => part.name === slave),
    );
    const node = below?.block ?? null;
    if (node === null) return `what /dev/${slave} is cannot be told`;
    const why = await whyUnsafeDevice(node.major, node.minor, around);
    if (why !== null) return why;
  }
  return null;
}
