/** Disks that turn out to be others, lose what they took, or do more than they were told, while a region of them is claimed. */
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Disk } from '../../../src/device/disk.js';
import { openInProcess } from '../../../src/device/in-process.js';
import { tuplesFor } from '../../../src/device/protected-range.js';
import { claimRegion } from '../../../src/device/safeguard/claim.js';
import { encodeCdb } from '../../../src/scsi/commands.js';
import { EmulatedDisk, type EmulatedDiskOptions } from '../../../src/testbed/disk/emulated-disk.js';
import { InProcessNode } from '../../../src/testbed/disk/in-process.js';
import type { LogicalUnit } from '../../../src/testbed/disk/model/logical-unit.js';
import { fillDisk, pattern } from '../../../src/testbed/fill.js';

type Task = Parameters<LogicalUnit['execute']>[0];
type Reply = ReturnType<LogicalUnit['execute']>;

const OPERATION = {
  inquiry: 0x12,
  writeLong: 0x9f,
  read: 0x88,
  write: 0x8a,
  readCapacity: 0x9e,
  syncCache10: 0x35,
  syncCache16: 0x91,
};
const RANGE = { lba: 100n, blocks: 16 };
const NOTHING = { sense: new Uint8Array(0), dataIn: new Uint8Array(0), afterMs: 0 };
const GOOD: Reply = { ...NOTHING, status: 0 };
const BUSY: Reply = { ...NOTHING, status: 8 };
const condition = (key: number, asc: number, ascq: number): Reply => ({
  ...NOTHING,
  status: 2,
  sense: Uint8Array.from([0x72, key, asc, ascq, 0, 0, 0, 0]),
});

interface Answers {
  instead: ((task: Task) => Reply | null) | null;
}

/** A filled disk of which each command may be answered by somebody else. */
class Subject {
  readonly emulated: EmulatedDisk;
  readonly disk: Disk;
  readonly node: InProcessNode;
  readonly #answers: Answers;

  private constructor(emulated: EmulatedDisk, disk: Disk, node: InProcessNode, answers: Answers) {
    this.emulated = emulated;
    this.disk = disk;
    this.node = node;
    this.#answers = answers;
  }

  static async make(t: Test, options: EmulatedDiskOptions = {}, queueDepth = 1): Promise<Subject> {
    const emulated = await EmulatedDisk.create({ blocks: 256, type: 1, ...options });
    t.teardown(() => emulated.close());
    const answers: Answers = { instead: null };
    const node = new InProcessNode({
      execute: (task) => answers.instead?.(task) ?? emulated.unit.execute(task),
    });
    const disk = await openInProcess(emulated.identity.serial, node, { queueDepth });
    await fillDisk(disk);
    return new Subject(emulated, disk, node, answers);
  }

  /** From now on commands for which it answers something are answered so. */
  answer(instead: (task: Task) => Reply | null): void {
    this.#answers.instead = instead;
  }

  async write(region: Awaited<ReturnType<typeof claimRegion>>) {
    const data = pattern(4 * 512, 4711);
    const { diskProfile: profile } = this.disk;
    if (profile === null) return region.write('passthrough', 104n, data);
    return region.write('passthrough', 104n, data, tuplesFor({ profile, blockSize: 512, lba: 104n }, data));
  }

  async look(): Promise<Buffer> {
    const { data, tuples } = await this.disk.readMedium(0n, 256);
    return Buffer.concat([data!, tuples ?? new Uint8Array(0)]);
  }
}

const operation = ({ cdb }: Task) => cdb[0];

for (const [name, answer] of [
  ['BUSY', BUSY],
  ['becoming ready', condition(2, 0x04, 0x01)],
] as const) {
  t.test(`another disk comes in the pause after ${name}, and a read is told of it`, async (t) => {
    const subject = await Subject.make(t, { type: 0 }, 8);
    const other = await Subject.make(t, { type: 0 });
    const before = await other.look();
    let swapped = false;
    let told = false;
    subject.answer((task) => {
      if (operation(task) === OPERATION.write && !swapped) {
        swapped = true;
        return answer;
      }
      if (!swapped) return null;
      if (!told && operation(task) === OPERATION.read) {
        told = true;
        return condition(6, 0x3f, 0x0e);
      }
      return other.emulated.unit.execute(task);
    });
    const region = await claimRegion(subject.disk, RANGE, { journal: join(t.testdir(), 'journal') });
    const reads = (async () => {
      for (let i = 0; i < 10; i++) {
        await subject.disk.read('passthrough', 8n, 4).catch(() => {});
        await delay(5);
      }
    })();
    await t.rejects(subject.write(region), { code: 'ERR_NOT_OURS' });
    await reads;
    await t.rejects(region[Symbol.asyncDispose](), { code: 'ERR_RESTORE' });
    t.same(await other.look(), before, 'the other disk is as it was');
  });
}

t.test('a busy disk that stays the same is written, after it was asked again', async (t) => {
  const subject = await Subject.make(t);
  const asked: (number | undefined)[] = [];
  let busy = 2;
  const region = await claimRegion(subject.disk, RANGE);
  subject.answer((task) => {
    asked.push(operation(task));
    return operation(task) === OPERATION.write && busy-- > 0 ? BUSY : null;
  });
  t.match(await subject.write(region), { kind: 'good' });
  const writes = asked.flatMap((one, i) => (one === OPERATION.write ? [i] : []));
  t.equal(writes.length, 3);
  for (const at of writes)
    t.equal(asked[at - 1], OPERATION.readCapacity, 'who it is, and how it is formatted');
  await region[Symbol.asyncDispose]();
});

t.test('a reset between the read-back and the flush: what was lost is put back again', async (t) => {
  const folder = t.testdir();
  const [file, medium, journal] = ['file', 'medium', 'journal'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const subject = await Subject.make(t, { file });
  const before = await subject.look();
  let resets = 0;
  const region = await claimRegion(subject.disk, RANGE, { journal });
  t.match(await subject.write(region), { kind: 'good' });
  // The test data came to the medium by itself.
  copyFileSync(file, medium);
  subject.answer((task) => {
    if (operation(task) !== OPERATION.syncCache16) return null;
    if (resets++ > 0) return null;
    // What lies in the cache is gone: the medium's data is what there is.
    const lost = Buffer.alloc(4 * 520);
    const { dataIn } = subject.emulated.unit.execute({
      cdb: encodeCdb('READ(16)', { lba: 104n, blocks: 4, protect: 3 }),
      dataOut: new Uint8Array(0),
      dataInMax: lost.length,
    });
    lost.set(dataIn);
    const written = pattern(4 * 512, 4711);
    subject.emulated.unit.execute({
      cdb: encodeCdb('WRITE(16)', { lba: 104n, blocks: 4 }),
      dataOut: written,
      dataInMax: 0,
    });
    return condition(6, 0x29, 0x01);
  });
  t.equal(await region.restore(), 'exact');
  await region[Symbol.asyncDispose]();
  t.same(await subject.look(), before);
  t.notOk(existsSync(journal));
});

t.test('a reset after a write that is to stay: nobody says that it did', async (t) => {
  const subject = await Subject.make(t);
  const before = await subject.look();
  const region = await claimRegion(subject.disk, RANGE);
  await subject.write(region);
  let resets = 0;
  subject.answer((task) =>
    operation(task) === OPERATION.syncCache16 && resets++ === 0 ? condition(6, 0x29, 0x01) : null,
  );
  await t.rejects(region.keep(), { code: 'ERR_CHECK_CONDITION', message: /not known/ });
  await region[Symbol.asyncDispose]();
  t.same(await subject.look(), before);
});

t.test('a command that does more than it says is found out, and its journal stays', async (t) => {
  const subject = await Subject.make(t, { type: 0 });
  const journal = join(t.testdir(), 'journal');
  const region = await claimRegion(subject.disk, RANGE, { journal });
  subject.answer((task) => {
    if (operation(task) !== OPERATION.writeLong) return null;
    for (let lba = 100n; lba < 104n; lba++) {
      const cdb = encodeCdb('WRITE LONG(16)', { lba, writeUncorrectable: true });
      subject.emulated.unit.execute({ ...task, cdb });
    }
    return GOOD;
  });
  await region.command({ cdb: encodeCdb('WRITE LONG(16)', { lba: 102n, writeUncorrectable: true }) });
  subject.answer(() => null);
  await t.rejects(region[Symbol.asyncDispose](), { code: 'ERR_RESTORE', message: /: 100, 101, 103:/ });
  t.ok(existsSync(journal));
});

/** A disk that takes tuples for data, and sends none. */
const deaf = (subject: Subject) => (task: Task) => {
  const isTransfer = operation(task) === OPERATION.read || operation(task) === OPERATION.write;
  if (!isTransfer || task.cdb[1]! >> 5 === 0) return null;
  const cdb = Uint8Array.from(task.cdb);
  cdb[1] = cdb[1]! & 0x1f;
  const bytes = Buffer.from(cdb).readUInt32BE(10) * 512;
  const reply = subject.emulated.unit.execute({ ...task, cdb, dataOut: task.dataOut.subarray(0, bytes) });
  const dataIn = new Uint8Array(task.dataInMax);
  dataIn.set(reply.dataIn.subarray(0, dataIn.length));
  return { ...reply, dataIn: operation(task) === OPERATION.read ? dataIn : reply.dataIn };
};

t.test('tuples no longer cross when a region is put back: none is sent', async (t) => {
  const subject = await Subject.make(t);
  const region = await claimRegion(subject.disk, RANGE);
  await subject.write(region);
  let told = false;
  const sent: number[] = [];
  subject.answer((task) => {
    if (operation(task) === OPERATION.write) sent.push(task.cdb[1]! >> 5);
    if (!told && operation(task) === OPERATION.readCapacity) {
      told = true;
      return condition(6, 0x3f, 0x01);
    }
    return told ? deaf(subject)(task) : null;
  });
  await region[Symbol.asyncDispose]();
  t.ok(sent.length > 0);
  t.same(
    sent.filter((protect) => protect !== 0),
    [],
    'no WRITE with tuples',
  );
});

t.test('a power cut between data and tuple, on a disk that is read checked alone', async (t) => {
  const subject = await Subject.make(t);
  const before = await subject.look();
  subject.answer(deaf(subject));
  const disk = await openInProcess(subject.emulated.identity.serial, subject.node);
  const { data: saved } = await disk.readMedium(104n, 1);
  const region = await claimRegion(disk, RANGE);
  const changed = pattern(512, 4711);
  t.match(await region.write('passthrough', 104n, changed), { kind: 'good' });
  const tuple = tuplesFor({ profile: disk.diskProfile!, blockSize: 512, lba: 104n }, changed);
  subject.emulated.unit.execute({
    cdb: encodeCdb('WRITE(16)', { lba: 104n, blocks: 1, protect: 3 }),
    dataOut: Buffer.concat([saved!, tuple]),
    dataInMax: 0,
  });
  t.match(await disk.readMedium(104n, 1), {
    data: null,
    answer: { kind: 'refused', check: 'guard' },
  });
  t.equal(await region.restore(), 'tuples regenerated');
  await region[Symbol.asyncDispose]();
  subject.answer(() => null);
  const data = (bytes: Buffer) => bytes.subarray(0, 256 * 512);
  t.same(data(await subject.look()), data(before));
  t.equal((await subject.disk.readMedium(104n, 1)).answer.kind, 'good');
});

t.test('a UNIT ATTENTION in the middle of a proof: it has lapsed when it is made', async (t) => {
  const subject = await Subject.make(t, { type: 3 });
  const transport = subject.emulated.transport({ writable: true });
  for (const lba of [120n, 240n]) {
    const cdb = encodeCdb('WRITE(16)', { lba, blocks: 16, protect: 3 });
    await transport.send({ cdb, direction: 'to-device', data: new Uint8Array(16 * 520) });
  }
  const disk = await openInProcess('fresh', subject.node);
  let told = false;
  subject.answer((task) => {
    const isMiddle = operation(task) === OPERATION.read && Buffer.from(task.cdb).readBigUInt64BE(2) === 124n;
    if (isMiddle && !told) {
      told = true;
      return condition(6, 0x3f, 0x01);
    }
    return told ? deaf(subject)(task) : null;
  });
  await disk.proof();
  t.ok(told);
  t.equal(await disk.tuplesCross(1), false);
});

t.test('a flush that is refused for another reason than that there is none', async (t) => {
  const subject = await Subject.make(t);
  for (const [asc, ascq, ends] of [
    [0x25, 0x00, 'rejects'],
    [0x24, 0x00, 'rejects'],
    [0x74, 0x71, 'rejects'],
    [0x20, 0x00, 'resolves'],
  ] as const) {
    const journal = join(t.testdir(), 'journal');
    const region = await claimRegion(subject.disk, RANGE, { journal });
    await subject.write(region);
    const isFlush = (task: Task) =>
      operation(task) === OPERATION.syncCache16 || operation(task) === OPERATION.syncCache10;
    subject.answer((task) => (isFlush(task) ? condition(5, asc, ascq) : null));
    await t[ends](region[Symbol.asyncDispose]());
    t.equal(existsSync(journal), ends === 'rejects');
    subject.answer(() => null);
  }
});

t.test('host-managed zones are not claimed', async (t) => {
  const subject = await Subject.make(t, { type: 0 });
  subject.answer((task) => {
    if (operation(task) !== OPERATION.inquiry || (task.cdb[1]! & 1) !== 0) return null;
    const reply = subject.emulated.unit.execute(task);
    const dataIn = Uint8Array.from(reply.dataIn);
    dataIn[0] = 0x14;
    return { ...reply, dataIn };
  });
  const disk = await openInProcess('zoned', subject.node);
  await t.rejects(claimRegion(disk, RANGE), { code: 'ERR_NOT_A_DISK', message: /zones/ });
});
