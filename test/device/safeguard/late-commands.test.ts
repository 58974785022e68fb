/** A restore waits for commands of the run that has ended, as long as they may come and no longer. */
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Listed } from '../../../src/device/safeguard/idle.js';
import type { JournalHead, JournalStep } from '../../../src/device/safeguard/journal-format.js';
import { awaitLateCommands, bootId, lastMomentOf } from '../../../src/device/safeguard/late-commands.js';
import type { SysfsDisk } from '../../../src/sysfs/disks.js';
import { type Files, writeTree } from '../../sysfs/tree.js';

const path = (hctl: string, wwid: string | null = 'naa.5') => ({ hctl, wwid }) as unknown as SysfsDisk;
const ONE: Listed = { sysfs: path('0:0:0:0'), disks: [path('0:0:0:0'), path('3:0:0:0', 'naa.6')] };
const TWO: Listed = { ...ONE, disks: [...ONE.disks, path('1:0:0:0')] };

const counts = (hctl: string, sent: string, done: string): Files => ({
  [`class/scsi_device/${hctl}/device/iorequest_cnt`]: sent,
  [`class/scsi_device/${hctl}/device/iodone_cnt`]: done,
});
const STILL = { ...counts('0:0:0:0', '0x1f', '0x1f'), ...counts('1:0:0:0', '0x3', '0x3') };

const write = (until?: number): JournalStep => ({
  kind: 'writing',
  index: 0,
  blocks: 1,
  touchesTuples: false,
  digests: ['a'],
  until,
});

const setting = (until: number) => ({ kind: 'mode page', until }) as JournalStep;

/** Milliseconds that it waits, up to 1500. */
async function waited(t: Test, files: Files, listed: Listed, steps: JournalStep[], boot?: string | null) {
  const head = { boot } as unknown as JournalHead;
  const root = t.testdir();
  writeTree(root, files);
  const begin = performance.now();
  await Promise.race([awaitLateCommands({ head, steps }, listed, root), delay(1500)]);
  return performance.now() - begin;
}

t.test('how long it waits', async (t) => {
  const boot = await bootId();
  t.match(boot, /^[0-9a-f-]{36}$/);
  const soon = () => [write(0), write(Date.now() + 700), write()];
  const busy = counts('0:0:0:0', '0x20', '0x1f');
  for (const [what, files, listed, steps, least, most] of [
    ['nothing is under way', STILL, TWO, soon, 0, 500],
    ['one command is', { ...STILL, ...busy }, TWO, soon, 600, 1400],
    ['one is by another path', { ...STILL, ...counts('1:0:0:0', '0x4', '0x3') }, TWO, soon, 600, 1400],
    ['one is, of another disk', { ...STILL, ...counts('3:0:0:0', '0x4', '0x3') }, TWO, soon, 0, 500],
    ['the kernel does not say', {}, ONE, soon, 600, 1400],
    ['it says what is no number', counts('0:0:0:0', '-', '-'), ONE, soon, 600, 1400],
    ['the moment is over', busy, ONE, () => [write(Date.now() - 1)], 0, 500],
    ['an older journal', busy, ONE, () => [write()], 0, 500],
    ['a journal without steps', busy, ONE, () => [], 0, 500],
    ['a mode page', busy, ONE, () => [setting(Date.now() + 2500)], 1400, 9999],
  ] as const) {
    const ms = await waited(t, files, listed, steps(), boot);
    t.ok(ms >= least && ms < most, `${what}: ${ms}`);
  }
  t.ok((await waited(t, busy, ONE, soon(), 'another')) < 500, 'another boot');
  t.ok((await waited(t, busy, ONE, soon())) < 500, 'a journal that names none');
});

t.test('it goes on when the last command has ended', async (t) => {
  const root = t.testdir();
  writeTree(root, counts('0:0:0:0', '0x20', '0x1f'));
  const head = { boot: await bootId() } as unknown as JournalHead;
  const end = awaitLateCommands({ head, steps: [write(lastMomentOf())] }, ONE, root);
  t.equal(await Promise.race([end, delay(400, 'waits')]), 'waits');
  writeTree(root, counts('0:0:0:0', '0x20', '0x20'));
  await end;
});

t.test('the moment', async (t) => {
  const near = (moment: number, ms: number) => Math.abs(moment - Date.now() - ms) < 5000;
  t.ok(near(lastMomentOf(), 40_000));
  t.ok(near(lastMomentOf(1_000_000), 1_010_000));
});
