/** Every command of the model: what it does, and what it refuses. */
import { rm, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import t from 'tap';
import { COMMANDS, encodeCdb } from '../../../src/scsi/commands.js';
import { decodeModeSense } from '../../../src/scsi/mode-page.js';
import { decodeReadCapacity16 } from '../../../src/scsi/read-capacity.js';
import { encodeUnmapList } from '../../../src/scsi/unmap.js';
import {
  decodeBlockLimits,
  decodeDeviceIdentification,
  decodeExtendedInquiry,
  decodeLogicalBlockProvisioning,
  decodeSupportedBlockLengths,
  decodeSupportedPages,
  decodeUnitSerialNumber,
} from '../../../src/scsi/vpd.js';
import { EmulatedDisk } from '../../../src/testbed/disk/emulated-disk.js';
import { ask, check, GOOD, plain, ready, send, wire } from './drive.js';

const INVALID_FIELD = check('05h/24h/00h');
const INVALID_OPCODE = check('05h/20h/00h');
const OUT_OF_RANGE = check('05h/21h/00h');
const range = { lba: 16n, blocks: 4 };
const data = plain(wire(16, 4));
const other = plain(wire(16, 4, undefined, { fill: 9 }));

t.test('a fresh disk: UNIT ATTENTION once, but not to those who may ask first', async (t) => {
  const disk = await EmulatedDisk.create();
  t.match(ask(disk, 'INQUIRY', { allocationLength: 96 }), GOOD);
  t.match(ask(disk, 'REPORT LUNS', { allocationLength: 16 }), GOOD);
  t.match(ask(disk, 'READ(16)', range), check('06h/29h/01h'));
  t.match(ask(disk, 'READ(16)', range), GOOD);
  const another = await EmulatedDisk.create();
  const sense = ask(another, 'REQUEST SENSE', { allocationLength: 252 }).dataIn;
  t.same([sense[2], sense[12], sense[13]], [6, 0x29, 1], 'REQUEST SENSE has it as data');
  t.match(ask(another, 'TEST UNIT READY', {}), GOOD);
});

t.test('data goes through every size of READ and WRITE', async (t) => {
  for (const type of [0, 1, 2, 3] as const) {
    const disk = await ready({ type });
    for (const write of [6, 10, 12, 16]) {
      t.match(ask(disk, `WRITE(${write})`, range, write === 10 ? other : data), GOOD, `WRITE(${write})`);
      for (const read of [6, 10, 12, 16]) {
        const { dataIn } = ask(disk, `READ(${read})`, range);
        t.same(Buffer.from(dataIn), Buffer.from(write === 10 ? other : data), `type ${type} READ(${read})`);
      }
    }
  }
});

t.test('a duration limit is taken, and limits nothing', async (t) => {
  const disk = await ready({ type: 2 });
  const limited = { ...range, durationLimit: 7 };
  for (const size of [16, 32]) {
    t.match(ask(disk, `WRITE(${size})`, limited, data), GOOD, `WRITE(${size})`);
    t.same(Buffer.from(ask(disk, `READ(${size})`, limited).dataIn), Buffer.from(data), `READ(${size})`);
  }
});

t.test('the end of the disk, and lengths', async (t) => {
  const disk = await ready({ blocks: 1000 });
  for (const name of [
    'READ(10)',
    'READ(16)',
    'VERIFY(16)',
    'WRITE(16)',
    'WRITE SAME(16)',
    'SYNCHRONIZE CACHE(16)',
    'PRE-FETCH(16)',
  ]) {
    const out = name.startsWith('WRITE SAME') ? data.subarray(0, 512) : plain(wire(0, 2));
    t.match(ask(disk, name, { lba: 999n, blocks: 2 }, out), OUT_OF_RANGE, `${name} over the end`);
    t.match(
      ask(disk, name, { lba: 1000n, blocks: 0 }, new Uint8Array(0)),
      OUT_OF_RANGE,
      `${name} behind the end, no block`,
    );
  }
  t.match(ask(disk, 'READ(16)', { lba: 2n ** 64n - 1n, blocks: 1 }), OUT_OF_RANGE);
  t.match(ask(disk, 'READ(16)', { lba: 0n, blocks: 0 }), { ...GOOD, dataIn: { length: 0 } });
  t.match(ask(disk, 'READ(16)', { lba: 0n, blocks: 0xffffffff }), OUT_OF_RANGE);
  t.match(ask(await ready({ blocks: 100_000 }), 'READ(16)', { lba: 0n, blocks: 8193 }), {
    ...INVALID_FIELD,
    pointer: { byte: 10 },
  });
  t.match(
    ask(disk, 'WRITE(16)', range, data.subarray(0, 2047)),
    check('0Bh/0Eh/01h'),
    'less than the CDB says',
  );
  t.match(
    ask(disk, 'WRITE(16)', range, Buffer.concat([data, data])),
    check('0Bh/0Eh/02h'),
    'more than the CDB says',
  );
  const { dataIn } = send(disk, encodeCdb('READ(16)', range), undefined, 700);
  t.equal(dataIn.length, 700, 'no more than the initiator takes');
});

t.test('what no command is', async (t) => {
  const disk = await ready();
  t.match(send(disk, Uint8Array.of(0xff, 0, 0, 0, 0, 0)), INVALID_OPCODE);
  t.match(send(disk, new Uint8Array(0)), INVALID_OPCODE);
  t.match(send(disk, Uint8Array.of(0x9e, 0x1f, ...new Uint8Array(14))), {
    ...INVALID_FIELD,
    pointer: { byte: 1 },
  });
  t.match(send(disk, Uint8Array.of(0x7f, 0, 0, 0, 0, 0, 0, 0x18, 0x77, 0x77, ...new Uint8Array(22))), {
    ...INVALID_FIELD,
    pointer: { byte: 8 },
  });
  t.match(send(disk, encodeCdb('READ(16)', range).subarray(0, 10)), INVALID_FIELD, 'cut short');
  for (const additional of [0x10, 0x19]) {
    const long = encodeCdb('READ(32)', range);
    long[7] = additional;
    t.match(send(disk, long), { ...INVALID_FIELD, pointer: { inCdb: true, byte: 7 } });
  }
  const reserved = encodeCdb('READ(10)', range);
  reserved[6] = 0x80;
  t.match(send(disk, reserved), { ...INVALID_FIELD, pointer: { inCdb: true, byte: 6, bit: 7 } });
  const naca = encodeCdb('READ(16)', range);
  naca[15] = 0x04;
  t.match(send(disk, naca), { ...INVALID_FIELD, pointer: { byte: 15, bit: 2 } });
});

t.test('INQUIRY and its pages', async (t) => {
  const disk = await ready({ type: 2, serial: 'abc' });
  const page = (code: number) =>
    ask(disk, 'INQUIRY', { evpd: true, page: code, allocationLength: 512 }).dataIn;
  const pages = decodeSupportedPages(page(0));
  t.same(pages, [0x00, 0x80, 0x83, 0x86, 0xb0, 0xb1, 0xb2, 0xb4]);
  for (const code of pages) t.equal(page(code)[1], code);
  t.equal(decodeUnitSerialNumber(page(0x80)), 'blk-integrity-abc');
  t.match(decodeDeviceIdentification(page(0x83)).identity, /^naa\.3/);
  t.match(decodeExtendedInquiry(page(0x86)), {
    supportedTypes: [1, 2, 3],
    guardCheck: true,
    appCheck: true,
    refCheck: true,
    writeUncorrectable: true,
    revertToDefaults: true,
    senseLengthMax: 252,
  });
  t.match(decodeBlockLimits(page(0xb0)), { transferBlocksMax: 8192, compareAndWriteBlocksMax: 255 });
  t.match(decodeLogicalBlockProvisioning(page(0xb2)), { unmap: true, readZeros: 1, provisioningType: 2 });
  t.match(decodeSupportedBlockLengths(page(0xb4)), [
    { blockSize: 512, types: [0, 1, 2, 3], multipleIntervals: false },
    { blockSize: 1024, multipleIntervals: true },
    { blockSize: 2048, multipleIntervals: true },
    { blockSize: 4096, multipleIntervals: true },
  ]);
  t.match(ask(disk, 'INQUIRY', { evpd: true, page: 0x99, allocationLength: 64 }), INVALID_FIELD);
  t.match(ask(disk, 'INQUIRY', { page: 0x80, allocationLength: 64 }), INVALID_FIELD, 'a page without EVPD');
  t.equal(ask(disk, 'INQUIRY', { allocationLength: 5 }).dataIn.length, 5);
  t.equal(ask(disk, 'INQUIRY', { allocationLength: 96 }).dataIn[5]! & 1, 1, 'PROTECT');
  const without = await ready({ type: 0, supportedTypes: [] });
  t.equal(ask(without, 'INQUIRY', { allocationLength: 96 }).dataIn[5]! & 1, 0);
  disk.concealProtection(true);
  t.equal(ask(disk, 'INQUIRY', { allocationLength: 96 }).dataIn[5]! & 1, 0, 'concealed');
  t.equal(
    decodeReadCapacity16(ask(disk, 'READ CAPACITY(16)', { allocationLength: 32 }).dataIn).protectionType,
    0,
  );
});

t.test('READ CAPACITY tells of the format', async (t) => {
  for (const type of [0, 1, 2, 3] as const) {
    const disk = await ready({ type, blockSize: 4096, blocks: 5000, intervalExponent: type > 1 ? 3 : 0 });
    const told = decodeReadCapacity16(ask(disk, 'READ CAPACITY(16)', { allocationLength: 32 }).dataIn);
    t.match(told, {
      lastLba: 4999n,
      blockSize: 4096,
      protectionType: type,
      intervalExponent: type > 1 ? 3 : 0,
    });
    t.equal(Buffer.from(ask(disk, 'READ CAPACITY(10)', {}).dataIn).toString('hex'), '0000138700001000');
  }
  const huge = await ready({ blocks: 2 ** 40 });
  t.equal(Buffer.from(ask(huge, 'READ CAPACITY(10)', {}).dataIn).toString('hex'), 'ffffffff00000200');
  const far = { lba: 2n ** 40n - 4n, blocks: 4 };
  t.match(
    ask(huge, 'WRITE(16)', { ...far, protect: 1 }, wire(2 ** 40 - 4, 4)),
    GOOD,
    'reference tags are the low 32 bits',
  );
});

t.test('INFORMATION beyond 32 bits: in descriptor sense alone', async (t) => {
  const disk = await ready({ blocks: 2 ** 40 });
  const far = { lba: 2n ** 33n, blocks: 2, protect: 3 };
  ask(
    disk,
    'WRITE(16)',
    far,
    wire(2 ** 33, 2, () => ({ guard: 1 })),
  );
  const read = () => ask(disk, 'READ(16)', { ...far, protect: 1 });
  t.match(read(), { sense: '0Bh/10h/01h', information: null });
  const list = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0x0a, 0x04, 0x10, 0, 0x80, 0, 0, 0, 0, 0, 0);
  ask(disk, 'MODE SELECT(10)', { pageFormat: true, parameterListLength: list.length }, list);
  t.match(read(), { sense: '0Bh/10h/01h', information: 2n ** 33n });
});

t.test('VERIFY with data-out', async (t) => {
  const disk = await ready();
  ask(disk, 'WRITE(16)', { ...range, protect: 1 }, wire(16, 4));
  const verify = (fields: object, out: Uint8Array) => ask(disk, 'VERIFY(16)', { ...range, ...fields }, out);
  t.match(verify({ byteCheck: 1 }, data), GOOD);
  t.match(verify({ byteCheck: 1 }, other), check('0Eh/1Dh/00h'));
  t.match(verify({ byteCheck: 1, protect: 1 }, wire(16, 4)), GOOD);
  t.match(verify({ byteCheck: 2 }, data), { ...INVALID_FIELD, pointer: { byte: 1, bit: 2 } });
  const spoilt = (change: object) => wire(16, 4, (i) => (i === 2 ? change : {}));
  t.match(
    verify({ byteCheck: 1, protect: 1 }, spoilt({ guard: 5 })),
    check('0Bh/10h/01h'),
    'data-out is checked',
  );
  t.match(verify({ byteCheck: 1, protect: 3 }, spoilt({ guard: 5 })), {
    sense: '0Eh/10h/01h',
    information: 18n,
  });
  t.match(verify({ byteCheck: 1, protect: 3 }, spoilt({ app: 5 })), check('0Eh/10h/02h'));
  t.match(verify({ byteCheck: 1, protect: 3 }, spoilt({ ref: 5 })), check('0Eh/10h/03h'));
  t.match(verify({ byteCheck: 1, protect: 2 }, spoilt({ guard: 5 })), GOOD, '010b: guards are not compared');
  t.match(ask(disk, 'WRITE SAME(16)', { ...range, protect: 1 }, wire(16, 1)), GOOD);
  t.match(verify({ byteCheck: 3 }, data.subarray(0, 512)), GOOD);
  t.match(verify({ byteCheck: 3, protect: 1 }, wire(16, 1)), GOOD, 'reference tags count on');
  t.match(verify({ byteCheck: 3 }, other.subarray(0, 512)), check('0Eh/1Dh/00h'));
  const fresh = await ready();
  t.match(
    ask(fresh, 'VERIFY(16)', { ...range, byteCheck: 1 }, new Uint8Array(2048)),
    GOOD,
    'unmapped blocks are zeros (VBULS)',
  );
});

t.test('WRITE SAME and UNMAP', async (t) => {
  const disk = await ready();
  t.match(ask(disk, 'WRITE SAME(16)', { ...range, protect: 1 }, wire(16, 1)), GOOD);
  const stored = (fields: object = {}) => ask(disk, 'READ(16)', { ...range, protect: 3, ...fields }).dataIn;
  const same = Buffer.concat([0, 1, 2, 3].map((i) => wire(16, 1, () => ({ ref: 16 + i }))));
  t.same(Buffer.from(stored()), same);
  const escaped = wire(16, 1, () => ({ guard: 0xffff, app: 0xffff, ref: 0xffffffff }));
  ask(disk, 'WRITE SAME(16)', { ...range, protect: 1 }, escaped);
  t.same(Buffer.from(stored()), Buffer.concat([escaped, escaped, escaped, escaped]), 'all ones stay so');
  t.match(ask(disk, 'WRITE SAME(16)', { ...range, blocks: 0 }, data.subarray(0, 512)), INVALID_FIELD, 'WSNZ');
  t.match(ask(disk, 'WRITE SAME(16)', { ...range, blocks: 3000, noDataOut: true }), GOOD);
  t.equal(
    stored({ blocks: 1 })
      .subarray(0, 512)
      .every((byte) => byte === 0),
    true,
  );
  const unmapped = Buffer.concat([Buffer.alloc(512), Buffer.alloc(8, 0xff)]);
  for (const [what, unmap] of [
    [
      'UNMAP',
      () => ask(disk, 'UNMAP', { parameterListLength: 24 }, encodeUnmapList([{ lba: 17n, blocks: 2 }])),
    ],
    [
      'WRITE SAME(10)',
      () => ask(disk, 'WRITE SAME(10)', { lba: 17n, blocks: 2, unmap: true }, new Uint8Array(512)),
    ],
    [
      'WRITE SAME(16) NDOB',
      () => ask(disk, 'WRITE SAME(16)', { lba: 17n, blocks: 2, unmap: true, noDataOut: true }),
    ],
  ] as const) {
    ask(disk, 'WRITE(16)', { ...range, protect: 1 }, wire(16, 4));
    t.match(unmap(), GOOD, what);
    const now = wire(16, 4);
    now.set(unmapped, 520);
    now.set(unmapped, 1040);
    t.same(Buffer.from(stored()), Buffer.from(now), `${what}: tuples of FFh under zeros, and nothing else`);
    t.match(ask(disk, 'READ(16)', { ...range, protect: 1 }), GOOD, `${what}: escaped`);
    const status = Buffer.from(ask(disk, 'GET LBA STATUS(16)', { lba: 16n, allocationLength: 56 }).dataIn);
    t.equal(status.readUInt32BE(0), 52);
    t.same(
      [16, 32].map((at) => [status.readUInt32BE(at), status[at + 4]]),
      [
        [1, 0],
        [2, 1],
      ],
    );
    t.equal(status[48 + 4], 0, 'and mapped again');
  }
  const long = (fields: object) =>
    ask(disk, 'GET LBA STATUS(32)', { lba: 16n, allocationLength: 56, ...fields });
  const runs = Buffer.from(long({ scanLength: 2 }).dataIn);
  t.same(
    [runs.readUInt32BE(0), runs.readUInt32BE(16), runs.readUInt32BE(32)],
    [36, 1, 1],
    'SCAN LENGTH ends the second run',
  );
  t.match(long({ elementId: 1 }), { ...INVALID_FIELD, pointer: { byte: 24 } }, 'there are no elements');
  t.match(
    ask(disk, 'UNMAP', { parameterListLength: 24 }, encodeUnmapList([{ lba: 4095n, blocks: 2 }])),
    OUT_OF_RANGE,
  );
  t.match(ask(disk, 'UNMAP', { parameterListLength: 4 }, new Uint8Array(4)), check('05h/1Ah/00h'));
  t.match(ask(disk, 'UNMAP', { parameterListLength: 0 }), GOOD);
  const thick = await ready({ thin: false });
  t.match(ask(thick, 'UNMAP', { parameterListLength: 0 }), INVALID_OPCODE);
  t.match(ask(thick, 'WRITE SAME(16)', { ...range, unmap: true }, new Uint8Array(512)), INVALID_FIELD);
});

t.test('COMPARE AND WRITE', async (t) => {
  const disk = await ready();
  ask(disk, 'WRITE(16)', range, data);
  t.match(ask(disk, 'COMPARE AND WRITE', range, Buffer.concat([data, other])), GOOD);
  t.same(Buffer.from(ask(disk, 'READ(16)', range).dataIn), Buffer.from(other));
  const wrong = Buffer.from(other);
  wrong[700]! ^= 1;
  t.match(ask(disk, 'COMPARE AND WRITE', range, Buffer.concat([wrong, data])), {
    sense: '0Eh/1Dh/00h',
    information: 700n,
  });
  t.same(Buffer.from(ask(disk, 'READ(16)', range).dataIn), Buffer.from(other), 'nothing was written');
  t.match(ask(disk, 'COMPARE AND WRITE', range, data), check('0Bh/0Eh/01h'));
  ask(disk, 'WRITE(16)', { ...range, protect: 1 }, wire(16, 4));
  const both = Buffer.concat([wire(16, 4), wire(16, 4, undefined, { fill: 3 })]);
  t.match(ask(disk, 'COMPARE AND WRITE', { ...range, protect: 1 }, both), GOOD, 'two halves with tuples');
});

t.test('ORWRITE', async (t) => {
  const disk = await ready();
  ask(disk, 'WRITE(16)', range, data);
  t.match(ask(disk, 'ORWRITE(16)', range, other), GOOD);
  t.same(
    Buffer.from(ask(disk, 'READ(16)', range).dataIn),
    Buffer.from(data.map((byte, i) => byte | other[i]!)),
  );
  t.match(ask(disk, 'ORWRITE(16)', { ...range, protect: 1 }, wire(16, 4)), GOOD);
  t.match(ask(disk, 'READ(16)', { ...range, protect: 1 }), GOOD, 'with guards made anew');
  const clear = { ...range, bitmaskOperation: 1, expectedGeneration: 0, newGeneration: 7 };
  t.match(ask(disk, 'ORWRITE(32)', clear, other), GOOD);
  t.match(ask(disk, 'ORWRITE(32)', clear, other), check('0Bh/2Ch/0Ch'), 'the generation is another now');
  t.match(ask(disk, 'ORWRITE(32)', { ...range, expectedGeneration: 7 }, other), GOOD);
});

t.test('WRITE ATOMIC, STREAM and SCATTERED', async (t) => {
  const disk = await ready({ type: 2 });
  const tags = { refTag: 16, appTag: 0, appTagMask: 0xffff, protect: 1 };
  for (const name of ['WRITE ATOMIC(32)', 'WRITE STREAM(32)']) {
    t.match(ask(disk, name, { ...range, ...tags }, wire(16, 4)), GOOD, name);
    t.match(
      ask(
        disk,
        name,
        { ...range, ...tags },
        wire(16, 4, () => ({ ref: 1 })),
      ),
      check('0Bh/10h/03h'),
      name,
    );
  }
  t.match(ask(disk, 'WRITE ATOMIC(16)', { lba: 0n, blocks: 257 }, new Uint8Array(257 * 512)), INVALID_FIELD);
  const scattered = (ranges: readonly { lba: number; blocks: number; ref: number; ok?: boolean }[]) => {
    const header = new Uint8Array(520);
    const view = new DataView(header.buffer);
    for (const [i, { lba, blocks, ref }] of ranges.entries()) {
      const at = 32 * (i + 1);
      view.setBigUint64(at, BigInt(lba));
      view.setUint32(at + 8, blocks);
      view.setUint32(at + 12, ref);
      view.setUint16(at + 18, 0);
    }
    const parts = ranges.map(({ blocks, ref, ok = true }) =>
      wire(ref, blocks, () => (ok ? {} : { guard: 3 })),
    );
    const out = Buffer.concat([header, ...parts]);
    const fields = { dataOffset: 1, ranges: ranges.length, blocks: out.length / 520, protect: 1 };
    return ask(disk, 'WRITE SCATTERED(32)', fields, out);
  };
  t.match(
    scattered([
      { lba: 100, blocks: 2, ref: 500 },
      { lba: 200, blocks: 1, ref: 900 },
    ]),
    GOOD,
  );
  t.match(ask(disk, 'READ(32)', { lba: 200n, blocks: 1, protect: 1, refTag: 900 }), GOOD);
  t.match(
    scattered([
      { lba: 100, blocks: 2, ref: 600 },
      { lba: 200, blocks: 1, ref: 900, ok: false },
    ]),
    check('0Bh/10h/01h'),
  );
  t.match(
    ask(disk, 'READ(32)', { lba: 100n, blocks: 2, protect: 1, refTag: 500 }),
    GOOD,
    'one bad range, nothing written',
  );
  t.match(
    scattered([
      { lba: 100, blocks: 2, ref: 1 },
      { lba: 101, blocks: 1, ref: 9 },
    ]),
    check('05h/26h/00h'),
    'overlapping',
  );
  t.match(scattered([{ lba: 4095, blocks: 2, ref: 1 }]), OUT_OF_RANGE);
  const cut = { dataOffset: 1, ranges: 2, blocks: 0, protect: 1 };
  t.match(
    ask(disk, 'WRITE SCATTERED(32)', cut, new Uint8Array(0)),
    check('0Bh/0Eh/01h'),
    'it ends before its descriptors',
  );
});

t.test('FORMAT UNIT', async (t) => {
  const disk = await ready({ type: 1 });
  ask(disk, 'WRITE(16)', { ...range, protect: 1 }, wire(16, 4));
  const format = (formatProtection: number, list: readonly number[] = [0, 0, 0, 0], longList = false) =>
    ask(disk, 'FORMAT UNIT', { formatProtection, formatData: true, longList }, Uint8Array.from(list));
  t.match(format(0b11), GOOD);
  t.match(ask(disk, 'TEST UNIT READY', {}), check('06h/2Ah/09h'), 'UNIT ATTENTION follows');
  const told = () => decodeReadCapacity16(ask(disk, 'READ CAPACITY(16)', { allocationLength: 32 }).dataIn);
  t.match(told(), { protectionType: 2 });
  const { dataIn } = ask(disk, 'READ(32)', { ...range, protect: 1 });
  t.same(
    Buffer.from(dataIn.subarray(0, 520)),
    Buffer.concat([Buffer.alloc(512), Buffer.alloc(8, 0xff)]),
    'tuples of FFh',
  );
  t.match(format(0b11, [1, 0, 0, 0]), GOOD);
  ask(disk, 'TEST UNIT READY', {});
  t.match(told(), { protectionType: 3 });
  t.match(format(0b00), GOOD);
  ask(disk, 'TEST UNIT READY', {});
  t.match(told(), { protectionType: 0 });
  t.match(format(0b01), { ...INVALID_FIELD, pointer: { byte: 1, bit: 7 } });
  t.match(format(0b10, [1, 0, 0, 0]), check('05h/26h/00h'), 'no such usage');
  t.match(format(0b10, [0, 0, 0, 3, 0, 0, 0, 0], true), check('05h/26h/00h'), 'type 1 has one interval');
  const select = Uint8Array.of(0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0x10, 0);
  t.match(ask(disk, 'MODE SELECT(6)', { pageFormat: true, parameterListLength: 12 }, select), GOOD);
  t.match(told(), { blockSize: 512 }, 'not before FORMAT UNIT');
  t.match(format(0b11, [0, 0, 0, 3, 0, 0, 0, 0], true), GOOD);
  ask(disk, 'TEST UNIT READY', {});
  t.match(told(), { blockSize: 4096, blocks: 512n, protectionType: 2, intervalExponent: 3 });
  const without = await ready({ type: 0, supportedTypes: [] });
  t.match(ask(without, 'FORMAT UNIT', { formatProtection: 0b10 }), INVALID_FIELD);
});

t.test('MODE SENSE and MODE SELECT', async (t) => {
  const disk = await ready();
  const sense = (fields: object) => ask(disk, 'MODE SENSE(10)', { allocationLength: 512, ...fields });
  t.match(sense({ page: 0x3f, subpage: 0xff }), GOOD);
  const all = { page: 0x3f, subpage: 0xff };
  const told = decodeModeSense(sense({ ...all, longLba: true }).dataIn, 10);
  t.match(told, { writeProtected: false, blockDescriptors: [{ blocks: 4096n, blockSize: 512 }] });
  t.same(
    told.pages.map(({ page, subpage }) => [page, subpage]),
    [
      [0x01, 0],
      [0x08, 0],
      [0x0a, 0],
      [0x0a, 1],
      [0x0a, 2],
      [0x1c, 0],
    ],
  );
  const short = ask(disk, 'MODE SENSE(6)', { ...all, allocationLength: 255 }).dataIn;
  t.same(
    decodeModeSense(short, 6).pages.map(({ bytes }) => Buffer.from(bytes)),
    told.pages.map(({ bytes }) => Buffer.from(bytes)),
    'the same in the short form',
  );
  t.match(sense({ page: 0x11 }), INVALID_FIELD);
  t.same(
    [...sense({ page: 0x0a, pageControl: 1 }).dataIn.subarray(16, 22)],
    [0x8a, 0x0a, 0x0c, 0, 0x08, 0xb0],
  );
  t.equal(sense({ page: 0x0a, longLba: true }).dataIn[7], 16, 'a long block descriptor');
  t.equal(ask(disk, 'MODE SENSE(6)', { page: 0x0a, allocationLength: 255 }).dataIn[3], 8);
  const list = (byte2: number, byte4 = 0) =>
    Uint8Array.of(0, 0, 0, 0, 0x0a, 0x0a, byte2, 0x10, byte4, 0x80, 0, 0, 0, 0, 0, 0);
  const select = (bytes: Uint8Array, more: object = {}) =>
    ask(disk, 'MODE SELECT(6)', { pageFormat: true, parameterListLength: bytes.length, ...more }, bytes);
  t.match(select(list(0x04)), GOOD);
  t.equal(sense({ page: 0x0a, disableBlockDescriptors: true }).dataIn[10], 0x04);
  t.equal(sense({ page: 0x0a, disableBlockDescriptors: true, pageControl: 2 }).dataIn[10], 0x00, 'default');
  t.equal(sense({ page: 0x0a, disableBlockDescriptors: true, pageControl: 3 }).dataIn[10], 0x00, 'not saved');
  t.match(ask(disk, 'MODE SELECT(10)', { revertToDefaults: true }), GOOD, 'RTD');
  t.equal(sense({ page: 0x0a, disableBlockDescriptors: true }).dataIn[10], 0x00, 'the default again');
  t.match(select(list(0x04), { savePages: true }), GOOD);
  t.match(ask(disk, 'MODE SELECT(6)', { revertToDefaults: true }), GOOD);
  t.equal(
    sense({ page: 0x0a, disableBlockDescriptors: true, pageControl: 3 }).dataIn[10],
    0x04,
    'still saved',
  );
  t.match(ask(disk, 'MODE SELECT(6)', { revertToDefaults: true, savePages: true }), GOOD);
  t.equal(sense({ page: 0x0a, disableBlockDescriptors: true, pageControl: 3 }).dataIn[10], 0x00, 'saved too');
  // PS, which MODE SENSE tells, is reserved here.
  for (const subpage of [0, 1, 2]) {
    const told = sense({ page: 0x0a, subpage, disableBlockDescriptors: true }).dataIn.subarray(8);
    const sent = Uint8Array.of(0, 0, 0, 0, ...told);
    const reserved = { sense: '05h/26h/00h', pointer: { inCdb: false, byte: 4, bit: 7 } };
    t.match(select(sent), reserved, `as it was told, ${subpage}`);
    sent[4]! &= 0x7f;
    t.match(select(sent), GOOD);
  }
  t.match(
    select(list(0x14)),
    { sense: '05h/26h/00h', pointer: { inCdb: false, byte: 6 } },
    'TMF_ONLY cannot be changed',
  );
  t.match(select(list(0x00).subarray(0, 9)), check('05h/26h/00h'));
  t.match(select(list(0x00), { pageFormat: false }), INVALID_FIELD);
  t.match(select(Uint8Array.of(0, 0)), check('05h/1Ah/00h'));
  t.match(select(list(0, 0x08)), GOOD, 'SWP');
  for (const name of ['WRITE(16)', 'WRITE SAME(16)', 'UNMAP', 'COMPARE AND WRITE']) {
    const fields = name === 'UNMAP' ? { parameterListLength: 8 } : range;
    t.match(ask(disk, name, fields, data), check('07h/27h/02h'), `${name} under SWP`);
  }
  t.equal(sense({ page: 0x0a }).dataIn[3]! & 0x80, 0x80, 'WP');
});

t.test('REPORT SUPPORTED OPERATION CODES', async (t) => {
  const disk = await ready();
  const ask3 = (fields: object) =>
    ask(disk, 'REPORT SUPPORTED OPERATION CODES', { allocationLength: 4096, ...fields });
  const all = Buffer.from(ask3({}).dataIn);
  t.equal(all.readUInt32BE(0), all.length - 4);
  t.equal((all.length - 4) % 8, 0);
  for (let at = 4; at < all.length; at += 8) {
    const [requestedOpcode, requestedServiceAction] = [all[at]!, all.readUInt16BE(at + 2)];
    const one = ask3({ reportingOptions: 3, requestedOpcode, requestedServiceAction }).dataIn;
    t.equal(one[1]! & 7, 3, `opcode ${requestedOpcode} ${requestedServiceAction}`);
    t.equal(one[3], all[at + 7]);
  }
  t.match(ask3({ reportingOptions: 1, requestedOpcode: 0x7f }), INVALID_FIELD, 'it has service actions');
  t.equal(ask3({ reportingOptions: 1, requestedOpcode: 0xff }).dataIn[1]! & 7, 1);
  t.equal(
    ask3({ reportingOptions: 2, requestedOpcode: 0x7f, requestedServiceAction: 9 }).dataIn[4 + 20],
    0xff,
    'tags are evaluated',
  );
  t.equal(ask3({ returnTimeouts: true }).dataIn[4 + 5]! & 2, 2, 'CTDP');
});

t.test('unreadable blocks, a stopped disk', async (t) => {
  const disk = await ready();
  ask(disk, 'WRITE(16)', range, data);
  t.match(ask(disk, 'WRITE LONG(16)', { lba: 18n, writeUncorrectable: true }), GOOD);
  t.match(ask(disk, 'READ(16)', range), { sense: '03h/11h/00h', information: 18n, dataIn: { length: 1024 } });
  t.match(ask(disk, 'VERIFY(16)', range), check('03h/11h/00h'));
  ask(disk, 'WRITE(16)', range, data);
  t.match(ask(disk, 'READ(16)', range), GOOD, 'written again');
  t.match(ask(disk, 'WRITE LONG(10)', { lba: 18n }), INVALID_FIELD);
  for (const [field, bit] of [
    ['correctionDisabled', 7],
    ['physicalBlock', 5],
  ] as const) {
    for (const name of ['WRITE LONG(10)', 'WRITE LONG(16)']) {
      t.match(
        ask(disk, name, { lba: 18n, writeUncorrectable: true, [field]: true }),
        { ...INVALID_FIELD, pointer: { byte: 1, bit } },
        `${name} ${field}`,
      );
    }
  }
  t.match(ask(disk, 'START STOP UNIT', {}), GOOD);
  t.match(ask(disk, 'READ(16)', range), check('02h/04h/02h'));
  t.match(ask(disk, 'INQUIRY', { allocationLength: 96 }), GOOD);
  t.match(ask(disk, 'START STOP UNIT', { start: true }), GOOD);
  t.match(ask(disk, 'READ(16)', range), GOOD);
});

t.test('a disk in a file is there again', async (t) => {
  const file = `${t.testdir()}/disk`;
  const made = await ready({ file, type: 1, blocks: 1000 });
  ask(
    made,
    'WRITE(16)',
    { ...range, protect: 3 },
    wire(16, 4, () => ({ app: 7 })),
  );
  const list = Uint8Array.of(0, 0, 0, 0, 0x0a, 0x0a, 0x04, 0x10, 0, 0x80, 0, 0, 0, 0, 0, 0);
  ask(made, 'MODE SELECT(6)', { pageFormat: true, savePages: true, parameterListLength: 16 }, list);
  await made.close();
  for (const asked of [{ type: 3 }, { blocks: 5 }, { blockSize: 4096 }, { serial: 'other' }] as const) {
    await t.rejects(EmulatedDisk.create({ file, ...asked }), {
      code: 'ERR_TESTBED',
      message: /holds a disk of/,
    });
  }
  await t.rejects(EmulatedDisk.create({ file, supportedTypes: [2, 3] }), { code: 'ERR_OUT_OF_RANGE' });
  const again = await EmulatedDisk.create({ file });
  ask(again, 'TEST UNIT READY', {});
  t.match(again.format, { type: 1, blocks: 1000 }, 'it brings its own format');
  t.same(again.identity, made.identity, 'and is the same disk');
  await t.rejects(EmulatedDisk.create({ file }), { code: 'ERR_BUSY' }, 'which there is once');
  t.same(
    Buffer.from(ask(again, 'READ(16)', { ...range, protect: 3 }).dataIn),
    Buffer.from(wire(16, 4, () => ({ app: 7 }))),
  );
  t.equal(ask(again, 'READ(16)', { lba: 999n, blocks: 1, protect: 1 }).dataIn[519], 0xff, 'never written');
  t.equal(
    ask(again, 'MODE SENSE(10)', { page: 0x0a, disableBlockDescriptors: true, allocationLength: 64 })
      .dataIn[10],
    0x04,
  );
  ask(again, 'UNMAP', { parameterListLength: 24 }, encodeUnmapList([{ lba: 0n, blocks: 1000 }]));
  t.equal(ask(again, 'READ(16)', { ...range, protect: 3 }).dataIn[519], 0xff);
  await again.close();
  const foreign = `${t.testdirName}/foreign`;
  await writeFile(foreign, 'something else');
  await t.rejects(EmulatedDisk.create({ file: foreign }), { code: 'ERR_TESTBED' });
  await t.rejects(EmulatedDisk.create({ file: '/dev/null' }), {
    code: 'ERR_TESTBED',
    message: /no regular file/,
  });
  await t.rejects(ready({ file: `${t.testdirName}/not/there` }), { code: 'ERR_TESTBED' });
  await rm(foreign);
});

t.test('options that cannot be', async (t) => {
  for (const options of [
    { type: 4 as 3 },
    { blockSize: 520 },
    { blocks: 0 },
    { blocks: 1.5 },
    { type: 1 as const, blockSize: 4096, intervalExponent: 3 },
    { type: 2 as const, blockSize: 512, intervalExponent: 1 },
    { type: 3 as const, supportedTypes: [1, 2] as const },
    { serial: 'with space' },
  ]) {
    await t.rejects(EmulatedDisk.create(options), { code: 'ERR_OUT_OF_RANGE' }, JSON.stringify(options));
  }
  await t.rejects(EmulatedDisk.create({ preset: 'nobody' }), { code: 'ERR_USAGE' });
  await t.rejects(EmulatedDisk.create({ preset: 'constructor' }), { code: 'ERR_USAGE' });
  await t.rejects(EmulatedDisk.create({ behaviour: { protect101: 'maybe' as 'valid' } }), {
    code: 'ERR_USAGE',
  });
});

t.test('whatever comes, it answers', async (t) => {
  const disk = await ready({ type: 2, blocks: 300 });
  const anything = fc.property(
    fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc
        .tuple(fc.constantFrom(...COMMANDS), fc.uint8Array({ minLength: 32, maxLength: 32 }))
        .map(([{ operation, length }, noise]) => {
          const [opcode, action = 0] = operation;
          const cdb = noise.slice(0, length);
          cdb[0] = opcode;
          if (opcode === 0x7f) cdb.set([0x18, action >> 8, action & 0xff], 7);
          else if (operation.length === 2) cdb[1] = action;
          return cdb;
        }),
    ),
    fc.uint8Array({ maxLength: 3000 }),
    fc.nat(5000),
    (cdb, dataOut, dataInMax) => {
      const { status, sense, dataIn, afterMs } = disk.unit.execute({ cdb, dataOut, dataInMax });
      return (
        (status === 0 || (status === 2 && sense.length >= 8 && sense.length <= 252)) &&
        dataIn.length <= dataInMax &&
        afterMs === 0
      );
    },
  );
  t.doesNotThrow(() => fc.assert(anything, { numRuns: 20_000 }));
  const { commands, byStatus } = disk.stats();
  t.equal(
    Object.values(byStatus).reduce((sum, n) => sum + n, 0),
    commands,
    'each command is counted once',
  );
});
