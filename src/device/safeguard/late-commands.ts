/**
 * Commands of a run that has ended: one that was under way may still come to the medium, and must not do so after a restore.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { SysfsDisk } from '../../sysfs/disks.js';
import { COMMAND_TIMEOUT_MS } from '../transport.js';
import { type Listed, otherPaths } from './idle.js';
import type { JournalContent, JournalStep } from './journal-format.js';

/** What a transport waits between tries of one command, and the questions before it. */
const MARGIN_MS = 10_000;
/** A journal is hostile input: nobody waits longer for what it says. */
const WAIT_MAX_MS = 24 * 60 * 60 * 1000;
const STEP_MS = 100;

/** Until when a command that is about to be sent may come to the medium, in milliseconds since 1970. */
export function lastMomentOf(timeoutMs: number = COMMAND_TIMEOUT_MS): number {
  return Date.now() + timeoutMs + MARGIN_MS;
}

/** Names this run of the kernel; null where it does not say. No command outlives it. */
export async function bootId(): Promise<string | null> {
  const text = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => null);
  return text?.trim() || null;
}

/**
 * Waits, while the kernel has commands to the disk under way by any of its paths, until the last moment at which one of the journal's may
 * come. A journal of another boot, or without such a moment, is not waited for. `sys` is another folder in tests.
 */
export async function awaitLateCommands(
  { head, steps }: Pick<JournalContent, 'head' | 'steps'>,
  listed: Listed,
  sys = '/sys',
): Promise<void> {
  if (typeof head.boot !== 'string' || head.boot !== (await bootId())) return;
  const last = steps.reduce((moment, step) => Math.max(moment, momentOf(step)), 0);
  const end = Math.min(last, Date.now() + WAIT_MAX_MS);
  const paths = [listed.sysfs, ...otherPaths(listed)];
  while (Date.now() < end) {
    const busy = await Promise.all(paths.map((path) => hasCommandsUnderWay(path, sys)));
    if (!busy.includes(true)) return;
    await delay(STEP_MS);
  }
}

const momentOf = (step: JournalStep): number => ('until' in step && step.until) || 0;

/**
 * The kernel counts commands as it sends them and as they end (iorequest_cnt, iodone_cnt; Linux drivers/scsi/scsi_lib.c). Of kernels before
 * 6.4 they may differ for good, after a timeout or a busy host: then the wait is as long as it can be.
 */
async function hasCommandsUnderWay({ hctl }: Pick<SysfsDisk, 'hctl'>, sys: string): Promise<boolean> {
  const count = async (name: string) => {
    const text = await readFile(`${sys}/class/scsi_device/${hctl}/device/${name}`, 'latin1').catch(() => '');
    return /^0x([0-9a-f]{1,8})\n?$/.exec(text)?.[1] ?? null;
  };
  // In this order: what is sent in between counts as under way.
  const done = await count('iodone_cnt');
  return done === null || done !== (await count('iorequest_cnt'));
}
