/**
 * Which other processes have a disk open, by any of its nodes.
 */
import { native, type OpenNode } from '../../binding.js';
import type { DeviceNode, SysfsDisk } from '../../sysfs/disks.js';
import { errnoError } from '../errno.js';

export interface Opener {
  readonly pid: number;
  readonly command: string;
  /** The node that it has open: the disk's, a partition's, sg or bsg. */
  readonly node: string;
}

export interface Openers {
  readonly openers: readonly Opener[];
  /** Process ids of which nobody may tell. */
  readonly hidden: readonly number[];
}

/** This process is not counted. `proc` is another folder in tests. */
export async function openersOf(disk: SysfsDisk, proc = '/proc'): Promise<Openers> {
  const { errno, nodes, hidden } = await native().openNodes(proc);
  if (errno !== 0) throw errnoError(errno, `read ${proc}`, `/dev/${disk.name}`);
  const openers = nodes.flatMap((open): Opener[] => {
    const node = open.pid === process.pid ? null : nodeOf(disk, open);
    return node === null ? [] : [{ pid: open.pid, command: open.command, node: `/dev/${node.name}` }];
  });
  return { openers, hidden };
}

function nodeOf({ block, partitions, sg, bsg }: SysfsDisk, open: OpenNode): DeviceNode | null {
  const nodes = open.type === 'block' ? [block, ...partitions] : [sg, bsg];
  return nodes.find((node) => node?.major === open.major && node.minor === open.minor) ?? null;
}
