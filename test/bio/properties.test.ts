/** What holds of every bio, however it is cut: of the kernels that count right, and of one that does not. */
import fc from 'fast-check';
import t from 'tap';
import { bioAdvance } from '../../src/bio/advance.js';
import { Bio } from '../../src/bio/bio.js';
import { bioIntegrityPrep, bioIntegrityVerify } from '../../src/bio/bio-integrity.js';
import { blkIntegrityComplete } from '../../src/bio/blk-integrity.js';
import { segmentsFrom } from '../../src/bio/bvec.js';
import { semanticsByName } from '../../src/bio/semantics.js';
import { bioClone, bioSplit, bioTrim } from '../../src/bio/split.js';
import { completeBio, submitBio } from '../../src/bio/submit.js';
import { plainEngine } from '../../src/pi/engine.js';
import { profileByName } from '../../src/pi/profile.js';
import { device, hex, payload, segmented, varied } from '../support/bio.js';

/** Kernels whose advance, trim, split and clone count in intervals. */
const RIGHT = ['5.10', '6.1', '6.12', '7.1'];

const PROFILES = [
  { format: 'T10-DIF-TYPE1-CRC' },
  { format: 'T10-DIF-TYPE1-IP' },
  { format: 'T10-DIF-TYPE1-CRC', type: 2 as const },
  { format: 'T10-DIF-TYPE3-CRC' },
  { format: 'T10-DIF-TYPE3-IP' },
  { format: 'EXT-DIF-TYPE1-CRC64' },
  { format: 'EXT-DIF-TYPE3-CRC64' },
  { format: 'T10-DIF-TYPE1-CRC', metadataSize: 64 },
  { format: 'T10-DIF-TYPE1-CRC', metadataSize: 24, piOffset: 16 },
  { format: 'EXT-DIF-TYPE1-CRC64', metadataSize: 128, piOffset: 112 },
];

const cases = fc
  .record({
    name: fc.constantFrom(...RIGHT),
    shape: fc.constantFrom(...PROFILES),
    interval: fc.constantFrom(512, 1024, 4096, 8192),
    intervals: fc.integer({ min: 2, max: 24 }),
    lba: fc.oneof(
      fc.bigInt(0n, 2n ** 20n),
      fc.constantFrom(2n ** 29n, 2n ** 32n, 2n ** 45n, 2n ** 48n).map((edge) => edge - 5n),
    ),
    cuts: fc.array(fc.nat(100), { maxLength: 5 }),
    at: fc.nat(1000),
    corrupt: fc.option(
      fc.record({ where: fc.constantFrom('data', 'metadata'), byte: fc.nat(1e6), bit: fc.nat(7) }),
    ),
  })
  .filter(({ name, shape }) => {
    const { guard, piOffset } = profileByName(shape.format, shape);
    const { guards, piOffset: behind } = semanticsByName(name);
    return guards.includes(guard!) && (piOffset === 0 || behind);
  });

type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

/** A read that the disk has served, not advanced yet, with perhaps one bit wrong; and where it may be cut. */
function served({ name, shape, interval, intervals, lba, cuts, at, corrupt }: Case) {
  const on = device(name, shape.format, { ...shape, interval });
  const { profile } = on;
  const data = varied(intervals * interval);
  const metadata = plainEngine.generate(data, {
    profile,
    layout: 'separate',
    seed: lba,
    type3Ref: 'zero',
    ipGuardCovers: on.semantics.ipGuardCovers,
  });
  if (corrupt) {
    const target = corrupt.where === 'data' ? data : metadata;
    target[corrupt.byte % target.length]! ^= 1 << corrupt.bit;
  }
  const segments = segmented(
    data,
    cuts.map((cut) => (cut % (intervals + 1)) * interval),
  );
  const bio = Bio.read({ device: on, lba, segments });
  bioIntegrityPrep(bio);
  payload(bio).buffer.set(metadata);
  blkIntegrityComplete(bio);
  const cut = 1 + (at % (intervals - 1));
  return { bio, cut, sectors: (cut * interval) / 512, on, data, metadata };
}

const runs = { numRuns: 100 };
const check = (property: (one: Case) => boolean) => fc.assert(fc.property(cases, property), runs);

/** The first bad interval, as the kernel's log numbers it, or null. */
const badSeed = (bio: Bio) => bioIntegrityVerify(bio, 'here').finding?.seed ?? null;

t.test('split, and verify of the parts, equals verify of the whole', async (t) => {
  t.doesNotThrow(() =>
    check((one) => {
      const whole = bioIntegrityVerify(served(one).bio);
      const { bio, sectors } = served(one);
      const parts = bioSplit(bio, sectors).map((part) => bioIntegrityVerify(part, 'here'));
      const first = parts.find(({ finding }) => finding !== null) ?? parts[1]!;
      return first.status === whole.status && first.finding?.seed === whole.finding?.seed;
    }),
  );
});

t.test('advance, then verify, equals verify of the rest', async (t) => {
  t.doesNotThrow(() =>
    check((one) => {
      const { bio, cut, sectors, on } = served(one);
      const start = payload(bio).seed;
      const whole = bioIntegrityVerify(bio).finding?.seed ?? null;
      bioAdvance(bio, sectors * 512);
      const rest = badSeed(bio);
      const expected = whole !== null && whole >= start + BigInt(cut) ? whole : null;
      return on.semantics.advanceSeed === 'intervals' && rest === expected;
    }),
  );
});

t.test('and verify of what was prepared does not mind', async (t) => {
  t.doesNotThrow(() =>
    check((one) => {
      const { bio, sectors } = served(one);
      const before = bioIntegrityVerify(bio);
      bioAdvance(bio, sectors * 512);
      const between = bioIntegrityVerify(bio);
      bioAdvance(bio, bio.iterator.size);
      const after = bioIntegrityVerify(bio);
      return [between, after].every(
        ({ status, finding }) => status === before.status && finding?.seed === before.finding?.seed,
      );
    }),
  );
});

t.test('trim, clone and split keep every tuple with its block', async (t) => {
  /** Each block's data with its metadata, as a bio has them. */
  const pairs = (bio: Bio) => {
    const { interval, metadataSize } = bio.device.profile;
    const data = Buffer.concat(segmentsFrom(bio.segments, bio.iterator));
    const metadata = Buffer.concat(segmentsFrom(bio.integrity!.vecs, bio.integrity!.iterator));
    if (metadata.length !== (data.length / interval) * metadataSize) return ['lengths differ'];
    return Array.from(
      { length: data.length / interval },
      (_, i) =>
        `${hex(data.subarray(i * interval, i * interval + 16))} ${hex(metadata.subarray(i * metadataSize, (i + 1) * metadataSize))}`,
    );
  };
  t.doesNotThrow(() =>
    check((one) => {
      const { bio, cut, sectors, on } = served(one);
      const unit = on.profile.interval / 512;
      const all = pairs(bio);
      const clone = bioClone(bio) as Bio;
      const middle = bioClone(bio) as Bio;
      bioTrim(middle, (cut - 1) * unit, unit);
      const [front, rest] = bioSplit(bio, sectors);
      const same = (seen: string[], expected: string[]) => seen.join() === expected.join();
      return (
        same(pairs(clone), all) &&
        same(pairs(middle), all.slice(cut - 1, cut)) &&
        same(pairs(front), all.slice(0, cut)) &&
        same(pairs(rest), all.slice(cut))
      );
    }),
  );
});

t.test(
  'completion in parts: every block is remapped to where it was, and the bio ends as it should',
  async (t) => {
    t.doesNotThrow(() =>
      check((one) => {
        const { data, metadata, on, cut } = served(one);
        const bio = Bio.read({ device: on, lba: one.lba, data });
        submitBio(bio)!.set(metadata);
        const bytes = cut * on.profile.interval;
        blkIntegrityComplete(bio, bytes);
        bioAdvance(bio, bytes);
        const whole = bioIntegrityVerify(served(one).bio).status;
        return completeBio(bio) === whole;
      }),
    );
  },
);

t.test('the same with 3.10 and 4.19 on 4096 bytes fails: the reference tags come out wrong', async (t) => {
  for (const name of ['3.10', '4.19']) {
    const on = device(name, 'T10-DIF-TYPE1-CRC', { interval: 4096 });
    const data = varied(4 * 4096);
    const bio = Bio.read({ device: on, lba: 8n, segments: segmented(data, [4096, 8192]) });
    const { profile } = on;
    submitBio(bio)!.set(
      plainEngine.generate(data, { profile, layout: 'separate', seed: 8n, type3Ref: 'zero' }),
    );
    blkIntegrityComplete(bio, 4096);
    bioAdvance(bio, 4096);
    blkIntegrityComplete(bio);
    bioAdvance(bio, 3 * 4096);
    t.match(
      bioIntegrityVerify(bio).finding,
      { check: 'ref', seed: 65n, stored: name === '3.10' ? 64 : 72 },
      name,
    );
  }
});

t.test('seeds wrap: 2^32 in a tuple of 8 bytes, 2^48 in one of 16', async (t) => {
  const refs = (format: string, lba: bigint, interval = 512) => {
    const bio = Bio.write({
      device: device('current', format, { interval }),
      lba,
      data: varied(3 * interval),
    });
    const metadata = submitBio(bio)!;
    const size = bio.device.profile.tupleSize;
    const seen = [0, 1, 2].map((i) =>
      hex(metadata.subarray(i * size + (size === 8 ? 4 : 10), (i + 1) * size)),
    );
    const read = Bio.read({ device: bio.device, lba, data: varied(3 * interval) });
    submitBio(read)!.set(metadata);
    return [...seen, completeBio(read)];
  };
  t.same(refs('T10-DIF-TYPE1-CRC', 2n ** 32n - 1n), ['ffffffff', '00000000', '00000001', 'OK']);
  t.same(refs('T10-DIF-TYPE1-CRC', 2n ** 33n + 5n), ['00000005', '00000006', '00000007', 'OK']);
  t.same(
    refs('T10-DIF-TYPE1-CRC', 2n ** 29n - 1n, 4096),
    ['1fffffff', '20000000', '20000001', 'OK'],
    'virtual tags wrap, LBAs do not',
  );
  t.same(refs('EXT-DIF-TYPE1-CRC64', 2n ** 48n - 1n), ['ffffffffffff', '000000000000', '000000000001', 'OK']);
  t.same(refs('EXT-DIF-TYPE1-CRC64', 2n ** 48n + 7n), ['000000000007', '000000000008', '000000000009', 'OK']);
});
