import t from 'tap';
import type { CrosscheckReport, ProveReport } from '../../src/report/model.js';
import { table } from '../../src/report/table.js';
import { crosscheckTap, proveTap } from '../../src/report/tap.js';
import { crosscheckText, proveText } from '../../src/report/text.js';

const disk: CrosscheckReport['disk'] = {
  device: '/dev/sdx',
  sg: '/dev/sg9',
  identity: 'naa.5000',
  vendor: 'V',
  product: 'P',
  blocks: 1024,
  blockSize: 512,
  format: 'T10-DIF-TYPE1-CRC',
  protectionType: 1,
  interval: 512,
  paths: ['passthrough', 'block', 'block-pi'],
  passthroughTuples: 'accepts RDPROTECT, transfers no tuples',
  noBlockPi: null,
  kernel: '6.1.0',
};

const mismatch = {
  kind: 'mismatch',
  lba: 8,
  checker: 'software',
  path: 'block-pi',
  check: 'guard',
  stored: 0x1234,
  computed: 0x5678,
  text: 'guard tag differs: stored 0x1234, computed 0x5678',
} as const;

const report: CrosscheckReport = {
  verb: 'crosscheck',
  disk,
  note: null,
  ranges: [
    {
      lba: 0,
      blocks: 16,
      intervals: 16,
      changing: 1,
      cells: [
        { checker: 'software', path: 'block-pi', counts: { ok: 12, guard: 1, escaped: 2 }, why: [] },
        { checker: 'kernel', path: 'block', counts: { ok: 15 }, why: [] },
        { checker: 'device', path: 'block', counts: { unchecked: 15 }, why: ['no # claim'] },
        { checker: 'device', path: 'block-pi', counts: { escaped: 15 }, why: [] },
      ],
    },
  ],
  checked: 15,
  written: null,
  findings: [mismatch],
};

t.test('text: the matrix, the reasons, the findings, and what was not judged', async (t) => {
  const lines = crosscheckText(report).split('\n');
  const row = (name: string) =>
    lines
      .find((line) => line.trim().startsWith(name))
      ?.trim()
      .split(/ {2,}/);
  t.ok(lines.includes('blocks 0 to 15 (16 intervals, 1 blocks changing)'));
  t.same(row('checker'), ['checker', 'block', 'block-pi']);
  t.same(row('software'), ['software', '-', 'ok 12, guard 1, escaped 2']);
  t.same(row('kernel'), ['kernel', 'ok 15', '-']);
  t.ok(lines.some((line) => line.trim() === 'device by block: no # claim'));
  t.ok(
    lines.some(
      (line) =>
        line.trim() === 'LBA 8 by block-pi: software: guard tag differs: stored 0x1234, computed 0x5678',
    ),
  );
  t.ok(lines.includes('1 finding'));
  t.match(lines.at(-1), /2 intervals are escaped/);
});

t.test('many findings are counted, and the first are printed', async (t) => {
  const findings = Array.from({ length: 60 }, (_, lba) => ({ ...mismatch, lba }));
  const text = crosscheckText({ ...report, findings });
  t.match(text, /60 findings/);
  t.match(text, /and 10 more/);
});

t.test('TAP: a point for each range, checker and path; unchecked is a skip with its reason', async (t) => {
  const lines = crosscheckTap(report).split('\n');
  t.same(lines.slice(0, 2), ['TAP version 14', '1..4']);
  t.same(
    lines.filter((line) => /^(not )?ok/.test(line)),
    [
      'not ok 1 - blocks 0 to 15: software by block-pi',
      'ok 2 - blocks 0 to 15: kernel by block',
      'ok 3 - blocks 0 to 15: device by block # SKIP no \\# claim',
      'ok 4 - blocks 0 to 15: device by block-pi # SKIP every tuple is escaped',
    ],
  );
  t.match(
    lines.find((line) => line.startsWith('  findings:')),
    /"stored":4660,"computed":22136/,
  );
});

t.test('TAP: a checker that stayed silent fails, though it refused nothing', async (t) => {
  const silent = {
    ...mismatch,
    kind: 'silent',
    checker: 'kernel',
    path: 'block',
    check: null,
    text: 'stayed silent',
  } as const;
  const lines = crosscheckTap({ ...report, findings: [silent] }).split('\n');
  t.ok(lines.includes('not ok 2 - blocks 0 to 15: kernel by block'));
});

t.test('TAP: findings without a cell get a point of their own', async (t) => {
  const facts = {
    ...mismatch,
    kind: 'facts',
    lba: null,
    checker: null,
    path: null,
    check: null,
    text: 'kernel and disk',
  } as const;
  const lines = crosscheckTap({ ...report, findings: [facts] }).split('\n');
  t.equal(lines[1], '1..5');
  t.ok(lines.includes('not ok 5 - kernel and disk'));
});

const proof: ProveReport = {
  verb: 'prove',
  disk,
  fault: { lba: 8, byte: 256, was: 0x10, now: 0 },
  outcome: 'caught',
  why: null,
  ranges: report.ranges,
  findings: [mismatch],
  noticed: ['software by block-pi'],
  silent: ['kernel', 'device'],
  restored: 'exact',
};

t.test('prove: text and TAP say who noticed, and the outcome decides', async (t) => {
  t.match(proveText(proof), /changed from 10h to 00h/);
  t.match(proveText(proof), /noticed: software by block-pi\nsilent: kernel, device$/m);
  t.match(proveText(proof), /CAUGHT/);
  const last = (outcome: ProveReport['outcome']) =>
    proveTap({ ...proof, outcome })
      .split('\n')
      .filter((line) => /^(not )?ok/.test(line));
  t.equal(last('caught').at(-2), 'ok 5 - a read through the block layer is refused');
  t.equal(last('delivered').at(-2), 'not ok 5 - a read through the block layer is refused');
  t.equal(last('vacuous').at(-2), 'not ok 5 - a read through the block layer is refused');
});

t.test('tables align and leave no blanks behind', async (t) => {
  const rows = [
    ['A', 'N', 'WORDS'],
    ['long', '7', 'some words'],
    ['x', '1234', 'few'],
  ];
  t.same(table(rows, ['left', 'right']), ['A        N  WORDS', 'long     7  some words', 'x     1234  few']);
});
