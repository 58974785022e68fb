import fc from 'fast-check';
import t from 'tap';
import {
  cdbText,
  inquiryCdb,
  isReadOnlyCdb,
  modeSense10Cdb,
  readCapacity16Cdb,
  readCdb,
  type TransferCommand,
  transferLength,
  writeCdb,
} from '../../src/scsi/cdb.js';
import { bytes } from './hex.js';

// Written by hand from the tables of SBC-4 and SPC-5.
t.test('READ and WRITE, byte for byte', async (t) => {
  const tags = { refTag: 0x05060708, appTag: 0x1234, appTagMask: 0xff0f };
  const cases: [string, (command: TransferCommand) => Uint8Array, TransferCommand, string][] = [
    // As the kernel's sd sends and logs it for a DIF type 1 disk.
    ['READ(10)', readCdb, { size: 10, lba: 8n, blocks: 8, protect: 1 }, '28 20 00000008 00 0008 00'],
    ['WRITE(10)', writeCdb, { size: 10, lba: 8n, blocks: 1 }, '2a 00 00000008 00 0001 00'],
    [
      'the last LBA of READ(10)',
      readCdb,
      { size: 10, lba: 0xffffffffn, blocks: 0xffff },
      '28 00 ffffffff 00 ffff 00',
    ],
    [
      'READ(16) with DPO and FUA',
      readCdb,
      { size: 16, lba: 0x123456789an, blocks: 16, protect: 3, dpo: true, fua: true },
      '88 78 000000123456789a 00000010 00 00',
    ],
    [
      'WRITE(16) with FUA',
      writeCdb,
      { size: 16, lba: 1n, blocks: 2, protect: 5, fua: true },
      '8a a8 0000000000000001 00000002 00 00',
    ],
    [
      'READ(32)',
      readCdb,
      { size: 32, lba: 0x0102030405060708n, blocks: 2, protect: 1, expected: tags },
      '7f 00 00000000 00 18 0009 20 00 0102030405060708 05060708 1234 ff0f 00000002',
    ],
    [
      'WRITE(32) without tags expects the low half of the LBA and any application tag',
      writeCdb,
      { size: 32, lba: 0x0102030405060708n, blocks: 2, protect: 3, dpo: true },
      '7f 00 00000000 00 18 000b 70 00 0102030405060708 05060708 0000 0000 00000002',
    ],
    ['READ(6) of 256 blocks', readCdb, { size: 6, lba: 0x123456n, blocks: 256 }, '08 12 34 56 00 00'],
    ['READ(12)', readCdb, { size: 12, lba: 8n, blocks: 16, protect: 1 }, 'a8 20 00000008 00000010 00 00'],
    ['no blocks', readCdb, { size: 32, lba: 0n, blocks: 0 }, `7f 00 00000000 00 18 0009 ${'00'.repeat(22)}`],
  ];
  for (const [name, build, command, expected] of cases) t.same(build(command), bytes(expected), name);
});

t.test('a field that does not fit is named', async (t) => {
  const good: TransferCommand = { size: 16, lba: 0n, blocks: 1 };
  const tags = { refTag: 0, appTag: 0, appTagMask: 0 };
  const cases: [Partial<TransferCommand>, RegExp][] = [
    [{ size: 10, lba: 0x1_0000_0000n }, /^lba is 4294967296: .* 0 to 4294967295 in READ\(10\)/],
    [{ lba: 2n ** 64n }, /^lba is 18446744073709551616/],
    [{ lba: -1n }, /^lba is -1/],
    [{ size: 10, blocks: 65536 }, /^blocks is 65536/],
    [{ blocks: 2 ** 32 }, /^blocks is 4294967296/],
    [{ blocks: 1.5 }, /^blocks is 1.5/],
    [{ blocks: Number.NaN }, /^blocks is NaN/],
    [{ protect: 8 }, /^protect is 8/],
    [{ protect: -1 }, /^protect is -1/],
    [{ size: 32, expected: { ...tags, refTag: 2 ** 32 } }, /^refTag is 4294967296/],
    [{ size: 32, expected: { ...tags, appTag: 65536 } }, /^appTag is 65536/],
    [{ size: 32, expected: { ...tags, appTagMask: -1 } }, /^appTagMask is -1/],
    [{ size: 8 as 10 }, /^size is 8/],
    [{ size: 6, lba: 2n ** 21n }, /^lba is 2097152: .* in READ\(6\)/],
    [{ size: 6, blocks: 257 }, /^blocks is 257/],
    [{ size: 6, blocks: 0 }, /^blocks is 0: .* 1 to 256/],
    [{ size: 12, lba: 2n ** 32n }, /^lba is .* in READ\(12\)/],
  ];
  for (const [part, message] of cases) {
    t.throws(() => readCdb({ ...good, ...part }), { code: 'ERR_OUT_OF_RANGE', message });
  }
  t.throws(() => readCdb({ ...good, expected: tags }), {
    code: 'ERR_USAGE',
    message: /READ\(16\) has no fields/,
  });
  for (const part of [{ protect: 1 }, { fua: true }, { dpo: true }]) {
    t.throws(() => readCdb({ ...good, ...part, size: 6 }), {
      code: 'ERR_USAGE',
      message: /READ\(6\) has no/,
    });
  }
  t.throws(() => inquiryCdb(65536), { code: 'ERR_OUT_OF_RANGE', message: /^allocationLength/ });
  t.throws(() => inquiryCdb(255, 256), { code: 'ERR_OUT_OF_RANGE', message: /^page/ });
  t.throws(() => modeSense10Cdb(0x40, 255), { code: 'ERR_OUT_OF_RANGE', message: /^page/ });
});

t.test('the commands that ask', async (t) => {
  t.same(inquiryCdb(36), bytes('12 00 00 0024 00'));
  t.same(inquiryCdb(252, 0x83), bytes('12 01 83 00fc 00'));
  t.same(readCapacity16Cdb(), bytes('9e 10 0000000000000000 00000020 00 00'));
  t.same(modeSense10Cdb(0x0a, 252), bytes('5a 08 0a 00 00 00 00 00fc 00'));
});

t.test('the length of a transfer', async (t) => {
  t.equal(transferLength({ blocks: 2, blockSize: 512, intervalsPerBlock: 1, protect: 0 }), 1024);
  t.equal(transferLength({ blocks: 2, blockSize: 512, intervalsPerBlock: 1, protect: 1 }), 1040);
  t.equal(transferLength({ blocks: 1, blockSize: 4096, intervalsPerBlock: 1, protect: 3 }), 4104);
  t.equal(transferLength({ blocks: 1, blockSize: 4096, intervalsPerBlock: 8, protect: 1 }), 4160);
});

t.test('what cannot alter the medium', async (t) => {
  const readOnly: Record<string, string> = {
    'TEST UNIT READY': '00 00 00 00 00 00',
    'REQUEST SENSE': '03 00 00 00 fc 00',
    'READ(6)': '08 00 00 08 01 00',
    'MODE SENSE(6)': '1a 08 0a 00 fc 00',
    'READ CAPACITY(10)': '25 00 00000000 0000 00 00',
    'LOG SENSE': '4d 00 40 00 00 0000 00fc 00',
    'READ LONG(10)': '3e 00 00000008 00 0208 00',
    'READ LONG(16)': '9e 11 0000000000000008 0000 0208 00 00',
    'READ(12)': 'a8 20 00000008 00000001 00 00',
    'REPORT LUNS': 'a0 00 00 000000 00000100 00 00',
    'REPORT SUPPORTED OPERATION CODES': 'a3 0c 01 28 0000 00000100 00 00',
    'GET LBA STATUS(16)': '9e 12 0000000000000008 00000018 00 00',
    'VERIFY(10)': '2f 20 00000008 00 0001 00',
    'VERIFY(12)': 'af 20 00000008 00000001 00 00',
    'VERIFY(16)': '8f 20 0000000000000008 00000001 00 00',
    'VERIFY(32)': `7f 00 00000000 00 18 000a 20 00 ${'00'.repeat(20)}`,
  };
  for (const [name, cdb] of Object.entries(readOnly)) {
    t.equal(isReadOnlyCdb(bytes(cdb)), true, name);
    t.ok(cdbText(bytes(cdb)).startsWith(`${name} `), `${name} is called so`);
  }
  const writes: Record<string, string> = {
    'WRITE(6)': '0a 00 00 08 01 00',
    'WRITE(12)': 'aa 00 00000008 00000001 00 00',
    'FORMAT UNIT': '04 90 00 00 00 00',
    'MODE SELECT(10)': '55 10 00 00 00 00 00 0010 00',
    'LOG SENSE that saves': '4d 01 40 00 00 0000 00fc 00',
    UNMAP: '42 00 00000000 00 0018 00',
    'WRITE SAME(16)': '93 00 0000000000000008 00000001 00 00',
    'WRITE SAME(32)': `7f 00 00000000 00 18 000d 20 00 ${'00'.repeat(20)}`,
    'WRITE AND VERIFY(10)': '2e 00 00000008 00 0001 00',
    'VERIFY(10) that sends data': '2f 22 00000008 00 0001 00',
    'VERIFY(32) that sends data': `7f 00 00000000 00 18 000a 26 00 ${'00'.repeat(20)}`,
    'WRITE LONG(16), a service action beside READ CAPACITY(16)': '9f 11 0000000000000008 00000001 00 00',
    'an unknown service action of 9Eh': '9e 0f 0000000000000008 00000001 00 00',
    'SET TARGET PORT GROUPS, beside REPORT SUPPORTED OPERATION CODES': 'a4 0a 00 00 0000 00000100 00 00',
    'vendor specific': 'c1 00 00 00 00 00',
    'cut before its service action': '7f 00 00000000 00 18 00',
    'cut before its BYTCHK': '2f',
    nothing: '',
  };
  for (const [name, cdb] of Object.entries(writes)) t.equal(isReadOnlyCdb(bytes(cdb)), false, name);

  const command = fc.record({
    size: fc.constantFrom(10 as const, 16 as const, 32 as const),
    lba: fc.bigInt({ min: 0n, max: 0xffffffffn }),
    blocks: fc.nat({ max: 65535 }),
    protect: fc.nat({ max: 7 }),
    fua: fc.boolean(),
    dpo: fc.boolean(),
  });
  const kept = fc.property(command, (one) => isReadOnlyCdb(readCdb(one)) && !isReadOnlyCdb(writeCdb(one)));
  t.doesNotThrow(() => fc.assert(kept), 'each READ that is built here and no WRITE');
});

t.test('a command in words', async (t) => {
  t.equal(
    cdbText(readCdb({ size: 10, lba: 8n, blocks: 8, protect: 1 })),
    'READ(10) 28 20 00 00 00 08 00 00 08 00',
  );
  t.equal(cdbText(bytes('c1 00 00 00 00 00')), 'command c1 00 00 00 00 00');
});
