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
  phaseOf,
  protectOf,
  rangeOf,
  requireLength,
  requireOnDisk,
  TRANSFER_BLOCKS_MAX,
  unstruck,
  wholly,
  wireBytesOf,
} from '../command.js';
import { type Disk, rulesOf } from '../disk.js';
import { recordBytesOf, STATE } from '../medium.js';
import {
  CHECK_FAILED,
  comparedTags,
  dataOutChecks,
  failedTag,
  generateTuples,
  type Knowledge,
  mediumChecks,
  ownAppTags,
  sameTags,
  type Tag,
} from '../protection.js';
import { invalidInCdb, invalidInList, Refusal, SENSE } from '../refusal.js';
import { spoil, spoils, struckBy } from '../strokes.js';
import { badBlock, comparisonFailed, crossing, modulo, readChecked } from './read.js';

export const write: Handler = (disk, command) => {
  writeAll(disk, command, 'torn');
  return NO_DATA;
};

/** Whether a part of the blocks may be stored: by a fault, and of those before a bad one where the disk's behaviour has it so. */
type Cut = 'torn' | 'whole';

function writeAll(disk: Disk, command: Command, cut: Cut): void {
  const protect = writeProtectOf(disk, command);
  const range = rangeOf(disk, command);
  const struck = phaseOf(disk, command, 'write', range);
  const phase = cut === 'whole' ? wholly(struck) : struck;
  const records = receive(disk, phase, command.dataOut, range, protect);
  storeChecked(disk, phase, range, records, protect, knowledgeOf(disk, command, range.lba), cut);
}

/** BYTCHK 00b: what was written can be read; 01b: and is what was sent, tuples too. */
export const writeAndVerify: Handler = (disk, command) => {
  const { definition, fields } = command;
  const { byteCheck = 0 } = fields;
  // HGST's disks take 11b for 01b.
  const allowed = byteCheck === 0b11 && disk.behaviour.writeVerify11 === 'compared';
  if (byteCheck > 0b01 && !allowed) throw invalidInCdb(byteOf(definition, 'byteCheck'), 2);
  const ignores = disk.behaviour.verifyProtect === 'ignored';
  const protect = ignores ? 0 : writeProtectOf(disk, command);
  const range = rangeOf(disk, command);
  const phase = phaseOf(disk, command, 'write', range);
  const received = receive(disk, phase, command.dataOut, range, protect);
  const known = knowledgeOf(disk, command, range.lba);
  storeChecked(disk, phase, range, received, protect, known, 'torn');
  const rules = rulesOf(disk);
  const stored = readChecked(disk, unstruck(command), range, mediumChecks(protect, rules), 0, known);
  if (byteCheck === 0) return NO_DATA;
  const compared = crossing(disk, phase, protect) === 0 ? [] : comparedTags(protect, rules);
  for (let i = 0; i < range.blocks; i++) {
    const [there, sent] = [partsOf(disk, stored, i), partsOf(disk, received, i)];
    if (Buffer.compare(there.data, sent.data) !== 0) throw new Refusal(SENSE.MISCOMPARE);
    const differs = compared.find((tag) => !sameTags(tag, there.tuples, sent.tuples));
    if (differs) throw badBlock(disk, phase, comparisonFailed(disk, CHECK_FAILED[differs]), range.lba + i);
  }
  return NO_DATA;
};

/** Of one atomic write, in blocks: VPD page B0h. */
export const ATOMIC_BLOCKS_MAX = 256;

/** All of it or nothing: what tears other writes does not tear this one. */
export const writeAtomic: Handler = (disk, command) => {
  const { definition, fields } = command;
  const { blocks = 0, boundary = 0 } = fields;
  rangeOf(disk, command);
  if (blocks > ATOMIC_BLOCKS_MAX) throw invalidInCdb(byteOf(definition, 'blocks'));
  if (boundary !== 0) throw invalidInCdb(byteOf(definition, 'boundary'));
  writeAll(disk, command, 'whole');
  return NO_DATA;
};

/** Ranges of one WRITE SCATTERED. */
const SCATTERED_RANGES_MAX = 256;

/** One range after the other; all are looked at before any is written. */
export const writeScattered: Handler = (disk, command) => {
  const protect = writeProtectOf(disk, command);
  const { definition, fields, dataOut } = command;
  const { ranges = 0, dataOffset = 0, blocks = 0 } = fields;
  const blockBytes = wireBytesOf(disk, protect);
  if (ranges === 0) return NO_DATA;
  const dataFrom = dataOffset * blockBytes;
  if (dataFrom < scatteredListBytes(ranges)) throw invalidInCdb(byteOf(definition, 'dataOffset'));
  if (ranges > SCATTERED_RANGES_MAX) throw invalidInCdb(byteOf(definition, 'ranges'));
  if (blocks > TRANSFER_BLOCKS_MAX) throw invalidInCdb(byteOf(definition, 'blocks'));
  // sg_write_x and scsi_debug count the data blocks alone in BUFFER TRANSFER LENGTH; the whole buffer is taken too.
  const whole = blocks * blockBytes;
  requireLength(dataOut, dataOut.length === dataFrom + whole ? dataOut.length : whole);
  if (dataOut.length < dataFrom) throw new Refusal(SENSE.DATA_TOO_SHORT);
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
    const own = phaseOf(disk, { ...command, fields: { ...fields, ...tags } }, 'write', range);
    const records = receive(disk, own, dataOut.subarray(from, to), range, protect);
    jobs.push({ range, command: own, records, known: knowledgeOf(disk, own, range.lba) });
    from = to;
  }
  for (const job of jobs) requireGoodTuples(disk, job.command, job.range, job.records, protect, job.known);
  for (const job of jobs)
    storeChecked(disk, job.command, job.range, job.records, protect, job.known, 'whole');
  return NO_DATA;
};

/** SWP of the Control mode page. */
export function requireWritable(disk: Disk): void {
  if (disk.modePages.get('softwareWriteProtect')) throw new Refusal(SENSE.WRITE_PROTECTED);
}

/** The protect field of a command that writes; SWP and RWWP refuse (SPC-5, SBC-4). */
export function writeProtectOf(disk: Disk, command: Command): number {
  requireWritable(disk);
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
  requireLength(dataOut, blocks * wireBytesOf(disk, protect));
  // Stripped: the first bytes are taken for data, tuples and all, as targets do that know no interleaved transfers.
  const taken = dataOut.subarray(0, blocks * wireBytesOf(disk, crosses));
  const records = fromWire(disk, taken, crosses, STATE.WRITTEN);
  spoil(disk, command.strokes, 'wire', lba, records);
  return records;
}

/** Checks what was sent, and stores it as the faults let it. The records get the tuples that are stored. */
export function storeChecked(
  disk: Disk,
  command: Command,
  range: BlockRange,
  records: Uint8Array,
  protect: number,
  known: Knowledge,
  cut: Cut,
): void {
  const bad = badTuple(disk, command, range, records, protect, known);
  if (bad !== null) {
    if (cut === 'torn' && disk.behaviour.writeBeforeError === 'stored') {
      const before = records.subarray(0, (bad.lba - range.lba) * recordBytesOf(disk.medium.format));
      if (before.length > 0) disk.medium.store(range.lba, before);
    }
    throw badBlock(disk, command, CHECK_FAILED[bad.tag], bad.lba);
  }
  completeTuples(disk, range, records, crossing(disk, command, protect) !== 0);
  store(disk, command, range, records);
}

/** Tuples for what came without; and with ATO 0 the application tag is the disk's, which leaves escapes what they are (SBC-4). */
export function completeTuples(
  disk: Disk,
  { lba, blocks }: BlockRange,
  records: Uint8Array,
  came: boolean,
): void {
  const rules = rulesOf(disk);
  for (let i = 0; i < blocks; i++) {
    const { data, tuples } = partsOf(disk, records, i);
    if (!came) generateTuples(rules, lba + i, data, tuples);
    else if (!rules.ato) ownAppTags(tuples);
  }
}

/** Throws for the first block of data-out with a tag that fails. */
export function requireGoodTuples(
  disk: Disk,
  command: Command,
  range: BlockRange,
  records: Uint8Array,
  protect: number,
  known: Knowledge,
  checks?: readonly Tag[],
): void {
  const bad = badTuple(disk, command, range, records, protect, known, checks);
  if (bad !== null) throw badBlock(disk, command, CHECK_FAILED[bad.tag], bad.lba);
}

/** The first block of data-out with a tag that fails, as this protect field has them checked. */
function badTuple(
  disk: Disk,
  command: Command,
  { lba }: BlockRange,
  records: Uint8Array,
  protect: number,
  known: Knowledge,
  checks: readonly Tag[] = dataOutChecks(protect, rulesOf(disk)),
): { readonly lba: number; readonly tag: Tag } | null {
  const pretends = disk.behaviour.checking === 'pretended' || struckBy(command.strokes, 'unchecked');
  if (crossing(disk, command, protect) === 0 || pretends) return null;
  const rules = rulesOf(disk);
  for (let index = 0; index < records.length / recordBytesOf(disk.medium.format); index++) {
    const { data, tuples } = partsOf(disk, records, index);
    const tag = failedTag(rules, checks, known, lba + index, data, tuples);
    if (tag !== null) return { lba: lba + index, tag };
  }
  return null;
}

/** Where the blocks of a write really go, and how many of them; null where none is stored. */
export function landing(
  disk: Disk,
  command: Command,
  { lba, blocks }: BlockRange,
): (BlockRange & { readonly spoilt: boolean }) | null {
  const { strokes } = command;
  const failed = struckBy(strokes, 'write-error');
  if (failed) throw badBlock(disk, command, SENSE.WRITE_ERROR, failed.lba);
  disk.tally.blocksWritten += blocks;
  const kept = struckBy(strokes, 'torn') ? Math.floor(blocks / 2) : blocks;
  if (kept === 0 || struckBy(strokes, 'stale')) return null;
  const astray = struckBy(strokes, 'misdirected');
  const capacity = disk.medium.format.blocks;
  const to = astray ? modulo(lba + Number(astray.fault.distance), capacity - blocks + 1) : lba;
  return { lba: to, blocks: kept, spoilt: spoils(strokes, 'medium') };
}

function store(disk: Disk, command: Command, range: BlockRange, records: Uint8Array): void {
  if (range.blocks === 0) return;
  const lands = landing(disk, command, range);
  if (lands === null) return;
  // What was sent stays as it is: WRITE AND VERIFY compares with it.
  const stored = lands.spoilt ? records.slice() : records;
  spoil(disk, command.strokes, 'medium', range.lba, stored);
  disk.medium.store(lands.lba, stored.subarray(0, lands.blocks * recordBytesOf(disk.medium.format)));
}
