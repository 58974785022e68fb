/**
 * What this package writes to a disk whose tuples cross SG_IO, through the safeguard: accepted, refused, spoilt on purpose, and put
 * back. The same cases for a disk in this process and for one of the kernel.
 */
import { randomFillSync } from 'node:crypto';
import {
  claimRegion,
  crosscheck,
  type Disk,
  defaultEngine,
  type EmulatedDisk,
  encodeCdb,
  prove,
  writeCheck,
} from 'blk-integrity';
import type { Test } from 'tap';
import { interleave } from '../../lib/pi/interleave.js';
import { sameBytes } from './same-bytes.js';

/** A disk, and the way around the safeguard to look at it and to be somebody else. */
interface Subject {
  readonly disk: Disk;
  readonly emulated: EmulatedDisk;
}

const RANGE = { lba: 1000n, blocks: 8 };
/** More than one transfer carries. */
const LARGE = { lba: 2000n, blocks: 700 };

export async function interleavedWrites(t: Test, subject: Subject): Promise<void> {
  for (const [name, test] of [
    ['what is right is taken', taken],
    ['what is wrong is refused, and stored when nobody checks', refused],
    ['a plain write makes new tuples, and the old ones come back', plain],
    ['by hand: what cannot be sent is not', notSent],
    ['a region of several transfers', large],
    ['a block that somebody else wrote', foreign],
    ['a block that cannot be put back', oneFails],
    ['UNIT ATTENTION at the write', attention],
    ['crosscheck --write', checked],
    ['prove', proved],
    ['formatted anew meanwhile', formatted],
  ] as const) {
    await t.test(name, async (t) => {
      await fill(subject);
      await test(t, subject);
    });
  }
}

const strideOf = ({ diskProfile }: Disk) => diskProfile!.interval + 8;
const perBlock = ({ blockSize, diskProfile }: Disk) => blockSize / diskProfile!.interval;

/** Data and its tuples, with application tags of the initiator's. */
function blocksOf(disk: Disk, lba: bigint, blocks: number): { data: Uint8Array; tuples: Uint8Array } {
  const data = randomFillSync(new Uint8Array(blocks * disk.blockSize));
  const seed = lba * BigInt(perBlock(disk));
  const options = { profile: disk.diskProfile!, layout: 'separate', seed, appTag: 0x1234 } as const;
  return { data, tuples: defaultEngine().generate(data, { ...options, type3Ref: 'zero' }) };
}

/** Random data under right tuples, sent around the safeguard. */
async function fill({ disk, emulated }: Subject): Promise<void> {
  for (const { lba, blocks } of [RANGE, LARGE]) {
    const { data, tuples } = blocksOf(disk, lba, blocks);
    await put({ disk, emulated }, lba, data, tuples);
  }
}

async function put(
  { disk, emulated }: Subject,
  lba: bigint,
  data: Uint8Array,
  tuples: Uint8Array,
): Promise<void> {
  const { interval } = disk.diskProfile!;
  const bytes = new Uint8Array(data.length + tuples.length);
  interleave(bytes, data, tuples, interval, 8);
  await command(
    { disk, emulated },
    'WRITE',
    { lba, blocks: data.length / disk.blockSize, protect: 3 },
    bytes,
  );
}

/** All bytes of the blocks as they lie there, tuples too. */
async function look(subject: Subject, { lba, blocks }: { lba: bigint; blocks: number }): Promise<Buffer> {
  const bytes = new Uint8Array(blocks * perBlock(subject.disk) * strideOf(subject.disk));
  await command(subject, 'READ', { lba, blocks, protect: 3 }, bytes);
  return Buffer.from(bytes);
}

async function command(
  { disk, emulated }: Subject,
  verb: 'READ' | 'WRITE',
  fields: { lba: bigint; blocks: number; protect: number },
  data: Uint8Array,
): Promise<void> {
  const size = disk.diskProfile!.type === 2 ? 32 : 16;
  const { outcome } = await emulated.transport({ writable: true }).send({
    cdb: encodeCdb(`${verb}(${size})`, fields),
    direction: verb === 'READ' ? 'from-device' : 'to-device',
    data,
  });
  if (outcome.kind !== 'good') throw new Error(`${verb}: ${JSON.stringify(outcome)}`);
}

const same = (a: Uint8Array | null, b: Uint8Array) => a !== null && Buffer.compare(a, b) === 0;

const written = ({ emulated }: Subject) =>
  Object.entries(emulated.stats().byCommand).reduce(
    (sum, [name, count]) => sum + (name.startsWith('WRITE') ? count : 0),
    0,
  );

async function taken(t: Test, subject: Subject): Promise<void> {
  const { disk } = subject;
  const before = await look(subject, RANGE);
  {
    await using region = await claimRegion(disk, RANGE);
    const { data, tuples } = blocksOf(disk, 1002n, 3);
    t.same(await region.write('passthrough', 1002n, data, tuples), { kind: 'good' });
    const now = await disk.read('passthrough', 1002n, 3);
    t.same(now.answer, { kind: 'good' });
    t.ok(same(now.data, data) && same(now.tuples, tuples), 'read as it was written');
    const { interval } = disk.diskProfile!;
    t.ok(same(region.savedTuples()!.subarray(0, 8), before.subarray(interval, interval + 8)));
    t.equal(await region.restore(), 'exact');
    sameBytes(t, await look(subject, RANGE), before);
    await region.write('passthrough', 1002n, data, tuples);
  }
  sameBytes(t, await look(subject, RANGE), before, 'tuples too, application tags included');
}

async function refused(t: Test, subject: Subject): Promise<void> {
  const { disk } = subject;
  const before = await look(subject, RANGE);
  const type3 = disk.diskProfile!.type === 3;
  await using region = await claimRegion(disk, RANGE);
  for (const [at, check] of [
    [0, 'guard'],
    [7, 'ref'],
  ] as const) {
    const { data, tuples } = blocksOf(disk, 1004n, 2);
    tuples[perBlock(disk) * 8 + at]! ^= 1;
    const answer = await region.write('passthrough', 1004n, data, tuples);
    if (type3 && check === 'ref') {
      t.match(answer, { kind: 'good' }, 'type 3 has no reference tag to check');
      await region.restore();
      continue;
    }
    t.match(answer, { kind: 'refused', checker: 'device', check, text: /LBA 1005/ }, `a wrong ${check} tag`);
    sameBytes(t, await look(subject, RANGE), before, 'and nothing is stored');
    t.same(await region.write('passthrough', 1004n, data, tuples, { checked: false }), { kind: 'good' });
    const read = await disk.read('passthrough', 1005n, 1);
    t.match(read.answer, { kind: 'refused', checker: 'device', check }, 'stored, and refused on reading');
    t.ok(same(read.tuples, tuples.subarray(perBlock(disk) * 8)), 'with what was refused');
    t.equal(await region.restore(), 'exact');
  }
  sameBytes(t, await look(subject, RANGE), before);
}

async function plain(t: Test, subject: Subject): Promise<void> {
  const { disk } = subject;
  const before = await look(subject, RANGE);
  await using region = await claimRegion(disk, RANGE);
  t.same(await region.write('passthrough', 1000n, new Uint8Array(disk.blockSize).fill(7)), { kind: 'good' });
  t.not(Buffer.compare(await look(subject, RANGE), before), 0);
  t.equal(await region.restore(), 'exact');
  sameBytes(t, await look(subject, RANGE), before);
}

async function notSent(t: Test, subject: Subject): Promise<void> {
  const { disk } = subject;
  const { data, tuples } = blocksOf(disk, 1000n, 1);
  await using region = await claimRegion(disk, RANGE);
  const before = written(subject);
  await t.rejects(region.write('passthrough', 1008n, data, tuples), { code: 'ERR_OUT_OF_RANGE' });
  await t.rejects(region.write('passthrough', 999n, data, tuples), { code: 'ERR_OUT_OF_RANGE' });
  await t.rejects(region.write('passthrough', 1000n, data, tuples.subarray(1)), { code: 'ERR_BAD_LENGTH' });
  await t.rejects(region.write('passthrough', 1000n, data, new Uint8Array(0)), { code: 'ERR_BAD_LENGTH' });
  await t.rejects(region.write('passthrough', 1000n, data, undefined, { checked: false }), {
    code: 'ERR_USAGE',
  });
  await t.rejects(region.write('block', 1000n, data), { code: 'ERR_NO_PATH' });
  await t.rejects(claimRegion(disk, { lba: 1000n, blocks: 1 }), { code: 'ERR_BUSY' }, 'held once');
  t.equal(written(subject), before);
}

async function large(t: Test, subject: Subject): Promise<void> {
  const { disk } = subject;
  const before = await look(subject, LARGE);
  await using region = await claimRegion(disk, LARGE);
  for (let at = 0; at < LARGE.blocks; at += 100) {
    const lba = LARGE.lba + BigInt(at);
    const { data, tuples } = blocksOf(disk, lba, 100);
    t.same(await region.write('passthrough', lba, data, tuples), { kind: 'good' });
  }
  t.equal(await region.restore(), 'exact');
  sameBytes(t, await look(subject, LARGE), before);
}

async function foreign(t: Test, subject: Subject): Promise<void> {
  const { disk } = subject;
  const region = await claimRegion(disk, RANGE);
  const mine = blocksOf(disk, 1000n, 2);
  await region.write('passthrough', 1000n, mine.data, mine.tuples);
  const theirs = blocksOf(disk, 1001n, 1);
  await put(subject, 1001n, theirs.data, theirs.tuples);
  await t.rejects(region.restore(), { code: 'ERR_RESTORE', message: /block 1001 .*somebody else/ });
  const { data } = await disk.readMedium(1001n, 1);
  t.ok(same(data, theirs.data), 'theirs is left');
  await region.keep();
  await region[Symbol.asyncDispose]();
}

async function oneFails(t: Test, subject: Subject): Promise<void> {
  const { disk, emulated } = subject;
  const before = await look(subject, RANGE);
  const region = await claimRegion(disk, RANGE);
  for (const lba of [1001n, 1006n]) {
    const { data, tuples } = blocksOf(disk, lba, 1);
    await region.write('passthrough', lba, data, tuples);
  }
  const { id } = emulated.addFault({ kind: 'write-error', lba: 1001n, blocks: 1n });
  await t.rejects(region.restore(), { code: 'ERR_RESTORE', message: /1001 \(1\)/ });
  t.same(
    await look(subject, { lba: 1006n, blocks: 1 }),
    before.subarray((6 * before.length) / 8, (7 * before.length) / 8),
  );
  emulated.removeFault(id);
  await region[Symbol.asyncDispose]();
  sameBytes(t, await look(subject, RANGE), before, 'and it, when the disk writes again');
}

/** The disk may be another by then: the write is not sent a second time, and the next one proves anew that tuples cross. */
async function attention(t: Test, subject: Subject): Promise<void> {
  const { disk, emulated } = subject;
  const before = await look(subject, RANGE);
  await using region = await claimRegion(disk, RANGE);
  const { data, tuples } = blocksOf(disk, 1003n, 1);
  const proof = await disk.proof();
  const sent = written(subject);
  emulated.addFault({ kind: 'unit-attention', on: 'write', lba: 1003n, blocks: 1n, times: 1 });
  t.match(await region.write('passthrough', 1003n, data, tuples), {
    kind: 'failed',
    error: { message: /06h\/29h/ },
  });
  t.equal(written(subject), sent + 1);
  sameBytes(t, await look(subject, RANGE), before);
  t.same(await region.write('passthrough', 1003n, data, tuples), { kind: 'good' });
  t.not(await disk.proof(), proof, 'proved anew');
}

async function checked(t: Test, subject: Subject): Promise<void> {
  const { disk, emulated } = subject;
  const before = await look(subject, LARGE);
  const good = await writeCheck(disk, LARGE);
  t.match(good, {
    findings: [],
    written: { paths: [{ path: 'passthrough', tuplesCompared: true }], restored: 'exact' },
  });
  sameBytes(t, await look(subject, LARGE), before);
  const { id } = emulated.addFault({ kind: 'app', on: 'write', lba: 2005n, blocks: 1n, times: 1 });
  const { findings } = await writeCheck(disk, { lba: 2000n, blocks: 16 });
  t.match(findings, [
    { kind: 'write-differs', lba: 2005, path: 'passthrough', text: /the tuple on the medium/ },
  ]);
  t.equal(findings.length, 1, 'one bit of one tuple');
  t.throws(() => emulated.removeFault(id), 'it struck');
  sameBytes(t, await look(subject, LARGE), before);
}

async function proved(t: Test, subject: Subject): Promise<void> {
  const { disk, emulated } = subject;
  const before = await look(subject, RANGE);
  const caught = await prove(disk, { lba: 1003n });
  t.match(caught, { outcome: 'caught', path: 'passthrough', restored: 'exact' });
  t.same(caught.noticed, ['software by passthrough', 'device by passthrough']);
  const { id } = emulated.addFault({ kind: 'unchecked', on: 'read' });
  const delivered = await prove(disk, { lba: 1003n });
  t.match(delivered, { outcome: 'delivered', restored: 'exact', noticed: ['software by passthrough'] });
  t.ok(delivered.findings.some(({ kind, checker }) => kind === 'silent' && checker === 'device'));
  emulated.removeFault(id);
  sameBytes(t, await look(subject, RANGE), before);
  t.same((await crosscheck(disk, { ranges: [{ ...RANGE }] })).findings, []);
}

/** The last: afterwards it is another disk. */
async function formatted(t: Test, subject: Subject): Promise<void> {
  const { disk, emulated } = subject;
  await using region = await claimRegion(disk, RANGE);
  const { data, tuples } = blocksOf(disk, 1000n, 1);
  const cdb = encodeCdb('FORMAT UNIT', {});
  await emulated.transport({ writable: true }).send({ cdb, direction: 'none', data: null });
  const sent = written(subject);
  await t.rejects(region.write('passthrough', 1000n, data, tuples), {
    code: 'ERR_NOT_OURS',
    message: /formatted anew/,
  });
  t.equal(written(subject), sent, 'nothing is sent to what it is now');
}
