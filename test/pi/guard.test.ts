import { readFileSync } from 'node:fs';
import t from 'tap';
import { computeGuard, crc16T10Dif, crc64Nvme, ipChecksum } from '../../src/pi/guard.js';
import { type Pattern, patternBytes as pattern } from '../vectors/vectors.js';

const ascii = (text: string) => new TextEncoder().encode(text);
const NOTHING = new Uint8Array(0);

function vectors(name: string) {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8'));
}

t.test('CRC-16 T10-DIF', async (t) => {
  t.test("ISA-L's values, from every seed", async (t) => {
    const { seeds, vectors: rows } = vectors('crc16_t10dif');
    t.equal(rows.length, 750);
    const wrong = rows.filter(([name, length, ...crcs]: [Pattern, number, ...string[]]) => {
      const data = pattern(name, length);
      return crcs.some((crc, i) => crc16T10Dif(Number(seeds[i]), data) !== Number.parseInt(crc, 16));
    });
    t.same(wrong, []);
  });

  t.test("the kernel's self-test table", async (t) => {
    const { vectors: rows } = vectors('linux_testmgr_crct10dif');
    t.equal(rows.length, 5);
    for (const { hex, crc, length } of rows) {
      t.equal(crc16T10Dif(0, Buffer.from(hex, 'hex')), Number(crc), `${length} bytes`);
    }
  });

  // T10 SBC-4's examples; the 4096-byte ones were computed with independent code.
  for (const [what, data, crc] of [
    ['32 bytes of 00h', pattern('zeros', 32), 0x0000],
    ['32 bytes of FFh', pattern('ones', 32), 0xa293],
    ['00h to 1Fh', pattern('inc', 32), 0x0224],
    ['FFFFh and 30 bytes of 00h', Buffer.concat([pattern('ones', 2), pattern('zeros', 30)]), 0x21b8],
    ['FFh down to E0h', pattern('dec', 32), 0xa0b7],
    ['"123456789"', ascii('123456789'), 0xd0db],
    ['4096 bytes of FFh', pattern('ones', 4096), 0x8b5d],
    ['4096 bytes counting up', pattern('inc', 4096), 0x8f6d],
    ['4096 bytes counting down', pattern('dec', 4096), 0x0430],
    ['512 bytes of A5h', new Uint8Array(512).fill(0xa5), 0x9ec6],
    ['512 bytes, the last 01h', pattern('zeros', 512).fill(1, 511), 0x8bb7],
    ['512 bytes, the first 80h', pattern('zeros', 512).fill(0x80, 0, 1), 0xd02a],
  ] as const) {
    t.equal(crc16T10Dif(0, data), crc, what);
  }
  t.equal(crc16T10Dif(crc16T10Dif(0, ascii('1234')), ascii('56789')), 0xd0db, 'goes on from a seed');
});

t.test('IP checksum', async (t) => {
  const { vectors: rows } = vectors('ip_checksum');
  t.equal(rows.length, 162);
  const wrong = rows.filter(
    ({ pattern: name, length, beValue }: { pattern: Pattern; length: number; beValue: string }) =>
      ipChecksum(pattern(name, length)) !== Number(beValue),
  );
  t.same(wrong, [], "the kernel's values, as stored");
  const [odd, even] = [pattern('xs32', 17), pattern('xs32', 512)];
  t.equal(
    ipChecksum(odd),
    ipChecksum(Buffer.concat([odd, pattern('zeros', 1)])),
    'an odd byte is padded with zero',
  );
  t.equal(ipChecksum(even, odd), ipChecksum(Buffer.concat([even, odd])), 'parts are as one');
});

t.test('CRC-64 NVMe', async (t) => {
  const { vectors: rows } = vectors('crc64_nvme_crc32c');
  t.equal(rows.length, 750);
  const wrong = rows.filter(
    ([name, length, crc]: [Pattern, number, string]) =>
      crc64Nvme(0n, pattern(name, length)) !== BigInt(`0x${crc}`),
  );
  t.same(wrong, []);
  t.equal(crc64Nvme(0n, ascii('123456789')), 0xae8b14860a799888n);
  t.equal(crc64Nvme(0n, pattern('dec', 4096)), 0x9a2df64b8e9e517en, 'the NVM command set specification');
  t.equal(
    crc64Nvme(crc64Nvme(0n, ascii('1234')), ascii('56789')),
    0xae8b14860a799888n,
    'goes on from a seed',
  );
});

t.test('the guard covers the metadata before the tuple', async (t) => {
  const data = pattern('xs32', 512);
  const prefix = pattern('spdk', 8);
  const both = Buffer.concat([data, prefix]);
  t.equal(computeGuard('crc16', data, prefix, 'data-and-metadata'), crc16T10Dif(0, both));
  t.equal(computeGuard('crc64', data, prefix, 'data-and-metadata'), crc64Nvme(0n, both));
  t.equal(computeGuard('ip', data, prefix, 'data-and-metadata'), ipChecksum(both));
  t.equal(
    computeGuard('ip', data, prefix, 'metadata-alone'),
    ipChecksum(prefix),
    'Linux 6.12 loses the data',
  );
  t.equal(computeGuard('ip', data, NOTHING, 'metadata-alone'), ipChecksum(data), 'but not without a prefix');
  t.equal(computeGuard('crc16', data, prefix, 'metadata-alone'), crc16T10Dif(0, both), 'and not in a CRC');
});
