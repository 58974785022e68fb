/** WRITE SAME and UNMAP (SBC-4): one block over a range, and blocks let go. */
import { decodeUnmapList } from '../../../../scsi/unmap.js';
import {
  byteOf,
  type Handler,
  knowledgeOf,
  NO_DATA,
  parameterList,
  partsOf,
  phaseOf,
  rangeOf,
  requireOnDisk,
} from '../command.js';
import { type Disk, readsZeros } from '../disk.js';
import { TUPLE_BYTES } from '../format.js';
import { STATE, unmappedRecord } from '../medium.js';
import { putU32, u32 } from '../protection.js';
import { invalidInCdb, Refusal, SENSE } from '../refusal.js';
import { spoil } from '../strokes.js';
import { crossing } from './read.js';
import {
  completeTuples,
  landing,
  receive,
  requireGoodTuples,
  requireWritable,
  writeProtectOf,
} from './write.js';

/**
 * With NDOB the block is zeros under tuples of FFh. With UNMAP blocks are let go that read as what was sent all the same: zeros, under no
 * tuple of the initiator's or one of FFh.
 */
export const writeSame: Handler = (disk, command) => {
  const { definition, fields, dataOut } = command;
  const { unmap = false, anchor = false, noDataOut = false } = fields;
  const protect = writeProtectOf(disk, command);
  if (anchor) throw invalidInCdb(byteOf(definition, 'anchor'), 4);
  if (unmap && !disk.thin) throw invalidInCdb(byteOf(definition, 'unmap'), 3);
  const range = rangeOf(disk, command);
  // WSNZ of VPD page B0h.
  if (range.blocks === 0) throw invalidInCdb(byteOf(definition, 'blocks'));
  const writing = phaseOf(disk, command, 'write', range);
  const one = { lba: range.lba, blocks: 1 };
  // What strikes the wire strikes the one block that crosses it.
  const crossed = { ...writing, strokes: writing.strokes.map((stroke) => ({ ...stroke, lba: range.lba })) };
  const record = noDataOut ? emptyRecord(disk) : receive(disk, crossed, dataOut, one, protect);
  const came = noDataOut || crossing(disk, writing, protect) !== 0;
  const records = repeat(disk, record, range.blocks, came && !noDataOut);
  if (!noDataOut) {
    const known = knowledgeOf(disk, command, range.lba);
    requireGoodTuples(disk, writing, range, records, protect, known);
  }
  const unmaps = unmap && readsZeros(disk) && readsAsUnmapped(disk, record, came);
  completeTuples(disk, range, records, came);
  const lands = landing(disk, writing, range);
  if (lands === null) return NO_DATA;
  if (unmaps) {
    disk.medium.unmap(lands.lba, lands.blocks);
    return NO_DATA;
  }
  spoil(disk, writing.strokes, 'medium', range.lba, records);
  disk.medium.store(lands.lba, records.subarray(0, lands.blocks * record.length));
  return NO_DATA;
};

/** The block over and over: reference tags count on, tuples of all ones stay so. */
function repeat(disk: Disk, record: Uint8Array, blocks: number, hasTuples: boolean): Uint8Array {
  const { type, intervalExponent } = disk.medium.format;
  const records = new Uint8Array(record.length * blocks);
  const counts = hasTuples && type !== 3 && !partsOf(disk, record, 0).tuples.every((byte) => byte === 0xff);
  for (let i = 0; i < blocks; i++) {
    records.set(record, i * record.length);
    const { tuples } = partsOf(disk, records, i);
    for (let at = 4; counts && at < tuples.length; at += TUPLE_BYTES) {
      putU32(tuples, at, (u32(tuples, at) + (i << intervalExponent)) % 2 ** 32);
    }
  }
  return records;
}

function readsAsUnmapped(disk: Disk, record: Uint8Array, came: boolean): boolean {
  const { data, tuples } = partsOf(disk, record, 0);
  return data.every((byte) => byte === 0) && (!came || tuples.every((byte) => byte === 0xff));
}

/** Zeros under tuples of FFh, as written. */
function emptyRecord(disk: Disk): Uint8Array {
  const record = unmappedRecord(disk.medium.format);
  record[record.length - 1] = STATE.WRITTEN;
  return record;
}

/** Limits of one UNMAP: VPD page B0h. */
export const UNMAP_LIMITS = { blocks: 65536, descriptors: 64 } as const;

export const unmap: Handler = (disk, command) => {
  if (!disk.thin) throw new Refusal(SENSE.INVALID_OPCODE);
  requireWritable(disk);
  if (command.fields.anchor) throw invalidInCdb(byteOf(command.definition, 'anchor'), 0);
  const list = parameterList(command);
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
  for (const { lba, blocks } of taken) {
    const range = { lba: Number(lba), blocks };
    const lands = landing(disk, phaseOf(disk, command, 'write', range), range);
    if (lands !== null) disk.medium.unmap(lands.lba, lands.blocks);
  }
  return NO_DATA;
};
