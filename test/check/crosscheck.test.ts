import t from 'tap';
import { crosscheck } from '../../src/check/crosscheck.js';
import type { Answer, BlocksRead } from '../../src/device/blocks.js';
import type { Disk } from '../../src/device/disk.js';
import { IntegrityError } from '../../src/errors.js';
import type { Cell, CrosscheckReport } from '../../src/report/model.js';
import type { Checker, PathName } from '../../src/words.js';
import { BLOCK, fakeDisk, goodBlocks, goodReader, type Reader } from '../support/disk.js';

const RANGE = { lba: 100n, blocks: 40 };
const BAD = 117n;

function cell({ ranges }: CrosscheckReport, checker: Checker, path: PathName): Cell['counts'] | undefined {
  return ranges[0]?.cells.find((one) => one.checker === checker && one.path === path)?.counts;
}

const run = (disk: Disk) => crosscheck(disk, { ranges: [RANGE] });
const refusedBy = (
  checker: 'kernel' | 'device' | 'hba' | 'kernel-or-device',
  check: 'guard' | 'protection',
): Answer => ({
  kind: 'refused',
  checker,
  check,
  text: 'EILSEQ',
});

/** A disk whose block BAD has changed data under its tuple; `answer` is what the block layer says of a read that holds it. */
function faulty(answer: (path: PathName) => Answer): Reader {
  return (path, lba, blocks) => {
    const read = goodReader(path, lba, blocks);
    if (BAD < lba || BAD >= lba + BigInt(blocks)) return read;
    read.data![Number(BAD - lba) * BLOCK]! ^= 0x80;
    const said = answer(path);
    if (said.kind === 'good') return read;
    return { ...read, data: null, tuples: blocks === 1 ? read.tuples : null, answer: said };
  };
}

t.test('a clean disk: ok where a checker should check and the tuple was read', async (t) => {
  const report = await run(fakeDisk(goodReader));
  t.same(report.findings, []);
  t.same(cell(report, 'software', 'block-pi'), { ok: 40 });
  t.same(cell(report, 'kernel', 'block'), { ok: 40 });
  t.same(cell(report, 'device', 'block'), { ok: 40 });
  t.same(cell(report, 'kernel', 'block-pi'), { unchecked: 40 }, 'the kernel does not check our tuples');
  t.same(cell(report, 'device', 'passthrough'), { unchecked: 40 }, 'no tuples crossed SG_IO');
  t.same(cell(report, 'hba', 'block'), { unchecked: 40 });
});

t.test('GOOD alone is no verdict: where no path shows tuples nothing is ok', async (t) => {
  const report = await run(fakeDisk(goodReader, ['passthrough', 'block']));
  t.same(report.findings, []);
  for (const checker of ['software', 'kernel', 'device'] as const)
    t.same(cell(report, checker, 'block'), { unchecked: 40 });
});

t.test('escaped is not ok, for nobody', async (t) => {
  const reader: Reader = (path, lba, blocks) => {
    const read = goodReader(path, lba, blocks);
    if (lba <= 103n) read.tuples?.fill(0xff, Number(103n - lba) * 8, Number(104n - lba) * 8);
    return read;
  };
  const report = await run(fakeDisk(reader));
  t.same(report.findings, []);
  for (const [checker, path] of [
    ['software', 'block-pi'],
    ['kernel', 'block'],
    ['device', 'block'],
  ] as const) {
    t.same(cell(report, checker, path), { ok: 39, escaped: 1 });
  }
});

t.test('a fault that the device refuses', async (t) => {
  const report = await run(
    fakeDisk(faulty((path) => (path === 'passthrough' ? { kind: 'good' } : refusedBy('device', 'guard')))),
  );
  t.same(cell(report, 'device', 'block'), { ok: 39, guard: 1 });
  t.same(
    cell(report, 'software', 'block-pi'),
    { ok: 39, guard: 1 },
    'data by SG_IO, tuples from the refused read',
  );
  t.same(cell(report, 'kernel', 'block'), { ok: 39, unchecked: 1 }, 'the device was before the kernel');
  const mismatch = report.findings.find(({ kind }) => kind === 'mismatch');
  t.match(mismatch, { lba: Number(BAD), check: 'guard', path: 'block-pi' });
  const { tuples } = goodBlocks(BAD, 1);
  t.equal(mismatch?.stored, (tuples[0]! << 8) | tuples[1]!);
  t.same([...new Set(report.findings.map(({ lba }) => lba))], [Number(BAD)], 'no other block is named');
  t.notOk(report.findings.some(({ kind }) => kind === 'silent'));
});

t.test('a fault that the kernel refuses: the device let it pass', async (t) => {
  const report = await run(
    fakeDisk(faulty((path) => (path === 'block' ? refusedBy('kernel', 'guard') : { kind: 'good' }))),
  );
  t.same(cell(report, 'kernel', 'block'), { ok: 39, guard: 1 });
  t.same(cell(report, 'device', 'block'), { ok: 39, unchecked: 1 });
  const silent = report.findings.filter(({ kind }) => kind === 'silent');
  t.match(silent, [
    { checker: 'device', path: 'block' },
    { checker: 'device', path: 'block-pi' },
  ]);
});

t.test('a fault that nobody refuses: kernel and device are named as silent', async (t) => {
  const report = await run(fakeDisk(faulty(() => ({ kind: 'good' }))));
  t.same(cell(report, 'kernel', 'block'), { ok: 39, unchecked: 1 });
  t.match(
    report.findings.filter(({ kind }) => kind === 'silent').map(({ checker, path }) => `${checker} ${path}`),
    ['kernel block', 'device block', 'device block-pi'],
  );
});

t.test('an adapter, and a refusal whose author is not known', async (t) => {
  const hba = await run(
    fakeDisk(faulty((path) => (path === 'block' ? refusedBy('hba', 'guard') : { kind: 'good' }))),
  );
  t.same(cell(hba, 'hba', 'block'), { unchecked: 39, guard: 1 });
  const unknown = await run(
    fakeDisk(
      faulty((path) => (path === 'block' ? refusedBy('kernel-or-device', 'protection') : { kind: 'good' })),
    ),
  );
  t.same(cell(unknown, 'kernel-or-device', 'block'), { protection: 1 });
  t.same(cell(unknown, 'kernel', 'block'), { ok: 39, unchecked: 1 });
  t.same(cell(unknown, 'device', 'block'), { ok: 39, unchecked: 1 });
});

t.test('two paths that deliver different data', async (t) => {
  const reader: Reader = (path, lba, blocks) => {
    const read = goodReader(path, lba, blocks);
    if (path === 'block' && BAD >= lba && BAD < lba + BigInt(blocks))
      read.data![Number(BAD - lba) * BLOCK + 9]! ^= 1;
    return read;
  };
  const { findings } = await run(fakeDisk(reader));
  t.match(findings, [{ kind: 'data-differs', lba: Number(BAD), path: 'block' }]);
  t.equal(findings.length, 1);
});

t.test('a block that does not stand still is counted as changing, not judged', async (t) => {
  let reads = 0;
  const reader: Reader = (path, lba, blocks) => {
    const read = goodReader(path, lba, blocks);
    if (path === 'passthrough' && BAD >= lba && BAD < lba + BigInt(blocks))
      read.data![Number(BAD - lba) * BLOCK] = ++reads;
    return read;
  };
  const report = await run(fakeDisk(reader));
  t.same(report.findings, []);
  t.equal(report.ranges[0]?.changing, 1);
  t.same(cell(report, 'software', 'block-pi'), { ok: 39 });
});

t.test('a block that was wrong only once is no finding', async (t) => {
  let first = true;
  const reader: Reader = (path, lba, blocks) => {
    const read = goodReader(path, lba, blocks);
    if (first && path === 'block' && BAD >= lba && BAD < lba + BigInt(blocks)) {
      first = false;
      read.data![Number(BAD - lba) * BLOCK]! ^= 1;
    }
    return read;
  };
  const report = await run(fakeDisk(reader));
  t.same([report.findings, report.ranges[0]?.changing], [[], 0]);
});

t.test('an unreadable block is an error, and the rest is judged', async (t) => {
  const error = new IntegrityError('ERR_CHECK_CONDITION', '/dev/sdx: unrecovered read error');
  const reader: Reader = (path, lba, blocks): BlocksRead => {
    if (BAD < lba || BAD >= lba + BigInt(blocks)) return goodReader(path, lba, blocks);
    return { lba, blocks, data: null, tuples: null, answer: { kind: 'failed', error } };
  };
  const report = await run(fakeDisk(reader));
  t.same(cell(report, 'kernel', 'block'), { ok: 39, error: 1 });
  t.same(cell(report, 'software', 'block-pi'), { ok: 39, unchecked: 1 });
  t.match(
    report.findings.map(({ kind, lba }) => [kind, lba]),
    [
      ['read-error', Number(BAD)],
      ['read-error', Number(BAD)],
      ['read-error', Number(BAD)],
    ],
  );
});

t.test('progress, abort, and what kernel and disk say differently', async (t) => {
  const done: number[] = [];
  await crosscheck(fakeDisk(goodReader), {
    ranges: [RANGE, { lba: 0n, blocks: 5 }],
    onProgress: (n) => done.push(n),
  });
  t.same(done, [16, 32, 40, 45]);
  const disk = {
    ...fakeDisk(goodReader),
    disagreements: ['READ CAPACITY(16) says 8, the kernel 9'],
  } as unknown as Disk;
  const { findings } = await run(disk);
  t.match(findings, [{ kind: 'facts', lba: null, text: /the kernel 9/ }]);
});
