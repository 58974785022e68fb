import t from 'tap';
import { native } from '../../src/binding.js';
import { crc16Vectors, ipVectors, kernelCrc16Vectors, patternBytes } from '../vectors/vectors.js';

const { crc16T10Dif, crc64Nvme, ipChecksum } = native();

t.test('CRC-16 T10-DIF', async (t) => {
  t.test('every vector of ISA-L, SPDK and the kernel, with every seed', async (t) => {
    const { vectors, seeds, check } = crc16Vectors;
    t.equal(vectors.length, 750);
    t.equal(crc16T10Dif(0, Buffer.from(check.ascii)), Number(check.crc));
    const wrong = vectors.flatMap(([pattern, length, ...crcs]) => {
      const data = patternBytes(pattern, length);
      return crcs
        .map((crc, i) => ({ pattern, length, seed: seeds[i], crc, got: crc16T10Dif(Number(seeds[i]), data) }))
        .filter(({ crc, got }) => got !== Number.parseInt(crc, 16));
    });
    t.same(wrong, []);
  });

  t.test("the messages of the kernel's own test", async (t) => {
    t.equal(kernelCrc16Vectors.vectors.length, 5);
    for (const { hex, crc } of kernelCrc16Vectors.vectors) {
      t.equal(crc16T10Dif(0, Buffer.from(hex, 'hex')), Number(crc), `${hex.length / 2} bytes`);
    }
  });

  t.test('a message may be given in two parts, at any address', async (t) => {
    const data = patternBytes('xs32', 100);
    const whole = crc16T10Dif(0, data);
    for (let cut = 0; cut <= data.length; cut++) {
      t.equal(crc16T10Dif(crc16T10Dif(0, data.subarray(0, cut)), data.subarray(cut)), whole);
    }
  });
});

t.test('CRC-64 NVMe', async (t) => {
  t.test('the values of the NVM command set specification', async (t) => {
    t.equal(crc64Nvme(0n, patternBytes('zeros', 4096)), 0x6482d367eb22b64en);
    t.equal(crc64Nvme(0n, patternBytes('ones', 4096)), 0xc0ddba7302eca3acn);
    t.equal(crc64Nvme(0n, patternBytes('inc', 4096)), 0x3e729f5f6750449cn);
    t.equal(crc64Nvme(0n, patternBytes('dec', 4096)), 0x9a2df64b8e9e517en);
  });

  t.test('a message may be given in two parts, at any address', async (t) => {
    const data = patternBytes('xs32', 100);
    const whole = crc64Nvme(0n, data);
    for (let cut = 0; cut <= data.length; cut++) {
      t.equal(crc64Nvme(crc64Nvme(0n, data.subarray(0, cut)), data.subarray(cut)), whole);
    }
  });

  t.test('wrong arguments are named', async (t) => {
    for (const seed of [-1n, 2n ** 64n]) {
      t.throws(() => crc64Nvme(seed, new Uint8Array(8)), { code: 'ERR_OUT_OF_RANGE', message: /^seed / });
    }
    t.throws(() => crc64Nvme(0 as never, new Uint8Array(8)), {
      code: 'ERR_INVALID_ARG_TYPE',
      message: /^seed /,
    });
    t.throws(() => crc64Nvme(0n, [] as never), { code: 'ERR_INVALID_ARG_TYPE', message: /^data / });
  });
});

t.test('IP checksum', async (t) => {
  t.test("every vector of the kernel's", async (t) => {
    t.equal(ipVectors.vectors.length, 162);
    const wrong = ipVectors.vectors.filter(
      ({ pattern, length, beValue }) => ipChecksum(patternBytes(pattern, length)) !== Number(beValue),
    );
    t.same(wrong, []);
  });

  t.test('an odd end is padded with a zero byte', async (t) => {
    t.equal(ipChecksum(Uint8Array.of(0x12)), 0xedff);
    t.equal(ipChecksum(Uint8Array.of(1, 2, 3)), ipChecksum(Uint8Array.of(1, 2, 3, 0)));
  });
});

t.test('wrong arguments are named', async (t) => {
  const bytes = new Uint8Array(8);
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
  const range = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' };
  for (const seed of [-1, 0x10000, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.throws(() => crc16T10Dif(seed, bytes), { ...range, message: /^seed / }, `seed ${seed}`);
  }
  const seeds: unknown[] = ['0', 0n, null, undefined, {}];
  for (const seed of seeds)
    t.throws(() => crc16T10Dif(seed as number, bytes), { ...type, message: /^seed / });
  const notBytes: unknown[] = [
    undefined,
    null,
    'abc',
    [1, 2, 3],
    { length: 8 },
    new ArrayBuffer(8),
    new Uint16Array(8),
    new Uint8ClampedArray(8),
    new DataView(new ArrayBuffer(8)),
    new Proxy(bytes, {}),
    Object.create(Uint8Array.prototype),
  ];
  for (const data of notBytes) {
    t.throws(() => crc16T10Dif(0, data as Uint8Array), { ...type, message: 'data must be a Uint8Array' });
    t.throws(() => ipChecksum(data as Uint8Array), { ...type, message: 'data must be a Uint8Array' });
  }
});

t.test('memory that can change hands is refused', async (t) => {
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
  const detached = new Uint8Array(8);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  const shared = new Uint8Array(new SharedArrayBuffer(8));
  // ES2024, in Node 20 but not in the types for its ES2023.
  const Resizable = ArrayBuffer as new (length: number, options: { maxByteLength: number }) => ArrayBuffer;
  const resizable = new Uint8Array(new Resizable(8, { maxByteLength: 16 }));
  t.throws(() => ipChecksum(detached), { ...type, message: /detached/ });
  t.throws(() => ipChecksum(shared), { ...type, message: /no other thread/ });
  t.throws(() => ipChecksum(resizable), { ...type, message: /fixed size/ });
  Object.defineProperty(resizable.buffer, 'resizable', { value: false });
  t.throws(() => ipChecksum(resizable), { ...type, message: /fixed size/ }, 'also when it says otherwise');
  t.equal(ipChecksum(new Uint8Array(0)), 0xffff, 'an empty array is none of these');
});

t.test('alignedOffset', async (t) => {
  const { alignedOffset } = native();
  t.test('the first aligned address, for every power of two', async (t) => {
    const buffer = new ArrayBuffer(2 * 65536);
    const finest = alignedOffset(buffer, 65536);
    for (let alignment = 1; alignment <= 65536; alignment *= 2) {
      t.equal(alignedOffset(buffer, alignment), finest % alignment, `${alignment}`);
    }
  });

  t.test('wrong arguments', async (t) => {
    const buffer = new ArrayBuffer(16);
    for (const alignment of [0, -4096, 3, 131072, 4096.5, Number.NaN]) {
      t.throws(() => alignedOffset(buffer, alignment), { code: 'ERR_OUT_OF_RANGE', message: /^alignment / });
    }
    t.throws(() => alignedOffset(new Uint8Array(16) as never, 16), { code: 'ERR_INVALID_ARG_TYPE' });
    t.throws(() => alignedOffset(new SharedArrayBuffer(16) as never, 16), { code: 'ERR_INVALID_ARG_TYPE' });
    const small = Array.from({ length: 16 }, () => new ArrayBuffer(16));
    const refused = small.filter((buffer) => {
      try {
        return alignedOffset(buffer, 65536) > 16;
      } catch (error) {
        return (error as { code: string }).code === 'ERR_OUT_OF_RANGE';
      }
    });
    t.ok(refused.length >= 15, 'a buffer without an aligned address is refused');
  });
});
