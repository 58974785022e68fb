import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { plainEngine } from '../../src/pi/engine.js';
import { type InjectedFault, injectFaults, undoFaults } from '../../src/pi/inject.js';
import { profileByName } from '../../src/pi/profile.js';
import { layouts, profilesOf, protectedBlocks } from './blocks.js';

const cases = fc.record({
  profile: profilesOf(),
  layout: layouts,
  intervals: fc.nat(16),
  random: fc.nat(0xffff),
  count: fc.nat(16),
  target: fc.constantFrom('data', 'guard', 'app', 'ref'),
  appTag: fc.constantFrom(0, 0xfffe, 0x7fff, 0xffff),
  seed: fc.constantFrom(3n, 2n ** 32n - 2n, 2n ** 48n - 3n),
});

t.test(
  'verify finds exactly the injected faults, by the right check, and undo takes them back',
  async (t) => {
    const found = new Set<string>();
    const exact = fc.property(
      cases,
      ({ profile, layout, intervals, random, count, target, appTag, seed }) => {
        const job = { profile, layout, seed, appTag, type3Ref: 'seed' } as const;
        const { stream, metadata } = protectedBlocks(job, intervals, random);
        const check = { profile, layout, seed, appTag } as const;
        const before = plainEngine.verify(stream, metadata, check);
        const open = intervals - before.escaped;
        const inject = { profile, layout, randomSeed: random, target, count: Math.min(count, open) } as const;
        if (target === 'ref' && profile.type === 3) {
          assert.throws(() => injectFaults(stream, metadata, inject), { code: 'ERR_USAGE' });
          return;
        }
        const good = [stream.slice(), metadata?.slice() ?? null];

        const faults = injectFaults(stream, metadata, inject);
        assert.equal(faults.length, inject.count);
        const expected = faults.map(({ interval }) => interval);
        assert.deepEqual(
          expected,
          [...new Set(expected)].sort((a, b) => a - b),
          'distinct, in order',
        );

        const byKernel = plainEngine.verify(stream, metadata, { profile, layout, seed });
        const byAll = plainEngine.verify(stream, metadata, check);
        assert.equal(byAll.escaped, before.escaped, 'no interval is hidden by an escape');
        const field = target === 'data' ? 'guard' : target;
        const verdicts = expected.map((interval) => `${interval} ${field}`);
        const said = (result: typeof byAll) =>
          result.findings.map(({ interval, differs }) => `${interval} ${differs}`);
        assert.deepEqual(said(byAll), verdicts);
        assert.deepEqual(
          said(byKernel),
          field === 'app' ? [] : verdicts,
          'no kernel compares the application tag',
        );
        if (byAll.bad > 0) found.add(target);

        const layoutOther = layout === 'separate' ? 'interleaved' : 'separate';
        const other = protectedBlocks({ ...job, layout: layoutOther }, intervals, random);
        assert.deepEqual(
          injectFaults(other.stream, other.metadata, { ...inject, layout: layoutOther }),
          faults,
          'the same in the other layout',
        );

        undoFaults(stream, metadata, inject, faults);
        assert.deepEqual([stream, metadata], good);
      },
    );
    t.doesNotThrow(() => fc.assert(exact, { numRuns: 300 }));
    t.same([...found].sort(), ['app', 'data', 'guard', 'ref']);
  },
);

t.test('one seed, one choice, in every release', async (t) => {
  const profile = profileByName('T10-DIF-TYPE1-CRC');
  const inject = { profile, layout: 'separate', target: 'data', count: 3 } as const;
  const faults = (randomSeed: number) =>
    injectFaults(new Uint8Array(100 * 512), new Uint8Array(800), { ...inject, randomSeed })
      .map(({ interval, byte, bit }) => `${interval}:${byte}.${bit}`)
      .join(' ');
  t.equal(faults(1), '11:304.6 34:395.4 53:91.1');
  t.equal(faults(2), '5:107.4 23:181.1 83:159.3');
  t.equal(faults(0), '28:259.3 44:83.2 52:42.5');
});

t.test('every interval and every bit can be chosen', async (t) => {
  const profile = profileByName('T10-DIF-TYPE1-CRC');
  const seen = new Set<string>();
  for (let randomSeed = 0; randomSeed < 2000; randomSeed++) {
    const [fault] = injectFaults(new Uint8Array(2 * 512), new Uint8Array(16), {
      profile,
      layout: 'separate',
      target: 'ref',
      count: 1,
      randomSeed,
    });
    seen.add(`${fault!.interval} ${fault!.byte}.${fault!.bit}`);
  }
  t.equal(seen.size, 2 * 32);
});

t.test('refused', async (t) => {
  const profile = profileByName('T10-DIF-TYPE1-CRC');
  const tuples = new Uint8Array(16).fill(0xff, 0, 8);
  const inject = (more: object, data = new Uint8Array(1024)) =>
    injectFaults(data, tuples, {
      profile,
      layout: 'separate',
      target: 'data',
      count: 1,
      randomSeed: 0,
      ...more,
    });
  t.equal(inject({})[0]?.interval, 1, 'an escaped interval is passed over');
  t.throws(() => inject({ count: 2 }), { code: 'ERR_OUT_OF_RANGE', message: /^count 2 .* to 1$/ });
  for (const wrong of [{ count: -1 }, { count: 0.5 }, { randomSeed: -1 }, { randomSeed: 2 ** 32 }]) {
    t.throws(() => inject(wrong), { code: 'ERR_OUT_OF_RANGE' });
  }
  t.throws(() => inject({}, new Uint8Array(512)), { code: 'ERR_BAD_LENGTH' });
  t.throws(() => inject({ profile: profileByName('nop', { metadataSize: 8 }) }), { code: 'ERR_USAGE' });
  t.throws(() => inject({ target: 'lba' }), { code: 'ERR_USAGE' });
  t.throws(() => inject({ target: 'ref', profile: profileByName('T10-DIF-TYPE3-CRC') }), {
    code: 'ERR_USAGE',
    message: /nobody compares/,
  });
});

t.test('faults that are not there are not taken back, and none of their neighbours', async (t) => {
  const good = { interval: 0, target: 'guard', byte: 0, bit: 0 } as const;
  const wrong = [
    [{ byte: 2 }, 'ERR_OUT_OF_RANGE'],
    [{ byte: 8 }, 'ERR_OUT_OF_RANGE'],
    [{ byte: -1 }, 'ERR_OUT_OF_RANGE'],
    [{ target: 'ref', byte: 3 }, 'ERR_OUT_OF_RANGE'],
    [{ target: 'data', byte: 512 }, 'ERR_OUT_OF_RANGE'],
    [{ interval: 2 }, 'ERR_OUT_OF_RANGE'],
    [{ interval: -1 }, 'ERR_OUT_OF_RANGE'],
    [{ interval: 0.5 }, 'ERR_OUT_OF_RANGE'],
    [{ bit: 8 }, 'ERR_OUT_OF_RANGE'],
    [{ target: 'lba' }, 'ERR_USAGE'],
    [{ target: 'toString' }, 'ERR_USAGE'],
  ] as const;
  const stored = { profile: profileByName('T10-DIF-TYPE1-CRC'), layout: 'separate' } as const;
  for (const [change, code] of wrong) {
    const [data, tuples] = [new Uint8Array(1024), new Uint8Array(16)];
    const faults = [good, { ...good, ...change } as InjectedFault];
    t.throws(() => undoFaults(data, tuples, stored, faults), { code }, JSON.stringify(change));
    t.same([...data, ...tuples], new Array(1040).fill(0), 'nothing touched');
  }
  t.throws(
    () => undoFaults(new Uint8Array(512), null, { ...stored, profile: profileByName('none') }, [good]),
    {
      code: 'ERR_USAGE',
    },
  );
});
