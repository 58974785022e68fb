/**
 * The CDBs that this package sends, and which commands cannot alter the medium.
 */
import { IntegrityError } from '../errors.js';
import { CODE_FIELDS } from '../words.js';
import { hex } from './bytes.js';
import {
  type CdbFields,
  type CommandDefinition,
  commandOf,
  type DecodedCdb,
  decodeCdb,
  encodeCdb,
  usageMap,
} from './commands.js';

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

/** Bytes of the READ and WRITE commands. */
export type TransferCdbSize = 6 | 10 | 12 | 16 | 32;

export interface TransferCommand extends TransferForm {
  readonly lba: bigint;
  /** TRANSFER LENGTH in logical blocks; 0 transfers nothing and is no error. */
  readonly blocks: number;
}

/** A READ or WRITE without its place. */
export interface TransferForm {
  readonly size: TransferCdbSize;
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

/**
 * READ of any size. Throws ERR_OUT_OF_RANGE naming the field that does not fit, ERR_USAGE for one that READ(6) has not: it can say nothing
 * of protection or caches.
 */
export function readCdb(command: TransferCommand): Uint8Array {
  return transferCdb('READ', command);
}

/** WRITE of any size. Throws as {@link readCdb}. */
export function writeCdb(command: TransferCommand): Uint8Array {
  return transferCdb('WRITE', command);
}

export const TRANSFER_SIZES: readonly TransferCdbSize[] = [6, 10, 12, 16, 32];

/** Blocks that one command of each size can name. */
export const TRANSFER_BLOCKS_MAX: Readonly<Record<TransferCdbSize, number>> = {
  6: 256,
  10: 2 ** 16 - 1,
  12: 2 ** 32 - 1,
  16: 2 ** 32 - 1,
  32: 2 ** 32 - 1,
};

function transferCdb(verb: 'READ' | 'WRITE', command: TransferCommand): Uint8Array {
  const { size, lba, blocks, protect = 0, expected, fua = false, dpo = false } = command;
  if (!TRANSFER_SIZES.includes(size)) throw outOfRange('size', size, 'one of 6, 10, 12, 16 and 32 bytes');
  // Its length 0 is 256 blocks.
  if (size === 6 && blocks === 0) throw outOfRange('blocks', blocks, `1 to 256 in ${verb}(6)`);
  if (size !== 32 && expected) {
    throw new IntegrityError('ERR_USAGE', `expected tags: ${verb}(${size}) has no fields for them`);
  }
  const tags: CdbFields =
    size === 32 ? (expected ?? { refTag: Number(BigInt.asUintN(32, lba)), appTag: 0, appTagMask: 0 }) : {};
  const flags = { ...(protect !== 0 && { protect }), ...(dpo && { dpo }), ...(fua && { fua }) };
  return encodeCdb(`${verb}(${size})`, { lba, blocks, ...flags, ...tags });
}

/** INQUIRY (SPC-5): the standard data, or the vital product data page `page`. */
export function inquiryCdb(allocationLength: number, page?: number): Uint8Array {
  return encodeCdb('INQUIRY', { allocationLength, ...(page !== undefined && { evpd: true, page }) });
}

/** READ CAPACITY(16) (SBC-4), which alone tells of protection. */
export function readCapacity16Cdb(allocationLength = 32): Uint8Array {
  return encodeCdb('READ CAPACITY(16)', { allocationLength });
}

/** MODE SENSE(10) (SPC-5) of the current values of `page`, without block descriptors. */
export function modeSense10Cdb(page: number, allocationLength: number): Uint8Array {
  return encodeCdb('MODE SENSE(10)', { disableBlockDescriptors: true, page, allocationLength });
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

/** Whether this command cannot alter the medium. What is not known counts as a write. */
export function isReadOnlyCdb(cdb: Uint8Array): boolean {
  const readOnly = commandOf(cdb)?.readOnly ?? false;
  if (typeof readOnly === 'boolean') return readOnly;
  const [at, mask] = readOnly.ifClear;
  const byte = cdb[at];
  return byte !== undefined && (byte & mask) === 0;
}

/** BYTCHK: with each block, and with one for all. 10b is reserved. */
const COMPARING: readonly (number | undefined)[] = [0b01, 0b11];

/** Whether this command is whole, and does nothing with its data-out but compare it with the medium: VERIFY with BYTCHK. */
export function isComparingCdb(cdb: Uint8Array): boolean {
  const decoded = decodeCdb(cdb);
  if (decoded === null) return false;
  const { command, fields } = decoded;
  return (
    command.comparesOnly === true && cdb.length === command.length && COMPARING.includes(fields.byteCheck)
  );
}

/**
 * What a CDB says that is to be sent. Throws ERR_READ_ONLY for one that is not known here, since it might alter the medium; ERR_USAGE for
 * one that is not as long as its command.
 */
export function decodeWholeCdb(cdb: Uint8Array): DecodedCdb {
  const command = commandOf(cdb);
  if (command === null) {
    const message = `refused to send ${cdbText(cdb)}: it is not known here and might alter the disk`;
    throw new IntegrityError('ERR_READ_ONLY', message, { cdb });
  }
  const decoded = decodeCdb(cdb);
  if (decoded !== null && cdb.length === command.length) return decoded;
  const { name, length } = command;
  const why = cdb.length === length ? 'its ADDITIONAL CDB LENGTH says otherwise' : `${cdb.length} are given`;
  throw new IntegrityError('ERR_USAGE', `${name} has ${length} bytes: ${why}`);
}

/**
 * Throws ERR_USAGE for a bit that is in no field of the command: reserved, obsolete or of the control byte (NACA, LINK). A disk may heed it
 * all the same, such as LBDATA of WRITE SAME(10), which changes what is written (SBC-2).
 */
export function requireKnownBits(cdb: Uint8Array, command: CommandDefinition): void {
  const known = usageMap(command);
  const at = cdb.findIndex((byte, i) => (byte & ~known[i]!) !== 0);
  if (at < 0) return;
  const bits = (cdb[at]! & ~known[at]!).toString(16).padStart(2, '0');
  const message = `${command.name}: byte ${at} has bits that are in no field of the command: ${bits}h`;
  throw new IntegrityError('ERR_USAGE', message, {
    cdb,
    advice: 'What they do to blocks is not known here: clear them.',
  });
}

/** The command's name and bytes: `READ(10) 28 20 00 00 00 08 00 00 08 00`. */
export function cdbText(cdb: Uint8Array): string {
  return `${commandOf(cdb)?.name ?? 'command'} ${hex(cdb, ' ')}`;
}

/**
 * The command's name and the fields that are not 0: `READ(16) lba=8 blocks=16 protect=1`. The bytes of one that is not known, or is cut
 * short.
 */
export function cdbFieldsText(cdb: Uint8Array): string {
  const decoded = decodeCdb(cdb);
  if (decoded === null) return cdbText(cdb);
  const { command, fields } = decoded;
  const said = Object.entries(fields).filter(([name, value]) => name === 'lba' || (value !== 0 && value));
  return [command.name, ...said.map(([name, value]) => `${name}=${fieldText(name, value)}`)].join(' ');
}

function fieldText(name: string, value: bigint | number | boolean): string {
  if (typeof value === 'boolean') return '1';
  return CODE_FIELDS.includes(name) ? `0x${value.toString(16)}` : String(value);
}

function outOfRange(name: string, value: unknown, wanted: string): IntegrityError {
  return new IntegrityError('ERR_OUT_OF_RANGE', `${name} is ${String(value)}: it must be ${wanted}`);
}
