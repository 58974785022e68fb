import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { injectFaults } from '../../src/pi/inject.js';
import { profileByName } from '../../src/pi/profile.js';
import { remapReferenceTags, remapReferenceTagsChecked } from '../../src/pi/remap.js';
import { profilesOf, protectedBlocks } from './blocks.js';

const TYPE1 = profileByName('T10-DIF-TYPE1-CRC');
const bytes = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

t.test('the bytes of remapReferenceTags, and every tag that was another', async (t) => {
  const same = fc.property(
    profilesOf(),
    fc.nat(16),
    fc.nat(5),
    fc.nat(0xffff),
    fc.bigInt(0n, 2n ** 64n - 1n),
    fc.bigInt(0n, 2n ** 64n - 1n),
    (profile, intervals, faults, random, from, to) => {
      const job = { profile, layout: 'separate', seed: from, type3Ref: 'seed' } as const;
      const { stream, metadata } = protectedBlocks(job, intervals, random);
      const inject = {
        ...job,
        randomSeed: random,
        // Nobody would find one in the reference tag of type 3.
        target: profile.type === 3 ? 'app' : 'ref',
        count: Math.min(faults, intervals),
      } as const;
      const injected = injectFaults(stream, metadata, inject).map(({ interval }) => interval);
      const asTheKernel = metadata!.slice();
      remapReferenceTags(profile, asTheKernel, from, to);
      const result = remapReferenceTagsChecked(profile, metadata!, from, to);
      assert.deepEqual(metadata, asTheKernel);
      const counts = profile.type === 3 ? [] : injected;
      assert.deepEqual(
        result.findings.map(({ interval }) => interval),
        counts,
      );
      assert.equal(result.mismatched, counts.length);
      assert.equal(result.ok, counts.length === 0);
      assert.equal(result.remapped, profile.type === 3 ? 0 : intervals - counts.length);
    },
  );
  t.doesNotThrow(() => fc.assert(same));
});

t.test('mismatches and escapes apart, with a limit', async (t) => {
  const tuples = bytes(
    '0000 0000 00000008 0000 0000 00000063 0000 ffff 0000000a 0000 ffff ffffffff 0000 0000 00000000',
  );
  t.same(remapReferenceTagsChecked(TYPE1, tuples, 8n, 1n, { findingsMax: 1, startInterval: 100 }), {
    ok: false,
    intervals: 5,
    remapped: 2,
    escaped: 1,
    mismatched: 2,
    findings: [
      { interval: 101, check: 'ref', stored: 0x63, computed: 9, differs: ['ref'], tupleOffset: 8, ref: 9 },
    ],
  });
  t.equal(
    tuples.toString('hex'),
    bytes(
      '0000 0000 00000001 0000 0000 00000063 0000 ffff 00000003 0000 ffff ffffffff 0000 0000 00000000',
    ).toString('hex'),
    'an escaped tuple with the expected tag is remapped, as by the kernel; others are left',
  );
  t.match(remapReferenceTagsChecked(profileByName('none'), new Uint8Array(0), 0n, 1n), {
    ok: true,
    intervals: 0,
  });
  const type3 = profileByName('T10-DIF-TYPE3-CRC');
  for (const profile of [TYPE1, type3, profileByName('none')]) {
    t.throws(() => remapReferenceTagsChecked(profile, new Uint8Array(9), 0n, 1n), { code: 'ERR_BAD_LENGTH' });
  }
  const held = bytes('0000 0000 00000000');
  for (const [from, to] of [
    [-1n, 0n],
    [0n, -1n],
    [2n ** 64n, 0n],
    [0n, 1 as unknown as bigint],
  ] as const) {
    t.throws(() => remapReferenceTagsChecked(TYPE1, held, from, to), { code: 'ERR_OUT_OF_RANGE' });
    t.throws(() => remapReferenceTags(type3, held, from, to), { code: 'ERR_OUT_OF_RANGE' });
  }
  t.equal(held.toString('hex'), '0000000000000000', 'untouched');
});
