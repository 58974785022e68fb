/** The pages and lists around the blocks, byte by byte from the tables of SPC-5 and SBC-4, and there and back. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { COMMANDS, usageMap } from '../../src/scsi/commands.js';
import { decodeFormatList, encodeFormatList } from '../../src/scsi/format-unit.js';
import { encodeInquiry } from '../../src/scsi/inquiry.js';
import { decodeLbaStatus, encodeLbaStatus } from '../../src/scsi/lba-status.js';
import { decodeLogPage, decodeSupportedLogPages } from '../../src/scsi/log-page.js';
import {
  decodeApplicationTagModePage,
  decodeControlExtensionModePage,
  decodeControlModePage,
  decodeModeSense,
  encodeApplicationTagModePage,
  encodeModeSelectList,
} from '../../src/scsi/mode-page.js';
import {
  decodeReadCapacity10,
  decodeReadCapacity16,
  encodeReadCapacity10,
  encodeReadCapacity16,
} from '../../src/scsi/read-capacity.js';
import { decodeScatteredList, encodeScatteredList } from '../../src/scsi/scattered.js';
import {
  decodeAllCommands,
  decodeOneCommand,
  encodeAllCommands,
  encodeOneCommand,
} from '../../src/scsi/supported-opcodes.js';
import { decodeUnmapList, encodeUnmapList } from '../../src/scsi/unmap.js';
import {
  decodeBlockDeviceCharacteristics,
  decodeBlockLimits,
  decodeDeviceIdentification,
  decodeExtendedInquiry,
  decodeLogicalBlockProvisioning,
  decodeSupportedBlockLengths,
  encodeBlockDeviceCharacteristics,
  encodeBlockLimits,
  encodeDeviceIdentification,
  encodeExtendedInquiry,
  encodeLogicalBlockProvisioning,
  encodeSupportedBlockLengths,
  encodeSupportedPages,
  encodeUnitSerialNumber,
} from '../../src/scsi/vpd.js';
import { bytes, padded } from './hex.js';

const MALFORMED = { code: 'ERR_MALFORMED_RESPONSE' } as const;
const OUT_OF_RANGE = { code: 'ERR_OUT_OF_RANGE' } as const;

t.test('VPD 83h with protocols and code sets', async (t) => {
  const page = bytes('00 83 0014 61 93 0008 5000c50012345679 02 01 0004 41424344');
  t.match(decodeDeviceIdentification(page).designators, [
    { association: 1, type: 3, codeSet: 1, protocol: 6 },
    { association: 0, type: 1, codeSet: 2, protocol: null },
  ]);
});

t.test('VPD 86h, every field', async (t) => {
  const blank = decodeExtendedInquiry(padded('00 86 003c', 64));
  const fields: [string, object][] = [
    ['80', { activateMicrocode: 2, supportedTypes: [1] }],
    ['00 20', { attentionsTellOverflow: true }],
    ['00 10', { groupNumbers: true }],
    ['00 08', { priorities: true }],
    ['00 04', { headOfQueue: true }],
    ['00 02', { ordered: true }],
    ['00 01', { simple: true }],
    ['00 00 08', { writeUncorrectable: true }],
    ['00 00 04', { correctionDisabled: true }],
    ['00 00 02', { nonVolatileCache: true }],
    ['00 00 01', { volatileCache: true }],
    ['00 00 00 20', { noPiCheck: true }],
    ['00 00 00 10', { multipleIntervals: true }],
    ['00 00 00 01', { clearsAttentions: true }],
    ['00 00 00 00 10', { referrals: true }],
    ['00 00 00 00 08', { revertToDefaults: true }],
    ['00 00 00 00 02', { releasesSnapshots: true }],
    ['00 00 00 00 00 0f', { microcodeFromSeveral: 15 }],
    ['00 00 00 00 00 00 0102', { selfTestMinutes: 0x102 }],
    ['00 00 00 00 00 00 0000 80', { powerOnActivates: true }],
    ['00 00 00 00 00 00 0000 40', { resetActivates: true }],
    ['00 00 00 00 00 00 0000 20', { vendorActivates: true }],
    ['00 00 00 00 00 00 0000 00 fc', { senseLengthMax: 252 }],
  ];
  for (const [hex, expected] of fields) {
    const page = padded(`00 86 003c ${hex}`, 64);
    t.same(decodeExtendedInquiry(page), { ...blank, ...expected });
    t.same(encodeExtendedInquiry({ supportedTypes: [1], ...expected }), page, JSON.stringify(expected));
  }
  t.match(decodeExtendedInquiry(bytes('00 86 0004 3f 07 00 00')), {
    supportedTypes: [1, 2, 3],
    senseLengthMax: 0,
  });
  t.same(encodeExtendedInquiry({ supportedTypes: null }), padded('00 86 003c 30', 64), 'see page B4h');
  t.same(encodeExtendedInquiry({ supportedTypes: [3, 1] }), padded('00 86 003c 18', 64), 'in any order');
  t.same(encodeExtendedInquiry({}), padded('00 86 003c', 64));
  t.throws(() => encodeExtendedInquiry({ supportedTypes: [4] }), OUT_OF_RANGE);
  t.throws(() => encodeExtendedInquiry({ senseLengthMax: 256 }), {
    ...OUT_OF_RANGE,
    message: /^senseLengthMax/,
  });
});

t.test('VPD B0h, B1h and B2h', async (t) => {
  const limits = bytes(
    '00 b0 003c 01 ff 0008 00002000 00000400 00000200 00010000 00000040 00000010 80000007 0000000100000002 00000100 00000008 00000004 00000080 00000020',
  );
  const told = {
    writeSameNonZero: true,
    compareAndWriteBlocksMax: 255,
    transferGranularity: 8,
    transferBlocksMax: 0x2000,
    transferBlocksOptimal: 0x400,
    prefetchBlocksMax: 0x200,
    unmapBlocksMax: 0x10000,
    unmapDescriptorsMax: 0x40,
    unmapGranularity: 0x10,
    unmapAligned: true,
    unmapAlignment: 7,
    writeSameBlocksMax: 0x1_0000_0002n,
    atomicBlocksMax: 0x100,
    atomicAlignment: 8,
    atomicGranularity: 4,
    atomicBlocksWithBoundaryMax: 0x80,
    atomicBoundaryMax: 0x20,
  };
  t.same(decodeBlockLimits(limits), told);
  t.same(encodeBlockLimits(told), limits);
  t.throws(() => encodeBlockLimits({ unmapAlignment: 2 ** 31 }), OUT_OF_RANGE, 'it would be UGAVALID');
  t.throws(() => encodeBlockLimits({ compareAndWriteBlocksMax: 256 }), OUT_OF_RANGE);
  t.throws(() => decodeBlockLimits(bytes('00 b0 0001 01')), MALFORMED);

  const characteristics = padded('00 b1 003c 1c20 09 93 5f 000000 00000e10', 64);
  const device = {
    rotationRate: 7200,
    productType: 9,
    afterBlockErase: 2,
    afterCryptoErase: 1,
    formFactor: 3,
    multipleActuators: true,
    zoned: 1,
    reassignedReadZeros: true,
    backgroundControl: true,
    fuaBehaviour: true,
    verifyUnmapped: true,
    depopulationSeconds: 3600,
  };
  t.same(decodeBlockDeviceCharacteristics(characteristics), device);
  t.same(encodeBlockDeviceCharacteristics(device), characteristics);
  t.throws(() => encodeBlockDeviceCharacteristics({ formFactor: 16 }), OUT_OF_RANGE);

  const provisioning = bytes('00 b2 0004 0a ea 2a 14');
  const thin = {
    thresholdExponent: 10,
    unmap: true,
    writeSame16: true,
    writeSame10: true,
    readZeros: 2,
    anchor: true,
    minimumPercentage: 5,
    provisioningType: 2,
    thresholdPercentage: 20,
  };
  t.same(decodeLogicalBlockProvisioning(provisioning), { ...thin, group: false });
  t.same(encodeLogicalBlockProvisioning(thin), provisioning);
  t.throws(() => encodeLogicalBlockProvisioning({ readZeros: 8 }), OUT_OF_RANGE);
});

t.test('VPD B4h', async (t) => {
  const page = bytes('00 b4 0010 00000200 07 03 0000 00001000 4f 0f 0000');
  const lengths = [
    {
      blockSize: 512,
      multipleIntervals: false,
      noPiCheck: false,
      guardCheck: true,
      appCheck: true,
      refCheck: true,
      types: [0, 1],
    },
    {
      blockSize: 4096,
      multipleIntervals: true,
      noPiCheck: true,
      guardCheck: true,
      appCheck: true,
      refCheck: true,
      types: [0, 1, 2, 3],
    },
  ];
  t.same(decodeSupportedBlockLengths(page), lengths);
  t.same(encodeSupportedBlockLengths(lengths), page);
  t.same(decodeSupportedBlockLengths(page.subarray(0, 19)), lengths.slice(0, 1), 'cut short');
  t.throws(() => encodeSupportedBlockLengths([{ ...lengths[0]!, types: [4] }]), OUT_OF_RANGE);
});

t.test('names and codes that do not fit a page', async (t) => {
  const refused: Record<string, () => unknown> = {
    'a page code': () => encodeSupportedPages([256]),
    'a serial number with an umlaut': () => encodeUnitSerialNumber('ü'),
    'a designator type': () => encodeDeviceIdentification([{ association: 0, type: 16, bytes: bytes('00') }]),
    'an association': () => encodeDeviceIdentification([{ association: 4, type: 3, bytes: bytes('00') }]),
    'a designator of 256 bytes': () =>
      encodeDeviceIdentification([{ association: 0, type: 3, bytes: new Uint8Array(256) }]),
    'a vendor of 9 characters': () =>
      encodeInquiry({ protect: true, vendor: '123456789', product: '', revision: '' }),
    'a revision with a tab': () => encodeInquiry({ protect: true, vendor: '', product: '', revision: '\t' }),
  };
  for (const [name, encode] of Object.entries(refused)) t.throws(encode, OUT_OF_RANGE, name);
});

t.test('READ CAPACITY', async (t) => {
  t.same(decodeReadCapacity10(bytes('00007fff 00000200')), { lastLba: 0x7fff, blockSize: 512 });
  t.same(decodeReadCapacity10(bytes('ffffffff 00001000')), { lastLba: null, blockSize: 4096 });
  t.throws(() => decodeReadCapacity10(bytes('00007fff 000002')), MALFORMED);
  t.throws(() => decodeReadCapacity10(bytes('00007fff 00000000')), MALFORMED);
  t.same(encodeReadCapacity10({ lastLba: null, blockSize: 4096 }), bytes('ffffffff 00001000'));
  t.throws(() => encodeReadCapacity10({ lastLba: 2 ** 32, blockSize: 512 }), OUT_OF_RANGE);
  const content = decodeReadCapacity16(padded('00000001ffffffff 00001000 13 33 d234', 32));
  t.same(encodeReadCapacity16(content), padded('00000001ffffffff 00001000 13 33 d234', 32));
  t.same(
    encodeReadCapacity16({ ...content, protectionType: 0, intervalExponent: 0 }),
    padded('00000001ffffffff 00001000 10 03 d234', 32),
  );
  for (const part of [
    { lastLba: 2n ** 64n },
    { blockSize: -1 },
    { intervalExponent: 16 },
    { physicalExponent: 16 },
    { lowestAlignedLba: 0x4000 },
    { basis: 4 },
  ]) {
    t.throws(() => encodeReadCapacity16({ ...content, ...part }), OUT_OF_RANGE, Object.keys(part).join());
  }
});

const CONTROL = '8a 0a 3b 12 78 f2 0000 0102 0304';

t.test('MODE SENSE data', async (t) => {
  const pages = `${CONTROL} ca 01 001c 07 0f fc ${'00'.repeat(25)} 88 02 0400`;
  const expected = [
    { page: 0x0a, subpage: 0, savable: true, bytes: bytes(CONTROL) },
    { page: 0x0a, subpage: 1, savable: true, bytes: { length: 32 } },
    { page: 0x08, subpage: 0, savable: true, bytes: bytes('88 02 0400') },
  ];
  t.match(decodeModeSense(bytes(`3b 05 90 08 00001000 00000200 ${pages}`), 6), {
    mediumType: 5,
    writeProtected: true,
    dpoFua: true,
    blockDescriptors: [{ blocks: 4096n, blockSize: 512 }],
    pages: expected,
  });
  t.match(decodeModeSense(bytes(`0046 05 10 01 00 0010 0000000200000000 00000000 00001000 ${pages}`), 10), {
    mediumType: 5,
    writeProtected: false,
    dpoFua: true,
    blockDescriptors: [{ blocks: 2n ** 33n, blockSize: 4096 }],
    pages: expected,
  });
  t.match(decodeModeSense(bytes('1b 00 00 08 ffffffff ff000200 8a 0a 00'), 6), {
    blockDescriptors: [{ blocks: 0xffffffffn, blockSize: 512 }],
    pages: [],
  });
  t.same(decodeModeSense(bytes(`ff 00 00 00 ${CONTROL} ca 01`), 6).pages.length, 1, 'cut in a header');
  t.same(decodeModeSense(bytes(`0f 00 00 00 ${CONTROL} 88 02 0400`), 6).pages.length, 1, 'it ends before');
  t.throws(() => decodeModeSense(bytes('00 00 00'), 6), MALFORMED);
  t.throws(() => decodeModeSense(bytes('0000 00 00 00 00 00'), 10), MALFORMED);
});

t.test('mode pages', async (t) => {
  const header = '00ff 00 10 00 00 0000';
  t.same(decodeControlModePage(bytes(`${header} ${CONTROL}`)), {
    taskSetType: 1,
    taskManagementOnly: true,
    noCheckWhenProtectZero: true,
    descriptorSense: false,
    noImplicitLogSave: true,
    reportLogExceptions: true,
    queueAlgorithm: 1,
    queueError: 1,
    reportCheck: true,
    attentionInterlock: 3,
    softwareWriteProtect: true,
    appTagOwner: true,
    taskAbortedStatus: true,
    appTagModePage: true,
    rejectWritesWithoutProtection: true,
    autoload: 2,
    busyTimeout: 0x102,
    selfTestSeconds: 0x304,
  });
  const extension = bytes(`${header} ca 01 001c 06 05 fc ${'00'.repeat(25)}`);
  t.same(decodeControlExtensionModePage(extension), {
    timestampByOthers: true,
    scsiPrecedence: true,
    implicitAccessChange: false,
    initialPriority: 5,
    senseLengthMax: 252,
  });
  t.throws(() => decodeControlModePage(extension), { ...MALFORMED, message: /not the Control mode page/ });
  t.throws(() => decodeApplicationTagModePage(extension), MALFORMED);
  t.throws(() => decodeControlExtensionModePage(bytes(`${header} ${CONTROL}`)), MALFORMED);

  const [first, last] = [
    { last: false, appTag: 0x1234, lba: 0n, blocks: 2n ** 33n },
    { last: true, appTag: 0x5678, lba: 2n ** 33n, blocks: 9n },
  ];
  const page = bytes(
    `4a 02 0054 ${'00'.repeat(12)}
     00 0000000000 1234 0000000000000000 0000000200000000
     80 0000000000 5678 0000000200000000 0000000000000009 ${'00'.repeat(24)}`,
  );
  t.same(encodeApplicationTagModePage([first, last], 3), page);
  const sensed = Buffer.concat([bytes(header), page]);
  t.same(decodeApplicationTagModePage(sensed), [first, last], 'up to the last');
  t.same(decodeApplicationTagModePage(sensed.subarray(0, 8 + 16 + 47)), [first], 'cut short');
  t.throws(() => encodeApplicationTagModePage([first, last], 1), OUT_OF_RANGE);
  t.throws(() => encodeApplicationTagModePage([{ ...first, appTag: 65536 }]), {
    ...OUT_OF_RANGE,
    message: /^appTag is 65536/,
  });
});

t.test('REPORT SUPPORTED OPERATION CODES data', async (t) => {
  const all = bytes('0000001c 28 00 0000 00 00 000a 7f 00 0009 00 07 0020 000a 00 00 0000001e 0000003c');
  t.same(decodeAllCommands(all), [
    { opcode: 0x28, serviceAction: null, length: 10, durationLimitPage: 0, timeouts: null },
    {
      opcode: 0x7f,
      serviceAction: 9,
      length: 32,
      durationLimitPage: 1,
      timeouts: { nominal: 30, recommended: 60 },
    },
  ]);
  t.same(decodeAllCommands(all.subarray(0, 31)).length, 1, 'cut short');
  t.throws(() => decodeAllCommands(all.subarray(0, 3)), MALFORMED);
  const one = bytes('00 93 0006 12 01 ff ffff 00 000a 00 00 0000001e 0000003c');
  t.same(decodeOneCommand(one), {
    support: 3,
    usage: bytes('12 01 ff ffff 00'),
    durationLimitPage: 2,
    timeouts: { nominal: 30, recommended: 60 },
  });
  t.match(decodeOneCommand(one.subarray(0, 12)), { support: 3, timeouts: null }, 'cut after the usage data');
  t.throws(() => decodeOneCommand(one.subarray(0, 9)), MALFORMED);
  t.same(decodeOneCommand(bytes('00 01 0000')), {
    support: 1,
    usage: null,
    durationLimitPage: 0,
    timeouts: null,
  });
  for (const timeouts of [false, true]) {
    const told = timeouts ? { nominal: 0, recommended: 0 } : null;
    t.match(
      decodeAllCommands(encodeAllCommands(COMMANDS, timeouts)),
      COMMANDS.map(({ operation: [opcode, serviceAction = null], length }) => ({
        opcode,
        serviceAction,
        length,
        timeouts: told,
      })),
    );
    for (const command of COMMANDS) {
      const said = decodeOneCommand(encodeOneCommand(command, timeouts));
      t.same(said, { support: 3, usage: usageMap(command), durationLimitPage: 0, timeouts: told });
    }
  }
});

t.test('GET LBA STATUS data', async (t) => {
  const data = bytes(
    '00000024 000000 06 0000000000000010 00000001 00 00 0000 0000000100000011 00000002 01 01 0000',
  );
  const told = {
    completion: 3,
    ranges: [
      { lba: 16n, blocks: 1, status: 0, additional: 0 },
      { lba: 0x100000011n, blocks: 2, status: 1, additional: 1 },
    ],
  };
  t.same(decodeLbaStatus(data), told);
  t.same(encodeLbaStatus(told), data);
  t.same(decodeLbaStatus(data.subarray(0, 39)).ranges.length, 1, 'cut short');
  t.throws(() => decodeLbaStatus(data.subarray(0, 7)), MALFORMED);
  t.throws(() => encodeLbaStatus({ completion: 8, ranges: [] }), OUT_OF_RANGE);
  t.throws(
    () => encodeLbaStatus({ completion: 0, ranges: [{ ...told.ranges[0]!, blocks: 2 ** 32 }] }),
    OUT_OF_RANGE,
  );
});

t.test('log pages', async (t) => {
  t.same(decodeSupportedLogPages(bytes('00 00 0003 00 0d 2f')), [
    { page: 0, subpage: 0 },
    { page: 0x0d, subpage: 0 },
    { page: 0x2f, subpage: 0 },
  ]);
  t.same(decodeSupportedLogPages(bytes('40 ff 0005 00 00 19 20 2f')), [
    { page: 0, subpage: 0 },
    { page: 0x19, subpage: 0x20 },
  ]);
  t.throws(() => decodeSupportedLogPages(bytes('0d 00 0000')), MALFORMED);
  t.throws(() => decodeSupportedLogPages(bytes('40 01 0000')), MALFORMED);
  t.same(decodeLogPage(bytes('8d 00 000c 0000 03 02 0025 0001 03 02 0046')), {
    page: 0x0d,
    subpage: 0,
    parameters: [
      { code: 0, control: 3, bytes: bytes('0025') },
      { code: 1, control: 3, bytes: bytes('0046') },
    ],
  });
  t.match(decodeLogPage(bytes('59 20 00ff 0102 03 01 ff 0103 03 04 00')), {
    page: 0x19,
    subpage: 0x20,
    parameters: { length: 1 },
  });
});

t.test('UNMAP parameter list', async (t) => {
  const list = bytes('0016 0010 00000000 0000000100000002 00000003 00000000');
  t.same(encodeUnmapList([{ lba: 0x1_0000_0002n, blocks: 3 }]), list);
  t.same(decodeUnmapList(list), [{ lba: 0x1_0000_0002n, blocks: 3 }]);
  t.throws(() => encodeUnmapList([{ lba: 2n ** 64n, blocks: 3 }]), { ...OUT_OF_RANGE, message: /^lba is/ });
  t.throws(() => encodeUnmapList([{ lba: 0n, blocks: 2 ** 32 }]), { ...OUT_OF_RANGE, message: /^blocks is/ });
  t.throws(() => encodeUnmapList(new Array(4096).fill({ lba: 0n, blocks: 1 })), OUT_OF_RANGE);
});

t.test('FORMAT UNIT parameter list', async (t) => {
  const options = { optionsValid: true, disableCertification: true, immediate: true };
  t.same(encodeFormatList('short', { fieldUsage: 1, immediate: true }), bytes('01 02 0000'));
  t.same(
    encodeFormatList('long', { ...options, fieldUsage: 1, intervalExponent: 3, defectListLength: 8 }),
    bytes('01 a2 00 03 00000008'),
  );
  t.match(decodeFormatList('long', bytes('01 da 00 1f 00000008')), {
    fieldUsage: 1,
    optionsValid: true,
    disablePrimaryList: true,
    disableCertification: false,
    stopFormat: true,
    initializationPattern: true,
    immediate: true,
    protectionInformation: 1,
    intervalExponent: 15,
    defectListLength: 8,
  });
  t.match(decodeFormatList('short', bytes('02 02 0104')), {
    fieldUsage: 2,
    optionsValid: false,
    intervalExponent: 0,
    defectListLength: 0x104,
  });
  t.equal(decodeFormatList('short', bytes('00 00 00')), null);
  t.equal(decodeFormatList('long', bytes('00 00 0000')), null);
  for (const [form, part] of [
    ['short', { intervalExponent: 1 }],
    ['short', { protectionInformation: 1 }],
    ['short', { defectListLength: 65536 }],
    ['long', { intervalExponent: 16 }],
    ['long', { fieldUsage: 8 }],
  ] as const) {
    const message = new RegExp(`^${Object.keys(part)[0]} is`);
    t.throws(() => encodeFormatList(form, part), { ...OUT_OF_RANGE, message });
  }
});

t.test('WRITE SCATTERED parameter list', async (t) => {
  const ranges = [
    { lba: 0x0102030405060708n, blocks: 3, refTag: 0x11223344, appTag: 0x5566, appTagMask: 0x7788 },
    { lba: 9n, blocks: 1, refTag: 0, appTag: 0, appTagMask: 0 },
  ];
  const list = padded(
    `${'00'.repeat(32)} 0102030405060708 00000003 11223344 5566 7788 ${'00'.repeat(12)} 0000000000000009 00000001`,
    512,
  );
  t.same(encodeScatteredList(ranges, 512), list);
  t.same(decodeScatteredList(list, 2), ranges);
  t.throws(() => decodeScatteredList(list.subarray(0, 95), 2), MALFORMED);
  t.throws(() => encodeScatteredList(ranges, 95), { ...OUT_OF_RANGE, message: /^bytes is 95/ });
  t.throws(() => encodeScatteredList([{ ...ranges[1]!, appTag: 65536 }], 512), OUT_OF_RANGE);
});

t.test('MODE SELECT parameter list', async (t) => {
  const page = bytes(CONTROL);
  t.same(
    encodeModeSelectList([page, page], 10),
    bytes(`0000 00 00 00 00 0000 0a${CONTROL.slice(2)} 0a${CONTROL.slice(2)}`),
  );
  t.same(
    encodeModeSelectList([], 6, { blocks: 0x1234n, blockSize: 4096 }),
    bytes('00 00 00 08 00001234 00 001000'),
  );
  t.same(
    encodeModeSelectList([], 10, { blocks: 0n, blockSize: 4096 }),
    bytes('0000 00 00 00 00 0008 00000000 00 001000'),
  );
  t.throws(() => encodeModeSelectList([], 10, { blocks: 2n ** 32n, blockSize: 512 }), OUT_OF_RANGE);
  t.throws(() => encodeModeSelectList([], 10, { blocks: 1n, blockSize: 2 ** 24 }), OUT_OF_RANGE);
});

t.test('what was decoded is encoded to the same', async (t) => {
  const header = (hex: string, length: number) =>
    fc.uint8Array({ minLength: length, maxLength: length }).map((rest) => Buffer.concat([bytes(hex), rest]));
  const pairs: [
    string,
    fc.Arbitrary<Uint8Array>,
    (page: Uint8Array) => unknown,
    (page: Uint8Array) => Uint8Array,
  ][] = [
    [
      '86h',
      header('00 86 003c', 60),
      decodeExtendedInquiry,
      (page) => encodeExtendedInquiry(decodeExtendedInquiry(page)),
    ],
    [
      'B0h',
      header('00 b0 003c', 60),
      decodeBlockLimits,
      (page) => encodeBlockLimits(decodeBlockLimits(page)),
    ],
    [
      'B1h',
      header('00 b1 003c', 60),
      decodeBlockDeviceCharacteristics,
      (page) => encodeBlockDeviceCharacteristics(decodeBlockDeviceCharacteristics(page)),
    ],
    [
      'B2h',
      header('00 b2 0004', 4),
      decodeLogicalBlockProvisioning,
      (page) => encodeLogicalBlockProvisioning(decodeLogicalBlockProvisioning(page)),
    ],
    [
      'B4h',
      header('00 b4 0020', 32),
      decodeSupportedBlockLengths,
      (page) => encodeSupportedBlockLengths(decodeSupportedBlockLengths(page)),
    ],
    [
      'GET LBA STATUS',
      header('00000044', 68),
      decodeLbaStatus,
      (data) => encodeLbaStatus(decodeLbaStatus(data)),
    ],
  ];
  for (const [name, page, decode, again] of pairs) {
    t.doesNotThrow(
      () => fc.assert(fc.property(page, (one) => isDeepStrictEqual(decode(again(one)), decode(one)))),
      name,
    );
  }
});
