/** The journal: what it holds, where it is cut off, and that a region comes back by it alone. */
import {
  chmodSync,
  chownSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import type { Disk } from '../../../src/device/disk.js';
import { tuplesFor } from '../../../src/device/protected-range.js';
import { claimRegion } from '../../../src/device/safeguard/claim.js';
import {
  type JournalHead,
  type JournalStep,
  parseJournal,
  savedRecords,
  stepRecord,
} from '../../../src/device/safeguard/journal-format.js';
import { requireSafePlace } from '../../../src/device/safeguard/journal-place.js';
import { recover } from '../../../src/device/safeguard/recover.js';
import type { Region } from '../../../src/device/safeguard/region.js';
import type { SysfsDisk } from '../../../src/sysfs/disks.js';
import { EmulatedDisk } from '../../../src/testbed/disk/emulated-disk.js';
import { fillDisk, pattern } from '../../../src/testbed/fill.js';

const RANGE = { lba: 100n, blocks: 16 };

async function filled(t: Test): Promise<{ emulated: EmulatedDisk; disk: Disk; path: string }> {
  const emulated = await EmulatedDisk.create({ type: 1, blocks: 1024 });
  const disk = await emulated.open();
  await fillDisk(disk);
  t.teardown(() => emulated.close());
  return { emulated, disk, path: join(t.testdir(), 'region.journal') };
}

const look = async (disk: Disk) => {
  const { data, tuples } = await disk.readMedium(0n, 128);
  return Buffer.concat([data!, tuples!]);
};

const right = (disk: Disk, lba: bigint, data: Uint8Array) =>
  tuplesFor({ profile: disk.diskProfile!, blockSize: disk.blockSize, lba }, data);

/** The run ends here: nothing is put back, nobody holds the disk any more. What is left is the journal. */
async function crash(emulated: EmulatedDisk): Promise<Disk> {
  return emulated.open();
}

t.test('a region that is put back leaves no journal', async (t) => {
  const { disk, path } = await filled(t);
  const before = await look(disk);
  {
    await using region = await claimRegion(disk, RANGE, { journal: path });
    t.equal(statSync(path).mode & 0o777, 0o600, 'it holds the data of the disk');
    const { head, data, tuples, steps } = parseJournal(readFileSync(path), path);
    t.match(head, {
      version: 2,
      serial: disk.facts!.serial,
      lba: '100',
      blocks: 16,
      protectionType: 1,
      boot: String,
    });
    t.same(Buffer.from(data), Buffer.from(region.savedData()));
    t.same(Buffer.from(tuples.get('passthrough')!), Buffer.from(region.savedTuples()!));
    t.same(steps, []);
    const changed = pattern(2 * 512, 77);
    await region.write('passthrough', 104n, changed, right(disk, 104n, changed));
    t.match(parseJournal(readFileSync(path), path).steps, [
      { kind: 'writing', index: 4, blocks: 2, touchesTuples: true, until: Number },
    ]);
  }
  t.same(await look(disk), before);
  t.throws(() => statSync(path), { code: 'ENOENT' });
});

t.test('what an interrupted run wrote comes back, at whatever record the journal ends', async (t) => {
  const { emulated, disk, path } = await filled(t);
  const before = await look(disk);
  const region: Region = await claimRegion(disk, RANGE, { journal: path });
  const states = [before];
  for (const lba of [101n, 105n, 101n]) {
    const changed = pattern(3 * 512, Number(lba) + states.length);
    await region.write('passthrough', lba, changed, right(disk, lba, changed));
    states.push(await look(disk));
  }
  const bytes = readFileSync(path);
  // The disk in this process is still held by the run that "died": the rest is done on a copy of its journal.
  await region[Symbol.asyncDispose]();
  t.same(await look(disk), before);

  // A record is on the medium before its write is sent: with the last record cut off, that write never was.
  for (const [cut, after] of [
    [0, states[3]!],
    [0, states[2]!],
    [5, states[2]!],
    [40, states[2]!],
  ] as const) {
    writeFileSync(path, bytes, { mode: 0o600 });
    truncateSync(path, bytes.length - cut);
    const again = await crash(emulated);
    await replay(again, after);
    t.match(
      await recover(path, { disk: again }),
      { lba: 100n, blocks: 16, writtenBlocks: 6, outcome: 'exact' },
      `cut by ${cut}`,
    );
    t.same(await look(again), before);
    t.throws(() => statSync(path), { code: 'ENOENT' });
  }
});

/** Puts the blocks under the safeguard's feet back into the state of the crash. */
async function replay(disk: Disk, bytes: Buffer): Promise<void> {
  await using region = await claimRegion(disk, { lba: 0n, blocks: 128 });
  const data = bytes.subarray(0, 128 * 512);
  await region.write('passthrough', 0n, data, bytes.subarray(128 * 512), { checked: false });
  await region.keep();
}

t.test('a record that is damaged, and not merely cut off, stops everything', async (t) => {
  const { emulated, disk, path } = await filled(t);
  const region = await claimRegion(disk, RANGE, { journal: path });
  const begin = statSync(path).size;
  for (const lba of [101n, 110n]) {
    const changed = pattern(2 * 512, Number(lba));
    await region.write('passthrough', lba, changed, right(disk, lba, changed));
  }
  const [bytes, after] = [readFileSync(path), await look(disk)];
  await region[Symbol.asyncDispose]();
  await replay(disk, after);
  const spoilt = Buffer.from(bytes);
  spoilt[begin + 20]! ^= 1;
  writeFileSync(path, spoilt, { mode: 0o600 });
  const again = await emulated.open();
  await t.rejects(recover(path, { disk: again }), {
    code: 'ERR_MALFORMED_RESPONSE',
    message: /damaged at byte/,
  });
  t.same(readFileSync(path), spoilt, 'left as it is');
  // The last record is gone altogether, and its write was sent: the block that nobody tells of is seen.
  const size = spoilt.length - (bytes.length - begin) / 2;
  writeFileSync(path, bytes.subarray(0, size), { mode: 0o600 });
  await t.rejects(recover(path, { disk: again }), {
    code: 'ERR_RESTORE',
    message: /count\): 111:/,
    advice: /region.journal/,
  });
  t.ok(statSync(path).size > 0, 'the journal stays');
  writeFileSync(path, Buffer.concat([bytes, Buffer.alloc(4096)]), { mode: 0o600 });
  t.match(
    await recover(path, { disk: again }),
    { outcome: 'exact' },
    'room that was never written is no damage',
  );
});

t.test('a journal that cannot be written ends the writing', async (t) => {
  const { disk, path } = await filled(t);
  const before = await look(disk);
  const region = await claimRegion(disk, RANGE, { journal: path });
  const file = await open('/dev/null', 'w');
  const files = Object.getPrototypeOf(file);
  await file.close();
  const changed = pattern(512, 7);
  const write = (lba: bigint) => region.write('passthrough', lba, changed, right(disk, lba, changed));
  t.match(await write(101n), { kind: 'good' });
  const datasync = files.datasync;
  files.datasync = async () => {
    throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
  };
  await t.rejects(write(102n), /no space/);
  files.datasync = datasync;
  await t.rejects(write(103n), { code: 'ERR_IO', message: /journal could not be written/ });
  await region[Symbol.asyncDispose]();
  t.same(await look(disk), before);
});

t.test('a record that came half way to the journal stays the last', async (t) => {
  const { emulated, disk, path } = await filled(t);
  const before = await look(disk);
  const file = await open('/dev/null', 'w');
  const files = Object.getPrototypeOf(file);
  await file.close();
  const { writeFile, datasync } = files;
  const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
  const failing = {
    'while it is written': { writeFile: halfWritten },
    'when it is synced': { datasync: () => Promise.reject(full) },
  };
  function halfWritten(this: { writeFile(data: Uint8Array): Promise<void> }, data: Uint8Array) {
    return writeFile.call(this, data.subarray(0, -20)).then(() => Promise.reject(full));
  }
  for (const [what, failure] of Object.entries(failing)) {
    const region = await claimRegion(disk, RANGE, { journal: path });
    const changed = pattern(512, 7);
    const write = (lba: bigint) => region.write('passthrough', lba, changed, right(disk, lba, changed));
    t.match(await write(101n), { kind: 'good' });
    Object.assign(files, failure);
    await t.rejects(write(102n), /no space/);
    Object.assign(files, { writeFile, datasync });
    const [bytes, after] = [readFileSync(path), await look(disk)];
    await region.restore();
    t.same(readFileSync(path), bytes, `${what}: nothing comes behind it`);
    await t.rejects(region.keep(), { code: 'ERR_IO', message: /no space/ }, what);
    await region[Symbol.asyncDispose]();
    await replay(disk, after);
    writeFileSync(path, bytes, { mode: 0o600 });
    t.match(await recover(path, { disk: await emulated.open() }), { outcome: 'exact' }, what);
    t.same(await look(disk), before);
  }
});

t.test('a journal that could not be read any more takes no further step', async (t) => {
  const { disk, path } = await filled(t);
  const before = await look(disk);
  const region = await claimRegion(disk, RANGE, { journal: path });
  const changed = pattern(512, 7);
  const write = (lba: bigint) => region.write('passthrough', lba, changed, right(disk, lba, changed));
  t.match(await write(101n), { kind: 'good' });
  const after = await look(disk);
  truncateSync(path, 2 ** 30);
  await t.rejects(write(102n), { code: 'ERR_OUT_OF_RANGE', message: /1073741824 bytes/ });
  t.same(await look(disk), after, 'nothing was sent');
  await t.rejects(write(102n), { code: 'ERR_IO', message: /journal could not be written/ });
  await region[Symbol.asyncDispose]();
  t.same(await look(disk), before);
  writeFileSync(path, '', { mode: 0o600 });
  truncateSync(path, 2 ** 31 + 1);
  await t.rejects(recover(path, { disk }), { code: 'ERR_IO', message: /2 GiB/ });
});

t.test('a region ends once', async (t) => {
  const { disk, path } = await filled(t);
  const region = await claimRegion(disk, RANGE, { journal: path });
  await region[Symbol.asyncDispose]();
  const other = await claimRegion(disk, RANGE, { journal: path });
  await region[Symbol.asyncDispose]();
  t.ok(statSync(path).size > 0, 'the journal of another region stays');
  await t.rejects(claimRegion(disk, RANGE), { code: 'ERR_BUSY' }, 'and so does its hold');
  await t.rejects(region.restore(), { code: 'ERR_CLOSED' });
  await t.rejects(region.keep(), { code: 'ERR_CLOSED' });
  await other.keep();
  const changed = pattern(512, 7);
  await t.rejects(
    other.write('passthrough', 101n, changed),
    { code: 'ERR_CLOSED' },
    'what is kept is not written over',
  );
  await other[Symbol.asyncDispose]();
});

t.test('the proof looks beside what was written', async (t) => {
  const emulated = await EmulatedDisk.create({ type: 1, blocks: 1024, preset: 'silent' });
  const disk = await emulated.open();
  await fillDisk(disk);
  const middle = { lba: 512n, blocks: 1 };
  await using region = await claimRegion(disk, middle);
  const tagged = right(disk, 512n, region.savedData());
  tagged[0]! ^= 1;
  await region.write('passthrough', 512n, region.savedData(), tagged, { checked: false });
  emulated.addFault({ kind: 'unit-attention', times: 1, on: 'write' });
  t.equal(await region.restore(), 'exact', 'after a UNIT ATTENTION as well');
});

t.test('a block that holds neither is left, and the journal with it', async (t) => {
  const { disk, path } = await filled(t);
  const region = await claimRegion(disk, RANGE, { journal: path });
  const changed = pattern(4 * 512, 7);
  await region.write('passthrough', 101n, changed, right(disk, 101n, changed));
  const bytes = readFileSync(path);
  const after = await look(disk);
  await region[Symbol.asyncDispose]();
  await replay(disk, after);
  {
    await using other = await claimRegion(disk, { lba: 102n, blocks: 1 });
    await other.write('passthrough', 102n, pattern(512, 999));
    await other.keep();
  }
  writeFileSync(path, bytes, { mode: 0o600 });
  const refused = { code: 'ERR_RESTORE', message: /102 \(1\): .*somebody else/, advice: /region.journal/ };
  await t.rejects(recover(path, { disk }), refused);
  for (const lba of [101n, 103n, 104n]) {
    t.same((await disk.readMedium(lba, 1)).data, pattern(512, Number(lba)), `${lba}, beside it, is back`);
  }
  t.ok(statSync(path).size > 0, 'the journal stays');
  t.same((await disk.readMedium(102n, 1)).data, pattern(512, 999), 'theirs is left');
});

t.test('only the disk of the journal, formatted as it was', async (t) => {
  const { disk, path } = await filled(t);
  const region = await claimRegion(disk, RANGE, { journal: path });
  const bytes = readFileSync(path);
  await region[Symbol.asyncDispose]();
  writeFileSync(path, bytes, { mode: 0o600 });
  await using stranger = await EmulatedDisk.create({ type: 1, blocks: 1024 });
  await t.rejects(recover(path, { disk: await stranger.open() }), { code: 'ERR_NOT_OURS' });
  await t.rejects(recover(path), { code: 'ERR_NO_DEVICE', message: /no disk of this host is naa\./ });
  t.equal(statSync(path).size, bytes.length);
});

t.test('a journal that somebody else may have written', async (t) => {
  const { disk, path } = await filled(t);
  const region = await claimRegion(disk, RANGE, { journal: path });
  const bytes = readFileSync(path);
  await region[Symbol.asyncDispose]();
  writeFileSync(path, bytes, { mode: 0o600 });
  chmodSync(path, 0o666);
  await t.rejects(recover(path, { disk }), { code: 'ERR_PERMISSION', message: /mode 666/ });
  chmodSync(path, 0o600);
  if (process.getuid?.() === 0) {
    chownSync(path, 12345, 0);
    await t.rejects(recover(path, { disk }), { code: 'ERR_PERMISSION', message: /owner 12345/ });
    chownSync(path, 0, 0);
  }
  t.match(await recover(path, { disk }), { outcome: 'untouched' });
});

t.test('records that are whole and make no sense', (t) => {
  const head = { version: 1, lba: '1', diskBlocks: '9', blocks: 1, blockSize: 512, tuples: [] };
  const made = (changed: object) =>
    Buffer.concat([
      ...savedRecords({ ...head, ...changed } as unknown as JournalHead, new Uint8Array(512), new Map()),
    ]);
  t.match(parseJournal(made({}), 'x'), { steps: [] });
  for (const changed of [
    { version: 0 },
    { version: 3 },
    { version: '2' },
    { blocks: -1 },
    { blocks: '1' },
    { blocks: 2 },
    { blockSize: 1e300 },
    { lba: -1 },
    { lba: 'x' },
  ]) {
    t.throws(
      () => parseJournal(made(changed), 'x'),
      { code: 'ERR_MALFORMED_RESPONSE' },
      JSON.stringify(changed),
    );
  }
  for (const tuples of [null, [null], [{ path: 'constructor', bytesPerBlock: 8 }]]) {
    const bytes = stepRecord({ kind: 'head', ...head, tuples } as never);
    t.throws(() => parseJournal(bytes, 'x'), { code: 'ERR_MALFORMED_RESPONSE' }, JSON.stringify(tuples));
  }
  for (const step of [
    { kind: 'writing', index: 1, blocks: 1, digests: ['a'] },
    { kind: 'writing', index: 0, blocks: 1 },
    { kind: 'writing', index: 0, blocks: 1, digests: [] },
    ...[-1, 0.5, '1', null, 1e300].map((until) => ({
      kind: 'writing',
      index: 0,
      blocks: 1,
      digests: ['a'],
      until,
    })),
    { kind: 'restored', index: -1, blocks: 1 },
    { kind: 'restored', index: 0.5, blocks: 1 },
  ]) {
    const bytes = Buffer.concat([made({}), stepRecord(step as JournalStep)]);
    t.throws(() => parseJournal(bytes, 'x'), { code: 'ERR_MALFORMED_RESPONSE' }, JSON.stringify(step));
  }
  t.end();
});

t.test('files that are no journal', async (t) => {
  const { disk, path } = await filled(t);
  await t.rejects(recover(path), { code: 'ERR_IO' });
  for (const bytes of [Buffer.alloc(0), Buffer.from('hello'), Buffer.alloc(4096, 0x42)]) {
    writeFileSync(path, bytes, { mode: 0o600 });
    await t.rejects(recover(path, { disk }), { code: 'ERR_MALFORMED_RESPONSE' });
    t.same(readFileSync(path), bytes, 'left as it is');
  }
  await t.rejects(claimRegion(disk, RANGE, { journal: path }), { code: 'ERR_USAGE', message: /EEXIST/ });
  await t.rejects(claimRegion(disk, RANGE, { journal: join(path, 'below') }), { code: 'ERR_IO' });
  await using region = await claimRegion(disk, RANGE);
  t.ok(region, 'and the disk was let go each time');
});

t.test('a journal that is cut off in what it saves is none: nothing was written by then', async (t) => {
  const { disk, path } = await filled(t);
  const region = await claimRegion(disk, RANGE, { journal: path });
  const bytes = readFileSync(path);
  t.same(readdirSync(dirname(path)), ['region.journal'], 'it has its name when it is whole');
  await region[Symbol.asyncDispose]();
  const cut = bytes.subarray(0, bytes.length - 44);
  writeFileSync(path, cut, { mode: 0o600 });
  await t.rejects(recover(path, { disk }), { code: 'ERR_MALFORMED_RESPONSE', message: /cut off/ });
  t.same(readFileSync(path), cut);
});

t.test('a place that is not there', async (t) => {
  const path = join(t.testdir(), 'nobody', 'region.journal');
  await t.rejects(requireSafePlace(path, { name: 'sdz' } as SysfsDisk, []), {
    code: 'ERR_USAGE',
    message: `journal ${path}: ${dirname(path)} cannot be looked at: ENOENT`,
    advice: /--journal FILE/,
  });
});
