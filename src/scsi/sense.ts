/**
 * Sense data, in both formats (SPC-5 clause "Sense data").
 */
import { ResponseReader } from './bytes.js';

export const SENSE_KEY = {
  NO_SENSE: 0x0,
  RECOVERED_ERROR: 0x1,
  NOT_READY: 0x2,
  MEDIUM_ERROR: 0x3,
  ILLEGAL_REQUEST: 0x5,
  UNIT_ATTENTION: 0x6,
  ABORTED_COMMAND: 0xb,
  MISCOMPARE: 0xe,
} as const;

const SENSE_KEY_NAMES = [
  'NO SENSE',
  'RECOVERED ERROR',
  'NOT READY',
  'MEDIUM ERROR',
  'HARDWARE ERROR',
  'ILLEGAL REQUEST',
  'UNIT ATTENTION',
  'DATA PROTECT',
  'BLANK CHECK',
  'VENDOR SPECIFIC',
  'COPY ABORTED',
  'ABORTED COMMAND',
  'reserved',
  'VOLUME OVERFLOW',
  'MISCOMPARE',
  'COMPLETED',
] as const;

/** The additional sense codes that a disk under this package is likely to answer, as ASC << 8 | ASCQ. */
const ADDITIONAL_SENSE: Readonly<Record<number, string>> = {
  0: 'No additional sense information',
  1024: 'Logical unit not ready, cause not reportable',
  1025: 'Logical unit is in process of becoming ready',
  1026: 'Logical unit not ready, initializing command required',
  1027: 'Logical unit not ready, manual intervention required',
  1028: 'Logical unit not ready, format in progress',
  3072: 'Write error',
  3586: 'Information unit too long',
  3587: 'Invalid field in command information unit',
  4097: 'Logical block guard check failed',
  4098: 'Logical block application tag check failed',
  4099: 'Logical block reference tag check failed',
  4100: 'Logical block protection error on recover buffered data',
  4101: 'Logical block protection method error',
  4352: 'Unrecovered read error',
  6656: 'Parameter list length error',
  7424: 'Miscompare during verify operation',
  7425: 'Miscompare verify of unmapped LBA',
  8192: 'Invalid command operation code',
  8448: 'Logical block address out of range',
  9216: 'Invalid field in CDB',
  9472: 'Logical unit not supported',
  9728: 'Invalid field in parameter list',
  9984: 'Write protected',
  9986: 'Logical unit software write protected',
  10240: 'Not ready to ready change, medium may have changed',
  10496: 'Power on, reset, or bus device reset occurred',
  10497: 'Power on occurred',
  10498: 'SCSI bus reset occurred',
  10499: 'Bus device reset function occurred',
  10500: 'Device internal reset',
  10753: 'Mode parameters changed',
  10761: 'Capacity data has changed',
  11276: 'ORWRITE generation does not match',
  12544: 'Medium format corrupted',
  12545: 'Format command failed',
  14848: 'Medium not present',
  16129: 'Microcode has been changed',
  16131: 'Inquiry data has changed',
  16142: 'Reported luns data has changed',
  17408: 'Internal target failure',
  18176: 'SCSI parity error',
  19200: 'Data phase error',
};

export interface Sense {
  readonly format: 'fixed' | 'descriptor';
  /** The sense is of an earlier command, not of the one that it came with. */
  readonly deferred: boolean;
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  /** The INFORMATION field when it is valid. For a disk's medium and protection errors: the LBA. */
  readonly information: bigint | null;
  /** The field of the CDB or of the parameter list that an ILLEGAL REQUEST is about. */
  readonly fieldPointer: FieldPointer | null;
}

/** Sense-key specific data of ILLEGAL REQUEST (SPC-5). */
export interface FieldPointer {
  /** C/D: the CDB, else the parameter list. */
  readonly inCdb: boolean;
  readonly byte: number;
  /** The highest bit of the field; null where the sense names none. */
  readonly bit: number | null;
}

const RESPONSE_CODES: Readonly<Record<number, Pick<Sense, 'format' | 'deferred'>>> = {
  112: { format: 'fixed', deferred: false },
  113: { format: 'fixed', deferred: true },
  114: { format: 'descriptor', deferred: false },
  115: { format: 'descriptor', deferred: true },
};

/**
 * Null when there is no sense: no byte, or nothing but zeros. Sense is often cut short (by the adapter, or by
 * SG_IO's 96 bytes): a field beyond the end reads 0, as SPC-5 says of fixed format, and a descriptor that is
 * not whole is left out.
 * Throws ERR_MALFORMED_RESPONSE for another response code or less than a sense key.
 */
export function decodeSense(bytes: Uint8Array): Sense | null {
  if (bytes.every((byte) => byte === 0)) return null;
  const sense = new ResponseReader('sense data', bytes);
  const kind = RESPONSE_CODES[sense.bits(0, 6, 0)];
  if (!kind) throw sense.malformed(0, `response code ${toHex(sense.bits(0, 6, 0))} is none of 70h to 73h`);
  return { ...kind, ...(kind.format === 'fixed' ? decodeFixed(sense) : decodeDescriptors(sense)) };
}

type Content = Omit<Sense, 'format' | 'deferred'>;

function decodeFixed(sense: ResponseReader): Content {
  const end = sense.length > 7 ? Math.min(sense.length, 8 + sense.u8(7)) : sense.length;
  return {
    key: sense.bits(2, 3, 0),
    information: sense.bit(0, 7) && end >= 7 ? BigInt(sense.u32(3)) : null,
    asc: end > 12 ? sense.u8(12) : 0,
    ascq: end > 13 ? sense.u8(13) : 0,
    fieldPointer: end > 17 ? decodeFieldPointer(sense, 15) : null,
  };
}

/** SKSV, C/D, BPV and BIT POINTER, then the FIELD POINTER. It is one with ILLEGAL REQUEST alone. */
function decodeFieldPointer(sense: ResponseReader, at: number): FieldPointer | null {
  const key = sense.bits(0, 6, 0) < 0x72 ? sense.bits(2, 3, 0) : sense.bits(1, 3, 0);
  if (key !== SENSE_KEY.ILLEGAL_REQUEST || !sense.bit(at, 7)) return null;
  return {
    inCdb: sense.bit(at, 6),
    byte: sense.u16(at + 1),
    bit: sense.bit(at, 3) ? sense.bits(at, 2, 0) : null,
  };
}

const INFORMATION_DESCRIPTOR = { type: 0x00, additionalLength: 0x0a } as const;
const KEY_SPECIFIC_DESCRIPTOR = { type: 0x02, additionalLength: 0x06 } as const;

function decodeDescriptors(sense: ResponseReader): Content {
  const end = sense.length > 7 ? Math.min(sense.length, 8 + sense.u8(7)) : 0;
  let information: bigint | null = null;
  let fieldPointer: FieldPointer | null = null;
  for (let at = 8; at + 2 <= end; at += 2 + sense.u8(at + 1)) {
    const is = ({ type, additionalLength }: { readonly type: number; readonly additionalLength: number }) =>
      at + 2 + additionalLength <= end && sense.u8(at) === type && sense.u8(at + 1) === additionalLength;
    if (is(INFORMATION_DESCRIPTOR) && sense.bit(at + 2, 7)) information = sense.u64(at + 4);
    if (is(KEY_SPECIFIC_DESCRIPTOR)) fieldPointer = decodeFieldPointer(sense, at + 4);
  }
  return { key: sense.bits(1, 3, 0), asc: sense.u8(2), ascq: sense.u8(3), information, fieldPointer };
}

export interface SenseContent {
  /** Descriptor format, else fixed. */
  readonly descriptor: boolean;
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  readonly information?: bigint;
  readonly fieldPointer?: { readonly inCdb: boolean; readonly byte: number; readonly bit?: number };
}

const FIXED_BYTES = 18;

/**
 * Sense data of a current error. Fixed format is 18 bytes, and its INFORMATION is not valid where it would need more than 32 bits
 * (SPC-5); descriptor format has the descriptors that there is something for.
 */
export function encodeSense(content: SenseContent): Uint8Array {
  return content.descriptor ? encodeDescriptors(content) : encodeFixed(content);
}

function encodeFixed({ key, asc, ascq, information, fieldPointer }: SenseContent): Uint8Array {
  const sense = new Uint8Array(FIXED_BYTES);
  const view = new DataView(sense.buffer);
  sense[0] = 0x70;
  sense[2] = key;
  if (information !== undefined && information <= 0xffffffffn) {
    sense[0] |= 0x80;
    view.setUint32(3, Number(information));
  }
  sense[7] = FIXED_BYTES - 8;
  sense[12] = asc;
  sense[13] = ascq;
  if (fieldPointer) putFieldPointer(view, 15, fieldPointer);
  return sense;
}

function encodeDescriptors({ key, asc, ascq, information, fieldPointer }: SenseContent): Uint8Array {
  const informationBytes = information === undefined ? 0 : 2 + INFORMATION_DESCRIPTOR.additionalLength;
  const pointerBytes = fieldPointer ? 2 + KEY_SPECIFIC_DESCRIPTOR.additionalLength : 0;
  const sense = new Uint8Array(8 + informationBytes + pointerBytes);
  const view = new DataView(sense.buffer);
  sense.set([0x72, key, asc, ascq, 0, 0, 0, informationBytes + pointerBytes]);
  if (information !== undefined) {
    sense.set([INFORMATION_DESCRIPTOR.type, INFORMATION_DESCRIPTOR.additionalLength, 0x80], 8);
    view.setBigUint64(12, information);
  }
  if (fieldPointer) {
    const at = 8 + informationBytes;
    sense.set([KEY_SPECIFIC_DESCRIPTOR.type, KEY_SPECIFIC_DESCRIPTOR.additionalLength], at);
    putFieldPointer(view, at + 4, fieldPointer);
  }
  return sense;
}

function putFieldPointer(
  view: DataView,
  at: number,
  { inCdb, byte, bit }: NonNullable<SenseContent['fieldPointer']>,
): void {
  const sksv = 0x80;
  view.setUint8(at, sksv | (inCdb ? 0x40 : 0) | (bit === undefined ? 0 : 0x08 | bit));
  view.setUint16(at + 1, byte);
}

/** `ABORTED COMMAND 0Bh/10h/01h: Logical block guard check failed`. */
export function senseText({ key, asc, ascq, deferred }: Sense): string {
  const codes = `${SENSE_KEY_NAMES[key]} ${toHex(key)}/${toHex(asc)}/${toHex(ascq)}`;
  const text = ADDITIONAL_SENSE[(asc << 8) | ascq];
  return `${deferred ? 'deferred ' : ''}${codes}${text ? `: ${text}` : ''}`;
}

function toHex(byte: number): string {
  return `${byte.toString(16).toUpperCase().padStart(2, '0')}h`;
}
