import fc from 'fast-check';
import t from 'tap';
import { IntegrityError } from '../../src/errors.js';
import { decodeNamespaceFormat } from '../../src/nvme/identify.js';

/** Format 3 of a namespace: FLBAS at 26, DPS at 29, formats of 4 bytes from 128 on. */
function namespace({ flbas = 3, dps = 0, ms = 0, lbads = 9, at = 3 } = {}): Uint8Array {
  const bytes = new Uint8Array(4096);
  bytes[26] = flbas;
  bytes[29] = dps;
  bytes.set([ms & 0xff, ms >> 8, lbads, 0], 128 + 4 * at);
  return bytes;
}

/** The extended format 3: PIF in bits 8:7, storage tag size in 6:0. */
function nvm(pif: number, sts = 0, at = 3): Uint8Array {
  const bytes = new Uint8Array(4096);
  const format = (pif << 7) | sts;
  bytes.set([format & 0xff, format >> 8], 12 + 4 * at);
  return bytes;
}

t.test('the format in use', async (t) => {
  const none = { extended: false, protectionType: 0, guard: null, piOffset: 0 };
  t.same(decodeNamespaceFormat(namespace(), null), { ...none, blockSize: 512, metadataSize: 0 });
  t.same(decodeNamespaceFormat(namespace({ lbads: 12, ms: 8 }), nvm(0)), {
    ...none,
    blockSize: 4096,
    metadataSize: 8,
  });
  t.same(
    decodeNamespaceFormat(namespace({ dps: 1, ms: 8 }), null),
    { ...none, blockSize: 512, metadataSize: 8, protectionType: 1, guard: 'crc16' },
    'without the second structure the guard has 16 bits',
  );
  t.match(decodeNamespaceFormat(namespace({ dps: 3, ms: 64 }), nvm(0)), { protectionType: 3, piOffset: 56 });
  t.match(decodeNamespaceFormat(namespace({ dps: 0x0b, ms: 64 }), nvm(0)), {
    protectionType: 3,
    piOffset: 0,
  });
  t.match(decodeNamespaceFormat(namespace({ dps: 2, ms: 64 }), nvm(2)), {
    protectionType: 2,
    guard: 'crc64',
    piOffset: 48,
  });
  t.match(decodeNamespaceFormat(namespace({ dps: 1, ms: 300 }), null), { metadataSize: 300, piOffset: 292 });
  t.match(decodeNamespaceFormat(namespace({ flbas: 0x13, ms: 8 }), null), {
    extended: true,
    metadataSize: 8,
  });
  t.match(
    decodeNamespaceFormat(namespace({ flbas: 0x41, at: 0x21, dps: 1, ms: 16, lbads: 12 }), nvm(2, 0, 0x21)),
    { blockSize: 4096, guard: 'crc64', extended: false },
    'more than 16 formats',
  );
  t.match(decodeNamespaceFormat(namespace({ dps: 1, ms: 16 }), nvm(1)), { guard: null }, 'the 32b guard');
  t.match(decodeNamespaceFormat(namespace({ dps: 1, ms: 16 }), nvm(2, 16)), { guard: null }, 'a storage tag');
});

t.test('what cannot be', async (t) => {
  const wrong: [string, Uint8Array, Uint8Array | null][] = [
    ['too short', new Uint8Array(4095), null],
    ['the second too short', namespace({ dps: 1, ms: 8 }), new Uint8Array(100)],
    ['a reserved type', namespace({ dps: 4, ms: 8 }), null],
    ['a block of 256 bytes', namespace({ lbads: 8 }), null],
    ['a block of 128 KiB', namespace({ lbads: 17 }), null],
    ['a tuple without room', namespace({ dps: 1, ms: 4 }), null],
    ['a long tuple without room', namespace({ dps: 1, ms: 8 }), nvm(2)],
  ];
  for (const [what, base, second] of wrong) {
    t.throws(() => decodeNamespaceFormat(base, second), { code: 'ERR_MALFORMED_RESPONSE' }, what);
  }
});

t.test('any bytes are a format or malformed', async (t) => {
  const bytes = fc.uint8Array({ minLength: 4096, maxLength: 4096 });
  fc.assert(
    fc.property(bytes, fc.option(bytes), (base, second) => {
      try {
        const { metadataSize, piOffset, protectionType } = decodeNamespaceFormat(base, second);
        t.ok(piOffset >= 0 && piOffset <= metadataSize && protectionType <= 3);
      } catch (error) {
        t.ok(error instanceof IntegrityError && error.code === 'ERR_MALFORMED_RESPONSE');
      }
    }),
    { numRuns: 50 },
  );
});
