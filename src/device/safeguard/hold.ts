/**
 * Holding a disk for writing: nobody else uses it, nobody else can claim it, and every descriptor that writes is that very disk.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { NativeHandle } from '../../binding.js';
import { IntegrityError } from '../../errors.js';
import { encodeCdb } from '../../scsi/commands.js';
import { SENSE_KEY } from '../../scsi/sense.js';
import type { SysfsDisk } from '../../sysfs/disks.js';
import type { Answer } from '../blocks.js';
import type { Disk } from '../disk.js';
import { ERRNO, errnoError } from '../errno.js';
import { isStillThat } from '../facts.js';
import { inProcessNode, type OpenableNode } from '../in-process.js';
import { openNode, READ_WRITE, READ_WRITE_EXCLUSIVE } from '../node.js';
import { plainAnswerOf } from '../paths/passthrough.js';
import {
  type CommandNode,
  type DiskTransport,
  type ScsiReply,
  type ScsiTransport,
  UNIT_ATTENTIONS_MAX,
} from '../transport.js';
import { type Listed, listed, requireUnopened, requireUnused } from './idle.js';

/** How long, and how often, to ask for a lock that somebody holds. */
const LOCK_PATIENCE_MS = 5000;
const LOCK_STEP_MS = 100;

/** Disks in this process that are held. */
const heldInProcess = new WeakSet<OpenableNode>();

/** A disk that is held until it is released. */
export interface Hold {
  /** As the kernel lists it; null for a disk in this process. */
  readonly listed: Listed | null;
  /** Null where the disk has no block node. */
  readonly block: NativeHandle | null;
  /** By either descriptor: each is asked who it is before it is written through. */
  readonly transports: { readonly block: DiskTransport | null; readonly sg: DiskTransport };
  release(): Promise<void>;
}

export interface HoldOptions {
  /** Also while SWP is set in the Control mode page: for what is to clear it. */
  readonly despiteSwp?: boolean;
}

/**
 * Whether it may be written at all is another question: permission.ts.
 * Errors: ERR_NOT_OURS, ERR_READ_ONLY, ERR_BUSY, ERR_PERMISSION, ERR_NO_PATH, ERR_DEVICE_GONE.
 */
export async function holdDisk(disk: Disk, options: HoldOptions = {}): Promise<Hold> {
  const node = inProcessNode(disk);
  return node === null ? holdNodes(disk, options) : holdInProcess(disk, node, options);
}

async function holdInProcess(disk: Disk, node: OpenableNode, options: HoldOptions): Promise<Hold> {
  requireWritable(disk, options);
  if (heldInProcess.has(node)) throw errnoError(ERRNO.EWOULDBLOCK, 'claim', disk.device);
  heldInProcess.add(node);
  const handle = node.open();
  const release = async () => {
    await handle.close();
    heldInProcess.delete(node);
  };
  try {
    const sg = writableBy(disk, handle);
    await requireSameDisk(disk, sg);
    return { listed: null, block: null, transports: { block: null, sg }, release };
  } catch (error) {
    await release();
    throw error;
  }
}

async function holdNodes(disk: Disk, options: HoldOptions): Promise<Hold> {
  const before = await listed(disk);
  requireWritable(disk, options, before.sysfs.readOnly);
  await requireUnused(disk, before);
  const { block: blockNode, sg: sgNode } = before.sysfs;
  // What has no block node nobody mounts.
  const needsBlock = disk.paths.includes('block');
  if (!sgNode || (!blockNode && needsBlock)) {
    const message = `${disk.device} needs ${needsBlock ? 'a block node and ' : ''}an sg node to be written`;
    throw new IntegrityError('ERR_NO_PATH', message, { disk: disk.device, advice: 'modprobe sd_mod sg' });
  }
  const handles: NativeHandle[] = [];
  const release = async () => {
    await Promise.all(handles.map((handle) => handle.close()));
  };
  try {
    const block = blockNode && (await openNode(blockNode, READ_WRITE_EXCLUSIVE));
    if (block) handles.push(block);
    const sg = await openNode(sgNode, READ_WRITE);
    handles.push(sg);
    await lock(block ?? sg, disk.device);
    const transports = { block: block && writableBy(disk, block), sg: writableBy(disk, sg) };
    const now = await listed(disk);
    await requireNumbered(disk, now.sysfs, block, sg);
    // O_EXCL keeps nobody from another path: it may have been mounted meanwhile.
    await requireUnused(disk, now);
    await requireUnopened(disk.device, now.sysfs);
    if (transports.block) await requireSameDisk(disk, transports.block);
    await requireSameDisk(disk, transports.sg);
    await flush(block, disk.device);
    return { listed: now, block, transports, release };
  } catch (error) {
    await release();
    throw error;
  }
}

/** A disk that may be written has told who it is. */
function writableBy(disk: Disk, node: CommandNode): DiskTransport {
  return (disk.transport as DiskTransport).writableBy(node);
}

/** What was written lies on the medium. Throws ERR_IO, or what the disk answers, when that cannot be said. */
export async function requireFlushed({ device: disk }: Disk, { block, transports }: Hold): Promise<void> {
  await flush(block, disk);
  for (const name of ['SYNCHRONIZE CACHE(16)', 'SYNCHRONIZE CACHE(10)'] as const) {
    const cdb = encodeCdb(name, {});
    const reply = await synchronize(transports.sg, cdb);
    const answer = plainAnswerOf(reply, disk, cdb);
    if (answer.kind === 'good') return;
    if (!isUnknownCommand(reply)) throw answerError(answer, disk);
  }
  // A disk that knows neither has no cache.
}

/** Again after a UNIT ATTENTION, and however busy the disk was: whichever disk it is by now, a flush takes nothing from it. */
async function synchronize(transport: ScsiTransport, cdb: Uint8Array): Promise<ScsiReply> {
  for (let attentions = 0; ; attentions++) {
    const reply = await transport.send({ cdb, direction: 'none', data: null, again: async () => {} });
    if (reply.outcome.kind !== 'unit-attention' || attentions === UNIT_ATTENTIONS_MAX) return reply;
  }
}

/** INVALID COMMAND OPERATION CODE (SPC-5): any other ILLEGAL REQUEST may be of a disk that has a cache. */
function isUnknownCommand({ outcome }: ScsiReply): boolean {
  if (outcome.kind !== 'check-condition' || outcome.sense === null || outcome.sense.deferred) return false;
  const { key, asc, ascq } = outcome.sense;
  return key === SENSE_KEY.ILLEGAL_REQUEST && asc === 0x20 && ascq === 0;
}

function answerError(answer: Exclude<Answer, { kind: 'good' }>, disk: string): IntegrityError {
  if (answer.kind === 'failed') return answer.error;
  return new IntegrityError('ERR_IO', `${disk}: SYNCHRONIZE CACHE: ${answer.text}`, { disk });
}

/** What the kernel holds back of the block node, where there is one, goes to the disk. */
async function flush(block: NativeHandle | null, disk: string): Promise<void> {
  const { errno } = (await block?.flush()) ?? { errno: 0 };
  if (errno !== 0) throw errnoError(errno, 'flush', disk);
}

/**
 * Asks the disk behind a descriptor again who it is and how it is formatted. Throws ERR_NOT_OURS unless it is the one that was opened,
 * as it was then.
 */
export async function requireSameDisk(disk: Disk, transport: DiskTransport): Promise<void> {
  const { device, facts } = disk;
  if (facts !== null && (await isStillThat(facts, transport))) return;
  const message = `${device} is no longer the disk that was opened, or was formatted anew: nothing is written to it`;
  throw new IntegrityError('ERR_NOT_OURS', message, { disk: device });
}

/** UNIT ATTENTIONs between the last look and a command, one after the other, end somewhere. */
const IDENTIFIED_TRIES = 3;

export interface IdentifiedSend<T> {
  /** Whether what is to be sent is right for the disk as it is known now. */
  readonly ready: () => Promise<boolean>;
  /** `again` is for the transport: what must hold before the same is sent again to a disk that was too busy for it. */
  readonly send: (again: () => Promise<void>) => Promise<T>;
  /** Asks the descriptor who it is; {@link requireSameDisk} without it. */
  readonly same?: () => Promise<void>;
}

/**
 * Sends what alters a disk directly after the descriptor was asked who it is, with nothing of ours in between that a UNIT ATTENTION could be
 * told to. Null when it is not ready: nothing was sent. Throws ERR_NOT_OURS, and ERR_CHECK_CONDITION for a disk that tells of one change
 * after the other.
 */
export async function sendIdentified<T>(
  disk: Disk,
  transport: DiskTransport,
  { ready, send, same = () => requireSameDisk(disk, transport) }: IdentifiedSend<T>,
): Promise<T | null> {
  const changed = (what: string) =>
    new IntegrityError('ERR_CHECK_CONDITION', `${disk.device} told of a change: ${what}`, {
      disk: disk.device,
    });
  for (let attempt = 0; attempt < IDENTIFIED_TRIES; attempt++) {
    if (!(await ready())) return null;
    const { unitAttentions } = transport;
    const told = () => transport.unitAttentions !== unitAttentions;
    const sent = await transport.alone(async () => {
      await same();
      if (told()) return null;
      const reply = await send(async () => {
        await same();
        if (told()) throw changed('what it was too busy for is not sent again');
      });
      return { reply };
    });
    if (sent !== null) return sent.reply;
  }
  throw changed('nothing is sent to it');
}

/** udev holds the lock for a moment after a disk came or was written: it is waited for. */
async function lock(handle: NativeHandle, disk: string): Promise<void> {
  const end = performance.now() + LOCK_PATIENCE_MS;
  for (;;) {
    const { errno } = await handle.lockExclusive();
    if (errno === 0) return;
    if (errno !== ERRNO.EWOULDBLOCK || performance.now() > end) throw errnoError(errno, 'flock', disk);
    await delay(LOCK_STEP_MS);
  }
}

/** A disk that somebody set read-only stays as it is, by SG_IO too. */
function requireWritable(
  { device: disk, facts }: Disk,
  { despiteSwp = false }: HoldOptions,
  readOnly = false,
): void {
  const swp = !despiteSwp && facts?.control?.softwareWriteProtect === true;
  if (!readOnly && !swp) return;
  const why = readOnly ? 'the kernel has it read-only' : 'SWP is set in its Control mode page';
  throw new IntegrityError('ERR_READ_ONLY', `${disk} is write-protected: ${why}`, {
    disk,
    advice: 'blockdev --setrw, or leave out what writes.',
  });
}

/** Whatever the names did meanwhile: both descriptors are the nodes of the disk, as the kernel lists it now, and of its size. */
async function requireNumbered(
  disk: Disk,
  sysfs: SysfsDisk,
  block: NativeHandle | null,
  sg: NativeHandle,
): Promise<void> {
  const node = await block?.status();
  const sgNode = await sg.status();
  const numbered =
    sysfs.block?.major === node?.major &&
    sysfs.block?.minor === node?.minor &&
    sysfs.sg?.major === sgNode.major &&
    sysfs.sg.minor === sgNode.minor;
  const sized =
    node === undefined ||
    (node.logicalBlockSize === disk.blockSize && node.sizeBytes === disk.blocks * BigInt(disk.blockSize));
  if (numbered && sized) return;
  const message = `${disk.device} is not the disk that was opened: its number, block size or size differs`;
  throw new IntegrityError('ERR_NOT_OURS', message, { disk: disk.device });
}
