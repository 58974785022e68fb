/** Plans and what runs by them, called as nobody should. What they say is in test/pi/prepared.test.ts. */
import t from 'tap';
import { type NativeGenerateJob, type NativeVerifyJob, native } from '../../src/binding.js';

const addon = native();

const JOB: NativeGenerateJob & NativeVerifyJob = {
  data: new Uint8Array(0),
  dataStride: 512,
  interval: 512,
  intervals: 0,
  metadata: new Uint8Array(0),
  metadataStart: 0,
  metadataStride: 8,
  piOffset: 0,
  guard: 0,
  seed: 0,
  appTags: new Uint32Array(0),
  refTag: 'count',
  checks: Uint8Array.of(2, 0),
  escape: 'app',
  escapeCovers: 'interval',
  appTag: 0,
  appTagMask: 0xffff,
  findingsMax: 10,
};
const BLOCKS = { ...JOB, metadataStart: 512, metadataStride: 520 };
const INTERLEAVED = { ...BLOCKS, dataStride: 520 };

const RUNS = [
  ['runGenerate', 'generatePlan', JOB],
  ['runVerify', 'verifyPlan', JOB],
  ['startGenerate', 'generatePlan', JOB],
  ['startVerify', 'verifyPlan', JOB],
  ['runInsert', 'generatePlan', BLOCKS],
  ['runStrip', 'verifyPlan', BLOCKS],
] as const;

const type = { code: 'ERR_INVALID_ARG_TYPE' };
const range = { code: 'ERR_OUT_OF_RANGE' };

t.test('wrong jobs', async (t) => {
  for (const name of ['generatePlan', 'verifyPlan'] as const) {
    for (const job of [undefined, null, 1, {}])
      t.throws(() => addon[name](job as never), type, `${name} ${job}`);
    t.throws(() => addon[name]({ ...JOB, guard: 3 } as never), range, name);
  }
});

t.test('wrong arguments', async (t) => {
  const plans = { generatePlan: addon.generatePlan(JOB), verifyPlan: addon.verifyPlan(JOB) };
  for (const [name, planned, job] of RUNS) {
    const byPlan = addon[name] as (...given: unknown[]) => unknown;
    const blocks = job === BLOCKS;
    const other = plans[planned === 'verifyPlan' ? 'generatePlan' : 'verifyPlan'];
    t.throws(() => byPlan(), type, `${name}: nothing`);
    for (const plan of [undefined, null, 1, {}, JOB, addon[planned], other])
      t.throws(() => byPlan(plan, 0n, new Uint8Array(0), new Uint8Array(0)), { ...type, message: /plan/ });

    const plan = addon[planned](job as never);
    const run = (...given: unknown[]) => byPlan(plan, ...given);
    const metadata = () => new Uint8Array(blocks ? 1040 : 16);
    const data = () => new Uint8Array(1024);
    t.throws(() => run(), type, 'a plan alone');
    t.throws(() => run(0n), type, 'no data');
    for (const seed of [undefined, 0, '0', null, {}]) t.throws(() => run(seed, data(), metadata()), type);
    for (const seed of [-1n, 2n ** 64n, 2n ** 200n]) t.throws(() => run(seed, data(), metadata()), range);
    for (const wrong of [
      1,
      'x',
      {},
      new Uint32Array(256),
      new ArrayBuffer(1024),
      new DataView(new ArrayBuffer(1024)),
    ]) {
      t.throws(() => run(0n, wrong, metadata()), type);
      t.throws(() => run(0n, data(), wrong), type);
    }
    for (const wrong of [null, undefined]) t.throws(() => run(0n, data(), wrong), type);
    t.throws(() => run(0n, data(), metadata().subarray(1)), range, 'metadata too short');
    t.throws(() => run(0n, data(), new Uint8Array(0)), range);
    if (blocks) t.throws(() => run(0n, data()), range, 'no blocks');
    t.doesNotThrow(() => run(2n ** 64n - 1n, data(), metadata()));
    t.doesNotThrow(() => run(0n, data().subarray(0, 1023), metadata()), 'what is left over is not looked at');
    t.doesNotThrow(() => run(0n, new Uint8Array(0), new Uint8Array(0), 'and more'));
  }
});

t.test('blocks', async (t) => {
  for (const [name, planned, job] of RUNS) {
    if (job !== BLOCKS) continue;
    const runOf = (changed: object) => {
      const plan = addon[planned]({ ...BLOCKS, ...changed } as never);
      return (data: Uint8Array, blocks: Uint8Array, seed: bigint) =>
        addon[name](plan as never, seed, data, blocks);
    };
    const [data, blocks] = [new Uint8Array(1024), new Uint8Array(1040)];
    const wrong: [object, RegExp][] = [
      [{ metadataStart: 0 }, /metadataStart/],
      [{ metadataStart: 520, metadataStride: 528 }, /metadata/],
      [{ metadataStride: 519 }, /metadataStride/],
      [{ piOffset: 1 }, /metadata/],
      [{ metadataStride: 521 }, /metadata/],
    ];
    for (const [change, message] of wrong) {
      const run = runOf(change);
      t.throws(() => run(data, blocks, 0n), { ...range, message }, `${name} ${JSON.stringify(change)}`);
    }
    const run = runOf({});
    const memory = new Uint8Array(2064);
    for (const start of [0, 1, 511, 1039]) {
      const overlapping = memory.subarray(start, start + 1024);
      t.throws(
        () => run(overlapping, memory.subarray(0, 1040), 0n),
        { ...range, message: /apart/ },
        `${start}`,
      );
    }
    t.doesNotThrow(() => run(memory.subarray(1040), memory.subarray(0, 1040), 0n));
    t.ok(data.every((byte) => byte === 0) && blocks.every((byte) => byte === 0), 'nothing was written');
  }
});

t.test('a verdict is a number only when all intervals were checked and none is bad', async (t) => {
  const data = new Uint8Array(1040);
  const plan = addon.verifyPlan(INTERLEAVED);
  addon.runGenerate(addon.generatePlan(INTERLEAVED), 5n, data);
  t.equal(addon.runVerify(plan, 5n, data), 2);
  t.match(addon.runVerify(plan, 6n, data), { bad: 2 });
  const unchecked = addon.verifyPlan({ ...INTERLEAVED, checks: new Uint8Array(0) });
  t.match(addon.runVerify(unchecked, 5n, data), { checked: 0, bad: 0 });
  data.fill(0xff, 512, 514 + 2);
  t.match(addon.runVerify(plan, 5n, data), { checked: 1, escaped: 1, bad: 0 });
});

t.test('shared and resizable memory does no harm', async (t) => {
  const Resizable = ArrayBuffer as new (length: number, options: { maxByteLength: number }) => ArrayBuffer;
  const resizable = new Resizable(1040, { maxByteLength: 2080 });
  const plan = addon.verifyPlan(INTERLEAVED);
  const tracking = new Uint8Array(resizable);
  t.match(addon.runVerify(plan, 0n, tracking), { bad: 1, checked: 2 });
  (resizable as ArrayBuffer & { resize(length: number): void }).resize(520);
  t.equal(addon.runVerify(plan, 0n, tracking), 1);
  t.equal(addon.runVerify(plan, 0n, new Uint8Array(new SharedArrayBuffer(520))), 1);
  const started = addon.startVerify(plan, 0n, new Uint8Array(new SharedArrayBuffer(520)));
  t.equal(await started.done, 1);
});

t.test('pinnedMemory', async (t) => {
  for (const bytes of [undefined, null, '1', {}]) t.throws(() => addon.pinnedMemory(bytes as never), type);
  for (const bytes of [-1, 0.5, Number.NaN, 2 ** 53]) t.throws(() => addon.pinnedMemory(bytes), range);
  t.throws(() => addon.pinnedMemory(2 ** 52), range, 'more than the machine has');
  t.equal(addon.alignedOffset(addon.pinnedMemory(10_000), 4096), 0);
});
