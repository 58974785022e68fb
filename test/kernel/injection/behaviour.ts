/**
 * What the transport makes of a disk that answers badly, late or not at all, and of one that goes away.
 */
import { readdir, readlink, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { encodeCdb, type IntegrityError, openDevice, type ScsiTransport, SENSE_KEY } from 'blk-integrity';
import type { Test } from 'tap';
import { command } from '../command.js';
import { Driver, type Forged, type Opened } from './driver.js';
import { OPT } from './errors.js';

const BLOCK = 512;
const TEST_UNIT_READY = encodeCdb('TEST UNIT READY', {});
const READ_16 = encodeCdb('READ(16)', { lba: 8n, blocks: 1 });
const WRITE_16 = encodeCdb('WRITE(16)', { lba: 8n, blocks: 1 });
const READ_16_OPCODE = 0x88;
const WRITE_16_OPCODE = 0x8a;
const CHECK_CONDITION = 0x02;
const DID_IMM_RETRY = 12;
const DID_REQUEUE = 13;
/** Jiffies: two seconds with Debian's HZ. */
const LATE = 500;
/** Jiffies: 200 ms with Debian's HZ. */
const OVERLAPPING = 50;
/** Longer than a timeout and the error handling of the SCSI layer take. */
const PATIENCE_MS = 15_000;

export async function behaviour(t: Test): Promise<void> {
  {
    await using driver = await Driver.load({ no_uld: 1 });
    await using disk = await driver.open(8);
    await ready(disk);
    await t.test('UNIT ATTENTIONs', (t) => unitAttentions(t, driver, disk));
    await t.test('protection errors', (t) => protectionErrors(t, driver, disk));
    await t.test('a full task set', (t) => fullTaskSet(t, driver, disk));
    if (await driver.forges()) await t.test('BUSY', (t) => busy(t, driver, disk));
    await t.test('no answer', (t) => noAnswer(t, driver, disk));
  }
  await t.test('becoming ready', becomingReady);
  for (const [removed, remove] of REMOVALS) {
    await t.test(`${removed} with commands in flight`, (t) => answeredLate(t, remove));
    await t.test(`${removed} with commands that nobody answers`, (t) => neverAnswered(t, remove));
  }
}

type Remove = (driver: Driver) => Promise<void>;

const REMOVALS: readonly (readonly [string, Remove])[] = [
  ['deleted', ({ folder }) => writeFile(`${folder}/delete`, '1')],
  ['its host removed', (driver) => driver.set('add_host', -1)],
];

function ready(disk: ScsiTransport, timeoutMs = 5_000) {
  return disk.send({ cdb: TEST_UNIT_READY, direction: 'none', data: null, timeoutMs });
}

function read(disk: ScsiTransport, timeoutMs = 5_000) {
  return disk.send({ cdb: READ_16, direction: 'from-device', data: new Uint8Array(BLOCK), timeoutMs });
}

function write(disk: ScsiTransport) {
  return disk.send({ cdb: WRITE_16, direction: 'to-device', data: new Uint8Array(BLOCK), timeoutMs: 5_000 });
}

function attention(code: string, text: string): string {
  return `UNIT ATTENTION 06h/${code}: ${text}`;
}

const RESET = attention('29h/00h', 'Power on, reset, or bus device reset occurred');
const BUS_RESET = attention('29h/02h', 'SCSI bus reset occurred');
const MODE_CHANGED = attention('2Ah/01h', 'Mode parameters changed');
const CAPACITY_CHANGED = attention('2Ah/09h', 'Capacity data has changed');
const MICROCODE_CHANGED = attention('3Fh/01h', 'Microcode has been changed');
const MICROCODE_KEPT = attention('3Fh/16h', 'Microcode has been changed without reset');
const LUNS_CHANGED = attention('3Fh/0Eh', 'Reported luns data has changed');

async function unitAttentions(t: Test, driver: Driver, disk: Opened): Promise<void> {
  const writeBuffer = (bufferMode: number) =>
    disk.send({ cdb: encodeCdb('WRITE BUFFER', { bufferMode }), direction: 'none', data: null });
  const modeSelect = () => {
    const data = Uint8Array.of(0, 0, 0, 0, 0x0a, 0x0a, 0x02, 0, 0, 0x80, 0, 0, 0, 0, 0x02, 0x4b);
    const cdb = encodeCdb('MODE SELECT(6)', { pageFormat: true, parameterListLength: data.length });
    return disk.send({ cdb, direction: 'to-device', data });
  };
  const cases: readonly (readonly [causes: readonly (() => Promise<unknown>)[], told: readonly string[]])[] =
    [
      [[modeSelect], [MODE_CHANGED]],
      [[() => writeBuffer(5)], [MICROCODE_KEPT]],
      [[() => driver.set('virtual_gb', 1)], [CAPACITY_CHANGED]],
      [
        [
          () => writeBuffer(4),
          () => driver.set('virtual_gb', 0),
          () => driver.set('max_luns', 2),
          () => command('sg_reset', '-d', driver.sg),
        ],
        [RESET, BUS_RESET, CAPACITY_CHANGED, MICROCODE_CHANGED, LUNS_CHANGED],
      ],
    ];
  for (const [causes, told] of cases) {
    for (const cause of causes) await cause();
    const [before, seen] = [await driver.sent(), disk.unitAttentions];
    const { outcome, retries } = await ready(disk);
    t.equal(outcome.kind, 'good');
    t.same([...retries].sort(), [...told].sort(), told.join(', '));
    t.equal((await driver.sent()) - before, told.length + 1, 'each condition costs one try');
    t.equal(disk.unitAttentions - seen, told.length);
  }
  if (!(await driver.forges())) return;
  const sense = [SENSE_KEY.UNIT_ATTENTION, 0x29, 0x00] as const;
  for (const [opcode, send, told] of [
    [READ_16_OPCODE, read, [RESET]],
    [WRITE_16_OPCODE, write, []],
  ] as const) {
    await driver.forge({ opcode, status: CHECK_CONDITION, sense });
    const before = await driver.sent();
    const { outcome, retries } = await send(disk);
    t.equal(outcome.kind, 'unit-attention', 'the same one again, or any after a write, is an answer');
    t.same(retries, told);
    t.equal((await driver.sent()) - before, told.length + 1);
    await driver.forgeNothing(opcode);
  }
}

/** A second try would end GOOD, or be counted. */
async function protectionErrors(t: Test, driver: Driver, disk: Opened): Promise<void> {
  const once = async (checker: string, name: string) => {
    const before = await driver.sent();
    const { outcome, retries } = await read(disk);
    t.match(outcome, { kind: 'protection', checker }, name);
    t.same(retries, [], name);
    t.equal((await driver.sent()) - before, 1, `${name}: sent once`);
  };
  await driver.set('every_nth', 1);
  await driver.set('opts', OPT.dif);
  await once('device', 'DIF error');
  await driver.set('opts', OPT.dix);
  await once('hba', 'DIX error');
  await driver.set('opts', 0);
  await driver.set('every_nth', 0);
  if (!(await driver.forges())) return;
  for (const key of [SENSE_KEY.MEDIUM_ERROR, SENSE_KEY.ABORTED_COMMAND, SENSE_KEY.MISCOMPARE]) {
    for (const ascq of [1, 2, 3]) {
      const sense = [key, 0x10, ascq] as const;
      await driver.forge({ opcode: READ_16_OPCODE, times: 1, status: CHECK_CONDITION, sense });
      await once('device', sense.join('/'));
    }
  }
}

/**
 * The driver adds DID_ABORT to it, so that the kernel does not try again by itself as it does for others. The command that fills the
 * queue is answered so: each takes long enough that even a slow guest has sent four before the first is answered.
 */
async function fullTaskSet(t: Test, driver: Driver, disk: Opened): Promise<void> {
  await writeFile(`${driver.folder}/queue_depth`, '4');
  await driver.set('delay', OVERLAPPING);
  await driver.set('every_nth', 1);
  await driver.set('opts', OPT.rareTaskSetFull);
  const before = await driver.sent();
  const replies = await Promise.all(Array.from({ length: 16 }, () => read(disk)));
  const retries = replies.flatMap((reply) => reply.retries);
  t.ok(retries.length > 0, `${retries.length} tries again`);
  t.same(new Set(retries), new Set(['TASK SET FULL']));
  t.equal((await driver.sent()) - before, replies.length + retries.length, 'each of them told');
  for (const { outcome, retries } of replies) {
    t.ok(outcome.kind === 'good' || (outcome.kind === 'task-set-full' && retries.length === 3));
  }
  await driver.set('opts', 0);
  await driver.set('every_nth', 0);
  await driver.set('delay', 0);
}

/** The kernel tries again until the command's time is over; only then is it told, and what is worth it tried again here. */
async function busy(t: Test, driver: Driver, disk: Opened): Promise<void> {
  const answers: readonly (readonly [how: Partial<Forged>, kind: string, retries: readonly string[]])[] = [
    [{ status: 0x08 }, 'busy', ['BUSY', 'BUSY', 'BUSY']],
    [{ status: 0x28 }, 'task-set-full', ['TASK SET FULL', 'TASK SET FULL', 'TASK SET FULL']],
    [{ host: DID_IMM_RETRY }, 'transport', []],
    [{ host: DID_REQUEUE }, 'transport', []],
  ];
  for (const [how, kind, told] of answers) {
    const name = JSON.stringify(how);
    await driver.forge({ opcode: READ_16_OPCODE, times: 2, ...how });
    t.match(await read(disk), { outcome: { kind: 'good' }, retries: [] }, `${name} twice`);
    await driver.forge({ opcode: READ_16_OPCODE, ...how });
    const start = performance.now();
    const { outcome, retries } = await read(disk, 100);
    const took = performance.now() - start;
    t.equal(outcome.kind, kind, `${name} for ever`);
    t.same(retries, told);
    const least = told.length > 0 ? 620 : 100;
    t.ok(took >= least && took < PATIENCE_MS, `with the pauses between the tries: ${took.toFixed(0)} ms`);
    await driver.forgeNothing(READ_16_OPCODE);
    t.match(await read(disk), { outcome: { kind: 'good' }, retries: [] }, 'and no longer');
  }
}

async function noAnswer(t: Test, driver: Driver, disk: Opened): Promise<void> {
  const silences: readonly (readonly [string, () => Promise<void>, () => Promise<void>])[] = [
    [
      'that it does not answer',
      async () => {
        await driver.set('every_nth', 1);
        await driver.set('opts', OPT.timeout);
      },
      async () => {
        await driver.set('opts', 0);
        await driver.set('every_nth', 0);
      },
    ],
    ['that it answers too late', () => driver.set('delay', LATE), () => driver.set('delay', 0)],
  ];
  // The TEST UNIT READYs by which 7.3 looks after it are not answered either.
  await writeFile(`${driver.folder}/eh_timeout`, '1');
  for (const [name, begin, end] of silences) {
    await begin();
    const start = performance.now();
    const replies = await Promise.all([read(disk, 200), read(disk, 200), ready(disk, 200)]);
    const took = performance.now() - start;
    t.same(
      replies.map(({ outcome, retries }) => [outcome.kind, retries]),
      replies.map(() => ['timeout', []]),
      name,
    );
    t.ok(took < PATIENCE_MS, `${took.toFixed(0)} ms`);
    await end();
    t.equal((await read(disk)).outcome.kind, 'good', 'the next is answered');
  }
}

async function becomingReady(t: Test): Promise<void> {
  await using driver = await Driver.load({ no_uld: 1, tur_ms_to_ready: 1500 });
  await using disk = await driver.open();
  const notYet = await read(disk);
  t.match(
    notYet.outcome,
    { kind: 'not-ready', sense: { asc: 0x04, ascq: 0x02 } },
    'what needs a START UNIT is not waited for',
  );
  const { outcome, retries } = await ready(disk);
  t.equal(outcome.kind, 'good');
  t.same(
    new Set(retries),
    new Set(['NOT READY 02h/04h/01h: Logical unit is in process of becoming ready']),
    retries.join(),
  );
  t.equal((await read(disk)).outcome.kind, 'good', 'it is ready');
}

/** What this process has open, without the folder that is being read. */
async function openFiles(): Promise<string[]> {
  const links = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => null)),
  );
  return links
    .filter((link) => link?.startsWith('/dev/') ?? false)
    .map(String)
    .sort();
}

/** With sd: those under way are answered, those that wait for their turn find nobody. */
async function answeredLate(t: Test, remove: Remove): Promise<void> {
  await using driver = await Driver.load({});
  const late = () => driver.set('delay', LATE / 4);
  const ends = await goesAway(t, driver, late, remove);
  t.same(new Set(ends), new Set(['good', 'ERR_DEVICE_GONE']));
}

async function neverAnswered(t: Test, remove: Remove): Promise<void> {
  await using driver = await Driver.load({ no_uld: 1 });
  const never = async () => {
    await driver.set('every_nth', 1);
    await driver.set('opts', OPT.mediumTimeout);
  };
  const ends = await goesAway(t, driver, never, remove);
  t.ok(
    ends.every((end) => end === 'timeout' || end === 'ERR_DEVICE_GONE'),
    ends.join(),
  );
}

const IN_FLIGHT = 8;

/** How each command ended: its outcome or its error. Four times as many are sent as may be under way. */
async function goesAway(
  t: Test,
  driver: Driver,
  begin: () => Promise<void>,
  remove: Remove,
): Promise<string[]> {
  const before = await openFiles();
  const disk = await openDevice(driver.sg, { queueDepth: IN_FLIGHT });
  const transport = disk.transport!;
  await begin();
  const reads = Array.from({ length: 4 * IN_FLIGHT }, () => read(transport, 1_000));
  const all = Promise.allSettled(reads);
  await delay(100);
  const start = performance.now();
  await remove(driver);
  const settled = await Promise.race([all, delay(PATIENCE_MS, null)]);
  t.ok(settled, 'every command settles');
  const ends = (settled ?? []).map((one) =>
    one.status === 'fulfilled' ? one.value.outcome.kind : (one.reason as IntegrityError).code,
  );
  t.comment(`${[...new Set(ends)].join(', ')} after ${(performance.now() - start).toFixed(0)} ms`);
  await t.rejects(read(transport), { code: 'ERR_DEVICE_GONE' }, 'nothing more is sent');
  await disk.close();
  t.same(await openFiles(), before, 'nothing stays open');
  return ends;
}
