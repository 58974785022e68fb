/**
 * The protect tables of SBC-4, written down again by hand: for every type, protect field and tag, what becomes of a fault. Not one line
 * of the model's tables is used here.
 */
import t from 'tap';
import type { EmulatedDisk, EmulatedDiskOptions } from '../../../src/testbed/disk/emulated-disk.js';
import { type Answered, ask, check, GOOD, plain, ready, type TupleFields, wire } from './drive.js';

const LBA = 16;
const BLOCKS = 4;
/** The block with the fault: not the first. */
const BAD = 2;

type Tag = 'guard' | 'app' | 'ref';
const TAGS: readonly Tag[] = ['guard', 'app', 'ref'];
const REFUSED: Readonly<Record<Tag, string>> = {
  guard: '0Bh/10h/01h',
  app: '0Bh/10h/02h',
  ref: '0Bh/10h/03h',
};
const INVALID_FIELD = '05h/24h/00h';
const INVALID_OPCODE = '05h/20h/00h';

const spoilt =
  (tag: Tag) =>
  (i: number): TupleFields =>
    i === BAD ? { guard: { guard: 0x1234 }, app: { app: 0x0101 }, ref: { ref: 0x77 } }[tag] : {};

/** What a disk of type 2 is told to expect. */
const told = (lba = LBA) => ({ refTag: lba, appTag: 0, appTagMask: 0xffff });

/** By CDB length, of the verbs with a protect field. */
const lengthsOf = (type: number) => (type === 2 ? [32] : [10, 12, 16]);
const cdbFields = (length: number) => (length === 32 ? told() : {});

/** Plants tuples as they are: WRPROTECT 011b checks nothing. */
function plant(disk: EmulatedDisk, type: number, change?: (i: number) => TupleFields): void {
  const name = type === 2 ? 'WRITE(32)' : 'WRITE(16)';
  const fields = { lba: BigInt(LBA), blocks: BLOCKS, protect: 3, ...(type === 2 ? told() : {}) };
  const { status, sense } = ask(disk, name, fields, wire(LBA, BLOCKS, change));
  if (status !== 0) throw new Error(`planting: ${sense}`);
}

/** `g`, `a`, `r` for each tag that is checked of the medium, by RDPROTECT; of the application tag where it is known. */
const READ_CHECKS = ['gar', 'gar', 'ar', '', 'g', 'gar'];
/** Of what is sent, by WRPROTECT. */
const WRITE_CHECKS = ['', 'gar', 'ar', '', 'g', 'gar'];

const letter = (tag: Tag) => tag[0]!;

/** Only type 2 tells of tags: nobody else's application tag is known; type 3 has no reference tag to know. */
function knows(type: number, tag: Tag): boolean {
  if (tag === 'app') return type === 2;
  return tag === 'guard' || type !== 3;
}

const failing = ({ status, sense }: Answered) => ({ status, sense });

for (const type of [1, 2, 3] as const) {
  t.test(`type ${type}: RDPROTECT`, async (t) => {
    const disk = await ready({ type });
    for (const tag of [null, ...TAGS]) {
      plant(disk, type, tag === null ? undefined : spoilt(tag));
      for (const length of lengthsOf(type)) {
        for (const [protect, checks] of READ_CHECKS.entries()) {
          const read = ask(disk, `READ(${length})`, {
            lba: BigInt(LBA),
            blocks: BLOCKS,
            protect,
            ...cdbFields(length),
          });
          const what = `READ(${length}) protect ${protect}, ${tag ?? 'nothing'} bad`;
          const refused = tag !== null && checks.includes(letter(tag)) && knows(type, tag);
          t.same(failing(read), refused ? check(REFUSED[tag]) : GOOD, what);
          if (refused) t.equal(read.information, BigInt(LBA + BAD), `${what}: INFORMATION`);
          const sent = wire(LBA, BLOCKS, tag === null ? undefined : spoilt(tag));
          const expected = protect === 0 ? plain(sent) : sent;
          const bytes = refused ? (expected.length / BLOCKS) * BAD : expected.length;
          t.same(Buffer.from(read.dataIn), Buffer.from(expected.subarray(0, bytes)), `${what}: data`);
        }
      }
    }
  });

  t.test(`type ${type}: WRPROTECT`, async (t) => {
    const disk = await ready({ type });
    for (const length of lengthsOf(type)) {
      for (const verb of ['WRITE', 'WRITE AND VERIFY']) {
        for (const [protect, checks] of WRITE_CHECKS.entries()) {
          if (protect === 0) continue;
          for (const tag of [null, ...TAGS]) {
            plant(disk, type);
            const sent = wire(LBA, BLOCKS, tag === null ? undefined : spoilt(tag), { fill: 1 });
            const fields = { lba: BigInt(LBA), blocks: BLOCKS, protect, ...cdbFields(length) };
            const what = `${verb}(${length}) protect ${protect}, ${tag ?? 'nothing'} bad`;
            const answer = ask(disk, `${verb}(${length})`, fields, sent);
            const refused = tag !== null && checks.includes(letter(tag)) && knows(type, tag);
            t.same(failing(answer), refused ? check(REFUSED[tag]) : GOOD, what);
            const unchecked = { lba: BigInt(LBA), blocks: BLOCKS, protect: 3, ...cdbFields(length) };
            const stored = ask(disk, `READ(${length})`, unchecked).dataIn;
            t.same(Buffer.from(stored), Buffer.from(refused ? wire(LBA, BLOCKS) : sent), `${what}: stored`);
          }
        }
      }
    }
  });

  t.test(`type ${type}: VRPROTECT without data-out`, async (t) => {
    const disk = await ready({ type });
    for (const tag of TAGS) {
      plant(disk, type, spoilt(tag));
      for (const length of lengthsOf(type)) {
        for (const [protect, checks] of READ_CHECKS.entries()) {
          const fields = { lba: BigInt(LBA), blocks: BLOCKS, protect, ...cdbFields(length) };
          const refused = checks.includes(letter(tag)) && knows(type, tag);
          const answer = ask(disk, `VERIFY(${length})`, fields);
          t.same(
            failing(answer),
            refused ? check(REFUSED[tag]) : GOOD,
            `VERIFY(${length}) protect ${protect}, ${tag} bad`,
          );
        }
      }
    }
  });

  t.test(`type ${type}: commands of the other kind of length, and reserved fields`, async (t) => {
    const disk = await ready({ type });
    plant(disk, type);
    const range = { lba: BigInt(LBA), blocks: BLOCKS };
    for (const verb of ['READ', 'WRITE', 'VERIFY', 'WRITE AND VERIFY', 'WRITE SAME']) {
      if (type === 2) {
        for (const protect of [1, 3, 5])
          t.match(ask(disk, `${verb}(16)`, { ...range, protect }), check(INVALID_OPCODE));
      } else {
        t.match(ask(disk, `${verb}(32)`, { ...range, ...told() }), check(INVALID_OPCODE), `${verb}(32)`);
      }
      const [length] = lengthsOf(type).slice(-1);
      for (const protect of [6, 7]) {
        const answer = ask(disk, `${verb}(${length})`, { ...range, protect, ...cdbFields(length!) });
        t.match(answer, {
          ...check(INVALID_FIELD),
          pointer: { inCdb: true, byte: type === 2 ? 10 : 1, bit: 7 },
        });
      }
    }
  });
}

t.test('a disk without protection refuses every protect field', async (t) => {
  const disk = await ready({ type: 0 });
  const range = { lba: 0n, blocks: 1 };
  for (const name of [
    'READ(10)',
    'READ(12)',
    'READ(16)',
    'WRITE(16)',
    'VERIFY(16)',
    'COMPARE AND WRITE',
    'ORWRITE(16)',
  ]) {
    for (let protect = 1; protect < 8; protect++) {
      t.match(ask(disk, name, { ...range, protect }, wire(0, 1)), check(INVALID_FIELD), `${name} ${protect}`);
    }
  }
  t.match(ask(disk, 'READ(32)', range), check(INVALID_OPCODE));
});

t.test('escapes: the tags that say "do not check"', async (t) => {
  const garbage = { guard: 0x1234, app: 0xffff, ref: 0x77 };
  const cases: [1 | 2 | 3, TupleFields, string][] = [
    [1, garbage, ''],
    [2, garbage, ''],
    [3, garbage, '0Bh/10h/01h'],
    [3, { ...garbage, ref: 0xffffffff }, ''],
    [1, { ...garbage, app: 0xfffe }, '0Bh/10h/01h'],
    [1, { app: 0, ref: 0xffffffff }, '0Bh/10h/03h'],
  ];
  for (const [type, tuple, sense] of cases) {
    const disk = await ready({ type });
    plant(disk, type, () => tuple);
    const [length] = lengthsOf(type).slice(-1);
    const answer = ask(disk, `READ(${length})`, {
      lba: BigInt(LBA),
      blocks: BLOCKS,
      protect: 1,
      ...cdbFields(length!),
    });
    t.match(answer, sense === '' ? GOOD : check(sense), `type ${type} ${JSON.stringify(tuple)}`);
  }
});

t.test('what a write without tuples stores', async (t) => {
  const stored = async (type: 1 | 2 | 3, options: EmulatedDiskOptions = {}) => {
    const disk = await ready({ type, ...options });
    ask(disk, 'WRITE(16)', { lba: BigInt(LBA), blocks: 1 }, plain(wire(LBA, 1)));
    const [length] = lengthsOf(type).slice(-1);
    const fields = { lba: BigInt(LBA), blocks: 1, protect: 3, ...cdbFields(length!) };
    return Buffer.from(ask(disk, `READ(${length})`, fields).dataIn.subarray(512)).toString('hex');
  };
  const guard = Buffer.from(wire(LBA, 1).subarray(512, 514)).toString('hex');
  t.equal(await stored(1), `${guard}ffff00000010`);
  t.equal(await stored(2), `${guard}ffffffffffff`);
  t.equal(await stored(3), `${guard}ffffffffffff`);
  t.equal(await stored(1, { behaviour: { generatedAppTag: 'zero' } }), `${guard}000000000010`);
});

t.test('type 2: tags by the CDB', async (t) => {
  const disk = await ready({ type: 2 });
  const range = { lba: BigInt(LBA), blocks: BLOCKS };
  const app = (tag: number) => () => ({ app: tag });
  plant(disk, 2, app(0x1234));
  const read = (fields: object) => ask(disk, 'READ(32)', { ...range, protect: 1, refTag: LBA, ...fields });
  t.match(read({ appTag: 0x1234, appTagMask: 0xffff }), GOOD);
  t.match(read({ appTag: 0x1235, appTagMask: 0xffff }), {
    ...check('0Bh/10h/02h'),
    information: BigInt(LBA),
  });
  t.match(read({ appTag: 0x1235, appTagMask: 0xfffe }), GOOD, 'the bit that differs is masked');
  t.match(read({ appTag: 0, appTagMask: 0 }), GOOD);
  for (const [delta, protect, sense] of [
    [1, 1, '0Bh/10h/03h'],
    [-1, 2, '0Bh/10h/03h'],
    [1, 0, '0Bh/10h/03h'],
    [1, 3, ''],
    [1, 4, ''],
  ] as const) {
    const answer = read({ refTag: LBA + delta, protect });
    t.match(answer, sense === '' ? GOOD : check(sense), `reference tag ${delta}, protect ${protect}`);
  }
  t.match(ask(disk, 'READ(16)', range), GOOD, 'a short command knows no reference tag');
  // The tag wraps at 32 bits, wherever the block lies.
  const wraps = wire(0xfffffffe, BLOCKS);
  const from = { ...range, protect: 1, refTag: 0xfffffffe };
  t.match(ask(disk, 'WRITE(32)', from, wraps), GOOD);
  t.match(ask(disk, 'READ(32)', from), GOOD);
});

t.test('several tuples a block', async (t) => {
  const disk = await ready({ type: 2, blockSize: 4096, intervalExponent: 3, blocks: 64 });
  const sizes = { blockSize: 4096, interval: 512 };
  const range = { lba: 8n, blocks: 2, protect: 1, refTag: 100 };
  t.match(ask(disk, 'WRITE(32)', range, wire(100, 2, undefined, sizes)), GOOD);
  const read = ask(disk, 'READ(32)', range);
  t.same(Buffer.from(read.dataIn), Buffer.from(wire(100, 2, undefined, sizes)));
  const bad = wire(100, 2, (i) => (i === 13 ? { ref: 1 } : {}), sizes);
  t.match(
    ask(disk, 'WRITE(32)', range, bad),
    { ...check('0Bh/10h/03h'), information: 9n },
    'the sixth of block 9',
  );
});

t.test('mode bits: DPICZ, RWWP, ATO, ATMPE', async (t) => {
  const disk = await ready({ type: 1 });
  const range = { lba: BigInt(LBA), blocks: BLOCKS };
  const set = (byte2: number, byte5: number) => {
    const list = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0x0a, byte2, 0x10, 0, byte5, 0, 0, 0, 0, 0, 0);
    const answer = ask(disk, 'MODE SELECT(10)', { pageFormat: true, parameterListLength: list.length }, list);
    t.match(answer, GOOD, 'MODE SELECT');
  };
  plant(disk, 1, spoilt('guard'));
  t.match(ask(disk, 'READ(16)', range), check('0Bh/10h/01h'));
  set(0x08, 0x80);
  t.match(ask(disk, 'READ(16)', range), GOOD, 'DPICZ: nothing is checked that does not cross');
  t.match(ask(disk, 'VERIFY(16)', range), GOOD);
  t.match(ask(disk, 'READ(16)', { ...range, protect: 1 }), check('0Bh/10h/01h'));
  set(0x00, 0x90);
  t.match(ask(disk, 'WRITE(16)', range, plain(wire(LBA, BLOCKS))), {
    ...check(INVALID_FIELD),
    pointer: { inCdb: true, byte: 1, bit: 7 },
  });
  t.match(ask(disk, 'WRITE(16)', { ...range, protect: 1 }, wire(LBA, BLOCKS)), GOOD, 'RWWP: with tuples');

  set(0x00, 0xa0);
  const page = new Uint8Array(8 + 4 + 12 + 4 * 24);
  page.set([0x4a, 0x02, 0, 12 + 96], 8);
  const view = new DataView(page.buffer);
  const descriptor = (k: number, last: boolean, tag: number, first: bigint, count: bigint) => {
    const at = 24 + 24 * k;
    view.setUint8(at, last ? 0x80 : 0);
    view.setUint16(at + 6, tag);
    view.setBigUint64(at + 8, first);
    view.setBigUint64(at + 16, count);
  };
  const select = () =>
    ask(disk, 'MODE SELECT(10)', { pageFormat: true, parameterListLength: page.length }, page);
  descriptor(0, false, 0x1111, 0n, 18n);
  descriptor(1, true, 0x2222, 18n, 4078n);
  t.match(select(), GOOD);
  const tagged = (i: number) => ({ app: i < 2 ? 0x1111 : 0x2222 });
  t.match(ask(disk, 'WRITE(16)', { ...range, protect: 1 }, wire(LBA, BLOCKS, tagged)), GOOD);
  t.match(ask(disk, 'WRITE(16)', { ...range, protect: 1 }, wire(LBA, BLOCKS)), check('0Bh/10h/02h'), 'ATMPE');
  descriptor(1, true, 0x2222, 18n, 4079n);
  t.match(select(), check('05h/26h/00h'), 'the ranges end with the disk');
  set(0x00, 0x00);
  t.match(ask(disk, 'WRITE(16)', { ...range, protect: 1 }, wire(LBA, BLOCKS)), GOOD, 'ATO 0: nobody knows');
});

t.test('which checks VPD 86h says there are', async (t) => {
  const disk = await ready({ type: 1, checks: { guard: false } });
  plant(disk, 1, spoilt('guard'));
  t.match(ask(disk, 'READ(16)', { lba: BigInt(LBA), blocks: BLOCKS, protect: 1 }), GOOD);
  plant(disk, 1, spoilt('ref'));
  t.match(ask(disk, 'READ(16)', { lba: BigInt(LBA), blocks: BLOCKS, protect: 1 }), check('0Bh/10h/03h'));
  const page = ask(disk, 'INQUIRY', { evpd: true, page: 0x86, allocationLength: 64 }).dataIn;
  t.equal(page[4]! & 0x07, 0b011);
});
