/** Disks of this process, written through the safeguard. */

import {
  claimRegion,
  EmulatedDisk,
  type EmulatedDiskOptions,
  encodeCdb,
  prove,
  writeCheck,
} from 'blk-integrity';
import t from 'tap';
import { interleavedWrites } from '../../kernel/interleaved-writes.js';

const SHAPES: readonly EmulatedDiskOptions[] = [
  { type: 1, blockSize: 512 },
  { type: 1, blockSize: 4096 },
  { type: 2, blockSize: 512 },
  { type: 2, blockSize: 4096, intervalExponent: 3 },
  { type: 3, blockSize: 512 },
];

// A write whose end is not known is waited for.
t.jobs = SHAPES.length;
for (const shape of SHAPES) {
  t.test(JSON.stringify(shape), { buffered: true }, async (t) => {
    await using emulated = await EmulatedDisk.create({ ...shape, blocks: 4096 });
    await using disk = await emulated.open();
    await interleavedWrites(t, { disk, emulated });
  });
}

t.test('a disk that keeps its tuples to itself is sent none', async (t) => {
  await using emulated = await EmulatedDisk.create({ preset: 'scsi-debug', blocks: 4096 });
  await using disk = await emulated.open();
  t.match(await disk.proof(), { result: 'absent' });
  await using region = await claimRegion(disk, { lba: 8n, blocks: 2 });
  const [data, tuples] = [new Uint8Array(2 * 512).fill(5), new Uint8Array(2 * 8)];
  const before = emulated.stats().blocksWritten;
  for (const checked of [true, false]) {
    await t.rejects(region.write('passthrough', 8n, data, tuples, { checked }), {
      code: 'ERR_NO_PATH',
      message: /accepts RDPROTECT, transfers no tuples/,
    });
  }
  t.equal(emulated.stats().blocksWritten, before);
  t.same(await region.write('passthrough', 8n, data), { kind: 'good' }, 'data alone is');
  t.equal(await region.restore(), 'tuples regenerated');
  await t.rejects(prove(disk), { code: 'ERR_CANNOT_PLANT' });
});

t.test('a disk without protection', async (t) => {
  await using emulated = await EmulatedDisk.create({ type: 0, blocks: 4096 });
  await using disk = await emulated.open();
  t.match(await prove(disk, { lba: 9n }), { outcome: 'delivered', noticed: [], restored: 'exact' });
  t.match(await writeCheck(disk, { lba: 9n, blocks: 2 }), { written: { paths: [] }, findings: [] });
});

t.test('a disk that is write-protected', async (t) => {
  await using emulated = await EmulatedDisk.create({ blocks: 4096 });
  const page = [0x0a, 0x0a, 0, 0x10, 0x08, 0x80, 0, 0, 0, 0, 0, 0];
  const data = Uint8Array.from([...new Array(8).fill(0), ...page]);
  const cdb = encodeCdb('MODE SELECT(10)', { pageFormat: true, parameterListLength: data.length });
  const transport = emulated.transport({ writable: true });
  const select = async () => (await transport.send({ cdb, direction: 'to-device', data })).outcome.kind;
  t.equal(await select(), 'unit-attention', 'it has just been switched on');
  t.equal(await select(), 'good');
  await using disk = await emulated.open();
  await t.rejects(claimRegion(disk, { lba: 8n, blocks: 2 }), { code: 'ERR_READ_ONLY' });
});
