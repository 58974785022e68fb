import t from 'tap';
import type { ScrubFinding, ScrubReport } from '../../src/report/model.js';
import { progressText, scrubFindingText, scrubText } from '../../src/report/scrub-text.js';

const FINDING: ScrubFinding = {
  kind: 'mismatch',
  lba: 40,
  blocks: 3,
  intervals: 3,
  checker: 'software',
  path: 'passthrough',
  check: 'ref',
  stored: 1,
  computed: 40,
  text: 'ref tag differs: stored 0x0001, computed 0x0028',
  diagnosis: { kind: 'misdirected', text: 'it is of another place', alsoFits: ['stale'] },
};

const REPORT: ScrubReport = {
  verb: 'scrub',
  disk: {
    device: '/dev/sdx',
    sg: null,
    identity: 'naa.5000',
    vendor: 'V',
    product: 'P',
    blocks: 1000,
    blockSize: 512,
    format: 'none',
    protectionType: 1,
    interval: 512,
    paths: ['passthrough'],
    passthroughTuples: 'tuples cross SG_IO',
    noBlockPi: null,
    kernel: '6.1',
  },
  lba: 0,
  blocks: 1000,
  sample: null,
  checker: 'software',
  path: 'passthrough',
  checks: ['guard', 'ref'],
  by: 'READ with RDPROTECT 001b',
  notSoftware: null,
  ended: 'finished',
  reason: null,
  code: null,
  advice: null,
  resumed: false,
  planned: 1000,
  done: 1000,
  next: null,
  counts: {
    ok: 990,
    bad: 3,
    escaped: 7,
    unchecked: 0,
    passed: 0,
    refused: 0,
    changing: 0,
    unreadable: 0,
    transient: 0,
  },
  checked: 993,
  findings: [FINDING],
  findingsOmitted: 0,
  transients: [],
  seconds: 4000,
  bytesPerSecond: 250 * 2 ** 20,
};

t.test('a finding is a range, the tag of its first block, and why', async (t) => {
  t.equal(
    scrubFindingText(FINDING),
    'LBA 40 to 42 by passthrough: of the first: ref tag differs: stored 0x0001, computed 0x0028; misdirected: it is of another place; or stale',
  );
  t.equal(
    scrubFindingText({ ...FINDING, blocks: 1, diagnosis: null }),
    'LBA 40 by passthrough: ref tag differs: stored 0x0001, computed 0x0028',
  );
});

t.test('counts that are not 0, what they mean, and the speed', async (t) => {
  const text = scrubText(REPORT);
  t.match(
    text,
    /\n1 finding\n {2}LBA 40 to 42 .*\n990 intervals ok\n3 intervals bad\n7 intervals escaped: nobody/,
  );
  t.match(text, /\n250\.0 MiB\/s, 1:06:40$/);
});

t.test('what is no pass is said', async (t) => {
  const nothing = { ...REPORT, checked: 0, findings: [], counts: { ...REPORT.counts, ok: 0, bad: 0 } };
  t.match(scrubText(nothing), /NOTHING WAS CHECKED: no findings is no verdict/);
  const kernel: ScrubReport = {
    ...REPORT,
    checker: 'kernel',
    path: 'block',
    notSoftware: 'passthrough: no tuples',
    counts: { ...REPORT.counts, ok: 0, bad: 0, escaped: 0, unchecked: 1000, passed: 999, refused: 1 },
  };
  t.match(scrubText(kernel), /^not the software: passthrough: no tuples$/m);
  t.match(
    scrubText(kernel),
    /^1000 intervals unchecked by the software.*\n999 of these passed.*escaped ones are among/m,
  );
  const failed: ScrubReport = {
    ...REPORT,
    ended: 'failed',
    reason: 'it timed out',
    code: 'ERR_TIMEOUT',
    done: 10,
    next: 10,
  };
  const FAILED = 'FAILED: it timed out (ERR_TIMEOUT): 10 of 1000 blocks are done, next is LBA 10';
  const once = { ...REPORT, counts: { ...REPORT.counts, transient: 2 } };
  const transients = [
    { lba: 0, blocks: 455, bad: 2 },
    { lba: 455, blocks: 455, bad: null },
  ];
  t.match(
    scrubText({ ...once, transients }),
    /^2 TIMES.*\n {2}LBA 0 to 454: 2 intervals bad at first\n {2}LBA 455 to 909$/m,
  );
  t.ok(scrubText(failed).endsWith(`\n${FAILED}`));
  t.ok(scrubText({ ...failed, advice: 'Look there.' }).endsWith(`\n${FAILED}\nLook there.`));
  const left: ScrubReport = { ...failed, reason: 'no state', done: 1000, next: null };
  t.match(scrubText(left), /\nFAILED: no state \(ERR_TIMEOUT\): 1000 of 1000 blocks are done$/);
  t.match(scrubText({ ...failed, ended: 'interrupted' }), /\nINTERRUPTED: 10 of 1000/);
});

t.test('a sample, a state, and many findings', async (t) => {
  const many = { ...REPORT, findings: Array<ScrubFinding>(60).fill(FINDING), findingsOmitted: 40 };
  const text = scrubText({ ...many, sample: { percent: 5, seed: 9 }, planned: 50, resumed: true });
  t.match(text, /^blocks 0 to 999: 50 blocks of them, a sample of 5 % with seed 9, gone on from a state$/m);
  t.match(text, /^100 findings$/m);
  t.match(text, /^ {2}and 50 more: --json tells each$/m);
});

t.test('progress is one line', async (t) => {
  const progress = { planned: 200, done: 50, findings: 2, bytesPerSecond: 1536, secondsLeft: 59.94 };
  t.equal(progressText(progress), '25.0 %, 1.5 KiB/s, 59.9 s left, 2 findings');
  t.equal(progressText({ ...progress, bytesPerSecond: 0, secondsLeft: null }), '25.0 %, 0 B/s, 2 findings');
});
