import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { crc16T10DifCombine, crc64NvmeCombine } from '../../src/pi/combine.js';
import { crc16T10Dif, crc64Nvme } from '../../src/pi/guard.js';
import { crc16Vectors, patternBytes } from '../vectors/vectors.js';

const parts = fc.uint8Array({ maxLength: 5000, size: 'max' });
const lengths = fc.oneof(fc.nat(10000), fc.maxSafeNat());

t.test('the CRC of the whole, from the CRCs of the parts', async (t) => {
  const whole = fc.property(parts, parts, (a, b) => {
    const both = Buffer.concat([a, b]);
    assert.equal(crc16T10DifCombine(crc16T10Dif(0, a), crc16T10Dif(0, b), b.length), crc16T10Dif(0, both));
    assert.equal(crc64NvmeCombine(crc64Nvme(0n, a), crc64Nvme(0n, b), b.length), crc64Nvme(0n, both));
  });
  t.doesNotThrow(() => fc.assert(whole));
  for (const [pattern, length, crc] of crc16Vectors.vectors.filter(([, length]) => length >= 512)) {
    const cut = length >> 1;
    const [a, b] = [
      patternBytes(pattern, length).subarray(0, cut),
      patternBytes(pattern, length).subarray(cut),
    ];
    const combined = crc16T10DifCombine(crc16T10Dif(0, a), crc16T10Dif(0, b), b.length);
    t.equal(combined, Number.parseInt(crc!, 16), `${pattern} ${length}`);
  }
});

t.test('any length there is: two stretches of zeros are as one', async (t) => {
  const additive = fc.property(
    fc.nat(0xffff),
    fc.bigInt(0n, 2n ** 64n - 1n),
    lengths,
    lengths,
    (a, b, n, m) => {
      const both = (n % 2 ** 52) + (m % 2 ** 52);
      const steps = [n % 2 ** 52, m % 2 ** 52];
      assert.equal(
        steps.reduce((crc, length) => crc16T10DifCombine(crc, 0, length), a),
        crc16T10DifCombine(a, 0, both),
      );
      assert.equal(
        steps.reduce((crc, length) => crc64NvmeCombine(crc, 0n, length), b),
        crc64NvmeCombine(b, 0n, both),
      );
    },
  );
  t.doesNotThrow(() => fc.assert(additive));
});

t.test('numbers that are none', async (t) => {
  const range = { code: 'ERR_OUT_OF_RANGE' };
  for (const length of [-1, 0.5, Number.NaN, 2 ** 53]) {
    t.throws(() => crc16T10DifCombine(0, 0, length), range);
    t.throws(() => crc64NvmeCombine(0n, 0n, length), range);
  }
  t.throws(() => crc16T10DifCombine(0x10000, 0, 0), range);
  t.throws(() => crc16T10DifCombine(0, -1, 0), range);
  t.throws(() => crc64NvmeCombine(2n ** 64n, 0n, 0), range);
  t.throws(() => crc64NvmeCombine(0n, -1n, 0), range);
});
