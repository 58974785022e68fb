import t from 'tap';
import type { SgRequest, SgVerifyRequest } from '../../src/binding.js';
import { openInProcess } from '../../src/device/in-process.js';
import { SgTransport } from '../../src/device/transport.js';
import { encodeCdb } from '../../src/scsi/commands.js';
import { InProcessNode } from '../../src/testbed/disk/in-process.js';
import { TYPE1 } from '../support/disk.js';
import { FilledDisk } from '../support/filled-disk.js';
import { GOOD } from '../support/target.js';

const BLOCKS = 2048;
const READ = { cdb: encodeCdb('READ(16)', { lba: 8n, blocks: 2, protect: 1 }), bytes: 1040 };

t.test('what is wrong is counted and named', async (t) => {
  await using filled = await FilledDisk.make({
    blocks: BLOCKS,
    checks: { guard: false, app: false, ref: false },
  });
  t.same(await filled.disk.judge('passthrough', 500n, 16), {
    checked: 16,
    escaped: 0,
    bad: 0,
    badIntervals: [],
  });
  for (const lba of [503, 510]) {
    await filled.change(lba, (block) => {
      block[3]! ^= 1;
    });
  }
  await filled.change(505, (block) => block.fill(0xff, 512));
  t.same(await filled.disk.judge('passthrough', 500n, 16), {
    checked: 15,
    escaped: 1,
    bad: 2,
    badIntervals: [3, 10],
  });
  await t.rejects(filled.disk.judge('block-pi', 0n, 1), { code: 'ERR_NO_PATH' });
  await t.rejects(filled.disk.judge('passthrough', 2047n, 2), { code: 'ERR_OUT_OF_RANGE' });
});

t.test('no verdict where tuples do not cross, or are refused', async (t) => {
  await using filled = await FilledDisk.make({ blocks: BLOCKS });
  await filled.change(500, (block) => {
    block[3]! ^= 1;
  });
  t.equal(await filled.disk.judge('passthrough', 500n, 1), null, 'the disk refuses it');
  await using strips = await FilledDisk.make({ blocks: BLOCKS });
  strips.emulated.addFault({ kind: 'strip-pi' });
  t.equal(await strips.disk.judge('passthrough', 500n, 1), null);
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
  t.match(await disk.judge('passthrough', 8n, 4), { bad: 0 });
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
  t.equal(await judged, null);
  t.match(await disk.judge('passthrough', 8n, 4), { bad: 0 }, 'proved anew');
});

t.test('the node judges where it can', async (t) => {
  const asked: SgVerifyRequest[] = [];
  const verified = { checked: 2, escaped: 0, bad: 1, badIntervals: Uint32Array.of(1) };
  const node = {
    sgIo: () => Promise.reject(new Error('not asked')),
    sgVerify: async (request: SgVerifyRequest) => {
      asked.push(request);
      return { ...GOOD, verified };
    },
  };
  const transport = new SgTransport(node, '/dev/sdx', false);
  const { result, outcome } = await transport.judge({ ...READ, profile: TYPE1, seed: 8n });
  t.match([outcome.kind, result.verdict], ['good', { bad: 1, badIntervals: [1] }]);
  t.match(asked, [
    { bytes: 1040, rule: { interval: 512, metadataSize: 8, guard: 0, seed: 8n, escape: 'app' } },
  ]);
  t.same([...asked[0]!.rule.checks], [2, 0]);
  await t.rejects(
    transport.judge({
      ...READ,
      cdb: encodeCdb('WRITE(16)', { lba: 8n, blocks: 2 }),
      profile: TYPE1,
      seed: 8n,
    }),
    { code: 'ERR_READ_ONLY' },
  );
  t.equal(asked.length, 1);
});

t.test('elsewhere the bytes are brought: what did not come has no verdict', async (t) => {
  const judged = (answer: object, fill: (data: Uint8Array) => void = () => {}) => {
    const sgIo = async ({ data }: SgRequest) => {
      fill(data!);
      return { ...GOOD, ...answer };
    };
    return new SgTransport({ sgIo }, '/dev/sdx', false).judge({ ...READ, profile: TYPE1, seed: 8n });
  };
  t.equal((await judged({})).result.verdict, null, 'GOOD, and nothing came');
  t.equal(
    (await judged({}, (data) => data.fill(0xff, 0, 1032))).result.verdict,
    null,
    'the last tuple did not',
  );
  const escaped = (data: Uint8Array) => data.fill(0xff);
  t.match((await judged({}, escaped)).result.verdict, { escaped: 2, checked: 0 });
  t.equal((await judged({ resid: 8 }, escaped)).result.verdict, null);
  t.equal((await judged({ status: 2 }, escaped)).result.verdict, null);
  await t.rejects(judged({ overrun: true }, escaped), { code: 'ERR_TRANSPORT' });
  await t.rejects(judged({ errno: 19 }, escaped), { code: 'ERR_DEVICE_GONE' });
});
