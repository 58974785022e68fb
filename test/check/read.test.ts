import t, { type Test } from 'tap';
import type { SgRequest } from '../../src/binding.js';
import { readBlocks } from '../../src/check/read.js';
import { planRead, type ReadRequest } from '../../src/check/read-plan.js';
import type { Disk } from '../../src/device/disk.js';
import { openInProcess } from '../../src/device/in-process.js';
import type { ReadReport } from '../../src/report/model.js';
import { decodeCdb, encodeCdb } from '../../src/scsi/commands.js';
import { EmulatedDisk, type EmulatedDiskOptions } from '../../src/testbed/disk/emulated-disk.js';
import { InProcessNode } from '../../src/testbed/disk/in-process.js';
import { fillDisk, pattern } from '../../src/testbed/fill.js';

const BLOCKS = 2048;
const BAD = 1000;

/** A filled disk, what is sent to it, and whoever writes around the safeguard. */
class Subject implements AsyncDisposable {
  readonly emulated: EmulatedDisk;
  readonly disk: Disk;
  readonly sent: Uint8Array[];

  private constructor(emulated: EmulatedDisk, disk: Disk, sent: Uint8Array[]) {
    this.emulated = emulated;
    this.disk = disk;
    this.sent = sent;
  }

  static async make(
    options: EmulatedDiskOptions = {},
    { fill = true, queueDepth = 1 } = {},
  ): Promise<Subject> {
    const emulated = await EmulatedDisk.create({ blocks: BLOCKS, ...options });
    if (fill) {
      await using empty = await emulated.open();
      await fillDisk(empty);
    }
    const sent: Uint8Array[] = [];
    const disk = await emulated.open({ onCommand: ({ command }) => sent.push(command.cdb), queueDepth });
    return new Subject(emulated, disk, sent);
  }

  async read(request: Partial<ReadRequest>): Promise<ReadReport> {
    const plan = await planRead(this.disk, { lba: 992n, blocks: 16, ...request });
    return readBlocks(this.disk, plan);
  }

  /** Data under tuples of any kind, as they are. */
  async plant(lba: number, tuples: string, data = pattern(512, lba)): Promise<void> {
    const size = this.disk.diskProfile!.type === 2 ? 32 : 16;
    const { outcome } = await this.emulated.transport({ writable: true }).send({
      cdb: encodeCdb(`WRITE(${size})`, { lba: BigInt(lba), blocks: 1, protect: 3 }),
      direction: 'to-device',
      data: Buffer.concat([data, Buffer.from(tuples.replaceAll(' ', ''), 'hex')]),
    });
    if (outcome.kind !== 'good') throw new Error(JSON.stringify(outcome));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.disk.close();
    await this.emulated.close();
  }
}

/** Of each run: how many blocks, the first word of the answer, the software's counts, why they are comparable. */
const columns = ({ results }: ReadReport) =>
  results.map(({ blocks, hardware, software, comparable }) => [
    blocks,
    hardware.split(' ')[0],
    software,
    comparable,
  ]);

const expectedData = (lba: number, blocks: number) =>
  Buffer.concat(Array.from({ length: blocks }, (_, i) => pattern(512, lba + i))).toString('hex');

t.test('the best path and command of each type', async (t) => {
  for (const [type, name] of [
    [1, 'READ(16)'],
    [2, 'READ(32)'],
    [3, 'READ(16)'],
  ] as const) {
    await using subject = await Subject.make({ type });
    const report = await subject.read({ blocks: 3 });
    t.match(report, { path: 'passthrough', command: { name, protect: 1 }, checked: 3, delivered: 3 });
    t.same(columns(report), [[3, 'GOOD', { ok: 3 }, 'checked']]);
    t.equal(report.data, expectedData(992, 3));
    t.match(report.tuples, [{ lba: 992, interval: 0, verdict: 'ok' }, {}, { lba: 994 }]);
    t.same(report.tuples[2]!.stored.guard, report.tuples[2]!.computed.guard);
    t.equal(report.tuples[2]!.computed.ref, type === 3 ? null : 994);
    t.match((await subject.read({ protect: 0 })).command, { name: 'READ(16)', protect: 0 }, 'a plain one');
  }
});

t.test('RDPROTECT: what the disk checks, the software checks all the same', async (t) => {
  await using subject = await Subject.make();
  await subject.plant(BAD, 'dead 0000 000003e8');
  const around = (bad: unknown[], comparable = 'checked') => [
    [8, 'GOOD', { ok: 8 }, comparable],
    [1, ...bad],
    [7, 'GOOD', { ok: 7 }, comparable],
  ];
  const refused = around(['refused', { guard: 1 }, 'checked']);
  const cases: [number, unknown[]][] = [
    [1, refused],
    [2, around(['GOOD', { guard: 1 }, 'unchecked'])],
    [3, around(['GOOD', { guard: 1 }, 'unchecked'], 'unchecked')],
    [4, refused],
    [5, refused],
  ];
  for (const [protect, expected] of cases) {
    const report = await subject.read({ protect });
    t.same(columns(report), expected, `RDPROTECT ${protect}`);
    t.match(
      report.findings.find(({ kind }) => kind === 'mismatch'),
      { lba: BAD, check: 'guard', stored: 0xdead },
    );
    t.equal(
      report.findings.some(({ kind }) => kind === 'refused'),
      expected === refused,
    );
    t.equal(report.delivered, 16, 'the data comes all the same');
    const stored = report.tuples.find(({ lba }) => lba === BAD);
    t.match(stored, { verdict: 'guard', stored: { guard: 0xdead, ref: BAD }, computed: { ref: BAD } });
  }
  const plain = await subject.read({ protect: 0, lba: 0n });
  t.same(columns(plain), [[16, 'GOOD', { unchecked: 16 }, 'no PI transferred']]);
  t.match(plain, { checked: 0, tuples: [], findings: [] });
  subject.sent.length = 0;
  const reserved = await subject.read({ protect: 7, blocks: 1000 });
  t.match(reserved.findings, [{ kind: 'read-error', text: /24h/ }]);
  t.match(reserved, { delivered: 0, data: '' });
  // Those of 8 blocks are the proof's.
  const fields = subject.sent.map((cdb) => decodeCdb(cdb)?.fields);
  const sevens = fields.filter((one) => one?.protect === 7 && one.blocks !== 8);
  t.equal(sevens.length, 1, 'and it is not tried again');
});

t.test('escaped is no pass, and a silent checker is a finding', async (t) => {
  await using subject = await Subject.make();
  await subject.plant(BAD, 'ffff ffff ffffffff');
  const escaped = await subject.read({ lba: BigInt(BAD), blocks: 1 });
  t.same(columns(escaped), [[1, 'GOOD', { escaped: 1 }, 'escaped']]);
  t.match(escaped, { checked: 0, findings: [], tuples: [{ verdict: 'escaped' }] });
  await subject.plant(BAD, 'dead 0000 000003e8');
  subject.emulated.addFault({ kind: 'unchecked', on: 'read' });
  const silent = await subject.read({ lba: BigInt(BAD), blocks: 1 });
  t.same(columns(silent), [[1, 'GOOD', { guard: 1 }, 'checked']]);
  t.same(silent.findings.map(({ kind }) => kind).sort(), ['mismatch', 'silent']);
});

t.test('more than one transfer, with the reference tags of READ(32) carried on', async (t) => {
  await using subject = await Subject.make({ type: 2, blockSize: 4096, intervalExponent: 3, blocks: 512 });
  const { disk, sent } = subject;
  const most = disk.transferBlocksMax;
  const blocks = 2 * most + 1;
  const request = { lba: 100n, blocks, refTag: 800, appTag: 0, appTagMask: 0xff };
  await subject.read(request);
  sent.length = 0;
  const report = await subject.read(request);
  t.same(columns(report), [[blocks, 'GOOD', { ok: 8 * blocks }, 'checked']]);
  const reads = sent.map((cdb) => decodeCdb(cdb)!).filter(({ command }) => command.name === 'READ(32)');
  t.match(
    reads.map(({ fields }) => fields),
    [
      { lba: 100n, blocks: most, refTag: 800, appTag: 0, appTagMask: 0xff },
      { lba: 100n + BigInt(most), blocks: most, refTag: 800 + 8 * most },
      { lba: 100n + BigInt(2 * most), blocks: 1, refTag: 800 + 16 * most },
    ],
    'the smaller tail included',
  );
  const wrong = await subject.read({ ...request, blocks: 1, refTag: 7 });
  t.match(wrong.results, [{ hardware: 'refused by the device: ref', software: { ref: 8 } }]);
  t.match(
    wrong.findings.find(({ kind }) => kind === 'mismatch'),
    { stored: 800, computed: 7 },
  );
  const app = await subject.read({ ...request, blocks: 1, appTag: 0x1200 });
  t.match(app.results, [{ software: { ok: 8 } }], 'of the application tag only what the mask shows');
  const other = await subject.read({ ...request, blocks: 1, appTag: 0x1201 });
  t.match(other.results, [{ software: { app: 8 } }]);
});

t.test('every size of READ, split at what it can name', async (t) => {
  await using subject = await Subject.make();
  for (const cdbSize of [6, 10, 12, 16] as const) {
    const report = await subject.read({ cdbSize, lba: 3n, blocks: 300 });
    const protect = cdbSize === 6 ? 0 : 1;
    t.match(report, { command: { name: `READ(${cdbSize})`, protect }, findings: [], delivered: 300 });
    t.equal(report.data, expectedData(3, 8));
    t.equal(report.tuples.length, protect * 300);
  }
  const sixes = subject.sent.filter((cdb) => cdb[0] === 0x08).map((cdb) => decodeCdb(cdb)?.fields.blocks);
  t.same(sixes, [256, 44]);
  const { command } = await subject.read({ fua: true, dpo: true });
  t.match(command, { fua: true, dpo: true });
  t.match(decodeCdb(subject.sent.at(-1)!)?.fields, { fua: true, dpo: true, protect: 1 });
});

t.test('what cannot be sent is refused before anything is', async (t) => {
  await using subject = await Subject.make();
  subject.sent.length = 0;
  const cases: [Partial<ReadRequest>, string, RegExp][] = [
    [{ refTag: 1, cdbSize: 16 }, 'ERR_USAGE', /READ\(16\) has no tags/],
    [{ appTagMask: 1, cdbSize: 10 }, 'ERR_USAGE', /READ\(10\) has no tags/],
    [{ cdbSize: 6, protect: 1 }, 'ERR_USAGE', /READ\(6\) has no field protect/],
    [{ cdbSize: 6, fua: true }, 'ERR_USAGE', /READ\(6\) has no field fua/],
    [{ path: 'block', protect: 1 }, 'ERR_USAGE', /path block sends no command/],
    [{ path: 'block' }, 'ERR_NO_PATH', /has no path block/],
    [{ path: 'block-pi' }, 'ERR_NO_PATH', /no path block-pi: the block layer/],
    [{ lba: BigInt(BLOCKS) }, 'ERR_OUT_OF_RANGE', /block 2048 is not on the disk/],
    [{ protect: 8 }, 'ERR_OUT_OF_RANGE', /^protect is 8/],
  ];
  for (const [request, code, message] of cases) await t.rejects(subject.read(request), { code, message });
  t.same(subject.sent, []);
  await using large = await Subject.make({ blocks: 2 ** 21 + 8 }, { fill: false });
  large.sent.length = 0;
  const last = { lba: 2n ** 21n - 1n, blocks: 2, cdbSize: 6 } as const;
  await t.rejects(large.read(last), { code: 'ERR_OUT_OF_RANGE' }, 'the last block counts');
  t.same(large.sent, []);
});

t.test('disks whose tuples do not come', async (t) => {
  await t.test('that take RDPROTECT and send none', async (t) => {
    await using subject = await Subject.make({ preset: 'scsi-debug' }, { fill: false });
    const report = await subject.read({});
    t.match(report, { command: { name: 'READ(16)', protect: 0 }, checked: 0, findings: [] });
    const asked = await subject.read({ protect: 1 });
    t.match(asked.results, [{ comparable: 'no PI transferred', hardware: /128 bytes were not transferred/ }]);
    t.match(asked, { tuples: [], delivered: 0 });
  });
  await t.test('that do so with residue 0', async (t) => {
    await using emulated = await EmulatedDisk.create({
      blocks: BLOCKS,
      behaviour: { interleave: 'stripped' },
    });
    const node = new InProcessNode(emulated.unit).open();
    const sgIo = async (request: SgRequest) => ({ ...(await node.sgIo(request)), resid: 0 });
    await using disk = await openInProcess('lio', { open: () => ({ sgIo, close: () => node.close() }) });
    const plan = await planRead(disk, { lba: 0n, blocks: 4, protect: 1 });
    const report = await readBlocks(disk, plan);
    t.match(report.results, [
      { hardware: 'GOOD', comparable: 'no PI transferred', why: /transfers no tuples/ },
    ]);
    t.match(report, { tuples: [], delivered: 4, checked: 0, data: '00'.repeat(4 * 512) });
  });
  await t.test('of another format', async (t) => {
    await using subject = await Subject.make({ type: 0 });
    t.match(await subject.read({}), { command: { protect: 0 }, data: expectedData(992, 8) });
    t.match((await subject.read({ protect: 1 })).findings, [{ kind: 'read-error', text: /24h/ }]);
  });
});

t.test('a block that cannot be read: the others are', async (t: Test) => {
  await using subject = await Subject.make();
  subject.emulated.addFault({ kind: 'medium-error', lba: BigInt(BAD), blocks: 1n });
  const report = await subject.read({});
  t.same(columns(report), [
    [8, 'GOOD', { ok: 8 }, 'checked'],
    [1, `${subject.disk.device}:`, { unchecked: 1 }, 'no PI transferred'],
    [7, 'GOOD', { ok: 7 }, 'checked'],
  ]);
  t.match(report.findings, [{ kind: 'read-error', lba: BAD, text: /MEDIUM ERROR/ }]);
  t.equal(report.delivered, 8, 'data ends before it');
  t.equal(report.data, expectedData(992, 8));
});

t.test('with several transfers under way a bad block is found as with one', async (t) => {
  const reports: string[] = [];
  for (const queueDepth of [1, 3, 16]) {
    await using subject = await Subject.make({}, { queueDepth });
    await subject.plant(BAD, '00 00 00 00 00 00 03 e8');
    subject.emulated.addFault({ kind: 'medium-error', lba: 1500n, blocks: 1n });
    const { disk, ...report } = await subject.read({ lba: 0n, blocks: BLOCKS });
    t.match(report.findings, [{ lba: BAD }, { lba: BAD }, { lba: 1500, kind: 'read-error' }]);
    reports.push(JSON.stringify(report).replaceAll(disk.device, 'disk'));
  }
  t.same(new Set(reports).size, 1);
});
