/** The parameter list of FORMAT UNIT (SBC-4): which protection the disk is to have. */
import { ResponseReader, requireWithin, StructureWriter } from './bytes.js';
import { bits, decodeLayout, encodeLayout, flag, type Layout, uint } from './layout.js';

/** FMTPINFO of the CDB and PROTECTION FIELD USAGE of the list, by the protection type that they make. */
export const FORMAT_PROTECTION: readonly {
  readonly type: 0 | 1 | 2 | 3;
  readonly formatProtection: number;
  readonly fieldUsage: number;
}[] = [
  { type: 0, formatProtection: 0b00, fieldUsage: 0b000 },
  { type: 1, formatProtection: 0b10, fieldUsage: 0b000 },
  { type: 2, formatProtection: 0b11, fieldUsage: 0b000 },
  { type: 3, formatProtection: 0b11, fieldUsage: 0b001 },
];

export interface FormatParameters {
  /** PROTECTION FIELD USAGE. */
  readonly fieldUsage: number;
  /** PROTECTION INTERVAL EXPONENT; only a long list has it. */
  readonly intervalExponent: number;
  /** P_I_INFORMATION, reserved but for 0; only a long list has it. */
  readonly protectionInformation: number;
  /** FOV: DPRY, DCRT, STPF and IP mean something. */
  readonly optionsValid: boolean;
  readonly disablePrimaryList: boolean;
  readonly disableCertification: boolean;
  readonly stopFormat: boolean;
  readonly initializationPattern: boolean;
  /** IMMED: the answer comes before the disk is formatted. */
  readonly immediate: boolean;
  /** DEFECT LIST LENGTH, in bytes. */
  readonly defectListLength: number;
}

const COMMON: Omit<
  Layout<FormatParameters>,
  'intervalExponent' | 'protectionInformation' | 'defectListLength'
> = {
  fieldUsage: bits(0, 2, 0),
  optionsValid: flag(1, 7),
  disablePrimaryList: flag(1, 6),
  disableCertification: flag(1, 5),
  stopFormat: flag(1, 4),
  initializationPattern: flag(1, 3),
  immediate: flag(1, 1),
};

type Short = Omit<FormatParameters, 'intervalExponent' | 'protectionInformation'>;

const SHORT: Layout<Short> = { ...COMMON, defectListLength: uint(2, 2) };
const LONG: Layout<FormatParameters> = {
  ...COMMON,
  protectionInformation: bits(3, 7, 4),
  intervalExponent: bits(3, 3, 0),
  defectListLength: uint(4, 4),
};

/** Bytes of the header, which is all of the list without defects; LONGLIST of the CDB says which. */
export const FORMAT_HEADER_BYTES = { short: 4, long: 8 } as const;

export type FormatListForm = keyof typeof FORMAT_HEADER_BYTES;

const structureOf = (form: FormatListForm): string => `FORMAT UNIT parameter list, ${form}`;

/**
 * The list of a disk that is to be formatted. What is left out is 0.
 *
 * @throws ERR_OUT_OF_RANGE naming the field that does not fit, such as an interval exponent in a short list.
 */
export function encodeFormatList(form: FormatListForm, content: Partial<FormatParameters>): Uint8Array {
  const list = new StructureWriter(structureOf(form), FORMAT_HEADER_BYTES[form]);
  if (form === 'long') {
    encodeLayout(LONG, list, content);
    return list.bytes;
  }
  const { intervalExponent = 0, protectionInformation = 0, ...short } = content;
  requireWithin(list.structure, 'intervalExponent', intervalExponent, [0n, 0n]);
  requireWithin(list.structure, 'protectionInformation', protectionInformation, [0n, 0n]);
  encodeLayout(SHORT, list, short);
  return list.bytes;
}

/** Null for a list shorter than its header. */
export function decodeFormatList(form: FormatListForm, bytes: Uint8Array): FormatParameters | null {
  const length = FORMAT_HEADER_BYTES[form];
  if (bytes.length < length) return null;
  const list = new ResponseReader(structureOf(form), bytes);
  return form === 'long'
    ? decodeLayout(LONG, list, length)
    : { ...decodeLayout(SHORT, list, length), intervalExponent: 0, protectionInformation: 0 };
}
