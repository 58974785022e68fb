/** Faults on demand and presets: each does what it says, where it says, and is counted. */
import t from 'tap';
import { encodeUnmapList } from '../../../src/scsi/unmap.js';
import type { EmulatedDisk, EmulatedDiskOptions } from '../../../src/testbed/disk/emulated-disk.js';
import { FAULT_KINDS, type FaultKindName, type FaultSpec } from '../../../src/testbed/disk/model/faults.js';
import { PRESETS } from '../../../src/testbed/disk/model/presets.js';
import { ask, check, GOOD, plain, ready, wire } from './drive.js';

const range = { lba: 16n, blocks: 4 };
const GUARD = check('0Bh/10h/01h');
const REF = check('0Bh/10h/03h');
const old = wire(16, 4);
const fresh = wire(16, 4, undefined, { fill: 5 });

async function written(options: EmulatedDiskOptions = {}): Promise<EmulatedDisk> {
  const disk = await ready({ type: 1, ...options });
  ask(disk, 'WRITE(16)', { ...range, protect: 1 }, old);
  return disk;
}

const read = (disk: EmulatedDisk, protect = 1) => ask(disk, 'READ(16)', { ...range, protect });
const write = (disk: EmulatedDisk, protect = 1, bytes = fresh) =>
  ask(disk, 'WRITE(16)', { ...range, protect }, bytes);
const verify = (disk: EmulatedDisk) => ask(disk, 'VERIFY(16)', range);

const tested = new Set<FaultKindName>();

async function struck(spec: FaultSpec, options?: EmulatedDiskOptions): Promise<EmulatedDisk> {
  tested.add(spec.kind);
  const disk = await written(options);
  disk.addFault(spec);
  return disk;
}

t.test('a fault of the medium is refused on reading, one of the wire is delivered', async (t) => {
  const spoils: [FaultKindName, ReturnType<typeof check>, number, number][] = [
    ['data', GUARD, 2 * 520, 1],
    ['guard', GUARD, 2 * 520 + 512, 1],
    ['ref', REF, 2 * 520 + 516, 1],
  ];
  for (const [kind, refused, at, bit] of spoils) {
    const spec: FaultSpec = { kind, on: 'read', lba: 18n, blocks: 1n };
    const medium = read(await struck(spec));
    t.match(medium, { ...refused, information: 18n }, `${kind} on the medium`);
    const { status, dataIn } = read(await struck({ ...spec, place: 'wire' }));
    t.equal(status, 0, `${kind} on the wire`);
    const expected = Buffer.from(old);
    expected[at]! ^= bit;
    t.same(Buffer.from(dataIn), expected);
  }
  const apps = read(await struck({ kind: 'app', on: 'read', place: 'wire' }));
  t.match(apps, GOOD);
  t.equal(apps.dataIn[514], old[514]! ^ 1);
});

t.test('a fault of the wire is refused on writing, one behind the check lies in wait', async (t) => {
  for (const [kind, refused] of [
    ['data', GUARD],
    ['guard', GUARD],
    ['ref', REF],
  ] as const) {
    const spec: FaultSpec = { kind, on: 'write', lba: 17n, blocks: 1n };
    const wireFault = await struck({ ...spec, place: 'wire' });
    t.match(write(wireFault), { ...refused, information: 17n }, `${kind} on the wire`);
    wireFault.clearFaults();
    t.same(Buffer.from(read(wireFault).dataIn), Buffer.from(old), 'nothing was written');
    const latent = await struck(spec);
    t.match(write(latent), GOOD, `${kind} behind the check`);
    latent.clearFaults();
    t.match(read(latent), { ...refused, information: 17n }, 'found when it is read');
    t.match(verify(latent), refused);
    t.match(read(latent, 3), GOOD, 'but for who does not want to know');
  }
});

t.test('what hides from every check of a guard', async (t) => {
  const stale = await struck({ kind: 'stale' });
  t.match(write(stale), GOOD);
  t.match(read(stale), GOOD);
  t.same(Buffer.from(read(stale).dataIn), Buffer.from(old), 'the old blocks under their old tuples');

  const torn = await struck({ kind: 'torn' });
  t.match(write(torn), GOOD);
  const half = Buffer.concat([fresh.subarray(0, 1040), old.subarray(1040)]);
  t.same(Buffer.from(read(torn).dataIn), half);
  t.match(ask(torn, 'WRITE ATOMIC(16)', { ...range, protect: 1 }, fresh), GOOD);
  t.same(Buffer.from(read(torn).dataIn), Buffer.from(fresh), 'an atomic write is not torn');

  const astray = await struck({ kind: 'misdirected', on: 'write', distance: 100n });
  t.match(write(astray), GOOD);
  t.same(Buffer.from(read(astray).dataIn), Buffer.from(old));
  t.match(ask(astray, 'READ(16)', { lba: 116n, blocks: 4, protect: 1 }), REF, 'the tags tell whose they are');
  t.same(
    Buffer.from(ask(astray, 'READ(16)', { lba: 116n, blocks: 4, protect: 3 }).dataIn),
    Buffer.from(fresh),
  );
  t.match(read(await struck({ kind: 'misdirected', on: 'read', distance: -3n })), REF);
});

t.test('each phase of a command is struck on its own', async (t) => {
  const bytes = { guard: 512, data: 0 } as const;
  for (const kind of ['guard', 'data'] as const) {
    const spec: FaultSpec = { kind, on: 'write', lba: 17n, blocks: 1n };
    const compared = { ...range, protect: 1 };
    const caw = await struck(spec);
    t.match(
      ask(caw, 'COMPARE AND WRITE', compared, Buffer.concat([old, fresh])),
      GOOD,
      `${kind}: it lies in wait`,
    );
    t.equal(read(caw, 3).dataIn[520 + bytes[kind]], fresh[520 + bytes[kind]]! ^ 1);
    const verified = await struck(spec);
    const answer = ask(verified, 'WRITE AND VERIFY(16)', { ...compared, byteCheck: 1 }, fresh);
    t.match(answer, { ...GUARD, information: 17n }, `${kind}: WRITE AND VERIFY checks what it stored`);
    const unasked = await struck(spec);
    const expected = kind === 'data' ? '0Eh/1Dh/00h' : '0Eh/10h/01h';
    const unchecked = ask(unasked, 'WRITE AND VERIFY(16)', { ...range, protect: 3, byteCheck: 1 }, fresh);
    t.match(unchecked, check(expected), `${kind}: and compares it with what was sent`);
  }
  const astray = await struck({ kind: 'misdirected', on: 'write', distance: 100n });
  t.match(ask(astray, 'COMPARE AND WRITE', { ...range, protect: 1 }, Buffer.concat([old, fresh])), GOOD);
  t.same(Buffer.from(read(astray).dataIn), Buffer.from(old), 'compared here, written elsewhere');
  for (const name of ['COMPARE AND WRITE', 'ORWRITE(16)']) {
    const disk = await struck({ kind: 'medium-error', lba: 18n, blocks: 1n });
    const sent = name === 'ORWRITE(16)' ? old : Buffer.concat([old, fresh]);
    t.match(
      ask(disk, name, { ...range, protect: 1 }, sent),
      { sense: '03h/11h/00h', information: 18n },
      name,
    );
  }
  const wireFault = await struck({ kind: 'data', on: 'read', place: 'wire' });
  t.match(
    ask(wireFault, 'VERIFY(16)', { ...range, byteCheck: 1, protect: 1 }, old),
    GOOD,
    'nothing is read over the wire',
  );
});

t.test('every command that writes is struck', async (t) => {
  const scattered = (lba: bigint) => {
    const list = new Uint8Array(520 + 1040);
    new DataView(list.buffer).setBigUint64(32, lba);
    new DataView(list.buffer).setUint32(40, 2);
    list.set(wire(Number(lba), 2), 520);
    return list;
  };
  const writes: Record<string, (disk: EmulatedDisk) => ReturnType<typeof ask>> = {
    'WRITE SCATTERED(16)': (disk) =>
      ask(disk, 'WRITE SCATTERED(16)', { ranges: 1, dataOffset: 1, blocks: 3, protect: 1 }, scattered(16n)),
    UNMAP: (disk) =>
      ask(disk, 'UNMAP', { parameterListLength: 24 }, encodeUnmapList([{ lba: 16n, blocks: 4 }])),
    'WRITE SAME(16)': (disk) => ask(disk, 'WRITE SAME(16)', range, new Uint8Array(512)),
    'WRITE SAME(16) with UNMAP': (disk) =>
      ask(disk, 'WRITE SAME(16)', { ...range, unmap: true, noDataOut: true }),
  };
  for (const [name, command] of Object.entries(writes)) {
    const failing = await struck({ kind: 'write-error', lba: 17n, blocks: 1n });
    t.match(command(failing), { sense: '03h/0Ch/00h', information: 17n }, name);
    t.same(Buffer.from(read(failing).dataIn), Buffer.from(old));
    const stale = await struck({ kind: 'stale' });
    t.match(command(stale), GOOD);
    t.same(Buffer.from(read(stale).dataIn), Buffer.from(old), `${name}: nothing is stored`);
  }
  const torn = await written({ blocks: 8192 });
  ask(torn, 'WRITE SAME(16)', { lba: 0n, blocks: 2000 }, new Uint8Array(512).fill(1));
  torn.addFault({ kind: 'torn' });
  ask(torn, 'WRITE SAME(16)', { lba: 0n, blocks: 2000 }, new Uint8Array(512).fill(2));
  const data = ask(torn, 'READ(16)', { lba: 0n, blocks: 2000 }).dataIn;
  t.equal(data.indexOf(1), 1000 * 512, 'the second half of the whole');
  const both = await struck({ kind: 'write-error' });
  both.addFault({ kind: 'wrong-information', distance: 5n });
  t.match(write(both), { information: 21n }, 'wrong of an error that a fault makes, too');
});

t.test('a UNIT ATTENTION is not told to who only asks who is there', async (t) => {
  const disk = await struck({ kind: 'unit-attention', times: 1 });
  t.match(ask(disk, 'INQUIRY', { allocationLength: 96 }), GOOD);
  t.match(ask(disk, 'TEST UNIT READY', {}), check('06h/29h/00h'), 'but to the next');
  disk.addFault({ kind: 'unit-attention', times: 1 });
  const told = ask(disk, 'REQUEST SENSE', { allocationLength: 252 });
  t.match(told, GOOD);
  t.same([told.dataIn[2]! & 15, told.dataIn[12]], [6, 0x29], 'REQUEST SENSE has it as data');
});

t.test('a disk that lies about its checks, and adapters that lose tuples', async (t) => {
  const silent = await struck({ kind: 'unchecked' });
  t.match(
    write(
      silent,
      1,
      wire(16, 4, () => ({ guard: 1 })),
    ),
    GOOD,
  );
  t.match(read(silent), GOOD);
  silent.clearFaults();
  t.match(read(silent), GUARD);

  const stripped = await struck({ kind: 'strip-pi' });
  t.match(read(stripped), GOOD);
  t.same(
    Buffer.from(read(stripped).dataIn),
    Buffer.from(plain(old)),
    'plain data, shorter than was asked for',
  );
  t.match(write(stripped), GOOD);
  stripped.clearFaults();
  t.same(
    Buffer.from(read(stripped, 0).dataIn),
    Buffer.from(fresh.subarray(0, 2048)),
    'tuples taken for data',
  );

  const shifted = read(await struck({ kind: 'shift-pi', place: 'wire' }));
  t.match(shifted, GOOD);
  t.same(shifted.dataIn.subarray(520 + 512, 1040), old.subarray(512, 520));

  const wrong = await struck({ kind: 'wrong-information', distance: 5n });
  write(
    wrong,
    3,
    wire(16, 4, () => ({ guard: 1 })),
  );
  t.match(read(wrong), { ...GUARD, information: 21n });
});

t.test('answers that are no answers', async (t) => {
  const statuses: [FaultKindName, object][] = [
    ['busy', { status: 0x08, sense: '' }],
    ['task-set-full', { status: 0x28, sense: '' }],
    ['unit-attention', check('06h/29h/00h')],
  ];
  for (const [kind, answer] of statuses) {
    const disk = await struck({ kind, times: 2 });
    t.match(write(disk), answer, kind);
    t.match(ask(disk, 'TEST UNIT READY', {}), answer, `${kind}, whatever is asked`);
    t.match(read(disk), GOOD, `${kind}: twice and gone`);
    t.same(Buffer.from(read(disk).dataIn), Buffer.from(old), 'nothing was done');
    t.same(disk.faults(), []);
  }
  t.match(read(await struck({ kind: 'medium-error', lba: 19n })), {
    ...check('03h/11h/00h'),
    information: 19n,
  });
  const failing = await struck({ kind: 'write-error' });
  t.match(write(failing), { ...check('03h/0Ch/00h'), information: 16n });
  t.match(read(failing), GOOD);
  const slow = await struck({ kind: 'delay', delayMs: 250, times: 1 });
  const task = { cdb: Uint8Array.of(0, 0, 0, 0, 0, 0), dataOut: new Uint8Array(0), dataInMax: 0 };
  t.match(slow.unit.execute(task), { status: 0, afterMs: 250 });
  const silent = await struck({ kind: 'silence', times: 1 });
  t.match(silent.unit.execute(task), { afterMs: Number.POSITIVE_INFINITY });
  t.match(silent.stats(), { unanswered: 1 });
});

t.test('the initiator: retries, and a time that runs out', async (t) => {
  const disk = await struck({ kind: 'busy', times: 2 });
  const transport = disk.transport();
  const cdb = Uint8Array.of(0, 0, 0, 0, 0, 0);
  const ask = (timeoutMs?: number) =>
    transport.send({ cdb, direction: 'none', data: null, ...(timeoutMs && { timeoutMs }) });
  const { outcome, retries } = await ask();
  t.match({ outcome, retries }, { outcome: { kind: 'good' }, retries: ['BUSY', 'BUSY'] });
  disk.addFault({ kind: 'silence', times: 1 });
  t.match(await ask(50), { outcome: { kind: 'timeout' } });
  disk.addFault({ kind: 'delay', times: 1, delayMs: 30 });
  t.match(await ask(500), { outcome: { kind: 'good' } });
  await t.rejects(
    transport.send({
      cdb: Uint8Array.of(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0),
      direction: 'to-device',
      data: new Uint8Array(512),
    }),
    { code: 'ERR_READ_ONLY' },
    'writing is not to be had unasked',
  );
});

t.test('ranges, rates and numbers', async (t) => {
  const disk = await written({ randomSeed: 7 });
  const { id } = disk.addFault({ kind: 'medium-error', lba: 100n, blocks: 10n });
  t.match(read(disk), GOOD, 'elsewhere');
  t.match(ask(disk, 'READ(16)', { lba: 90n, blocks: 11 }), { sense: '03h/11h/00h', information: 100n });
  t.match(ask(disk, 'READ(16)', { lba: 110n, blocks: 1 }), GOOD);
  t.match(disk.faults(), [{ id, struck: 1 }]);
  disk.removeFault(id);
  t.match(ask(disk, 'READ(16)', { lba: 100n, blocks: 1 }), GOOD);
  t.throws(() => disk.removeFault(id), { code: 'ERR_USAGE' });

  const rated = async () => {
    const one = await written({ randomSeed: 99 });
    one.addFault({ kind: 'busy', oneIn: 10 });
    return Array.from({ length: 1000 }, () => read(one).status === 0x08);
  };
  const [first, second] = [await rated(), await rated()];
  t.same(first, second, 'the same seed strikes the same commands');
  const hits = first.filter(Boolean).length;
  t.ok(hits > 60 && hits < 150, `one in 10: ${hits} of 1000`);

  const bad: [FaultSpec, string][] = [
    [{ kind: 'nothing' as 'data' }, 'ERR_USAGE'],
    [{ kind: 'constructor' as 'data' }, 'ERR_USAGE'],
    [{ kind: 'torn', on: 'read' }, 'ERR_USAGE'],
    [{ kind: 'torn', place: 'wire' }, 'ERR_USAGE'],
    [{ kind: 'data', lba: -1n }, 'ERR_OUT_OF_RANGE'],
    [{ kind: 'data', blocks: 0n }, 'ERR_OUT_OF_RANGE'],
    [{ kind: 'data', oneIn: 0 }, 'ERR_OUT_OF_RANGE'],
    [{ kind: 'data', times: Number.NaN }, 'ERR_OUT_OF_RANGE'],
    [{ kind: 'delay', delayMs: -1 }, 'ERR_OUT_OF_RANGE'],
  ];
  for (const [spec, code] of bad) t.throws(() => disk.addFault(spec), { code }, `${spec.kind} ${code}`);
});

t.test('presets: what each disk does otherwise', async (t) => {
  const spoilt = wire(16, 4, (i) => (i === 2 ? { guard: 1 } : {}));
  const seen: Record<string, () => Promise<void>> = {
    hgst: async () => {
      const disk = await written({ preset: 'hgst' });
      t.match(read(disk, 5), check('05h/24h/00h'), '101b is reserved');
      t.match(
        ask(disk, 'VERIFY(16)', { ...range, byteCheck: 1, protect: 3 }, spoilt),
        GUARD,
        'ABORTED COMMAND',
      );
      write(disk, 3, spoilt);
      t.match(
        ask(disk, 'VERIFY(16)', { ...range, byteCheck: 1, protect: 1 }, spoilt),
        GOOD,
        'it only compares',
      );
      const list = Uint8Array.of(0, 0, 0, 3, 0, 0, 0, 0);
      const many = { formatData: true, formatProtection: 0b11, longList: true };
      t.match(ask(disk, 'FORMAT UNIT', many, list), check('05h/26h/00h'), 'one tuple a block');
      const one = ask(
        disk,
        'WRITE AND VERIFY(16)',
        { lba: 16n, blocks: 1, byteCheck: 3, protect: 1 },
        wire(16, 1),
      );
      t.match(one, GOOD, 'BYTCHK 11b');
      await t.rejects(ready({ preset: 'hgst', type: 3 }), { code: 'ERR_OUT_OF_RANGE' });
    },
    seagate: async () => {
      const disk = await written({ preset: 'seagate' });
      t.match(read(disk, 5), GOOD);
      const page = ask(disk, 'INQUIRY', { evpd: true, page: 0x86, allocationLength: 64 }).dataIn;
      t.equal((page[4]! >> 3) & 7, 0b001, 'SPT: types 1 and 2');
    },
    stec: async () => {
      const disk = await written({ preset: 'stec' });
      write(disk, 3, spoilt);
      t.match(
        ask(disk, 'VERIFY(16)', { ...range, protect: 6 }),
        GUARD,
        'a reserved VRPROTECT is taken for 000b',
      );
      const plainly = ask(disk, 'WRITE AND VERIFY(16)', { ...range, protect: 6 }, plain(old));
      t.match(plainly, GOOD, 'and a WRPROTECT of WRITE AND VERIFY');
    },
    lio: async () => {
      const disk = await written({ preset: 'lio' });
      t.equal(read(disk).dataIn.length, 2048, 'no tuples');
    },
    'scsi-debug': async () => {
      const disk = await written({ preset: 'scsi-debug' });
      t.equal(read(disk).dataIn.length, 2048);
      t.match(ask(disk, 'READ(32)', { ...range, refTag: 16 }), GOOD, 'a 32-byte command on type 1');
      t.match(ask(disk, 'VERIFY(32)', { ...range, refTag: 16 }), check('05h/20h/00h'));
      t.match(ask(disk, 'WRITE AND VERIFY(16)', range, plain(old)), check('05h/20h/00h'));
      t.match(ask(disk, 'VERIFY(16)', { ...range, byteCheck: 1, protect: 1 }, old), GOOD, 'what lies there');
      t.match(ask(disk, 'ORWRITE(16)', { ...range, protect: 1 }, old), GOOD);
      const page = ask(disk, 'INQUIRY', { evpd: true, page: 0x86, allocationLength: 64 }).dataIn;
      t.equal(page[4]! & 7, 0b101, 'no APP_CHK');
      const plainDisk = await ready({ preset: 'scsi-debug', type: 0 });
      t.match(read(plainDisk, 3), GOOD);
    },
    'scst-100b': async () => {
      const disk = await written({ preset: 'scst-100b' });
      write(disk, 3, spoilt);
      t.match(read(disk, 4), GOOD, 'the guard is not checked');
      t.match(read(disk, 1), GUARD);
    },
    'self-encrypting': async () => {
      const disk = await ready({ preset: 'self-encrypting' });
      t.match(read(disk, 1), GUARD, 'an erased block');
      t.match(verify(disk), GOOD, 'VERIFY passes over it');
      const page = ask(disk, 'INQUIRY', { evpd: true, page: 0xb2, allocationLength: 64 }).dataIn;
      t.equal((page[5]! >> 2) & 7, 0, 'LBPRZ 0, as READ CAPACITY(16) has it');
      const zeros = new Uint8Array(512);
      t.match(ask(disk, 'WRITE SAME(16)', { ...range, unmap: true }, zeros), GOOD);
      t.match(read(disk, 0), GOOD);
      t.ok(
        read(disk, 0).dataIn.every((byte) => byte === 0),
        'zeros are written where unmapping makes none',
      );
      ask(disk, 'UNMAP', { parameterListLength: 24 }, encodeUnmapList([{ lba: 16n, blocks: 4 }]));
      t.match(read(disk, 3), GOOD);
      t.same(
        Buffer.from(read(disk, 3).dataIn),
        Buffer.from(read(disk, 3).dataIn),
        'the same noise each time',
      );
    },
    silent: async () => {
      const disk = await written({ preset: 'silent' });
      disk.clearFaults();
      t.match(write(disk, 1, spoilt), GOOD);
      t.match(read(disk), GOOD);
      for (const [name, bytes] of [
        ['VERIFY(16)', spoilt],
        ['WRITE AND VERIFY(16)', spoilt],
        ['ORWRITE(16)', spoilt],
        ['COMPARE AND WRITE', Buffer.concat([spoilt, spoilt])],
      ] as const) {
        write(disk, 3, spoilt);
        t.match(
          ask(disk, name, { ...range, protect: 1, ...(name.includes('VERIFY') && { byteCheck: 1 }) }, bytes),
          GOOD,
          name,
        );
      }
    },
  };
  t.same(Object.keys(seen).sort(), Object.keys(PRESETS).sort(), 'every preset');
  for (const test of Object.values(seen)) await test();
});

t.test('every kind of fault was tried', async (t) => {
  t.same([...tested].sort(), Object.keys(FAULT_KINDS).sort());
});
