/** What is asked around the blocks: opcodes, sense, caches, marks of unreadable blocks (SPC-5, SBC-4). */
import { COMMANDS, commandsOfOpcode } from '../../../../scsi/commands.js';
import { encodeLbaStatus, PROVISIONING_STATUS } from '../../../../scsi/lba-status.js';
import { encodeSense } from '../../../../scsi/sense.js';
import { encodeAllCommands, encodeOneCommand } from '../../../../scsi/supported-opcodes.js';
import { byteOf, type Handler, NO_DATA, partsOf, requireOnDisk, TRANSFER_BLOCKS_MAX } from '../command.js';
import { recordBytesOf, STATE } from '../medium.js';
import { invalidInCdb, type SenseCodes } from '../refusal.js';
import { requireWritable } from './write.js';

export const testUnitReady: Handler = () => NO_DATA;

/** A power condition changes nothing here; a disk that is stopped answers NOT READY. */
export const startStopUnit: Handler = (disk, { definition, fields }) => {
  const { loadEject = false, powerCondition = 0, start = false } = fields;
  if (loadEject) throw invalidInCdb(byteOf(definition, 'loadEject'), 1);
  if (powerCondition === 0) disk.stopped = !start;
  return NO_DATA;
};

export const synchronizeCache: Handler = (disk, { fields }) => {
  requireOnDisk(disk, fields.lba ?? 0n, BigInt(fields.blocks ?? 0));
  disk.medium.flush();
  return NO_DATA;
};

/** MAXIMUM PREFETCH LENGTH is 0: there is no limit. */
export const prefetch: Handler = (disk, { fields }) => {
  requireOnDisk(disk, fields.lba ?? 0n, BigInt(fields.blocks ?? 0));
  return NO_DATA;
};

/** A waiting UNIT ATTENTION is told here, and with that it is gone. */
export const requestSense: Handler = (disk, { fields }) => {
  const [key, asc, ascq]: SenseCodes = disk.attentions.shift() ?? [0, 0, 0];
  return encodeSense({ descriptor: fields.descriptorSense ?? false, key, asc, ascq });
};

/** REPORTING OPTIONS. */
const REPORT = { ALL: 0, OPCODE: 1, SERVICE_ACTION: 2, EITHER: 3 } as const;

export const reportSupportedOpcodes: Handler = (disk, { definition, fields }) => {
  const {
    reportingOptions = 0,
    returnTimeouts = false,
    requestedOpcode = 0,
    requestedServiceAction = 0,
  } = fields;
  if (reportingOptions === REPORT.ALL)
    return encodeAllCommands(
      COMMANDS.filter((command) => disk.supports(command)),
      returnTimeouts,
    );
  if (reportingOptions > REPORT.EITHER) throw invalidInCdb(byteOf(definition, 'reportingOptions'), 2);
  const known = commandsOfOpcode(requestedOpcode).filter((one) => disk.supports(one));
  const hasActions = known.some(({ operation }) => operation.length === 2);
  const wrong =
    (reportingOptions === REPORT.OPCODE && hasActions) ||
    (reportingOptions === REPORT.SERVICE_ACTION && known.length > 0 && !hasActions);
  if (wrong) throw invalidInCdb(byteOf(definition, 'reportingOptions'), 2);
  const found = known.find(
    ({ operation: [, action] }) => (action ?? 0) === (hasActions ? requestedServiceAction : 0),
  );
  const foreign = reportingOptions === REPORT.EITHER && !hasActions && requestedServiceAction !== 0;
  return encodeOneCommand(foreign ? null : (found ?? null), returnTimeouts);
};

/** WR_UNCOR: the block is an unrecovered read error until it is written. Writing bytes over the correction is no longer (SBC-4). */
export const writeLong: Handler = (disk, { definition, fields }) => {
  const {
    lba = 0n,
    writeUncorrectable = false,
    correctionDisabled = false,
    physicalBlock = false,
    byteLength = 0,
  } = fields;
  if (correctionDisabled) throw invalidInCdb(byteOf(definition, 'correctionDisabled'), 7);
  // A physical block is one logical block here, and of those PBLOCK is not for (SBC-3).
  if (physicalBlock) throw invalidInCdb(byteOf(definition, 'physicalBlock'), 5);
  if (!writeUncorrectable) throw invalidInCdb(byteOf(definition, 'writeUncorrectable'), 6);
  if (byteLength !== 0) throw invalidInCdb(byteOf(definition, 'byteLength'));
  requireWritable(disk);
  requireOnDisk(disk, lba, 1n);
  const record = disk.medium.load(Number(lba), 1).slice();
  record[record.length - 1] = STATE.UNREADABLE;
  disk.medium.store(Number(lba), record);
  return NO_DATA;
};

const STATUS_HEADER_BYTES = 8;
const STATUS_BYTES = 16;

/** Runs of blocks that are alike, as far as one command's blocks reach and the data has room. */
export const getLbaStatus: Handler = (disk, { fields, definition }) => {
  const { lba = 0n, allocationLength = 0, reportType = 0, elementId = 0, scanLength = 0 } = fields;
  if (reportType !== 0) throw invalidInCdb(byteOf(definition, 'reportType'));
  // The disk has no physical elements.
  if (elementId !== 0) throw invalidInCdb(byteOf(definition, 'elementId'));
  requireOnDisk(disk, lba, 1n);
  const first = Number(lba);
  const blocks = Math.min(
    scanLength || TRANSFER_BLOCKS_MAX,
    TRANSFER_BLOCKS_MAX,
    disk.medium.format.blocks - first,
  );
  const records = disk.medium.load(first, blocks);
  const mapped = (i: number) => !disk.thin || partsOf(disk, records, i).state !== STATE.UNMAPPED;
  const room = Math.max(1, Math.floor((allocationLength - STATUS_HEADER_BYTES) / STATUS_BYTES));
  const runs: { at: number; blocks: number }[] = [];
  for (let i = 0; i < records.length / recordBytesOf(disk.medium.format); i++) {
    const run = runs.at(-1);
    if (run !== undefined && mapped(run.at) === mapped(i)) run.blocks++;
    else if (runs.length < room) runs.push({ at: i, blocks: 1 });
    else break;
  }
  return encodeLbaStatus({
    completion: 0,
    ranges: runs.map((run) => ({
      lba: lba + BigInt(run.at),
      blocks: run.blocks,
      status: mapped(run.at) ? PROVISIONING_STATUS.MAPPED : PROVISIONING_STATUS.DEALLOCATED,
      additional: 0,
    })),
  });
};
