/**
 * Commands that alter a disk of somebody else's, named by its owner: put back byte for byte, or not sent. The same on scsi_debug.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AlteringCommand,
  claimRegion,
  createScsiDebug,
  type Disk,
  decodeModeSense,
  EmulatedDisk,
  encodeCdb,
  encodeModeSelectList,
  encodeUnmapList,
  fillDisk,
  openDevice,
  pattern,
  sendHeld,
} from 'blk-integrity';
import type { Test } from 'tap';
import { cli } from './cli.js';
import { storage } from './owned.js';
import { sameBytes } from './same-bytes.js';
import { Undo } from './undo.js';

const RANGE = { lba: 1000n, blocks: 8 };
const THEIRS = { inquiry: { vendor: 'ACME', product: 'DIF DISK' }, blocks: 8192 } as const;

export async function altering(t: Test): Promise<void> {
  await t.test('a disk of somebody else’s', async (t) => {
    await using undo = new Undo();
    const folder = await storage(undo);
    await t.test('put back', (t) => theirs(t, folder));
    await t.test('not sent', (t) => notSent(t, folder));
    await t.test('cdb --write', (t) => verb(t, folder));
  });
  await t.test('scsi_debug', scsiDebug);
}

const AT = { lba: 1002n, blocks: 3 };
const UNMAPPED = encodeUnmapList([AT]);

/** Each alters blocks within RANGE. */
const COMMANDS: Readonly<Record<string, AlteringCommand>> = {
  WRITE: { cdb: encodeCdb('WRITE(10)', AT), dataOut: pattern(3 * 512, 1) },
  'WRITE SAME': { cdb: encodeCdb('WRITE SAME(16)', AT), dataOut: pattern(512, 2) },
  'WRITE SAME with NDOB': { cdb: encodeCdb('WRITE SAME(16)', { ...AT, noDataOut: true }) },
  UNMAP: {
    cdb: encodeCdb('UNMAP', { parameterListLength: UNMAPPED.length }),
    dataOut: UNMAPPED,
  },
  'WRITE LONG': { cdb: encodeCdb('WRITE LONG(16)', { lba: 1003n, writeUncorrectable: true }) },
  'WRITE LONG(10)': { cdb: encodeCdb('WRITE LONG(10)', { lba: 1003n, writeUncorrectable: true }) },
};

/** The Control mode page as the emulated disk has it, with other bits of its byte 2. */
const control = (bits: number) => Uint8Array.of(0x0a, 0x0a, bits, 0x10, 0, 0x80, 0, 0, 0, 0, 0, 0);

async function attached(undo: Undo, options: Partial<Parameters<typeof EmulatedDisk.create>[0]> = {}) {
  const emulated = await EmulatedDisk.create({ ...THEIRS, type: 1, ...options });
  // Before it is attached: somebody else's disk is not filled by its owner's leave alone.
  const { blocks, blockSize } = emulated.format;
  const around = emulated.transport({ writable: true });
  await around.send({ cdb: encodeCdb('TEST UNIT READY', {}), direction: 'none', data: null });
  for (let lba = 0; lba < blocks; lba += 64) {
    const cdb = encodeCdb('WRITE(16)', { lba: BigInt(lba), blocks: 64 });
    await around.send({ cdb, direction: 'to-device', data: pattern(64 * blockSize, lba + 1) });
  }
  return { emulated, sg: undo.use(await emulated.attach()).sg };
}

const look = async (disk: Disk): Promise<Buffer> => {
  const { data, tuples } = await disk.readMedium(960n, 128);
  return Buffer.concat([data!, tuples ?? new Uint8Array(0)]);
};

async function theirs(t: Test, folder: string): Promise<void> {
  await using undo = new Undo();
  const { sg } = await attached(undo, { behaviour: { generatedAppTag: 'zero' } });
  await using disk = await openDevice(sg);
  const [before, journal] = [await look(disk), join(folder, 'altering.journal')];
  const claim = { iOwn: disk.facts!.serial!, journal };
  for (const [what, command] of Object.entries(COMMANDS)) {
    {
      await using region = await claimRegion(disk, RANGE, claim);
      t.match(await region.command(command), { outcome: { kind: 'good' } }, what);
      t.not(region.writtenBlocks, 0);
      const { data } = await disk.readMedium(AT.lba, AT.blocks);
      t.notSame(data && Buffer.from(data), before.subarray(42 * 512, 45 * 512), `${what}: altered`);
      t.equal(await region.restore(), 'exact');
      sameBytes(t, await look(disk), before, `${what}: byte for byte as it was`);
      await region.command(command);
      t.match(await region.selectModePage(control(0x0c)), { outcome: { kind: 'good' } });
    }
    sameBytes(t, await look(disk), before, `${what}: at the end, too`);
    t.notOk(existsSync(journal));
  }
  await using again = await openDevice(sg);
  t.match(
    again.facts!.control,
    { descriptorSense: false, noCheckWhenProtectZero: false },
    'the mode page is back',
  );
}

async function notSent(t: Test, folder: string): Promise<void> {
  await using undo = new Undo();
  const behaviour = { generatedAppTag: 'zero', unmapped: 'scrambled' } as const;
  const { emulated, sg } = await attached(undo, { behaviour });
  await using disk = await openDevice(sg);
  const journal = join(folder, 'not-sent.journal');
  const claim = { iOwn: disk.facts!.serial!, journal };
  const list = encodeModeSelectList([control(0)], 10);
  const select = { pageFormat: true, parameterListLength: list.length };
  const sized = encodeModeSelectList([], 10, { blocks: 4096n, blockSize: 512 });
  const refused = { code: 'ERR_NOT_OURS', message: /nobody could put that back/ };
  const held = (name: string, fields: object, dataOut?: Uint8Array) =>
    sendHeld(disk, { cdb: encodeCdb(name, fields), dataOut }, claim);
  await t.rejects(held('FORMAT UNIT', {}), { ...refused, advice: /sg_format/ });
  await t.rejects(held('MODE SELECT(10)', { ...select, savePages: true }, list), refused);
  await t.rejects(held('MODE SELECT(10)', { revertToDefaults: true }), refused);
  await t.rejects(
    held('MODE SELECT(10)', { pageFormat: true, parameterListLength: sized.length }, sized),
    refused,
  );
  await t.rejects(sendHeld(disk, { cdb: encodeCdb('START STOP UNIT', {}) }), {
    code: 'ERR_NOT_OURS',
    advice: /--i-own/,
  });
  {
    await using region = await claimRegion(disk, RANGE, claim);
    await t.rejects(region.command(COMMANDS['UNMAP']!), { code: 'ERR_NOT_OURS', message: /LBPRZ 0/ });
    const bytes = {
      cdb: encodeCdb('WRITE LONG(16)', { lba: 1002n, byteLength: 20 }),
      dataOut: new Uint8Array(20),
    };
    await t.rejects(region.command(bytes), { code: 'ERR_NOT_OURS', message: /somebody else/ });
    const outside = { cdb: encodeCdb('WRITE SAME(16)', { ...AT, blocks: 7 }), dataOut: pattern(512, 2) };
    await t.rejects(region.command(outside), { code: 'ERR_OUT_OF_RANGE' });
  }
  const { byCommand } = emulated.stats();
  const sent = [
    'UNMAP',
    'WRITE LONG(16)',
    'WRITE SAME(16)',
    'FORMAT UNIT',
    'MODE SELECT(10)',
    'START STOP UNIT',
  ];
  t.same(
    sent.filter((name) => byCommand[name] !== undefined),
    [],
  );
  t.notOk(existsSync(journal));
}

async function verb(t: Test, folder: string): Promise<void> {
  await using undo = new Undo();
  const { emulated, sg } = await attached(undo, { behaviour: { generatedAppTag: 'zero' } });
  await using disk = await openDevice(sg);
  const before = await look(disk);
  const input = join(folder, 'one-block');
  writeFileSync(input, pattern(512, 4));
  const options = ['--i-own', disk.facts!.serial!, '--journal', join(folder, 'verb.journal'), '--json'];
  const range = ['--write', '--lba', '1000', '--blocks', '8'];
  const same = ['93', '00', '00000000000003ea', '00000003', '00', '00', '-i', input];
  const strange = await cli('cdb', sg, ...same, ...range);
  t.match(strange, { status: 2, stderr: /was not made by this package's testbed.*\n.*--i-own/ });
  const beside = await cli('cdb', sg, ...same, ...options, '--write', '--lba', '1003', '--blocks', '5');
  t.match(beside, { status: 2, stderr: /not all in the claimed region/ });
  t.equal(emulated.stats().byCommand['WRITE SAME(16)'], undefined);
  const wrong = await cli(
    'cdb',
    sg,
    '42',
    '00',
    '00000000',
    '00',
    '0007',
    '00',
    ...range,
    ...options,
    '-i',
    input,
  );
  t.match(wrong, { status: 2, stderr: /512 bytes, 7 are needed/ });
  const good = await cli('cdb', sg, ...same, ...range, ...options);
  t.match(JSON.parse(good.stdout), { outcome: 'good', altered: { kept: true, sent: 512 } });
  const block = Buffer.from(pattern(512, 4));
  const { data } = await disk.readMedium(AT.lba, AT.blocks);
  t.same(Buffer.from(data!), Buffer.concat([block, block, block]), 'stays');
  const bad = await cli(
    'cdb',
    sg,
    '8a',
    'e0',
    '00000000000003ea',
    '00000001',
    '00',
    '00',
    ...range,
    ...options,
    '-i',
    input,
  );
  t.match(bad, { status: 2, stderr: /reserved/ });
  const now = await look(disk);
  t.notSame(now, before);
  emulated.addFault({ kind: 'write-error', lba: 1003n, blocks: 1n, times: 1 });
  const failed = await cli('cdb', sg, ...same, ...range, ...options);
  t.match(JSON.parse(failed.stdout), {
    outcome: 'check-condition',
    altered: { kept: false, restored: 'exact' },
  });
  sameBytes(t, await look(disk), now);
  t.notOk(existsSync(join(folder, 'verb.journal')));
}

/** Its tuples lie apart from what SG_IO writes; UNMAP of a disk without thin provisioning it answers GOOD. */
async function scsiDebug(t: Test): Promise<void> {
  for (const dif of [0, 1] as const) {
    await using made = await createScsiDebug({ sizeMiB: 4, dif, dix: dif === 0 ? 0 : 1 });
    {
      await using filling = await openDevice(made.device);
      await fillDisk(filling);
    }
    await using disk = await openDevice(made.device);
    const seen = async () => {
      const reads = [await disk.readMedium(960n, 128)];
      for (const path of disk.paths) reads.push(await disk.read(path, 960n, 128));
      t.ok(
        reads.every(({ answer }) => answer.kind === 'good'),
        'by every path',
      );
      return Buffer.concat(reads.flatMap(({ data, tuples }) => [data!, tuples ?? new Uint8Array(0)]));
    };
    const before = await seen();
    for (const [what, command] of Object.entries(COMMANDS)) {
      await using region = await claimRegion(disk, RANGE);
      const { outcome } = await region.command(command);
      t.comment(`dif=${dif} ${what}: ${outcome.kind}`);
      if (what === 'WRITE' || what === 'WRITE SAME') t.equal(outcome.kind, 'good', what);
      t.comment(await region.restore());
      sameBytes(t, await seen(), before, `dif=${dif} ${what}: as it was`);
    }
    await using region = await claimRegion(disk, RANGE);
    const sense = disk.facts!.control!.descriptorSense;
    t.match(await region.selectModePage(await otherSense(disk)), { outcome: { kind: 'good' } });
    await using changed = await openDevice(made.device);
    t.equal(changed.facts!.control!.descriptorSense, !sense);
    await region.restore();
    await using again = await openDevice(made.device);
    t.equal(again.facts!.control!.descriptorSense, sense, `dif=${dif}: the mode page is back`);
  }
}

/** The Control mode page as it is, with D_SENSE the other way. */
async function otherSense(disk: Disk): Promise<Uint8Array> {
  const data = new Uint8Array(64);
  const cdb = encodeCdb('MODE SENSE(10)', {
    disableBlockDescriptors: true,
    page: 0x0a,
    allocationLength: 64,
  });
  await disk.transport!.send({ cdb, direction: 'from-device', data });
  const page = Uint8Array.from(decodeModeSense(data, 10).pages[0]!.bytes);
  page[2]! ^= 0x04;
  return page;
}
