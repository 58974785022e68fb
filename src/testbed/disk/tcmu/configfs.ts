/**
 * TCMU devices of this package in LIO's configfs: made, found again, and taken away when the process that served one is gone.
 */
import { mkdir, readdir, readFile, readlink, rmdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { IntegrityError } from '../../../errors.js';
import {
  claimAdapter,
  ownStores,
  portAddress,
  removePort,
  STORE_PREFIX,
  unlessMissing,
} from '../../loopback.js';
import type { Undo } from '../../undo.js';
import { waitFor } from '../../wait.js';
import { releaseFromSd } from './sd.js';

/**
 * Seconds after which the kernel itself fails a command that nobody answered, so that a process that dies does not hang its initiators:
 * CHECK CONDITION, NOT READY, LOGICAL UNIT COMMUNICATION FAILURE. qfull_time_out, for commands that find the ring full, follows it.
 */
export const COMMAND_TIMEOUT_S = 10;

const NODE_MS = 5_000;

/** Begins dev_config, which the kernel keeps for us and gives back: `blk-integrity/NAME/PID/START/PID-NAMESPACE`. */
const OWNER = 'blk-integrity';

/** A process, told from another that later has its number. */
interface Owner {
  readonly name: string;
  readonly pid: number;
  /** Clock ticks since boot: field 22 of /proc/PID/stat. */
  readonly start: string;
}

export interface UioNode {
  readonly path: string;
  /** Of map 0. */
  readonly mapBytes: number;
}

export interface TcmuStore {
  /** Its folder in configfs. */
  readonly folder: string;
  readonly uio: UioNode;
}

/** Makes and enables the device of this process with the id; `undo` takes it away. */
export async function createTcmuStore(
  id: string,
  options: { readonly name: string; readonly sizeBytes: bigint; readonly blockSize: number },
  undo: Undo,
): Promise<TcmuStore> {
  const { name, sizeBytes, blockSize } = options;
  const adapter = await claimAdapter('user');
  undo.push(() => rmdir(adapter));
  const folder = join(adapter, `${STORE_PREFIX}${id}`);
  await mkdir(folder);
  undo.push(() => rmdir(folder));
  const config = [OWNER, name, process.pid, await startOf(process.pid), await namespaceOf()].join('/');
  // nl_reply_supported: nobody listens on netlink, so the kernel is not to wait for an answer there.
  await writeFile(
    join(folder, 'control'),
    `dev_config=${config},dev_size=${sizeBytes},hw_block_size=${blockSize},nl_reply_supported=-1`,
  );
  await writeFile(join(folder, 'enable'), '1');
  await writeFile(join(folder, 'attrib/cmd_time_out'), String(COMMAND_TIMEOUT_S));
  // Task management reaches the ring: an abort waits until the command is completed, so we must hear of it.
  await writeFile(join(folder, 'attrib/tmr_notification'), '1');
  return { folder, uio: await uioNode(folder) };
}

async function uioNode(folder: string): Promise<UioNode> {
  const hba = basename(dirname(folder)).replace('user_', '');
  const prefix = `tcm-user/${hba}/${basename(folder)}/`;
  const node = await waitFor(async () => {
    for (const uio of await readdir('/sys/class/uio')) {
      const name = await readFile(`/sys/class/uio/${uio}/name`, 'utf8').catch(unlessMissing);
      if (name?.startsWith(prefix)) return uio;
    }
    return null;
  }, NODE_MS);
  if (node === null) throw new IntegrityError('ERR_TESTBED', `the kernel made no UIO device for ${folder}`);
  const mapBytes = Number(await readFile(`/sys/class/uio/${node}/maps/map0/size`, 'utf8'));
  return { path: `/dev/${node}`, mapBytes };
}

/** configfs is one for all: the processes of another container have other numbers. */
async function namespaceOf(): Promise<string> {
  const [digits = ''] = /\d+/.exec(await readlink('/proc/self/ns/pid')) ?? [];
  return digits;
}

/** Null when there is no such process, or only what its parent has not fetched yet (a zombie). */
async function startOf(pid: number): Promise<string | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(unlessMissing);
  // The name in field 2 may hold blanks and brackets.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields === undefined || fields[0] === 'Z' ? null : (fields[19] ?? null);
}

/** Null for a device that is not this package's, is another container's, or is being set up or taken away. */
async function ownerOf(folder: string): Promise<Owner | null> {
  const config =
    (await readFile(join(folder, 'attrib/dev_config'), 'utf8').catch(unlessMissing))?.trim() ?? '';
  const [mark, name, pid, start, namespace] = config.split('/');
  if (namespace !== (await namespaceOf())) return null;
  if (mark !== OWNER || name === undefined || !/^\d+$/.test(pid ?? '') || start === undefined) return null;
  return { name, pid: Number(pid), start };
}

/**
 * Takes away the units whose process is gone, and returns their names. What was under way on one ends in CHECK CONDITION.
 * Errors: ERR_TESTBED.
 */
export async function removeStaleUnits(): Promise<string[]> {
  const removed: string[] = [];
  const failures: IntegrityError[] = [];
  for (const folder of await ownStores('user')) {
    const owner = await ownerOf(folder);
    if (owner === null || (await startOf(owner.pid)) === owner.start) continue;
    // Another process may be at it too: what is gone is gone.
    const failed = await removeStale(folder).catch(async (cause: NodeJS.ErrnoException) =>
      cause.code === 'ENOENT' && (await ownerOf(folder)) === null ? null : cause,
    );
    if (failed instanceof Error) {
      const message = `unit ${owner.name} could not be removed: ${failed.message}`;
      const advice = `It is ${folder}, whose process ${owner.pid} is gone.`;
      failures.push(new IntegrityError('ERR_TESTBED', message, { cause: failed, advice }));
    } else removed.push(owner.name);
  }
  if (failures[0]) throw failures[0];
  return removed;
}

/**
 * The order, as Linux 6.1 and 7.3 were seen to want it. Another process cannot go on with the ring: replies out of order have overwritten
 * entries of commands that are still under way. So it is blocked (what comes now ends BUSY, which the initiator tries again and again) and
 * reset (what is in it fails). sd must be off before the SCSI device goes: its SYNCHRONIZE CACHE is refused while the device is offline,
 * but is sent, and waits for minutes, once it is being deleted.
 */
async function removeStale(folder: string): Promise<void> {
  const id = basename(folder).slice(STORE_PREFIX.length);
  const enabled = (await readFile(join(folder, 'enable'), 'utf8')).trim() === '1';
  if (enabled) await writeFile(join(folder, 'action/block_dev'), '1');
  const hctl = await portAddress(id);
  if (hctl !== null) {
    // The kernel wants the end of the line.
    await writeFile(`/sys/bus/scsi/devices/${hctl}/state`, 'offline\n').catch(unlessMissing);
  }
  if (enabled) await writeFile(join(folder, 'action/reset_ring'), FAIL_FOR_GOOD);
  if (hctl !== null) await releaseFromSd(hctl);
  await removePort(id);
  await rmdir(folder);
  await rmdir(dirname(folder));
}

/** action/reset_ring: 1 ends the commands with BUSY, to be tried again; 2 with CHECK CONDITION. */
const FAIL_FOR_GOOD = '2';
