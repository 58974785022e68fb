/**
 * Opening device nodes: the right one, or an error that says which one is right.
 */
import { constants } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { type NativeHandle, native } from '../binding.js';
import { IntegrityError } from '../errors.js';
import type { DeviceNode, DeviceNumber } from '../sysfs/disks.js';
import { ERRNO, errnoError } from './errno.js';

/** The device number of a block or character node. Anything else is ERR_NOT_A_DISK, no such node ERR_NO_DEVICE. */
export async function deviceNumber(
  path: string,
): Promise<{ type: 'block' | 'character'; major: number; minor: number }> {
  if (path === '') {
    throw new IntegrityError('ERR_USAGE', 'the name of the disk is empty', {
      advice: 'Is the variable set that it comes from?',
    });
  }
  let status: Awaited<ReturnType<typeof stat>>;
  try {
    status = await stat(path);
  } catch (error) {
    throw errnoError(-((error as NodeJS.ErrnoException).errno ?? -ERRNO.EIO), 'stat', path, { cause: error });
  }
  if (!status.isBlockDevice() && !status.isCharacterDevice()) {
    const what = status.isDirectory() ? 'a directory' : 'no device node';
    throw new IntegrityError('ERR_NOT_A_DISK', `${path} is ${what}`, {
      disk: path,
      advice: 'Name a disk: /dev/sdX, /dev/sgN or /dev/nvmeXnY. For files use `blk-integrity verify`.',
    });
  }
  return { type: status.isBlockDevice() ? 'block' : 'character', ...numberOf(status.rdev) };
}

/** glibc's dev_t: the 12 low bits of the major from bit 8 on, the minor around them. */
export function numberOf(dev: number): DeviceNumber {
  return { major: (dev >>> 8) & 0xfff, minor: (dev & 0xff) | ((dev >>> 12) & 0xfff00) };
}

/** The threads of a node: how many calls at once, and whether theirs go when no other's wait. */
export interface NodeThreads {
  readonly threads: number;
  readonly idle: boolean;
}

const ONE_THREAD: NodeThreads = { threads: 1, idle: false };

/** Opens a node, with threads for its calls, and makes sure that it is still the device that sysfs spoke of: names move. */
export async function openNode(
  node: DeviceNode,
  flags: number,
  { threads, idle }: NodeThreads = ONE_THREAD,
): Promise<NativeHandle> {
  const path = `/dev/${node.name}`;
  const handle = new (native().Handle)(threads, idle);
  const { errno } = await handle.open(path, flags);
  if (errno !== 0) {
    await handle.close();
    throw errnoError(errno, 'open', path);
  }
  const status = await handle.status();
  if (status.errno === 0 && status.major === node.major && status.minor === node.minor) return handle;
  await handle.close();
  throw new IntegrityError(
    'ERR_NO_DEVICE',
    `${path} is no longer ${node.major}:${node.minor}: the node was replaced`,
    {
      disk: path,
      advice: 'Run again: the names of disks move when they come and go.',
    },
  );
}

/**
 * Opens an sg node for commands. Without CAP_SYS_RAWIO the kernel lets no 32-byte command through an sg node that is open for reading only,
 * and asks nothing of one that is open for writing (Linux drivers/scsi/sg.c, sg_allow_access). What is sent is the transport's to judge.
 */
export async function openSg(node: DeviceNode, threads: NodeThreads): Promise<NativeHandle> {
  if (await hasRawIo()) return openNode(node, READ_ONLY, threads);
  try {
    return await openNode(node, READ_WRITE, threads);
  } catch (error) {
    if ((error as IntegrityError).code !== 'ERR_PERMISSION') throw error;
    return openNode(node, READ_ONLY, threads);
  }
}

const CAP_SYS_RAWIO = 17n;

async function hasRawIo(): Promise<boolean> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> CAP_SYS_RAWIO) & 1n) === 1n;
}

export const READ_ONLY: number = constants.O_RDONLY | constants.O_NONBLOCK;
// No O_NONBLOCK here: io_uring would answer EAGAIN instead of waiting.
export const READ_ONLY_DIRECT: number = constants.O_RDONLY | constants.O_DIRECT;
export const READ_WRITE: number = constants.O_RDWR | constants.O_NONBLOCK;
/** O_EXCL on a block device fails while anything mounts, holds or has claimed it (open(2)). */
export const READ_WRITE_EXCLUSIVE: number = constants.O_RDWR | constants.O_DIRECT | constants.O_EXCL;
