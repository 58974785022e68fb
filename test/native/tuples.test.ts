import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import {
  type NativeGenerateJob,
  type NativeTupleJob,
  type NativeVerifyJob,
  native,
} from '../../src/binding.js';

const { generate, verify } = native();

const ALL_ONES = 2n ** 64n - 1n;

/** By guard: how its tuple is laid out, the application tag of 2 bytes between the two. */
const FORMATS = [
  { guardBytes: 2, refBytes: 4 },
  { guardBytes: 2, refBytes: 4 },
  { guardBytes: 8, refBytes: 6 },
] as const;

const tupleBytes = (guard: NativeTupleJob['guard']) =>
  FORMATS[guard].guardBytes + 2 + FORMATS[guard].refBytes;

const get = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).toString('hex')}`);

function put(bytes: Uint8Array, value: bigint): void {
  bytes.set(Buffer.from(value.toString(16).padStart(2 * bytes.length, '0'), 'hex'));
}

// The oracle: the definitions, written out as plainly as they can be.
const oracle = {
  crc16(bytes: readonly number[]): number {
    let crc = 0;
    for (const byte of bytes) {
      crc ^= byte << 8;
      for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x8bb7 : 0)) & 0xffff;
    }
    return crc;
  },
  ip(bytes: readonly number[]): number {
    let sum = bytes.reduce((total, byte, i) => total + (i % 2 === 0 ? byte * 256 : byte), 0);
    while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
    return 0xffff - sum;
  },
  crc64(bytes: readonly number[]): bigint {
    let crc = 2n ** 64n - 1n;
    for (const byte of bytes) {
      crc ^= BigInt(byte);
      for (let bit = 0; bit < 8; bit++) crc = (crc >> 1n) ^ (crc & 1n ? 0x9a6c9329ac4bc9b5n : 0n);
    }
    return crc ^ (2n ** 64n - 1n);
  },
  /** What is known of interval i: its tuple, its computed guard and its expected reference tag. */
  interval(job: NativeTupleJob, i: number) {
    const data = job.data.subarray(i * job.dataStride).subarray(0, job.interval);
    const metadata = job.metadata.subarray(job.metadataStart + i * job.metadataStride);
    const covered = [...data, ...metadata.subarray(0, job.piOffset)];
    const { guardBytes, refBytes } = FORMATS[job.guard];
    const tuple = metadata.subarray(job.piOffset);
    return {
      guardAt: tuple.subarray(0, guardBytes),
      appAt: tuple.subarray(guardBytes, guardBytes + 2),
      refAt: tuple.subarray(guardBytes + 2, guardBytes + 2 + refBytes),
      guard: BigInt([oracle.crc16, oracle.ip, oracle.crc64][job.guard]!(covered)),
      ref: BigInt.asUintN(8 * refBytes, BigInt(job.seed) + BigInt(i)),
    };
  },
  appTag(job: NativeTupleJob & { appTag: number }, i: number): number {
    let tag = job.appTag;
    for (let k = 0; k < job.appTags.length; k += 3) {
      const [first, count, value] = job.appTags.subarray(k, k + 3);
      if (i >= first! && i < first! + count!) tag = value!;
    }
    return tag;
  },
  generate(job: NativeGenerateJob): void {
    for (let i = 0; i < job.intervals; i++) {
      const { guardAt, appAt, refAt, guard, ref } = oracle.interval(job, i);
      put(guardAt, guard);
      put(appAt, BigInt(oracle.appTag(job, i)));
      put(refAt, job.refTag === 'count' ? ref : 0n);
    }
  },
  verify(job: NativeVerifyJob) {
    const result = { checked: 0, escaped: 0, bad: 0, badByCheck: [0, 0, 0], findings: [] as bigint[] };
    for (let i = 0; i < job.intervals; i++) {
      const { guardAt, appAt, refAt, guard, ref } = oracle.interval(job, i);
      const stored = [guardAt, appAt, refAt].map(get);
      const computed = [guard, BigInt(oracle.appTag(job, i)), ref];
      if (stored[1] === 0xffffn && (job.escape === 'app' || refAt.every((byte) => byte === 0xff))) {
        result.escaped++;
        if (job.escapeCovers === 'rest') break;
        continue;
      }
      const compared = [...job.checks].filter((check) => check !== 1 || computed[1] !== -1n);
      if (compared.length > 0) result.checked++;
      const masks = [ALL_ONES, BigInt(job.appTagMask), ALL_ONES];
      const differ = compared.filter((k) => ((stored[k]! ^ computed[k]!) & masks[k]!) !== 0n);
      const first = differ[0];
      if (first === undefined) continue;
      result.bad++;
      result.badByCheck[first]!++;
      if (result.findings.length < 5 * job.findingsMax) {
        const bits = differ.reduce((sum, check) => sum + 2 ** check, 0);
        result.findings.push(...[i, first, stored[first]!, computed[first]!, bits].map(BigInt));
      }
    }
    return result;
  },
};

/** As the kernel checks. */
const CHECKS = {
  checks: Uint8Array.of(2, 0),
  escape: 'app',
  escapeCovers: 'interval',
  appTag: -1,
  appTagMask: 0xffff,
  findingsMax: 1000,
} as const;
const ALL_CHECKS = Uint8Array.of(2, 0, 1);

function separate(intervals: number, more: Partial<NativeTupleJob> = {}): NativeTupleJob {
  return {
    data: new Uint8Array(intervals * 512).fill(0x33),
    dataStride: 512,
    interval: 512,
    intervals,
    metadata: new Uint8Array(intervals * 8),
    metadataStart: 0,
    metadataStride: 8,
    piOffset: 0,
    guard: 0,
    seed: 16,
    appTags: new Uint32Array(0),
    ...more,
  };
}

/** Any layout that fits: separate or interleaved, with gaps between and metadata around the tuple. */
const anyJob: fc.Arbitrary<NativeTupleJob> = fc
  .record({
    interleaved: fc.boolean(),
    interval: fc.integer({ min: 1, max: 70 }),
    intervals: fc.integer({ min: 0, max: 6 }),
    dataGap: fc.integer({ min: 0, max: 5 }),
    metadataStart: fc.integer({ min: 0, max: 9 }),
    metadataGap: fc.integer({ min: 0, max: 5 }),
    piOffset: fc.integer({ min: 0, max: 9 }),
    guard: fc.constantFrom<0 | 1 | 2>(0, 1, 2),
    seed: fc.oneof(fc.integer({ min: 0, max: 0xffffffff }), fc.integer({ min: 0xfffffffa, max: 0xffffffff })),
    seedAbove32Bits: fc.constantFrom(0, 7, 0xffff),
    appTags: fc
      .array(fc.tuple(fc.nat(2), fc.integer({ min: 1, max: 3 }), fc.constantFrom(0, 7, 0x1234)), {
        maxLength: 3,
      })
      .map((gaps) => {
        let end = 0;
        const ranges = gaps.map(([gap, count, value]) => {
          const first = end + gap;
          end = first + count;
          return [first, count, value];
        });
        return Uint32Array.from(ranges.flat());
      }),
    bytes: fc.infiniteStream(fc.integer({ min: 0, max: 255 })),
  })
  .map(({ interleaved, dataGap, metadataGap, bytes, seedAbove32Bits, ...given }) => {
    const { interval, intervals, piOffset } = given;
    const job = { ...given, seed: given.seed + (given.guard === 2 ? seedAbove32Bits * 2 ** 32 : 0) };
    const fill = (length: number) => Uint8Array.from({ length }, () => bytes.next().value as number);
    const metadataSize = piOffset + tupleBytes(job.guard) + metadataGap;
    if (interleaved) {
      const stride = interval + metadataSize;
      const stream = fill(stride * intervals);
      const strides = { dataStride: stride, metadataStride: stride, metadataStart: interval };
      return { ...job, ...strides, data: stream, metadata: stream };
    }
    const dataStride = interval + dataGap;
    const data = fill(dataStride * intervals);
    const metadata = fill(job.metadataStart + metadataSize * intervals);
    return { ...job, data, dataStride, metadata, metadataStride: metadataSize };
  });

/** The same job over copies of its buffers. */
function copied<Job extends NativeTupleJob>(job: Job): Job {
  const data = job.data.slice();
  return { ...job, data, metadata: job.metadata === job.data ? data : job.metadata.slice() };
}

t.test(
  'generate: the same bytes as the definition, in every layout, and no other byte touched',
  async (t) => {
    fc.assert(
      fc.property(
        anyJob,
        fc.constantFrom('count', 'zero'),
        fc.integer({ min: 0, max: 0xffff }),
        (layout, refTag, appTag) => {
          const job: NativeGenerateJob = { ...layout, refTag, appTag };
          const expected = copied(job);
          oracle.generate(expected);
          generate(job);
          assert.deepEqual([job.data, job.metadata], [expected.data, expected.metadata]);
        },
      ),
      { numRuns: 300 },
    );
    t.pass('300 jobs');
  },
);

t.test('verify: the same answer as the definition, whatever the bytes', async (t) => {
  const seen = new Set<unknown>();
  fc.assert(
    fc.property(
      anyJob,
      fc.record({
        checks: fc.shuffledSubarray([0, 1, 2]).map((checks) => Uint8Array.from(checks)),
        escape: fc.constantFrom('app', 'app-and-ref'),
        escapeCovers: fc.constantFrom('interval', 'interval', 'rest'),
        appTag: fc.constantFrom(-1, 0, 7, 0xffff),
        appTagMask: fc.constantFrom(0xffff, 0xffff, 0, 7),
        findingsMax: fc.constantFrom(0, 1, 3, 1000),
      }),
      fc.array(
        fc.record({
          interval: fc.nat(5),
          harm: fc.constantFrom('data', 'guard', 'app', 'ref', 'escape app', 'escape ref'),
        }),
      ),
      (layout, rule, harms) => {
        const job: NativeVerifyJob = { ...layout, ...rule };
        oracle.generate({ ...job, refTag: 'count', appTag: 7 });
        for (const { interval, harm } of harms) {
          if (interval >= job.intervals) continue;
          const { guardAt, appAt, refAt } = oracle.interval(job, interval);
          if (harm === 'data') job.data[interval * job.dataStride]! ^= 0x10;
          if (harm === 'guard') put(guardAt, get(guardAt) ^ 0x8001n);
          if (harm === 'app') put(appAt, 0x1234n);
          if (harm === 'ref') put(refAt, get(refAt) ^ 0x80000001n);
          if (harm === 'escape app') appAt.fill(0xff);
          if (harm === 'escape ref') refAt.fill(0xff);
        }
        const before = copied(job);
        const { findings, ...counts } = verify(job);
        assert.deepEqual({ ...counts, findings: [...findings] }, oracle.verify(job));
        assert.deepEqual([job.data, job.metadata], [before.data, before.metadata], 'nothing is written');
        if (counts.escaped > 0) seen.add('escaped');
        for (let i = 1; i < findings.length; i += 5) seen.add(Number(findings[i]));
      },
    ),
    { numRuns: 500 },
  );
  t.same(seen, new Set(['escaped', 0, 1, 2]), 'every kind of answer came up');
});

t.test("the tuples that real kernels' disks hold", async (t) => {
  const job = separate(2);
  generate({ ...job, refTag: 'count', appTag: 0x1234 });
  t.equal(Buffer.from(job.metadata).toString('hex'), 'b218123400000010b218123400000011');
  const zeros = separate(1, { data: new Uint8Array(512), seed: 8 });
  generate({ ...zeros, refTag: 'count', appTag: 0 });
  t.equal(Buffer.from(zeros.metadata).toString('hex'), '0000000000000008');
});

t.test('one finding an interval, of the first check that differs', async (t) => {
  const job = separate(3);
  generate({ ...job, refTag: 'count', appTag: 1 });
  job.data.fill(0x34);
  job.metadata[7] = 0x99;
  const guard = Number(oracle.interval(job, 1).guard);
  const all = { ...job, ...CHECKS, checks: ALL_CHECKS, appTag: 2 };
  t.same(
    [...verify(all).findings].map(Number),
    [0, 2, 0x99, 16, 7, 1, 0, 0xb218, guard, 3, 2, 0, 0xb218, guard, 3],
    'reference tag, guard, application tag',
  );
  t.same(verify(all).badByCheck, [2, 0, 1]);
  t.same(
    [...verify({ ...all, checks: Uint8Array.of(1, 0, 2), findingsMax: 1 }).findings].map(Number),
    [0, 1, 1, 2, 7],
    'application tag first',
  );
  job.data.fill(0x33);
  t.same(
    [...verify({ ...all, checks: Uint8Array.of(0, 1) }).findings].map(Number),
    [0, 1, 1, 2, 2, 1, 1, 1, 2, 2, 2, 1, 1, 2, 2],
  );
  t.match(verify({ ...all, checks: new Uint8Array(0) }), { checked: 0, bad: 0 }, 'nothing is compared');
  t.match(verify({ ...all, checks: Uint8Array.of(1), appTagMask: 0xfffc }), { checked: 3, bad: 0 });
});

t.test('escapes', async (t) => {
  const job = separate(2);
  job.metadata.fill(0xff);
  t.match(verify({ ...job, ...CHECKS }), { escaped: 2, bad: 0 });
  t.match(verify({ ...job, ...CHECKS, escape: 'app-and-ref' }), { escaped: 2, bad: 0 });
  job.metadata[4] = 0;
  t.match(verify({ ...job, ...CHECKS }), { escaped: 2, bad: 0 }, 'the application tag alone');
  t.match(verify({ ...job, ...CHECKS, escape: 'app-and-ref' }), { escaped: 1, bad: 1 }, 'both are needed');
});

t.test('reference tags wrap at 2^32', async (t) => {
  const job = separate(3, { seed: 0xffffffff });
  generate({ ...job, refTag: 'count', appTag: 0 });
  const refs = [0, 1, 2].map((i) => new DataView(job.metadata.buffer).getUint32(8 * i + 4));
  t.same(refs, [0xffffffff, 0, 1]);
  t.match(verify({ ...job, ...CHECKS }), { escaped: 0, bad: 0 });
});

t.test('those of 16 bytes wrap at 2^48', async (t) => {
  const job = separate(2, {
    guard: 2,
    seed: 2 ** 48 - 1,
    metadata: new Uint8Array(32),
    metadataStride: 16,
  });
  generate({ ...job, refTag: 'count', appTag: 0x1234 });
  const tags = [0, 1].map((i) => Buffer.from(job.metadata).toString('hex', 16 * i + 8, 16 * i + 16));
  t.same(tags, ['1234ffffffffffff', '1234000000000000']);
  t.match(verify({ ...job, ...CHECKS }), { escaped: 0, bad: 0 });
  t.throws(() => verify({ ...job, ...CHECKS, seed: 2 ** 48 }), {
    code: 'ERR_OUT_OF_RANGE',
    message: /^seed /,
  });
});

t.test('findings are capped, counts are not', async (t) => {
  const job = separate(100);
  for (const findingsMax of [0, 1, 99, 100, Number.MAX_SAFE_INTEGER]) {
    const { bad, findings } = verify({ ...job, ...CHECKS, findingsMax });
    t.equal(bad, 100);
    t.equal(findings.length, 5 * Math.min(findingsMax, 100));
  }
});

t.test('no interval needs no memory', async (t) => {
  const none = { ...separate(0), metadataStart: 1000 };
  t.match(verify({ ...none, ...CHECKS }), { escaped: 0, bad: 0 });
  t.doesNotThrow(() => generate({ ...none, refTag: 'count', appTag: 0 }));
});

t.test(
  'a job that reaches outside its buffers, or is no job, is refused before any byte is touched',
  async (t) => {
    const good: NativeGenerateJob & NativeVerifyJob = {
      ...separate(4),
      ...CHECKS,
      appTag: 7,
      refTag: 'count',
    };
    const type = 'ERR_INVALID_ARG_TYPE';
    const range = 'ERR_OUT_OF_RANGE';
    const huge = Number.MAX_SAFE_INTEGER;
    const wrong: [keyof typeof good, unknown, string, string?][] = [
      ['data', new Uint8Array(4 * 512 - 1), range],
      ['data', new Uint8Array(0), range],
      ['data', null, type],
      ['data', new Uint8Array(new SharedArrayBuffer(2048)), type],
      ['metadata', new Uint8Array(31), range],
      ['metadata', new Uint32Array(32), type],
      ['interval', 0, range],
      ['interval', 513, range, 'dataStride'],
      ['interval', 512.5, range],
      ['interval', '512', type],
      ['dataStride', 511, range],
      ['dataStride', 513, range, 'data'],
      ['dataStride', huge, range, 'data'],
      ['dataStride', -512, range],
      ['intervals', 5, range, 'data'],
      ['intervals', huge, range],
      ['intervals', 2 ** 32 + 1, range],
      ['intervals', -1, range],
      ['intervals', Number.NaN, range],
      ['metadataStart', 1, range, 'metadata'],
      ['metadataStart', huge, range, 'metadata'],
      ['metadataStart', undefined, type],
      ['metadataStride', 7, range],
      ['metadataStride', 9, range, 'metadata'],
      ['metadataStride', huge, range, 'metadata'],
      ['piOffset', 1, range],
      ['piOffset', huge, range],
      ['guard', 3, range],
      ['guard', 2, range, 'metadataStride'],
      ['guard', true, type],
      ['seed', 2 ** 32, range],
      ['seed', -1, range],
      ['seed', 16n, type],
      ['appTags', [], type],
      ['appTags', new Uint8Array(0), type],
      ['appTags', Uint32Array.of(0, 1), range],
      ['appTags', Uint32Array.of(0, 0, 1), range],
      ['appTags', Uint32Array.of(0, 1, 0x10000), range],
      ['appTags', Uint32Array.of(0, 2, 1, 1, 2, 1), range],
      ['appTag', 0x10000, range],
    ];
    const forGenerate: typeof wrong = [
      ...wrong,
      ['refTag', 'COUNT', range],
      ['refTag', 1, type],
      ['appTag', -1, range],
    ];
    const forVerify: typeof wrong = [
      ...wrong,
      ['appTag', -2, range],
      ['checks', [0], type],
      ['checks', Uint8Array.of(3), range],
      ['checks', Uint8Array.of(0, 0), range],
      ['escapeCovers', 'all', range],
      ['appTagMask', 0x10000, range],
      ['escape', 'ref', range],
      ['findingsMax', -1, range],
      ['findingsMax', Number.POSITIVE_INFINITY, range],
    ];
    for (const [call, cases] of [[generate, forGenerate] as const, [verify, forVerify] as const]) {
      for (const [key, value, code, named = key] of cases) {
        const job = { ...good, metadata: new Uint8Array(32), [key]: value };
        t.throws(
          () => call(job),
          { code, message: new RegExp(`^${named} `) },
          `${call.name}: ${key} ${String(value)}`,
        );
        if (key !== 'metadata') t.same(job.metadata, new Uint8Array(32));
      }
      for (const job of [undefined, null, 1, 'job'])
        t.throws(() => call(job as never), { code: type, message: /^job / });
    }
  },
);

t.test('a getter that detaches a buffer on the way cannot harm', async (t) => {
  const job = separate(4);
  const trap = {
    ...job,
    ...CHECKS,
    get metadata() {
      structuredClone(job.data, { transfer: [job.data.buffer as ArrayBuffer] });
      return job.metadata;
    },
  };
  t.throws(() => verify(trap), { code: 'ERR_INVALID_ARG_TYPE', message: /detached/ });
  const thrower = {
    ...job,
    ...CHECKS,
    get seed(): number {
      throw new Error('mine');
    },
  };
  t.throws(() => verify(thrower), { message: 'mine' });
});
