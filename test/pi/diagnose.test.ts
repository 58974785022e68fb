import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { type Diagnosis, type DiagnosisKind, diagnose } from '../../src/pi/diagnose.js';
import { plainEngine, type VerifyOptions } from '../../src/pi/engine.js';
import { injectFaults } from '../../src/pi/inject.js';
import { place, tupleOffset } from '../../src/pi/layout.js';
import { type Profile, profileByName } from '../../src/pi/profile.js';
import { readTuple, viewOf, writeTuple } from '../../src/pi/tuple.js';
import { type Blocks, layouts, NAMES, noise, profilesOf, protectedBlocks } from './blocks.js';

const INTERVALS = 48;
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
    t.doesNotThrow(() => fc.assert(recognises, { numRuns: 40 }));
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
  t.doesNotThrow(() => fc.assert(mixed, { numRuns: 40 }));
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
      const faults = injectFaults(blocks.stream, blocks.metadata, {
        ...blocks,
        target,
        count,
        randomSeed: random,
      });
      const { bad, diagnoses } = diagnosed(blocks, { startInterval: 7 });
      if (profile.type === 3 && target === 'ref') return assert.equal(bad, 0);
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
  t.doesNotThrow(() => fc.assert(located, { numRuns: 200 }));
});

t.test('what cannot be told is not told', async (t) => {
  const profile = profileByName('T10-DIF-TYPE1-CRC', { interval: 4096 });
  const blocks = protectedBlocks({ profile, layout: 'separate', seed: 9n, type3Ref: 'zero' }, 4, 1);
  blocks.stream[4096 + 100]! ^= 8;
  t.match(diagnosed(blocks).diagnoses, [
    {
      kind: 'data-bit-flip',
      intervals: 1,
      parameters: { chance: 0.5 },
      flipped: [{ interval: 1, field: 'data', byte: 100, bit: 3 }],
      alsoFits: ['stale'],
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
