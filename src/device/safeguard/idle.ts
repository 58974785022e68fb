/**
 * That nobody else uses a disk: what the kernel's tables, the processes and the other nodes of the same disk say.
 */
import { readFile, readlink, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { IntegrityError } from '../../errors.js';
import { interpret, type SysfsDisk } from '../../sysfs/disks.js';
import { parseMountinfo, parseSwaps, usesOf } from '../../sysfs/mounts.js';
import { readSnapshot } from '../../sysfs/snapshot.js';
import { type Disk, isDisk } from '../disk.js';
import { ERRNO, errnoError } from '../errno.js';
import { numberOf } from '../node.js';
import { openersOf } from './openers.js';
import { isOurs } from './ours.js';

/** udev looks at a disk that came or was written, for a moment. */
const OPENERS_PATIENCE_MS = 5000;
const OPENERS_STEP_MS = 100;

export interface Listed {
  readonly sysfs: SysfsDisk;
  readonly disks: readonly SysfsDisk[];
}

/** The disk as the kernel lists it now. Throws ERR_DEVICE_GONE. */
export async function listed({ device: disk, sysfs: opened }: Disk): Promise<Listed> {
  const disks = interpret(await readSnapshot());
  const sysfs = disks.find(isDisk(opened));
  if (sysfs) return { sysfs, disks };
  throw errnoError(ERRNO.ENODEV, 'no longer listed by the kernel', disk);
}

/**
 * Throws ERR_BUSY while anything of this host uses the disk, by whichever of its nodes, ERR_PERMISSION when that cannot be told of the other
 * paths of a disk that is not the testbed's.
 */
export async function requireUnused(opened: Disk, listed: Listed): Promise<void> {
  const { device: disk } = opened;
  await requireIdle(disk, listed);
  await requireNoLoop(disk, listed);
  await requireSoleStore(disk, listed);
  for (const other of otherPaths(listed)) {
    const { openers, hidden } = await openersOf(other);
    if (hidden.length > 0 && !isOurs(opened)) throw untold(disk, hidden);
    const uses = await usersOf({ ...listed, sysfs: other });
    const [user] = [
      ...uses,
      ...openers.map(({ node, pid, command }) => `${node} is open in ${pid} (${command})`),
    ];
    if (user === undefined) continue;
    throw new IntegrityError('ERR_BUSY', `${disk} is in use by another path, /dev/${other.name}: ${user}`, {
      disk,
      advice: 'Both nodes are one disk: see multipath -ll, and their VPD 83h.',
    });
  }
}

/** The PID namespace that sees every process (PROC_PID_INIT_INO, Linux include/linux/proc_ns.h). */
const FIRST_PID_NAMESPACE = 'pid:[4026531836]';

/** Throws ERR_PERMISSION where processes may have the disk open that this one does not see. */
export async function requireSight(disk: string): Promise<void> {
  const namespace = await readlink('/proc/self/ns/pid').catch(() => null);
  const why =
    process.geteuid?.() !== 0
      ? 'other users’ processes may be hidden'
      : namespace !== FIRST_PID_NAMESPACE
        ? 'processes outside this container are not seen'
        : null;
  if (why === null) return;
  throw new IntegrityError('ERR_PERMISSION', `${disk}: who has it open cannot be told: ${why}`, {
    disk,
    advice: 'Run as root, outside of containers.',
  });
}

/** Throws ERR_BUSY while another process has a node of the disk open, ERR_PERMISSION when that cannot be told. */
export async function requireUnopened(disk: string, sysfs: SysfsDisk): Promise<void> {
  const end = performance.now() + OPENERS_PATIENCE_MS;
  for (;;) {
    const { openers, hidden } = await openersOf(sysfs);
    const [first] = openers;
    if (first === undefined && hidden.length === 0) return;
    if (first === undefined) throw untold(disk, hidden);
    if (performance.now() > end) {
      const who = openers.map(({ node, pid, command }) => `${node} in ${pid} (${command})`).join(', ');
      throw new IntegrityError('ERR_BUSY', `${disk} is open: ${who}`, { disk, advice: 'End what uses it.' });
    }
    await delay(OPENERS_STEP_MS);
  }
}

function untold(disk: string, hidden: readonly number[]): IntegrityError {
  const message = `${disk}: who has it open cannot be told of ${hidden.length} processes`;
  return new IntegrityError('ERR_PERMISSION', message, { disk, advice: 'Run as root.' });
}

/** The other nodes that answer with the same name: its other paths. */
export function otherPaths({ sysfs, disks }: Listed): SysfsDisk[] {
  const { wwid, hctl } = sysfs;
  return wwid === null
    ? []
    : disks.filter((one) => one.wwid === wwid && one.hctl !== null && one.hctl !== hctl);
}

async function usersOf({ sysfs, disks }: Listed): Promise<string[]> {
  const mounts = parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
  const swaps = parseSwaps(await readFile('/proc/swaps', 'utf8'));
  return usesOf(disks, sysfs, { mounts, swaps }).map(({ name, how, by }) => `${name} is ${how} (${by})`);
}

/** A loop device over the disk is no holder of it for the kernel, and no process has it open. */
async function requireNoLoop(disk: string, { sysfs, disks }: Listed): Promise<void> {
  const numbers = [sysfs.block, ...sysfs.partitions];
  for (const { name, layer } of disks) {
    const file = layer?.kind === 'loop' ? await stat(layer.backingFile).catch(() => null) : null;
    if (!file?.isBlockDevice()) continue;
    const { major, minor } = numberOf(file.rdev);
    if (!numbers.some((node) => node?.major === major && node.minor === minor)) continue;
    throw new IntegrityError('ERR_BUSY', `${disk} is in use: /dev/${name} is a loop device over it`, {
      disk,
      advice: `losetup -d /dev/${name}`,
    });
  }
}

/** Throws ERR_BUSY while the disk or a partition of it is mounted, swapped on or held by a device above it. */
async function requireIdle(disk: string, listed: Listed): Promise<void> {
  const users = await usersOf(listed);
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
