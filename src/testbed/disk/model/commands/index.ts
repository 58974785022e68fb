/** Which commands the disk has. What is here is in REPORT SUPPORTED OPERATION CODES, and nothing else is. */
import { COMMANDS, type CommandDefinition } from '../../../../scsi/commands.js';
import { type Handler, hasTags } from '../command.js';
import type { Abilities } from '../disk.js';
import { formatUnit } from './format.js';
import { inquiry, readCapacity10, readCapacity16, reportLuns } from './inquiry.js';
import {
  getLbaStatus,
  prefetch,
  reportSupportedOpcodes,
  requestSense,
  startStopUnit,
  synchronizeCache,
  testUnitReady,
  writeLong,
} from './maintenance.js';
import { modeSelect, modeSense } from './mode.js';
import { read } from './read.js';
import { compareAndWrite, orwrite, verify } from './verify.js';
import { write, writeAndVerify, writeAtomic, writeScattered } from './write.js';
import { unmap, writeSame } from './write-same.js';

/** By name; the sizes of a command have one handler. */
const HANDLERS: Readonly<Record<string, Handler>> = {
  'TEST UNIT READY': testUnitReady,
  'REQUEST SENSE': requestSense,
  'FORMAT UNIT': formatUnit,
  READ: read,
  WRITE: write,
  INQUIRY: inquiry,
  'MODE SELECT': modeSelect,
  'MODE SENSE': modeSense,
  'START STOP UNIT': startStopUnit,
  'READ CAPACITY(10)': readCapacity10,
  'READ CAPACITY(16)': readCapacity16,
  'WRITE AND VERIFY': writeAndVerify,
  VERIFY: verify,
  'PRE-FETCH': prefetch,
  'SYNCHRONIZE CACHE': synchronizeCache,
  'WRITE LONG': writeLong,
  'WRITE SAME': writeSame,
  UNMAP: unmap,
  ORWRITE: orwrite,
  'WRITE ATOMIC': writeAtomic,
  'WRITE STREAM': write,
  'WRITE SCATTERED': writeScattered,
  'GET LBA STATUS': getLbaStatus,
  'COMPARE AND WRITE': compareAndWrite,
  'REPORT LUNS': reportLuns,
  'REPORT SUPPORTED OPERATION CODES': reportSupportedOpcodes,
};

const handlers = new Map(
  COMMANDS.flatMap((command) => {
    const handler = HANDLERS[command.name] ?? HANDLERS[command.name.replace(/\(\d+\)$/, '')];
    return handler === undefined ? [] : [[command, handler] as const];
  }),
);

/** Commands that only a disk with thin provisioning has. */
const THIN: readonly string[] = ['UNMAP', 'GET LBA STATUS(16)', 'GET LBA STATUS(32)'];
/** Commands that come before a UNIT ATTENTION (SPC-5). */
const UNATTENDED: readonly string[] = ['INQUIRY', 'REPORT LUNS', 'REQUEST SENSE'];

export function handlerOf(command: CommandDefinition): Handler | undefined {
  return handlers.get(command);
}

/** 32-byte commands with tags are for type 2 alone (SBC-4). */
export function isSupported(
  command: CommandDefinition,
  {
    thin,
    lacks,
    supportedTypes,
    behaviour,
  }: Pick<Abilities, 'thin' | 'lacks' | 'supportedTypes' | 'behaviour'>,
): boolean {
  if (!handlers.has(command) || lacks.includes(command.name)) return false;
  if (!thin && THIN.includes(command.name)) return false;
  return !hasTags(command) || supportedTypes.includes(2) || behaviour.longCdbElsewhere === 'executed';
}

/** Whether a disk that is stopped cannot do it. */
export function needsMedium({ name, fields }: CommandDefinition): boolean {
  return (
    name === 'TEST UNIT READY' ||
    name === 'UNMAP' ||
    name === 'FORMAT UNIT' ||
    'lba' in fields ||
    'ranges' in fields
  );
}

export function reportsAttention(command: CommandDefinition): boolean {
  return !UNATTENDED.includes(command.name);
}
