/** FORMAT UNIT (SBC-4): everything is unmapped, under tuples of FFh, in the type that was asked for. */
import { byteOf, type Handler, NO_DATA } from '../command.js';
import { type Format, requireFormat } from '../format.js';
import { u16, u32 } from '../protection.js';
import { invalidInCdb, invalidInList, Refusal, SENSE } from '../refusal.js';
import { requireWritable } from './write.js';

/** FMTPINFO and PROTECTION FIELD USAGE, and the type that they make. */
const TYPES: readonly {
  readonly information: number;
  readonly usage: number;
  readonly type: Format['type'];
}[] = [
  { information: 0b00, usage: 0b000, type: 0 },
  { information: 0b10, usage: 0b000, type: 1 },
  { information: 0b11, usage: 0b000, type: 2 },
  { information: 0b11, usage: 0b001, type: 3 },
];

const SHORT_HEADER = 4;
const LONG_HEADER = 8;

export const formatUnit: Handler = (disk, { definition, fields, dataOut }) => {
  requireWritable(disk);
  const {
    formatProtection = 0,
    longList = false,
    formatData = false,
    fastFormat = 0,
    defectListFormat = 0,
  } = fields;
  if (fastFormat > 1) throw invalidInCdb(byteOf(definition, 'fastFormat'), 1);
  if (defectListFormat !== 0 && !formatData) throw invalidInCdb(byteOf(definition, 'defectListFormat'), 2);
  const headerBytes = longList ? LONG_HEADER : SHORT_HEADER;
  const header = formatData ? dataOut.subarray(0, headerBytes) : new Uint8Array(headerBytes);
  if (header.length < headerBytes) throw new Refusal(SENSE.PARAMETER_LIST_LENGTH);
  if (formatData) requireHeader(header, dataOut.length);
  const usage = header[0]! & 0x07;
  const exponent = longList ? header[3]! & 0x0f : 0;
  const known = TYPES.filter(({ information }) => information === formatProtection);
  const typesOf = [0, ...(disk.concealsProtection ? [] : disk.supportedTypes)];
  if (!known.some(({ type }) => typesOf.includes(type)))
    throw invalidInCdb(byteOf(definition, 'formatProtection'), 7);
  const found = known.find((one) => one.usage === usage && typesOf.includes(one.type));
  if (found === undefined) throw invalidInList(0, 2);
  const format = {
    ...disk.medium.format,
    ...disk.pendingFormat,
    type: found.type,
    intervalExponent: exponent,
  };
  if (exponent > disk.intervalExponentMax) throw invalidInList(3, 3);
  try {
    requireFormat(format);
  } catch {
    throw invalidInList(3, 3);
  }
  disk.medium.reformat(format);
  disk.pendingFormat = null;
  disk.attentions.push(SENSE.CAPACITY_CHANGED);
  return NO_DATA;
};

/** Bits of byte 1: FOV says that those after it are to be heeded; an initialization pattern is not taken. */
const FORMAT_OPTIONS_VALID = 0x80;
const OPTIONS = 0x70;
const INITIALIZATION_PATTERN = 0x08;

/** The defects that may follow are read over: there are none here. */
function requireHeader(header: Uint8Array, sentBytes: number): void {
  const [usage, options] = [header[0]!, header[1]!];
  const long = header.length === LONG_HEADER;
  if ((usage & 0xf8) !== 0) throw invalidInList(0, 7);
  if ((options & INITIALIZATION_PATTERN) !== 0) throw invalidInList(1, 3);
  if ((options & FORMAT_OPTIONS_VALID) === 0 && (options & OPTIONS) !== 0) throw invalidInList(1, 6);
  if (long && header[2] !== 0) throw invalidInList(2, 7);
  if (long && header[3]! >> 4 !== 0) throw invalidInList(3, 7);
  const defects = long ? u32(header, 4) : u16(header, 2);
  if (sentBytes < header.length + defects) throw new Refusal(SENSE.PARAMETER_LIST_LENGTH);
}
