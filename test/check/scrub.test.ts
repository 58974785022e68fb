import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { SgRequest, SgResult } from '../../src/binding.js';
import { type ScrubOptions, scrub } from '../../src/check/scrub.js';
import type { Disk } from '../../src/device/disk.js';
import { ERRNO, errnoError, errnoName } from '../../src/device/errno.js';
import { openInProcess } from '../../src/device/in-process.js';
import { PROOF_BLOCKS } from '../../src/device/proof.js';
import { IntegrityError } from '../../src/errors.js';
import type { ScrubCounts, ScrubFinding, ScrubReport } from '../../src/report/model.js';
import { EmulatedDisk, type EmulatedDiskOptions } from '../../src/testbed/disk/emulated-disk.js';
import { InProcessNode } from '../../src/testbed/disk/in-process.js';
import type { FaultSpec } from '../../src/testbed/disk/model/faults.js';
import { BLOCK, fakeDisk, goodReader, type Reader } from '../support/disk.js';
import { FilledDisk } from '../support/filled-disk.js';

const BLOCKS = 4096;
const READ_16 = 0x88;
const filled = (options: EmulatedDiskOptions = {}, queueDepth = 1) =>
  FilledDisk.make({ blocks: BLOCKS, ...options }, { queueDepth });

/** The counts that are not 0. */
const told = ({ counts }: ScrubReport) =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0)) as Partial<ScrubCounts>;

const places = ({ findings }: ScrubReport) =>
  findings.map(({ kind, lba, blocks, check }) => [kind, lba, blocks, check]);

const flipData = (block: Uint8Array) => {
  block[77]! ^= 0x10;
};
const flipGuard = (block: Uint8Array) => {
  block[512]! ^= 0x01;
};
const flipRef = (block: Uint8Array) => {
  block[519]! ^= 0x04;
};
const escapeAll = (block: Uint8Array) => block.fill(0xff, 512, 520);

t.test('a good disk: every interval is judged, nothing is found', async (t) => {
  for (const type of [1, 2, 3] as const) {
    await using subject = await filled({ type }, 4);
    const report = await scrub(subject.disk);
    t.match(report, {
      checker: 'software',
      path: 'passthrough',
      by: 'READ with RDPROTECT 001b',
      notSoftware: null,
      ended: 'finished',
      planned: BLOCKS,
      done: BLOCKS,
      next: null,
      checked: BLOCKS,
    });
    t.same(report.findings, []);
    t.same(report.checks, type === 3 ? ['guard'] : ['guard', 'ref'], `type ${type}`);
    t.same(told(report), { ok: BLOCKS });
  }
});

t.test('faults at known places: each is found, none is invented', async (t) => {
  for (const queueDepth of [1, 7]) {
    await using subject = await filled({}, queueDepth);
    await subject.change(0, flipData);
    await subject.change(455, flipGuard);
    for (let lba = 1000; lba < 1900; lba++) await subject.change(lba, flipRef);
    await subject.change(2000, flipData);
    await subject.change(2002, flipData);
    await subject.change(BLOCKS - 1, flipGuard);
    for (const lba of [9, 10, 3000]) await subject.change(lba, escapeAll);
    const report = await scrub(subject.disk);
    t.same(places(report), [
      ['mismatch', 0, 1, 'guard'],
      ['mismatch', 455, 1, 'guard'],
      ['mismatch', 1000, 900, 'ref'],
      ['mismatch', 2000, 1, 'guard'],
      ['mismatch', 2002, 1, 'guard'],
      ['mismatch', BLOCKS - 1, 1, 'guard'],
    ]);
    t.same(told(report), { ok: BLOCKS - 905 - 3, bad: 905, escaped: 3 });
    t.equal(report.checked, BLOCKS - 3);
    const [data, , ref] = report.findings as [ScrubFinding, ScrubFinding, ScrubFinding];
    t.match(data, {
      intervals: 1,
      stored: Number,
      computed: Number,
      diagnosis: { kind: 'stale', alsoFits: ['bit-flip'] },
    });
    t.match(ref, { intervals: 900, stored: 1000 ^ 4, computed: 1000 });
  }
});

t.test('type 3 has guards alone, type 2 its own commands', async (t) => {
  for (const type of [2, 3] as const) {
    await using subject = await filled({ type });
    await subject.change(700, flipData);
    await subject.change(701, flipRef);
    const report = await scrub(subject.disk);
    const found = [['mismatch', 700, 1, 'guard']];
    t.same(places(report), type === 3 ? found : [...found, ['mismatch', 701, 1, 'ref']]);
  }
});

t.test('several tuples a block', async (t) => {
  await using subject = await filled({ type: 2, blockSize: 4096, intervalExponent: 3, blocks: 512 });
  await subject.change(33, (block) => {
    block[2 * 520 + 5]! ^= 1;
    block[3 * 520 + 5]! ^= 1;
    block.fill(0xff, 8 * 520 - 8);
  });
  const report = await scrub(subject.disk);
  t.same(places(report), [['mismatch', 33, 1, 'guard']]);
  t.equal(report.findings[0]?.intervals, 2);
  t.same(told(report), { ok: 512 * 8 - 3, bad: 2, escaped: 1 });
});

t.test('a disk that does not check: the software sees what it delivers', async (t) => {
  await using subject = await filled({ checks: { guard: false, app: false, ref: false } });
  await subject.change(1234, flipData);
  await subject.change(1235, flipData);
  const report = await scrub(subject.disk);
  t.same(places(report), [['mismatch', 1234, 2, 'guard']]);
  t.same(told(report), { ok: BLOCKS - 2, bad: 2 });
});

t.test('blocks that cannot be read are named, and the scrub goes on', async (t) => {
  await using subject = await filled();
  await subject.change(301, flipData);
  await subject.change(303, flipData);
  subject.emulated.addFault({ kind: 'medium-error', lba: 300n, blocks: 3n });
  subject.emulated.addFault({ kind: 'medium-error', lba: 900n, blocks: 1n });
  const report = await scrub(subject.disk);
  t.same(places(report), [
    ['read-error', 300, 3, null],
    ['mismatch', 303, 1, 'guard'],
    ['read-error', 900, 1, null],
  ]);
  t.match(report.findings[0]?.text, /03h\/11h\/00h|MEDIUM ERROR/);
  t.same(told(report), { ok: BLOCKS - 5, bad: 1, unreadable: 4 });
});

t.test('of a block that an answer names only few reads are bad ones', async (t) => {
  const UNREADABLE = '03h/11h/00h';
  const failed = async (...faults: readonly FaultSpec[]) => {
    await using subject = await filled();
    for (const lba of [300n, 305n, 310n]) {
      subject.emulated.addFault({ kind: 'medium-error', lba, blocks: 1n });
    }
    for (const fault of faults) subject.emulated.addFault(fault);
    const report = await scrub(subject.disk);
    t.same(
      places(report),
      [300, 305, 310].map((lba) => ['read-error', lba, 1, null]),
    );
    t.equal(report.counts.unreadable, 3);
    t.equal(report.counts.ok + report.counts.unchecked, BLOCKS - 3);
    return subject.emulated.stats().bySense[UNREADABLE]!;
  };
  t.equal(await failed(), 4 * 3, 'by READ');
  t.equal(await failed({ kind: 'strip-pi' }), 4 * 3, 'by VERIFY');
  const unnamed = await failed({ kind: 'wrong-information', distance: 10_000n });
  t.ok(unnamed > 30, `${unnamed} where none of these blocks is named`);
  await failed({ kind: 'wrong-information', distance: -1n });
});

t.test('a disk that names a block that can be read is not heeded again', async (t) => {
  await using subject = await filled();
  for (const lba of [300n, 305n, 310n]) subject.emulated.addFault({ kind: 'medium-error', lba, blocks: 1n });
  subject.emulated.addFault({ kind: 'wrong-information', distance: 1n });
  const node = new InProcessNode(subject.emulated.unit).open();
  const single: number[] = [];
  const sgIo = (request: SgRequest): Promise<SgResult> => {
    const cdb = Buffer.from(request.cdb);
    if (cdb[0] === READ_16 && cdb.readUInt32BE(10) === 1) single.push(cdb.readUInt32BE(6));
    return node.sgIo(request);
  };
  await using disk = await openInProcess('misleading', { open: () => ({ close: async () => {}, sgIo }) });
  t.same(told(await scrub(disk)), { ok: BLOCKS - 3, unreadable: 3 });
  const timesAlone = (lba: number) => single.filter((one) => one === lba).length;
  t.ok(timesAlone(301) > 1, 'the first is looked at');
  for (const lba of [306, 311]) t.ok(timesAlone(lba) <= 1, `${lba} by halves alone`);
});

t.test('what the disk refuses and the software finds right', async (t) => {
  await using subject = await filled();
  subject.emulated.addFault({ kind: 'guard', lba: 50n, blocks: 1n, on: 'read', place: 'wire', times: 1 });
  const transients: unknown[] = [];
  const once = await scrub(subject.disk, { onTransient: (one) => transients.push(one) });
  t.same(told(once), { ok: BLOCKS, transient: 1 }, 'wrong once is no finding, and is told');
  t.same(once.transients, [{ lba: 0, blocks: subject.disk.transferBlocksMax, bad: 1 }]);
  t.same(transients, once.transients);
  t.same(once.findings, []);
});

t.test('what is wrong once, whatever it is, is told', async (t) => {
  await using subject = await filled({ checks: { guard: false, app: false, ref: false } });
  for (const fault of [
    { kind: 'guard', lba: 50n, blocks: 1n, on: 'read', place: 'wire', times: 1 },
    { kind: 'medium-error', lba: 50n, blocks: 1n, times: 1 },
  ] as const) {
    subject.emulated.addFault(fault);
    const report = await scrub(subject.disk);
    t.same(told(report), { ok: BLOCKS, transient: 1 }, fault.kind);
    const bad = fault.kind === 'guard' ? 1 : null;
    t.same(report.transients, [{ lba: 0, blocks: subject.disk.transferBlocksMax, bad }]);
  }
  subject.emulated.addFault({ kind: 'busy', times: 1 });
  subject.emulated.addFault({ kind: 'unit-attention', times: 1 });
  t.same(told(await scrub(subject.disk)), { ok: BLOCKS }, 'what says nothing of a block is not');
  await subject.change(50, flipGuard);
  t.match(told(await scrub(subject.disk)), { ok: BLOCKS - 1, bad: 1, transient: undefined });
});

t.test('a UNIT ATTENTION ends the proof; it is made anew and nothing is lost', async (t) => {
  await using subject = await filled({}, 4);
  await subject.change(2345, flipData);
  subject.emulated.addFault({ kind: 'unit-attention', oneIn: 5, times: 4 });
  subject.emulated.addFault({ kind: 'busy', oneIn: 5, times: 4 });
  const report = await scrub(subject.disk);
  t.same(places(report), [['mismatch', 2345, 1, 'guard']]);
  t.same(told(report), { ok: BLOCKS - 1, bad: 1 });
});

t.test('tuples that do not come are never judged; what was before them counts', async (t) => {
  for (const queueDepth of [1, 4]) {
    await using subject = await filled({}, queueDepth);
    await subject.disk.proof();
    subject.emulated.addFault({ kind: 'strip-pi', lba: 1000n, blocks: 1n });
    const report = await scrub(subject.disk);
    t.match(report, { ended: 'failed', reason: /\d+ bytes were not transferred/ });
    t.notOk(
      report.findings.some(({ kind }) => kind === 'mismatch'),
      'no tuple, no mismatch',
    );
    t.ok((told(report).ok ?? 0) < BLOCKS);
    t.equal(report.done, 2 * subject.disk.transferBlocksMax);
  }
});

t.test('interrupted: what was judged by then counts, and what was under way', async (t) => {
  await using subject = await filled({}, 4);
  const controller = new AbortController();
  const { signal } = controller;
  const report = await scrub(subject.disk, { signal, onProgress: () => controller.abort() });
  t.match(report, { ended: 'interrupted', done: (1 + 3) * subject.disk.transferBlocksMax });
  t.same(told(report), { ok: report.done });
});

t.test('nothing more can be sent: what is done is told', async (t) => {
  await using subject = await filled();
  await subject.disk.proof();
  subject.emulated.addFault({ kind: 'unit-attention', lba: 2048n, blocks: 1n });
  const gone = await scrub(subject.disk);
  t.match(gone, { ended: 'failed', reason: /POWER ON|06h/, next: Number });
  t.equal(told(gone).ok, gone.done);
  t.ok(gone.done <= 2048 && gone.done > 1000);
});

t.test('nobody checks: that is an error, not a pass', async (t) => {
  await using subject = await EmulatedDisk.create({ type: 0, blocks: BLOCKS });
  await using disk = await subject.open();
  await t.rejects(scrub(disk), {
    code: 'ERR_NO_PATH',
    message: /nobody can check.*formatted without protection/,
  });
});

t.test('a disk whose tuples do not cross: by its own VERIFY', async (t) => {
  for (const type of [1, 2] as const) {
    await using subject = await filled({ type });
    await subject.change(777, flipData);
    subject.emulated.addFault({ kind: 'strip-pi' });
    const report = await scrub(subject.disk);
    t.match(report, {
      checker: 'device',
      path: 'passthrough',
      by: `VERIFY(${type === 2 ? 32 : 16}) with VRPROTECT 001b`,
      notSoftware: /^passthrough: accepts RDPROTECT, transfers no tuples/,
      findings: [{ kind: 'refused', lba: 777, blocks: 1, checker: 'device', check: 'guard', stored: null }],
      findingsOmitted: 0,
      // What the disk let pass is its word alone.
      checked: 1,
    });
    t.same(told(report), { unchecked: BLOCKS, passed: BLOCKS - 1, refused: 1 });
    t.equal(subject.emulated.stats().bySense['0Bh/10h/01h'], 4, 'it names the block');
  }
});

t.test('a refusal may name the first block', async (t) => {
  await using subject = await filled();
  await subject.change(0, flipData);
  subject.emulated.addFault({ kind: 'strip-pi' });
  t.same(told(await scrub(subject.disk)), { unchecked: BLOCKS, passed: BLOCKS - 1, refused: 1 });
  // Three of them by the proof, which begins there.
  t.equal(subject.emulated.stats().bySense['0Bh/10h/01h'], 4 + 3);
});

/** A fake disk's fast looks, made of its reads. */
function looking(reader: Reader, paths?: Parameters<typeof fakeDisk>[1]): Disk {
  const disk = fakeDisk(reader, paths);
  const perfect = (lba: bigint, blocks: number, path: 'block-pi' | 'block') =>
    reader(path, lba, blocks).answer.kind === 'good';
  return {
    ...disk,
    queueDepth: 1,
    isSame: async () => true,
    requireRange: () => {},
    requireOnDisk: () => {},
    profileBy: () => disk.profile,
    noBlockPi: null,
    transport: null,
    judge: async (_: string, __: bigint, blocks: number) => ({
      blocks: Math.min(blocks, disk.transferBlocksMax),
      verdict: null,
      wrong: false,
    }),
    readThrough: async (lba: bigint, blocks: number) => {
      const transfer = Math.min(blocks, disk.transferBlocksMax);
      return perfect(lba, transfer, 'block') ? transfer : 0;
    },
  } as unknown as Disk;
}

const TRANSFER = 8;

type OnJob = (lba: bigint, blocks: number) => void;

/** A good disk on which a transfer takes so many milliseconds of the test's clock; `onJob` is told what each job is asked for. */
function timedDisk(t: Test, queueDepth: number, ms: number, onJob: OnJob = () => {}) {
  let clock = 0;
  t.intercept(performance, 'now', { value: () => clock });
  return Object.assign(looking(goodReader), {
    queueDepth,
    transferBlocksMax: TRANSFER,
    judge: async (_: string, lba: bigint, blocks: number) => {
      onJob(lba, blocks);
      clock += Math.ceil(blocks / TRANSFER) * ms;
      return { blocks, verdict: { checked: blocks, escaped: 0, bad: 0, badIntervals: [] }, wrong: false };
    },
  });
}

/** How many transfers each job is asked for. */
async function lengthsOfJobs(t: Test, transfers: number, depth: number, ms: number): Promise<number[]> {
  const asked: { lba: bigint; blocks: number }[] = [];
  const disk = timedDisk(t, depth, ms, (lba, blocks) => asked.push({ lba, blocks }));
  const range = { lba: 0n, blocks: transfers * TRANSFER - 3 };
  t.match(await scrub(disk, { range }), { ended: 'finished', done: range.blocks, findings: [] });
  let end = 0n;
  for (const { lba, blocks } of asked) {
    t.equal(lba, end);
    end += BigInt(blocks);
  }
  t.equal(end, BigInt(range.blocks));
  return asked.map(({ blocks }) => Math.ceil(blocks / TRANSFER));
}

t.test('several transfers are one job, and few in the end, so that all jobs end together', async (t) => {
  const depth = 4;
  const lengths = await lengthsOfJobs(t, 2000, depth, 1);
  t.same(lengths.slice(0, depth + 1), [4, 4, 4, 4, 8]);
  t.same([...new Set(lengths.slice(10, 40))], [32]);
  t.same(lengths.slice(-depth, -1), [4, 4, 4]);
  for (const [i, length] of lengths.entries()) {
    const left = lengths.slice(i).reduce((sum, one) => sum + one, 0);
    t.ok(length <= 4 || length * depth <= left, `${length} of ${left}`);
  }
});

t.test('of a slow disk they are as many as take three quarters of a second, and one at least', async (t) => {
  t.same([...new Set((await lengthsOfJobs(t, 1000, 1, 70)).slice(2, 60))], [10]);
  t.same([...new Set((await lengthsOfJobs(t, 200, 1, 5_000)).slice(1))], [1]);
});

t.test('of a range of few transfers each of the jobs has several', async (t) => {
  t.same(await lengthsOfJobs(t, 16, 2, 1), Array(16).fill(1));
});

t.test('where the disk becomes slow, progress is told of each transfer', async (t) => {
  const slowFrom = 200n * BigInt(TRANSFER);
  const disk = timedDisk(t, 2, 1);
  const { judge } = disk;
  disk.judge = async (path, lba, blocks) =>
    lba < slowFrom
      ? judge(path, lba, blocks)
      : ({ blocks: Math.min(TRANSFER, blocks), verdict: null, wrong: true } as never);
  const told: number[] = [];
  await scrub(disk, {
    range: { lba: 0n, blocks: 300 * TRANSFER },
    onProgress: ({ done }) => void told.push(done),
  });
  const slow = told.filter((done) => done > Number(slowFrom) + 32 * TRANSFER);
  t.ok(slow.length > 60, `${slow.length}`);
  for (const [i, done] of slow.entries()) if (i > 0) t.equal(done - slow[i - 1]!, TRANSFER);
});

t.test('who is told of a finding may throw: nothing is counted twice', async (t) => {
  await using disk = await filled();
  const bad = [100, 300, 500, 700];
  for (const lba of bad) await disk.change(lba, (block) => block.fill(1, 0, 4));
  let clock = 0;
  t.intercept(performance, 'now', { value: () => (clock += 300) });
  let told = 0;
  const report = await scrub(disk.disk, {
    onFinding: () => {
      if (++told === 2) throw new IntegrityError('ERR_IO', 'the disk of findings is full');
    },
  });
  t.match(report, { ended: 'failed', reason: 'the disk of findings is full' });
  const counted = Object.values(report.counts).reduce((sum, one) => sum + one, 0);
  t.equal(counted, report.done);
  t.ok(report.done < BLOCKS, `${report.done}`);
  t.equal(new Set(places(report).map(String)).size, report.findings.length);
});

t.test('blocks that do not stand still are counted as changing, and are no findings', async (t) => {
  let reads = 0;
  const reader: Reader = (path, lba, blocks) => {
    const read = goodReader(path, lba, blocks);
    if (path === 'block-pi' && lba <= 117n && lba + BigInt(blocks) > 117n)
      read.data!.fill(++reads, Number(117n - lba) * BLOCK, Number(118n - lba) * BLOCK);
    return read;
  };
  const report = await scrub(looking(reader));
  t.same(told(report), { ok: 1023, changing: 1 });
  t.same(report.findings, []);
});

t.test('blocks that no path can read are one finding', async (t) => {
  const error = new IntegrityError('ERR_IO', '/dev/sdx: EIO');
  const reader: Reader = (path, lba, blocks) =>
    lba <= 302n && lba + BigInt(blocks) > 300n
      ? { lba, blocks, data: null, tuples: null, answer: { kind: 'failed', error } }
      : goodReader(path, lba, blocks);
  const report = await scrub(looking(reader));
  t.same(places(report), [['read-error', 300, 3, null]]);
  t.match(report.findings[0], { path: 'block-pi' });
  t.same(told(report), { ok: 1021, unreadable: 3 });
});

t.test("an errno that is of no block ends the scrub, and is no block's read-error", async (t) => {
  const [EBADE, EREMOTEIO] = [52, 121];
  const { EIO, ENODATA, EILSEQ, ENOLINK, ENOMEM, EINVAL, EOPNOTSUPP, ENOSPC } = ERRNO;
  const failing = (errno: number) => {
    const seen = { reads: 0 };
    const reader: Reader = (path, lba, blocks) => {
      const error = errnoError(errno, 'read', '/dev/sdx');
      if (lba > 302n || lba + BigInt(blocks) <= 300n) return goodReader(path, lba, blocks);
      seen.reads++;
      return { lba, blocks, data: null, tuples: null, answer: { kind: 'failed', error } };
    };
    return { reader, seen };
  };
  for (const errno of [EIO, ENODATA, EILSEQ, EREMOTEIO]) {
    const report = await scrub(looking(failing(errno).reader));
    t.equal(report.ended, 'finished', `${errno}`);
    t.same(places(report), [['read-error', 300, 3, null]], `${errno}`);
  }
  for (const errno of [ENOLINK, EBADE, ENOMEM, EINVAL, EOPNOTSUPP, ENOSPC]) {
    const { reader, seen } = failing(errno);
    const report = await scrub(looking(reader));
    t.match(report, { ended: 'failed', reason: `/dev/sdx: read: ${errnoName(errno)}`, findings: [] });
    t.equal(report.done, 288, 'what was before it counts');
    t.equal(seen.reads, 1, 'it is not read in halves');
    const byKernel = await scrub(looking(reader, ['passthrough', 'block']));
    t.match(byKernel, { checker: 'kernel', ended: 'failed', findings: [], counts: { unreadable: 0 } });
  }
});

t.test('the kernel alone: its word, which is none of the software', async (t) => {
  const bad = 200n;
  const reader: Reader = (path, lba, blocks) => {
    const read = goodReader(path, lba, blocks);
    if (path !== 'block' || bad < lba || bad >= lba + BigInt(blocks)) return read;
    const answer = {
      kind: 'refused',
      checker: 'kernel',
      check: 'guard',
      text: 'EILSEQ',
      tags: { stored: 1, computed: 2 },
    };
    return { ...read, data: null, answer: answer as typeof read.answer };
  };
  const disk = looking(reader, ['passthrough', 'block']);
  const report = await scrub(disk);
  t.match(report, {
    checker: 'kernel',
    path: 'block',
    by: 'reads through the block layer',
    notSoftware: /^passthrough: accepts RDPROTECT/,
    checked: 1024,
    findings: [{ kind: 'refused', lba: 200, checker: 'kernel', check: 'guard', stored: 1, computed: 2 }],
  });
  t.same(told(report), { unchecked: 1024, passed: 1023, refused: 1 });

  let looks = 0;
  const switching = looking(
    (...asked) => {
      looks++;
      return goodReader(...asked);
    },
    ['block'],
  );
  Object.assign(switching, {
    sysfsNow: async () => ({ integrity: { ...disk.sysfs.integrity, readVerify: looks < 30 } }),
  });
  t.match(await scrub(switching), {
    ended: 'failed',
    reason: /readVerify was true and is false/,
    done: 0,
    checked: 0,
  });
});

t.test('a sample: so much of the disk, the same for the same seed', async (t) => {
  await using subject = await filled();
  const sampled = (sample: ScrubOptions['sample']) => scrub(subject.disk, { sample });
  const some = await sampled({ percent: 25, seed: 7 });
  t.equal(some.done, some.planned);
  t.ok(some.done >= BLOCKS / 4 && some.done < BLOCKS / 2, `${some.done}`);
  t.same(told(some), { ok: some.done });
  t.match(some, { sample: { percent: 25, seed: 7 }, blocks: BLOCKS });
  t.equal((await sampled({ percent: 100, seed: 7 })).done, BLOCKS);
  await t.rejects(sampled({ percent: 0, seed: 1 }), { code: 'ERR_OUT_OF_RANGE' });
  await t.rejects(sampled({ percent: 5, seed: -1 }), { code: 'ERR_OUT_OF_RANGE' });
});

t.test('findings are listed up to a thousand and told all', async (t) => {
  await using subject = await filled();
  for (let lba = 0; lba < 2500; lba += 2) if (lba % 64 > 8) await subject.change(lba, flipGuard);
  const all: ScrubFinding[] = [];
  const report = await scrub(subject.disk, { onFinding: (finding) => void all.push(finding) });
  const planted = Array.from({ length: 1250 }, (_, i) => 2 * i).filter((lba) => lba % 64 > 8);
  t.same(
    all.map(({ lba }) => lba),
    planted,
  );
  t.equal(report.findings.length, 1000);
  t.equal(report.findingsOmitted, planted.length - 1000);
});

t.test('a finding is told when it has ended, and not with the next one', async (t) => {
  await using subject = await filled();
  const { transferBlocksMax: transfer } = subject.disk;
  for (const lba of [5, transfer - 1, transfer, transfer + 1]) await subject.change(lba, flipGuard);
  const seen: [lba: number, blocks: number, done: number][] = [];
  let done = 0;
  await scrub(subject.disk, {
    rate: 800e3,
    onFinding: ({ lba, blocks }) => void seen.push([lba, blocks, done]),
    onProgress: (progress) => {
      done = progress.done;
    },
  });
  t.same(
    seen.map(([lba, blocks]) => [lba, blocks]),
    [
      [5, 1],
      [transfer - 1, 3],
    ],
  );
  for (const [, , told] of seen) t.ok(told <= BLOCKS - 2 * transfer, `within a second or so: at ${told}`);
});

t.test('a block a second is the slowest rate', async (t) => {
  for (const [blockSize, rate] of [
    [512, 512],
    [4096, 4095],
  ] as const) {
    await using subject = await filled({ blockSize, blocks: 512 }, 32);
    const first = new AbortController();
    const scrubbed = scrub(subject.disk, { rate, signal: first.signal, onProgress: () => first.abort() });
    if (rate < blockSize)
      await t.rejects(scrubbed, { code: 'ERR_OUT_OF_RANGE', message: /from 4096 on, which is a block/ });
    else t.match(await scrubbed, { ended: 'interrupted', done: subject.disk.transferBlocksMax });
  }
});

t.test(
  'a rate that is none is refused, and many transfers that wait for one wait on one timer',
  async (t) => {
    await using subject = await filled({}, 32);
    for (const rate of [0, -1, 0.5, 16, 511, Number.NaN, Number.POSITIVE_INFINITY, '5' as unknown as number])
      await t.rejects(scrub(subject.disk, { rate }), { code: 'ERR_OUT_OF_RANGE' }, `${rate}`);
    const warnings: string[] = [];
    const warned = ({ name }: Error) => void warnings.push(name);
    process.on('warning', warned);
    const { signal } = new AbortController();
    await using larger = await filled({ blocks: 16_384 }, 32);
    await scrub(larger.disk, { rate: 32 * 1024 * 1024, signal });
    process.off('warning', warned);
    t.same(warnings, []);
  },
);

t.test('progress, rate, and an end before the end', async (t) => {
  await using subject = await filled();
  const start = performance.now();
  const done: number[] = [];
  await scrub(subject.disk, {
    rate: 8 * 1024 * 1024,
    onProgress: (progress) => void done.push(progress.done),
  });
  t.ok(
    performance.now() - start > 150,
    'two mebibytes at eight a second; the last transfer is not waited for',
  );
  t.equal(done.at(-1), BLOCKS);

  const controller = new AbortController();
  const report = await scrub(subject.disk, {
    signal: controller.signal,
    onProgress: ({ done: blocks }) => {
      if (blocks > 1500) controller.abort();
    },
  });
  t.match(report, { ended: 'interrupted', reason: null });
  t.equal(report.next, report.done);
  t.same(told(report), { ok: report.done });
  t.ok(report.done > 1500 && report.done < BLOCKS);
});

t.test(
  'a UNIT ATTENTION in the middle: the same disk goes on, another one is not taken for it',
  async (t) => {
    await using subject = await filled();
    await using other = await filled();
    for (const [next, expected] of [
      [subject, { ended: 'finished', done: BLOCKS }],
      [other, { ended: 'failed', reason: /another disk answers/ }],
    ] as const) {
      let answers = new InProcessNode(subject.emulated.unit).open();
      const node = {
        open: () => ({ close: async () => {}, sgIo: (request: SgRequest) => answers.sgIo(request) }),
      };
      await using disk = await openInProcess('swapped', node, { queueDepth: 2 });
      let swapped = false;
      const onProgress = ({ done }: { readonly done: number }) => {
        if (done < 1000 || swapped) return;
        swapped = true;
        next.emulated.addFault({ kind: 'unit-attention', times: 1 });
        answers = new InProcessNode(next.emulated.unit).open();
      };
      const report = await scrub(disk, { onProgress });
      t.match(report, expected);
      t.ok(next === subject || report.done < 3000);
    }
  },
);

t.test('another disk that took its place before it began is not taken for it', async (t) => {
  await using subject = await filled();
  await using other = await filled();
  for (const command of [0, 1, 3]) {
    let sent = Number.NEGATIVE_INFINITY;
    const [here, there] = [subject, other].map(({ emulated }) => new InProcessNode(emulated.unit).open());
    const sgIo = (request: SgRequest): Promise<SgResult> => (sent++ < command ? here! : there!).sgIo(request);
    await using disk = await openInProcess('swapped', { open: () => ({ close: async () => {}, sgIo }) });
    sent = 0;
    other.emulated.addFault({ kind: 'unit-attention', times: 1 });
    const report = await scrub(disk);
    t.match(report, { ended: 'failed', reason: /another disk answers/, done: 0, checked: 0 }, `${command}`);
  }
});

t.test('aborted before it has begun: the reason is thrown at once, whatever the disk answers', async (t) => {
  await using subject = await filled();
  subject.emulated.addFault({ kind: 'busy', times: 1000 });
  const reason = new Error('no more');
  await t.rejects(scrub(subject.disk, { signal: AbortSignal.abort(reason) }), reason);
  const soon = new AbortController();
  const running = scrub(subject.disk, { signal: soon.signal });
  soon.abort(reason);
  await t.rejects(running, reason);
});

t.test('bad blocks where it is asked who checks: the software goes on checking', async (t) => {
  for (const bad of [[0], [BLOCKS - 1], [0, 1, 2, 3, 4, 5, 6, 7]]) {
    await using subject = await filled({ checks: { guard: false, app: false, ref: false } });
    for (const lba of bad) await subject.change(lba, flipGuard);
    const report = await scrub(subject.disk);
    t.match(report, { checker: 'software', ended: 'finished' }, `${bad}`);
    t.same(places(report), [['mismatch', bad[0], bad.length, 'guard']]);
    t.same(told(report), { ok: BLOCKS - bad.length, bad: bad.length });
  }
});

t.test(
  'blocks that cannot be read where it is asked who checks: the software goes on checking',
  async (t) => {
    for (const lba of [1, BLOCKS / 2 - 1, BLOCKS - 1]) {
      await using subject = await filled();
      subject.emulated.addFault({ kind: 'medium-error', lba: BigInt(lba), blocks: 1n });
      const report = await scrub(subject.disk);
      t.match(report, { checker: 'software', ended: 'finished' }, `${lba}`);
      t.same(places(report), [['read-error', lba, 1, null]]);
      t.same(told(report), { ok: BLOCKS - 1, unreadable: 1 });
      // One by the proof.
      t.equal(subject.emulated.stats().bySense['03h/11h/00h'], 4 + 1);
    }
  },
);

t.test('what another disk answered before its UNIT ATTENTION was told counts for nothing', async (t) => {
  const blocks = 4 * BLOCKS;
  await using subject = await filled({ blocks });
  await using other = await filled({ blocks });
  const [here, there] = [subject, other].map(({ emulated }) => new InProcessNode(emulated.unit).open());
  let swapped = false;
  let firstOfOther = blocks;
  const waiting: (() => Promise<void>)[] = [];
  /** What was sent last comes to the other disk first, and its answer back last. */
  const deliver = async () => {
    const [first, ...others] = waiting.splice(0).reverse();
    const answered = first!();
    for (const send of others.reverse()) await send();
    await answered;
  };
  const sgIo = (request: SgRequest): Promise<SgResult> => {
    if (!swapped) return here!.sgIo(request);
    if (waiting.length === 0) setTimeout(deliver, 20);
    return new Promise((resolve) => {
      waiting.push(async () => {
        const result = await there!.sgIo(request);
        const { cdb } = request;
        // Not those of the proof.
        if (result.status === 0 && cdb[0] === READ_16 && Buffer.from(cdb).readUInt32BE(10) > PROOF_BLOCKS)
          firstOfOther = Math.min(firstOfOther, Buffer.from(cdb).readUInt32BE(6));
        if (result.status !== 0) await delay(100);
        resolve(result);
      });
    });
  };
  const node = { open: () => ({ close: async () => {}, sgIo }) };
  await using disk = await openInProcess('swapped', node, { queueDepth: 4 });
  const report = await scrub(disk, {
    onProgress: ({ done }) => {
      if (done < 1000 || swapped) return;
      swapped = true;
      other.emulated.addFault({ kind: 'unit-attention', times: 1 });
    },
  });
  t.match(report, { ended: 'failed', reason: /another disk answers/ });
  t.ok(firstOfOther < blocks, 'it answered');
  t.ok(
    report.done <= firstOfOther,
    `${report.done} blocks are done, the other disk's begin at ${firstOfOther}`,
  );
  t.equal(report.counts.ok, report.done);
});

t.test('another disk of which nobody here was told by a UNIT ATTENTION', async (t) => {
  await using subject = await filled();
  await using other = await filled();
  const [here, there] = [subject, other].map(({ emulated }) => new InProcessNode(emulated.unit).open());
  for (const toldOnly of [false, true]) {
    let swapped = false;
    let left = toldOnly ? 1 : Number.POSITIVE_INFINITY;
    const sgIo = (request: SgRequest): Promise<SgResult> => {
      const asOther = swapped && (!toldOnly || isIdentityPage(request)) && left-- > 0;
      return (asOther ? there! : here!).sgIo(request);
    };
    await using disk = await openInProcess('swapped', { open: () => ({ close: async () => {}, sgIo }) });
    let atSwap = 0;
    const report = await scrub(disk, {
      rate: 700e3,
      onProgress: ({ done }) => {
        // Some were confirmed by then.
        if (done < 2000 || swapped) return;
        swapped = true;
        atSwap = done;
      },
    });
    t.match(report, { ended: 'failed', reason: /another disk answers/ });
    t.ok(report.done > 0 && report.done <= atSwap, `${report.done} of ${atSwap}`);
    t.equal(report.counts.ok, report.done, toldOnly ? 'even if the first answers again' : '');
  }
});

/** INQUIRY for VPD page 83h. */
function isIdentityPage({ cdb }: SgRequest): boolean {
  return cdb[0] === 0x12 && cdb[1] === 1 && cdb[2] === 0x83;
}

t.test('the disk is asked who it is every second, and every five where it answers slowly', async (t) => {
  const [quick, slow] = await Promise.all(
    [0, 200].map(async (late) => {
      await using subject = await filled();
      const node = new InProcessNode(subject.emulated.unit).open();
      let asked = 0;
      const sgIo = async (request: SgRequest): Promise<SgResult> => {
        if (isIdentityPage(request)) {
          asked++;
          await delay(late);
        }
        return node.sgIo(request);
      };
      await using disk = await openInProcess('late', { open: () => ({ close: async () => {}, sgIo }) });
      let before: number | null = null;
      const onProgress = () => {
        before ??= asked;
      };
      t.match(await scrub(disk, { rate: 290e3, onProgress }), { ended: 'finished' });
      return asked - before!;
    }),
  );
  t.ok(quick! >= 5, `${quick} times in seven seconds`);
  t.ok(slow! >= 3 && slow! <= 4, `${slow} times: after one second, five seconds later, and at the end`);
});
