/**
 * The pass-through path on scsi_debug: which node carries what, and many commands in flight on one handle.
 *
 * PASSTHROUGH_COMMANDS: how many commands the search for leaks sends, 5000 without.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync } from 'node:fs';
import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { createScsiDebug, type Disk, encodeCdb, openDevice } from 'blk-integrity';
import type { Test } from 'tap';
import { command } from './command.js';

const LEAK_COMMANDS = Number(process.env['PASSTHROUGH_COMMANDS'] ?? 5000);
const NOBODY = 65534;
/** Jiffies, of which Debian's kernels have 250 a second: long enough, on a busy machine too, that everything which is to be under way at once is. */
const SLOW_JIFFIES = 750;
const DRIVER = '/sys/bus/pseudo/drivers/scsi_debug';

export async function passthrough(t: Test): Promise<void> {
  await t.test('queue depth', async (t) => {
    await using made = await createScsiDebug({ sizeMiB: 16, dif: 0, dix: 0 });
    await stamp(made.device);
    for (const depth of [1, 8, 32]) await t.test(`${depth} at once`, (t) => inFlight(t, made.device, depth));
    await t.test('the event loop and its pool stay free', (t) => notHeld(t, made.device));
    await t.test('closed with commands in flight', (t) => closed(t, made.device));
    await t.test('given up with commands in flight', (t) => givenUp(t, made.device));
    await t.test('a process that ends with commands in flight', (t) => ends(t, made.device));
    await t.test(`no leak in ${LEAK_COMMANDS} commands`, (t) => leaks(t, made.device));
  });
  await t.test('nodes', nodes);
}

/** Every block says which it is. */
async function stamp(device: string): Promise<void> {
  await using node = await open(device, 'r+');
  const bytes = Buffer.alloc(1 << 20);
  for (let at = 0; at < 16; at++) {
    for (let i = 0; i < bytes.length; i += 8) bytes.writeBigUInt64LE(BigInt(((at << 20) + i) >> 9), i);
    await node.write(bytes, 0, bytes.length, at << 20);
  }
  await node.sync();
}

const isStamped = (data: Uint8Array, lba: number) =>
  Buffer.from(data.buffer, data.byteOffset).readBigUInt64LE(8) === BigInt(lba);

async function slowly<T>(job: () => Promise<T>): Promise<T> {
  await writeFile(`${DRIVER}/delay`, String(SLOW_JIFFIES));
  try {
    return await job();
  } finally {
    // Refused while commands are under way, and those of a process that ended may be.
    await until(() =>
      writeFile(`${DRIVER}/delay`, '0').then(
        () => true,
        () => false,
      ),
    );
  }
}

/** Commands that the kernel has begun and not ended, by its own count. */
async function underWay({ sysfs }: Disk): Promise<number> {
  const count = async (name: string) =>
    Number(await readFile(`/sys/class/scsi_device/${sysfs.hctl}/device/${name}`, 'utf8'));
  return (await count('iorequest_cnt')) - (await count('iodone_cnt'));
}

async function until(ready: () => Promise<boolean>): Promise<void> {
  while (!(await ready())) await delay(5);
}

/** Until so many are under way, or all have ended: then there never were. */
async function untilUnderWay(disk: Disk, count: number, all: Promise<unknown>): Promise<void> {
  let ended = false;
  void all.then(() => {
    ended = true;
  });
  await until(async () => ended || (await underWay(disk)) === count);
}

async function inFlight(t: Test, device: string, queueDepth: number): Promise<void> {
  await using disk = await openDevice(device, { queueDepth });
  const idle = await underWay(disk);
  await slowly(async () => {
    let most = 0;
    let ended = false;
    const lbas = Array.from({ length: queueDepth * 2 }, (_, i) => (i * 7919) % 32_000);
    const all = Promise.all(
      lbas.map(async (lba) => {
        const { data } = await disk.readAs({ size: 16 }, BigInt(lba), 1);
        t.ok(isStamped(data!, lba), `block ${lba} has its own data`);
      }),
    ).finally(() => {
      ended = true;
    });
    await until(async () => {
      most = Math.max(most, (await underWay(disk)) - idle);
      return ended;
    });
    await all;
    t.equal(most, queueDepth, 'so many, and never more');
  });
  t.equal((await underWay(disk)) - idle, 0);
}

async function notHeld(t: Test, device: string): Promise<void> {
  await using disk = await openDevice(device, { queueDepth: 32 });
  const idle = await underWay(disk);
  await slowly(async () => {
    let ended = 0;
    const all = Array.from({ length: 32 }, async (_, i) => {
      await disk.readAs({ size: 10 }, BigInt(i), 1);
      ended++;
    });
    await untilUnderWay(disk, idle + 32, Promise.all(all));
    // Eight files are more than libuv has threads.
    await Promise.all(Array.from({ length: 8 }, () => readFile('/proc/self/maps')));
    t.equal(ended, 0, 'files are read, and timers run, while all of them are under way');
    await Promise.all(all);
  });
}

const openFiles = async () => (await readdir('/proc/self/fd')).length;

async function closed(t: Test, device: string): Promise<void> {
  const before = await openFiles();
  const disk = await openDevice(device, { queueDepth: 8 });
  const idle = await underWay(disk);
  await slowly(async () => {
    const reads = Array.from({ length: 20 }, (_, i) => disk.readAs({ size: 16 }, BigInt(i), 1));
    const settled = Promise.allSettled(reads);
    await untilUnderWay(disk, idle + 8, settled);
    await disk.close();
    const ends = await settled;
    const good = ends.filter(({ status }) => status === 'fulfilled');
    t.equal(good.length, 8, 'what was under way was answered');
    const codes = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason.code] : []));
    t.same(codes, Array(12).fill('ERR_CLOSED'), 'what waited was not sent');
  });
  await t.rejects(disk.readAs({ size: 16 }, 0n, 1), { code: 'ERR_CLOSED' });
  t.equal(await openFiles(), before, 'no descriptor is left');
}

async function givenUp(t: Test, device: string): Promise<void> {
  await using disk = await openDevice(device, { queueDepth: 4 });
  const idle = await underWay(disk);
  const controller = new AbortController();
  await slowly(async () => {
    const reads = Array.from({ length: 10 }, (_, i) =>
      disk.readAs({ size: 16 }, BigInt(i), 1, controller.signal),
    );
    const settled = Promise.allSettled(reads);
    await untilUnderWay(disk, idle + 4, settled);
    controller.abort();
    const ends = (await settled).map(({ status }) => status);
    t.same(ends, [...Array(4).fill('fulfilled'), ...Array(6).fill('rejected')]);
  });
  t.match(await disk.readAs({ size: 16 }, 5n, 1), { answer: { kind: 'good' } }, 'and the disk goes on');
}

/** Neither process.exit() nor an error waits for what JavaScript will not see any more, and neither crashes. */
async function ends(t: Test, device: string): Promise<void> {
  const script = (end: string) => `
    import { openDevice } from 'blk-integrity';
    const disk = await openDevice(${JSON.stringify(device)}, { queueDepth: 16 });
    process.stdout.write('open');
    process.stdin.once('data', () => {
      for (let i = 0; i < 40; i++) disk.readAs({ size: 16 }, BigInt(i), 1).catch(() => {});
      setTimeout(() => { ${end} }, 50);
    });`;
  for (const [end, status] of [
    ['process.exit(7)', 7],
    ['throw new Error("end")', 1],
  ] as const) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script(end)], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    await once(child.stdout, 'data');
    await slowly(async () => {
      child.stdin.write('go');
      t.same(await once(child, 'exit'), [status, null], end);
    });
  }
}

async function leaks(t: Test, device: string): Promise<void> {
  const before = await openFiles();
  {
    await using disk = await openDevice(device, { queueDepth: 32 });
    const burst = async (commands: number) => {
      let left = commands;
      const worker = async () => {
        while (left-- > 0) await disk.readAs({ size: 16 }, BigInt(left % 32_000), 8);
      };
      await Promise.all(Array.from({ length: 32 }, worker));
    };
    await burst(1000);
    globalThis.gc?.();
    const rss = process.memoryUsage().rss;
    await burst(LEAK_COMMANDS);
    globalThis.gc?.();
    const more = (process.memoryUsage().rss - rss) / 2 ** 20;
    t.comment(`${LEAK_COMMANDS} commands: ${more.toFixed(1)} MiB more`);
    // One leaked buffer of 4 KiB a command would be 20 MiB after 5000, and more than any heap's ups and downs after 100,000.
    t.ok(more < Math.max(64, (LEAK_COMMANDS * 4096) / 2 ** 20 / 4), `${more.toFixed(1)} MiB more`);
  }
  t.equal(await openFiles(), before);
}

async function nodes(t: Test): Promise<void> {
  await using made = await createScsiDebug({ sizeMiB: 2, dif: 2, dix: 0 });
  const { sg, bsg, block, hctl } = (await withDisk(made.device, async (disk) => disk)).sysfs;
  const by = [sg!, block!, bsg!].map(({ name }) => `/dev/${name}`);
  const seen = new Set<string>();
  for (const path of by) {
    await using disk = await openDevice(path);
    const { data } = await disk.readAs({ size: 32 }, 8n, 4);
    seen.add(JSON.stringify([disk.facts, Buffer.from(data!).toString('hex')], (_, value) => String(value)));
    const beyond = await disk.transport!.send({
      cdb: encodeCdb('READ(16)', { lba: 1n << 40n, blocks: 1 }),
      direction: 'from-device',
      data: new Uint8Array(512),
    });
    t.match(beyond.outcome, { kind: 'check-condition', sense: { key: 5, asc: 0x21 } }, `sense by ${path}`);
  }
  t.equal(seen.size, 1, 'every node tells of one and the same disk');

  await t.test('who may send 32 bytes', (t) => permissions(t, made.device, by));

  await command('modprobe', '-r', 'sg');
  await withDisk(made.device, async (disk) => {
    t.match(
      await disk.readAs({ size: 32 }, 0n, 1),
      { answer: { kind: 'good' } },
      'without sg the block node',
    );
    t.equal(disk.sysfs.sg, null);
  });
  await writeFile('/sys/bus/scsi/drivers/sd/unbind', hctl!);
  await withDisk(by[2]!, async (disk) => {
    t.match(disk, { device: by[2], sysfs: { block: null, sg: null } }, 'without sd the bsg node');
    t.match(await disk.readAs({ size: 32 }, 0n, 1), { answer: { kind: 'good' } });
  });
  await writeFile('/sys/bus/scsi/drivers/sd/bind', hctl!);
  await command('modprobe', 'sg');
}

async function withDisk<T>(path: string, job: (disk: Disk) => Promise<T>): Promise<T> {
  await using disk = await openDevice(path);
  return await job(disk);
}

/** Without CAP_SYS_RAWIO the kernel filters what a block or bsg node takes, and an sg node that is open for reading alone. */
async function permissions(t: Test, device: string, [sg, block, bsg]: string[]): Promise<void> {
  const own = (mode: number) => {
    for (const path of [sg!, block!, bsg!]) {
      chownSync(path, NOBODY, NOBODY);
      chmodSync(path, mode);
    }
  };
  const readLong = async (path: string) =>
    withDisk(path, async (disk) => (await disk.readAs({ size: 32 }, 0n, 1)).answer);
  const { uid, mode } = await stat(device);
  process.seteuid!(NOBODY);
  try {
    process.seteuid!(0);
    own(0o600);
    process.seteuid!(NOBODY);
    t.match(await readLong(sg!), { kind: 'good' }, 'an sg node that may be written');
    await t.rejects(readLong(bsg!), { code: 'ERR_PERMISSION', advice: /CAP_SYS_RAWIO.*sgN/ }, 'bsg');
    process.seteuid!(0);
    own(0o400);
    process.seteuid!(NOBODY);
    await t.rejects(
      readLong(sg!),
      { code: 'ERR_PERMISSION', advice: /CAP_SYS_RAWIO/ },
      'and one that may not',
    );
    await t.resolves(
      withDisk(sg!, (disk) => disk.readAs({ size: 16 }, 0n, 1)),
      'READ(16) it lets through',
    );
  } finally {
    process.seteuid!(0);
  }
  chownSync(device, uid, 0);
  chmodSync(device, mode);
}
