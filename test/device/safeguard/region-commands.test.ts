/** Commands that alter blocks of a region, and mode pages: sent as they are, put back whatever comes of them. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Disk } from '../../../src/device/disk.js';
import { tuplesFor } from '../../../src/device/protected-range.js';
import { sendHeld } from '../../../src/device/safeguard/alter.js';
import { claimRegion } from '../../../src/device/safeguard/claim.js';
import { parseJournal, savedRecords, stepRecord } from '../../../src/device/safeguard/journal-format.js';
import { recover } from '../../../src/device/safeguard/recover.js';
import { interleave } from '../../../src/pi/interleave.js';
import { type CdbFields, encodeCdb } from '../../../src/scsi/commands.js';
import { encodeApplicationTagModePage, encodeModeSelectList } from '../../../src/scsi/mode-page.js';
import { encodeScatteredList } from '../../../src/scsi/scattered.js';
import { encodeUnmapList } from '../../../src/scsi/unmap.js';
import { EmulatedDisk, type EmulatedDiskOptions } from '../../../src/testbed/disk/emulated-disk.js';
import { fillDisk, pattern } from '../../../src/testbed/fill.js';

const RANGE = { lba: 100n, blocks: 16 };
const NOTHING = new Uint8Array(0);

// Restores wait for what may still come.
t.jobs = 4;
t.setTimeout(180_000);

interface Subject {
  readonly emulated: EmulatedDisk;
  readonly disk: Disk;
  readonly path: string;
}

let journals = 0;

async function filled(t: Test, options: EmulatedDiskOptions = {}): Promise<Subject> {
  const emulated = await EmulatedDisk.create({ blocks: 1024, ...options });
  t.teardown(() => emulated.close());
  const disk = await emulated.open();
  // Noise is no region that can be saved.
  if (options.behaviour?.unmapped === 'scrambled') await blank(emulated);
  await fillDisk(disk);
  return { emulated, disk, path: join(FOLDER, `${++journals}.journal`) };
}

const FOLDER = t.testdir();

async function blank(emulated: EmulatedDisk): Promise<void> {
  const { blocks, blockSize } = emulated.format;
  const cdb = encodeCdb('WRITE SAME(16)', { blocks });
  const data = new Uint8Array(blockSize).fill(0x5a);
  const { outcome } = await emulated
    .transport({ writable: true })
    .send({ cdb, direction: 'to-device', data });
  if (outcome.kind !== 'good') throw new Error(outcome.kind);
}

/** Data and tuples of each block from 96 to 127, or that it cannot be read. */
async function look(disk: Disk): Promise<string[]> {
  const blocks: string[] = [];
  for (let lba = 96n; lba < 128n; lba++) {
    const { data, tuples } = await disk.readMedium(lba, 1);
    blocks.push(data === null ? 'unreadable' : Buffer.concat([data, tuples ?? NOTHING]).toString('hex'));
  }
  return blocks;
}

interface Command {
  readonly cdb: Uint8Array;
  readonly dataOut: Uint8Array;
}

/** Blocks of new data as they cross, under right tuples where the protect field is not 0. */
function bytes(disk: Disk, lba: bigint, blocks: number, protect = 0, spoil = false): Uint8Array {
  const { blockSize, diskProfile: profile } = disk;
  const data = pattern(blocks * blockSize, Number(lba) + 5000);
  if (profile === null || protect === 0) return data;
  const tuples = tuplesFor({ profile, blockSize, lba }, data, 0x77);
  if (spoil) tuples[0]! ^= 1;
  const wire = new Uint8Array(data.length + tuples.length);
  interleave(wire, data, tuples, profile.interval, 8);
  return wire;
}

/** One of each command that this disk has, all of them within RANGE. */
async function commands(disk: Disk): Promise<Record<string, Command>> {
  const { blockSize, diskProfile: profile } = disk;
  const made: Record<string, Command> = {};
  const add = (what: string, name: string, fields: CdbFields, dataOut: Uint8Array = NOTHING) => {
    made[what] = { cdb: encodeCdb(name, fields), dataOut };
  };
  const at = { lba: 103n, blocks: 3 };
  const plain = bytes(disk, 103n, 3);
  const one = plain.subarray(0, blockSize);
  add('WRITE(6)', 'WRITE(6)', at, plain);
  add('WRITE(12)', 'WRITE(12)', at, plain);
  add('WRITE AND VERIFY', 'WRITE AND VERIFY(16)', { ...at, byteCheck: 1 }, plain);
  add('WRITE ATOMIC', 'WRITE ATOMIC(16)', at, plain);
  add('WRITE STREAM', 'WRITE STREAM(16)', at, plain);
  add('WRITE SAME', 'WRITE SAME(10)', { lba: 101n, blocks: 9 }, one);
  add('WRITE SAME with NDOB', 'WRITE SAME(16)', { ...at, noDataOut: true });
  add('WRITE SAME that unmaps', 'WRITE SAME(16)', { ...at, noDataOut: true, unmap: true });
  add('ORWRITE', 'ORWRITE(16)', at, plain);
  add('WRITE LONG', 'WRITE LONG(16)', { lba: 104n, writeUncorrectable: true });
  const unmapped = encodeUnmapList([
    { lba: 100n, blocks: 2 },
    { lba: 110n, blocks: 6 },
  ]);
  add('UNMAP', 'UNMAP', { parameterListLength: unmapped.length }, unmapped);
  const { data: there } = await disk.readMedium(105n, 2);
  const swapped = Buffer.concat([there!, bytes(disk, 105n, 2)]);
  add('COMPARE AND WRITE', 'COMPARE AND WRITE', { lba: 105n, blocks: 2 }, swapped);
  const tags = { refTag: 0, appTag: 0, appTagMask: 0 };
  const list = encodeScatteredList(
    [
      { lba: 115n, blocks: 1, ...tags },
      { lba: 100n, blocks: 2, ...tags },
    ],
    blockSize,
  );
  const scattered = Buffer.concat([list, bytes(disk, 115n, 3)]);
  add('WRITE SCATTERED', 'WRITE SCATTERED(16)', { ranges: 2, dataOffset: 1, blocks: 3 }, scattered);
  if (profile === null) return made;
  const size = profile.type === 2 ? 32 : 16;
  const refTag = size === 32 ? { refTag: 103 * (blockSize / profile.interval) } : {};
  add('WRITE of what is right', `WRITE(${size})`, { ...at, ...refTag, protect: 1 }, bytes(disk, 103n, 3, 1));
  add('WRITE of what is wrong', `WRITE(${size})`, { ...at, protect: 3 }, bytes(disk, 103n, 3, 3, true));
  add('WRITE SAME with tuples', `WRITE SAME(${size})`, { ...at, protect: 3 }, bytes(disk, 103n, 1, 3));
  return made;
}

const SHAPES: readonly EmulatedDiskOptions[] = [
  { type: 0 },
  { type: 1 },
  { type: 2, blockSize: 4096, intervalExponent: 3 },
  { type: 3, blockSize: 4096 },
  { type: 1, behaviour: { unmapped: 'scrambled', generatedAppTag: 'zero' } },
];

for (const shape of SHAPES) {
  t.test(`each command is put back: ${JSON.stringify(shape)}`, { buffered: true }, async (t) => {
    const { disk, path } = await filled(t, shape);
    const before = await look(disk);
    for (const [what, command] of Object.entries(await commands(disk))) {
      {
        await using region = await claimRegion(disk, RANGE, { journal: path });
        t.match(await region.command(command), { outcome: { kind: 'good' } }, what);
        t.not(region.writtenBlocks, 0);
        t.notSame(await look(disk), before, `${what}: altered`);
        t.equal(await region.restore(), 'exact');
        t.same(await look(disk), before, `${what}: and as it was`);
        await region.command(command);
      }
      t.same(await look(disk), before, `${what}: at the end, too`);
      t.throws(() => statSync(path), { code: 'ENOENT' });
    }
  });
}

for (const shape of SHAPES) {
  t.test(`what a crash left is put back: ${JSON.stringify(shape)}`, { buffered: true }, async (t) => {
    const names = Object.keys(await commands((await filled(t, shape)).disk));
    // Each restore waits for a command that may be under way still.
    await Promise.all(names.map(async (name) => crashed(t, await filled(t, shape), name)));
  });
}

async function crashed(t: Test, { emulated, disk, path }: Subject, name: string): Promise<void> {
  const before = await look(disk);
  const command = (await commands(disk))[name] as Command;
  const region = await claimRegion(disk, RANGE, { journal: path });
  await region.command(command);
  const journal = readFileSync(path);
  const after = await look(disk);
  // It is still held by the run that "died": what it did is done again, and undone by a copy of its journal.
  await region[Symbol.asyncDispose]();
  writeFileSync(path, journal, { mode: 0o600 });
  const { cdb, dataOut } = command;
  const out = dataOut.length > 0 ? ({ direction: 'to-device', data: dataOut } as const) : NO_DATA;
  await emulated.transport({ writable: true }).send({ cdb, ...out });
  t.same(await look(disk), after, name);
  t.match(await recover(path, { disk: await emulated.open() }), { outcome: 'exact' });
  t.same(await look(disk), before, `${name}: as it was`);
  t.throws(() => statSync(path), { code: 'ENOENT' });
}

const NO_DATA = { direction: 'none', data: null } as const;

t.test('several commands to the same blocks', async (t) => {
  const { disk, path } = await filled(t);
  const before = await look(disk);
  // What cannot be read takes no ORWRITE.
  const { ORWRITE: _, ...others } = await commands(disk);
  const all = Object.values(others);
  await using region = await claimRegion(disk, RANGE, { journal: path });
  for (const command of [...all, ...all.reverse()]) await region.command(command);
  const { steps } = parseJournal(readFileSync(path), path);
  t.ok(steps.length > 2 * all.length, 'one step for each content');
  t.equal(await region.restore(), 'exact');
  t.same(await look(disk), before);
});

t.test('an answer other than GOOD', async (t) => {
  const { emulated, disk } = await filled(t);
  const before = await look(disk);
  await using region = await claimRegion(disk, RANGE);
  const same = { cdb: encodeCdb('WRITE SAME(16)', { lba: 100n, blocks: 16 }), dataOut: bytes(disk, 1n, 1) };
  const wrong = {
    cdb: encodeCdb('WRITE(16)', { lba: 101n, blocks: 2, protect: 1 }),
    dataOut: bytes(disk, 101n, 2, 1, true),
  };
  t.match(await region.command(wrong), {
    outcome: { kind: 'protection', check: 'guard', checker: 'device' },
  });
  const compared = {
    cdb: encodeCdb('COMPARE AND WRITE', { lba: 101n, blocks: 1 }),
    dataOut: bytes(disk, 1n, 2),
  };
  t.match(await region.command(compared), { outcome: { sense: { key: 0xe } } });
  emulated.addFault({ kind: 'unit-attention', on: 'write', times: 1 });
  const sent = emulated.stats().byCommand['WRITE SAME(16)'] ?? 0;
  t.match(await region.command(same), { outcome: { kind: 'unit-attention' }, retries: [] });
  t.equal(emulated.stats().byCommand['WRITE SAME(16)'], sent + 1, 'not sent a second time');
  t.same(await look(disk), before);
  emulated.addFault({ kind: 'torn', times: 1 });
  t.match(await region.command(same), { outcome: { kind: 'good' } });
  t.notSame(await look(disk), before);
  t.equal(await region.restore(), 'exact', 'half of the blocks hold what was sent, half what they held');
  t.same(await look(disk), before);
  emulated.addFault({ kind: 'silence', on: 'write', times: 1 });
  t.match(await region.command({ ...same, timeoutMs: 50 }), { outcome: { kind: 'timeout' } });
  await t.rejects(region.command(same), { code: 'ERR_TIMEOUT' });
  t.equal(await region.restore(), 'exact');
  t.same(await look(disk), before);
});

t.test('what is not sent', async (t) => {
  const { emulated, disk } = await filled(t);
  const region = await claimRegion(disk, RANGE);
  const { commands: sent } = emulated.stats();
  const one = bytes(disk, 1n, 1);
  const unmap = (lba: bigint, blocks: number) =>
    encodeUnmapList([
      { lba: 101n, blocks: 1 },
      { lba, blocks },
    ]);
  const list = { parameterListLength: 40 };
  const page = encodeModeSelectList([Uint8Array.of(0x0a, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)], 10);
  for (const [name, fields, dataOut, expected] of [
    ['WRITE(16)', { lba: 99n, blocks: 1 }, one, 'ERR_OUT_OF_RANGE'],
    ['WRITE(16)', { lba: 116n, blocks: 1 }, one, 'ERR_OUT_OF_RANGE'],
    ['WRITE(16)', { lba: 115n, blocks: 2 }, bytes(disk, 1n, 2), 'ERR_OUT_OF_RANGE'],
    ['WRITE(10)', { lba: 0x64_0000n, blocks: 1 }, one, 'ERR_OUT_OF_RANGE'],
    ['WRITE(16)', { lba: 99n, blocks: 0 }, NOTHING, 'ERR_OUT_OF_RANGE'],
    ['WRITE(16)', { lba: 116n, blocks: 0 }, NOTHING, 'ERR_OUT_OF_RANGE'],
    ['COMPARE AND WRITE', { lba: 1024n, blocks: 0 }, NOTHING, 'ERR_OUT_OF_RANGE'],
    ['WRITE SAME(10)', { lba: 101n, blocks: 0 }, one, 'ERR_OUT_OF_RANGE'],
    ['WRITE SAME(16)', { lba: 101n, blocks: 16 }, one, 'ERR_OUT_OF_RANGE'],
    ['UNMAP', list, unmap(99n, 2), 'ERR_OUT_OF_RANGE'],
    ['UNMAP', list, unmap(115n, 0xffffffff), 'ERR_OUT_OF_RANGE'],
    ['UNMAP', { parameterListLength: 39 }, unmap(101n, 1).subarray(0, 39), 'ERR_USAGE'],
    ['WRITE LONG(16)', { lba: 99n, writeUncorrectable: true }, NOTHING, 'ERR_OUT_OF_RANGE'],
    ['WRITE(16)', { lba: 101n, blocks: 1 }, one.subarray(1), 'ERR_BAD_LENGTH'],
    ['WRITE(16)', { lba: 101n, blocks: 1, protect: 1 }, one, 'ERR_BAD_LENGTH'],
    ['WRITE(16)', { lba: 101n, blocks: 1 }, bytes(disk, 101n, 1, 1), 'ERR_BAD_LENGTH'],
    ['WRITE(16)', { lba: 101n, blocks: 1, protect: 6 }, bytes(disk, 101n, 1, 1), 'ERR_USAGE'],
    ['READ(16)', { lba: 101n, blocks: 1 }, NOTHING, 'ERR_READ_ONLY'],
    ['VERIFY(16)', { lba: 101n, blocks: 1 }, NOTHING, 'ERR_USAGE'],
    ['START STOP UNIT', {}, NOTHING, 'ERR_USAGE'],
    ['FORMAT UNIT', {}, NOTHING, 'ERR_USAGE'],
    ['MODE SELECT(10)', { pageFormat: true, parameterListLength: page.length }, page, 'ERR_USAGE'],
  ] as const) {
    const command = { cdb: encodeCdb(name, fields), dataOut };
    await t.rejects(region.command(command), { code: expected }, `${name} ${dataOut.length}`);
  }
  await t.rejects(region.command({ cdb: Uint8Array.of(0xc1, 0, 0, 0, 0, 0) }), { code: 'ERR_READ_ONLY' });
  t.equal(emulated.stats().commands, sent, 'nothing at all');
  // A type 1 disk refuses READ(32), by which it would have to be proved.
  const long = {
    cdb: encodeCdb('WRITE(32)', { lba: 101n, blocks: 1, protect: 1 }),
    dataOut: bytes(disk, 101n, 1, 1),
  };
  await t.rejects(region.command(long), {
    code: 'ERR_NO_PATH',
    message: /refuses RDPROTECT/,
    advice: /READ\(32\)/,
  });
  t.notOk(emulated.stats().byCommand['WRITE(32)']);
  await region[Symbol.asyncDispose]();
  await t.rejects(region.command({ cdb: encodeCdb('WRITE(16)', {}) }), { code: 'ERR_CLOSED' });

  await using stripping = await EmulatedDisk.create({ preset: 'scsi-debug', blocks: 1024 });
  await using silent = await stripping.open();
  await using claimed = await claimRegion(silent, RANGE);
  const { blocksWritten } = stripping.stats();
  for (const protect of [1, 3, 5]) {
    for (const [name, blocks] of [
      ['WRITE(16)', 2],
      ['WRITE SAME(16)', 1],
      ['ORWRITE(16)', 2],
    ] as const) {
      const cdb = encodeCdb(name, { lba: 101n, blocks: 2, protect });
      const dataOut = bytes(silent, 101n, blocks, protect);
      await t.rejects(claimed.command({ cdb, dataOut }), { code: 'ERR_NO_PATH', message: /no tuples/ }, name);
    }
  }
  t.equal(stripping.stats().blocksWritten, blocksWritten);
});

t.test('a block that somebody else wrote, or that cannot be read for another reason', async (t) => {
  const { emulated, disk } = await filled(t);
  const around = emulated.transport({ writable: true });
  const list = encodeUnmapList([{ lba: 101n, blocks: 3 }]);
  const unmap = { cdb: encodeCdb('UNMAP', { parameterListLength: list.length }), dataOut: list };
  const region = await claimRegion(disk, RANGE);
  await region.command(unmap);
  const theirs = pattern(512, 9);
  await around.send({
    cdb: encodeCdb('WRITE(16)', { lba: 102n, blocks: 1 }),
    direction: 'to-device',
    data: theirs,
  });
  await t.rejects(region.restore(), { code: 'ERR_RESTORE', message: /102 \(1\): .*somebody else/ });
  t.same((await disk.readMedium(102n, 1)).data, theirs);
  await region.keep();
  await region[Symbol.asyncDispose]();

  const other = await claimRegion(disk, { lba: 110n, blocks: 4 });
  const marks = { cdb: encodeCdb('WRITE LONG(16)', { lba: 111n, writeUncorrectable: true }) };
  await other.command(marks);
  await other.command({ cdb: encodeCdb('WRITE SAME(16)', { lba: 112n, blocks: 2, noDataOut: true }) });
  const { id } = emulated.addFault({ kind: 'medium-error', lba: 113n, blocks: 1n });
  await t.rejects(other.restore(), { code: 'ERR_RESTORE', message: /113 \(1\): .*cannot be read/ });
  t.match(await disk.readMedium(111n, 2), { answer: { kind: 'good' } }, 'what was made unreadable is back');
  emulated.removeFault(id);
  await other[Symbol.asyncDispose]();
  t.match(await disk.read('passthrough', 110n, 4), { answer: { kind: 'good' } });
});

const CONTROL = (bits: { sense?: number; swp?: number; tags?: number } = {}) =>
  Uint8Array.of(0x0a, 0x0a, bits.sense ?? 0, 0x10, bits.swp ?? 0, bits.tags ?? 0x80, 0, 0, 0, 0, 0, 0);

/** Of the Control page and its subpages, from the disk itself. */
async function pages({ emulated }: Subject): Promise<Buffer> {
  const data = new Uint8Array(1024);
  const cdb = encodeCdb('MODE SENSE(10)', { page: 0x0a, subpage: 0xff, allocationLength: 1024 });
  await emulated.transport().send({ cdb, direction: 'from-device', data });
  return Buffer.from(data);
}

t.test('mode pages', async (t) => {
  const subject = await filled(t);
  const { disk, path, emulated } = subject;
  const [before, blocks] = [await pages(subject), await look(disk)];
  const tagged = encodeApplicationTagModePage([{ last: true, appTag: 7, lba: 0n, blocks: 1024n }], 4);
  const good = { outcome: { kind: 'good' } };
  {
    await using region = await claimRegion(disk, RANGE, { journal: path });
    t.match(await region.selectModePage(CONTROL({ sense: 0x04 })), good);
    t.match(await region.selectModePage(CONTROL({ sense: 0x08, tags: 0x20 })), good);
    t.match(await region.selectModePage(tagged), good);
    t.equal(region.changedModePages, 2);
    t.notSame(await pages(subject), before);
    await region.restore();
    t.equal(region.changedModePages, 0);
    t.same(await pages(subject), before);

    await region.write('passthrough', 101n, pattern(512, 1));
    t.match(await region.selectModePage(CONTROL({ swp: 0x08, tags: 0x90 })), good);
    t.match(await region.write('passthrough', 101n, pattern(512, 2)), {
      error: { message: /Write protected/i },
    });
    t.equal(await region.restore(), 'exact', 'SWP does not stand in its own way');
    t.same(await look(disk), blocks);
    const asWas = await region.selectModePage(CONTROL());
    t.match(asWas, good);
    t.match(await region.selectModePage(CONTROL({ sense: 0x04 })), good);
    await region.keep();
    await t.rejects(region.selectModePage(CONTROL()), { code: 'ERR_CLOSED' });
  }
  t.same(await pages(subject), before, 'also where blocks are kept');
  t.throws(() => statSync(path), { code: 'ENOENT' });

  await using region = await claimRegion(disk, RANGE);
  const selected = () => emulated.stats().byCommand['MODE SELECT(10)'];
  const sent = selected();
  for (const [page, message] of [
    [CONTROL().with(3, 0), /byte 3 has bits/],
    [CONTROL({ sense: 0x14 }), /byte 2 has bits/],
    [CONTROL().subarray(0, 10), /10 bytes, the disk has 12/],
    [Uint8Array.from([...CONTROL(), 0]), /13 bytes/],
    [Uint8Array.of(0x08, 0x12, ...new Uint8Array(18)), /no mode page of 0Ah\/00h/],
    [Uint8Array.of(0x4a, 0x03, 0, 0), /no mode page of/],
    [NOTHING, /no mode page of/],
  ] as const) {
    await t.rejects(region.selectModePage(page), { code: 'ERR_USAGE', message });
  }
  t.equal(selected(), sent, 'none of them is sent');
  const odd = encodeApplicationTagModePage([{ last: true, appTag: 7, lba: 5n, blocks: 9n }], 4);
  t.match(await region.selectModePage(odd), { outcome: { kind: 'check-condition' } }, 'the answer is told');
  t.equal(region.changedModePages, 1);
  await region.restore();
  t.same(await pages(subject), before);
});

t.test('a mode page that somebody else set', async (t) => {
  const subject = await filled(t);
  const { disk, emulated } = subject;
  const blocks = await look(disk);
  const region = await claimRegion(disk, RANGE);
  await region.write('passthrough', 101n, pattern(512, 1));
  await region.selectModePage(CONTROL({ sense: 0x04 }));
  const list = encodeModeSelectList([CONTROL({ sense: 0x08 })], 10);
  const cdb = encodeCdb('MODE SELECT(10)', { pageFormat: true, parameterListLength: list.length });
  await emulated.transport({ writable: true }).send({ cdb, direction: 'to-device', data: list });
  const theirs = await pages(subject);
  await t.rejects(region.restore(), {
    code: 'ERR_RESTORE',
    message: /1 mode page.*0Ah\/00h was set by somebody else/,
  });
  t.same(await pages(subject), theirs, 'is left');
  t.same(await look(disk), blocks, 'the blocks are back all the same');
  await t.rejects(region[Symbol.asyncDispose](), { code: 'ERR_RESTORE' });
  await using again = await claimRegion(disk, RANGE);
  t.ok(again, 'and the disk was let go');
});

t.test('mode pages after a crash', async (t) => {
  const subject = await filled(t);
  const { disk, emulated, path } = subject;
  const [before, blocks] = [await pages(subject), await look(disk)];
  const locked = CONTROL({ swp: 0x08 });
  const list = encodeModeSelectList([locked], 10);
  const select = encodeCdb('MODE SELECT(10)', { pageFormat: true, parameterListLength: list.length });
  const around = emulated.transport({ writable: true });
  for (const kept of [false, true]) {
    const region = await claimRegion(disk, RANGE, { journal: path });
    const write = { cdb: encodeCdb('WRITE(16)', { lba: 101n, blocks: 1 }), data: pattern(512, 1) };
    await region.command({ cdb: write.cdb, dataOut: write.data });
    await region.selectModePage(locked);
    if (kept) await region.keep();
    const journal = readFileSync(path);
    await region[Symbol.asyncDispose]();
    t.same(await pages(subject), before);
    writeFileSync(path, journal, { mode: 0o600 });
    await around.send({ ...write, direction: 'to-device' });
    await around.send({ cdb: select, direction: 'to-device', data: list });
    const again = await emulated.open();
    t.equal(again.facts!.control!.softwareWriteProtect, true);
    await t.rejects(claimRegion(again, RANGE), { code: 'ERR_READ_ONLY' });
    t.match(await recover(path, { disk: again }), { outcome: 'exact', writtenBlocks: kept ? 0 : 1 });
    t.same(await pages(subject), before);
    if (!kept) t.same(await look(disk), blocks);
  }
});

t.test('hostile steps of a journal', async (t) => {
  const { disk, emulated, path } = await filled(t);
  const region = await claimRegion(disk, RANGE, { journal: path });
  const whole = readFileSync(path);
  const { head, data, tuples } = parseJournal(whole, path);
  await region[Symbol.asyncDispose]();
  const page = { kind: 'mode page', page: 0x0a, subpage: 0 } as const;
  const control = Buffer.from(CONTROL()).toString('hex');
  const journal = (step: object) => {
    writeFileSync(path, Buffer.concat([whole, stepRecord(step as never)]), { mode: 0o600 });
    return recover(path, { disk });
  };
  for (const step of [
    { ...page },
    { ...page, was: control, sent: 7 },
    { ...page, was: '0a', sent: control },
    { ...page, was: control.toUpperCase(), sent: control },
    { ...page, subpage: 1, was: control, sent: control },
    { ...page, page: 8, was: control, sent: control },
    { kind: 'writing', index: 0, blocks: 3, digests: ['a', 'b'], touchesTuples: false },
  ]) {
    await t.rejects(
      journal(step),
      { code: 'ERR_MALFORMED_RESPONSE', message: /makes no sense/ },
      JSON.stringify(step),
    );
  }
  // Well formed, and not what any run does.
  const caching = Buffer.from([0x08, 0x12, 0, ...new Uint8Array(17)]).toString('hex');
  const now = '0812040000000000000000000000000000000000';
  const selected = emulated.stats().byCommand['MODE SELECT(10)'];
  await t.rejects(journal({ ...page, page: 8, was: caching, sent: now }), {
    code: 'ERR_RESTORE',
    message: /no mode page of/,
  });
  const fixed = Buffer.from(CONTROL().with(3, 0xf0)).toString('hex');
  await t.rejects(journal({ ...page, was: fixed, sent: control }), {
    code: 'ERR_RESTORE',
    message: /byte 3 has bits/,
  });
  t.equal(emulated.stats().byCommand['MODE SELECT(10)'], selected, 'nothing was set');
  t.match(await journal({ ...page, was: control, sent: fixed }), { outcome: 'exact' }, 'it is what it was');

  const old = { ...head, version: 1 };
  writeFileSync(path, Buffer.concat([...savedRecords(old, data, tuples)]), { mode: 0o600 });
  t.match(await recover(path, { disk }), { outcome: 'untouched' }, 'a journal of version 1');
});

t.test('commands without a region', async (t) => {
  const subject = await filled(t);
  const { disk, emulated } = subject;
  const before = await pages(subject);
  const list = encodeModeSelectList([CONTROL({ sense: 0x04, swp: 0x08 })], 10);
  const select = (bytes: Uint8Array) => ({
    cdb: encodeCdb('MODE SELECT(10)', { pageFormat: true, parameterListLength: bytes.length }),
    dataOut: bytes,
  });
  t.match(await sendHeld(disk, select(list)), { outcome: { kind: 'good' } });
  t.notSame(await pages(subject), before, 'stays');
  await using locked = await emulated.open();
  t.match(await sendHeld(locked, select(encodeModeSelectList([CONTROL()], 10))), {
    outcome: { kind: 'good' },
  });
  t.same(await pages(subject), before, 'SWP can be cleared so');
  const { commands: sent } = emulated.stats();
  for (const [command, code] of [
    [{ cdb: encodeCdb('WRITE(16)', { blocks: 1 }), dataOut: new Uint8Array(512) }, 'ERR_USAGE'],
    [{ cdb: encodeCdb('UNMAP', {}) }, 'ERR_USAGE'],
    [{ cdb: encodeCdb('INQUIRY', {}) }, 'ERR_READ_ONLY'],
    [{ cdb: Uint8Array.of(0xc1, 0, 0, 0, 0, 0) }, 'ERR_READ_ONLY'],
    [{ ...select(list), dataOut: list.subarray(1) }, 'ERR_BAD_LENGTH'],
  ] as const) {
    await t.rejects(sendHeld(disk, command), { code });
  }
  t.equal(emulated.stats().commands, sent);
  {
    await using region = await claimRegion(disk, RANGE);
    await t.rejects(sendHeld(disk, select(list)), { code: 'ERR_BUSY' }, region.disk.device);
  }
  t.match(await sendHeld(disk, { cdb: encodeCdb('SYNCHRONIZE CACHE(10)', {}) }), {
    outcome: { kind: 'good' },
  });
  const typed = { cdb: encodeCdb('FORMAT UNIT', { formatProtection: 0 }) };
  t.match(await sendHeld(disk, typed), { outcome: { kind: 'good' } });
  t.equal(emulated.format.type, 0);
  await t.rejects(claimRegion(disk, RANGE), { code: 'ERR_NOT_OURS', message: /formatted anew/ });
});
