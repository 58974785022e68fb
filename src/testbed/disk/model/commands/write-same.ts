/** WRITE SAME and UNMAP (SBC-4): one block over a range, and blocks let go. */
import { decodeUnmapList } from '../../../../scsi/unmap.js';
import {
  byteOf,
  type Command,
  type Handler,
  knowledgeOf,
  NO_DATA,
  partsOf,
  rangeOf,
  requireOnDisk,
} from '../command.js';
import type { Disk } from '../disk.js';
import { TUPLE_BYTES } from '../format.js';
import { recordBytesOf, STATE } from '../medium.js';
import { putU32, u32 } from '../protection.js';
import { invalidInCdb, Refusal, SENSE } from '../refusal.js';
import { struckBy } from '../strokes.js';
import { receive, storeChecked, writeProtectOf } from './write.js';

/** Blocks that are made at a time. */
const BATCH = 1024;

/** With NDOB the block is zeros under no tuple of the initiator's; with UNMAP blocks that would read as zeros anyway are let go. */
export const writeSame: Handler = (disk, command) => {
  const { definition, fields, dataOut, strokes } = command;
  const { unmap = false, anchor = false, noDataOut = false } = fields;
  const protect = writeProtectOf(disk, command);
  if (anchor) throw invalidInCdb(byteOf(definition, 'anchor'), 4);
  if (unmap && !disk.thin) throw invalidInCdb(byteOf(definition, 'unmap'), 3);
  const range = rangeOf(disk, command);
  // WSNZ of VPD page B0h.
  if (range.blocks === 0) throw invalidInCdb(byteOf(definition, 'blocks'));
  const one = { lba: range.lba, blocks: 1 };
  const record = noDataOut
    ? zeroRecord(disk)
    : receive(disk, { ...command, strokes: [] }, dataOut, one, protect);
  const isZero = record.subarray(0, disk.medium.format.blockSize).every((byte) => byte === 0);
  if (unmap && isZero && !struckBy(strokes, 'write-error')) {
    disk.medium.unmap(range.lba, range.blocks);
    return NO_DATA;
  }
  const given = noDataOut ? 0 : protect;
  const known = knowledgeOf(disk, command, range.lba);
  for (let at = 0; at < range.blocks; at += BATCH) {
    const blocks = Math.min(BATCH, range.blocks - at);
    const records = repeat(disk, record, at, blocks, given);
    storeChecked(disk, command, { lba: range.lba + at, blocks }, records, given, known);
  }
  return NO_DATA;
};

/** The block as it lies `from` blocks on, and the ones after it: reference tags count on, tuples of all ones stay so. */
function repeat(disk: Disk, record: Uint8Array, from: number, blocks: number, protect: number): Uint8Array {
  const { type, intervalExponent } = disk.medium.format;
  const records = new Uint8Array(record.length * blocks);
  const counts =
    protect !== 0 && type !== 3 && !partsOf(disk, record, 0).tuples.every((byte) => byte === 0xff);
  for (let i = 0; i < blocks; i++) {
    records.set(record, i * record.length);
    const { tuples } = partsOf(disk, records, i);
    for (let at = 4; counts && at < tuples.length; at += TUPLE_BYTES) {
      putU32(tuples, at, (u32(tuples, at) + ((from + i) << intervalExponent)) % 2 ** 32);
    }
  }
  return records;
}

function zeroRecord(disk: Disk): Uint8Array {
  const record = new Uint8Array(recordBytesOf(disk.medium.format));
  record[record.length - 1] = STATE.WRITTEN;
  return record;
}

/** Limits of one UNMAP: VPD page B0h. */
export const UNMAP_LIMITS = { blocks: 65536, descriptors: 64 } as const;

export const unmap: Handler = (disk, command) => {
  if (!disk.thin) throw new Refusal(SENSE.INVALID_OPCODE);
  if (disk.modePages.get('softwareWriteProtect')) throw new Refusal(SENSE.WRITE_PROTECTED);
  const list = listOf(command);
  if (list.length === 0) return NO_DATA;
  const ranges = decodeUnmapList(list);
  if (ranges === null) throw new Refusal(SENSE.PARAMETER_LIST_LENGTH);
  const blocks = ranges.reduce((sum, range) => sum + range.blocks, 0);
  if (ranges.length > UNMAP_LIMITS.descriptors || blocks > UNMAP_LIMITS.blocks) {
    throw new Refusal(SENSE.INVALID_FIELD_IN_LIST);
  }
  // A range without blocks is no error, wherever it lies (SBC-4).
  const taken = ranges.filter((range) => range.blocks > 0);
  for (const range of taken) requireOnDisk(disk, range.lba, BigInt(range.blocks));
  for (const range of taken) disk.medium.unmap(Number(range.lba), range.blocks);
  return NO_DATA;
};

function listOf({ fields, dataOut }: Command): Uint8Array {
  return dataOut.subarray(0, fields.parameterListLength ?? 0);
}
