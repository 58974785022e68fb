/**
 * The CDBs that this package sends, and which commands cannot alter the medium.
 */
import { IntegrityError } from '../errors.js';
import { hex } from './bytes.js';
import { type CdbFields, commandOf, decodeCdb, encodeCdb } from './commands.js';

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

/** READ(10), READ(16) or READ(32). Throws ERR_OUT_OF_RANGE naming the field that does not fit. */
export function readCdb(command: TransferCommand): Uint8Array {
  return transferCdb('READ', command);
}

/** WRITE(10), WRITE(16) or WRITE(32). Throws ERR_OUT_OF_RANGE naming the field that does not fit. */
export function writeCdb(command: TransferCommand): Uint8Array {
  return transferCdb('WRITE', command);
}

const TRANSFER_SIZES: readonly number[] = [10, 16, 32] satisfies TransferCdbSize[];

function transferCdb(verb: 'READ' | 'WRITE', command: TransferCommand): Uint8Array {
  const { size, lba, blocks, protect = 0, expected, fua = false, dpo = false } = command;
  if (!TRANSFER_SIZES.includes(size)) throw outOfRange('size', size, 'one of 10, 16 and 32 bytes');
  if (size !== 32 && expected) {
    throw outOfRange('expected', 'given', `left out: a ${size}-byte command has no tag fields`);
  }
  const tags: CdbFields =
    size === 32 ? (expected ?? { refTag: Number(BigInt.asUintN(32, lba)), appTag: 0, appTagMask: 0 }) : {};
  return encodeCdb(`${verb}(${size})`, { lba, blocks, protect, dpo, fua, ...tags });
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

/** Tags, pages and operation codes are known by their hexadecimal form. */
const IN_HEX: readonly string[] = [
  'refTag',
  'appTag',
  'appTagMask',
  'page',
  'subpage',
  'requestedOpcode',
  'requestedServiceAction',
] satisfies (keyof CdbFields)[];

function fieldText(name: string, value: bigint | number | boolean): string {
  if (typeof value === 'boolean') return '1';
  return IN_HEX.includes(name) ? `0x${value.toString(16)}` : String(value);
}

function outOfRange(name: string, value: unknown, wanted: string): IntegrityError {
  return new IntegrityError('ERR_OUT_OF_RANGE', `${name} is ${String(value)}: it must be ${wanted}`);
}
