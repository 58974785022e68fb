import t from 'tap';
import type { SgRequest, SgResult, SgVerifyRequest } from '../../src/binding.js';
import { openInProcess } from '../../src/device/in-process.js';
import { type TracedCommand, traced, traceText } from '../../src/device/trace.js';
import { SgTransport } from '../../src/device/transport.js';
import { encodeCdb } from '../../src/scsi/commands.js';
import { InProcessNode } from '../../src/testbed/disk/in-process.js';
import { TYPE1 } from '../support/disk.js';
import { FilledDisk } from '../support/filled-disk.js';
import { checkCondition, GOOD } from '../support/target.js';

const BLOCKS = 2048;
const READ = { cdbs: [encodeCdb('READ(16)', { lba: 8n, blocks: 2, protect: 1 })], bytes: 1040 };

t.test('what is wrong is counted and named', async (t) => {
  await using filled = await FilledDisk.make({
    blocks: BLOCKS,
    checks: { guard: false, app: false, ref: false },
  });
  t.same(await filled.disk.judge('passthrough', 500n, 16), {
    blocks: 16,
    verdict: { checked: 16, escaped: 0, bad: 0, badIntervals: [] },
    wrong: false,
  });
  for (const lba of [503, 510]) {
    await filled.change(lba, (block) => {
      block[3]! ^= 1;
    });
  }
  await filled.change(505, (block) => block.fill(0xff, 512));
  t.same(await filled.disk.judge('passthrough', 500n, 16), {
    blocks: 16,
    verdict: { checked: 15, escaped: 1, bad: 2, badIntervals: [3, 10] },
    wrong: true,
  });
  const { transferBlocksMax } = filled.disk;
  t.match(await filled.disk.judge('passthrough', 600n, BLOCKS - 600), {
    blocks: transferBlocksMax,
    verdict: { checked: transferBlocksMax, bad: 0 },
  });
  await t.rejects(filled.disk.judge('block-pi', 0n, 1), { code: 'ERR_NO_PATH' });
  await t.rejects(filled.disk.judge('passthrough', 2047n, 2), { code: 'ERR_OUT_OF_RANGE' });
  for (const [lba, blocks] of [
    [0, 8],
    ['0', 8],
    [0n, 1.5],
    [0n, Number.NaN],
    [0n, '8'],
    [0n, undefined],
    [0n, 8n],
    [null, null],
  ] as unknown as [bigint, number][]) {
    await t.rejects(filled.disk.read('passthrough', lba, blocks), {
      code: 'ERR_OUT_OF_RANGE',
      message: /must be a bigint, and .* blocks a whole number/,
    });
  }
});

t.test('no verdict where tuples do not cross, or are refused', async (t) => {
  await using filled = await FilledDisk.make({ blocks: BLOCKS });
  await filled.change(500, (block) => {
    block[3]! ^= 1;
  });
  const none = { blocks: 1, verdict: null, wrong: false };
  t.same(await filled.disk.judge('passthrough', 500n, 1), { ...none, wrong: true }, 'the disk refuses it');
  await using strips = await FilledDisk.make({ blocks: BLOCKS });
  strips.emulated.addFault({ kind: 'strip-pi' });
  t.same(await strips.disk.judge('passthrough', 500n, 1), none);
});

t.test('a UNIT ATTENTION to another command while it is under way', async (t) => {
  await using filled = await FilledDisk.make({ blocks: BLOCKS });
  const inner = new InProcessNode(filled.emulated.unit).open();
  let held = Promise.resolve();
  let underWay = () => {};
  const node = {
    open: () => ({
      close: () => inner.close(),
      sgIo: async (request: SgRequest) => {
        const answer = await inner.sgIo(request);
        underWay();
        if (request.data !== null) await held;
        return answer;
      },
    }),
  };
  await using disk = await openInProcess('slow', node, { queueDepth: 2 });
  t.match(await disk.judge('passthrough', 8n, 4), { blocks: 4, verdict: { bad: 0 } });
  let answer = () => {};
  held = new Promise((resolve) => {
    answer = resolve;
  });
  const begun = new Promise<void>((resolve) => {
    underWay = resolve;
  });
  const judged = disk.judge('passthrough', 8n, 4);
  await begun;
  filled.emulated.addFault({ kind: 'unit-attention', times: 1 });
  const asked = disk.transport!.send({
    cdb: encodeCdb('TEST UNIT READY', {}),
    direction: 'none',
    data: null,
  });
  t.match(await asked, { retries: [/power on/i] });
  answer();
  t.same(await judged, { blocks: 4, verdict: null, wrong: false });
  t.match(await disk.judge('passthrough', 8n, 4), { blocks: 4, verdict: { bad: 0 } }, 'proved anew');
});

/** A node that judges, and says that all were clean but those from the first of `unclean` on. */
function judgingNode(unclean = Number.POSITIVE_INFINITY, ending: Partial<SgResult> = {}) {
  const asked: SgVerifyRequest[] = [];
  const sgVerify = async (request: SgVerifyRequest) => {
    asked.push(request);
    const reads = Math.min(unclean, request.cdbs.length);
    const verified = { checked: 2 * reads, escaped: 0, bad: 0, badIntervals: new Uint32Array() };
    const answer = reads < request.cdbs.length ? { ...GOOD, ...ending } : GOOD;
    return {
      ...answer,
      reads,
      verified: reads === 0 ? null : verified,
      clean: reads === request.cdbs.length,
    };
  };
  return { asked, node: { sgIo: () => Promise.reject(new Error('not asked')), sgVerify } };
}

const READS = {
  ...READ,
  cdbs: [8n, 10n, 12n].map((lba) => encodeCdb('READ(16)', { lba, blocks: 2, protect: 1 })),
  profile: TYPE1,
  seed: 8n,
};

t.test('the node judges where it can', async (t) => {
  const { asked, node } = judgingNode();
  const transport = new SgTransport(node, '/dev/sdx', false);
  const { result, outcome } = await transport.judge(READS);
  t.match([outcome.kind, result], ['good', { reads: 3, verified: { checked: 6 } }]);
  t.match(asked, [
    { bytes: 1040, rule: { interval: 512, metadataSize: 8, guard: 0, seed: 8n, escape: 'app' } },
  ]);
  t.same([...asked[0]!.rule.checks], [2, 0]);
  const write = encodeCdb('WRITE(16)', { lba: 8n, blocks: 2 });
  for (const at of [0, 2]) {
    const cdbs = READS.cdbs.with(at, write);
    await t.rejects(transport.judge({ ...READS, cdbs }), { code: 'ERR_READ_ONLY' });
  }
  t.equal(asked.length, 1);
});

t.test('what was checked is sent, whatever becomes of the arrays while it waits for its turn', async (t) => {
  const { asked, node } = judgingNode();
  const transport = new SgTransport(node, '/dev/sdx', false);
  const mine = Uint8Array.from(READS.cdbs[0]!);
  const underWay = transport.judge(READS);
  const waiting = transport.judge({ ...READS, cdbs: [mine] });
  mine.set(encodeCdb('WRITE SAME(16)', { lba: 8n, blocks: 2 }));
  await Promise.all([underWay, waiting]);
  t.same(
    asked.map(({ cdbs: [first] }) => first),
    [READS.cdbs[0], READS.cdbs[0]],
  );
});

t.test('the answer to the command that ended them counts, whatever came before it', async (t) => {
  const transport = new SgTransport(judgingNode(2, checkCondition(0x06, 0x29, 0x00)).node, '/dev/sdx', false);
  const { result, outcome } = await transport.judge(READS);
  t.match([outcome.kind, result], ['unit-attention', { reads: 2, verified: { checked: 4 } }]);
  t.equal(transport.unitAttentions, 1);
  const gone = new SgTransport(judgingNode(1, { errno: 19 }).node, '/dev/sdx', false);
  await t.rejects(gone.judge(READS), { code: 'ERR_DEVICE_GONE', cdb: READS.cdbs[1] });
  const overrun = new SgTransport(judgingNode(1, { overrun: true }).node, '/dev/sdx', false);
  await t.rejects(overrun.judge(READS), { code: 'ERR_TRANSPORT' });
});

t.test('each command that is traced is told with its own answer', async (t) => {
  const { asked, node } = judgingNode();
  const told: TracedCommand[] = [];
  const transport = traced(new SgTransport(node, '/dev/sdx', false), (one) => void told.push(one));
  t.match((await transport.judge(READS)).result, { reads: 1 });
  t.same(asked[0]?.cdbs, [READS.cdbs[0]]);
  t.match(told, [{ command: { cdb: READS.cdbs[0] }, reply: { outcome: { kind: 'good' }, retries: [] } }]);
  t.match(traceText(told[0]!), /, in 1040 bytes: GOOD/);
});

t.test('elsewhere the bytes are brought: what did not come has no verdict', async (t) => {
  const judged = (answer: object, fill: (data: Uint8Array) => void = () => {}) => {
    const sgIo = async ({ data }: SgRequest) => {
      fill(data!);
      return { ...GOOD, ...answer };
    };
    return new SgTransport({ sgIo }, '/dev/sdx', false).judge({ ...READ, profile: TYPE1, seed: 8n });
  };
  t.equal((await judged({})).result.verified, null, 'GOOD, and nothing came');
  t.equal(
    (await judged({}, (data) => data.fill(0xff, 0, 1032))).result.verified,
    null,
    'the last tuple did not',
  );
  const escaped = (data: Uint8Array) => data.fill(0xff);
  t.match((await judged({}, escaped)).result.verified, { escaped: 2, checked: 0 });
  t.equal((await judged({ resid: 8 }, escaped)).result.verified, null);
  t.equal((await judged({ status: 2 }, escaped)).result.verified, null);
  await t.rejects(judged({ overrun: true }, escaped), { code: 'ERR_TRANSPORT' });
  await t.rejects(judged({ errno: 19 }, escaped), { code: 'ERR_DEVICE_GONE' });
});
