import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { native } from '../../src/binding.js';
import { defaultEngine, nativeEngine, plainEngine } from '../../src/pi/engine.js';
import { crc16T10Dif, crc64Nvme, ipChecksum } from '../../src/pi/guard.js';
import { place } from '../../src/pi/layout.js';
import { type Profile, profileByName } from '../../src/pi/profile.js';

/** Every kind of profile, the tuple anywhere in the metadata. */
const profiles: fc.Arbitrary<Profile> = fc
  .record({
    name: fc.constantFrom(
      'T10-DIF-TYPE1-CRC',
      'T10-DIF-TYPE1-IP',
      'T10-DIF-TYPE3-CRC',
      'T10-DIF-TYPE3-IP',
      'EXT-DIF-TYPE1-CRC64',
      'EXT-DIF-TYPE3-CRC64',
      'nop',
    ),
    interval: fc.constantFrom(512, 1024, 4096),
    before: fc.constantFrom(0, 0, 1, 8, 56),
    after: fc.constantFrom(0, 0, 3, 8),
  })
  .map(({ name, interval, before, after }) => {
    const { tupleSize } = profileByName(name);
    const piOffset = tupleSize === 0 ? 0 : before;
    return profileByName(name, { interval, piOffset, metadataSize: before + tupleSize + after });
  });

/** Seeds near the ends of 32, 48 and 64 bits as well. */
const seeds = fc
  .tuple(fc.constantFrom(0n, 2n ** 32n, 2n ** 48n, 2n ** 64n), fc.bigInt(-20n, 20n))
  .map(([base, offset]) => (base + offset < 0n ? 0n : base + offset))
  .filter((seed) => seed < 2n ** 64n);

const cases = fc.record({
  profile: profiles,
  intervals: fc.nat(9),
  layout: fc.constantFrom('separate', 'interleaved'),
  seed: seeds,
  appTag: fc.constantFrom(undefined, 0, 0x1234, 0xffff),
  type3Ref: fc.constantFrom('zero', 'seed'),
  ipGuardCovers: fc.constantFrom('data-and-metadata', 'metadata-alone'),
  findingsMax: fc.constantFrom(undefined, 0, 1, 3),
  startInterval: fc.constantFrom(undefined, 7),
  fill: fc.nat(255),
  appTags: fc.option(
    fc
      .array(fc.tuple(fc.nat(3), fc.nat(4), fc.constantFrom(0, 0x1234, 0xffff)), { maxLength: 3 })
      .map((gaps) => {
        let end = 0;
        return gaps.map(([gap, count, value]) => {
          const first = end + gap;
          end = first + count;
          return { first, count, value };
        });
      }),
    { nil: undefined },
  ),
  seedDistance: fc.constantFrom(0n, 1n),
  rule: fc.record({
    appTag: fc.constantFrom(undefined, 0, 0x1234),
    appTagMask: fc.constantFrom(undefined, 0xffff, 0x1200, 0),
    checks: fc.option(fc.subarray(['guard', 'app', 'ref'] as const), { nil: undefined }),
    order: fc.constantFrom(undefined, 'kernel', 't10', 'spdk'),
    escapeCovers: fc.constantFrom(undefined, 'interval', 'rest'),
  }),
  corruptions: fc.array(
    fc.record({
      interval: fc.nat(9),
      where: fc.constantFrom('data', 'metadata', 'metadata'),
      at: fc.nat(71),
      bytes: fc.constantFrom([0x01], [0xff], [0xff, 0xff], Array(16).fill(0xff)),
    }),
    { maxLength: 12 },
  ),
});

t.test('the addon and the plain code say the same', async (t) => {
  const seen = new Set<string>();
  const same = fc.property(
    cases,
    ({ profile, intervals, fill, corruptions, seedDistance, rule, ...options }) => {
      const data = Uint8Array.from({ length: intervals * profile.interval }, (_, i) => (i * fill) ^ (i >> 8));
      const job = { profile, ...options };
      const metadata = plainEngine.generate(data, job);
      assert.deepEqual(nativeEngine.generate(data, job), metadata);

      const separate = job.layout === 'separate';
      const [stream, tuples] = separate ? [data, metadata] : [metadata, null];
      const placement = place(profile, job.layout, stream, tuples);
      for (const { interval, where, at, bytes } of corruptions) {
        if (interval >= intervals) continue;
        const size = where === 'data' ? profile.interval : profile.metadataSize;
        const start =
          where === 'data'
            ? interval * placement.dataStride
            : placement.metadataStart + interval * placement.metadataStride;
        placement[where]
          .subarray(start, start + size)
          .set(bytes.slice(0, Math.max(0, size - at)), Math.min(at, size));
      }
      const given = rule.appTag !== undefined || job.appTags !== undefined;
      const checks = given ? rule.checks : rule.checks?.filter((field) => field !== 'app');
      const seed = BigInt.asUintN(64, job.seed + seedDistance);
      const check = { ...job, ...rule, checks, seed };
      const result = nativeEngine.verify(stream, tuples, check);
      assert.deepEqual(result, plainEngine.verify(stream, tuples, check));
      for (const { differs } of result.findings) seen.add(differs.join());
      if (result.escaped > 0) seen.add('escaped');
    },
  );
  t.doesNotThrow(() => fc.assert(same, { numRuns: 1000 }));
  for (const verdict of ['app', 'escaped', 'guard', 'ref', 'ref,guard', 'guard,ref']) {
    t.ok(seen.has(verdict), `${verdict} came up`);
  }
});

t.test('the guards of the addon', async (t) => {
  const same = fc.property(fc.uint8Array({ maxLength: 9000, size: 'max' }), fc.nat(0xffff), (data, seed) => {
    assert.equal(native().crc16T10Dif(seed, data), crc16T10Dif(seed, data));
    assert.equal(native().ipChecksum(data), ipChecksum(data));
    assert.equal(native().crc64Nvme(BigInt(seed), data), crc64Nvme(BigInt(seed), data));
  });
  t.doesNotThrow(() => fc.assert(same));
});

t.equal(defaultEngine(), nativeEngine, 'the addon serves where it loads');
