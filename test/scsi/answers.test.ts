/** Answers as the report has them: which decoder reads which, and what becomes of values that JSON has no form for. */
import t from 'tap';
import { decodeAnswer, plainSense } from '../../src/scsi/answers.js';
import { type CdbFields, decodeCdb, encodeCdb } from '../../src/scsi/commands.js';
import { encodeInquiry } from '../../src/scsi/inquiry.js';
import { encodeReadCapacity16 } from '../../src/scsi/read-capacity.js';
import { decodeSense } from '../../src/scsi/sense.js';
import {
  encodeBlockDeviceCharacteristics,
  encodeBlockLimits,
  encodeExtendedInquiry,
  encodeLogicalBlockProvisioning,
} from '../../src/scsi/vpd.js';
import { bytes } from './hex.js';

function answer(name: string, fields: CdbFields, data: Uint8Array) {
  return decodeAnswer(decodeCdb(encodeCdb(name, fields))!, data);
}

const vpd = (page: number, data: Uint8Array) => answer('INQUIRY', { evpd: true, page }, data);

t.test('each command, by its fields', async (t) => {
  const inquiry = encodeInquiry({ protect: true, vendor: 'A', product: 'B', revision: 'C' });
  t.match(answer('INQUIRY', {}, inquiry), { protect: true, vendor: 'A', product: 'B', revision: 'C' });
  t.same(vpd(0x00, bytes('00 00 0003 00 80 83')), { pages: [0, 0x80, 0x83] });
  t.same(vpd(0x80, bytes('00 80 0002 4142')), { serial: 'AB' });
  t.same(vpd(0x83, bytes('00 83 000c 61 93 00 08 5000000000000001')), {
    designators: [{ association: 1, type: 3, codeSet: 1, protocol: 6, bytes: '5000000000000001' }],
    identity: null,
  });
  t.match(vpd(0x86, encodeExtendedInquiry({ supportedTypes: [1, 3], refCheck: true })), {
    supportedTypes: [1, 3],
    refCheck: true,
    guardCheck: false,
  });
  const limits = encodeBlockLimits({ transferBlocksMax: 2048, writeSameBlocksMax: 2n ** 63n });
  t.match(vpd(0xb0, limits), { transferBlocksMax: 2048, writeSameBlocksMax: '0x8000000000000000' });
  t.match(vpd(0xb1, encodeBlockDeviceCharacteristics({ rotationRate: 7200 })), { rotationRate: 7200 });
  t.match(vpd(0xb2, encodeLogicalBlockProvisioning({ unmap: true })), { unmap: true });
  t.match(vpd(0xb4, bytes('00 b4 0008 00000200 07 03 0000')), {
    lengths: [{ blockSize: 512, types: [0, 1] }],
  });

  t.same(answer('READ CAPACITY(10)', {}, bytes('ffffffff 00000200')), { lastLba: null, blockSize: 512 });
  const format = {
    lastLba: 2n ** 60n,
    blockSize: 512,
    protectionType: 2,
    intervalExponent: 0,
    basis: 0,
  } as const;
  const capacity = {
    ...format,
    physicalExponent: 3,
    lowestAlignedLba: 0,
    thinProvisioned: true,
    unmappedReadZeros: false,
  };
  t.match(answer('READ CAPACITY(16)', {}, encodeReadCapacity16(capacity)), {
    lastLba: '0x1000000000000000',
    protectionType: 2,
  });
  t.match(answer('READ CAPACITY(16)', {}, encodeReadCapacity16({ ...capacity, lastLba: 4095n })), {
    blocks: 4096,
  });

  t.same(answer('GET LBA STATUS(16)', {}, bytes('00000014 000000 06 0000000000000010 00000001 01 00 0000')), {
    completion: 3,
    ranges: [{ lba: 16, blocks: 1, status: 1, additional: 0 }],
  });
  t.match(answer('GET LBA STATUS(32)', {}, bytes('00000004 000000 00')), { ranges: [] });
  t.match(answer('REQUEST SENSE', {}, bytes('70 00 02 00000000 0a 00000000 04 04 00 80 8000')), {
    key: 2,
    asc: 4,
    progress: 0.5,
    text: /^NOT READY 02h\/04h\/04h/,
  });
});

t.test('mode pages: those of protection information by their fields, others by their codes', async (t) => {
  const control = '8a 0a 00 10 00 80 0000 0000 0000';
  const pages = `81 02 0000 ${control} ca 01 0008 00 00 fc 00 00000000`;
  const found = answer('MODE SENSE(10)', {}, bytes(`0060 00 90 00 00 0008 00001000 00000200 ${pages}`));
  t.match(found, {
    writeProtected: true,
    dpoFua: true,
    blockDescriptors: [{ blocks: 4096, blockSize: 512 }],
  });
  t.match(found?.['pages'], [
    { page: 1, subpage: 0, savable: true },
    { page: 10, subpage: 0, appTagOwner: true, queueAlgorithm: 1 },
    { page: 10, subpage: 1, senseLengthMax: 252 },
  ]);
  t.match(answer('MODE SENSE(6)', {}, bytes(`0f 00 10 00 ${control}`)), {
    blockDescriptors: [],
    pages: [{ page: 10, appTagOwner: true }],
  });
  const tags = 'ca 02 0024 000000000000000000000000 80 000000 0000 abcd 0000000000000008 0000000000000001';
  t.match(answer('MODE SENSE(10)', {}, bytes(`002e 00 00 00 00 0000 ${tags}`)), {
    pages: [{ page: 10, subpage: 2, descriptors: [{ last: true, appTag: 0xabcd, lba: 8, blocks: 1 }] }],
  });
});

t.test('log pages', async (t) => {
  t.same(answer('LOG SENSE', { page: 0 }, bytes('00 00 0002 00 0d')), {
    pages: [
      { page: 0, subpage: 0 },
      { page: 0x0d, subpage: 0 },
    ],
  });
  t.match(answer('LOG SENSE', { page: 0, subpage: 0xff }, bytes('40 ff 0002 0d 01')), {
    pages: [{ page: 0x0d, subpage: 1 }],
  });
  t.same(answer('LOG SENSE', { page: 0x0d }, bytes('0d 00 0006 0000 03 02 00 1e')), {
    page: 0x0d,
    subpage: 0,
    parameters: [{ code: 0, control: 3, bytes: '001e' }],
  });
  t.equal(
    answer('LOG SENSE', { page: 0x0d, subpage: 0xff }, bytes('4d ff 0002 0d 01')),
    null,
    'codes, no parameters',
  );
});

t.test('REPORT SUPPORTED OPERATION CODES', async (t) => {
  const all = bytes('00000008 7f 00 0009 00 01 0020');
  t.match(answer('REPORT SUPPORTED OPERATION CODES', {}, all), {
    commands: [{ opcode: 0x7f, serviceAction: 9, length: 32, timeouts: null }],
  });
  const one = { reportingOptions: 1, requestedOpcode: 0x12 };
  t.match(answer('REPORT SUPPORTED OPERATION CODES', one, bytes('00 03 0006 12 01 ff ffff 00')), {
    support: 3,
    usage: '1201ffffff00',
  });
});

t.test('what is not told, and what cannot be', async (t) => {
  for (const [name, fields] of [
    ['READ(16)', { blocks: 1 }],
    ['REPORT TARGET PORT GROUPS', {}],
    ['INQUIRY', { evpd: true, page: 0xc0 }],
  ] as const) {
    t.equal(answer(name, fields, new Uint8Array(512)), null, name);
  }
  t.equal(answer('REQUEST SENSE', {}, new Uint8Array(18)), null);
  const malformed = { code: 'ERR_MALFORMED_RESPONSE' };
  t.throws(() => answer('INQUIRY', {}, new Uint8Array(18)), malformed);
  t.throws(() => vpd(0x83, bytes('00 80 0000')), malformed);
  t.throws(() => answer('READ CAPACITY(16)', {}, new Uint8Array(8)), malformed);
});

t.test('sense: all that it says, and only what is there', async (t) => {
  const codes = { key: 5, asc: 0x24, ascq: 0, deferred: false };
  const text = 'ILLEGAL REQUEST 05h/24h/00h: Invalid field in CDB';
  t.same(plainSense(decodeSense(bytes('72 05 24 00 00000000'))!), { ...codes, text });
  const fixed = plainSense(decodeSense(bytes('f0 00 33 00000007 0a 00000009 11 00 05 80 0003'))!);
  t.match(fixed, { information: 7, commandSpecific: 9, replaceableUnit: 5, retryCount: 3 });
  t.match(fixed, { overflow: true, incorrectLength: true });
  t.same(
    plainSense(decodeSense(bytes('72 06 29 00 000000 08 02 06 0000 81 0000 00'))!)['attentionsLost'],
    true,
  );
  const ata = bytes('72 01 00 1d 000000 0e 09 0c 00 04 0001 0002 0003 0004 40 51');
  t.match(plainSense(decodeSense(ata)!), { ataStatus: { error: 4, status: 0x51, lba: 0x040302 } });
  const forwarded = bytes('72 0a 0d 01 000000 0c 0c 0a 02 02 72 03 11 00 00000000');
  t.match(plainSense(decodeSense(forwarded)!), {
    forwarded: [
      { source: 2, status: 2, truncated: false, sense: { key: 3, asc: 0x11, text: /^MEDIUM ERROR/ } },
    ],
  });
  const other = bytes('72 05 24 00 000000 04 80 02 ab cd');
  t.match(plainSense(decodeSense(other)!), { others: [{ type: 0x80, bytes: 'abcd' }] });
});
