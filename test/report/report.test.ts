import t from 'tap';
import type { CrosscheckReport, ProveReport } from '../../src/report/model.js';
import { printableJson } from '../../src/report/printable.js';
import { table } from '../../src/report/table.js';
import { crosscheckTap, proveTap } from '../../src/report/tap.js';
import { chainText, crosscheckText, listText, proveText } from '../../src/report/text.js';
import { readText } from '../../src/report/transfer-text.js';

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
        { checker: 'kernel', path: 'block-pi', counts: { ok: 1, escaped: 7, unchecked: 7 }, why: [] },
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
  t.same(row('kernel'), ['kernel', 'ok 15', 'ok 1, escaped 7, unchecked 7']);
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
  t.same(lines.slice(0, 2), ['TAP version 14', '1..6']);
  t.same(
    lines.filter((line) => /^(not )?ok/.test(line)),
    [
      'ok 1 - blocks 0 to 15: 1 blocks were changing # SKIP not judged',
      'not ok 2 - blocks 0 to 15: software by block-pi (ok 12, guard 1, escaped 2)',
      'ok 3 - blocks 0 to 15: kernel by block',
      'ok 4 - blocks 0 to 15: device by block # SKIP no \\# claim',
      'ok 5 - blocks 0 to 15: device by block-pi # SKIP every tuple is escaped',
      'ok 6 - blocks 0 to 15: kernel by block-pi (ok 1, escaped 7, unchecked 7)',
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
  t.ok(lines.includes('not ok 3 - blocks 0 to 15: kernel by block'));
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
  t.equal(lines[1], '1..7');
  t.ok(lines.includes('not ok 7 - kernel and disk'));
});

const proof: ProveReport = {
  verb: 'prove',
  disk,
  fault: { lba: 8, byte: 256, was: 0x10, now: 0 },
  path: 'block',
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
  t.equal(last('caught').at(-2), 'ok 6 - a read through the block layer is refused');
  t.equal(last('delivered').at(-2), 'not ok 6 - a read through the block layer is refused');
  t.equal(last('vacuous').at(-2), 'not ok 6 - a read through the block layer is refused');
});

t.test('blocks that were all changing are a skipped point, not an empty document', async (t) => {
  const range = { lba: 0, blocks: 8, intervals: 8, changing: 8, cells: [] };
  t.same(crosscheckTap({ ...report, ranges: [range], findings: [] }).split('\n'), [
    'TAP version 14',
    '1..1',
    'ok 1 - blocks 0 to 7: 8 blocks were changing # SKIP not judged',
  ]);
});

t.test('a report in which nothing was checked says so aloud', async (t) => {
  t.match(crosscheckText({ ...report, checked: 0, findings: [] }), /\nNOTHING WAS CHECKED/);
  t.notMatch(crosscheckText(report), /NOTHING WAS CHECKED/);
});

t.test('what was written, by which paths, and how it is now', async (t) => {
  const paths = [
    { path: 'block', tuplesCompared: true },
    { path: 'passthrough', tuplesCompared: false },
  ] as const;
  const written = { lba: 8, blocks: 4, paths, restored: 'exact' } as const;
  const said = crosscheckText({ ...report, written });
  t.match(
    said,
    /^written: blocks 8 to 11 by block, passthrough \(tuples not compared\); restored: data and tuple as they were$/m,
  );
});

t.test(
  'control characters are made visible, so that no name forges a line or moves the cursor',
  async (t) => {
    const vendor = 'V\x1b[2J\nok 9\x7f\u009b';
    const visible = 'V\\x1b[2J\\x0aok 9\\x7f\\x9b';
    const hostile = { ...report, disk: { ...disk, vendor } };
    t.match(crosscheckText(hostile), visible);
    t.match(proveText({ ...proof, disk: hostile.disk }), visible);
    const chain = {
      verb: 'show',
      disk: hostile.disk,
      endToEnd: true,
      reach: '',
      links: [],
      above: [],
    } as const;
    t.match(chainText({ ...chain, disagreements: [] }), visible);
    const listed = {
      vendor,
      model: 'M',
      sg: null,
      blocks: 0,
      blockSize: 512,
      format: 'none',
      protectionType: 0,
    };
    const disks = [{ ...listed, device: '/dev/sdx', endToEnd: false, reach: '' }];
    t.match(listText({ verb: 'list', disks }), visible);
    const finding = { ...mismatch, text: vendor };
    const lines = crosscheckTap({ ...report, findings: [finding, { ...finding, lba: null, checker: null }] });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
    t.notMatch(lines, /[\x00-\x09\x0b-\x1f\x7f-\x9f]|^ok 9/m);
    t.same(printableJson({ vendor }), '{"vendor":"V\\u001b[2J\\nok 9\\u007f\\u009b"}');
  },
);

t.test('TAP: prove shows a checker that should have noticed, without failing for it', async (t) => {
  const silent = {
    ...mismatch,
    kind: 'silent',
    checker: 'device',
    path: 'block',
    check: null,
    text: 'stayed silent',
  } as const;
  const lines = proveTap({ ...proof, findings: [silent] }).split('\n');
  t.ok(lines.includes('not ok 3 - LBA 8: device by block notices the fault # TODO stayed silent'));
});

t.test('what was written is said, by path', async (t) => {
  const paths = [
    { path: 'block', tuplesCompared: false },
    { path: 'block-pi', tuplesCompared: true },
  ] as const;
  const written = { lba: 0, blocks: 16, paths, restored: 'exact' } as const;
  const differs = {
    ...mismatch,
    kind: 'write-differs',
    checker: null,
    path: 'block-pi',
    text: 'other tuples',
  } as const;
  const lines = crosscheckTap({ ...report, written, findings: [differs] }).split('\n');
  t.ok(lines.some((line) => /^ok \d+ - blocks 0 to 15: written by block # SKIP /.test(line)));
  t.ok(lines.some((line) => /^not ok \d+ - blocks 0 to 15: written by block-pi$/.test(line)));
  t.match(
    crosscheckText({ ...report, written }),
    /written: blocks 0 to 15 by block \(tuples not compared\), block-pi/,
  );
});

t.test('tables align and leave no blanks behind', async (t) => {
  const rows = [
    ['A', 'N', 'WORDS'],
    ['long', '7', 'some words'],
    ['x', '1234', 'few'],
  ];
  t.same(table(rows, ['left', 'right']), ['A        N  WORDS', 'long     7  some words', 'x     1234  few']);
});

t.test('a read with much to say is cut, and says so', async (t) => {
  const tuple = { guard: 1, app: 2, ref: 3 };
  const text = readText({
    verb: 'read',
    disk,
    lba: 0,
    blocks: 200,
    path: 'block-pi',
    command: null,
    delivered: 120,
    results: Array.from({ length: 60 }, (_, i) => ({
      lba: i,
      blocks: 1,
      hardware: `answer\x1b ${i}.`,
      software: { guard: 1 },
      comparable: 'checked' as const,
      why: '',
    })),
    tuples: Array.from({ length: 40 }, (_, i) => ({
      lba: Math.floor(i / 2),
      interval: i % 2,
      verdict: 'guard' as const,
      stored: { ...tuple, guard: '0x00000000000000ff' },
      computed: { guard: '0x0000000000000100', app: null, ref: null },
    })),
    tuplesOmitted: 7,
    checked: 0,
    findings: [],
    data: '41'.repeat(20),
  });
  t.match(text, /^blocks 0 to 199 by block-pi\n/m);
  t.match(text, /answer\\x1b 49\..*\n {2}and 10 more: --json/);
  t.match(text, /^ {2}0\.1 +0x00000000000000ff \(computed 0x0000000000000100\) +0x0002 +0x00000003 +guard$/m);
  t.match(text, /\n {2}and 15 more: --tuples FILE/);
  t.match(text, /^ {2}00000010 {2}41 41 41 41 {39}AAAA\n {2}and 61420 bytes more: -o FILE/m);
  t.match(text, /\ndelivered: 120 of 200 blocks, .*\nno findings\nNOTHING WAS CHECKED/);
});
