/** What must not bring a disk down, nor anything beside it. */
import { closeSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { encodeUnmapList } from '../../../src/scsi/unmap.js';
import { EmulatedDisk } from '../../../src/testbed/disk/emulated-disk.js';
import type { FaultSpec } from '../../../src/testbed/disk/model/faults.js';
import { Undo } from '../../../src/testbed/undo.js';
import { ask, check, GOOD, ready, send } from './drive.js';

const range = { lba: 16n, blocks: 4 };

t.test('a file disk that is closed writes to no other file', async (t) => {
  const folder = t.testdir({ victim: 'x'.repeat(65536) });
  const disk = await ready({ file: `${folder}/disk` });
  await disk.close();
  const fds = Array.from({ length: 8 }, () => openSync(`${folder}/victim`, 'r+'));
  t.match(ask(disk, 'WRITE(16)', range, new Uint8Array(2048)), check('03h/0Ch/00h'));
  t.match(ask(disk, 'READ(16)', range), check('03h/11h/00h'));
  t.match(ask(disk, 'SYNCHRONIZE CACHE(16)', {}), check('03h/0Ch/00h'));
  t.match(ask(disk, 'FORMAT UNIT', {}), check('03h/0Ch/00h'));
  await disk.close();
  for (const fd of fds) closeSync(fd);
  t.equal(readFileSync(`${folder}/victim`, 'utf8'), 'x'.repeat(65536));
});

t.test('faults of the wrong type', async (t) => {
  const disk = await ready();
  for (const spec of [
    { kind: 'guard', blocks: 1 },
    { kind: 'guard', lba: 5 },
    { kind: 'guard', oneIn: 5n },
    { kind: 'delay', delayMs: 5n },
    { kind: 'misdirected', distance: 1 },
  ]) {
    t.throws(() => disk.addFault(spec as unknown as FaultSpec), { code: 'ERR_OUT_OF_RANGE' });
  }
  for (const spec of [
    { kind: 'guard', place: 'nowhere' },
    { kind: 'guard', on: 'reads' },
    { kind: 'toString' },
    { kind: '__proto__' },
  ]) {
    t.throws(() => disk.addFault(spec as unknown as FaultSpec), { code: 'ERR_USAGE' });
  }
  t.match(ask(disk, 'READ(16)', range), GOOD);
  await t.rejects(EmulatedDisk.create({ behaviour: { toString: 'x' } as object }), { code: 'ERR_USAGE' });
});

t.test('headers that no disk of ours has written', async (t) => {
  const file = `${t.testdir()}/disk`;
  await (await ready({ file })).close();
  const header = JSON.parse(readFileSync(file, 'utf8').slice(0, 4095));
  for (const changed of [
    { savedPages: null },
    { savedPages: { '10/0': { length: 2 ** 33 } } },
    { savedPages: { '10/0': [1, 2] } },
    { savedPages: { '10/0': new Array(10).fill(256) } },
    { capacityBytes: 'many' },
    { serial: 7 },
    { format: { ...header.format, intervalExponent: 32 } },
    { format: { ...header.format, blocks: 2 ** 53 } },
  ]) {
    writeFileSync(file, `${JSON.stringify({ ...header, ...changed }).padEnd(4095)}\n`);
    await t.rejects(EmulatedDisk.create({ file }), { code: 'ERR_TESTBED' }, JSON.stringify(changed));
  }
  writeFileSync(file, `${JSON.stringify(header).padEnd(4095)}\n`);
  await (await EmulatedDisk.create({ file })).close();
});

t.test('UNMAP of what was never written takes no room', async (t) => {
  const file = `${t.testdir()}/disk`;
  await using disk = await ready({ file, blocks: 2 ** 21 });
  ask(disk, 'WRITE(16)', { lba: 2n ** 20n, blocks: 1 }, new Uint8Array(512).fill(1));
  const list = encodeUnmapList([{ lba: 0n, blocks: 65536 }]);
  t.match(ask(disk, 'UNMAP', { parameterListLength: list.length }, list), GOOD);
  t.ok(statSync(file).blocks * 512 < 2 ** 20, 'the holes stay');
});

t.test('more ranges than there can be are refused at once', async (t) => {
  const disk = await ready();
  const start = performance.now();
  const fields = { ranges: 65535, dataOffset: 4096, blocks: 4096 };
  t.match(ask(disk, 'WRITE SCATTERED(16)', fields, new Uint8Array(4096 * 512)), check('05h/24h/00h'));
  t.ok(performance.now() - start < 2000);
});

t.test('a fault of ours is an answer, and is counted', async (t) => {
  const disk = await ready();
  const before = disk.stats().commands;
  const broken = new Proxy(new Uint8Array(512), {
    get() {
      throw new TypeError('memory that cannot be read');
    },
  });
  t.match(send(disk, Uint8Array.of(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), broken), check('04h/44h/00h'));
  t.equal(disk.stats().commands, before + 1);
  t.match(ask(disk, 'TEST UNIT READY', {}), GOOD);
});

t.test('an attach that fails leaves the disk as it was', async (t) => {
  const disk = await ready();
  await t.rejects(disk.attach({ name: 'a b' }), { code: 'ERR_OUT_OF_RANGE' });
  t.equal(ask(disk, 'INQUIRY', { allocationLength: 96 }).dataIn[5]! & 1, 1, 'PROTECT');
});

t.test('what takes back is run once, and waited for', async (t) => {
  const undo = new Undo();
  const done: string[] = [];
  undo.push(async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    done.push('first made');
  });
  undo.push(async () => {
    done.push('last made');
    throw new Error('it fails');
  });
  await t.rejects(Promise.all([undo.run(), undo.run()]), /it fails/);
  await undo.run().catch(() => {});
  t.same(done, ['last made', 'first made']);
});
