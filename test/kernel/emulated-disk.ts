/**
 * The emulated T10 disk as a disk of this kernel: tuples that cross SG_IO, and what tools of others say of it.
 */
import { randomFillSync } from 'node:crypto';
import { constants } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  alignedBuffer,
  crosscheck,
  defaultEngine,
  EmulatedDisk,
  type EmulatedDiskOptions,
  encodeCdb,
  openDevice,
  profileByName,
  type ScsiTransport,
} from 'blk-integrity';
import type { Test } from 'tap';
import { native } from '../../lib/binding.js';
import { SgTransport } from '../../lib/device/transport.js';
import { command } from './command.js';
import { interleavedWrites } from './interleaved-writes.js';
import { iscsiTests } from './iscsi-tests.js';
import { load } from './load.js';
import { served } from './served.js';
import { sg3Utils } from './sg3-utils.js';

export async function emulatedDisk(t: Test): Promise<void> {
  for (const shape of SHAPES) await t.test(nameOf(shape), (t) => tuplesCross(t, shape));
  for (const shape of [SHAPES[0]!, SHAPES[3]!]) {
    await t.test(`written by the package: ${nameOf(shape)}`, (t) => writes(t, shape));
  }
  await t.test('the package finds what is wrong', findsFaults);
  await t.test('sg3_utils', sg3Utils);
  await t.test('ddpt', ddpt);
  await t.test('an ordinary disk for sd', ordinary);
}

/** What takes long, and is the same whatever the kernel. */
export async function emulatedDiskLong(t: Test): Promise<void> {
  await t.test('iscsi-test-cu', iscsiTests);
  await t.test('a load', load);
  await t.test('served by a process of its own', served);
}

type Shape = Required<Pick<EmulatedDiskOptions, 'blockSize' | 'intervalExponent'>> & {
  readonly type: 1 | 2 | 3;
};

const SHAPES: readonly Shape[] = [
  { type: 1, blockSize: 512, intervalExponent: 0 },
  { type: 1, blockSize: 4096, intervalExponent: 0 },
  { type: 2, blockSize: 512, intervalExponent: 0 },
  { type: 2, blockSize: 4096, intervalExponent: 3 },
  { type: 3, blockSize: 512, intervalExponent: 0 },
];

const nameOf = ({ type, blockSize, intervalExponent }: Shape) =>
  `type ${type}, ${blockSize} bytes, ${2 ** intervalExponent} tuples a block`;

/** The same commands to the model in this process and through the kernel, byte by byte. */
async function tuplesCross(t: Test, shape: Shape): Promise<void> {
  for (const attaches of [false, true]) {
    await t.test(attaches ? 'attached' : 'in this process', async (t) => {
      const disk = await EmulatedDisk.create({ ...shape, blocks: 65536 });
      if (!attaches) {
        const transport = disk.transport({ writable: true });
        // What it tells after power on is no answer to a write.
        await transport.send({ cdb: encodeCdb('TEST UNIT READY', {}), direction: 'none', data: null });
        return exchange(t, disk, shape, transport);
      }
      await using attached = await disk.attach();
      t.equal(attached.block, null, 'sd is kept from it');
      const handle = new (native().Handle)();
      await handle.open(attached.sg, constants.O_RDWR);
      await exchange(t, disk, shape, new SgTransport(handle, attached.sg, true));
      await handle.close();
      const { received, completed, inFlight } = attached.stats();
      t.same({ completed, inFlight }, { completed: received, inFlight: 0 });
    });
  }
}

async function exchange(t: Test, disk: EmulatedDisk, shape: Shape, transport: ScsiTransport): Promise<void> {
  const { type, blockSize, intervalExponent } = shape;
  const interval = blockSize >> intervalExponent;
  const profile = profileByName(type === 3 ? 'T10-DIF-TYPE3-CRC' : 'T10-DIF-TYPE1-CRC', { interval });
  const stride = blockSize + 8 * 2 ** intervalExponent;
  for (const size of type === 2 ? [32] : [10, 12, 16]) {
    for (const blocks of [1, 7, Math.floor(65536 / stride)]) {
      const lba = 1000 + blocks;
      const told = size === 32 ? { refTag: 77, appTag: 0, appTagMask: 0 } : {};
      const seed = BigInt(size === 32 ? 77 : lba << intervalExponent);
      const bytes = randomFillSync(alignedBuffer(blocks * stride));
      const options = { profile, layout: 'interleaved', seed, type3Ref: 'zero' } as const;
      defaultEngine().generateInto(bytes, null, options);
      const range = { lba: BigInt(lba), blocks, protect: 1, ...told };
      const what = `${size} bytes of CDB, ${blocks} blocks`;
      const written = await transport.send({
        cdb: encodeCdb(`WRITE(${size})`, range),
        direction: 'to-device',
        data: bytes,
      });
      t.match(written.outcome, { kind: 'good' }, `WRITE, ${what}`);
      const back = alignedBuffer(bytes.length);
      const cdb = encodeCdb(`READ(${size})`, range);
      const read = await transport.send({ cdb, direction: 'from-device', data: back });
      t.match(read, { outcome: { kind: 'good' }, result: { resid: 0 } }, `READ, ${what}`);
      t.ok(Buffer.from(back).equals(bytes), `tuples of the mirror, there and back: ${what}`);
      t.equal(disk.stats().bySense['0Bh/10h/01h'] ?? 0, 0);
    }
  }
  // One bad tag each, and the sense that tells of it.
  const size = type === 2 ? 32 : 16;
  const told = size === 32 ? { refTag: 9, appTag: 0, appTagMask: 0 } : {};
  const range = { lba: 9n, blocks: 4, protect: 1, ...told };
  for (const [at, check] of [
    [0, 'guard'],
    [4, 'ref'],
  ] as const) {
    const bytes = alignedBuffer(4 * stride);
    const seed = BigInt(size === 32 ? 9 : 9 << intervalExponent);
    defaultEngine().generateInto(bytes, null, { profile, layout: 'interleaved', seed, type3Ref: 'zero' });
    bytes[2 * stride + interval + at]! ^= 0x10;
    const { outcome } = await transport.send({
      cdb: encodeCdb(`WRITE(${size})`, range),
      direction: 'to-device',
      data: bytes,
    });
    if (type === 3 && check === 'ref')
      t.match(outcome, { kind: 'good' }, 'type 3 has no reference tag to check');
    else
      t.match(
        outcome,
        { kind: 'protection', checker: 'device', check, lba: 11n },
        `a bad ${check} tag is refused`,
      );
  }
}

/** Interleaved writes through the safeguard, to a disk of this kernel. */
async function writes(t: Test, shape: Shape): Promise<void> {
  const emulated = await EmulatedDisk.create({ ...shape, blocks: 4096 });
  await using attached = await emulated.attach();
  await using disk = await openDevice(attached.sg);
  await interleavedWrites(t, { disk, emulated });
}

/** openDevice, its proof and crosscheck, on a disk that has tuples to show. */
async function findsFaults(t: Test): Promise<void> {
  const disk = await EmulatedDisk.create({ type: 1, blocks: 4096 });
  await using attached = await disk.attach();
  const profile = profileByName('T10-DIF-TYPE1-CRC');
  const bytes = randomFillSync(new Uint8Array(4096 * 520));
  defaultEngine().generateInto(bytes, null, { profile, layout: 'interleaved', seed: 0n, type3Ref: 'zero' });
  const transport = disk.transport({ writable: true });
  const cdb = encodeCdb('WRITE(16)', { lba: 0n, blocks: 4096, protect: 1 });
  await transport.send({ cdb, direction: 'to-device', data: bytes });

  await using opened = await openDevice(attached.sg);
  t.match(opened.facts, {
    inquiry: { vendor: 'BLKINT', protect: true },
    capacity: { protectionType: 1, blocks: 4096n },
  });
  t.same(opened.paths, ['passthrough']);
  t.match(await opened.proof(), { result: 'crosses' });
  const { tuples } = await opened.read('passthrough', 100n, 8);
  t.same(Buffer.from(tuples!.subarray(0, 8)), Buffer.from(bytes.subarray(100 * 520 + 512, 101 * 520)));
  t.match(await crosscheck(opened, { ranges: [{ lba: 0n, blocks: 4096 }] }), { findings: [] });

  disk.addFault({ kind: 'guard', on: 'read', place: 'wire', lba: 77n, blocks: 1n });
  disk.addFault({ kind: 'ref', on: 'read', place: 'medium', lba: 200n, blocks: 1n });
  const { findings } = await crosscheck(opened, { ranges: [{ lba: 0n, blocks: 4096 }] });
  const found = findings.map((finding) => `${finding.lba} ${finding.checker} ${finding.check}`);
  t.ok(found.includes('77 software guard'), `on the wire, seen by the software alone: ${found}`);
  t.ok(found.includes('200 device ref'), 'on the medium, refused by the disk');
}

/** Data and tuples copied to a file by another's tool, and back to another place. */
async function ddpt(t: Test): Promise<void> {
  const disk = await EmulatedDisk.create({ type: 1, blocks: 4096 });
  await using attached = await disk.attach();
  const profile = profileByName('T10-DIF-TYPE1-CRC');
  const bytes = randomFillSync(new Uint8Array(256 * 520));
  defaultEngine().generateInto(bytes, null, { profile, layout: 'interleaved', seed: 64n, type3Ref: 'zero' });
  const transport = disk.transport({ writable: true });
  const write = encodeCdb('WRITE(16)', { lba: 64n, blocks: 256, protect: 1 });
  await transport.send({ cdb: write, direction: 'to-device', data: bytes });
  const file = join(tmpdir(), 'blk-integrity-ddpt');
  await command('ddpt', `if=${attached.sg}`, `of=${file}`, 'bs=512', 'skip=64', 'count=256', 'protect=3,0');
  t.ok((await readFile(file)).equals(Buffer.from(bytes)), 'what ddpt read is what lies there, tuples too');
  await writeFile(file, bytes);
  await command('ddpt', `if=${file}`, `of=${attached.sg}`, 'bs=512', 'seek=64', 'count=256', 'protect=0,1');
  const back = new Uint8Array(bytes.length);
  const read = encodeCdb('READ(16)', { lba: 64n, blocks: 256, protect: 1 });
  await transport.send({ cdb: read, direction: 'from-device', data: back });
  t.ok(Buffer.from(back).equals(bytes));
  await rm(file);
}

/** Without protection it is a disk like any other: a file system, checked, and data verified by fio. */
async function ordinary(t: Test): Promise<void> {
  const disk = await EmulatedDisk.create({ type: 0, blocks: 65536 });
  await using attached = await disk.attach();
  const device = attached.block!;
  await command('mkfs.ext4', '-q', '-b', '1024', device);
  t.match(await command('e2fsck', '-f', '-n', device), /clean|files/);
  const fio = await command(
    'fio',
    ...['--name=verify', `--filename=${device}`, '--rw=randrw', '--bs=4k', '--size=4m', '--direct=1'],
    ...['--ioengine=psync', '--verify=crc32c', '--do_verify=1', '--verify_fatal=1', '--output-format=json'],
  );
  const { jobs } = JSON.parse(fio.slice(fio.indexOf('{'))) as { jobs: readonly { error: number }[] };
  t.equal(jobs[0]!.error, 0, 'fio read what it wrote');
  const { byStatus } = disk.stats();
  t.same(Object.keys(byStatus).sort(), ['00h', '02h'], 'no status but GOOD, and UNIT ATTENTION once');
}
