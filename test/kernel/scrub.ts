/**
 * `scrub` on disks of this kernel: tuples that cross SG_IO, tuples by io_uring, and none, where the kernel or the disk checks. Faults at known
 * places are found, each of them, and none is invented.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { chmod, chown, mkdtemp, open, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  alignedBuffer,
  createScsiDebug,
  type Disk,
  EmulatedDisk,
  encodeCdb,
  fillDisk,
  openDevice,
  pattern,
  type ScrubCounts,
  type ScrubReport,
  scrub,
} from 'blk-integrity';
import type { Test } from 'tap';
import { cli } from './cli.js';

const BLOCKS = 8192;
const NOBODY = 65534;
const QUEUE_DEPTH = 8;
/** With one, several transfers of these disks are one job: some end in the middle. */
const DEPTHS = [QUEUE_DEPTH, 1];

export async function scrubbing(t: Test): Promise<void> {
  for (const type of [1, 2] as const)
    await t.test(`an emulated disk of type ${type}`, (t) => emulated(t, type));
  for (const dif of [1, 2] as const) await t.test(`scsi_debug dif=${dif}`, (t) => scsiDebug(t, dif));
  await t.test('scsi_debug without DIX: by its own VERIFY', byVerify);
  await t.test('a disk larger than its store', virtualDisk);
}

/** The counts that are not 0. */
const told = ({ counts }: ScrubReport) =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0)) as Partial<ScrubCounts>;

const places = ({ findings }: Pick<ScrubReport, 'findings'>) =>
  findings.map(({ kind, lba, blocks, check }) => [kind, lba, blocks, check]);

async function emulated(t: Test, type: 1 | 2): Promise<void> {
  await using unit = await EmulatedDisk.create({ type, blocks: BLOCKS });
  {
    await using empty = await unit.open();
    await fillDisk(empty);
  }
  const size = type === 2 ? 32 : 16;
  /** Unchecked by the disk, around the safeguard. */
  const change = async (lba: number, how: (block: Uint8Array) => void) => {
    const transport = unit.transport({ writable: true });
    const data = new Uint8Array(520);
    const fields = { lba: BigInt(lba), blocks: 1, protect: 3 };
    await transport.send({ cdb: encodeCdb(`READ(${size})`, fields), direction: 'from-device', data });
    how(data);
    await transport.send({ cdb: encodeCdb(`WRITE(${size})`, fields), direction: 'to-device', data });
  };
  await using attached = await unit.attach();
  await using disk = await openDevice(attached.sg, { queueDepth: QUEUE_DEPTH });
  const clean = await scrub(disk);
  t.match(clean, { checker: 'software', path: 'passthrough', ended: 'finished' });
  t.same(clean.findings, []);
  t.same(told(clean), { ok: BLOCKS });
  await t.test('by its nodes', (t) => byNodes(t, disk));
  for (const queueDepth of DEPTHS) {
    await using again = await openDevice(attached.sg, { queueDepth });
    unit.addFault({ kind: 'guard', lba: 7000n, blocks: 1n, on: 'read', place: 'wire', times: 1 });
    t.same(told(await scrub(again)), { ok: BLOCKS, transient: 1 }, 'wrong once, in the middle of a job');
  }

  const flip = (at: number) => (block: Uint8Array) => {
    block[at]! ^= 0x10;
  };
  await change(0, flip(100));
  for (let lba = 600; lba < 640; lba++) await change(lba, flip(519));
  await change(1500, flip(512));
  await change(BLOCKS - 1, flip(0));
  await change(1600, (block) => block.fill(0xff, 512));
  unit.addFault({ kind: 'medium-error', lba: 1700n, blocks: 2n });
  const found = [
    ['mismatch', 0, 1, 'guard'],
    ['mismatch', 600, 40, 'ref'],
    ['mismatch', 1500, 1, 'guard'],
    ['read-error', 1700, 2, null],
    ['mismatch', BLOCKS - 1, 1, 'guard'],
  ];
  for (const queueDepth of DEPTHS) {
    await using again = await openDevice(attached.sg, { queueDepth });
    const spoilt = await scrub(again);
    t.same(places(spoilt), found);
    t.same(told(spoilt), { ok: BLOCKS - 43 - 1 - 2, bad: 43, escaped: 1, unreadable: 2 });
    t.match(spoilt.findings[1], { stored: 600 ^ 0x10, computed: 600, intervals: 40 });
  }
  if (type === 1) await killed(t, attached.sg, found);
}

/** Named by sg, READs go by bsg where they can: nobody may send 32 bytes through that, and in the end may not open it. */
async function byNodes(t: Test, { sysfs }: Disk): Promise<void> {
  const [sg, bsg] = [sysfs.sg!, sysfs.bsg!].map(({ name }) => `/dev/${name}`) as [string, string];
  const openNodes = async () => {
    const links = (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`));
    return (await Promise.allSettled(links)).map((link) => (link.status === 'fulfilled' ? link.value : ''));
  };
  t.equal((await openNodes()).filter((path) => path === bsg).length, 1);
  for (const node of [sg, bsg]) await chown(node, NOBODY, NOBODY);
  for (const [mode, open] of [
    [0o600, 2],
    [0, 1],
  ] as const) {
    await chmod(bsg, mode);
    process.seteuid!(NOBODY);
    try {
      await using disk = await openDevice(sg, { queueDepth: QUEUE_DEPTH });
      t.equal((await openNodes()).filter((path) => path === bsg).length, open);
      t.same(told(await scrub(disk)), { ok: BLOCKS });
    } finally {
      process.seteuid!(0);
    }
  }
  for (const node of [sg, bsg]) await chown(node, 0, 0);
  await chmod(bsg, 0o600);
}

/** A scrub that is killed goes on from its file. */
async function killed(t: Test, sg: string, found: readonly unknown[]): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'scrub-'));
  const state = join(dir, 'state');
  const main = ['lib/cli/main.js', 'scrub', sg, '--queue-depth', '2', '--rate', '100K', '--state', state];
  const child = spawn(process.execPath, main, { stdio: 'ignore' });
  let blocks = 0;
  while (blocks === 0 && child.exitCode === null) {
    await delay(200);
    const text = await readFile(state, 'utf8').catch(() => null);
    if (text !== null) blocks = JSON.parse(text).state.blocks;
  }
  child.kill('SIGKILL');
  await once(child, 'exit');
  t.ok(blocks > 0 && blocks < BLOCKS, `${blocks} blocks were done`);
  const { status, stdout } = await cli('scrub', sg, '--state', state, '--json');
  const report = JSON.parse(stdout.trimEnd().split('\n').at(-1)!);
  t.match([status, report], [1, { ended: 'finished', resumed: true, done: BLOCKS }]);
  t.same(places(report), found);
  await rm(dir, { recursive: true });
}

/** Right blocks by the block layer, whose tuples the kernel makes. */
async function fill(device: string, blocks: number): Promise<void> {
  await using file = await open(device, constants.O_RDWR | constants.O_DIRECT);
  const data = alignedBuffer(1 << 20);
  for (let lba = 0; lba < blocks; lba += data.length / 512) {
    for (let at = 0; at < data.length; at += 512) data.set(pattern(512, lba + at / 512), at);
    await file.write(data, 0, Math.min(data.length, (blocks - lba) * 512), lba * 512);
  }
}

/** A plain WRITE by SG_IO changes the data under its tuple (facts of scsi_debug). */
async function plant(device: string, lba: number): Promise<void> {
  const { native } = await import('../../lib/binding.js');
  const handle = new (native().Handle)();
  await handle.open(device, constants.O_RDWR | constants.O_NONBLOCK);
  const cdb = encodeCdb('WRITE(10)', { lba: BigInt(lba), blocks: 1 });
  const data = pattern(512, lba + 1_000_000);
  await handle.sgIo({ cdb, direction: 'to-device', data, timeoutMs: 10_000 });
  await handle.close();
}

async function scsiDebug(t: Test, dif: 1 | 2): Promise<void> {
  await using made = await createScsiDebug({ dif, sizeMiB: 8 });
  const total = 16_384;
  {
    await using fresh = await openDevice(made.device, { queueDepth: QUEUE_DEPTH });
    const report = await scrub(fresh);
    const byKernel = report.checker === 'kernel';
    t.same(told(report), byKernel ? { unchecked: total, passed: total } : { escaped: total });
    t.equal(report.checked, byKernel ? total : 0);
  }
  await fill(made.device, total);
  for (const lba of [0, 3000, 3001, total - 1]) await plant(made.device, lba);
  for (const queueDepth of DEPTHS) {
    await using disk = await openDevice(made.device, { queueDepth });
    fourPlanted(t, dif, disk, await scrub(disk));
  }
}

/** The report on a scsi_debug of 8 MiB with bad blocks at 0, 3000, 3001 and its end. */
function fourPlanted(t: Test, dif: 1 | 2, disk: Disk, report: ScrubReport): void {
  const total = Number(disk.blocks);
  if (disk.paths.includes('block-pi')) {
    t.match(report, { checker: 'software', path: 'block-pi', checked: total });
    t.same(told(report), { ok: total - 4, bad: 4 });
    t.same(places(report), [
      ['mismatch', 0, 1, 'guard'],
      ['mismatch', 3000, 2, 'guard'],
      ['mismatch', total - 1, 1, 'guard'],
    ]);
  } else {
    t.match(report, {
      checker: 'kernel',
      path: 'block',
      checked: total,
      notSoftware: /passthrough: .*block-pi:/,
    });
    t.same(told(report), { unchecked: total, passed: total - 4, refused: 4 });
    t.same(
      report.findings.map(({ kind, lba, blocks, checker }) => [kind, lba, blocks, checker]),
      [0, 3000, total - 1].map((lba) => [
        'refused',
        lba,
        lba === 3000 ? 2 : 1,
        dif === 1 ? 'device' : 'kernel',
      ]),
    );
  }
}

async function byVerify(t: Test): Promise<void> {
  await using made = await createScsiDebug({ dif: 1, dix: 0, sizeMiB: 8 });
  await using disk = await openDevice(made.device);
  const report = await scrub(disk);
  t.match(report, { checker: 'device', path: 'passthrough', by: /^VERIFY\(16\)/, checked: 0 });
  t.same(told(report), { unchecked: 16_384, passed: 16_384 });
}

/**
 * With virtual_gb data and tuples wrap at dev_size_mb: beyond the store each block is an alias, right in its guard, with the reference tag of
 * where it really lies. Memory does not grow with the disk.
 */
async function virtualDisk(t: Test): Promise<void> {
  const store = 16_384;
  {
    await using made = await createScsiDebug({ dif: 3, sizeMiB: 8, virtualGiB: 1 });
    await fill(made.device, store);
    await using disk = await openDevice(made.device, { queueDepth: QUEUE_DEPTH });
    t.equal(disk.blocks, 2n ** 21n);
    const range = { lba: 2n ** 20n, blocks: 2 ** 17 };
    const rss: number[] = [];
    const report = await scrub(disk, {
      range,
      onProgress: () => void rss.push(process.memoryUsage.rss()),
    });
    const { blocks } = range;
    const seen = report.checker === 'kernel' ? { unchecked: blocks, passed: blocks } : { ok: blocks };
    t.same(told(report), seen, 'type 3 has no reference tags: every alias is right');
    const settled = rss.slice(rss.length >> 2);
    const grown = Math.max(...settled) - settled[0]!;
    t.ok(grown < 24 * 2 ** 20, `${grown} bytes more than after a quarter`);
    t.comment(`${(report.bytesPerSecond / 2 ** 20).toFixed(0)} MiB/s by ${report.path}`);
  }
  await using made = await createScsiDebug({ dif: 1, sizeMiB: 8, virtualGiB: 1 });
  await fill(made.device, store);
  await using disk = await openDevice(made.device, { queueDepth: QUEUE_DEPTH });
  const range = { lba: BigInt(store - 4), blocks: 8 };
  const report = await scrub(disk, { range });
  if (report.checker === 'software') {
    t.same(places(report), [['mismatch', store, 4, 'ref']]);
    t.match(report.findings[0], { stored: 0, computed: store, intervals: 4 });
    t.same(told(report), { ok: 4, bad: 4 });
  } else {
    // The kernel's log names who refused ten times in five seconds: what it does not name stands apart.
    const refused = report.findings.flatMap(({ kind, lba, blocks }) =>
      kind === 'refused' ? Array.from({ length: blocks }, (_, i) => lba + i) : [],
    );
    t.same(
      refused,
      [0, 1, 2, 3].map((i) => store + i),
    );
    t.same(told(report), { unchecked: 8, passed: 4, refused: 4 });
  }
}
