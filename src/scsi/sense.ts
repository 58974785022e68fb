/**
 * Sense data, in both formats (SPC-5 clause "Sense data").
 */
import { additionalSenseText } from './additional-sense.js';
import { byteText, ResponseReader, StructureWriter } from './bytes.js';

export const SENSE_KEY = {
  NO_SENSE: 0x0,
  RECOVERED_ERROR: 0x1,
  NOT_READY: 0x2,
  MEDIUM_ERROR: 0x3,
  HARDWARE_ERROR: 0x4,
  ILLEGAL_REQUEST: 0x5,
  UNIT_ATTENTION: 0x6,
  DATA_PROTECT: 0x7,
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

export interface Sense {
  readonly format: 'fixed' | 'descriptor';
  /** The sense is of an earlier command, not of the one that it came with. */
  readonly deferred: boolean;
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  /** SDAT_OVFL: there was more sense than the disk had room for. */
  readonly overflow: boolean;
  /** The INFORMATION field when it is valid. For a disk's medium and protection errors: the LBA. */
  readonly information: bigint | null;
  /** COMMAND-SPECIFIC INFORMATION; null for none, and for 0 in fixed format, which has no bit that says whether it is there. */
  readonly commandSpecific: bigint | null;
  /** The field of the CDB or of the parameter list that an ILLEGAL REQUEST is about. */
  readonly fieldPointer: FieldPointer | null;
  /** How far an operation under way has come, from 0 to 1, with NO SENSE and NOT READY. */
  readonly progress: number | null;
  /** ACTUAL RETRY COUNT, with RECOVERED ERROR, MEDIUM ERROR and HARDWARE ERROR. */
  readonly retryCount: number | null;
  /** OVERFLOW: more unit attentions came than the disk could keep, with UNIT ATTENTION. */
  readonly attentionsLost: boolean;
  /** FIELD REPLACEABLE UNIT CODE; null for none. */
  readonly replaceableUnit: number | null;
  /** ILI: the length that was asked for is not the length of the block. */
  readonly incorrectLength: boolean;
  /** What the ATA disk behind a translation answered (SAT). */
  readonly ataStatus: AtaStatus | null;
  /** Sense of other devices that the command made use of. */
  readonly forwarded: readonly ForwardedSense[];
  /** Descriptors that are not read here: vendor-specific ones, and those of other kinds of device. */
  readonly others: readonly SenseDescriptor[];
}

/** Sense-key specific data of ILLEGAL REQUEST (SPC-5). */
export interface FieldPointer {
  /** C/D: the CDB, else the parameter list. */
  readonly inCdb: boolean;
  readonly byte: number;
  /** The highest bit of the field; null where the sense names none. */
  readonly bit: number | null;
}

/** The registers of an ATA disk after a command (SAT, "ATA Status Return sense data descriptor"). */
export interface AtaStatus {
  /** EXTEND: the command had 48 bits of LBA. */
  readonly extend: boolean;
  readonly error: number;
  readonly count: number;
  /** Without EXTEND the low 24 bits: the others are in DEVICE. */
  readonly lba: bigint;
  readonly device: number;
  readonly status: number;
}

export interface ForwardedSense {
  /** SENSE DATA SOURCE: 0 unknown, 1 the source and 2 the destination of EXTENDED COPY. */
  readonly source: number;
  /** FORWARDED STATUS: the SCSI status that came with it. */
  readonly status: number;
  /** FSDT: it was cut to fit. */
  readonly truncated: boolean;
  /** Null where there is none, or none that can be read. */
  readonly sense: Sense | null;
}

export interface SenseDescriptor {
  readonly type: number;
  /** What follows its two bytes of header: a view, not a copy. */
  readonly bytes: Uint8Array;
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
 *
 * @throws ERR_MALFORMED_RESPONSE for another response code or less than a sense key.
 */
export function decodeSense(bytes: Uint8Array): Sense | null {
  if (bytes.every((byte) => byte === 0)) return null;
  const sense = new ResponseReader('sense data', bytes);
  const kind = RESPONSE_CODES[sense.bits(0, 6, 0)];
  if (!kind) throw sense.malformed(0, `response code ${byteText(sense.bits(0, 6, 0))} is none of 70h to 73h`);
  const told = kind.format === 'fixed' ? decodeFixed(sense) : decodeDescriptors(sense);
  return { ...NOTHING_TOLD, ...kind, ...told };
}

/** Up to the sense key in fixed format, up to the ASCQ in the other. */
const LEAST_BYTES = { fixed: 3, descriptor: 4 } as const;

/** @internal As {@link decodeSense}; null as well for what that throws for. */
export function readableSense(bytes: Uint8Array): Sense | null {
  const kind = RESPONSE_CODES[(bytes[0] ?? 0) & 0x7f];
  return kind !== undefined && bytes.length >= LEAST_BYTES[kind.format] ? decodeSense(bytes) : null;
}

/** @internal The sense key that a failed command came back with; null when it brought no sense, or none that can be decoded. */
export function senseKeyOf({ sense }: { readonly sense?: Uint8Array | undefined }): number | null {
  return (sense && readableSense(sense)?.key) ?? null;
}

/** @internal Whether the medium could not be read, or written, for this command: a deferred error is of an earlier one. */
export function isMediumError({ key, deferred }: Sense): boolean {
  return key === SENSE_KEY.MEDIUM_ERROR && !deferred;
}

/**
 * @internal The block that a MEDIUM ERROR names, by the INFORMATION field: the first one that could not be read (SBC-4); null when the command
 * failed in another way, the error is another command's (deferred), or the field is not valid.
 */
export function unreadableBlockOf({ sense }: { readonly sense?: Uint8Array | undefined }): bigint | null {
  const decoded = sense && readableSense(sense);
  return decoded && isMediumError(decoded) ? decoded.information : null;
}

type Content = Omit<Sense, 'format' | 'deferred'>;
/** What a part of the sense tells. */
type Told = Partial<Omit<Content, 'key' | 'asc' | 'ascq'>>;

const NOTHING_TOLD: Required<Told> = {
  overflow: false,
  information: null,
  commandSpecific: null,
  fieldPointer: null,
  progress: null,
  retryCount: null,
  attentionsLost: false,
  replaceableUnit: null,
  incorrectLength: false,
  ataStatus: null,
  forwarded: [],
  others: [],
};

type Codes = Pick<Sense, 'key' | 'asc' | 'ascq'>;

function decodeFixed(sense: ResponseReader): Codes & Told {
  const end = sense.length > 7 ? Math.min(sense.length, 8 + sense.u8(7)) : sense.length;
  const key = sense.bits(2, 3, 0);
  return {
    key,
    overflow: sense.bit(2, 4),
    incorrectLength: sense.bit(2, 5),
    information: sense.bit(0, 7) && end >= 7 ? BigInt(sense.u32(3)) : null,
    commandSpecific: end > 11 ? BigInt(sense.u32(8)) || null : null,
    asc: end > 12 ? sense.u8(12) : 0,
    ascq: end > 13 ? sense.u8(13) : 0,
    replaceableUnit: end > 14 ? sense.u8(14) || null : null,
    ...(end > 17 && decodeKeySpecific(sense, 15, key)),
  };
}

const readProgress = (sense: ResponseReader, at: number): Told => ({
  progress: sense.u16(at + 1) / 0x10000,
});
const readRetryCount = (sense: ResponseReader, at: number): Told => ({ retryCount: sense.u16(at + 1) });

/** SENSE KEY SPECIFIC by sense key: three bytes, of which SKSV is the first bit. */
const KEY_SPECIFIC: Readonly<Record<number, (sense: ResponseReader, at: number) => Told>> = {
  [SENSE_KEY.NO_SENSE]: readProgress,
  [SENSE_KEY.NOT_READY]: readProgress,
  [SENSE_KEY.RECOVERED_ERROR]: readRetryCount,
  [SENSE_KEY.MEDIUM_ERROR]: readRetryCount,
  [SENSE_KEY.HARDWARE_ERROR]: readRetryCount,
  [SENSE_KEY.ILLEGAL_REQUEST]: (sense, at) => ({
    fieldPointer: {
      inCdb: sense.bit(at, 6),
      byte: sense.u16(at + 1),
      bit: sense.bit(at, 3) ? sense.bits(at, 2, 0) : null,
    },
  }),
  [SENSE_KEY.UNIT_ATTENTION]: (sense, at) => ({ attentionsLost: sense.bit(at, 0) }),
};

function decodeKeySpecific(sense: ResponseReader, at: number, key: number): Told {
  return sense.bit(at, 7) ? (KEY_SPECIFIC[key]?.(sense, at) ?? {}) : {};
}

interface DescriptorKind {
  /** ADDITIONAL LENGTH; null for one of any length from `least` on. */
  readonly additionalLength: number | null;
  readonly least?: number;
  /** Offsets are those of T10's tables, from `at` on. */
  readonly read: (sense: ResponseReader, at: number, key: number) => Told;
}

const TYPE = {
  INFORMATION: 0x00,
  COMMAND_SPECIFIC: 0x01,
  KEY_SPECIFIC: 0x02,
  REPLACEABLE_UNIT: 0x03,
} as const;
/** ADDITIONAL LENGTH of these. */
const LENGTH = {
  INFORMATION: 0x0a,
  COMMAND_SPECIFIC: 0x0a,
  KEY_SPECIFIC: 0x06,
  REPLACEABLE_UNIT: 0x02,
} as const;

/** By DESCRIPTOR TYPE (SPC-5; 09h SAT; 0Dh SBC-4). */
const DESCRIPTORS: Readonly<Record<number, DescriptorKind>> = {
  [TYPE.INFORMATION]: {
    additionalLength: LENGTH.INFORMATION,
    read: (sense, at) => (sense.bit(at + 2, 7) ? { information: sense.u64(at + 4) } : {}),
  },
  [TYPE.COMMAND_SPECIFIC]: {
    additionalLength: LENGTH.COMMAND_SPECIFIC,
    read: (sense, at) => ({ commandSpecific: sense.u64(at + 4) }),
  },
  [TYPE.KEY_SPECIFIC]: {
    additionalLength: LENGTH.KEY_SPECIFIC,
    read: (sense, at, key) => decodeKeySpecific(sense, at + 4, key),
  },
  [TYPE.REPLACEABLE_UNIT]: {
    additionalLength: LENGTH.REPLACEABLE_UNIT,
    read: (sense, at) => ({ replaceableUnit: sense.u8(at + 3) || null }),
  },
  // Block commands.
  5: { additionalLength: 0x02, read: (sense, at) => ({ incorrectLength: sense.bit(at + 3, 5) }) },
  // ATA status return.
  9: {
    additionalLength: 0x0c,
    read: (sense, at) => {
      const extend = sense.bit(at + 2, 0);
      // As the registers held them; what only EXTEND gives a meaning to comes first.
      const lbaBytes = extend ? [10, 8, 6, 11, 9, 7] : [11, 9, 7];
      return {
        ataStatus: {
          extend,
          error: sense.u8(at + 3),
          count: extend ? sense.u16(at + 4) : sense.u8(at + 5),
          lba: lbaBytes.reduce((lba, byte) => (lba << 8n) | BigInt(sense.u8(at + byte)), 0n),
          device: sense.u8(at + 12),
          status: sense.u8(at + 13),
        },
      };
    },
  },
  // Forwarded sense data.
  12: {
    additionalLength: null,
    least: 2,
    read: (sense, at) => ({
      forwarded: [
        {
          truncated: sense.bit(at + 2, 7),
          source: sense.bits(at + 2, 3, 0),
          status: sense.u8(at + 3),
          sense: readableSense(sense.slice(at + 4, sense.u8(at + 1) - 2)),
        },
      ],
    }),
  },
  // Direct-access block device: all of the above in one.
  13: {
    additionalLength: 0x1e,
    read: (sense, at, key) => ({
      incorrectLength: sense.bit(at + 2, 5),
      ...decodeKeySpecific(sense, at + 4, key),
      replaceableUnit: sense.u8(at + 7) || null,
      ...(sense.bit(at + 2, 7) && { information: sense.u64(at + 8) }),
      commandSpecific: sense.u64(at + 16) || null,
    }),
  },
};

function decodeDescriptors(sense: ResponseReader): Codes & Told {
  const end = sense.length > 7 ? Math.min(sense.length, 8 + sense.u8(7)) : 0;
  const key = sense.bits(1, 3, 0);
  let told: Told = sense.length > 4 ? { overflow: sense.bit(4, 7) } : {};
  const forwarded: ForwardedSense[] = [];
  const others: SenseDescriptor[] = [];
  for (let at = 8; at + 2 <= end; at += 2 + sense.u8(at + 1)) {
    const length = sense.u8(at + 1);
    if (at + 2 + length > end) break;
    const kind = DESCRIPTORS[sense.u8(at)];
    const fits =
      kind !== undefined && (kind.additionalLength ?? length) === length && length >= (kind.least ?? 0);
    if (!fits) {
      others.push({ type: sense.u8(at), bytes: sense.slice(at + 2, length) });
      continue;
    }
    const one = kind.read(sense, at, key);
    forwarded.push(...(one.forwarded ?? []));
    told = { ...told, ...one };
  }
  return { key, asc: sense.u8(2), ascq: sense.u8(3), ...told, forwarded, others };
}

/** What `encodeSense` writes. What is left out is not there. */
export interface SenseContent {
  /** Descriptor format, else fixed. */
  readonly descriptor: boolean;
  readonly deferred?: boolean;
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  readonly information?: bigint;
  readonly commandSpecific?: bigint;
  readonly fieldPointer?: { readonly inCdb: boolean; readonly byte: number; readonly bit?: number };
  readonly replaceableUnit?: number;
}

const FIXED_BYTES = 18;
const LARGEST_32_BIT = 0xffffffffn;

/**
 * Sense data. Fixed format is 18 bytes, and its INFORMATION is not valid where it would need more than 32 bits (SPC-5); descriptor
 * format has the descriptors that there is something for.
 *
 * @throws ERR_OUT_OF_RANGE naming the field that does not fit.
 */
export function encodeSense(content: SenseContent): Uint8Array {
  return content.descriptor ? encodeDescriptors(content) : encodeFixed(content);
}

function encodeFixed(content: SenseContent): Uint8Array {
  const { deferred = false, key, asc, ascq, information, commandSpecific = 0n, fieldPointer } = content;
  const sense = new StructureWriter('fixed format sense data', FIXED_BYTES);
  sense.bytes[0] = deferred ? 0x71 : 0x70;
  sense.bits(2, 3, 0, 'key', key);
  if (information !== undefined && information <= LARGEST_32_BIT) {
    sense.bit(0, 7, true).uint(3, 4, 'information', information);
  }
  sense.bytes[7] = FIXED_BYTES - 8;
  if (commandSpecific <= LARGEST_32_BIT) sense.uint(8, 4, 'commandSpecific', commandSpecific);
  sense.uint(12, 1, 'asc', asc).uint(13, 1, 'ascq', ascq);
  sense.uint(14, 1, 'replaceableUnit', content.replaceableUnit ?? 0);
  if (fieldPointer) putFieldPointer(sense, 15, fieldPointer);
  return sense.bytes;
}

function encodeDescriptors(content: SenseContent): Uint8Array {
  const {
    deferred = false,
    key,
    asc,
    ascq,
    information,
    commandSpecific,
    fieldPointer,
    replaceableUnit,
  } = content;
  const descriptors: StructureWriter[] = [];
  const add = (type: number, length: number): StructureWriter => {
    const descriptor = new StructureWriter('descriptor format sense data', 2 + length);
    descriptor.bytes.set([type, length]);
    descriptors.push(descriptor);
    return descriptor;
  };
  if (information !== undefined) {
    add(TYPE.INFORMATION, LENGTH.INFORMATION).bit(2, 7, true).uint(4, 8, 'information', information);
  }
  if (commandSpecific !== undefined) {
    add(TYPE.COMMAND_SPECIFIC, LENGTH.COMMAND_SPECIFIC).uint(4, 8, 'commandSpecific', commandSpecific);
  }
  if (fieldPointer) putFieldPointer(add(TYPE.KEY_SPECIFIC, LENGTH.KEY_SPECIFIC), 4, fieldPointer);
  if (replaceableUnit !== undefined) {
    add(TYPE.REPLACEABLE_UNIT, LENGTH.REPLACEABLE_UNIT).uint(3, 1, 'replaceableUnit', replaceableUnit);
  }
  const header = new StructureWriter('descriptor format sense data', 8);
  header.bytes[0] = deferred ? 0x73 : 0x72;
  header.bits(1, 3, 0, 'key', key).uint(2, 1, 'asc', asc).uint(3, 1, 'ascq', ascq);
  header.bytes[7] = descriptors.reduce((sum, { bytes }) => sum + bytes.length, 0);
  return Uint8Array.from([header, ...descriptors].flatMap(({ bytes }) => [...bytes]));
}

function putFieldPointer(
  sense: StructureWriter,
  at: number,
  { inCdb, byte, bit }: NonNullable<SenseContent['fieldPointer']>,
): void {
  sense
    .bit(at, 7, true)
    .bit(at, 6, inCdb)
    .uint(at + 1, 2, 'fieldPointer.byte', byte);
  if (bit !== undefined) sense.bit(at, 3, true).bits(at, 2, 0, 'fieldPointer.bit', bit);
}

/** `ABORTED COMMAND 0Bh/10h/01h: Logical block guard check failed`. */
export function senseText({ key, asc, ascq, deferred }: Sense): string {
  const codes = `${SENSE_KEY_NAMES[key]} ${byteText(key)}/${byteText(asc)}/${byteText(ascq)}`;
  const text = additionalSenseText(asc, ascq);
  return `${deferred ? 'deferred ' : ''}${codes}${text === null ? '' : `: ${text}`}`;
}
