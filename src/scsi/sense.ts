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
  3587: 'Invalid field in command information unit',
  4097: 'Logical block guard check failed',
  4098: 'Logical block application tag check failed',
  4099: 'Logical block reference tag check failed',
  4100: 'Logical block protection error on recover buffered data',
  4101: 'Logical block protection method error',
  4352: 'Unrecovered read error',
  7424: 'Miscompare during verify operation',
  7425: 'Miscompare verify of unmapped LBA',
  8192: 'Invalid command operation code',
  8448: 'Logical block address out of range',
  9216: 'Invalid field in CDB',
  9472: 'Logical unit not supported',
  9728: 'Invalid field in parameter list',
  9984: 'Write protected',
  10240: 'Not ready to ready change, medium may have changed',
  10496: 'Power on, reset, or bus device reset occurred',
  10497: 'Power on occurred',
  10498: 'SCSI bus reset occurred',
  10499: 'Bus device reset function occurred',
  10500: 'Device internal reset',
  10753: 'Mode parameters changed',
  10761: 'Capacity data has changed',
  12544: 'Medium format corrupted',
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
  };
}

const INFORMATION_DESCRIPTOR = { type: 0x00, additionalLength: 0x0a } as const;

function decodeDescriptors(sense: ResponseReader): Content {
  const end = sense.length > 7 ? Math.min(sense.length, 8 + sense.u8(7)) : 0;
  let information: bigint | null = null;
  for (let at = 8; at + 2 <= end; at += 2 + sense.u8(at + 1)) {
    const whole = at + 2 + INFORMATION_DESCRIPTOR.additionalLength <= end;
    const { type, additionalLength } = INFORMATION_DESCRIPTOR;
    if (whole && sense.u8(at) === type && sense.u8(at + 1) === additionalLength && sense.bit(at + 2, 7)) {
      information = sense.u64(at + 4);
    }
  }
  return { key: sense.bits(1, 3, 0), asc: sense.u8(2), ascq: sense.u8(3), information };
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
