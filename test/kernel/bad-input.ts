/**
 * What goes wrong for users: every case ends with the right exit status and words, and with the disk as it was.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  alignedBuffer,
  type BlocksRead,
  claimRegion,
  createScsiDebug,
  crosscheck,
  type Disk,
  openDevice,
  prove,
} from 'blk-integrity';
import type { Test } from 'tap';
import { cli } from './cli.js';
import { command } from './command.js';
import { sameBytes } from './same-bytes.js';

const MAIN = join(
  dirname(createRequire(import.meta.url).resolve('blk-integrity/package.json')),
  'lib/cli/main.js',
);

export async function badInput(t: Test): Promise<void> {
  await using made = await createScsiDebug({ sizeMiB: 2, partitions: 1 });
  await using disk = await openDevice(made.device);
  await wrongDevices(t, disk);
  await wrongNumbers(t, disk);
  await notOurs(t);
  await busy(t, disk);
  await alreadyLoaded(t, made.device);
  await t.test('a UNIT ATTENTION', (t) => unitAttention(t, disk));
  await t.test('a region that is claimed', (t) => outsideTheRegion(t, disk));
  await disk.close();
  await made[Symbol.asyncDispose]();
  await t.test('blocks that cannot be read', mediumErrors);
  await t.test('SIGINT in the middle of prove', interrupted);
  await t.test('a disk that vanishes during a read', vanished);
}

async function wrongDevices(t: Test, disk: Disk): Promise<void> {
  const cases: [string, number, RegExp][] = [
    ['/dev/no-such-disk', 3, /ERR_NO_DEVICE.*\n.*list/],
    ['/etc', 2, /directory.*ERR_NOT_A_DISK/],
    ['/etc/passwd', 2, /no device node.*ERR_NOT_A_DISK/],
    ['/dev/null', 2, /no disk.*ERR_NOT_A_DISK/],
    [`/dev/${disk.sysfs.partitions[0]!.name}`, 2, /partition of .*ERR_PARTITION.*\n.*--lba/],
  ];
  for (const [device, status, words] of cases) {
    for (const verb of ['show', 'crosscheck', 'prove']) {
      const seen = await cli(verb, device);
      t.match(seen, { status, stderr: words, stdout: '' }, `${verb} ${device}`);
    }
  }
  process.seteuid!(65534);
  try {
    const seen = await cli('show', disk.device);
    t.match(seen, { status: 3, stderr: /ERR_PERMISSION.*\n.*root/ }, 'no permission');
  } finally {
    process.seteuid!(0);
  }
}

async function wrongNumbers(t: Test, disk: Disk): Promise<void> {
  const end = String(disk.blocks);
  for (const args of [
    ['--lba', end],
    ['--lba', '0', '--blocks', String(disk.blocks + 1n)],
    ['--lba', '-1'],
    ['--lba', 'twelve'],
    ['--lba', '1.5'],
    ['--lba', '18446744073709551616'],
    ['--blocks', '0'],
    ['--lba', '18446744073709551615', '--blocks', '18446744073709551615'],
  ]) {
    const seen = await cli('crosscheck', disk.device, ...args);
    t.match(seen, { status: 2, stdout: '', stderr: /^.+\S/ }, args.join(' '));
  }
  t.match(await cli('prove', disk.device, '--lba', end), { status: 2, stderr: /ERR_OUT_OF_RANGE/ });
  t.match(await cli('crosscheck', disk.device, '--write'), { status: 2, stderr: /--lba and --blocks/ });
  t.match(await cli('crosscheck', disk.device, '--testbed', 'scsi-debug'), { status: 2, stderr: /not both/ });
}

/** null_blk stands for every disk that is not the testbed's. */
async function notOurs(t: Test): Promise<void> {
  await command('modprobe', 'null_blk', 'nr_devices=1', 'gb=1');
  for (const args of [
    ['prove', '/dev/nullb0'],
    ['crosscheck', '/dev/nullb0', '--write', '--lba', '0', '--blocks', '8'],
  ]) {
    const seen = await cli(...args);
    t.match(
      seen,
      { status: 2, stdout: '', stderr: /not made by this package's testbed.*ERR_NOT_OURS/ },
      args.join(' '),
    );
  }
  const read = await cli('crosscheck', '/dev/nullb0', '--lba', '0', '--blocks', '8');
  t.match(read, { status: 0, stdout: /unchecked/ }, 'reading it is allowed');
  await command('modprobe', '-r', 'null_blk');
}

async function busy(t: Test, disk: Disk): Promise<void> {
  const holder = await open(disk.device, constants.O_RDONLY | constants.O_EXCL);
  t.match(await cli('prove', disk.device), { status: 3, stderr: /ERR_BUSY/ }, 'held by somebody');
  await holder.close();
  await using region = await claimRegion(disk, { lba: 0n, blocks: 1 });
  t.ok(region);
  t.match(await cli('prove', disk.device), { status: 3, stderr: /ERR_BUSY/ }, 'claimed by another run');
}

async function alreadyLoaded(t: Test, device: string): Promise<void> {
  const seen = await cli('crosscheck', '--testbed', 'scsi-debug');
  t.match(seen, { status: 3, stderr: /loaded already/ });
  t.match((await cli('testbed', 'scsi-debug', 'list')).stdout, `${device}\n`, 'and stays as it is');
}

/** scsi_debug reports changed logical units once to every disk: whatever was proved before has lapsed. */
async function unitAttention(t: Test, disk: Disk): Promise<void> {
  const before = await disk.proof();
  t.equal(await disk.proof(), before, 'a proof holds');
  await writeFile('/sys/bus/pseudo/drivers/scsi_debug/max_luns', '2');
  const { answer } = await disk.read('passthrough', 0n, 1);
  t.equal(answer.kind, 'good', 'the command was retried');
  const after = await disk.proof();
  t.not(after, before, 'and the proof made again');
  t.equal(after?.text, before?.text);
}

async function outsideTheRegion(t: Test, disk: Disk): Promise<void> {
  await using region = await claimRegion(disk, { lba: 8n, blocks: 2 });
  const block = new Uint8Array(disk.blockSize);
  for (const [lba, data] of [
    [7n, block],
    [10n, block],
    [9n, new Uint8Array(2 * disk.blockSize)],
    [8n, block.subarray(1)],
    [8n, new Uint8Array(0)],
  ] as const) {
    await t.rejects(region.write('block', lba, data), { code: 'ERR_OUT_OF_RANGE' });
  }
  await t.rejects(claimRegion(disk, { lba: 0n, blocks: 1 }), { code: 'ERR_BUSY' }, 'a second claim');
}

/** scsi_debug's own medium errors: ten blocks from 1234h on (opts bit 1). */
async function mediumErrors(t: Test): Promise<void> {
  await using made = await createScsiDebug({ sizeMiB: 4 });
  await using disk = await openDevice(made.device);
  await writeFile('/sys/bus/pseudo/drivers/scsi_debug/opts', '2');
  const { findings } = await crosscheck(disk, { ranges: [{ lba: 0x1230n, blocks: 24 }] });
  const lbas = [...new Set(findings.map(({ lba }) => lba))];
  t.same(
    lbas,
    Array.from({ length: 10 }, (_, i) => 0x1234 + i),
    'every bad block is found, and no other',
  );
  t.same([...new Set(findings.map(({ kind }) => kind))], ['read-error']);
  t.match(await cli('prove', disk.device, '--lba', '0x1235'), { status: 3, stderr: /cannot be saved/ });
  t.match(await cli('crosscheck', disk.device, '--lba', '0x1235', '--blocks', '1'), {
    status: 1,
    stdout: /error 1/,
  });
  await writeFile('/sys/bus/pseudo/drivers/scsi_debug/opts', '0');
}

async function interrupted(t: Test): Promise<void> {
  const lba = 40n;
  await using made = await createScsiDebug({ sizeMiB: 2, delayMs: 60 });
  const { data: before } = await peek(made.device, lba);
  const child = spawn(process.execPath, [MAIN, 'prove', made.device, '--lba', String(lba)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const ended = once(child, 'exit');
  let planted = false;
  while (!planted && child.exitCode === null) {
    // Nobody else may have it open when the child claims it.
    await delay(50);
    planted = await looksPlanted(made.device, lba);
  }
  t.ok(planted, 'the fault was on the medium when the signal came');
  child.kill('SIGINT');
  t.same(await ended, [130, null], 'exit status 130');
  t.match(stderr, /interrupted/);
  sameBytes(t, (await peek(made.device, lba)).data, before, 'the block is as it was');

  await using disk = await openDevice(made.device);
  const abort = new AbortController();
  const cut = prove(disk, {
    lba,
    signal: abort.signal,
    onStep: (step) => step.startsWith('see') && abort.abort(),
  });
  await t.rejects(cut, { name: 'AbortError' });
  sameBytes(t, (await disk.readMedium(lba, 1)).data, before, 'the same by AbortSignal');
}

async function peek(device: string, lba: bigint): Promise<BlocksRead> {
  await using disk = await openDevice(device);
  return await disk.readMedium(lba, 1);
}

/** By a read through the block layer, which refuses the block then. */
async function looksPlanted(device: string, lba: bigint): Promise<boolean> {
  const node = await open(device, constants.O_RDONLY | constants.O_DIRECT);
  const block = alignedBuffer(512);
  const read = node.read(block, 0, block.length, Number(lba) * 512);
  return await read
    .then(
      () => false,
      () => true,
    )
    .finally(() => node.close());
}

async function vanished(t: Test): Promise<void> {
  await using made = await createScsiDebug({ sizeMiB: 8, delayMs: 100 });
  await using disk = await openDevice(made.device);
  const run = crosscheck(disk, { ranges: [{ lba: 0n, blocks: Number(disk.blocks) }] });
  const failed = t.rejects(run, { code: 'ERR_DEVICE_GONE', advice: /dmesg/ });
  await delay(1500);
  await writeFile(`/sys/block/${disk.sysfs.name}/device/delete`, '1');
  await failed;
}
