/** WRITE, WRITE AND VERIFY, WRITE ATOMIC, WRITE STREAM and WRITE SCATTERED in all sizes (SBC-4). */
import { decodeScatteredList, scatteredListBytes } from '../../../../scsi/scattered.js';
import {
  type BlockRange,
  byteOf,
  type Command,
  fromWire,
  type Handler,
  knowledgeOf,
  NO_DATA,
  partsOf,
  protectOf,
  rangeOf,
  requireOnDisk,
  wireBytesOf,
} from '../command.js';
import { type Disk, rulesOf } from '../disk.js';
import { recordBytesOf, STATE } from '../medium.js';
import {
  CHECK_FAILED,
  dataOutChecks,
  failedTag,
  generateTuples,
  type Knowledge,
  mediumChecks,
  putU16,
  type Tag,
} from '../protection.js';
import { invalidInCdb, invalidInList, Refusal, SENSE } from '../refusal.js';
import { spoil, struckBy } from '../strokes.js';
import { badBlock, crossing, modulo, readChecked } from './read.js';

export const write: Handler = (disk, command) => {
  const protect = writeProtectOf(disk, command);
  const range = rangeOf(disk, command);
  const records = receive(disk, command, command.dataOut, range, protect);
  storeChecked(disk, command, range, records, protect, knowledgeOf(disk, command, range.lba));
  return NO_DATA;
};

/** BYTCHK 00b: what was written can be read; 01b: and is what was sent. */
export const writeAndVerify: Handler = (disk, command) => {
  const { definition, fields } = command;
  const { byteCheck = 0 } = fields;
  const oneBlock = byteCheck === 0b11 && disk.behaviour.writeVerify11 === 'one-block';
  if (byteCheck > 0b01 && !oneBlock) throw invalidInCdb(byteOf(definition, 'byteCheck'), 2);
  const protect = writeProtectOf(disk, command);
  const range = rangeOf(disk, command);
  const received = receive(disk, command, command.dataOut, range, protect);
  const known = knowledgeOf(disk, command, range.lba);
  storeChecked(disk, command, range, received, protect, known);
  const stored = readChecked(
    disk,
    { ...command, strokes: [] },
    range,
    mediumChecks(protect, rulesOf(disk)),
    0,
    known,
  );
  if (byteCheck === 0) return NO_DATA;
  for (let i = 0; i < range.blocks; i++) {
    const same = Buffer.compare(partsOf(disk, stored, i).data, partsOf(disk, received, i).data) === 0;
    if (!same) throw new Refusal(SENSE.MISCOMPARE);
  }
  return NO_DATA;
};

/** Of one atomic write, in blocks: VPD page B0h. */
export const ATOMIC_BLOCKS_MAX = 256;

/** All of it or nothing: what tears other writes does not tear this one. */
export const writeAtomic: Handler = (disk, command) => {
  const { definition, fields, strokes } = command;
  const { blocks = 0, boundary = 0 } = fields;
  rangeOf(disk, command);
  if (blocks > ATOMIC_BLOCKS_MAX) throw invalidInCdb(byteOf(definition, 'blocks'));
  if (boundary !== 0) throw invalidInCdb(byteOf(definition, 'boundary'));
  return write(disk, { ...command, strokes: strokes.filter(({ fault }) => fault.kind !== 'torn') });
};

/** One range after the other; all are looked at before any is written. */
export const writeScattered: Handler = (disk, command) => {
  const protect = writeProtectOf(disk, command);
  const { definition, fields, dataOut } = command;
  const { ranges = 0, dataOffset = 0, blocks = 0 } = fields;
  const blockBytes = wireBytesOf(disk, protect);
  if (ranges === 0) return NO_DATA;
  const dataFrom = dataOffset * blockBytes;
  if (dataFrom < scatteredListBytes(ranges)) throw invalidInCdb(byteOf(definition, 'dataOffset'));
  // sg_write_x and scsi_debug count the data blocks alone in BUFFER TRANSFER LENGTH; the whole buffer is taken too.
  const lengths = [blocks * blockBytes, dataFrom + blocks * blockBytes];
  if (dataOut.length < dataFrom || !lengths.includes(dataOut.length)) throw new Refusal(SENSE.DATA_LENGTH);
  const jobs: { range: BlockRange; command: Command; records: Uint8Array; known: Knowledge }[] = [];
  let from = dataFrom;
  for (const [i, { lba, blocks: count, ...tags }] of decodeScatteredList(dataOut, ranges).entries()) {
    const at = scatteredListBytes(i);
    requireOnDisk(disk, lba, BigInt(count));
    const to = from + count * blockBytes;
    if (to > dataOut.length) throw invalidInList(at + 8);
    const range = { lba: Number(lba), blocks: count };
    const overlaps = jobs.some(
      (job) => job.range.lba < range.lba + count && range.lba < job.range.lba + job.range.blocks,
    );
    if (overlaps) throw invalidInList(at);
    const own = { ...command, fields: { ...fields, ...tags } };
    const records = receive(disk, own, dataOut.subarray(from, to), range, protect);
    jobs.push({ range, command: own, records, known: knowledgeOf(disk, own, range.lba) });
    from = to;
  }
  for (const job of jobs) requireGoodTuples(disk, job.command, job.range, job.records, protect, job.known);
  for (const job of jobs) storeChecked(disk, job.command, job.range, job.records, protect, job.known);
  return NO_DATA;
};

/** The protect field of a command that writes; SWP and RWWP refuse (SPC-5, SBC-4). */
export function writeProtectOf(disk: Disk, command: Command): number {
  if (disk.modePages.get('softwareWriteProtect')) throw new Refusal(SENSE.WRITE_PROTECTED);
  const protect = protectOf(disk, command);
  const { type } = disk.medium.format;
  if (protect === 0 && type !== 0 && disk.modePages.get('rwwp')) {
    throw invalidInCdb(byteOf(command.definition, 'protect'), 7);
  }
  return protect;
}

/** Data-out as records; what comes without tuples gets them where it is stored. */
export function receive(
  disk: Disk,
  command: Command,
  dataOut: Uint8Array,
  { lba, blocks }: BlockRange,
  protect: number,
): Uint8Array {
  const crosses = crossing(disk, command, protect);
  const expected = blocks * wireBytesOf(disk, protect);
  if (dataOut.length !== expected) throw new Refusal(SENSE.DATA_LENGTH);
  // Stripped: the first bytes are taken for data, tuples and all, as targets do that know no interleaved transfers.
  const taken = dataOut.subarray(0, blocks * wireBytesOf(disk, crosses));
  const records = fromWire(disk, taken, crosses, STATE.WRITTEN);
  spoil(disk, command.strokes, 'wire', lba, records);
  return records;
}

/** Checks what was sent, and stores it as the faults let it. */
export function storeChecked(
  disk: Disk,
  command: Command,
  range: BlockRange,
  records: Uint8Array,
  protect: number,
  known: Knowledge,
): void {
  requireGoodTuples(disk, command, range, records, protect, known);
  const withTuples = crossing(disk, command, protect) !== 0;
  const rules = rulesOf(disk);
  for (let i = 0; i < range.blocks; i++) {
    const { data, tuples } = partsOf(disk, records, i);
    if (!withTuples) generateTuples(rules, range.lba + i, data, tuples);
    else if (!rules.ato) for (let at = 2; at < tuples.length; at += 8) putU16(tuples, at, 0);
  }
  store(disk, command, range, records);
}

function requireGoodTuples(
  disk: Disk,
  command: Command,
  { lba }: BlockRange,
  records: Uint8Array,
  protect: number,
  known: Knowledge,
): void {
  if (crossing(disk, command, protect) === 0 || struckBy(command.strokes, 'unchecked')) return;
  const bad = firstBadTuple(disk, records, protect, lba, known);
  if (bad === null) return;
  if (disk.behaviour.writeBeforeError === 'stored') {
    const before = records.subarray(0, bad.index * recordBytesOf(disk.medium.format));
    store(disk, { ...command, strokes: [] }, { lba, blocks: bad.index }, before);
  }
  throw badBlock(disk, command, CHECK_FAILED[bad.tag], lba + bad.index);
}

/** The first block of data-out with a tag that fails, as this protect field has them checked. */
export function firstBadTuple(
  disk: Disk,
  records: Uint8Array,
  protect: number,
  lba: number,
  known: Knowledge,
): { readonly index: number; readonly tag: Tag } | null {
  const rules = rulesOf(disk);
  const checks = dataOutChecks(protect, rules);
  for (let index = 0; index < records.length / recordBytesOf(disk.medium.format); index++) {
    const { data, tuples } = partsOf(disk, records, index);
    const tag = failedTag(rules, checks, known, lba + index, data, tuples);
    if (tag !== null) return { index, tag };
  }
  return null;
}

function store(disk: Disk, { strokes }: Command, { lba, blocks }: BlockRange, records: Uint8Array): void {
  if (blocks === 0) return;
  const failed = struckBy(strokes, 'write-error');
  if (failed) throw new Refusal(SENSE.WRITE_ERROR, { information: BigInt(failed.lba) });
  disk.tally.blocksWritten += blocks;
  if (struckBy(strokes, 'stale')) return;
  spoil(disk, strokes, 'medium', lba, records);
  const astray = struckBy(strokes, 'misdirected');
  const capacity = disk.medium.format.blocks;
  const to = astray ? modulo(lba + Number(astray.fault.distance), capacity - blocks + 1) : lba;
  const kept = struckBy(strokes, 'torn') ? Math.floor(blocks / 2) : blocks;
  disk.medium.store(to, records.subarray(0, kept * recordBytesOf(disk.medium.format)));
}
