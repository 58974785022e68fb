/** What commands alter: as it is predicted, and as the emulated disk holds it afterwards. */
import t, { type Test } from 'tap';
import { type CdbFields, COMMANDS, encodeCdb } from '../../src/scsi/commands.js';
import { type BlockContent, type EffectFormat, effectOf, hasEffect } from '../../src/scsi/effect.js';
import { encodeFormatList } from '../../src/scsi/format-unit.js';
import { encodeModeSelectList } from '../../src/scsi/mode-page.js';
import { encodeScatteredList } from '../../src/scsi/scattered.js';
import { encodeUnmapList } from '../../src/scsi/unmap.js';
import type { EmulatedDisk, EmulatedDiskOptions } from '../../src/testbed/disk/emulated-disk.js';
import { Random } from '../kernel/random.js';
import { type Answered, ask, plain, ready, send, wire } from '../testbed/disk/drive.js';

const FORMAT: EffectFormat = {
  blocks: 4096n,
  blockSize: 512,
  intervalsPerBlock: 1,
  physicalExponent: 0,
  lowestAlignedLba: 0,
  unmappedReadZeros: true,
};

const EIGHTHS = { ...FORMAT, blockSize: 4096, intervalsPerBlock: 8 };

const NOTHING = new Uint8Array(0);

function effect(name: string, fields: CdbFields, dataOut: Uint8Array = NOTHING, format = FORMAT) {
  return effectOf(encodeCdb(name, fields), dataOut, format);
}

const fill = (blocks: number, byte: number) => new Uint8Array(512 * blocks).fill(byte);

t.test('every command that can alter a disk is in the table', (t) => {
  for (const { name, readOnly } of COMMANDS) {
    if (readOnly === undefined) t.ok(hasEffect(name), name);
    if (readOnly === true) t.throws(() => effect(name, {}), { code: 'ERR_READ_ONLY' }, name);
  }
  t.notOk(hasEffect('constructor'));
  t.end();
});

/** Bytes as text: a Buffer and a Uint8Array are alike. */
const plainly = (content: BlockContent) =>
  'data' in content ? { is: content.is, data: Buffer.from(content.data).toString('hex') } : content;

t.test('blocks, and what they may hold', (t) => {
  const [a, b] = [fill(1, 0xa), fill(1, 0xb)];
  const both = Buffer.concat([a, b]);
  const data = { is: 'data', data: both };
  const tupled = wire(8, 2);
  const one = tupled.subarray(0, 520);
  for (const [name, fields, dataOut, runs] of [
    ['WRITE(6)', { lba: 8n, blocks: 2 }, both, [[8n, 2, [data]]]],
    ['WRITE(6)', { lba: 8n, blocks: 256 }, fill(256, 1), [[8n, 256, [{ is: 'data', data: fill(256, 1) }]]]],
    ['WRITE(16)', { lba: 8n, blocks: 2 }, both, [[8n, 2, [data]]]],
    ['WRITE(16)', { lba: 8n, blocks: 0 }, NOTHING, []],
    [
      'WRITE(32)',
      { lba: 8n, blocks: 2, protect: 5 },
      tupled,
      [[8n, 2, [{ is: 'data', data: plain(tupled) }]]],
    ],
    ['WRITE ATOMIC(16)', { lba: 8n, blocks: 2 }, both, [[8n, 2, [data]]]],
    ['WRITE STREAM(32)', { lba: 8n, blocks: 2 }, both, [[8n, 2, [data]]]],
    ['WRITE AND VERIFY(12)', { lba: 8n, blocks: 2, byteCheck: 1 }, both, [[8n, 2, [data]]]],
    [
      'WRITE AND VERIFY(10)',
      { lba: 8n, blocks: 2, protect: 1 },
      tupled,
      [
        [
          8n,
          2,
          [
            { is: 'data', data: plain(tupled) },
            { is: 'data', data: tupled.subarray(0, 1024) },
          ],
        ],
      ],
    ],
    ['WRITE SAME(10)', { lba: 8n, blocks: 5 }, a, [[8n, 5, [{ is: 'repeated', data: a }]]]],
    ['WRITE SAME(10)', { lba: 4090n, blocks: 0 }, a, [[4090n, 6, [{ is: 'repeated', data: a }]]]],
    [
      'WRITE SAME(16)',
      { lba: 8n, blocks: 5, protect: 1 },
      one,
      [[8n, 5, [{ is: 'repeated', data: plain(one) }]]],
    ],
    [
      'WRITE SAME(32)',
      { lba: 8n, blocks: 5, noDataOut: true },
      NOTHING,
      [[8n, 5, [{ is: 'repeated', data: fill(1, 0) }]]],
    ],
    [
      'WRITE SAME(16)',
      { lba: 8n, blocks: 5, unmap: true },
      a,
      [
        [
          8n,
          5,
          [
            { is: 'repeated', data: a },
            { is: 'repeated', data: fill(1, 0) },
          ],
        ],
      ],
    ],
    ['COMPARE AND WRITE', { lba: 8n, blocks: 1 }, both, [[8n, 1, [{ is: 'data', data: b }]]]],
    ['ORWRITE(16)', { lba: 8n, blocks: 2 }, both, [[8n, 2, [{ is: 'ored', data: both }]]]],
    [
      'ORWRITE(32)',
      { lba: 8n, blocks: 2, bitmaskOperation: 1 },
      both,
      [[8n, 2, [{ is: 'untold', why: /generation/ } as never]]],
    ],
    [
      'WRITE LONG(16)',
      { lba: 8n, writeUncorrectable: true, byteLength: 9 },
      NOTHING,
      [[8n, 1, [{ is: 'unreadable' }]]],
    ],
    [
      'WRITE LONG(10)',
      { lba: 8n, byteLength: 20 },
      new Uint8Array(20),
      [[8n, 1, [{ is: 'untold' } as never]]],
    ],
    ['UNMAP', { parameterListLength: 0 }, NOTHING, []],
  ] as const) {
    const found = effect(name, fields, dataOut);
    t.match(found, { kind: 'blocks' }, name);
    if (found.kind !== 'blocks') continue;
    const wanted = (runs as readonly (readonly [bigint, number, readonly BlockContent[]])[]).map(
      ([lba, blocks, may]) => ({ lba, blocks, may: may.map(plainly) }),
    );
    const got = found.altered.map((run) => ({ ...run, may: run.may.map(plainly) }));
    t.match(got, wanted, name);
    t.same(
      got.map(({ may }) => may.length),
      wanted.map(({ may }) => may.length),
    );
    t.equal(found.interleaved, 'protect' in fields && dataOut.length > 0);
  }
  t.end();
});

t.test('a disk that heeds the protect field in WRITE alone takes the first bytes for data', (t) => {
  const at = { lba: 8n, blocks: 2, protect: 1 };
  const out = wire(8, 2);
  const tags = { refTag: 0, appTag: 0, appTagMask: 0 };
  const list = encodeScatteredList(
    [
      { lba: 8n, blocks: 1, ...tags },
      { lba: 20n, blocks: 1, ...tags },
    ],
    520,
  );
  const scatter = { ranges: 2, dataOffset: 1, blocks: 2, protect: 1 };
  const whole = Buffer.concat([list, out]);
  const compared = Buffer.concat([wire(0, 2), out]);
  const half = new Uint8Array(4096 + 64).fill(3).with(512, 9);
  for (const [name, fields, dataOut, asIs, format = FORMAT] of [
    ['WRITE(16)', at, out, [null]],
    ['WRITE ATOMIC(16)', at, out, [out.subarray(0, 1024)]],
    ['WRITE STREAM(16)', at, out, [out.subarray(0, 1024)]],
    ['ORWRITE(16)', at, out, [out.subarray(0, 1024)]],
    ['COMPARE AND WRITE', at, compared, [compared.subarray(1024, 2048)]],
    ['WRITE SCATTERED(16)', scatter, whole, [whole.subarray(512, 1024), whole.subarray(1024, 1536)]],
    ['WRITE SAME(16)', at, half, [half.subarray(0, 4096)], EIGHTHS],
    ['WRITE AND VERIFY(16)', { ...at, blocks: 1 }, out.subarray(0, 520), [null]],
  ] as const) {
    const found = effect(name, fields, dataOut, format);
    const altered = found.kind === 'blocks' ? found.altered : [];
    const second = altered.map(({ may: [, one] }) => (one && 'data' in one ? Buffer.from(one.data) : null));
    t.same(
      second,
      asIs.map((one) => one && Buffer.from(one)),
      name,
    );
  }
  t.end();
});

t.test('lists of ranges', (t) => {
  const ranges = [
    { lba: 8n, blocks: 3 },
    { lba: 0xffff_ffff_ffffn, blocks: 0 },
    { lba: 100n, blocks: 1 },
  ];
  const list = encodeUnmapList(ranges);
  const zeros = [{ is: 'repeated', data: fill(1, 0) }];
  const fields = { parameterListLength: list.length };
  t.match(effect('UNMAP', fields, list), {
    altered: [
      { ...ranges[0], may: zeros },
      { ...ranges[2], may: zeros },
    ],
  });
  const untold = effect('UNMAP', fields, list, { ...FORMAT, unmappedReadZeros: false });
  t.match(untold, { altered: [{ may: [{ is: 'untold', why: /LBPRZ 0/ }] }, {}] });
  for (const [at, byte] of [
    [1, 53],
    [1, 55],
    [3, 47],
    [3, 32],
    [2, 1],
  ] as const) {
    const odd = Uint8Array.from(list);
    odd[at] = byte;
    t.throws(
      () => effect('UNMAP', fields, odd),
      { code: 'ERR_USAGE', message: /lengths do not fit/ },
      `byte ${at}`,
    );
  }
  for (const length of [1, 7, list.length - 1, list.length + 1]) {
    const odd = new Uint8Array(length);
    odd.set(list.subarray(0, length));
    t.throws(
      () => effect('UNMAP', { parameterListLength: length }, odd),
      { code: 'ERR_USAGE' },
      `${length} bytes`,
    );
  }

  const tags = { refTag: 0, appTag: 0, appTagMask: 0 };
  const scattered = [
    { lba: 8n, blocks: 2, ...tags },
    { lba: 7n, blocks: 0, ...tags },
    { lba: 20n, blocks: 1, ...tags },
  ];
  const content = Buffer.concat([fill(2, 1), fill(1, 2)]);
  const buffer = Buffer.concat([encodeScatteredList(scattered, 1024), content]);
  const scatter = { ranges: 3, dataOffset: 2, blocks: 3 };
  for (const blocks of [3, 5]) {
    t.match(effect('WRITE SCATTERED(16)', { ...scatter, blocks }, buffer), {
      altered: [
        { lba: 8n, blocks: 2, may: [{ is: 'data', data: content.subarray(0, 1024) }] },
        { lba: 20n, blocks: 1, may: [{ is: 'data', data: content.subarray(1024) }] },
      ],
    });
  }
  for (const blocks of [0, 2, 4, 6]) {
    t.throws(() => effect('WRITE SCATTERED(16)', { ...scatter, blocks }, buffer), { code: 'ERR_USAGE' });
  }
  for (const odd of [{ dataOffset: 0 }, { ranges: 0xffff }, { ranges: 32, dataOffset: 1 }]) {
    t.throws(() => effect('WRITE SCATTERED(32)', { ...scatter, ...odd }, buffer), { code: 'ERR_USAGE' });
  }
  t.throws(() => effect('WRITE SCATTERED(16)', scatter, buffer.subarray(0, 1023)), { code: 'ERR_USAGE' });
  t.throws(() => effect('WRITE SCATTERED(16)', scatter, buffer.subarray(1)), {
    code: /^ERR_(BAD_LENGTH|USAGE)$/,
  });
  t.match(effect('WRITE SCATTERED(16)', {}), { altered: [] });
  t.end();
});

t.test('what else', (t) => {
  const page = [0x0a, 0x0a, 0, 0x10, 0, 0x80, 0, 0, 0, 0, 0, 0];
  for (const size of [6, 10] as const) {
    const list = encodeModeSelectList([Uint8Array.from(page)], size);
    const fields = { pageFormat: true, parameterListLength: list.length };
    const select = (more: CdbFields, bytes = list) =>
      effect(`MODE SELECT(${size})`, { ...fields, parameterListLength: bytes.length, ...more }, bytes);
    const found = select({});
    t.match(found, {
      kind: 'mode pages',
      saves: false,
      resets: false,
      resizes: false,
      pages: [{ page: 0x0a, subpage: 0 }],
    });
    t.match(select({ savePages: true }), { saves: true });
    t.match(select({ revertToDefaults: true }, NOTHING), { resets: true, pages: [] });
    const sized = encodeModeSelectList([], size, { blocks: 0n, blockSize: 512 });
    t.match(select({}, sized), { resizes: true, pages: [] });
    t.throws(() => select({ pageFormat: false }), { code: 'ERR_USAGE', message: /PF/ });
    for (const length of [1, size === 6 ? 3 : 7, list.length - 1, list.length - 11]) {
      t.throws(() => select({}, list.subarray(0, length)), { code: 'ERR_USAGE' }, `${size}: ${length} bytes`);
    }
    t.throws(() => select({}, sized.subarray(0, -1)), { code: 'ERR_USAGE' });
    t.throws(() => select({ parameterListLength: 99 }), { code: 'ERR_BAD_LENGTH', message: /20|16/ });
  }
  const whole = { kind: 'whole medium' };
  t.same(effect('FORMAT UNIT', {}), whole);
  const short = encodeFormatList('short', { defectListLength: 4 });
  t.same(effect('FORMAT UNIT', { formatData: true }, Buffer.concat([short, new Uint8Array(4)])), whole);
  t.throws(() => effect('FORMAT UNIT', { formatData: true }, short), {
    code: 'ERR_BAD_LENGTH',
    message: /8 are/,
  });
  t.throws(() => effect('FORMAT UNIT', { formatData: true }, short.subarray(1)), { code: 'ERR_USAGE' });
  t.throws(() => effect('FORMAT UNIT', {}, short), { code: 'ERR_BAD_LENGTH' });
  const long = encodeFormatList('long', { initializationPattern: true });
  const patterned = Buffer.concat([long, Uint8Array.of(0, 1, 0, 2, 7, 7)]);
  t.same(effect('FORMAT UNIT', { formatData: true, longList: true }, patterned), whole);
  t.throws(() => effect('FORMAT UNIT', { formatData: true, longList: true }, long), { code: 'ERR_USAGE' });
  for (const name of [
    'START STOP UNIT',
    'SYNCHRONIZE CACHE(16)',
    'PREVENT ALLOW MEDIUM REMOVAL',
    'VERIFY(10)',
  ]) {
    t.same(effect(name, {}), { kind: 'unit' }, name);
    t.throws(() => effect(name, {}, fill(1, 1)), { code: 'ERR_BAD_LENGTH' });
  }
  t.same(effect('SEND DIAGNOSTIC', { selfTest: true }), { kind: 'unit' });
  for (const [name, fields] of [
    ['SEND DIAGNOSTIC', { selfTest: true, unitOffline: true }],
    ['SEND DIAGNOSTIC', { selfTest: true, deviceOffline: true }],
    ['SEND DIAGNOSTIC', { parameterListLength: 4 }],
    ['WRITE BUFFER', { bufferMode: 5, parameterListLength: 4 }],
    ['RESET WRITE POINTER', { allZones: true }],
    ['FINISH ZONE', { lba: 0n }],
  ] as const) {
    const bytes = 'parameterListLength' in fields ? 4 : 0;
    t.same(effect(name, fields, new Uint8Array(bytes)), whole, name);
    t.throws(() => effect(name, fields, new Uint8Array(5)), { code: 'ERR_BAD_LENGTH' });
  }
  t.same(effect('VERIFY(16)', { blocks: 3, byteCheck: 3, protect: 1 }, new Uint8Array(520)), {
    kind: 'unit',
  });
  t.same(effect('VERIFY(16)', { blocks: 3, byteCheck: 1 }, fill(3, 1)), { kind: 'unit' });
  t.throws(() => effect('VERIFY(16)', { blocks: 3, byteCheck: 2 }), { code: 'ERR_USAGE' });
  t.end();
});

t.test('what is refused', (t) => {
  const none = (cdb: Uint8Array) => effectOf(cdb, NOTHING, FORMAT);
  t.throws(() => none(Uint8Array.of(0xc0, 0, 0, 0, 0, 0)), { code: 'ERR_READ_ONLY', message: /not known/ });
  t.throws(() => none(encodeCdb('LOG SENSE', { savePages: true })), { code: 'ERR_READ_ONLY' });
  const cdb = encodeCdb('WRITE(32)', {});
  t.throws(() => none(cdb.subarray(0, 31)), { code: 'ERR_USAGE', message: /32 bytes: 31 are given/ });
  t.throws(() => none(cdb.with(7, 0x20)), { code: 'ERR_USAGE', message: /ADDITIONAL CDB LENGTH/ });
  t.throws(() => none(Uint8Array.from([...encodeCdb('WRITE(10)', {}), 0])), { code: 'ERR_USAGE' });
  for (const protect of [6, 7]) {
    for (const name of ['WRITE(10)', 'WRITE SAME(16)', 'ORWRITE(32)', 'WRITE SCATTERED(16)', 'VERIFY(12)']) {
      t.throws(
        () => effect(name, { protect }),
        { code: 'ERR_USAGE', message: /reserved/ },
        `${name} ${protect}`,
      );
    }
  }
  for (const [name, at, bits] of [
    ['WRITE SAME(10)', 1, 0x02],
    ['WRITE SAME(10)', 1, 0x04],
    ['WRITE(6)', 1, 0xe0],
    ['WRITE(6)', 5, 0x05],
    ['WRITE(10)', 1, 0x03],
    ['WRITE(16)', 15, 0x04],
    ['WRITE(32)', 1, 0x01],
    ['RESERVE(6)', 1, 0x10],
    ['SYNCHRONIZE CACHE(10)', 1, 0x04],
  ] as const) {
    const odd = encodeCdb(name, {});
    odd[at]! |= bits;
    const message = new RegExp(`byte ${at} .* 0?${bits.toString(16)}h$`);
    t.throws(() => none(odd), { code: 'ERR_USAGE', message }, `${name}, byte ${at}`);
  }
  const unprotected = { ...FORMAT, intervalsPerBlock: null };
  t.throws(() => effect('WRITE(16)', { blocks: 1, protect: 1 }, wire(0, 1), unprotected), {
    code: 'ERR_USAGE',
    message: /without protection/,
  });
  for (const bytes of [0, 511, 513, 520, 1024]) {
    t.throws(() => effect('WRITE(16)', { blocks: 1 }, new Uint8Array(bytes)), {
      code: 'ERR_BAD_LENGTH',
      message: new RegExp(`${bytes} bytes, 512`),
    });
  }
  t.throws(() => effect('WRITE(16)', { blocks: 1, protect: 1 }, fill(1, 0)), { code: 'ERR_BAD_LENGTH' });
  t.match(effect('WRITE(32)', { blocks: 2, protect: 3 }, new Uint8Array(2 * (4096 + 64)), EIGHTHS), {
    kind: 'blocks',
  });
  for (const [name, fields] of [
    ['WRITE(16)', { lba: 4095n, blocks: 2 }],
    ['WRITE(16)', { lba: 0xffff_ffff_ffff_ffffn, blocks: 2 }],
    ['ORWRITE(16)', { lba: 4096n, blocks: 0 }],
    ['COMPARE AND WRITE', { lba: 4096n, blocks: 0 }],
    ['WRITE SAME(16)', { lba: 4096n, blocks: 0 }],
    ['WRITE SAME(16)', { lba: 4095n, blocks: 2 }],
    ['WRITE LONG(16)', { lba: 4096n, writeUncorrectable: true }],
  ] as const) {
    const bytes = name === 'WRITE(16)' ? fill(2, 0) : name === 'WRITE SAME(16)' ? fill(1, 0) : NOTHING;
    t.throws(() => effect(name, fields, bytes), { code: 'ERR_OUT_OF_RANGE', message: /0 to 4095/ }, name);
  }
  t.end();
});

t.test('WRITE LONG alters as much as the physical block', (t) => {
  const run = (lba: bigint, lowestAlignedLba: number, blocks = 4096n) => {
    const format = { ...FORMAT, physicalExponent: 3, lowestAlignedLba, blocks };
    const found = effect('WRITE LONG(16)', { lba, writeUncorrectable: true }, NOTHING, format);
    return found.kind === 'blocks' && found.altered.map(({ lba, blocks }) => [lba, blocks]);
  };
  t.same(run(8n, 0), [[8n, 8]]);
  t.same(run(15n, 0), [[8n, 8]]);
  t.same(run(8n, 7), [[7n, 8]]);
  t.same(run(6n, 7), [[0n, 7]], 'the first begins before the disk');
  t.same(run(4090n, 0, 4092n), [[4088n, 4]], 'the last ends behind it');
  t.end();
});

/** Blocks of the disk that the random commands go to. */
const BLOCKS = 64;

const SHAPES: readonly EmulatedDiskOptions[] = [
  { type: 0 },
  { type: 1 },
  { type: 1, blockSize: 4096 },
  { type: 2, blockSize: 4096, intervalExponent: 3 },
  { type: 3, thin: false },
  { type: 1, behaviour: { verifyProtect: 'ignored' } },
];

for (const shape of SHAPES) {
  t.test(`random commands: ${JSON.stringify(shape)}`, async (t) => {
    await using disk = await ready({ ...shape, blocks: BLOCKS });
    const random = new Random(4711);
    const counts = { good: 0, refused: 0, altered: 0 };
    for (let i = 0; i < 600; i++) step(t, disk, random, shape, counts);
    t.comment(JSON.stringify(counts));
    t.ok(counts.good > 200 && counts.refused > 50 && counts.altered > 500, 'some of each');
  });
}

const VERBS = [
  'WRITE(6)',
  'WRITE(10)',
  'WRITE(12)',
  'WRITE(16)',
  'WRITE(32)',
  'WRITE AND VERIFY(16)',
  'WRITE AND VERIFY(32)',
  'WRITE SAME(10)',
  'WRITE SAME(16)',
  'WRITE SAME(32)',
  'WRITE ATOMIC(16)',
  'WRITE STREAM(16)',
  'COMPARE AND WRITE',
  'ORWRITE(16)',
  'ORWRITE(32)',
  'WRITE LONG(10)',
  'WRITE LONG(16)',
  'UNMAP',
  'WRITE SCATTERED(16)',
  'WRITE SCATTERED(32)',
] as const;

function step(
  t: Test,
  disk: EmulatedDisk,
  random: Random,
  shape: EmulatedDiskOptions,
  counts: { good: number; refused: number; altered: number },
): void {
  const { type = 1, blockSize = 512, intervalExponent = 0 } = shape;
  const interval = blockSize >> intervalExponent;
  const name = random.pick(VERBS);
  const protect = type === 0 || name === 'WRITE(6)' || random.below(2) === 0 ? 0 : random.below(6);
  const lba = BigInt(random.below(BLOCKS - 8));
  const blocks = name.startsWith('WRITE SAME') && random.below(9) === 0 ? 0 : 1 + random.below(7);
  const bytes = (first: bigint, count: number) => {
    const made = wire(Number(first) << intervalExponent, count, () => ({}), {
      blockSize,
      interval,
      fill: random.below(256),
    });
    return protect === 0 ? plain(made, interval) : made;
  };
  const refTag = Number(lba) << intervalExponent;
  const tags = name.endsWith('(32)') && !name.startsWith('ORWRITE') ? { refTag } : {};
  const range = { lba, blocks, ...(protect > 0 && { protect }) };
  const made = ((): [CdbFields, Uint8Array] => {
    if (name === 'UNMAP') {
      const list = encodeUnmapList([
        { lba, blocks },
        { lba: BigInt(random.below(BLOCKS)), blocks: random.below(2) },
      ]);
      return [{ parameterListLength: list.length }, list];
    }
    if (name.startsWith('WRITE LONG')) return [{ lba, writeUncorrectable: true }, NOTHING];
    if (name.startsWith('WRITE SAME')) {
      const none = name !== 'WRITE SAME(10)' && random.below(3) === 0;
      const unmap = random.below(3) === 0;
      const zeros = new Uint8Array(blockSize + (protect === 0 ? 0 : 8 << intervalExponent));
      const one = random.below(3) === 0 ? zeros : bytes(lba, 1);
      return [{ ...range, ...tags, unmap, ...(none && { noDataOut: true }) }, none ? NOTHING : one];
    }
    if (name === 'COMPARE AND WRITE') {
      const there = random.below(2) === 0 ? bytes(lba, blocks) : onWire(disk, shape, lba, blocks, protect);
      return [range, Buffer.concat([there, bytes(lba, blocks)])];
    }
    if (name.startsWith('WRITE SCATTERED')) {
      const second = { lba: BigInt(random.below(BLOCKS)), blocks: random.below(3) };
      const list = [{ lba, blocks }, second].map((one) => ({
        ...one,
        refTag: Number(one.lba) << intervalExponent,
        appTag: 0,
        appTagMask: 0,
      }));
      const perBlock = bytes(0n, 1).length;
      const whole = random.below(2) === 0 ? 1 : 0;
      const fields = {
        ranges: 2,
        dataOffset: 1,
        blocks: whole + blocks + second.blocks,
        ...(protect > 0 && { protect }),
      };
      return [
        fields,
        Buffer.concat([
          encodeScatteredList(list, perBlock),
          bytes(lba, blocks),
          bytes(second.lba, second.blocks),
        ]),
      ];
    }
    return [{ ...range, ...tags }, bytes(lba, blocks)];
  })();
  const [fields, dataOut] = made;
  const format: EffectFormat = {
    blocks: BigInt(BLOCKS),
    blockSize,
    intervalsPerBlock: type === 0 ? null : 1 << intervalExponent,
    physicalExponent: 0,
    lowestAlignedLba: 0,
    unmappedReadZeros: shape.thin !== false,
  };
  const cdb = encodeCdb(name, fields);
  const said = `${name} ${JSON.stringify(fields, (_, value) => (typeof value === 'bigint' ? Number(value) : value))}`;
  const before = look(disk, shape);
  let effect: ReturnType<typeof effectOf>;
  try {
    effect = effectOf(cdb, dataOut, format);
  } catch {
    // Nothing that is on the disk as a whole is refused here.
    t.notOk(send(disk, cdb, dataOut).status === 0, said);
    return;
  }
  if (effect.kind !== 'blocks') return void t.fail(said);
  const { status } = send(disk, cdb, dataOut);
  const after = look(disk, shape);
  counts[status === 0 ? 'good' : 'refused']++;
  for (let at = 0; at < BLOCKS; at++) {
    const runs = effect.altered.filter(
      (run) => BigInt(at) >= run.lba && BigInt(at) < run.lba + BigInt(run.blocks),
    );
    const may = runs.flatMap((run) =>
      run.may.map((content) => held(content, at - Number(run.lba), before[at]!, blockSize)),
    );
    const now = after[at]!;
    if (now !== before[at]) counts.altered++;
    const allowed = status === 0 && runs.length > 0 && name !== 'UNMAP' ? may : [...may, before[at]!];
    if (!allowed.includes(now)) t.fail(`${said}: block ${at}: status ${status}`);
  }
}

/** A block as text; what lies there cannot be read where it begins with `bad`. */
const BAD = 'unreadable';
const asText = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

function held(content: BlockContent, index: number, before: string, size: number): string {
  const part = (bytes: Uint8Array) => bytes.subarray(index * size, (index + 1) * size);
  switch (content.is) {
    case 'data':
      return asText(part(content.data));
    case 'repeated':
      return asText(content.data);
    case 'ored':
      return asText(part(content.data).map((byte, i) => byte | before.charCodeAt(i)));
    default:
      return BAD;
  }
}

function readAt(
  disk: EmulatedDisk,
  { type = 1 }: EmulatedDiskOptions,
  lba: bigint,
  blocks: number,
  protect: number,
): Answered {
  const protection = type === 0 ? {} : { protect };
  return ask(disk, `READ(${type === 2 ? 32 : 16})`, { lba, blocks, ...protection });
}

function look(disk: EmulatedDisk, shape: EmulatedDiskOptions): string[] {
  const interval = (shape.blockSize ?? 512) >> (shape.intervalExponent ?? 0);
  return Array.from({ length: BLOCKS }, (_, at) => {
    const { status, dataIn } = readAt(disk, shape, BigInt(at), 1, 3);
    if (status !== 0) return BAD;
    return asText(shape.type === 0 ? dataIn : plain(dataIn, interval));
  });
}

/** What COMPARE AND WRITE would find there. */
function onWire(
  disk: EmulatedDisk,
  shape: EmulatedDiskOptions,
  lba: bigint,
  blocks: number,
  protect: number,
): Uint8Array {
  const { blockSize = 512, intervalExponent = 0 } = shape;
  const { status, dataIn } = readAt(disk, shape, lba, blocks, protect === 0 ? 0 : 3);
  const perBlock = blockSize + (protect === 0 ? 0 : 8 << intervalExponent);
  return status === 0 ? dataIn : new Uint8Array(blocks * perBlock);
}
