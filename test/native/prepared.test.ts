/** The prepared functions, called as nobody should. What they say is in test/pi/prepared.test.ts. */
import t from 'tap';
import {
  type NativeGenerateJob,
  type NativePrepared,
  type NativeVerifyJob,
  native,
} from '../../src/binding.js';

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

const NAMES = ['prepareGenerate', 'prepareVerify', 'prepareGenerateAsync', 'prepareVerifyAsync'] as const;
const COPYING = ['prepareInsert', 'prepareStrip'] as const;

const type = { code: 'ERR_INVALID_ARG_TYPE' };
const range = { code: 'ERR_OUT_OF_RANGE' };

t.test('wrong arguments', async (t) => {
  for (const name of [...NAMES, ...COPYING]) {
    const prepare = addon[name] as (job: never) => NativePrepared<unknown>;
    for (const job of [undefined, null, 1, {}]) t.throws(() => prepare(job as never), type, `${name} ${job}`);
    t.throws(() => prepare({ ...JOB, guard: 3 } as never), range, name);

    const blocks = name === 'prepareInsert' || name === 'prepareStrip';
    const run = prepare((blocks ? BLOCKS : JOB) as never) as (...given: unknown[]) => unknown;
    const metadata = () => new Uint8Array(blocks ? 1040 : 16);
    const data = () => new Uint8Array(1024);
    t.throws(() => run(), type, `${name}: nothing`);
    t.throws(() => run(data()), type);
    t.throws(() => run(data(), metadata()), type, 'no seed');
    for (const seed of [0, '0', null, {}]) t.throws(() => run(data(), metadata(), seed), type);
    for (const seed of [-1n, 2n ** 64n, 2n ** 200n]) t.throws(() => run(data(), metadata(), seed), range);
    for (const wrong of [
      1,
      'x',
      {},
      new Uint32Array(256),
      new ArrayBuffer(1024),
      new DataView(new ArrayBuffer(1024)),
    ]) {
      t.throws(() => run(wrong, metadata(), 0n), type);
      t.throws(() => run(data(), wrong, 0n), type);
    }
    t.throws(() => run(data(), metadata().subarray(1), 0n), range, 'metadata too short');
    t.throws(() => run(data(), new Uint8Array(0), 0n), range);
    if (blocks) t.throws(() => run(data(), null, 0n), range, 'no blocks');
    t.doesNotThrow(() => run(data(), metadata(), 2n ** 64n - 1n));
    t.doesNotThrow(() => run(data().subarray(0, 1023), metadata(), 0n), 'what is left over is not looked at');
    t.doesNotThrow(() => run(new Uint8Array(0), new Uint8Array(0), 0n, 'and more'));
  }
});

t.test('blocks', async (t) => {
  for (const name of COPYING) {
    const prepare = addon[name] as (job: never) => NativePrepared<unknown>;
    const [data, blocks] = [new Uint8Array(1024), new Uint8Array(1040)];
    const wrong: [object, RegExp][] = [
      [{ metadataStart: 0 }, /metadataStart/],
      [{ metadataStart: 520, metadataStride: 528 }, /metadata/],
      [{ metadataStride: 519 }, /metadataStride/],
      [{ piOffset: 1 }, /metadata/],
      [{ metadataStride: 521 }, /metadata/],
    ];
    for (const [change, message] of wrong) {
      const run = prepare({ ...BLOCKS, ...change } as never);
      t.throws(() => run(data, blocks, 0n), { ...range, message }, `${name} ${JSON.stringify(change)}`);
    }
    const run = prepare(BLOCKS as never);
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

t.test('a verdict is undefined only when all intervals were checked and none is bad', async (t) => {
  const data = new Uint8Array(1040);
  const verify = addon.prepareVerify(INTERLEAVED);
  addon.prepareGenerate(INTERLEAVED)(data, null, 5n);
  t.equal(verify(data, null, 5n), undefined);
  t.match(verify(data, null, 6n), { bad: 2 });
  t.match(addon.prepareVerify({ ...INTERLEAVED, checks: new Uint8Array(0) })(data, null, 5n), {
    checked: 0,
    bad: 0,
  });
  data.fill(0xff, 512, 514 + 2);
  t.match(verify(data, null, 5n), { checked: 1, escaped: 1, bad: 0 });
});

t.test('shared and resizable memory does no harm', async (t) => {
  const Resizable = ArrayBuffer as new (length: number, options: { maxByteLength: number }) => ArrayBuffer;
  const resizable = new Resizable(1040, { maxByteLength: 2080 });
  const verify = addon.prepareVerify(INTERLEAVED);
  const tracking = new Uint8Array(resizable);
  t.match(verify(tracking, null, 0n), { bad: 1, checked: 2 });
  (resizable as ArrayBuffer & { resize(length: number): void }).resize(520);
  t.equal(verify(tracking, null, 0n), undefined);
  t.equal(verify(new Uint8Array(new SharedArrayBuffer(520)), null, 0n), undefined);
  const started = addon.prepareVerifyAsync(INTERLEAVED)(new Uint8Array(new SharedArrayBuffer(520)), null, 0n);
  t.equal(await started.done, undefined);
});

t.test('pinnedMemory', async (t) => {
  for (const bytes of [undefined, null, '1', {}]) t.throws(() => addon.pinnedMemory(bytes as never), type);
  for (const bytes of [-1, 0.5, Number.NaN, 2 ** 53]) t.throws(() => addon.pinnedMemory(bytes), range);
  t.throws(() => addon.pinnedMemory(2 ** 52), range, 'more than the machine has');
  t.equal(addon.alignedOffset(addon.pinnedMemory(10_000), 4096), 0);
});
