/**
 * Command descriptor blocks: the commands that this package sends, and which commands cannot alter the
 * medium.
 */
import { IntegrityError } from '../errors.js';
import { hex } from './bytes.js';

/** The tags that a 32-byte command tells the device to expect (SBC-4 READ(32), WRITE(32)). */
export interface ExpectedTags {
  /**
   * EXPECTED INITIAL LOGICAL BLOCK REFERENCE TAG, 32 bits: the first interval's; each next one is one more.
   */
  readonly refTag: number;
  /** EXPECTED LOGICAL BLOCK APPLICATION TAG, 16 bits. */
  readonly appTag: number;
  /**
   * LOGICAL BLOCK APPLICATION TAG MASK, 16 bits: a tag fails if a bit differs that is 1 here. 0 compares
   * nothing.
   */
  readonly appTagMask: number;
}

/** Bytes of the READ and WRITE commands that are built here. */
export type TransferCdbSize = 10 | 16 | 32;

export interface TransferCommand {
  readonly size: TransferCdbSize;
  readonly lba: bigint;
  /** TRANSFER LENGTH in logical blocks; 0 transfers nothing and is no error. */
  readonly blocks: number;
  /** RDPROTECT or WRPROTECT, 0 to 7; 0 without it. */
  readonly protect?: number;
  /**
   * Only with 32 bytes. Without it a 32-byte command expects what Linux' sd does: the LBA's low 32 bits as
   * reference tag, any application tag.
   */
  readonly expected?: ExpectedTags;
  readonly fua?: boolean;
  readonly dpo?: boolean;
}

/** Opcode, and the service action where the opcode has them. */
type Operation = readonly [opcode: number, serviceAction?: number];

/** Where a big-endian field lies in the CDB. */
type Field = readonly [at: number, bytes: number];

interface TransferLayout {
  readonly read: Operation;
  readonly write: Operation;
  /** The byte with RDPROTECT or WRPROTECT (7:5), DPO (4) and FUA (3). */
  readonly flagsAt: number;
  readonly lba: Field;
  readonly blocks: Field;
  readonly tags?: { readonly refTag: Field; readonly appTag: Field; readonly appTagMask: Field };
}

/** SBC-4: READ and WRITE of one size differ in the operation alone. */
const TRANSFER_LAYOUTS: Readonly<Record<TransferCdbSize, TransferLayout>> = {
  10: { read: [0x28], write: [0x2a], flagsAt: 1, lba: [2, 4], blocks: [7, 2] },
  16: { read: [0x88], write: [0x8a], flagsAt: 1, lba: [2, 8], blocks: [10, 4] },
  32: {
    read: [0x7f, 0x0009],
    write: [0x7f, 0x000b],
    flagsAt: 10,
    lba: [12, 8],
    blocks: [28, 4],
    tags: { refTag: [20, 4], appTag: [24, 2], appTagMask: [26, 2] },
  },
};

const VARIABLE_LENGTH = 0x7f;

/** READ(10), READ(16) or READ(32). Throws ERR_OUT_OF_RANGE naming the field that does not fit. */
export function readCdb(command: TransferCommand): Uint8Array {
  return transferCdb('read', command);
}

/** WRITE(10), WRITE(16) or WRITE(32). Throws ERR_OUT_OF_RANGE naming the field that does not fit. */
export function writeCdb(command: TransferCommand): Uint8Array {
  return transferCdb('write', command);
}

function transferCdb(direction: 'read' | 'write', command: TransferCommand): Uint8Array {
  const { size, lba, blocks, protect = 0, expected, fua = false, dpo = false } = command;
  const layout = TRANSFER_LAYOUTS[size];
  if (layout === undefined) throw outOfRange('size', size, 'one of 10, 16 and 32 bytes');
  if (!(Number.isInteger(protect) && protect >= 0 && protect <= 7))
    throw outOfRange('protect', protect, '0 to 7');
  const cdb = newCdb(size, layout[direction]);
  cdb[layout.flagsAt] = (protect << 5) | (Number(dpo) << 4) | (Number(fua) << 3);
  put(cdb, layout.lba, 'lba', lba);
  put(cdb, layout.blocks, 'blocks', blocks);
  if (layout.tags) {
    const tags = expected ?? { refTag: Number(BigInt.asUintN(32, lba)), appTag: 0, appTagMask: 0 };
    put(cdb, layout.tags.refTag, 'expected.refTag', tags.refTag);
    put(cdb, layout.tags.appTag, 'expected.appTag', tags.appTag);
    put(cdb, layout.tags.appTagMask, 'expected.appTagMask', tags.appTagMask);
  } else if (expected) {
    throw outOfRange('expected', 'given', `left out: a ${size}-byte command has no tag fields`);
  }
  return cdb;
}

/** INQUIRY (SPC-5): the standard data, or the vital product data page `page`. */
export function inquiryCdb(allocationLength: number, page?: number): Uint8Array {
  const cdb = newCdb(6, [0x12]);
  if (page !== undefined) {
    cdb[1] = 0x01;
    put(cdb, [2, 1], 'page', page);
  }
  put(cdb, [3, 2], 'allocationLength', allocationLength);
  return cdb;
}

/** READ CAPACITY(16) (SBC-4), which alone tells of protection. */
export function readCapacity16Cdb(allocationLength = 32): Uint8Array {
  const cdb = newCdb(16, [0x9e, 0x10]);
  put(cdb, [10, 4], 'allocationLength', allocationLength);
  return cdb;
}

/** MODE SENSE(10) (SPC-5) of the current values of `page`, without block descriptors. */
export function modeSense10Cdb(page: number, allocationLength: number): Uint8Array {
  if (page > 0x3f) throw outOfRange('page', page, '0 to 63');
  const cdb = newCdb(10, [0x5a]);
  cdb[1] = 0x08;
  put(cdb, [2, 1], 'page', page);
  put(cdb, [7, 2], 'allocationLength', allocationLength);
  return cdb;
}

export interface TransferShape {
  readonly blocks: number;
  /** Logical block length in bytes, without protection information. */
  readonly blockSize: number;
  /** 2^P_I_EXPONENT. */
  readonly intervalsPerBlock: number;
  /** RDPROTECT or WRPROTECT. */
  readonly protect: number;
}

/**
 * Bytes that a READ or WRITE moves: with a protect field other than 0 each interval is followed by its 8-byte
 * tuple (SBC-4).
 */
export function transferLength({ blocks, blockSize, intervalsPerBlock, protect }: TransferShape): number {
  return blocks * (blockSize + (protect === 0 ? 0 : 8 * intervalsPerBlock));
}

interface Command {
  readonly operation: Operation;
  readonly name: string;
  /** The command cannot alter the medium, provided that these bits are clear where given. */
  readonly readOnly?: true | { readonly ifClear: readonly [at: number, mask: number] };
}

/** BYTCHK 00b: VERIFY compares with nothing of ours, so no data goes out. */
const NO_DATA_OUT = { ifClear: [1, 0x06] } as const;

/** What has no `readOnly` here, or is not here, counts as a write. */
const COMMANDS: readonly Command[] = [
  { operation: [0x00], name: 'TEST UNIT READY', readOnly: true },
  { operation: [0x03], name: 'REQUEST SENSE', readOnly: true },
  { operation: [0x08], name: 'READ(6)', readOnly: true },
  { operation: [0x12], name: 'INQUIRY', readOnly: true },
  { operation: [0x1a], name: 'MODE SENSE(6)', readOnly: true },
  { operation: [0x25], name: 'READ CAPACITY(10)', readOnly: true },
  { operation: [0x28], name: 'READ(10)', readOnly: true },
  { operation: [0x2a], name: 'WRITE(10)' },
  { operation: [0x2f], name: 'VERIFY(10)', readOnly: NO_DATA_OUT },
  // SP saves the log parameters to the disk's own reserved area.
  { operation: [0x4d], name: 'LOG SENSE', readOnly: { ifClear: [1, 0x01] } },
  { operation: [0x5a], name: 'MODE SENSE(10)', readOnly: true },
  { operation: [0x7f, 0x0009], name: 'READ(32)', readOnly: true },
  { operation: [0x7f, 0x000a], name: 'VERIFY(32)', readOnly: { ifClear: [10, 0x06] } },
  { operation: [0x7f, 0x000b], name: 'WRITE(32)' },
  { operation: [0x88], name: 'READ(16)', readOnly: true },
  { operation: [0x8a], name: 'WRITE(16)' },
  { operation: [0x8f], name: 'VERIFY(16)', readOnly: NO_DATA_OUT },
  { operation: [0x9e, 0x10], name: 'READ CAPACITY(16)', readOnly: true },
  { operation: [0x9e, 0x12], name: 'GET LBA STATUS', readOnly: true },
  { operation: [0xa0], name: 'REPORT LUNS', readOnly: true },
  { operation: [0xa3, 0x0c], name: 'REPORT SUPPORTED OPERATION CODES', readOnly: true },
  { operation: [0xa8], name: 'READ(12)', readOnly: true },
  { operation: [0xaf], name: 'VERIFY(12)', readOnly: NO_DATA_OUT },
];

/** Whether this command cannot alter the medium. What is not known counts as a write. */
export function isReadOnlyCdb(cdb: Uint8Array): boolean {
  const readOnly = commandOf(cdb)?.readOnly ?? false;
  if (typeof readOnly === 'boolean') return readOnly;
  const [at, mask] = readOnly.ifClear;
  const byte = cdb[at];
  return byte !== undefined && (byte & mask) === 0;
}

/** The command's name and bytes: `READ(10) 28 20 00 00 00 08 00 00 08 00`. */
export function cdbText(cdb: Uint8Array): string {
  return `${commandOf(cdb)?.name ?? 'command'} ${hex(cdb, ' ')}`;
}

function commandOf(cdb: Uint8Array): Command | undefined {
  return COMMANDS.find(({ operation: [opcode, serviceAction] }) => {
    if (cdb[0] !== opcode) return false;
    return serviceAction === undefined || serviceAction === serviceActionOf(cdb);
  });
}

/** SPC-5: bytes 8 and 9 of a variable-length CDB, bits 4:0 of byte 1 elsewhere. */
function serviceActionOf(cdb: Uint8Array): number | undefined {
  if (cdb[0] !== VARIABLE_LENGTH) return cdb[1] === undefined ? undefined : cdb[1] & 0x1f;
  const [high, low] = cdb.subarray(8, 10);
  return high === undefined || low === undefined ? undefined : (high << 8) | low;
}

function newCdb(size: number, [opcode, serviceAction]: Operation): Uint8Array {
  const cdb = new Uint8Array(size);
  cdb[0] = opcode;
  if (serviceAction === undefined) return cdb;
  if (opcode === VARIABLE_LENGTH) {
    // ADDITIONAL CDB LENGTH counts the bytes after itself.
    cdb[7] = size - 8;
    put(cdb, [8, 2], 'serviceAction', serviceAction);
  } else {
    cdb[1] = serviceAction;
  }
  return cdb;
}

function put(cdb: Uint8Array, [at, bytes]: Field, name: string, value: bigint | number): void {
  const limit = 1n << BigInt(8 * bytes);
  const integer = typeof value === 'bigint' || Number.isSafeInteger(value);
  if (!integer || value < 0 || value >= limit) {
    throw outOfRange(name, value, `0 to ${limit - 1n} in a ${cdb.length}-byte command`);
  }
  let rest = BigInt(value);
  for (let i = at + bytes - 1; i >= at; i--) {
    cdb[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
}

function outOfRange(name: string, value: unknown, wanted: string): IntegrityError {
  return new IntegrityError('ERR_OUT_OF_RANGE', `${name} is ${String(value)}: it must be ${wanted}`);
}
