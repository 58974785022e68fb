/**
 * Every command that scsi_debug says it has, sent with each protect value to disks of each type.
 */
import {
  type CdbFields,
  type CommandDefinition,
  commandOf,
  decodeAllCommands,
  decodeCdb,
  decodeOneCommand,
  describeOutcome,
  encodeCdb,
  encodeUnmapList,
  isReadOnlyCdb,
  openDevice,
  type ScsiCommand,
  type ScsiTransport,
  SUPPORT,
  type SupportedCommand,
  usageMap,
} from 'blk-integrity';
import type { Test } from 'tap';
import { fetch } from '../../../lib/device/transport.js';
import { Driver } from './driver.js';
import { expectedUsage, withoutControl } from './usage-deviations.js';

const TEST_UNIT_READY = encodeCdb('TEST UNIT READY', {});
const NO_DATA = { direction: 'none', data: null } as const;
const BLOCK = 512;
const LBA = 8n;
const BLOCKS = 2;
const ALLOCATED = 252;
const CAPACITY_10_BYTES = 8;
const PROTECT_VALUES = [0, 1, 2, 3, 4, 5, 6, 7];

/** What a command is sent with beside the place that most have. */
interface Special {
  readonly fields?: CdbFields;
  readonly out?: Uint8Array;
  /** By which the disk is put right after it. */
  readonly after?: Uint8Array;
}

const controlPage = Uint8Array.of(0x0a, 0x0a, 0x02, 0, 0, 0x80, 0, 0, 0, 0, 0x02, 0x4b);
const modeSelect = (headerBytes: number): Special => {
  const out = Uint8Array.of(...new Uint8Array(headerBytes), ...controlPage);
  return { fields: { pageFormat: true, parameterListLength: out.length }, out };
};
const unmapList = encodeUnmapList([{ lba: LBA, blocks: 1 }]);
const scattered: Special = { fields: { dataOffset: 1, ranges: 1, blocks: 2 }, out: scatteredOut() };
const same: Special = { out: new Uint8Array(BLOCK) };
const controlOnly: Special = { fields: { page: 0x0a } };

const SPECIAL: Readonly<Record<string, Special>> = {
  'MODE SELECT(6)': modeSelect(4),
  'MODE SELECT(10)': modeSelect(8),
  'MODE SENSE(6)': controlOnly,
  'MODE SENSE(10)': controlOnly,
  'COMPARE AND WRITE': { fields: { blocks: 1 }, out: new Uint8Array(2 * BLOCK) },
  'WRITE SCATTERED(16)': scattered,
  'WRITE SCATTERED(32)': scattered,
  'WRITE SAME(10)': same,
  'WRITE SAME(16)': same,
  UNMAP: { fields: { parameterListLength: unmapList.length }, out: unmapList },
  'START STOP UNIT': { fields: { start: true } },
  // To the driver of 6.1 it is a START STOP UNIT that stops.
  'REZERO UNIT': { after: encodeCdb('START STOP UNIT', { start: true }) },
};

/** One block of descriptors, which says where the next one goes. */
function scatteredOut(): Uint8Array {
  const data = Buffer.alloc(2 * BLOCK);
  data.writeBigUInt64BE(LBA, 32);
  data.writeUInt32BE(1, 40);
  return data;
}

const GOOD = 'GOOD';
const NO_SUCH_COMMAND = 'ILLEGAL REQUEST 05h/20h/00h: Invalid command operation code';

/** They are listed, and the disk has no zones. */
const OF_ZONES = [
  ...['CLOSE ZONE', 'FINISH ZONE', 'OPEN ZONE', 'RESET WRITE POINTER'],
  ...['REPORT ZONES', 'REPORT REALMS'],
];
/** With type 2 only the 32-byte commands know tags (SBC-4); VERIFY and WRITE SAME are not asked by the driver. */
const NOT_WITH_TYPE_2 = [
  ...['READ(10)', 'READ(12)', 'READ(16)', 'WRITE(10)', 'WRITE(12)', 'WRITE(16)'],
  ...['WRITE SCATTERED(16)', 'COMPARE AND WRITE'],
];

/** Without protection the driver takes each value all the same. */
function expected(name: string, dif: number, protect: number): string {
  const refused = OF_ZONES.includes(name) || (dif === 2 && protect !== 0 && NOT_WITH_TYPE_2.includes(name));
  return refused ? NO_SUCH_COMMAND : GOOD;
}

export async function knownCommands(t: Test): Promise<void> {
  // With strict=1 the driver refuses bits of a CDB that it does not know.
  for (const [dif, strict] of [[0], [1], [1, 1], [2], [3]] as const) {
    const options = {
      ...{ no_uld: 1, dif, dix: Number(dif !== 0), strict: strict ?? 0 },
      // Kernels that have no WRITE ATOMIC pass the option over.
      ...{ lbpu: 1, lbpws: 1, lbpws10: 1, atomic_wr: 1 },
    };
    await using driver = await Driver.load(options);
    await t.test(`dif=${dif}${strict ? ' strict=1' : ''}`, async (t) => {
      await using writable = await driver.open();
      await using disk = await openDevice(driver.sg);
      const all = await supportedCommands(writable);
      t.ok(all.length >= 52, `${all.length} commands`);
      const commands = all.map(commandFor);
      if (dif === 0) await known(t, commands, disk.transport!);
      await answers(t, dif, commands, disk.transport!, writable);
      if (strict) await usage(t, all, writable);
    });
  }
}

async function supportedCommands(transport: ScsiTransport): Promise<SupportedCommand[]> {
  const allocationLength = 4096;
  const cdb = encodeCdb('REPORT SUPPORTED OPERATION CODES', { allocationLength });
  return decodeAllCommands((await fetch(transport, cdb, allocationLength))!);
}

/** Known by the beginning of a CDB. */
function commandFor({ opcode, serviceAction, length }: SupportedCommand): CommandDefinition {
  const cdb = Buffer.alloc(length);
  cdb[0] = opcode;
  if (opcode === 0x7f) cdb.writeUInt16BE(serviceAction!, 8);
  else cdb[1] = serviceAction ?? 0;
  const command = commandOf(cdb);
  if (command?.length !== length) throw new Error(`${cdb.toString('hex')} is not known here`);
  return command;
}

function fieldsFor({ name, fields }: CommandDefinition, protect: number): CdbFields {
  return {
    ...(fields.lba && { lba: LBA }),
    ...(fields.blocks && { blocks: BLOCKS }),
    ...(fields.allocationLength && { allocationLength: ALLOCATED }),
    ...SPECIAL[name]?.fields,
    ...(protect !== 0 && { protect }),
  };
}

/** The driver moves no tuples, whatever the protect value: bytes of data alone. */
function transferFor({ name, data }: CommandDefinition, fields: CdbFields): Omit<ScsiCommand, 'cdb'> {
  const { blocks, allocationLength } = fields;
  const bytes = blocks === undefined ? (allocationLength ?? 0) : blocks * BLOCK;
  if (data === 'in') {
    return { direction: 'from-device', data: new Uint8Array(bytes || CAPACITY_10_BYTES) };
  }
  const out = SPECIAL[name]?.out ?? new Uint8Array(bytes);
  // With BYTCHK 0 there is nothing to compare with.
  const none = data === 'none' || out.length === 0 || name.startsWith('VERIFY');
  return none ? { direction: 'none', data: null } : { direction: 'to-device', data: out };
}

const valuesOf = ({ fields }: CommandDefinition) => (fields.protect ? PROTECT_VALUES : [0]);

/** Each is decoded to what was encoded; and what could alter the medium is not sent by a disk that is open for reading. */
async function known(t: Test, commands: readonly CommandDefinition[], reading: ScsiTransport): Promise<void> {
  for (const command of commands) {
    const { name } = command;
    const fields = fieldsFor(command, 0);
    const cdb = encodeCdb(name, fields);
    t.match(decodeCdb(cdb), { command: { name }, fields }, name);
    const decoded = valuesOf(command).map((protect) =>
      decodeCdb(encodeCdb(name, fieldsFor(command, protect))),
    );
    if (command.fields.protect)
      t.same(
        decoded.map((one) => one?.fields.protect),
        PROTECT_VALUES,
      );
    if (isReadOnlyCdb(cdb)) continue;
    const sent = reading.send({ cdb, ...transferFor(command, fields) });
    await t.rejects(sent, { code: 'ERR_READ_ONLY' });
  }
}

/** One assertion over them all: each costs as much as a dozen commands. */
async function answers(
  t: Test,
  dif: number,
  commands: readonly CommandDefinition[],
  reading: ScsiTransport,
  writable: ScsiTransport,
): Promise<void> {
  const found: Record<string, string[]> = {};
  const wanted: Record<string, string[]> = {};
  for (const command of commands) {
    const { name } = command;
    found[name] = [];
    wanted[name] = valuesOf(command).map((protect) => expected(name, dif, protect));
    for (const protect of valuesOf(command)) {
      const fields = fieldsFor(command, protect);
      const cdb = encodeCdb(name, fields);
      const readOnly = isReadOnlyCdb(cdb);
      // What a command before has changed is told to one that is sent again for it.
      if (!readOnly) await reading.send({ cdb: TEST_UNIT_READY, ...NO_DATA });
      const transport = readOnly ? reading : writable;
      const { outcome } = await transport.send({ cdb, ...transferFor(command, fields) });
      found[name].push(describeOutcome(outcome));
    }
    const after = SPECIAL[name]?.after;
    if (!after) continue;
    await reading.send({ cdb: TEST_UNIT_READY, ...NO_DATA });
    await writable.send({ cdb: after, ...NO_DATA });
  }
  t.same(found, wanted, 'with protect values 0 to 7');
}

async function usage(
  t: Test,
  supported: readonly SupportedCommand[],
  transport: ScsiTransport,
): Promise<void> {
  const found: Record<string, object> = {};
  const wanted: Record<string, object> = {};
  for (const one of supported) {
    const command = commandFor(one);
    const cdb = encodeCdb('REPORT SUPPORTED OPERATION CODES', {
      reportingOptions: one.serviceAction === null ? 1 : 2,
      requestedOpcode: one.opcode,
      requestedServiceAction: one.serviceAction ?? 0,
      allocationLength: ALLOCATED,
    });
    const { support, usage } = decodeOneCommand((await fetch(transport, cdb, ALLOCATED))!);
    found[command.name] = { support, usage: Buffer.from(withoutControl(usage!)).toString('hex') };
    wanted[command.name] = {
      support: SUPPORT.AS_STANDARD,
      usage: Buffer.from(expectedUsage(command.name, usageMap(command))).toString('hex'),
    };
  }
  t.same(found, wanted, 'CDB usage data');
}
