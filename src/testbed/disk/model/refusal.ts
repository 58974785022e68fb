/** How a command is refused: thrown inside the model, and made into sense where it is answered. */
import type { SenseContent } from '../../../scsi/sense.js';

export type SenseCodes = readonly [key: number, asc: number, ascq: number];

type SenseName =
  | 'BECOMING_READY'
  | 'INITIALIZING_REQUIRED'
  | 'WRITE_ERROR'
  | 'UNRECOVERED_READ'
  | 'INTERNAL_FAILURE'
  | 'PARAMETER_LIST_LENGTH'
  | 'INVALID_OPCODE'
  | 'LBA_OUT_OF_RANGE'
  | 'INVALID_FIELD_IN_CDB'
  | 'INVALID_FIELD_IN_LIST'
  | 'DATA_TOO_SHORT'
  | 'DATA_TOO_LONG'
  | 'POWER_ON'
  | 'CAPACITY_CHANGED'
  | 'MODE_PARAMETERS_CHANGED'
  | 'WRITE_PROTECTED'
  | 'GUARD'
  | 'APP'
  | 'REF'
  | 'MISCOMPARE'
  | 'MISCOMPARE_UNMAPPED';

/** Sense key, ASC and ASCQ by the names of SPC-5. */
export const SENSE: Readonly<Record<SenseName, SenseCodes>> = {
  BECOMING_READY: [0x2, 0x04, 0x01],
  INITIALIZING_REQUIRED: [0x2, 0x04, 0x02],
  WRITE_ERROR: [0x3, 0x0c, 0x00],
  UNRECOVERED_READ: [0x3, 0x11, 0x00],
  INTERNAL_FAILURE: [0x4, 0x44, 0x00],
  PARAMETER_LIST_LENGTH: [0x5, 0x1a, 0x00],
  INVALID_OPCODE: [0x5, 0x20, 0x00],
  LBA_OUT_OF_RANGE: [0x5, 0x21, 0x00],
  INVALID_FIELD_IN_CDB: [0x5, 0x24, 0x00],
  INVALID_FIELD_IN_LIST: [0x5, 0x26, 0x00],
  DATA_TOO_SHORT: [0xb, 0x0e, 0x01],
  DATA_TOO_LONG: [0xb, 0x0e, 0x02],
  POWER_ON: [0x6, 0x29, 0x01],
  CAPACITY_CHANGED: [0x6, 0x2a, 0x09],
  MODE_PARAMETERS_CHANGED: [0x6, 0x2a, 0x01],
  WRITE_PROTECTED: [0x7, 0x27, 0x02],
  GUARD: [0xb, 0x10, 0x01],
  APP: [0xb, 0x10, 0x02],
  REF: [0xb, 0x10, 0x03],
  MISCOMPARE: [0xe, 0x1d, 0x00],
  MISCOMPARE_UNMAPPED: [0xe, 0x1d, 0x01],
};

type Details = Pick<SenseContent, 'information' | 'fieldPointer'> & {
  /** What the initiator gets all the same. */
  readonly dataIn?: Uint8Array;
};

/** Not an Error: nobody wants its stack, and a disk refuses often. */
export class Refusal {
  readonly codes: SenseCodes;
  readonly details: Details;

  constructor(codes: SenseCodes, details: Details = {}) {
    this.codes = codes;
    this.details = details;
  }
}

/** INVALID FIELD IN CDB that points at a field by its first byte and its highest bit. */
export function invalidInCdb(byte: number, bit?: number): Refusal {
  return pointed(SENSE.INVALID_FIELD_IN_CDB, true, byte, bit);
}

/** INVALID FIELD IN PARAMETER LIST. */
export function invalidInList(byte: number, bit?: number): Refusal {
  return pointed(SENSE.INVALID_FIELD_IN_LIST, false, byte, bit);
}

function pointed(codes: SenseCodes, inCdb: boolean, byte: number, bit: number | undefined): Refusal {
  return new Refusal(codes, { fieldPointer: bit === undefined ? { inCdb, byte } : { inCdb, byte, bit } });
}
