/** A disk that loses, when its power goes, whatever it was not told to flush: its journal finds its way from what is left. */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Disk } from '../../../src/device/disk.js';
import { openInProcess } from '../../../src/device/in-process.js';
import { tuplesFor } from '../../../src/device/protected-range.js';
import { claimRegion } from '../../../src/device/safeguard/claim.js';
import { type Recovery, recover } from '../../../src/device/safeguard/recover.js';
import { encodeCdb } from '../../../src/scsi/commands.js';
import { EmulatedDisk } from '../../../src/testbed/disk/emulated-disk.js';
import { InProcessNode } from '../../../src/testbed/disk/in-process.js';
import type { LogicalUnit, ScsiTaskReply } from '../../../src/testbed/disk/model/logical-unit.js';
import { fillDisk, pattern } from '../../../src/testbed/fill.js';

const RANGE = { lba: 100n, blocks: 16 };
/** By its opcode, the size of its CDB. */
const SYNCHRONIZE_CACHE = new Map([
  [0x35, 10],
  [0x91, 16],
]);
const ILLEGAL_REQUEST = Uint8Array.from([0x72, 0x05, 0x20, 0x00, 0, 0, 0, 0]);

interface Volatile {
  readonly emulated: EmulatedDisk;
  readonly disk: Disk;
  readonly journal: string;
  flush(): void;
  /** What is on the medium when the power goes now, and what a restore by the journal of this moment makes of it. */
  cut(): Promise<{ recovery: Recovery; content: Buffer }>;
}

/** `flushes`: the sizes of SYNCHRONIZE CACHE that the disk knows. `first`: what it answers to them before it flushes. */
async function made(
  t: Test,
  flushes: readonly number[] = [10, 16],
  first: Pick<ScsiTaskReply, 'status' | 'sense'>[] = [],
): Promise<Volatile> {
  const folder = t.testdir();
  const [file, medium, after] = ['file', 'medium', 'after'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const journal = join(folder, 'journal');
  const emulated = await EmulatedDisk.create({ file, type: 1, blocks: 256 });
  t.teardown(() => emulated.close());
  const flush = () => copyFileSync(file, medium);
  const unit: LogicalUnit = {
    execute(task) {
      const size = SYNCHRONIZE_CACHE.get(task.cdb[0]!);
      if (size && !flushes.includes(size))
        return { status: 0x02, sense: ILLEGAL_REQUEST, dataIn: new Uint8Array(0), afterMs: 0 };
      const instead = size && first.shift();
      if (instead) return { ...instead, dataIn: new Uint8Array(0), afterMs: 0 };
      const reply = emulated.unit.execute(task);
      if (size) flush();
      return reply;
    },
  };
  const disk = await openInProcess(emulated.identity.serial, new InProcessNode(unit));
  await fillDisk(disk);
  return {
    emulated,
    disk,
    journal,
    flush,
    cut: async () => {
      copyFileSync(medium, after);
      copyFileSync(journal, `${journal}-after`);
      await using left = await EmulatedDisk.create({ file: after });
      await using again = await left.open();
      const recovery = await recover(`${journal}-after`, { disk: again });
      return { recovery, content: await look(again) };
    },
  };
}

async function look(disk: Disk): Promise<Buffer> {
  const { data, tuples } = await disk.readMedium(0n, 256);
  return Buffer.concat([data!, tuples!]);
}

const changed = (disk: Disk, lba: bigint) => {
  const data = pattern(4 * 512, 4711);
  return [data, tuplesFor({ profile: disk.diskProfile!, blockSize: 512, lba }, data)] as const;
};

for (const flushes of [[10, 16], [10]]) {
  t.test(`SYNCHRONIZE CACHE(${flushes.join(') and (')})`, async (t) => {
    const { disk, journal, flush, cut } = await made(t, flushes);
    const before = await look(disk);
    await using region = await claimRegion(disk, RANGE, { journal });
    await region.write('passthrough', 104n, ...changed(disk, 104n));
    t.same((await cut()).content, before, 'cut before it is put back');

    // The disk flushes now and then by itself.
    flush();
    t.match(await cut(), { recovery: { writtenBlocks: 4, outcome: 'exact' }, content: before });
    await region.restore();
    t.same(
      (await cut()).content,
      before,
      'cut after it is put back: a record says so when it lies on the medium',
    );
  });
}

t.test('what was in the cache before a region was claimed', async (t) => {
  const { emulated, disk, journal, cut } = await made(t);
  const [data] = changed(disk, 104n);
  const cdb = encodeCdb('WRITE(16)', { lba: 104n, blocks: 4 });
  await emulated.transport({ writable: true }).send({ cdb, direction: 'to-device', data });
  const before = await look(disk);
  await using region = await claimRegion(disk, RANGE, { journal });
  await region.write('passthrough', 104n, new Uint8Array(4 * 512));
  t.same((await cut()).content, before);
});

const attention = (asc: number) => ({
  status: 0x02,
  sense: Uint8Array.from([0x72, 0x06, asc, 0x00, 0, 0, 0, 0]),
});
const BUSY = { status: 0x08, sense: new Uint8Array(0) };

t.test('a flush that is answered with something else first is asked for again', async (t) => {
  const first: Pick<ScsiTaskReply, 'status' | 'sense'>[] = [];
  const { emulated, disk, journal, cut } = await made(t, [16], first);
  const cdb = encodeCdb('WRITE(16)', { lba: 104n, blocks: 4 });
  const [data] = changed(disk, 104n);
  await emulated.transport({ writable: true }).send({ cdb, direction: 'to-device', data });
  const before = await look(disk);
  first.push(attention(0x29), BUSY, attention(0x2a), attention(0x29));
  await using region = await claimRegion(disk, RANGE, { journal });
  t.same(first, []);
  await region.write('passthrough', 104n, new Uint8Array(4 * 512));
  t.same((await cut()).content, before);
});

t.test('a disk that tells of one change after the other is not written', async (t) => {
  const first: Pick<ScsiTaskReply, 'status' | 'sense'>[] = [];
  const { emulated, disk, journal } = await made(t, [16], first);
  const { blocksWritten } = emulated.stats();
  first.push(...Array.from({ length: 100 }, () => attention(0x29)));
  await t.rejects(claimRegion(disk, RANGE, { journal }), {
    code: 'ERR_TRANSPORT',
    message: /UNIT ATTENTION/,
  });
  t.equal(emulated.stats().blocksWritten, blocksWritten);
  t.ok(first.length > 80, `${100 - first.length} tries`);
});

t.test('what is kept', async (t) => {
  const { disk, journal, cut } = await made(t);
  await using region = await claimRegion(disk, RANGE, { journal });
  await region.write('passthrough', 104n, ...changed(disk, 104n));
  const written = await look(disk);
  await region.keep();
  t.match(
    await cut(),
    { recovery: { outcome: 'untouched' }, content: written },
    'is there when a record says so',
  );
});
