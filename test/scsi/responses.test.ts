import t from 'tap';
import { ResponseReader } from '../../src/scsi/bytes.js';
import { decodeInquiry } from '../../src/scsi/inquiry.js';
import { decodeControlModePage } from '../../src/scsi/mode-page.js';
import { decodeReadCapacity16 } from '../../src/scsi/read-capacity.js';
import {
  decodeDeviceIdentification,
  decodeExtendedInquiry,
  decodeSupportedPages,
  decodeUnitSerialNumber,
} from '../../src/scsi/vpd.js';
import { bytes, padded } from './hex.js';

const MALFORMED = { code: 'ERR_MALFORMED_RESPONSE' } as const;

const text = (ascii: string) => Buffer.from(ascii, 'latin1').toString('hex');

t.test('fields and bounds', async (t) => {
  const reader = new ResponseReader('a structure', bytes('a5 01 02 03 04 05 06 07 08'));
  t.equal(reader.u8(0), 0xa5);
  t.equal(reader.u16(1), 0x0102);
  t.equal(reader.u32(1), 0x01020304);
  t.equal(reader.u64(1), 0x0102030405060708n);
  t.equal(reader.bits(0, 7, 5), 0b101);
  t.equal(reader.bits(0, 3, 0), 0x5);
  t.same([reader.bit(0, 7), reader.bit(0, 6)], [true, false]);
  t.same(reader.slice(7, 2), bytes('07 08'));
  t.same(reader.slice(9, 0), bytes(''));
  for (const read of [
    () => reader.u8(9),
    () => reader.u16(8),
    () => reader.u32(6),
    () => reader.u64(2),
    () => reader.slice(8, 2),
  ]) {
    t.throws(read, {
      ...MALFORMED,
      message: /^a structure: byte \d: \d byte\(s\) wanted, but the structure ends at 9$/,
    });
  }
  const hostile = new ResponseReader('text', bytes(text('a\x1b[2J\xff \0')));
  t.equal(hostile.ascii(0, hostile.length), 'a.[2J.', 'no control character reaches a terminal');
});

t.test('standard INQUIRY', async (t) => {
  const data = bytes(`00 00 07 02 5b 01 00 02 ${text('Linux   scsi_debug      0191')}`);
  t.same(decodeInquiry(data), {
    peripheralQualifier: 0,
    peripheralType: 0,
    version: 7,
    protect: true,
    vendor: 'Linux',
    product: 'scsi_debug',
    revision: '0191',
  });
  t.match(decodeInquiry(padded('74', 36)), { peripheralQualifier: 3, peripheralType: 0x14, protect: false });
  t.throws(() => decodeInquiry(data.subarray(0, 35)), MALFORMED);
});

t.test('VPD 00h and 80h', async (t) => {
  t.same(decodeSupportedPages(padded('00 00 00 04 00 80 83 86', 252)), [0x00, 0x80, 0x83, 0x86]);
  t.same(decodeSupportedPages(bytes('00 00 00 ff 00 80')), [0x00, 0x80], 'cut short');
  t.throws(() => decodeSupportedPages(bytes('00 83 00 00')), {
    ...MALFORMED,
    message: /VPD page 00h: byte 1: page code 83h/,
  });
  t.equal(decodeUnitSerialNumber(bytes(`00 80 00 08 ${text('    2000')}`)), '2000');
  t.equal(decodeUnitSerialNumber(bytes(`00 80 00 04 ${text('    ')}`)), null);
});

// The designators as sg_vpd of sg3-utils 1.46 lists them for the same bytes.
t.test('VPD 83h', async (t) => {
  const logicalUnit = '01 03 00 08 5000c50012345678';
  const port = '61 93 00 08 5000c50012345679 61 94 00 04 00000001';
  const target = '61 a3 00 08 5000c5001234567a';
  const vendor = `02 01 00 14 ${text('SEAGATE ST600MP0006 ')}`;
  const page = bytes(`00 83 00 48 ${logicalUnit} ${port} ${target} ${vendor}`);
  t.match(decodeDeviceIdentification(page), {
    identity: 'naa.5000c50012345678',
    designators: [
      { association: 0, type: 3, bytes: bytes('5000c50012345678') },
      { association: 1, type: 3 },
      { association: 1, type: 4, bytes: bytes('00000001') },
      { association: 2, type: 3 },
      { association: 0, type: 1 },
    ],
  });
  const identity = (designators: string) =>
    decodeDeviceIdentification(bytes(`00 83 0080 ${designators}`)).identity;
  t.equal(identity(`${port} ${target}`), null, 'only the logical unit itself has an identity');
  t.equal(identity(vendor), 't10.SEAGATE ST600MP0006');
  t.equal(identity(`${vendor} 01 02 00 08 0025385b71b0a1c2`), 'eui.0025385b71b0a1c2');
  t.equal(
    identity(`${logicalUnit} 01 03 00 10 600140512345678012345678abcdef01`),
    'naa.600140512345678012345678abcdef01',
    'the longer NAA',
  );
  t.equal(
    identity(`${vendor} ${logicalUnit.slice(0, -2)}`),
    't10.SEAGATE ST600MP0006',
    'a designator that is cut off',
  );
  t.equal(identity('01 03 00 00'), null, 'an empty designator');
});

// GRD_CHK, SPT and the rest as sg_vpd of sg3-utils 1.46 prints them for the same bytes.
t.test('VPD 86h', async (t) => {
  t.match(decodeExtendedInquiry(padded('00 86 00 3c 3f 07 00 00', 64)), {
    supportedTypes: [1, 2, 3],
    guardCheck: true,
    appCheck: true,
    refCheck: true,
    noPiCheck: false,
    multipleIntervals: false,
  });
  t.match(decodeExtendedInquiry(padded('00 86 00 3c 05 07 00 30', 64)), {
    supportedTypes: [1],
    guardCheck: true,
    appCheck: false,
    refCheck: true,
    noPiCheck: true,
    multipleIntervals: true,
  });
  const types = [[1], [1, 2], [2], [1, 3], [3], [2, 3], null, [1, 2, 3]];
  types.forEach((expected, spt) => {
    const byte = (spt << 3).toString(16).padStart(2, '0');
    t.same(decodeExtendedInquiry(padded(`00 86 00 3c ${byte}`, 64)).supportedTypes, expected, `SPT ${spt}`);
  });
  t.throws(
    () => decodeExtendedInquiry(bytes('00 86 00 03 3f 07 00 00')),
    MALFORMED,
    'its own length is too short',
  );
});

t.test('READ CAPACITY(16)', async (t) => {
  // 16 MiB at 512 bytes, type 1.
  t.same(decodeReadCapacity16(padded('0000000000007fff 00000200 01 00 0000', 32)), {
    basis: 0,
    lowestAlignedLba: 0,
    lastLba: 0x7fffn,
    blocks: 0x8000n,
    blockSize: 512,
    protectionType: 1,
    intervalExponent: 0,
    physicalExponent: 0,
    thinProvisioned: false,
    unmappedReadZeros: false,
  });
  t.match(decodeReadCapacity16(padded('00000001ffffffff 00001000 13 33 d234', 32)), {
    basis: 1,
    lowestAlignedLba: 0x1234,
    lastLba: 0x1ffffffffn,
    blockSize: 4096,
    protectionType: 2,
    intervalExponent: 3,
    physicalExponent: 3,
    thinProvisioned: true,
    unmappedReadZeros: true,
  });
  t.match(decodeReadCapacity16(padded('0000000000007fff 00000200 05 00', 32)), { protectionType: 3 });
  t.match(
    decodeReadCapacity16(padded('0000000000007fff 00000200 0e f0', 32)),
    { protectionType: 0, intervalExponent: 0 },
    'without PROT_EN the other fields mean nothing',
  );
  t.throws(() => decodeReadCapacity16(padded('0000000000007fff 00000200 07', 32)), {
    ...MALFORMED,
    message: /P_TYPE 3/,
  });
  t.throws(() => decodeReadCapacity16(padded('0000000000007fff 00000200 09', 32)), {
    ...MALFORMED,
    message: /P_TYPE 4/,
  });
  t.throws(() => decodeReadCapacity16(padded('0000000000007fff 00000000 01', 32)), {
    ...MALFORMED,
    message: /length is 0/,
  });
  t.throws(() => decodeReadCapacity16(padded('0000000000007fff 00000200 01 f0', 32)), {
    ...MALFORMED,
    message: /2\^15/,
  });
  t.throws(
    () => decodeReadCapacity16(bytes('0000000000007fff 00000200')),
    MALFORMED,
    'READ CAPACITY(10)-like',
  );
});

t.test('Control mode page', async (t) => {
  const header = '0012 00 10 00 00 0000';
  t.match(decodeControlModePage(bytes(`${header} 0a 0a 04 00 00 80 0000 0000 0000`)), {
    appTagOwner: true,
    appTagModePage: false,
    rejectWritesWithoutProtection: false,
    noCheckWhenProtectZero: false,
    descriptorSense: true,
    softwareWriteProtect: false,
  });
  const withBlockDescriptor = `001a 00 10 00 00 0008 ${'00'.repeat(8)} 8a 0a 08 00 08 30 0000 0000 0000`;
  t.match(decodeControlModePage(bytes(withBlockDescriptor)), {
    appTagOwner: false,
    appTagModePage: true,
    rejectWritesWithoutProtection: true,
    noCheckWhenProtectZero: true,
    descriptorSense: false,
    softwareWriteProtect: true,
  });
  t.throws(() => decodeControlModePage(bytes(`${header} 08 0a 04 00 00 80`)), MALFORMED, 'another page');
  t.throws(() => decodeControlModePage(bytes(`${header} 4a 01 001c 04 00`)), MALFORMED, 'a subpage');
  t.throws(
    () => decodeControlModePage(bytes('0012 00 10 00 00 ffff 0a 0a')),
    MALFORMED,
    'it lies beyond the end',
  );
});
