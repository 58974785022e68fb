import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { type Diagnosis, type DiagnosisKind, diagnose } from '../../src/pi/diagnose.js';
import { nativeEngine, plainEngine, type VerifyOptions } from '../../src/pi/engine.js';
import { crc64Nvme } from '../../src/pi/guard.js';
import { injectFaults } from '../../src/pi/inject.js';
import { place, tupleOffset } from '../../src/pi/layout.js';
import { type Profile, profileByName } from '../../src/pi/profile.js';
import { readTuple, viewOf, writeTuple } from '../../src/pi/tuple.js';
import { type Blocks, layouts, NAMES, noise, profilesOf, protectedBlocks } from './blocks.js';

const INTERVALS = 48;
/** Recognition is a matter of chance: one in 65536 guards is right for other data too. So what is drawn here is the same in every run. */
const DRAWN = { seed: 1 };
const TYPE1 = NAMES.filter((name) => name.includes('TYPE1'));
const CRC_OR_IP = NAMES.filter((name) => !name.includes('64'));

/** Views of the blocks to do harm by. */
function opened({ profile, layout, stream, metadata, seed }: Blocks) {
  const placement = place(profile, layout, stream, metadata);
  const view = viewOf(placement.metadata);
  const size = profile.tupleSize as 8 | 16;
  const at = (i: number) => tupleOffset(profile, placement, i);
  return {
    seed,
    data: (i: number) =>
      placement.data.subarray(i * placement.dataStride, i * placement.dataStride + profile.interval),
    tuple: (i: number) => readTuple(view, at(i), size),
    tupleBytes: (i: number) => placement.metadata.subarray(at(i), at(i) + size),
    set: (i: number, fields: Partial<ReturnType<typeof readTuple>>) =>
      writeTuple(view, at(i), size, { ...readTuple(view, at(i), size), ...fields }),
  };
}

interface Harm {
  readonly profile: Profile;
  readonly first: number;
  readonly count: number;
  /** Any number to make choices by. */
  readonly random: number;
}

type Plant = (blocks: Blocks, harm: Harm) => Blocks | undefined;

/** Does it to each interval of the run. */
const each =
  (change: (open: ReturnType<typeof opened>, i: number, harm: Harm) => void): Plant =>
  (blocks, harm) => {
    const open = opened(blocks);
    for (let i = harm.first; i < harm.first + harm.count; i++) change(open, i, harm);
    return undefined;
  };

const flip =
  (target: 'data' | 'guard' | 'ref'): Plant =>
  (blocks, { count, random }) => {
    injectFaults(blocks.stream, blocks.metadata, { ...blocks, target, count, randomSeed: random });
    return undefined;
  };

const somewhereElse = (random: number) => 1000 + (random % 100_000);

/** Every kind, the names of profiles that can have it, and how it comes about. */
const PLANTS: readonly [string, DiagnosisKind, readonly string[], Plant][] = [
  ['zero tuples', 'zeroed', NAMES, each(({ tupleBytes }, i) => tupleBytes(i).fill(0))],
  ['zero data', 'zeroed', NAMES, each(({ data }, i) => data(i).fill(0))],
  [
    'zero data and tuples',
    'zeroed',
    TYPE1,
    each(({ data, tupleBytes }, i) => {
      data(i).fill(0);
      tupleBytes(i).fill(0);
    }),
  ],
  [
    'tuples of ones but for the application tag',
    'all-ones',
    NAMES,
    each(({ tupleBytes, set }, i) => {
      tupleBytes(i).fill(0xff);
      set(i, { app: 0 });
    }),
  ],
  ['data of ones', 'all-ones', NAMES, each(({ data }, i) => data(i).fill(0xff))],
  [
    'swapped guards',
    'byte-swapped-guard',
    NAMES,
    each(({ tupleBytes }, i, { profile }) =>
      tupleBytes(i)
        .subarray(0, profile.tupleSize === 16 ? 8 : 2)
        .reverse(),
    ),
  ],
  [
    'little-endian tuples',
    'byte-swapped-guard',
    TYPE1,
    each(({ tupleBytes }, i, { profile }) => {
      const guard = profile.tupleSize === 16 ? 8 : 2;
      tupleBytes(i).subarray(0, guard).reverse();
      tupleBytes(i)
        .subarray(guard + 2)
        .reverse();
    }),
  ],
  [
    'the other kind of guard',
    'other-guard-kind',
    CRC_OR_IP,
    (blocks, { profile, first, count }) => {
      const name = profile.name.replace(/CRC|IP/, (kind) => (kind === 'IP' ? 'CRC' : 'IP'));
      const other = { ...blocks, profile: profileByName(name, profile) };
      const [stream, metadata] = [blocks.stream.slice(), blocks.metadata?.slice() ?? null];
      plainEngine.generateInto(stream, metadata, { ...other, type3Ref: 'seed' });
      const [from, to] = [opened({ ...blocks, stream, metadata }), opened(blocks)];
      for (let i = first; i < first + count; i++) to.set(i, { guard: from.tuple(i).guard });
      return undefined;
    },
  ],
  [
    'tuples elsewhere in the metadata',
    'pi-position',
    NAMES,
    (blocks, { profile, random }) => {
      const metadataSize = profile.tupleSize + 8 * (1 + (random % 7));
      const last = metadataSize - profile.tupleSize;
      const [here, there] = random % 2 === 0 ? [0, last] : [last, random % last];
      const wide = profileByName(profile.name, { ...profile, metadataSize, piOffset: there });
      const moved = protectedBlocks({ ...blocks, profile: wide, type3Ref: 'seed' }, INTERVALS, random);
      return { ...moved, profile: { ...wide, piOffset: here } };
    },
  ],
  [
    'data some intervals off',
    'shifted',
    NAMES,
    (blocks, { random }) => {
      const { data } = opened(blocks);
      const distance = (1 + (random % 6)) * (random % 2 === 0 ? 1 : -1);
      const before = Array.from({ length: INTERVALS }, (_, i) => data(i).slice());
      for (let i = 0; i < INTERVALS; i++) data(i).set(before[(i + distance + INTERVALS) % INTERVALS]!);
      return undefined;
    },
  ],
  [
    'tuples some intervals off',
    'shifted',
    NAMES,
    (blocks, { random }) => {
      const { tuple, set } = opened(blocks);
      const distance = 1 + (random % 6);
      const before = Array.from({ length: INTERVALS }, (_, i) => tuple(i));
      for (let i = 10; i < 40; i++) set(i, before[i - distance]!);
      return undefined;
    },
  ],
  [
    'intervals of another size',
    'interval-size',
    NAMES,
    (blocks, { profile, random }) => {
      const other = profileByName(profile.name, {
        ...profile,
        interval: profile.interval === 512 ? 4096 : 512,
      });
      const made = protectedBlocks({ ...blocks, profile: other, type3Ref: 'seed' }, 8 * INTERVALS, random);
      if (blocks.layout === 'interleaved') {
        const stride = profile.interval + profile.metadataSize;
        return {
          ...made,
          profile,
          stream: made.stream.subarray(0, Math.floor(made.stream.length / stride) * stride),
        };
      }
      const intervals = Math.min(INTERVALS, Math.floor(made.stream.length / profile.interval));
      return {
        ...made,
        profile,
        stream: made.stream.subarray(0, intervals * profile.interval),
        metadata: made.metadata!.subarray(0, intervals * profile.metadataSize),
      };
    },
  ],
  [
    'virtual reference tags',
    'virtual-tags',
    TYPE1,
    (blocks, { profile, first, count, random }) => {
      const wide = profileByName(profile.name, { ...profile, interval: 4096 });
      const made = protectedBlocks({ ...blocks, profile: wide, type3Ref: 'seed' }, INTERVALS, random);
      const open = opened(made);
      for (let k = 0; k < count; k++) {
        // Two I/Os, one after the other.
        const start = first + (k < count / 2 ? 0 : Math.ceil(count / 2));
        open.set(first + k, { ref: 8 * (Number(open.seed) + start) + (first + k - start) });
      }
      return made;
    },
  ],
  [
    'one reference tag everywhere',
    'constant-ref',
    TYPE1,
    each(({ set }, i, { random }) => set(i, { ref: random })),
  ],
  [
    'another place',
    'misdirected',
    TYPE1,
    each(({ set, tuple }, i, { random }) => set(i, { ref: tuple(i).ref + somewhereElse(random) })),
  ],
  [
    'tuples of another place',
    'foreign-tuple',
    TYPE1,
    each(({ set, tuple, data }, i, { random }) => {
      set(i, { ref: tuple(i).ref + somewhereElse(random) });
      data(i).set(noise(data(i).length, random + 1 + i));
    }),
  ],
  ['bits of the data', 'data-bit-flip', NAMES, flip('data')],
  ['bits of the guard', 'guard-bit-flip', NAMES, flip('guard')],
  ['bits of the reference tag', 'ref-bit-flip', TYPE1, flip('ref')],
  [
    'other data',
    'stale',
    TYPE1,
    each(({ data }, i, { random }) => data(i).set(noise(data(i).length, random + 1 + i))),
  ],
  [
    'garbage',
    'unknown',
    NAMES,
    each(({ data, tupleBytes, set }, i, { random }) => {
      data(i).set(noise(data(i).length, random + 1 + i));
      tupleBytes(i).set(noise(tupleBytes(i).length, random + 1000 + i));
      set(i, { app: 1 });
    }),
  ],
  [
    'random reference tags',
    'unknown',
    TYPE1,
    each(({ set }, i, { random }) => set(i, { ref: viewOf(noise(4, random + i)).getUint32(0) })),
  ],
];

function diagnosed({ stream, metadata, profile, layout, seed }: Blocks, more: Partial<VerifyOptions> = {}) {
  const options = { profile, layout, seed, ...more };
  const result = plainEngine.verify(stream, metadata, options);
  return { ...result, options, diagnoses: diagnose(stream, metadata, options, result.findings) };
}

const says = (diagnosis: Diagnosis | undefined, kind: DiagnosisKind) =>
  diagnosis?.kind === kind || diagnosis?.alsoFits.includes(kind) === true;

for (const [what, kind, names, plant] of PLANTS) {
  t.test(`planted and recognised: ${what}`, async (t) => {
    let recognised = 0;
    const recognises = fc.property(
      fc.record({
        profile: profilesOf(names),
        layout: layouts,
        first: fc.integer({ min: 0, max: 20 }),
        count: fc.integer({ min: 14, max: 28 }),
        random: fc.nat(2 ** 30),
        seed: fc.bigInt(1000n, 2n ** 28n),
      }),
      ({ profile, layout, first, count, random, seed }) => {
        const job = { profile, layout, seed, type3Ref: 'seed' } as const;
        const good = protectedBlocks(job, INTERVALS, random);
        const blocks = plant(good, { profile, first, count, random }) ?? good;
        const { bad, diagnoses } = diagnosed(blocks);
        if (bad === 0) return;
        const told = diagnoses.map(
          (d) => `${d.kind} ${d.intervals} ${JSON.stringify(d.parameters)} ${d.alsoFits}`,
        );
        assert.ok(says(diagnoses[0], kind), `${bad} bad: ${told.join('; ')}`);
        assert.equal(
          diagnoses.reduce((sum, { intervals }) => sum + intervals, 0),
          Math.min(bad, 512),
          'every bad interval looked at is in one of them',
        );
        if (kind !== 'interval-size') assert.equal(diagnoses[0]!.intervals, bad, told.join('; '));
        recognised++;
      },
    );
    t.doesNotThrow(() => fc.assert(recognises, { ...DRAWN, numRuns: 40 }));
    t.ok(recognised > 5, `${recognised} times`);
  });
}

t.test('mixed faults are told apart', async (t) => {
  const mixed = fc.property(profilesOf(), layouts, fc.nat(2 ** 30), (profile, layout, random) => {
    const blocks = protectedBlocks({ profile, layout, seed: 5000n, type3Ref: 'seed' }, INTERVALS, random);
    const { tupleBytes, data } = opened(blocks);
    for (let i = 0; i < 12; i++) tupleBytes(i).fill(0);
    for (let i = 20; i < 27; i++)
      tupleBytes(i)
        .subarray(0, profile.tupleSize === 16 ? 8 : 2)
        .reverse();
    for (let i = 30; i < 44; i++) {
      data(i).set(noise(data(i).length, random + 1 + i));
      tupleBytes(i).set(noise(tupleBytes(i).length, random + 100 + i));
    }
    const { bad, diagnoses, findings } = diagnosed(blocks, { startInterval: 100 });
    const swapped = findings.filter(({ interval }) => interval >= 120 && interval < 127).length;
    const told = diagnoses.map(({ kind, intervals, first }) => [kind, intervals, first]);
    assert.deepEqual(told, [
      ['zeroed', 12, 100],
      ['byte-swapped-guard', swapped, told[1]?.[2]],
      ['unknown', bad - 12 - swapped, 130],
    ]);
  });
  t.doesNotThrow(() => fc.assert(mixed, { ...DRAWN, numRuns: 40 }));
});

t.test('flipped bits are located', async (t) => {
  const located = fc.property(
    fc.record({
      profile: profilesOf(),
      layout: layouts,
      random: fc.nat(2 ** 30),
      target: fc.constantFrom('data', 'guard', 'ref'),
      count: fc.integer({ min: 1, max: 9 }),
    }),
    ({ profile, layout, random, target, count }) => {
      const blocks = protectedBlocks({ profile, layout, seed: 5000n, type3Ref: 'seed' }, INTERVALS, random);
      if (profile.type === 3 && target === 'ref') return;
      const faults = injectFaults(blocks.stream, blocks.metadata, {
        ...blocks,
        target,
        count,
        randomSeed: random,
      });
      const { diagnoses } = diagnosed(blocks, { startInterval: 7 });
      const [first] = diagnoses;
      assert.ok(says(first, `${target}-bit-flip`), JSON.stringify(diagnoses));
      if (first?.kind !== `${target}-bit-flip`) return;
      assert.deepEqual(
        first.flipped,
        faults.map(({ interval, byte, bit }) => ({
          interval: interval + 7,
          field: target,
          byte: target === 'data' && profile.guard === 'ip' ? null : byte,
          bit,
        })),
      );
    },
  );
  t.doesNotThrow(() => fc.assert(located, { ...DRAWN, numRuns: 200 }));
});

t.test('what cannot be told is not told', async (t) => {
  const profile = profileByName('T10-DIF-TYPE1-CRC', { interval: 4096 });
  const blocks = protectedBlocks({ profile, layout: 'separate', seed: 9n, type3Ref: 'zero' }, 4, 1);
  blocks.stream[4096 + 100]! ^= 8;
  t.match(diagnosed(blocks).diagnoses, [
    {
      kind: 'stale',
      intervals: 1,
      parameters: { chance: 0.5 },
      flipped: [{ interval: 1, field: 'data', byte: 100, bit: 3 }],
      alsoFits: ['data-bit-flip'],
    },
  ]);

  const sums = protectedBlocks(
    { profile: profileByName('T10-DIF-TYPE1-IP'), layout: 'separate', seed: 9n, type3Ref: 'zero' },
    4,
    1,
  );
  sums.metadata![8 + 1]! ^= 8;
  const [either] = diagnosed(sums).diagnoses;
  t.same([either?.kind, ...(either?.alsoFits ?? [])].sort(), ['data-bit-flip', 'guard-bit-flip', 'stale']);

  const type3 = protectedBlocks(
    { profile: profileByName('T10-DIF-TYPE3-CRC'), layout: 'separate', seed: 9n, type3Ref: 'zero' },
    20,
    1,
  );
  type3.stream.set(noise(type3.stream.length, 2));
  t.match(diagnosed(type3).diagnoses, [{ kind: 'unknown', intervals: 20 }], 'no tag says whose tuple it is');

  const tagged = protectedBlocks({ ...blocks, appTag: 5, type3Ref: 'zero' }, 4, 1);
  t.match(diagnosed(tagged, { appTag: 6 }).diagnoses, [{ kind: 'app-tag', intervals: 4 }]);
});

t.test('a seed in sectors', async (t) => {
  const profile = profileByName('T10-DIF-TYPE1-CRC', { interval: 4096 });
  const blocks = protectedBlocks({ profile, layout: 'separate', seed: 100n, type3Ref: 'zero' }, 8, 1);
  t.match(diagnosed({ ...blocks, seed: 800n }).diagnoses, [
    {
      kind: 'virtual-tags',
      intervals: 8,
      parameters: { inSectors: 'seed', seed: '100' },
      alsoFits: ['misdirected'],
    },
  ]);
  t.match(diagnosed({ ...blocks, seed: 801n }).diagnoses, [
    { kind: 'misdirected', parameters: { distance: -701 } },
  ]);
});

t.test('one interval of another size is one, however many lie in it', async (t) => {
  const profile = profileByName('T10-DIF-TYPE1-CRC');
  const blocks = protectedBlocks({ profile, layout: 'interleaved', seed: 5000n, type3Ref: 'seed' }, 48, 7);
  // Of these three the first two lie in 1032 bytes whose guard happens to be right.
  injectFaults(blocks.stream, blocks.metadata, { ...blocks, target: 'guard', count: 3, randomSeed: 7 });
  t.match(diagnosed(blocks).diagnoses, [{ kind: 'guard-bit-flip', intervals: 3 }]);
});

t.test('data and its own guard but for a bit sum up to a power of two', async (t) => {
  const profile = profileByName('T10-DIF-TYPE3-IP', { metadataSize: 16 });
  // Reference tags whose first byte is 10h.
  const blocks = protectedBlocks({ profile, layout: 'separate', seed: 0x10000000n, type3Ref: 'seed' }, 48, 1);
  const { tuple, set } = opened(blocks);
  for (let i = 0; i < 14; i++) set(i, { guard: Number(tuple(i).guard) ^ 0x10 });
  t.match(diagnosed(blocks).diagnoses, [{ intervals: 14, kind: /-bit-flip$/ }]);
});

t.test('one finding is one, however often it is given', async (t) => {
  const blocks = type1(4);
  const { tupleBytes } = opened(blocks);
  tupleBytes(1).set(noise(8, 9));
  const { findings, options } = diagnosed(blocks);
  const often = Array.from({ length: 8 }, () => findings[0]!);
  const told = diagnose(blocks.stream, blocks.metadata, options, often);
  t.match(told, [{ kind: 'unknown', intervals: 1, lookedAt: 1 }]);
});

t.test('a tuple of zeros whose tags nobody compares is weak evidence', async (t) => {
  const profile = profileByName('T10-DIF-TYPE3-CRC');
  const blocks = protectedBlocks({ profile, layout: 'separate', seed: 9n, type3Ref: 'zero' }, 512, 1);
  // Stale data; one of the good tuples happens to be all zeros.
  blocks.stream.set(noise(blocks.stream.length, 2));
  opened(blocks).tupleBytes(100).fill(0);
  t.match(diagnosed(blocks).diagnoses, [{ kind: 'unknown' }]);
});

t.test('equal blocks are no shift', async (t) => {
  const profile = profileByName('T10-DIF-TYPE1-CRC');
  const blocks = protectedBlocks({ profile, layout: 'separate', seed: 9n, type3Ref: 'zero' }, 40, 1);
  const { data } = opened(blocks);
  for (let i = 0; i < 40; i++) if (i % 4 !== 0) data(i).set(data(4 * Math.floor(i / 4)));
  plainEngine.generateInto(blocks.stream, blocks.metadata, { ...blocks, type3Ref: 'zero' });
  // Four of them again, each the same distance from where it belongs.
  for (const i of [9, 18, 27, 36]) data(i).set(data(i - 8));
  t.match(diagnosed(blocks).diagnoses, [{ kind: 'stale', intervals: 4 }]);
});

t.test('nothing to say, and nothing to say it of', async (t) => {
  const profile = profileByName('T10-DIF-TYPE1-CRC');
  const blocks = protectedBlocks({ profile, layout: 'separate', seed: 9n, type3Ref: 'zero' }, 4, 1);
  t.same(diagnosed(blocks).diagnoses, []);
  const finding = { interval: 4, check: 'ref', stored: 0, computed: 0, differs: ['ref'] } as const;
  const options = { ...blocks };
  t.throws(() => diagnose(blocks.stream, blocks.metadata, options, [finding]), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => diagnose(blocks.stream, null, options, []), { code: 'ERR_BAD_LENGTH' });
  const of = (interval: number, more: object = {}) =>
    diagnose(blocks.stream, blocks.metadata, { ...options, ...more }, [{ ...finding, interval }]);
  t.throws(() => of(1.5), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => of(NaN), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => of(1), { code: 'ERR_USAGE', message: /interval 1, which is not bad/ });
  const last = Number.MAX_SAFE_INTEGER;
  t.throws(() => of(last, { startInterval: last - 1 }), {
    code: 'ERR_OUT_OF_RANGE',
    message: /startInterval/,
  });
  t.throws(() => of(1, { checks: ['gaurd'] }), { code: 'ERR_USAGE' });
  // An escaped one is not bad, whatever else is in it.
  const { set } = opened(blocks);
  set(1, { app: 0xffff, ref: 1 });
  t.throws(() => of(1), { code: 'ERR_USAGE' });
});

const TYPE1_CRC = profileByName('T10-DIF-TYPE1-CRC');

function type1(intervals: number, more: Partial<Parameters<typeof protectedBlocks>[0]> = {}): Blocks {
  return protectedBlocks(
    { profile: TYPE1_CRC, layout: 'separate', seed: 5000n, type3Ref: 'zero', ...more },
    intervals,
    1,
  );
}

t.test('tuples at the end of metadata that is zero otherwise, over data and over blank data', async (t) => {
  for (const name of NAMES) {
    const { tupleSize } = profileByName(name);
    const last = profileByName(name, { metadataSize: 64, piOffset: 64 - tupleSize });
    const blocks = type1(16, { profile: last });
    const plain = blocks.metadata!;
    for (let at = 0; at < plain.length; at++) if (at % 64 < 64 - tupleSize) plain[at] = 0;
    plainEngine.generateInto(blocks.stream, plain, { ...blocks, type3Ref: 'zero' });
    const read = { ...blocks, profile: { ...last, piOffset: 0 } };
    const expected = [{ kind: 'pi-position', intervals: 16, parameters: { piOffset: 64 - tupleSize } }];
    t.match(diagnosed(read).diagnoses, expected, name);
    if (last.type === 3) continue;
    blocks.stream.fill(0);
    plainEngine.generateInto(blocks.stream, plain, { ...blocks, type3Ref: 'zero' });
    t.match(diagnosed(read).diagnoses, expected, `${name}, blank`);
  }
});

t.test('zero data is only seen, and only under tuples that look real', async (t) => {
  const blank = type1(8);
  blank.stream.fill(0);
  plainEngine.generateInto(blank.stream, blank.metadata, { ...blank, type3Ref: 'zero' });
  const flipped = { ...blank, metadata: blank.metadata!.slice() };
  flipped.metadata[3 * 8 + 1]! ^= 4;
  t.match(diagnosed(flipped).diagnoses, [
    { kind: 'guard-bit-flip', intervals: 1, flipped: [{ interval: 3, field: 'guard', byte: 1, bit: 2 }] },
  ]);

  for (const name of NAMES) {
    const profile = profileByName(name);
    const garbage = type1(32, { profile });
    garbage.stream.fill(0);
    garbage.metadata!.set(noise(garbage.metadata!.length, 5));
    t.match(diagnosed(garbage).diagnoses, [{ kind: 'unknown', intervals: 32, alsoFits: [] }], name);
  }

  const one = { ...blank, metadata: blank.metadata!.slice() };
  opened(one).set(3, { guard: 0x1234 });
  t.match(diagnosed(one).diagnoses, [{ kind: 'stale', alsoFits: ['zeroed'] }], 'one says nothing');

  const wiped = type1(8);
  wiped.stream.fill(0);
  const [diagnosis] = diagnosed(wiped).diagnoses;
  t.match(diagnosis, {
    kind: 'zeroed',
    intervals: 8,
    parameters: { what: 'data' },
    text: /guards are of other data/,
  });
});

t.test(
  'larger intervals read as small ones: what cannot be tested is counted in, a blank rest comes behind',
  async (t) => {
    const profile = profileByName('T10-DIF-TYPE1-CRC', { interval: 4096 });
    const wide = type1(16, { profile, seed: 1n });
    const intervals = 16;
    const part = {
      ...wide,
      profile: TYPE1_CRC,
      stream: wide.stream.subarray(0, intervals * 512),
      metadata: wide.metadata!.subarray(0, intervals * 8),
    };
    t.match(diagnosed(part).diagnoses, [
      {
        kind: 'interval-size',
        intervals,
        parameters: { interval: 4096, untested: 14 },
        text: /cannot be tested/,
      },
    ]);
    t.equal(diagnosed(part).diagnoses.length, 1);

    for (const layout of ['separate', 'interleaved'] as const) {
      const inside = type1(65, { profile, seed: 1n, layout });
      const { data, tupleBytes } = opened(inside);
      for (let i = 5; i < 65; i++) {
        data(i).fill(0);
        tupleBytes(i).fill(0);
      }
      const metadata = inside.metadata && new Uint8Array((inside.stream.length / 512) * 8);
      metadata?.set(inside.metadata!);
      const size = layout === 'interleaved' ? 520 : 512;
      const stream = inside.stream.subarray(0, Math.floor(inside.stream.length / size) * size);
      const { diagnoses } = diagnosed({ ...inside, profile: TYPE1_CRC, stream, metadata });
      t.match(diagnoses[0], { kind: 'interval-size', parameters: { interval: 4096 } }, layout);
    }
  },
);

t.test('fields that were not compared are not spoken of', async (t) => {
  const blocks = type1(16);
  const { set, tuple, data } = opened(blocks);
  for (let i = 0; i < 16; i++) set(i, { ref: tuple(i).ref + 77 });
  for (let i = 0; i < 16; i++) data(i).set(noise(512, 90 + i));
  t.match(diagnosed(blocks).diagnoses, [{ kind: 'foreign-tuple', intervals: 16 }]);
  t.match(diagnosed(blocks, { checks: ['guard'] }).diagnoses, [{ kind: 'unknown', intervals: 16 }]);
  const [moved] = diagnosed(blocks, { checks: ['ref'] }).diagnoses;
  t.match(moved, { kind: 'misdirected', intervals: 16, parameters: { distance: 77 } });
  t.notMatch(moved?.text, /belong together/);

  const one = type1(4);
  opened(one).set(2, { ref: 0x12345 });
  t.match(diagnosed(one, { checks: ['ref'] }).diagnoses, [{ kind: 'unknown' }], 'no guard speaks for it');

  const tagged = type1(4, { appTag: 0x0105 });
  const finding = { interval: 1, check: 'app', stored: 0, computed: 0, differs: ['app'] } as const;
  const explain = (more: object) =>
    diagnose(tagged.stream, tagged.metadata, { ...tagged, ...more }, [finding]);
  t.match(explain({ appTag: 6 }), [{ kind: 'app-tag' }]);
  t.match(explain({ appTags: [{ first: 1, count: 1, value: 6 }] }), [{ kind: 'app-tag' }]);
  for (const right of [
    { appTag: 0x0205, appTagMask: 0xff },
    { appTag: 6, appTags: [{ first: 1, count: 1, value: 0x0105 }] },
    { appTag: 6, checks: ['ref', 'guard'] },
  ]) {
    t.throws(() => explain(right), { code: 'ERR_USAGE' }, JSON.stringify(right));
  }
});

t.test('a guard in another form is told whatever the reference tags are', async (t) => {
  const bytesSwapped = (blocks: Blocks) => {
    const { tupleBytes } = opened(blocks);
    for (let i = 0; i < 16; i++) tupleBytes(i).subarray(0, 2).reverse();
  };
  const ip = () => type1(16, { profile: profileByName('T10-DIF-TYPE1-IP') });
  const refs = 'off by 77';
  const seed = 5000n - 77n;
  const other = ip();
  t.match(diagnosed({ ...other, profile: TYPE1_CRC, seed }).diagnoses, [
    { kind: 'other-guard-kind', intervals: 16, parameters: { found: 'ip', refs } },
  ]);
  t.match(diagnosed({ ...other, profile: TYPE1_CRC }).diagnoses, [
    { kind: 'other-guard-kind', intervals: 16, parameters: { found: 'ip', refs: 'right' } },
  ]);
  t.match(diagnosed({ ...other, profile: TYPE1_CRC }, { checks: ['guard'] }).diagnoses, [
    { kind: 'other-guard-kind', intervals: 16, parameters: { found: 'ip', refs: 'not compared' } },
  ]);
  bytesSwapped(other);
  t.match(diagnosed({ ...other, profile: TYPE1_CRC, seed }).diagnoses, [
    { kind: 'other-guard-kind', intervals: 16, parameters: { found: 'ip', byteSwapped: true, refs } },
  ]);
  t.match(diagnosed({ ...other, seed }).diagnoses, [
    { kind: 'byte-swapped-guard', intervals: 16, parameters: { refs } },
  ]);
  const { set } = opened(other);
  for (let i = 0; i < 16; i++) set(i, { ref: viewOf(noise(4, i)).getUint32(0) });
  t.match(diagnosed(other).diagnoses, [
    { kind: 'byte-swapped-guard', intervals: 16, parameters: { refs: 'wrong' } },
  ]);
});

t.test('one reference tag alone', async (t) => {
  const with_ = (ref: number, seed = 5000n) => {
    const blocks = type1(4, { seed });
    opened(blocks).set(2, { ref });
    return diagnosed(blocks).diagnoses;
  };
  t.match(with_(0x12345), [{ kind: 'misdirected', text: /or a corrupted reference tag$/ }]);
  t.match(with_(0xfffffff0, 3n), [{ kind: 'unknown' }], 'no place is before 0');
  t.match(with_(0), [{ kind: 'constant-ref', parameters: { ref: 0 }, text: /tag is 0: / }]);
  t.match(with_(0xffffffff), [{ kind: 'constant-ref', parameters: { ref: 2 ** 32 - 1 }, text: /all ones/ }]);
  const far = type1(4, { seed: 0xfffffff0n });
  t.match(diagnosed({ ...far, seed: 0n }).diagnoses, [
    { kind: 'misdirected', intervals: 4, parameters: { distance: 0xfffffff0 } },
  ]);
});

t.test('a flipped bit leads only where chance would hardly do it', async (t) => {
  const flips = (intervals: number[], name = 'T10-DIF-TYPE1-CRC') => {
    const blocks = type1(4, { profile: profileByName(name) });
    for (const i of intervals) blocks.stream[512 * i + 100]! ^= 8;
    return diagnosed(blocks).diagnoses;
  };
  const flipped = [{ interval: 1, field: 'data', byte: 100, bit: 3 }];
  t.match(flips([1]), [
    { kind: 'stale', alsoFits: ['data-bit-flip'], parameters: { chance: 1 / 16 }, flipped },
  ]);
  t.match(flips([1, 2]), [{ kind: 'data-bit-flip', alsoFits: ['stale'], intervals: 2 }], 'once in 256');
  // One bit of the data adds a power of two to the sum, which without a carry is one bit of the guard.
  t.match(flips([1], 'T10-DIF-TYPE1-IP'), [{ kind: 'data-bit-flip', alsoFits: ['guard-bit-flip', 'stale'] }]);
  t.match(flips([1], 'T10-DIF-TYPE3-CRC'), [{ kind: 'unknown', alsoFits: ['data-bit-flip'], flipped }]);
});

t.test('flipped bits under a CRC-64 of the largest interval, and how long they are sought', async (t) => {
  const [name] = NAMES.filter((name) => name.includes('TYPE1') && name.includes('64'));
  const profile = profileByName(name!, { interval: 65536 });
  const blocks = type1(64, { profile });
  const { set, tuple } = opened(blocks);
  for (let i = 0; i < 64; i++) set(i, { guard: BigInt(tuple(i).guard) ^ 0x123456789abcdefn });
  const start = process.cpuUsage().user;
  t.match(diagnosed(blocks).diagnoses, [{ kind: 'stale', intervals: 64 }]);
  t.comment(`${(process.cpuUsage().user - start) / 1000} ms`);
  for (const [byte, bit] of [
    [0, 7],
    [65535, 0],
    [40000, 3],
  ] as const) {
    const other = type1(1, { profile });
    other.stream[byte]! ^= 1 << bit;
    t.match(diagnosed(other).diagnoses, [{ kind: 'data-bit-flip', flipped: [{ byte, bit }] }]);
  }
});

t.test(
  'bounded: however many findings, so many are looked at, from the first to the last part',
  async (t) => {
    const profile = profileByName('T10-DIF-TYPE1-CRC');
    const intervals = 6000;
    const blocks = protectedBlocks({ profile, layout: 'separate', seed: 9n, type3Ref: 'zero' }, intervals, 1);
    const { tupleBytes, set } = opened(blocks);
    for (let i = 0; i < intervals; i++) {
      if (i < intervals / 2) tupleBytes(i).fill(0);
      else set(i, { ref: 0x77777777 });
    }
    const { diagnoses } = diagnosed(blocks);
    t.match(diagnoses, [
      { kind: 'zeroed', intervals: 256, lookedAt: 512, first: 0 },
      { kind: 'constant-ref', intervals: 256, parameters: { ref: 0x77777777 } },
    ]);
    t.equal(
      diagnoses.reduce((sum, { intervals }) => sum + intervals, 0),
      512,
    );
  },
);

t.test(
  'a guard of 0 among stale type 3 intervals is no zeroed tuple: its tags are 0 in any case',
  async (t) => {
    const blocks = type1(512, { profile: profileByName('T10-DIF-TYPE3-CRC') });
    const { data, set, tuple } = opened(blocks);
    for (let i = 0; i < 512; i++) data(i).set(noise(512, 1000 + i));
    set(100, { guard: 0 });
    t.same(tuple(100), { guard: 0, app: 0, ref: 0 });
    t.notOk(diagnosed(blocks).diagnoses.some((diagnosis) => says(diagnosis, 'zeroed')));
    for (let i = 200; i < 210; i++) set(i, { guard: 0 });
    t.match(diagnosed(blocks).diagnoses, [{ kind: 'zeroed', intervals: 11 }], 'eleven of them are');
  },
);

t.test('an interval that was found many times is one interval', async (t) => {
  const blocks = type1(40);
  const { set } = opened(blocks);
  for (const i of [7, 3]) set(i, { ref: 0x1234567 + i });
  const { findings, options, diagnoses } = diagnosed(blocks);
  const again = [...findings].reverse().flatMap((finding) => Array.from({ length: 100 }, () => finding));
  t.same(diagnose(blocks.stream, blocks.metadata, options, again), diagnoses);
  t.match(diagnoses, [{ intervals: 2, lookedAt: 2, first: 3 }]);
});

/** Milliseconds of processor time. */
function cost(run: () => unknown): number {
  const { user, system } = process.cpuUsage();
  run();
  const after = process.cpuUsage();
  return (after.user + after.system - user - system) / 1000;
}

t.test('bounded: wide metadata, large intervals and many ranges of tags', async (t) => {
  const profile = profileByName('EXT-DIF-TYPE3-CRC64', { interval: 65536, metadataSize: 65535 });
  const options = { profile, layout: 'separate', seed: 0n } as const;
  const data = noise(512 * 65536, 1);
  const metadata = noise(512 * 65535, 2);
  // Right tuples at eight wrong offsets, so that each round finds one of them.
  const once = cost(() => {
    for (let i = 0; i < 512; i++) {
      const at = i * 65535 + 1 + 3 * (i % 8);
      const ofData = crc64Nvme(0n, data.subarray(i * 65536, (i + 1) * 65536));
      viewOf(metadata).setBigUint64(at, crc64Nvme(ofData, metadata.subarray(i * 65535, at)));
    }
  });
  const { findings } = plainEngine.verify(data, metadata, options);
  t.equal(findings.length, 512);
  const rounds = cost(() =>
    t.match(
      diagnose(data, metadata, options, findings),
      Array(8).fill({ kind: 'pi-position', intervals: 64 }),
    ),
  );
  t.ok(rounds < 4 * once + 500, `${rounds} ms, where a guard of each interval costs ${once}`);

  const intervals = 600_000;
  const small = { ...options, profile: TYPE1_CRC, checks: ['app'] } as const;
  const appTags = Array.from({ length: intervals }, (_, first) => ({ first, count: 1, value: first % 7 }));
  const blank = new Uint8Array(intervals * 512);
  const tuples = new Uint8Array(intervals * 8);
  const tagged = { ...small, appTags };
  const { findings: bad } = nativeEngine.verify(blank, tuples, tagged);
  const walked = cost(() => nativeEngine.verify(blank, tuples, { ...tagged, findingsMax: 0 }));
  const all = cost(() => t.match(diagnose(blank, tuples, tagged, bad), [{ kind: 'app-tag' }]));
  t.ok(all < walked + 300, `${all} ms, where a walk over the ranges costs ${walked}`);
});
