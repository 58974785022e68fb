/**
 * Disks that are not the testbed's: written when their owner says so, with a journal, and put back whatever happens in between.
 *
 * CRASHES: twice as often as a run is killed, which is 8 times without; the other half are the power cuts of test/power-cuts.test.ts.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type AttachedUnit,
  type ClaimOptions,
  claimRegion,
  createScsiDebug,
  type Disk,
  EmulatedDisk,
  fillDisk,
  openDevice,
  recover,
} from 'blk-integrity';
import type { Test } from 'tap';
import { command } from './command.js';
import { crash, crashPoint, NEVER } from './crash.js';
import { sameBytes } from './same-bytes.js';
import { Undo } from './undo.js';

const KILLS = Number(process.env['CRASHES'] ?? 16) / 2;
const RANGE = { lba: 1000n, blocks: 8 };
const THEIRS = { inquiry: { vendor: 'ACME', product: 'DIF DISK' }, blocks: 8192 } as const;

export async function owned(t: Test): Promise<void> {
  await t.test('whose disk it is', whose);
  await t.test('where the blocks lie', where);
  await t.test('who else uses it', inUse);
  await t.test('killed at any write', killed);
}

/** A file system on a disk of its own, for journals: memory in truth, but nothing that the safeguard can see. */
export async function storage(undo: Undo): Promise<string> {
  const { device } = undo.use(await createScsiDebug({ sizeMiB: 32, dif: 0, dix: 0 }));
  const folder = await mkdtemp(join(tmpdir(), 'journals-'));
  await command('mkfs.ext4', '-q', device);
  await command('mount', device, folder);
  undo.push(() => command('umount', folder));
  return folder;
}

async function whose(t: Test): Promise<void> {
  await using undo = new Undo();
  const folder = await storage(undo);
  const emulated = await EmulatedDisk.create({ ...THEIRS, type: 1 });
  const { sg } = undo.use(await emulated.attach());
  await using disk = await openDevice(sg);
  const serial = disk.facts!.serial!;
  const identity = disk.facts!.identity!;
  const journal = join(folder, 'one.journal');
  const refused = async (options: ClaimOptions, expected: Record<string, unknown>, what: string) => {
    const error = await claimRegion(disk, RANGE, options).catch((cause: unknown) => cause);
    t.match(error, expected, what);
    t.notOk(existsSync(journal));
  };
  const advice = new RegExp(`--i-own ${identity}`);
  await refused({ journal }, { code: 'ERR_NOT_OURS', message: /ACME DIF DISK/, advice }, 'nobody says so');
  await refused({ journal, iOwn: `${serial}x` }, { code: 'ERR_NOT_OURS', message: /is not/ }, 'another');
  await refused({ iOwn: serial }, { code: 'ERR_USAGE', message: /without a journal/ }, 'no journal');
  await mkdir('/run/memory', { recursive: true });
  await command('mount', '-t', 'tmpfs', 'tmpfs', '/run/memory');
  undo.push(() => command('umount', '/run/memory'));
  await refused(
    { iOwn: serial, journal: '/run/memory/j' },
    { code: 'ERR_USAGE', message: /in memory/ },
    'in memory',
  );

  const before = await look(disk);
  for (const iOwn of [serial, identity, `0x${identity.replace('naa.', '')}`]) {
    await using region = await claimRegion(disk, RANGE, { iOwn, journal });
    t.ok(existsSync(journal));
    t.match(await region.write('passthrough', 1001n, new Uint8Array(512).fill(9)), { kind: 'good' });
    t.equal(await region.restore(), 'exact');
  }
  t.notOk(existsSync(journal), 'all is back: nothing to restore');
  sameBytes(t, await look(disk), before);

  await using stripped = await EmulatedDisk.create({ ...THEIRS, type: 1, preset: 'scsi-debug' });
  const silent = undo.use(await stripped.attach());
  await using untold = await openDevice(silent.sg);
  const iOwn = untold.facts!.serial!;
  await t.rejects(claimRegion(untold, RANGE, { iOwn, journal }), {
    code: 'ERR_NO_PATH',
    message: /no path shows/,
  });
  t.equal(stripped.stats().blocksWritten, 0);
}

async function where(t: Test): Promise<void> {
  await using undo = new Undo();
  const folder = await storage(undo);
  const emulated = await EmulatedDisk.create({ ...THEIRS, type: 0 });
  const { block } = undo.use(await emulated.attach());
  await partitioned(block!, { start: 512, blocks: 4096 });
  await using disk = await openDevice(block!);
  const iOwn = disk.facts!.serial!;
  const name = `${disk.sysfs.name}1`;
  const claim = (lba: bigint, partition?: string) =>
    claimRegion(disk, { lba, blocks: 8 }, { iOwn, partition, journal: join(folder, 'where.journal') });
  const outOfRange = (message: RegExp) => ({ code: 'ERR_OUT_OF_RANGE', message });
  await t.rejects(claim(1000n), outOfRange(new RegExp(`inside ${name}`)), 'inside, unnamed');
  await t.rejects(claim(508n), outOfRange(/inside/), 'half inside');
  await t.rejects(claim(4604n, name), outOfRange(/not wholly/), 'half outside');
  await t.rejects(claim(5000n, name), outOfRange(/not wholly/), 'outside, named');
  await t.rejects(claim(0n), outOfRange(/partition table/));
  await t.rejects(claim(8184n), outOfRange(/partition table/));
  for (const [lba, partition] of [
    [1000n, name],
    [100n, undefined],
  ] as const) {
    await using region = await claim(lba, partition);
    t.match(region.range, { lba });
  }
}

/** An MBR with one partition. */
async function partitioned(
  block: string,
  { start, blocks }: { start: number; blocks: number },
): Promise<void> {
  const table = Buffer.alloc(512);
  table[450] = 0x83;
  table.writeUInt32LE(start, 454);
  table.writeUInt32LE(blocks, 458);
  table.writeUInt16LE(0xaa55, 510);
  const node = await open(block, 'r+');
  await node.write(table, 0, 512, 0);
  await node.sync();
  await node.close();
  await command('blockdev', '--rereadpt', block);
}

async function inUse(t: Test): Promise<void> {
  await using undo = new Undo();
  const folder = await storage(undo);
  const emulated = await EmulatedDisk.create({ ...THEIRS, type: 0 });
  const one: AttachedUnit = undo.use(await emulated.attach());
  const journal = join(folder, 'use.journal');
  {
    await using disk = await openDevice(one.block!);
    const iOwn = disk.facts!.serial!;
    for (const node of [one.sg, one.block!]) {
      const reader = spawn('sh', ['-c', `exec sleep 60 < ${node}`]);
      await once(reader, 'spawn');
      await t.rejects(
        claimRegion(disk, RANGE, { iOwn, journal }),
        { code: 'ERR_BUSY', message: /open: .*sleep/ },
        node,
      );
      reader.kill();
      await once(reader, 'exit');
    }
    await using region = await claimRegion(disk, RANGE, { iOwn, journal });
    t.ok(region);
  }
  // The same disk by two ways, one of them mounted.
  const two: AttachedUnit = undo.use(await emulated.attach({ name: 'second-path' }));
  await command('mkfs.ext4', '-q', two.block!);
  const mounted = await mkdtemp(join(tmpdir(), 'mounted-'));
  await command('mount', two.block!, mounted);
  await using disk = await openDevice(one.block!);
  const claim = claimRegion(disk, RANGE, { iOwn: disk.facts!.serial!, journal });
  await t.rejects(claim, { code: 'ERR_BUSY', message: /another path/ });
  await command('umount', mounted);
}

const look = async (disk: Disk) => {
  const { lba, blocks } = { lba: 960n, blocks: 128 };
  const reads = [await disk.readMedium(lba, blocks)];
  for (const path of disk.paths) reads.push(await disk.read(path, lba, blocks));
  return Buffer.concat(reads.flatMap(({ data, tuples }) => [data!, tuples ?? new Uint8Array(0)]));
};

/** The runs are processes of their own; the disk outlives them. */
async function killed(t: Test): Promise<void> {
  await using undo = new Undo();
  const emulated = await EmulatedDisk.create({ type: 1, blocks: 8192 });
  const { sg } = undo.use(await emulated.attach());
  const made = undo.use(await createScsiDebug({ sizeMiB: 4 }));
  for (const device of [sg, made.device]) {
    await using filling = await openDevice(device);
    await fillDisk(filling);
  }
  const verbs = [
    ['prove', sg, '--lba', '1003'],
    ['crosscheck', sg, '--write', '--lba', '1000', '--blocks', '40'],
    ['prove', made.device, '--lba', '1003'],
    ['crosscheck', made.device, '--write', '--lba', '1000', '--blocks', '40'],
  ];
  const runs = Math.ceil(KILLS / verbs.length);
  let left = 0;
  for (const verb of verbs) {
    await t.test(verb.join(' '), async (t) => {
      left += await campaign(t, verb, runs);
    });
  }
  // The first of two runs or more ends in the last half of the writes, where the journal has long been there.
  if (runs >= 2) t.ok(left > 0, `${left} journals restored: without one nothing was tried`);
}

/** How many journals were left, and restored. */
async function campaign(t: Test, verb: readonly string[], runs: number): Promise<number> {
  const journal = join(await mkdtemp(join(tmpdir(), 'crash-')), 'one.journal');
  const device = verb[1]!;
  const before = await looked(device);
  const showsTuples = await shown(device);
  const whole = await crash(verb, journal, NEVER);
  const points = Number(whole.said);
  t.match(whole, { signal: null }, `${points} write points`);
  sameBytes(t, await looked(device), before);
  let left = 0;
  for (let run = 0; run < runs; run++) {
    const { at, when } = crashPoint(run, runs, points);
    const { signal } = await crash(verb, journal, { at, when, by: 'kill' });
    t.equal(signal, 'SIGKILL', `killed at write ${at}, ${when}`);
    if (existsSync(journal)) {
      left++;
      const { outcome } = await recover(journal);
      if (showsTuples) t.not(outcome, 'tuples regenerated');
    }
    t.notOk(existsSync(journal));
    sameBytes(t, await looked(device), before, 'byte for byte as it was');
  }
  t.comment(`${verb.join(' ')}: ${points} write points, ${runs} runs killed, ${left} journals restored`);
  return left;
}

/** Where no path shows tuples, nobody can say that they are back. */
async function shown(device: string): Promise<boolean> {
  await using disk = await openDevice(device);
  return disk.paths.includes('block-pi') || (await disk.proof())?.result === 'crosses';
}

async function looked(device: string): Promise<Buffer> {
  await using disk = await openDevice(device);
  return await look(disk);
}
