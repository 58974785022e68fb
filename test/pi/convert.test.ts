import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { convertGuards } from '../../src/pi/convert.js';
import { plainEngine } from '../../src/pi/engine.js';
import { injectFaults } from '../../src/pi/inject.js';
import { profileByName } from '../../src/pi/profile.js';
import { layouts, NAMES_8, profilesOf, protectedBlocks } from './blocks.js';

const cases = fc.record({
  profile: profilesOf(NAMES_8),
  layout: layouts,
  intervals: fc.nat(12),
  random: fc.nat(),
  faults: fc.nat(4),
  target: fc.constantFrom('data', 'guard', 'app', 'ref'),
});

t.test('there and back', async (t) => {
  const identity = fc.property(cases, ({ profile, layout, intervals, random, faults, target }) => {
    const job = { profile, layout, seed: 77n, appTag: 5, type3Ref: 'seed' } as const;
    const { stream, metadata } = protectedBlocks(job, intervals, random);
    const expected = profileByName(
      profile.name.replace(/CRC|IP/, (kind) => (kind === 'IP' ? 'CRC' : 'IP')),
      profile,
    );
    const [otherStream, otherMetadata] = [stream.slice(), metadata?.slice() ?? null];
    plainEngine.generateInto(otherStream, otherMetadata, { ...job, profile: expected });

    const good = convertGuards(stream, metadata, job);
    assert.deepEqual(good.profile, expected);
    assert.deepEqual([stream, metadata], [otherStream, otherMetadata], 'as if made by the other kind');
    assert.equal(good.converted, intervals);

    const count = Math.min(faults, intervals);
    const injected = injectFaults(stream, metadata, {
      ...job,
      profile: expected,
      randomSeed: random,
      // Nobody would find one in the reference tag of type 3.
      target: profile.type === 3 && target === 'ref' ? 'app' : target,
      count,
    });
    const damaged = [stream.slice(), metadata?.slice() ?? null];
    const check = { ...job, checks: ['guard'] as const };
    const harmed = target === 'data' || target === 'guard' ? injected.map(({ interval }) => interval) : [];
    const back = convertGuards(stream, metadata, { ...job, profile: expected });
    assert.deepEqual(
      back.findings,
      plainEngine
        .verify(damaged[0]!, damaged[1]!, { ...check, profile: expected })
        .findings.map((finding) => ({ ...finding, ref: null })),
    );
    assert.deepEqual(
      plainEngine.verify(stream, metadata, check).findings.map(({ interval }) => interval),
      harmed,
      'what was bad is bad, and nothing else',
    );
    const again = convertGuards(stream, metadata, job);
    assert.deepEqual([stream, metadata], damaged, 'bad tuples come back as they were');
    assert.equal(again.bad, harmed.length);
  });
  t.doesNotThrow(() => fc.assert(identity, { numRuns: 150 }));
});

t.test('counts, limits, escapes', async (t) => {
  const profile = profileByName('T10-DIF-TYPE1-IP');
  const data = new Uint8Array(4 * 512);
  const tuples = Buffer.from(
    'ffff000000000000 ffffffffffffffff ffff000000000002 0000000000000003'.replaceAll(' ', ''),
    'hex',
  );
  data[1024] = 1;
  const options = { profile, layout: 'separate', findingsMax: 1, startInterval: 10 } as const;
  const { profile: now, ...result } = convertGuards(data, tuples, options);
  t.equal(now.name, 'T10-DIF-TYPE1-CRC');
  t.same(result, {
    ok: false,
    intervals: 4,
    converted: 1,
    escaped: 1,
    bad: 2,
    findings: [
      {
        interval: 12,
        check: 'guard',
        stored: 0xffff,
        computed: 0xfeff,
        differs: ['guard'],
        dataOffset: 1024,
        tupleOffset: 16,
        ref: null,
      },
    ],
  });
  t.equal(tuples.toString('hex', 0, 16), '0000000000000000ffffffffffffffff', 'an escaped tuple is left');
  t.equal(tuples.readUInt16BE(24), 0xffff, 'a wrong guard is not made right');
});

t.test('refused', async (t) => {
  for (const name of ['EXT-DIF-TYPE1-CRC64', 'nop', 'none']) {
    const profile = profileByName(name);
    t.throws(() => convertGuards(new Uint8Array(0), null, { profile, layout: 'separate' }), {
      code: 'ERR_USAGE',
    });
  }
  const profile = profileByName('T10-DIF-TYPE1-IP');
  t.throws(() => convertGuards(new Uint8Array(512), new Uint8Array(7), { profile, layout: 'separate' }), {
    code: 'ERR_BAD_LENGTH',
  });
});
