/**
 * Every error that scsi_debug can be made to answer: each is told as what it is.
 */
import { classify, encodeCdb, type ScsiOutcome, SENSE_KEY } from 'blk-integrity';
import type { Test } from 'tap';
import { Driver, type Forged, type Opened } from './driver.js';

const BLOCK = 512;
/** Where the driver has its bad blocks (OPT_MEDIUM_ERR_ADDR). */
const BAD_LBA = 0x1234n;
const READ_16 = encodeCdb('READ(16)', { lba: BAD_LBA, blocks: 1 });
const READ_32 = encodeCdb('READ(32)', { lba: 8n, blocks: 1 });

/** The driver's `opts`. */
export const OPT = {
  medium: 0x2,
  timeout: 0x4,
  recovered: 0x8,
  transport: 0x10,
  dif: 0x20,
  dix: 0x40,
  mediumTimeout: 0x80,
  shortTransfer: 0x100,
  rareTaskSetFull: 0x800,
  hostBusy: 0x8000,
} as const;

interface Injected {
  readonly name: string;
  readonly opts: number;
  readonly everyNth: number;
  readonly outcome: object;
  readonly resid?: number;
}

const INJECTED: readonly Injected[] = [
  {
    name: 'medium error',
    opts: OPT.medium,
    everyNth: 0,
    outcome: {
      kind: 'check-condition',
      sense: { format: 'fixed', key: SENSE_KEY.MEDIUM_ERROR, asc: 0x11, information: BAD_LBA },
    },
    resid: BLOCK,
  },
  {
    name: 'recovered error',
    opts: OPT.recovered,
    everyNth: 1,
    outcome: { kind: 'good', sense: { key: SENSE_KEY.RECOVERED_ERROR, asc: 0x5d } },
  },
  {
    name: 'DIF error',
    opts: OPT.dif,
    everyNth: 1,
    outcome: { kind: 'protection', checker: 'device', check: 'guard' },
  },
  {
    name: 'DIX error',
    opts: OPT.dix,
    everyNth: 1,
    outcome: { kind: 'protection', checker: 'hba', check: 'guard' },
  },
  {
    name: 'short transfer',
    opts: OPT.shortTransfer,
    everyNth: 1,
    outcome: { kind: 'good', sense: null },
    resid: BLOCK,
  },
  // The kernel tries again by itself.
  { name: 'host busy', opts: OPT.hostBusy, everyNth: 2, outcome: { kind: 'good', sense: null } },
  { name: 'nothing', opts: 0, everyNth: 0, outcome: { kind: 'good', sense: null } },
];

export async function errors(t: Test): Promise<void> {
  await using driver = await Driver.load({ no_uld: 1 });
  await using disk = await driver.open();
  await send(disk, encodeCdb('TEST UNIT READY', {}));
  await t.test('by the module options', (t) => injected(t, driver, disk));
  const forges = await driver.forges();
  t.comment(forges ? 'errors can be forged' : 'this kernel forges no errors (Linux 6.7 and later do)');
  if (!forges) return;
  for (const descriptorSense of [false, true]) {
    await driver.set('dsense', Number(descriptorSense));
    await t.test(`forged, ${descriptorSense ? 'descriptor' : 'fixed'} sense`, (t) => forged(t, driver, disk));
  }
}

/** As the ioctl answered, before anything is tried again. */
function send(disk: Opened, cdb: Uint8Array, timeoutMs = 5_000) {
  const data = cdb[0] === 0 ? null : new Uint8Array(BLOCK);
  return disk.handle.sgIo({ cdb, direction: data ? 'from-device' : 'none', data, timeoutMs });
}

async function injected(t: Test, driver: Driver, disk: Opened): Promise<void> {
  for (const { name, opts, everyNth, outcome, resid = 0 } of INJECTED) {
    await driver.set('every_nth', everyNth);
    await driver.set('opts', opts);
    for (let i = 0; i < 2; i++) {
      const answer = await send(disk, READ_16);
      t.match(classify(answer), outcome, name);
      t.equal(answer.resid, resid, `${name}: residue`);
    }
  }
  await driver.set('dsense', 1);
  await driver.set('opts', OPT.medium);
  const sense = { format: 'descriptor', key: SENSE_KEY.MEDIUM_ERROR, information: null };
  t.match(classify(await send(disk, READ_16)), { sense }, 'descriptor sense does not say where');
  await driver.set('opts', 0);
  await driver.set('dsense', 0);
}

type Expected = Partial<ScsiOutcome> & { readonly kind: ScsiOutcome['kind'] };

interface Case extends Omit<Forged, 'opcode' | 'times'> {
  readonly outcome: Expected;
}

const CHECK_CONDITION = 0x02;
const DID_ABORT = 0x05;

/** By sense key, with an additional sense code that is nobody's. */
const KEY_KINDS: readonly Expected['kind'][] = Array.from({ length: 16 }, (_, key) => {
  if (key === SENSE_KEY.RECOVERED_ERROR) return 'good';
  if (key === SENSE_KEY.NOT_READY) return 'not-ready';
  return key === SENSE_KEY.UNIT_ATTENTION ? 'unit-attention' : 'check-condition';
});

const NAMED = [undefined, 'guard', 'app', 'ref'] as const;

/** What ASC 10h means, by key: who refused, without and with DID_ABORT, and whether a tag has to be named for that. */
const PROTECTION: Readonly<
  Record<number, { readonly by: readonly [string, string]; readonly named: boolean }>
> = {
  [SENSE_KEY.MEDIUM_ERROR]: { by: ['device', 'device'], named: true },
  4: { by: ['', ''], named: true },
  [SENSE_KEY.ILLEGAL_REQUEST]: { by: ['device', 'hba'], named: false },
  [SENSE_KEY.ABORTED_COMMAND]: { by: ['device', 'device'], named: false },
  [SENSE_KEY.MISCOMPARE]: { by: ['device', 'device'], named: true },
};

function protectionCases(): Case[] {
  return Object.entries(PROTECTION).flatMap(([key, { by, named }]) =>
    NAMED.flatMap((check, ascq) =>
      [0, DID_ABORT].map((host): Case => {
        const checker = by[Number(host === DID_ABORT)];
        const outcome =
          checker === '' || (named && check === undefined)
            ? { kind: 'check-condition' }
            : { kind: 'protection', checker, check: check ?? 'protection' };
        const sense = [Number(key), 0x10, ascq] as const;
        return { status: CHECK_CONDITION, host, sense, outcome: outcome as Expected };
      }),
    ),
  );
}

const transport = (name: string): Expected => ({ kind: 'transport', name });

/** DID_*, with GOOD and NO SENSE; what the kernel itself turns into something else is told as that. */
const HOSTS: Readonly<Record<number, Expected>> = {
  1: { kind: 'gone', name: 'DID_NO_CONNECT' },
  2: transport('DID_BUS_BUSY'),
  3: { kind: 'timeout' },
  4: { kind: 'gone', name: 'DID_BAD_TARGET' },
  5: transport('DID_ABORT'),
  6: transport('DID_PARITY'),
  7: transport('DID_ERROR'),
  8: transport('DID_RESET'),
  9: transport('DID_BAD_INTR'),
  10: { kind: 'good' },
  11: transport('DID_SOFT_ERROR'),
  14: transport('DID_TRANSPORT_DISRUPTED'),
  15: transport('DID_TRANSPORT_FAILFAST'),
  16: transport('DID_TARGET_FAILURE'),
  17: transport('DID_NEXUS_FAILURE'),
  18: transport('DID_ALLOC_FAILURE'),
  19: transport('DID_MEDIUM_ERROR'),
  20: transport('DID_TRANSPORT_MARGINAL'),
};

const STATUSES: Readonly<Record<number, Expected>> = {
  2: { kind: 'check-condition' },
  4: { kind: 'good' },
  24: { kind: 'reservation-conflict' },
  48: { kind: 'status', status: 0x30 },
  64: { kind: 'status', status: 0x40 },
};

const CASES: readonly Case[] = [
  ...KEY_KINDS.map(
    (kind, key): Case => ({ status: CHECK_CONDITION, sense: [key, 0x44, 0], outcome: { kind } }),
  ),
  ...protectionCases(),
  ...Object.entries(HOSTS).map(([host, outcome]): Case => ({ host: Number(host), outcome })),
  ...Object.entries(STATUSES).map(([status, outcome]): Case => ({ status: Number(status), outcome })),
  // Since Linux 5.14 the driver byte never leaves the kernel.
  ...[1, 4, 6, 8].map((driver): Case => ({ driver, outcome: { kind: 'good' } })),
];

/** Few assertions over many cases: each costs as much as the commands of its cases. */
async function forged(t: Test, driver: Driver, disk: Opened): Promise<void> {
  for (const cdb of [READ_16, READ_32]) {
    const opcode = cdb[0]!;
    const found: Record<string, ScsiOutcome> = {};
    const expected: Record<string, object> = {};
    for (const { outcome, ...how } of CASES) {
      await driver.forge({ opcode, times: 1, ...how });
      const name = JSON.stringify(how);
      found[name] = classify(await send(disk, cdb));
      expected[name] = { ...outcome, ...(how.sense && { sense: senseOf(how.sense) }) };
    }
    t.match(found, expected, `${opcode.toString(16)}h`);
    await driver.forgeNothing(opcode);
    t.match(classify(await send(disk, cdb)), { kind: 'good', sense: null }, 'and nothing any more');
  }
}

function senseOf([key, asc, ascq]: readonly [number, number, number]): object {
  return { key, asc, ascq, deferred: false };
}
