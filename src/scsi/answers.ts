/**
 * What the data says that a command brought: which decoder reads it, and its content as plain values.
 */
import { hex } from './bytes.js';
import type { CdbFields, DecodedCdb } from './commands.js';
import { decodeInquiry } from './inquiry.js';
import { decodeLbaStatus } from './lba-status.js';
import { decodeLogPage, decodeSupportedLogPages } from './log-page.js';
import { decodeModePage, decodeModeSense } from './mode-page.js';
import { decodeReadCapacity10, decodeReadCapacity16 } from './read-capacity.js';
import { decodeSense, type Sense, senseText } from './sense.js';
import { decodeAllCommands, decodeOneCommand } from './supported-opcodes.js';
import {
  decodeBlockDeviceCharacteristics,
  decodeBlockLimits,
  decodeDeviceIdentification,
  decodeExtendedInquiry,
  decodeLogicalBlockProvisioning,
  decodeSupportedBlockLengths,
  decodeSupportedPages,
  decodeUnitSerialNumber,
} from './vpd.js';

/** As JSON has it. A bigint beyond 2^53 is a 0x string, bytes are hex. */
export type Plain = null | boolean | number | string | readonly Plain[] | PlainObject;
export interface PlainObject {
  readonly [name: string]: Plain;
}

/** Null where nothing is known of how the data is laid out. */
type Decoder = (bytes: Uint8Array, fields: CdbFields) => object | null;

const ALL_SUBPAGES = 0xff;

/** Pages of INQUIRY with EVPD, by code. */
const VPD: Readonly<Record<number, Decoder>> = {
  0: (bytes) => ({ pages: decodeSupportedPages(bytes) }),
  128: (bytes) => ({ serial: decodeUnitSerialNumber(bytes) }),
  131: decodeDeviceIdentification,
  134: decodeExtendedInquiry,
  176: decodeBlockLimits,
  177: decodeBlockDeviceCharacteristics,
  178: decodeLogicalBlockProvisioning,
  180: (bytes) => ({ lengths: decodeSupportedBlockLengths(bytes) }),
};

const modeSense =
  (cdbLength: 6 | 10): Decoder =>
  (bytes) => {
    const { pages, ...header } = decodeModeSense(bytes, cdbLength);
    const content = pages.map((one) => {
      const { page, subpage, savable } = one;
      return { page, subpage, savable, ...decodeModePage(one) };
    });
    return { ...header, pages: content };
  };

/** Page 00h is of codes, and so is subpage FFh of each other page, which is not read here. */
const logSense: Decoder = (bytes, { page = 0, subpage = 0 }) => {
  if (page === 0) return { pages: decodeSupportedLogPages(bytes) };
  return subpage === ALL_SUBPAGES ? null : decodeLogPage(bytes);
};

const supportedOpcodes: Decoder = (bytes, { reportingOptions = 0 }) =>
  reportingOptions === 0 ? { commands: decodeAllCommands(bytes) } : decodeOneCommand(bytes);

const requestSense: Decoder = (bytes) => {
  const sense = decodeSense(bytes);
  return sense && plainSense(sense);
};

/** By the name of the command. */
const DECODERS: Readonly<Record<string, Decoder>> = {
  INQUIRY: (bytes, fields) =>
    fields.evpd ? (VPD[fields.page ?? 0]?.(bytes, fields) ?? null) : decodeInquiry(bytes),
  'READ CAPACITY(10)': decodeReadCapacity10,
  'READ CAPACITY(16)': decodeReadCapacity16,
  'MODE SENSE(6)': modeSense(6),
  'MODE SENSE(10)': modeSense(10),
  'LOG SENSE': logSense,
  'REPORT SUPPORTED OPERATION CODES': supportedOpcodes,
  'GET LBA STATUS(16)': decodeLbaStatus,
  'GET LBA STATUS(32)': decodeLbaStatus,
  'REQUEST SENSE': requestSense,
};

/**
 * What the data says that came with GOOD; null where it is not told here: of READ, of a page without decoder.
 *
 * @throws ERR_MALFORMED_RESPONSE as the decoder, such as for data that ends too early.
 */
export function decodeAnswer({ command, fields }: DecodedCdb, bytes: Uint8Array): PlainObject | null {
  const decode = Object.hasOwn(DECODERS, command.name) ? DECODERS[command.name] : undefined;
  const content = decode?.(bytes, fields) ?? null;
  return content && (plain(content) as PlainObject);
}

/** Sense as plain values: its codes and text always, and of the rest what is there. */
export function plainSense(sense: Sense): PlainObject {
  const { key, asc, ascq, deferred, format, ...rest } = sense;
  const there = Object.entries(rest).filter(
    ([, value]) => value !== null && value !== false && !(Array.isArray(value) && value.length === 0),
  );
  const forwarded = sense.forwarded.map((one) => ({ ...one, sense: one.sense && plainSense(one.sense) }));
  const told = { ...Object.fromEntries(there), ...(forwarded.length > 0 && { forwarded }) };
  return { key, asc, ascq, deferred, ...(plain(told) as PlainObject), text: senseText(sense) };
}

export function plain(value: unknown): Plain {
  if (typeof value === 'bigint') {
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : `0x${value.toString(16)}`;
  }
  if (value instanceof Uint8Array) return hex(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value as Plain;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]));
}
