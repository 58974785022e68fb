import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { type Layout, nativeEngine, type PiEngine, plainEngine } from '../../src/pi/engine.js';
import { deinterleave } from '../../src/pi/interleave.js';
import { pinnedBuffer } from '../../src/pi/pinned.js';
import { profileByName } from '../../src/pi/profile.js';
import type { VerifyOptions, VerifyResult } from '../../src/pi/verify.js';
import { layouts, noise, profilesOf, protectedBlocks } from './blocks.js';

const ENGINES: Record<string, PiEngine> = { plain: plainEngine, native: nativeEngine };
const TYPE1 = profileByName('T10-DIF-TYPE1-CRC');
const OPTIONS = { profile: TYPE1, layout: 'interleaved', seed: 7n, type3Ref: 'zero' } as const;

/** Escapes and faults, some of them in one interval; the rule may end at an escape or cap the findings. */
const harms = fc.array(
  fc.record({
    place: fc.nat(2 ** 20),
    bytes: fc.constantFrom([0x01], [0xff], [0xff, 0xff], Array<number>(16).fill(0xff)),
  }),
  { maxLength: 8 },
);
const rules = fc.record({
  appTag: fc.constantFrom(undefined, 0, 5),
  appTags: fc.constantFrom(
    undefined,
    [{ first: 0, count: 2 ** 40, value: 9 }],
    [
      { first: 1, count: 3, value: 9 },
      { first: 15, count: 2, value: 8 },
      { first: 17, count: 40, value: 7 },
    ],
  ),
  escapeCovers: fc.constantFrom(undefined, undefined, 'rest'),
  findingsMax: fc.constantFrom(undefined, 0, 2),
  startInterval: fc.constantFrom(undefined, 100),
});

t.test('prepared, the engines say what they say at once, of any seed', async (t) => {
  const same = fc.property(
    profilesOf(),
    layouts,
    fc.nat(20),
    fc.bigInt(0n, 2n ** 64n - 1n),
    rules,
    harms,
    (profile, layout, intervals, seed, rule, harm) => {
      const job = { profile, layout, seed, type3Ref: 'zero', ...rule } as const;
      const { stream, metadata } = protectedBlocks(job, intervals, 1);
      const other = { ...job, seed: 3n };
      for (const engine of Object.values(ENGINES)) {
        const [data, tuples] = [stream.slice(), metadata?.slice() ?? null];
        const whole = [data, ...(tuples ? [tuples] : [])];
        for (const buffer of whole) buffer.fill(0x77, 0, buffer.length / 2);
        const expected = whole.map((buffer) => buffer.slice());
        plainEngine.generateInto(expected[0]!, expected[1] ?? null, { ...job, seed });
        engine.prepareGenerate(other).generateInto(data, tuples, seed);
        assert.deepEqual(whole, expected);
        for (const { place, bytes } of harm) {
          const buffer = whole[place % whole.length]!;
          if (buffer.length > 0) buffer.set(bytes.slice(0, 1), place % buffer.length);
        }
        const result = engine.prepareVerify(other).verify(data, tuples, seed);
        assert.deepEqual(result, plainEngine.verify(data, tuples, job));
        assert.deepEqual(
          engine.prepareVerify(job).verify(data, tuples),
          result,
          'by the seed of the options',
        );
      }
    },
  );
  t.doesNotThrow(() => fc.assert(same, { numRuns: 300 }));
});

t.test('insert and strip: the copy and the tuples in one', async (t) => {
  const seen = new Set<string>();
  const same = fc.property(
    profilesOf(),
    fc.constantFrom(0, 1, 15, 16, 17, 40),
    fc.bigInt(0n, 2n ** 64n - 1n),
    rules,
    harms,
    (profile, intervals, seed, rule, harm) => {
      const job = { profile, layout: 'interleaved', seed, type3Ref: 'zero', ...rule } as const;
      const { interval, metadataSize } = profile;
      const data = noise(intervals * interval, 2);
      const made = plainEngine.generate(data, job);
      const stripped = (blocks: Uint8Array) => deinterleave(blocks, interval, metadataSize).data;
      assert.deepEqual(stripped(made), data);
      const broken = made.slice();
      for (const { place, bytes } of harm) {
        if (intervals === 0) continue;
        const at =
          (place % intervals) * (interval + metadataSize) +
          (place % 2 ? interval + profile.piOffset + ((place >> 8) % profile.tupleSize) : 0);
        broken.set(bytes.slice(0, broken.length - at), at);
      }
      const expected = plainEngine.verify(broken, null, job);
      for (const engine of Object.values(ENGINES)) {
        const blocks = new Uint8Array(made.length).fill(0x5a);
        engine.insert(data, blocks, job);
        assert.deepEqual(blocks, made);
        assert.deepEqual(engine.generate(data, job), made);
        const out = new Uint8Array(data.length);
        const result = engine.strip(broken, out, job);
        assert.deepEqual(out, stripped(broken), 'all data, whatever is found');
        const places = ({ dataOffset: _, ...finding }: VerifyResult['findings'][number]) => finding;
        assert.deepEqual(
          { ...result, findings: result.findings.map(places) },
          { ...expected, findings: expected.findings.map(places) },
        );
        for (const { dataOffset, interval: number } of result.findings) {
          assert.equal(dataOffset, (number - (rule.startInterval ?? 0)) * interval, 'of the plain data');
        }
        for (const { check } of result.findings) seen.add(check);
        if (result.escaped > 0) seen.add('escaped');
      }
    },
  );
  t.doesNotThrow(() => fc.assert(same, { numRuns: 300 }));
  t.same([...seen].sort(), ['app', 'escaped', 'guard', 'ref'], 'every verdict came up');
});

/** More than a part, and no whole number of them. */
const MANY = 1300;

/** Ordinary memory and pinned, which jobs copy and hold. */
const MEMORIES: Record<string, (bytes: Uint8Array) => Uint8Array> = {
  ordinary: (bytes) => bytes.slice(),
  pinned(bytes) {
    const pinned = pinnedBuffer(bytes.length + 100).subarray(100);
    pinned.set(bytes);
    return pinned;
  },
};

t.test('the async forms say and do what the others do', async (t) => {
  for (const [name, engine] of Object.entries(ENGINES)) {
    for (const [memory, copied] of Object.entries(MEMORIES)) {
      for (const layout of ['separate', 'interleaved'] as const) {
        await t.test(`${name}, ${memory} memory, ${layout}`, (t) =>
          sameInBackground(t, engine, copied, layout),
        );
      }
    }
  }
});

async function sameInBackground(
  t: Test,
  engine: PiEngine,
  copied: (bytes: Uint8Array) => Uint8Array,
  layout: Layout,
): Promise<void> {
  const appTags = [
    { first: 3, count: 600, value: 1 },
    { first: 700, count: 2, value: 2 },
    { first: 1024, count: 1000, value: 3 },
  ];
  const job = { ...OPTIONS, layout, appTag: 4, appTags };
  const { stream, metadata } = protectedBlocks(job, MANY, 3);
  const [data, tuples] = [copied(stream), metadata && copied(metadata)];
  const target = tuples ?? data;
  const clean = target.slice();
  if (tuples) tuples.fill(0x5a);
  else for (let i = 0; i < MANY; i++) data.fill(0x5a, i * 520 + 512, (i + 1) * 520);
  await engine.generateIntoAsync(data, tuples, job);
  t.ok(Buffer.compare(target, clean) === 0, 'the same tuples');
  t.match(await engine.verifyAsync(data, tuples, job), { ok: true, checked: MANY });

  const dataStride = layout === 'separate' ? 512 : 520;
  const tupleAt = (i: number) => (layout === 'separate' ? i * 8 : i * 520 + 512);
  for (const i of [0, 5, 511, 512, 513, 700, 1023, 1024, MANY - 1]) data[i * dataStride + 11]! ^= 1;
  for (const i of [6, 800]) target.fill(0xff, tupleAt(i), tupleAt(i) + 4);
  for (const i of [5, 900]) target[tupleAt(i) + 7]! ^= 1;
  for (const i of [701, 1200]) target[tupleAt(i) + 3]! ^= 1;
  const rules: Partial<VerifyOptions>[] = [
    {},
    { findingsMax: 4, startInterval: 10 },
    { escapeCovers: 'rest', order: 't10' },
    { checks: ['ref'] },
    { seed: 2n ** 32n - 600n },
  ];
  for (const rule of rules) {
    const options = { ...job, ...rule };
    const expected = plainEngine.verify(data, tuples, options);
    t.ok(expected.bad > 0);
    t.same(await engine.verifyAsync(data, tuples, options), expected, Object.keys(rule).join());
  }
  const prepared = engine.prepareVerify({ ...job, seed: 99n });
  const jobs = Array.from({ length: 20 }, (_, i) => prepared.verifyAsync(data, tuples, { seed: BigInt(i) }));
  const expected = jobs.map(
    (_, i) => plainEngine.verify(data, tuples, { ...job, seed: BigInt(i) }).badByCheck,
  );
  t.same(
    (await Promise.all(jobs)).map(({ badByCheck }) => badByCheck),
    expected,
    'twenty at once',
  );
}

t.test('a signal ends a job, with its reason', async (t) => {
  const bytes = 32 * 1024 * 520;
  for (const [name, engine] of Object.entries(ENGINES)) {
    const blocks = pinnedBuffer(name === 'plain' ? 520 : bytes);
    const reason = new Error('enough');
    const aborted = AbortSignal.abort(reason);
    await t.rejects(
      engine.verifyAsync(blocks, null, OPTIONS, { signal: aborted }),
      reason,
      `${name}: before`,
    );
    await t.rejects(engine.generateIntoAsync(blocks, null, OPTIONS, { signal: aborted }), reason);
    t.ok(
      blocks.every((byte) => byte === 0),
      'nothing was written',
    );

    const controller = new AbortController();
    const { signal } = controller;
    const jobs = Array.from({ length: 30 }, () => engine.verifyAsync(blocks, null, OPTIONS, { signal }));
    const generating = engine.generateIntoAsync(blocks.slice(), null, OPTIONS, { signal });
    controller.abort(reason);
    const ends = await Promise.allSettled([...jobs, generating]);
    t.same(
      ends.map((end) => end.status === 'rejected' && end.reason),
      Array(31).fill(reason),
      `${name}: in the middle`,
    );
    const later = new AbortController();
    t.match(await engine.verifyAsync(blocks.subarray(0, 520), null, OPTIONS, later), { intervals: 1 });
    later.abort(reason);
    t.match(await engine.verifyAsync(blocks.subarray(0, 520), null, OPTIONS), { intervals: 1 }, 'after');
  }
});

t.test('a job that is aborted ends before its end', async (t) => {
  const data = pinnedBuffer(2 ** 28);
  const tuples = pinnedBuffer(2 ** 22);
  const { signal, abort } = withAbort();
  const options = { ...OPTIONS, layout: 'separate' } as const;
  const job = nativeEngine.generateIntoAsync(data, tuples, options, { signal });
  abort();
  await t.rejects(job, { name: 'AbortError' });
  t.same([...tuples.subarray(-8)], Array(8).fill(0), 'the last tuple was not made');
  await nativeEngine.generateIntoAsync(data.subarray(0, 512), tuples.subarray(0, 8), options);
  t.same([...tuples.subarray(0, 8)], [0, 0, 0, 0, 0, 0, 0, 7]);
});

function withAbort(): { signal: AbortSignal; abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

t.test('memory that is transferred away under a job', async (t) => {
  const { stream, metadata } = protectedBlocks({ ...OPTIONS, layout: 'separate' }, MANY, 4);
  const options = { ...OPTIONS, layout: 'separate' } as const;
  const verified = nativeEngine.verifyAsync(stream, metadata, options);
  const [data, tuples] = structuredClone([stream, metadata!], {
    transfer: [stream.buffer as ArrayBuffer, metadata!.buffer as ArrayBuffer],
  });
  t.equal(stream.length, 0, 'it is gone');
  t.match(await verified, { ok: true, checked: MANY }, 'is verified as it was');

  const generated = nativeEngine.generateIntoAsync(data!, tuples!, options);
  structuredClone(tuples, { transfer: [tuples!.buffer as ArrayBuffer] });
  await t.rejects(
    generated,
    { name: 'IntegrityError', code: 'ERR_USAGE', message: /metadata/ },
    'cannot be filled',
  );

  const blocks = new Uint8Array(MANY * 520);
  const made = nativeEngine.generateIntoAsync(blocks, null, OPTIONS);
  blocks[5] = 99;
  await made;
  t.equal(blocks[5], 99, 'what was written beside the tuples meanwhile stays');

  // Node keeps memory of an addon's from postMessage, but not from ArrayBuffer.prototype.transfer of Node 22.
  const pinned = pinnedBuffer(MANY * 512);
  pinned.set(data!);
  const prepared = nativeEngine.prepareVerify(options);
  const jobs = Array.from({ length: 20 }, () => prepared.verifyAsync(pinned, metadataOf(data!)));
  const memory = pinned.buffer as ArrayBuffer & { transfer?: (length: number) => ArrayBuffer };
  memory.transfer?.(0);
  await nextTurn();
  for (const result of await Promise.all(jobs)) t.equal(result.ok, true);
});

function metadataOf(data: Uint8Array): Uint8Array {
  return plainEngine.generate(data, { ...OPTIONS, layout: 'separate' });
}

t.test('memory that is none, or can change under the work, and lengths that do not fit', async (t) => {
  // ES2024, in Node 20 but not in the types for its ES2023.
  const Resizable = ArrayBuffer as new (length: number, options: { maxByteLength: number }) => ArrayBuffer;
  const detached = new Uint8Array(520);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  const usage: [string, unknown, RegExp][] = [
    ['shared', new Uint8Array(new SharedArrayBuffer(520)), /SharedArrayBuffer/],
    ['resizable', new Uint8Array(new Resizable(520, { maxByteLength: 1040 })), /resizable/],
    ['detached', detached, /detached/],
    ['words', new Uint32Array(130), /Uint8Array/],
    ['an ArrayBuffer', new ArrayBuffer(520), /Uint8Array/],
    ['a lookalike', Object.create(Uint8Array.prototype), /Uint8Array/],
    ['null', null, /Uint8Array/],
    ['undefined', undefined, /Uint8Array/],
    ['a string', 'x'.repeat(520), /Uint8Array/],
  ];
  const good = new Uint8Array(520);
  const separate = { ...OPTIONS, layout: 'separate' } as const;
  for (const [name, engine] of Object.entries(ENGINES)) {
    const calls: Record<string, (given: never) => unknown> = {
      generate: (given) => engine.generate(given, OPTIONS),
      generateInto: (given) => engine.generateInto(given, null, OPTIONS),
      verify: (given) => engine.verify(given, null, OPTIONS),
      'prepared verify': (given) => engine.prepareVerify(OPTIONS).verify(given, null),
      'prepared generateInto': (given) => engine.prepareGenerate(OPTIONS).generateInto(given, null),
      insert: (given) => engine.insert(good.subarray(0, 512), given, OPTIONS),
      'insert from': (given) => engine.insert(given, new Uint8Array(520), OPTIONS),
      strip: (given) => engine.strip(given, new Uint8Array(512), OPTIONS),
      'strip to': (given) => engine.strip(new Uint8Array(520), given, OPTIONS),
    };
    const metadataCalls: Record<string, (given: never) => unknown> = {
      'generateInto metadata': (given) => engine.generateInto(new Uint8Array(0), given, separate),
      'verify metadata': (given) => engine.verify(new Uint8Array(0), given, separate),
    };
    const asyncCalls: Record<string, (given: never) => Promise<unknown>> = {
      verifyAsync: (given) => engine.verifyAsync(given, null, OPTIONS),
      generateIntoAsync: (given) => engine.generateIntoAsync(given, null, OPTIONS),
    };
    for (const [kind, value, message] of usage) {
      const error = { name: 'IntegrityError', code: 'ERR_USAGE', message };
      for (const [call, make] of Object.entries(calls)) {
        t.throws(() => make(value as never), error, `${name} ${call}: ${kind}`);
      }
      if (value !== null && value !== undefined) {
        for (const [call, make] of Object.entries(metadataCalls)) {
          t.throws(() => make(value as never), error, `${name} ${call}: ${kind}`);
        }
      }
      for (const [call, make] of Object.entries(asyncCalls)) {
        await t.rejects(make(value as never), error, `${name} ${call}: ${kind}`);
      }
    }

    const length = { name: 'IntegrityError', code: 'ERR_BAD_LENGTH' };
    for (const bytes of [1, 511, 519, 521, 4160 - 1]) {
      const odd = new Uint8Array(bytes);
      for (const [call, make] of Object.entries(calls)) {
        t.throws(() => make(odd as never), length, `${name} ${call}: ${bytes} bytes`);
      }
      for (const make of Object.values(asyncCalls)) await t.rejects(make(odd as never), length);
    }
    const verify = engine.prepareVerify(separate);
    t.throws(() => verify.verify(new Uint8Array(512), new Uint8Array(7)), length);
    t.throws(() => verify.verify(new Uint8Array(512), null), length);
    t.throws(() => engine.strip(new Uint8Array(1040), new Uint8Array(512), OPTIONS), length, 'too much');
    t.throws(() => engine.insert(new Uint8Array(1024), new Uint8Array(520), OPTIONS), length, 'too little');
    t.throws(() => verify.strip(new Uint8Array(520), new Uint8Array(512)), {
      code: 'ERR_USAGE',
      message: /layout/,
    });
    const memory = new Uint8Array(2000);
    for (const start of [0, 511, 519]) {
      const [blocks, data] = [memory.subarray(start, start + 520), memory.subarray(519, 519 + 512)];
      if (start === 519) t.doesNotThrow(() => engine.strip(memory.subarray(1031, 1551), data, OPTIONS));
      else t.throws(() => engine.strip(blocks, data, OPTIONS), { code: 'ERR_USAGE', message: /overlap/ });
      if (start !== 519)
        t.throws(() => engine.insert(data, blocks, OPTIONS), { code: 'ERR_USAGE', message: /overlap/ });
    }

    const nothing = { ok: true, intervals: 0, checked: 0, escaped: 0, bad: 0, findings: [] };
    const empty = new Uint8Array(0);
    t.match(engine.prepareVerify(OPTIONS).verify(empty, null), nothing);
    t.match(engine.strip(empty, empty, OPTIONS), nothing);
    t.match(await engine.verifyAsync(empty, null, OPTIONS), nothing);
    await engine.generateIntoAsync(empty, null, OPTIONS);
    t.equal(engine.generate(empty, OPTIONS).length, 0);
    for (const seed of [-1n, 2n ** 64n, 0, '0', null]) {
      const range = { name: 'IntegrityError', code: 'ERR_OUT_OF_RANGE', message: /seed/ };
      t.throws(
        () => engine.prepareVerify(OPTIONS).verify(good, null, seed as never),
        range,
        `${name}: ${seed}`,
      );
      t.throws(() => engine.prepareGenerate(OPTIONS).generateInto(good, null, seed as never), range);
      await t.rejects(engine.prepareVerify(OPTIONS).verifyAsync(good, null, { seed } as never), range);
    }
  }
  for (const bytes of [-1, 0.5, 2 ** 60, Number.NaN, '1', null]) {
    t.throws(
      () => pinnedBuffer(bytes as never),
      { name: 'IntegrityError', code: 'ERR_OUT_OF_RANGE' },
      `${bytes}`,
    );
  }
  t.equal(pinnedBuffer(0).length, 0);
  t.ok(pinnedBuffer(5000).every((byte) => byte === 0));
});

t.test('memory that was fit before, and is detached since', async (t) => {
  for (const [name, engine] of Object.entries(ENGINES)) {
    const checker = engine.prepareVerify(OPTIONS);
    const blocks = engine.generate(noise(8 * 512, 1), OPTIONS);
    for (let i = 0; i < 3; i++) t.match(checker.verify(blocks, null), { ok: true, checked: 8 }, name);
    structuredClone(blocks.buffer, { transfer: [blocks.buffer as ArrayBuffer] });
    t.throws(() => checker.verify(blocks, null), { code: 'ERR_USAGE', message: /detached/ }, name);
  }
});

t.test('a length that is not true: what was looked at is told, not what was said', async (t) => {
  class Longer extends Uint8Array {
    override get length() {
      return 4 * this.byteLength;
    }
  }
  const options = { profile: TYPE1, layout: 'interleaved', seed: 0n } as const;
  const blocks = nativeEngine.generate(new Uint8Array(1024).fill(1), { ...options, type3Ref: 'zero' });
  const { verify } = nativeEngine.prepareVerify(options);
  t.match(verify(new Longer(blocks), null), { ok: true, intervals: 2, checked: 2 });
});
