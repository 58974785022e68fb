/** What T10 leaves open, and rules that only some commands know: each is seen to make a difference. */
import t from 'tap';
import { EmulatedDisk, type EmulatedDiskOptions } from '../../../src/testbed/disk/emulated-disk.js';
import { type Behaviour, CHOICES } from '../../../src/testbed/disk/model/behaviour.js';
import { type Answered, ask, check, GOOD, plain, ready, type TupleFields, wire } from './drive.js';

const range = { lba: 16n, blocks: 4 };
const INVALID_FIELD = check('05h/24h/00h');
const INVALID_OPCODE = check('05h/20h/00h');
const [GUARD, APP, REF] = ['0Bh/10h/01h', '0Bh/10h/02h', '0Bh/10h/03h'].map(check) as [
  object,
  object,
  object,
];

const at = (index: number, fields: TupleFields) => (i: number) => (i === index ? fields : {});
const write = (disk: EmulatedDisk, bytes: Uint8Array, protect = 3) =>
  ask(disk, 'WRITE(16)', { ...range, protect }, bytes);
const read = (disk: EmulatedDisk, protect = 3) => ask(disk, 'READ(16)', { ...range, protect });

/** MODE SELECT of the Control page: byte 2 (D_SENSE 04h, DPICZ 08h) and byte 5 (ATO 80h, ATMPE 20h, RWWP 10h). */
function control(disk: EmulatedDisk, byte2: number, byte5: number): void {
  const list = Uint8Array.of(0, 0, 0, 0, 0x0a, 0x0a, byte2, 0x10, 0, byte5, 0, 0, 0, 0, 0, 0);
  const answer = ask(disk, 'MODE SELECT(6)', { pageFormat: true, parameterListLength: list.length }, list);
  t.match(answer, GOOD);
}

/** 32-byte commands with the reference tag that the blocks have, and an application tag of nobody's. */
const told = (disk: EmulatedDisk, name: string, fields: object, bytes?: Uint8Array) =>
  ask(disk, name, { ...range, refTag: 16, ...fields }, bytes);

interface Case {
  readonly disk?: EmulatedDiskOptions;
  readonly does: (disk: EmulatedDisk) => Answered;
  /** The answer by each value, the default's first. */
  readonly answers: readonly [object, object];
}

const INFORMATION: (information: bigint | null) => object = (information) => ({ ...GUARD, information });

const SEEN: Readonly<Record<keyof Behaviour, Case>> = {
  protect101: { does: (disk) => read(disk, 5), answers: [GOOD, INVALID_FIELD] },
  protect100: {
    does: (disk) => {
      write(disk, wire(16, 4, at(1, { guard: 1 })));
      return read(disk, 4);
    },
    answers: [GUARD, GOOD],
  },
  writeRefMay: { does: (disk) => write(disk, wire(16, 4, at(1, { ref: 1 })), 2), answers: [REF, GOOD] },
  writeAppMay: {
    disk: { type: 2 },
    does: (disk) =>
      told(disk, 'WRITE(32)', { protect: 1, appTag: 7, appTagMask: 0xffff }, wire(16, 4, at(1, { app: 1 }))),
    answers: [APP, GOOD],
  },
  appTagKnownBy: {
    does: (disk) => {
      control(disk, 0, 0xa0);
      const list = new Uint8Array(8 + 16 + 4 * 24);
      list.set([0x4a, 0x02, 0, 12 + 96], 8);
      list[24] = 0x80;
      list[31] = 9;
      new DataView(list.buffer).setBigUint64(40, 4096n);
      const sent = ask(disk, 'MODE SELECT(10)', { pageFormat: true, parameterListLength: list.length }, list);
      t.match(sent, GOOD);
      write(disk, wire(16, 4));
      return read(disk, 1);
    },
    answers: [APP, GOOD],
  },
  firstFailed: {
    does: (disk) => {
      write(disk, wire(16, 4, at(1, { guard: 1, ref: 1 })));
      return read(disk, 1);
    },
    answers: [GUARD, REF],
  },
  information: {
    does: (disk) => write(disk, wire(16, 4, at(2, { guard: 1 })), 1),
    answers: [INFORMATION(18n), INFORMATION(null)],
  },
  readBeforeError: {
    does: (disk) => {
      write(disk, wire(16, 4, at(2, { guard: 1 })));
      return read(disk, 1);
    },
    answers: [{ dataIn: { length: 1040 } }, { dataIn: { length: 0 } }],
  },
  writeBeforeError: {
    does: (disk) => {
      write(disk, wire(16, 4, at(2, { guard: 1 }), { fill: 9 }), 1);
      return ask(disk, 'READ(16)', { lba: 16n, blocks: 1, protect: 3 });
    },
    answers: [{ dataIn: { 519: 0xff } }, { dataIn: { 519: 16 } }],
  },
  generatedAppTag: {
    does: (disk) => {
      ask(disk, 'WRITE(16)', range, plain(wire(16, 4)));
      return read(disk);
    },
    answers: [{ dataIn: { 514: 0xff, 515: 0xff } }, { dataIn: { 514: 0, 515: 0 } }],
  },
  type2ShortCdb: {
    disk: { type: 2 },
    does: (disk) => read(disk, 1),
    answers: [INVALID_OPCODE, INVALID_FIELD],
  },
  longCdbElsewhere: { does: (disk) => told(disk, 'READ(32)', {}), answers: [INVALID_OPCODE, GOOD] },
  protectUnformatted: { disk: { type: 0 }, does: (disk) => read(disk, 1), answers: [INVALID_FIELD, GOOD] },
  verifyProtect: {
    does: (disk) => ask(disk, 'VERIFY(16)', { ...range, protect: 6 }),
    answers: [INVALID_FIELD, GOOD],
  },
  compareKey: {
    does: (disk) => {
      write(disk, wire(16, 4));
      const other = wire(16, 4, at(1, { ref: 5 }));
      return ask(disk, 'VERIFY(16)', { ...range, byteCheck: 1, protect: 3 }, other);
    },
    answers: [check('0Eh/10h/03h'), REF],
  },
  writeVerify11: {
    does: (disk) => ask(disk, 'WRITE AND VERIFY(16)', { ...range, byteCheck: 3, protect: 1 }, wire(16, 4)),
    answers: [INVALID_FIELD, GOOD],
  },
  verifyDataOut: {
    does: (disk) => {
      const spoilt = wire(16, 4, at(1, { guard: 1 }));
      write(disk, spoilt);
      return ask(disk, 'VERIFY(16)', { ...range, byteCheck: 1, protect: 1 }, spoilt);
    },
    answers: [GUARD, GOOD],
  },
  checking: { does: (disk) => write(disk, wire(16, 4, at(0, { guard: 1 })), 1), answers: [GUARD, GOOD] },
  unmapped: { does: (disk) => read(disk, 1), answers: [GOOD, GUARD] },
  interleave: {
    does: (disk) => read(disk, 1),
    answers: [{ dataIn: { length: 2080 } }, { dataIn: { length: 2048 } }],
  },
};

for (const [name, { disk: options = {}, does, answers }] of Object.entries(SEEN)) {
  t.test(`${name}: the second value does otherwise`, async (t) => {
    const values = CHOICES[name as keyof Behaviour];
    t.equal(values.length, answers.length);
    for (const [i, value] of values.entries()) {
      const disk = await ready({ type: 1, ...options, behaviour: { [name]: value } });
      t.match(does(disk), answers[i]!, value);
    }
  });
}

t.test('what writes is refused without tuples by RWWP', async (t) => {
  const disk = await ready();
  control(disk, 0, 0x90);
  const data = plain(wire(16, 4));
  for (const [name, bytes] of [
    ['WRITE(16)', data],
    ['WRITE AND VERIFY(16)', data],
    ['WRITE SAME(16)', data.subarray(0, 512)],
    ['ORWRITE(16)', data],
    ['COMPARE AND WRITE', Buffer.concat([data, data])],
    ['WRITE ATOMIC(16)', data],
  ] as const) {
    t.match(ask(disk, name, range, bytes), { ...INVALID_FIELD, pointer: { byte: 1, bit: 7 } }, name);
  }
  t.match(write(disk, wire(16, 4), 1), GOOD);
});

t.test('data-out is checked by all that takes it', async (t) => {
  const spoilt = wire(16, 4, at(2, { guard: 1 }));
  for (const [name, bytes] of [
    ['COMPARE AND WRITE', Buffer.concat([wire(16, 4), spoilt])],
    ['COMPARE AND WRITE', Buffer.concat([spoilt, wire(16, 4)])],
    ['ORWRITE(16)', spoilt],
    ['WRITE AND VERIFY(16)', spoilt],
    ['WRITE ATOMIC(16)', spoilt],
  ] as const) {
    const disk = await ready({ behaviour: { writeBeforeError: 'stored' } });
    write(disk, wire(16, 4));
    t.match(ask(disk, name, { ...range, protect: 1 }, bytes), { ...GUARD, information: 18n }, name);
    const whole = name !== 'WRITE AND VERIFY(16)';
    if (whole) t.same(Buffer.from(read(disk).dataIn), Buffer.from(wire(16, 4)), `${name}: all or nothing`);
  }
});

t.test('the medium is checked by all that reads it', async (t) => {
  for (const name of ['COMPARE AND WRITE', 'ORWRITE(16)', 'VERIFY(16)', 'READ(16)']) {
    const disk = await ready();
    write(disk, wire(16, 4, at(2, { ref: 1 })));
    const one = wire(16, 4);
    const sent: Record<string, Uint8Array> = {
      'COMPARE AND WRITE': Buffer.concat([one, one]),
      'ORWRITE(16)': one,
    };
    t.match(
      ask(disk, name, { ...range, protect: name === 'VERIFY(16)' ? 0 : 1 }, sent[name]),
      { ...REF, information: 18n },
      name,
    );
  }
  const disk = await ready();
  disk.addFault({ kind: 'ref', on: 'write', lba: 18n, blocks: 1n });
  const answer = ask(disk, 'WRITE AND VERIFY(16)', { ...range, protect: 1 }, wire(16, 4));
  t.match(answer, { ...REF, information: 18n }, 'WRITE AND VERIFY reads what it wrote');
});

t.test('application tags: the mask has all its bits, and a scattered range has its own', async (t) => {
  const disk = await ready({ type: 2 });
  const apps = wire(16, 4, () => ({ app: 0x1234 }));
  for (const [mask, answer] of [
    [0xff00, APP],
    [0x00ff, GOOD],
  ] as const) {
    const fields = { protect: 1, appTag: 0x5634, appTagMask: mask };
    t.match(told(disk, 'WRITE(32)', fields, apps), answer, `mask ${mask.toString(16)}`);
  }
  const list = new Uint8Array(520 + 520);
  const view = new DataView(list.buffer);
  view.setBigUint64(32, 16n);
  view.setUint32(40, 1);
  view.setUint32(44, 16);
  view.setUint16(48, 0x1111);
  view.setUint16(50, 0xffff);
  list.set(apps.subarray(0, 520), 520);
  const scattered = () =>
    ask(disk, 'WRITE SCATTERED(32)', { ranges: 1, dataOffset: 1, blocks: 2, protect: 1 }, list);
  t.match(scattered(), APP);
  view.setUint16(48, 0x1234);
  t.match(scattered(), GOOD);
});

t.test('ATO 0: the application tag is the disk’s, and what is escaped stays so', async (t) => {
  const disk = await ready();
  control(disk, 0, 0);
  t.match(
    write(
      disk,
      wire(16, 4, () => ({ app: 7 })),
      1,
    ),
    GOOD,
  );
  t.equal(read(disk).dataIn[515], 0, 'another tag');
  t.match(
    write(
      disk,
      wire(16, 4, () => ({ app: 0xffff, guard: 1 })),
      1,
    ),
    GOOD,
  );
  t.match(read(disk, 1), GOOD, 'and can be read again');
  const ones = wire(16, 1, () => ({ guard: 0xffff, app: 0xffff, ref: 0xffffffff }));
  t.match(ask(disk, 'WRITE SAME(16)', { ...range, protect: 1 }, ones), GOOD);
  t.same([...read(disk).dataIn.subarray(512, 520)], new Array(8).fill(0xff), 'WRITE SAME of all ones');
  const two = await ready({ type: 2 });
  control(two, 0, 0);
  t.match(told(two, 'WRITE(32)', {}, plain(wire(16, 4))), GOOD);
  t.match(told(two, 'READ(32)', { protect: 1 }), GOOD, 'type 2, written without a tuple');
  const three = await ready({ type: 3 });
  write(
    three,
    wire(16, 4, () => ({ ref: 5 })),
  );
  const other = wire(16, 4, () => ({ ref: 6 }));
  const compare = () => ask(three, 'VERIFY(16)', { ...range, byteCheck: 1, protect: 3 }, other);
  t.match(compare(), GOOD, 'type 3 with ATO 1 has no reference tag');
  control(three, 0, 0);
  t.match(compare(), check('0Eh/10h/03h'), 'with ATO 0 it has');
});

t.test('NO_PI_CHK: a plain read is not checked', async (t) => {
  const answers = await Promise.all(
    [false, true].map(async (noPiCheck) => {
      const disk = await ready({ noPiCheck });
      write(disk, wire(16, 4, at(0, { guard: 1 })));
      const page = ask(disk, 'INQUIRY', { evpd: true, page: 0x86, allocationLength: 64 }).dataIn;
      t.equal((page[7]! & 0x20) !== 0, noPiCheck);
      t.match(read(disk, 1), GUARD);
      return read(disk, 0);
    }),
  );
  t.match(answers, [GUARD, GOOD]);
});

t.test('WRITE SAME: checked and stored, or let go', async (t) => {
  const disk = await ready();
  const zeros = (fields: TupleFields) => {
    const bytes = new Uint8Array(520);
    const view = new DataView(bytes.buffer);
    const { guard = 0, app = 0, ref = 16 } = fields;
    view.setUint16(512, guard);
    view.setUint16(514, app);
    view.setUint32(516, ref);
    return bytes;
  };
  const same = (bytes?: Uint8Array, more: object = {}) =>
    ask(disk, 'WRITE SAME(16)', { ...range, unmap: true, protect: 1, ...more }, bytes);
  const state = () => ask(disk, 'GET LBA STATUS(16)', { lba: 16n, allocationLength: 24 }).dataIn[20];
  t.match(same(zeros({ guard: 1 })), { ...GUARD, information: 16n }, 'a bad guard');
  t.match(same(zeros({ app: 0x1234 })), GOOD);
  t.same([...read(disk).dataIn.subarray(512, 520)], [0, 0, 0x12, 0x34, 0, 0, 0, 16], 'its tuple is kept');
  t.equal(state(), 0, 'mapped');
  t.match(same(zeros({ guard: 0xffff, app: 0xffff, ref: 0xffffffff })), GOOD);
  t.equal(state(), 1, 'what reads the same all the same is let go');
  t.match(same(undefined, { noDataOut: true, unmap: false }), GOOD);
  t.same([...read(disk).dataIn.subarray(512, 520)], new Array(8).fill(0xff), 'NDOB: zeros under ones');
  t.equal(state(), 0);
  write(
    disk,
    wire(16, 4, () => ({ guard: 0xffff, app: 0xffff, ref: 0xffffffff })),
  );
  const ones = wire(16, 1, () => ({ guard: 0xffff, app: 0xffff, ref: 0xffffffff }));
  ask(disk, 'WRITE SAME(16)', { ...range, protect: 1 }, ones);
  t.match(
    ask(disk, 'VERIFY(16)', { ...range, byteCheck: 3, protect: 3 }, ones),
    GOOD,
    'ones are not counted up',
  );
  t.match(ask(disk, 'UNMAP', { anchor: true, parameterListLength: 0 }), {
    ...INVALID_FIELD,
    pointer: { byte: 1, bit: 0 },
  });
});

t.test('data-out that is shorter than its CDB says', async (t) => {
  const disk = await ready();
  const short = check('0Bh/0Eh/01h');
  t.match(ask(disk, 'UNMAP', { parameterListLength: 24 }, new Uint8Array(8)), short);
  t.match(
    ask(disk, 'MODE SELECT(10)', { pageFormat: true, parameterListLength: 40 }, new Uint8Array(20)),
    short,
  );
  t.match(ask(disk, 'WRITE(16)', range, new Uint8Array(512)), short);
});

t.test('COMPARE AND WRITE: INFORMATION counts the tuples that crossed', async (t) => {
  const disk = await ready();
  write(disk, wire(16, 4));
  const [wanted, fresh] = [wire(16, 4), wire(16, 4)];
  wanted[2 * 520 + 5]! ^= 1;
  const answer = ask(disk, 'COMPARE AND WRITE', { ...range, protect: 3 }, Buffer.concat([wanted, fresh]));
  t.match(answer, { sense: '0Eh/1Dh/00h', information: BigInt(2 * 520 + 5) });
});

t.test('FORMAT UNIT: SWP, its list, and a capacity that comes back', async (t) => {
  const disk = await ready();
  control(disk, 0, 0x80);
  const format = (list: number[], more: object = {}) =>
    ask(disk, 'FORMAT UNIT', { formatData: true, ...more }, Uint8Array.from(list));
  const invalid = (byte: number) => ({ sense: '05h/26h/00h', pointer: { inCdb: false, byte } });
  t.match(format([0xf8, 0, 0, 0]), invalid(0), 'reserved bits');
  t.match(format([0, 0x20, 0, 0]), invalid(1), 'options that are not said to be valid');
  t.match(format([0, 0x88, 0, 0]), invalid(1), 'an initialization pattern');
  t.match(format([0, 0, 0, 8]), check('05h/1Ah/00h'), 'defects that do not come');
  t.match(format([0, 0x82, 0, 0]), GOOD);
  ask(disk, 'TEST UNIT READY', {});
  const shrink = (blocks: number, blockSize: number) => {
    const list = new Uint8Array(12);
    list[3] = 8;
    new DataView(list.buffer).setUint32(4, blocks);
    new DataView(list.buffer).setUint32(8, blockSize);
    return ask(disk, 'MODE SELECT(6)', { pageFormat: true, parameterListLength: 12 }, list);
  };
  const formatted = () => {
    t.match(ask(disk, 'FORMAT UNIT', {}), GOOD);
    ask(disk, 'TEST UNIT READY', {});
    return [disk.format.blocks, disk.format.blockSize];
  };
  shrink(0, 4096);
  shrink(0, 512);
  t.same(formatted(), [4096, 512], 'asked for and withdrawn');
  shrink(100, 512);
  t.same(formatted(), [100, 512]);
  shrink(0, 512);
  t.same(formatted(), [100, 512], '0: as it is');
  shrink(0xffffffff, 512);
  t.same(formatted(), [4096, 512], 'all ones: as many as there is room for');
  shrink(0, 4096);
  t.same(formatted(), [512, 4096]);
  const list = Uint8Array.of(0, 0, 0, 0, 0x0a, 0x0a, 0, 0x10, 0x08, 0x80, 0, 0, 0, 0, 0, 0);
  ask(disk, 'MODE SELECT(6)', { pageFormat: true, parameterListLength: 16 }, list);
  t.match(ask(disk, 'FORMAT UNIT', {}), check('07h/27h/02h'), 'SWP');
});

t.test('what the disk says of itself is so', async (t) => {
  const one = await ready({ supportedTypes: [2, 1, 2] });
  const spt = ask(one, 'INQUIRY', { evpd: true, page: 0x86, allocationLength: 64 }).dataIn[4]!;
  t.equal((spt >> 3) & 7, 0b001, 'SPT of types 1 and 2, in whatever order');
  const only = await ready({ supportedTypes: [1] });
  t.match(told(only, 'READ(32)', {}), INVALID_OPCODE);
  const said = ask(only, 'REPORT SUPPORTED OPERATION CODES', {
    reportingOptions: 3,
    requestedOpcode: 0x7f,
    requestedServiceAction: 9,
    allocationLength: 64,
  });
  t.equal(said.dataIn[1]! & 7, 1, 'and not in the list of what there is');
  t.match(ask(one, 'PRE-FETCH(16)', { lba: 0n, blocks: 4000 }), GOOD);
  const scattered = ask(one, 'WRITE SCATTERED(16)', { ranges: 1, dataOffset: 1, blocks: 8193 });
  t.match(scattered, INVALID_FIELD, 'MAXIMUM TRANSFER LENGTH');
});

t.test('a file that cannot be written is an error of the medium', async (t) => {
  const file = `${t.testdir()}/disk`;
  const disk = await EmulatedDisk.create({ file, blocks: 2 ** 40 });
  ask(disk, 'TEST UNIT READY', {});
  // Further than any file system goes.
  const far = ask(disk, 'WRITE(16)', { lba: 2n ** 39n, blocks: 1 }, new Uint8Array(512));
  t.match(
    [GOOD, check('03h/0Ch/00h')].some((one) => one.sense === far.sense),
    true,
    far.sense || 'GOOD',
  );
  await disk.close();
  t.match(ask(disk, 'READ(16)', range), check('03h/11h/00h'), 'a closed file');
  t.match(ask(disk, 'WRITE(16)', range, new Uint8Array(2048)), check('03h/0Ch/00h'));
});
