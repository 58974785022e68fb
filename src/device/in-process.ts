/**
 * A disk in this process, opened as one of the kernel's: SCSI commands are its only path, and the kernel says nothing of it.
 */
import type { SysfsDisk } from '../sysfs/disks.js';
import { Disk, type OpenDiskOptions, requireQueueDepth } from './disk.js';
import { learnFacts } from './facts.js';
import { traced } from './trace.js';
import { type CommandNode, SgTransport } from './transport.js';

/** Nobody's business outside: it takes every command. */
const nodes = new WeakMap<Disk, OpenableNode>();

/** What a node of /dev is to a disk of the kernel: each who opens it has a descriptor of its own. */
export interface OpenableNode {
  open(): CommandNode;
}

/** The node of a disk in this process; null for a disk of the kernel. */
export function inProcessNode(disk: Disk): OpenableNode | null {
  return nodes.get(disk) ?? null;
}

/** `device` is how messages name it. */
export async function openInProcess(
  device: string,
  node: OpenableNode,
  { signal, onCommand, queueDepth = 1 }: OpenDiskOptions = {},
): Promise<Disk> {
  requireQueueDepth(queueDepth);
  const handle = node.open();
  const transport = traced(new SgTransport(handle, device, false, { queueDepth }), onCommand);
  const facts = await learnFacts(transport, signal);
  const sysfs = { ...UNKNOWN_TO_THE_KERNEL, name: device };
  const disk = new Disk({
    device,
    sysfs,
    facts,
    namespace: null,
    lbmd: null,
    noBlockPi: null,
    sg: handle,
    block: null,
    transport,
    log: null,
    queueDepth,
    listing: async () => sysfs,
  });
  nodes.set(disk, node);
  return disk;
}

const UNKNOWN_TO_THE_KERNEL: Omit<SysfsDisk, 'name'> = {
  kind: 'scsi',
  block: null,
  sg: null,
  bsg: null,
  hctl: null,
  host: null,
  peripheralType: 0,
  vendor: null,
  model: null,
  state: null,
  wwid: null,
  logicalBlockSize: 0,
  physicalBlockSize: 0,
  sizeBytes: 0n,
  blocks: 0n,
  readOnly: false,
  removable: false,
  queue: {
    maxHwSectorsKb: null,
    maxSectorsKb: null,
    maxIntegritySegments: null,
    dmaAlignment: null,
    stableWrites: false,
  },
  integrity: {
    present: false,
    format: 'none',
    interval: null,
    tagSize: 0,
    readVerify: false,
    writeGenerate: false,
    deviceIsIntegrityCapable: false,
  },
  scsiDisk: null,
  partitions: [],
  holders: [],
  slaves: [],
  layer: null,
};
