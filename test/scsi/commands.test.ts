import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { IntegrityError } from '../../src/errors.js';
import {
  type CdbFields,
  COMMANDS,
  commandOf,
  decodeCdb,
  encodeCdb,
  usageMap,
} from '../../src/scsi/commands.js';
import { decodeSense, encodeSense } from '../../src/scsi/sense.js';
import { decodeUnmapList, encodeUnmapList } from '../../src/scsi/unmap.js';
import {
  decodeBlockLimits,
  decodeLogicalBlockProvisioning,
  decodeSupportedBlockLengths,
  encodeDeviceIdentification,
} from '../../src/scsi/vpd.js';
import { bytes } from './hex.js';

// Written down from SBC-4's and SPC-5's tables, not by the encoder.
t.test('CDBs byte by byte', async (t) => {
  const tags = { refTag: 0x11223344, appTag: 0x5566, appTagMask: 0x7788 };
  const cases: [string, CdbFields, string][] = [
    ['READ(6)', { lba: 0x1f2345n, blocks: 256 }, '08 1f 23 45 00 00'],
    ['READ(12)', { lba: 8n, blocks: 1, protect: 3, fua: true }, 'a8 68 00000008 00000001 00 00'],
    [
      'READ(16)',
      { lba: 0x8000_0000_0000_0009n, blocks: 1, durationLimit: 5, group: 0x21 },
      '88 01 8000000000000009 00000001 61 00',
    ],
    [
      'WRITE(32)',
      { lba: 8n, blocks: 1, durationLimit: 6, ...tags },
      '7f 00 00000000 00 18 000b 00 06 0000000000000008 11223344 5566 7788 00000001',
    ],
    [
      'WRITE AND VERIFY(16)',
      { lba: 8n, blocks: 1, protect: 1, byteCheck: 1 },
      '8e 22 0000000000000008 00000001 00 00',
    ],
    [
      'VERIFY(32)',
      { lba: 8n, blocks: 2, protect: 1, byteCheck: 3, ...tags },
      '7f 00 00000000 00 18 000a 26 00 0000000000000008 11223344 5566 7788 00000002',
    ],
    [
      'WRITE SAME(16)',
      { lba: 8n, blocks: 2, unmap: true, noDataOut: true },
      '93 09 0000000000000008 00000002 00 00',
    ],
    [
      'WRITE SAME(32)',
      { lba: 8n, blocks: 2, protect: 5, anchor: true, ...tags },
      '7f 00 00000000 00 18 000d b0 00 0000000000000008 11223344 5566 7788 00000002',
    ],
    ['WRITE ATOMIC(16)', { lba: 8n, blocks: 2, boundary: 0x102 }, '9c 00 0000000000000008 0102 0002 00 00'],
    [
      'WRITE STREAM(32)',
      { lba: 8n, blocks: 2, streamId: 0x304, ...tags },
      '7f 00 0000 0304 00 18 0010 00 00 0000000000000008 11223344 5566 7788 00000002',
    ],
    [
      'WRITE SCATTERED(16)',
      { dataOffset: 1, ranges: 2, blocks: 5, protect: 1, durationLimit: 7 },
      '9f 12 21 00 0001 0000 0002 00000005 c0 00',
    ],
    [
      'WRITE SCATTERED(32)',
      { dataOffset: 1, ranges: 2, blocks: 5, protect: 1 },
      '7f 00 00000000 00 18 0011 20 00 0001 0000 0002 00000000 00000000 0000 00000005',
    ],
    ['COMPARE AND WRITE', { lba: 8n, blocks: 2, protect: 1 }, '89 20 0000000000000008 000000 02 00 00'],
    [
      'ORWRITE(32)',
      { lba: 8n, blocks: 2, bitmaskOperation: 1, expectedGeneration: 3, newGeneration: 4 },
      '7f 00 01 00 0000 00 18 000e 00 00 0000000000000008 00000003 00000004 00000002',
    ],
    ['FORMAT UNIT', { formatProtection: 3, formatData: true }, '04 d0 00 00 00 00'],
    ['UNMAP', { parameterListLength: 24 }, '42 00 00000000 00 0018 00'],
    ['READ LONG(10)', { lba: 8n, byteLength: 520, corrected: true }, '3e 02 00000008 00 0208 00'],
    [
      'READ LONG(16)',
      { lba: 8n, byteLength: 520, physicalBlock: true },
      '9e 11 0000000000000008 0000 0208 02 00',
    ],
    [
      'WRITE LONG(10)',
      { lba: 8n, correctionDisabled: true, physicalBlock: true },
      '3f a0 00000008 00 0000 00',
    ],
    ['WRITE LONG(16)', { lba: 8n, writeUncorrectable: true }, '9f 51 0000000000000008 0000 0000 00 00'],
    ['GET LBA STATUS(16)', { lba: 8n, allocationLength: 24 }, '9e 12 0000000000000008 00000018 00 00'],
    [
      'GET LBA STATUS(32)',
      { reportType: 2, lba: 8n, scanLength: 0x99, elementId: 0x1122, allocationLength: 256 },
      '7f 00 00000000 00 18 0012 02 00 0000000000000008 00000099 00001122 00000100',
    ],
    [
      'LOG SENSE',
      { pageControl: 1, page: 0x2f, subpage: 3, parameterPointer: 7, allocationLength: 252 },
      '4d 00 6f 03 00 0007 00fc 00',
    ],
    [
      'MODE SELECT(10)',
      { pageFormat: true, revertToDefaults: true, savePages: true },
      '55 13 00 00 00 00 00 0000 00',
    ],
    [
      'MODE SENSE(10)',
      { longLba: true, pageControl: 1, page: 10, subpage: 2, allocationLength: 252 },
      '5a 10 4a 02 000000 00fc 00',
    ],
    [
      'REPORT SUPPORTED OPERATION CODES',
      {
        returnTimeouts: true,
        reportingOptions: 3,
        requestedOpcode: 0x7f,
        requestedServiceAction: 9,
        allocationLength: 64,
      },
      'a3 0c 83 7f 0009 00000040 00 00',
    ],
  ];
  for (const [name, fields, expected] of cases) {
    t.same(Buffer.from(encodeCdb(name, fields)), Buffer.from(bytes(expected)), name);
    t.match(decodeCdb(bytes(expected)), { command: { name }, fields }, `${name}, decoded`);
  }
});

t.test('every command comes back as it was encoded', async (t) => {
  for (const command of COMMANDS) {
    const fields = Object.entries(command.fields).map(([name, { runs, zeroMeans }]) => {
      const bits = runs.reduce((sum, { high, low }) => sum + high - low + 1, 0);
      const value =
        zeroMeans === undefined ? fc.bigInt(0n, 2n ** BigInt(bits) - 1n) : fc.bigInt(1n, BigInt(zeroMeans));
      const typed = value.map((n) => (name === 'lba' ? n : bits === 1 ? n === 1n : Number(n)));
      return [name, typed] as const;
    });
    const roundTrip = fc.property(fc.record(Object.fromEntries(fields)), (values) => {
      const cdb = encodeCdb(command.name, values as CdbFields);
      const decoded = decodeCdb(cdb);
      const map = usageMap(command);
      return (
        decoded?.command === command &&
        Object.entries(values).every(([name, value]) => decoded.fields[name as keyof CdbFields] === value) &&
        cdb.every((byte, i) => (byte & ~map[i]!) === 0)
      );
    });
    t.doesNotThrow(() => fc.assert(roundTrip, { numRuns: 50 }), command.name);
    t.equal(commandOf(encodeCdb(command.name, {})), command);
  }
  t.equal(
    new Set(COMMANDS.map(({ operation }) => operation.join())).size,
    COMMANDS.length,
    'no operation twice',
  );
});

t.test('what no command is, and what it has no field for', async (t) => {
  t.equal(decodeCdb(bytes('ff 00 00 00 00 00')), null);
  t.equal(decodeCdb(bytes('28 00 00')), null, 'cut short');
  t.equal(decodeCdb(new Uint8Array(0)), null);
  t.equal(commandOf(bytes('7f 00 0000 00 00 00 18')), null, 'cut before the service action');
  t.throws(() => encodeCdb('READ(8)', {}), { code: 'ERR_USAGE' });
  t.throws(() => encodeCdb('READ(10)', { refTag: 1 }), { code: 'ERR_USAGE' });
  t.throws(() => encodeCdb('READ(10)', { constructor: 1 } as CdbFields), { code: 'ERR_USAGE' });
  const long = encodeCdb('READ(32)', { lba: 8n, blocks: 1 });
  for (const additional of [0, 0x17, 0x19, 0xf8]) {
    long[7] = additional;
    t.equal(decodeCdb(long), null, `ADDITIONAL CDB LENGTH ${additional}`);
    t.equal(commandOf(long)?.name, 'READ(32)');
  }
  for (const blocks of [0, 257]) {
    t.throws(() => encodeCdb('READ(6)', { blocks }), { code: 'ERR_OUT_OF_RANGE', message: /1 to 256/ });
  }
  t.throws(() => encodeCdb('READ(16)', { durationLimit: 8 }), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => encodeCdb('READ(16)', { lba: '8' } as unknown as CdbFields), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => encodeCdb('READ(10)', { lba: 2n ** 32n }), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => encodeCdb('READ(6)', { lba: 2n ** 21n }), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => encodeCdb('READ(10)', { protect: 8 }), { code: 'ERR_OUT_OF_RANGE' });
});

t.test('sense, there and back, in both formats', async (t) => {
  const maybe = <T>(one: fc.Arbitrary<T>) => fc.option(one, { nil: undefined });
  const wide = fc.bigInt(0n, 2n ** 64n - 1n);
  const property = fc.property(
    fc.record({
      descriptor: fc.boolean(),
      deferred: fc.boolean(),
      key: fc.constantFrom(2, 3, 5, 6, 0xb, 0xe),
      asc: fc.nat(255),
      ascq: fc.nat(255),
    }),
    fc.record({
      information: maybe(wide),
      commandSpecific: maybe(fc.oneof(wide, fc.bigInt(1n, 0xffffffffn))),
      replaceableUnit: maybe(fc.integer({ min: 1, max: 255 })),
    }),
    maybe(fc.record({ inCdb: fc.boolean(), byte: fc.nat(0xffff), bit: maybe(fc.nat(7)) })),
    (codes, parts, pointer) => {
      const given = Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined));
      const { bit, ...place } = pointer ?? { inCdb: false, byte: 0 };
      const fieldPointer = { ...place, ...(bit !== undefined && { bit }) };
      const sense = decodeSense(encodeSense({ ...codes, ...given, ...(pointer && { fieldPointer }) }))!;
      const fits = (value: bigint | undefined) =>
        value !== undefined && (codes.descriptor || value <= 0xffffffffn) ? value : null;
      const told = {
        format: codes.descriptor ? 'descriptor' : 'fixed',
        deferred: codes.deferred,
        key: codes.key,
        asc: codes.asc,
        ascq: codes.ascq,
        information: fits(parts.information),
        commandSpecific:
          fits(parts.commandSpecific) || (codes.descriptor ? fits(parts.commandSpecific) : null),
        replaceableUnit: parts.replaceableUnit ?? null,
        fieldPointer: codes.key === 5 && pointer ? { ...place, bit: bit ?? null } : null,
      };
      return isDeepStrictEqual({ ...sense, ...told }, sense);
    },
  );
  t.doesNotThrow(() => fc.assert(property, { numRuns: 2000 }));
  for (const descriptor of [false, true]) {
    const refused = (part: object) =>
      t.throws(
        () => encodeSense({ descriptor, key: 5, asc: 0x24, ascq: 0, ...part }),
        { code: 'ERR_OUT_OF_RANGE', message: new RegExp(`${Object.keys(part)[0]}.*it must be 0 to`) },
        JSON.stringify(Object.keys(part)),
      );
    refused({ key: 16 });
    refused({ asc: 256 });
    refused({ ascq: -1 });
    refused({ information: -1n });
    refused({ commandSpecific: -1n });
    refused({ replaceableUnit: 256 });
    refused({ fieldPointer: { inCdb: true, byte: 65536 } });
    refused({ fieldPointer: { inCdb: true, byte: 1, bit: 8 } });
  }
  t.throws(() => encodeSense({ descriptor: true, key: 3, asc: 0, ascq: 0, information: 2n ** 64n }), {
    code: 'ERR_OUT_OF_RANGE',
  });
});

t.test('VPD pages of other makes', async (t) => {
  const name = (type: number) => encodeDeviceIdentification([{ association: 0, type, bytes: bytes('6e') }]);
  t.same(
    [3, 1, 8].map((type) => name(type)[4]! & 0x0f),
    [1, 2, 3],
    'code sets: binary, ASCII, and UTF-8 for a SCSI name',
  );
  t.match(
    decodeBlockLimits(bytes('00 b0 000c 00 00 0008 00000400 00000100')),
    { transferBlocksMax: 1024, unmapBlocksMax: 0, writeSameBlocksMax: 0n, atomicBlocksMax: 0 },
    'the short page B0h of SBC-2',
  );
});

t.test('decoders on whatever comes', async (t) => {
  const decoders = [
    decodeSense,
    decodeBlockLimits,
    decodeLogicalBlockProvisioning,
    decodeSupportedBlockLengths,
    decodeUnmapList,
    decodeCdb,
  ];
  const property = fc.property(
    fc.constantFrom(...decoders),
    fc.uint8Array({ maxLength: 80 }),
    (decode, noise) => {
      try {
        decode(noise);
        return true;
      } catch (error) {
        return error instanceof IntegrityError && error.code === 'ERR_MALFORMED_RESPONSE';
      }
    },
  );
  t.doesNotThrow(() => fc.assert(property, { numRuns: 20_000 }));
  const ranges = [
    { lba: 2n ** 64n - 1n, blocks: 0xffffffff },
    { lba: 0n, blocks: 0 },
  ];
  t.same(decodeUnmapList(encodeUnmapList(ranges)), ranges);
});
