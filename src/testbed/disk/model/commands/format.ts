/** FORMAT UNIT (SBC-4): everything is unmapped, under tuples of FFh, in the type that was asked for. */
import {
  decodeFormatList,
  FORMAT_HEADER_BYTES,
  FORMAT_PROTECTION,
  type FormatParameters,
} from '../../../../scsi/format-unit.js';
import { byteOf, type Handler, NO_DATA } from '../command.js';
import { requireFormat } from '../format.js';
import { invalidInCdb, invalidInList, Refusal, SENSE } from '../refusal.js';
import { requireWritable } from './write.js';

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
  const form = longList ? 'long' : 'short';
  const list = decodeFormatList(form, formatData ? dataOut : new Uint8Array(FORMAT_HEADER_BYTES[form]));
  if (list === null) throw new Refusal(SENSE.PARAMETER_LIST_LENGTH);
  if (formatData) requireList(dataOut, list, FORMAT_HEADER_BYTES[form]);
  const known = FORMAT_PROTECTION.filter((one) => one.formatProtection === formatProtection);
  const typesOf = [0, ...(disk.concealsProtection ? [] : disk.supportedTypes)];
  if (!known.some(({ type }) => typesOf.includes(type)))
    throw invalidInCdb(byteOf(definition, 'formatProtection'), 7);
  const found = known.find((one) => one.fieldUsage === list.fieldUsage && typesOf.includes(one.type));
  if (found === undefined) throw invalidInList(0, 2);
  if (list.protectionInformation !== 0) throw invalidInList(3, 7);
  const format = {
    ...disk.medium.format,
    ...disk.pendingFormat,
    type: found.type,
    intervalExponent: list.intervalExponent,
  };
  if (list.intervalExponent > disk.intervalExponentMax) throw invalidInList(3, 3);
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

/** The defects that may follow are read over: there are none here. An initialization pattern is not taken. */
function requireList(dataOut: Uint8Array, list: FormatParameters, headerBytes: number): void {
  const { optionsValid, disablePrimaryList, disableCertification, stopFormat } = list;
  if ((dataOut[0]! & 0xf8) !== 0) throw invalidInList(0, 7);
  if (list.initializationPattern) throw invalidInList(1, 3);
  if (!optionsValid && (disablePrimaryList || disableCertification || stopFormat)) throw invalidInList(1, 6);
  if (headerBytes === FORMAT_HEADER_BYTES.long && dataOut[2] !== 0) throw invalidInList(2, 7);
  if (dataOut.length < headerBytes + list.defectListLength) throw new Refusal(SENSE.PARAMETER_LIST_LENGTH);
}
