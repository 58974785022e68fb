/** A command under way, and what most commands ask of it first. */
import type { CdbFields, CommandDefinition } from '../../../scsi/commands.js';
import { SHORT_CDB_SENSE } from './behaviour.js';
import type { Disk } from './disk.js';
import type { Stroke } from './faults.js';
import { intervalsOf, TUPLE_BYTES, tupleBytesOf } from './format.js';
import { recordBytesOf } from './medium.js';
import { isReservedProtect, type Knowledge } from './protection.js';
import { invalidInCdb, Refusal, SENSE } from './refusal.js';

export interface Command {
  readonly definition: CommandDefinition;
  readonly fields: CdbFields;
  readonly dataOut: Uint8Array;
  readonly dataInMax: number;
  /** Faults that strike it, or the phase that it is in. */
  readonly strokes: readonly Stroke[];
}

/** The command while it reads or writes these blocks: faults strike each phase of its own. */
export function phaseOf(disk: Disk, command: Command, access: 'read' | 'write', range: BlockRange): Command {
  return { ...command, strokes: disk.faults.strike('phase', { access, range }) };
}

/** A write that is done wholly or not at all: nothing tears it. */
export function wholly(command: Command): Command {
  return { ...command, strokes: command.strokes.filter(({ fault }) => fault.kind !== 'torn') };
}

/** A part of a command that no fault strikes. */
export function unstruck(command: Command): Command {
  return { ...command, strokes: [] };
}

/** Returns the data for the initiator; a refusal is thrown. */
export type Handler = (disk: Disk, command: Command) => Uint8Array;

export const NO_DATA: Uint8Array = new Uint8Array(0);

/** Blocks that one command may have: MAXIMUM TRANSFER LENGTH of VPD page B0h. */
export const TRANSFER_BLOCKS_MAX = 8192;

export interface BlockRange {
  readonly lba: number;
  readonly blocks: number;
}

/**
 * The blocks that a command names. More than a command may have is refused, and so is what does not lie on the disk, also without any
 * block (SBC-4: LBA OUT OF RANGE from one behind the last).
 */
export function rangeOf(disk: Disk, { definition, fields }: Command): BlockRange {
  const { lba = 0n, blocks = 0 } = fields;
  requireOnDisk(disk, lba, BigInt(blocks));
  if (blocks > TRANSFER_BLOCKS_MAX) throw invalidInCdb(byteOf(definition, 'blocks'));
  return { lba: Number(lba), blocks };
}

/** What the initiator sends is as long as the CDB says (SAM-6: INFORMATION UNIT TOO SHORT, TOO LONG). */
export function requireLength(dataOut: Uint8Array, bytes: number): void {
  if (dataOut.length < bytes) throw new Refusal(SENSE.DATA_TOO_SHORT);
  if (dataOut.length > bytes) throw new Refusal(SENSE.DATA_TOO_LONG);
}

/** A parameter list, as long as the CDB says; what is sent beyond it is nobody's. */
export function parameterList({ fields, dataOut }: Command): Uint8Array {
  const { parameterListLength = 0 } = fields;
  if (dataOut.length < parameterListLength) throw new Refusal(SENSE.DATA_TOO_SHORT);
  return dataOut.subarray(0, parameterListLength);
}

export function requireOnDisk({ medium }: Disk, lba: bigint, blocks: bigint): void {
  const capacity = BigInt(medium.format.blocks);
  if (lba < capacity && lba + blocks <= capacity) return;
  throw new Refusal(SENSE.LBA_OUT_OF_RANGE);
}

/** Where a field of the CDB begins, for the field pointer. */
export function byteOf(definition: CommandDefinition, field: keyof CdbFields): number {
  return definition.fields[field]?.runs[0]?.at ?? 0;
}

/** Whether the command tells the disk which tags to expect. */
export function hasTags({ name, length, fields }: CommandDefinition): boolean {
  // WRITE SCATTERED(32) has them in its list; ORWRITE(32) has generations in their place.
  return length === 32 && 'protect' in fields && !name.startsWith('ORWRITE');
}

/**
 * The protect field, where it is allowed (SBC-4, the tables of RDPROTECT, WRPROTECT and VRPROTECT): 32-byte commands with tags are for
 * type 2 alone, and there the shorter ones have no protect field.
 */
export function protectOf(disk: Disk, command: Command): number {
  const { type } = disk.medium.format;
  const { protect = 0 } = command.fields;
  const { behaviour } = disk;
  const long = hasTags(command.definition);
  if (long && type !== 2 && behaviour.longCdbElsewhere === 'invalid-opcode') {
    throw new Refusal(SENSE.INVALID_OPCODE);
  }
  if (protect === 0) return 0;
  const at = byteOf(command.definition, 'protect');
  if (type === 0) {
    if (behaviour.protectUnformatted === 'ignored') return 0;
    throw invalidInCdb(at, 7);
  }
  if (isReservedProtect(protect, behaviour)) throw invalidInCdb(at, 7);
  if (type === 2 && command.definition.length !== 32)
    throw new Refusal(SHORT_CDB_SENSE[behaviour.type2ShortCdb]);
  return protect;
}

/** What the disk knows of the tags of this command's blocks (SBC-4, "application tag" and "reference tag"). */
export function knowledgeOf(disk: Disk, command: Command, first: number): Knowledge {
  const { type } = disk.medium.format;
  const { refTag = 0, appTag = 0, appTagMask = 0 } = command.fields;
  const told = hasTags(command.definition);
  const intervals = intervalsOf(disk.medium.format);
  const ato = disk.modePages.get('ato');
  const byPage = disk.modePages.get('atmpe') && disk.behaviour.appTagKnownBy === 'cdb-and-mode-page';
  return {
    ref: (lba) => {
      if (type === 1) return lba % 2 ** 32;
      return type === 2 && told ? (refTag + (lba - first) * intervals) % 2 ** 32 : null;
    },
    app: (lba) => {
      if (!ato) return null;
      if (told) return { tag: appTag, mask: appTagMask };
      const tag = byPage ? disk.modePages.appTag(lba) : null;
      return tag === null ? null : { tag, mask: 0xffff };
    },
  };
}

/** Bytes of one block as it crosses with this protect field. */
export function wireBytesOf({ medium }: Disk, protect: number): number {
  return medium.format.blockSize + (protect === 0 ? 0 : tupleBytesOf(medium.format));
}

/** Every piece of `blocks` records with its place among what crosses: the data of a block, or each interval and its tuple. */
function eachPiece(
  { medium }: Disk,
  blocks: number,
  protect: number,
  piece: (inRecords: number, onWire: number, length: number) => void,
): void {
  const { format } = medium;
  const { blockSize } = format;
  const interval = protect === 0 ? blockSize : blockSize >> format.intervalExponent;
  let onWire = 0;
  for (let i = 0; i < blocks; i++) {
    const record = i * recordBytesOf(format);
    for (let data = 0, tuple = blockSize; data < blockSize; data += interval, tuple += TUPLE_BYTES) {
      piece(record + data, onWire, interval);
      onWire += interval;
      if (protect === 0) continue;
      piece(record + tuple, onWire, TUPLE_BYTES);
      onWire += TUPLE_BYTES;
    }
  }
}

/** From records to what crosses: plain data, or each interval followed by its tuple. */
export function toWire(disk: Disk, records: Uint8Array, protect: number): Uint8Array {
  const blocks = records.length / recordBytesOf(disk.medium.format);
  const wire = new Uint8Array(blocks * wireBytesOf(disk, protect));
  eachPiece(disk, blocks, protect, (inRecords, onWire, length) => {
    wire.set(records.subarray(inRecords, inRecords + length), onWire);
  });
  return wire;
}

/** From what crossed to records, of state `state`; without tuples these are left zero. */
export function fromWire(disk: Disk, wire: Uint8Array, protect: number, state: number): Uint8Array {
  const recordBytes = recordBytesOf(disk.medium.format);
  const blocks = wire.length / wireBytesOf(disk, protect);
  const records = new Uint8Array(blocks * recordBytes);
  eachPiece(disk, blocks, protect, (inRecords, onWire, length) => {
    records.set(wire.subarray(onWire, onWire + length), inRecords);
  });
  for (let end = recordBytes; end <= records.length; end += recordBytes) records[end - 1] = state;
  return records;
}

/** One record's parts. */
export function partsOf(
  disk: Disk,
  records: Uint8Array,
  index: number,
): { readonly data: Uint8Array; readonly tuples: Uint8Array; readonly state: number } {
  const { format } = disk.medium;
  const tupleBytes = tupleBytesOf(format);
  const at = index * recordBytesOf(format);
  const tuplesAt = at + format.blockSize;
  return {
    data: records.subarray(at, tuplesAt),
    tuples: records.subarray(tuplesAt, tuplesAt + tupleBytes),
    state: records[tuplesAt + tupleBytes]!,
  };
}
