/**
 * Reports of the verbs that send one command or one range, for people.
 */

import { CODE_FIELDS } from '../words.js';
import { hexDump } from './hex-dump.js';
import type {
  AlteredReport,
  CommandForm,
  CommandReport,
  Decoded,
  IntervalReport,
  ReadReport,
  TupleReport,
  WriteVerbReport,
} from './model.js';
import { table } from './table.js';
import { countsText, diskText, findingsText, page } from './text.js';

/** Tuples and runs that are printed one by one; the JSON form has more. */
const TUPLES_SHOWN = 32;
const RESULTS_SHOWN = 50;

const DIGITS: Readonly<Record<keyof TupleReport, number>> = { guard: 4, app: 4, ref: 8 };

const lastOf = ({ lba, blocks }: { readonly lba: number; readonly blocks: number }) => lba + blocks - 1;

const hex = (value: number | string, digits: number) =>
  typeof value === 'string' ? value : `0x${value.toString(16).padStart(digits, '0')}`;

/** `READ(32) protect=1 refTag=0x8`: what was said beside the range. */
export function commandText({ name, protect, fua, dpo, expected }: CommandForm): string {
  const said = [
    `protect=${protect}`,
    ...(fua ? ['fua'] : []),
    ...(dpo ? ['dpo'] : []),
    ...(expected === null
      ? []
      : [
          `refTag=${hex(expected.refTag, 8)}`,
          `appTag=${hex(expected.appTag, 4)}`,
          `appTagMask=${hex(expected.appTagMask, 4)}`,
        ]),
  ];
  return [name, ...said].join(' ');
}

export function readText(report: ReadReport): string {
  const { disk, path, command, results, delivered, blocks, findings, checked, data } = report;
  const rows = results
    .slice(0, RESULTS_SHOWN)
    .map((one) => [
      one.blocks === 1 ? String(one.lba) : `${one.lba} to ${lastOf(one)}`,
      one.hardware,
      countsText(one.software),
      `${one.comparable}: ${one.why}`,
    ]);
  return page([
    ...diskText(disk),
    '',
    `blocks ${report.lba} to ${lastOf(report)} by ${path}${command === null ? '' : `: ${commandText(command)}`}`,
    ...table([['blocks', 'hardware', 'software', 'comparable'], ...rows]).map((line) => `  ${line}`),
    ...(results.length > rows.length
      ? [`  and ${results.length - rows.length} more: --json has them all`]
      : []),
    '',
    ...tuplesText(report),
    ...(data === null ? [] : dataText(data, delivered * disk.blockSize)),
    ...(delivered < blocks
      ? [`delivered: ${delivered} of ${blocks} blocks, up to the first that did not come`]
      : []),
    ...findingsText(findings),
    ...(checked === 0 ? ['NOTHING WAS CHECKED: no findings is no verdict'] : []),
  ]);
}

function tuplesText({ tuples, tuplesOmitted }: ReadReport): string[] {
  if (tuples.length === 0) return [];
  const several = tuples.some(({ interval }) => interval > 0);
  const rows = tuples
    .slice(0, TUPLES_SHOWN)
    .map((one) => [
      several ? `${one.lba}.${one.interval}` : String(one.lba),
      ...(['guard', 'app', 'ref'] as const).map((tag) => tagText(one, tag)),
      one.verdict,
    ]);
  const more = tuples.length + tuplesOmitted - rows.length;
  return [
    ...table([['tuple', 'guard', 'app', 'ref', 'software'], ...rows]).map((line) => `  ${line}`),
    ...(more > 0 ? [`  and ${more} more: --tuples FILE has them all`] : []),
    '',
  ];
}

/** As it is stored, and what the software made where that is something else and is compared. */
function tagText({ stored, computed, verdict }: IntervalReport, tag: keyof TupleReport): string {
  const own = hex(stored[tag], DIGITS[tag]);
  const made = computed[tag];
  if (made === null || made === stored[tag] || verdict === 'escaped') return own;
  return `${own} (computed ${hex(made, DIGITS[tag])})`;
}

function dataText(data: string, bytes: number): string[] {
  const shown = Buffer.from(data, 'hex');
  if (shown.length === 0) return [];
  const more = bytes - shown.length;
  return [
    ...hexDump(shown).map((line) => `  ${line}`),
    ...(more > 0 ? [`  and ${more} bytes more: -o FILE has them all`] : []),
  ];
}

const MADE_BY: Readonly<Record<WriteVerbReport['tuples'], string>> = {
  caller: 'tuples as they were given',
  software: 'tuples made by the software',
  kernel: 'tuples made by the kernel',
  disk: 'tuples are made by the disk',
  none: 'no tuples',
};

export function writeText(report: WriteVerbReport): string {
  const { disk, path, command, tuples, compared, kept, restored, findings } = report;
  const by = `${path}${command === null ? '' : `: ${commandText(command)}`}`;
  return page([
    ...diskText(disk),
    '',
    `blocks ${report.lba} to ${lastOf(report)} by ${by}; ${MADE_BY[tuples]}`,
    ...findingsText(findings),
    kept ? `WRITTEN, and read again: ${compared} are what was written` : `NOT WRITTEN: ${backText(restored)}`,
  ]);
}

const backText = (restored: WriteVerbReport['restored']) =>
  `the blocks are back: ${restored === 'exact' ? 'data and tuples as they were' : 'data as it was, tuples regenerated'}`;

const byte = (value: number) => `${value.toString(16).toUpperCase().padStart(2, '0')}h`;

export function commandReportText(report: CommandReport): string {
  const { device, command, cdb, fields, text, sense, retries, data, decoded, notDecoded, altered } = report;
  const { status, hostStatus, driverStatus, requested, compared, received, residue, untouched, durationMs } =
    report;
  const said = Object.entries(fields).map(([name, value]) => `${name} ${scalarText(name, value)}`);
  return page([
    `${device}: ${command}  ${cdb.replace(/..(?!$)/g, '$& ')}`,
    ...(said.length === 0 ? [] : [`  ${said.join(', ')}`]),
    ...retries.map((why) => `retried: ${why}`),
    `answer: ${text}`,
    `  status ${byte(status)}, host ${byte(hostStatus)}, driver ${byte(driverStatus)}, ${durationMs} ms`,
    ...(sense === null ? [] : senseLines(sense, report.senseBytes)),
    ...(requested === 0 ? [] : [`data: ${received} of ${requested} bytes taken, residue ${residue}`]),
    ...(compared === 0 ? [] : [`data: ${compared} bytes sent to be compared; nothing of them is stored`]),
    ...(untouched === 0
      ? []
      : [`  the last ${untouched} of them are what was in the buffer before: they did not come`]),
    ...(decoded === null ? [] : Object.entries(decoded).flatMap(([name, value]) => memberLines(name, value))),
    ...(notDecoded === null ? [] : [`  cannot be decoded: ${notDecoded}`]),
    ...(data === null ? [] : dataText(data, received)),
    ...(altered === null ? [] : [alteredText(altered, report.outcome)]),
  ]);
}

function alteredText(altered: AlteredReport, outcome: string): string {
  const { effect, sent, restored, lba, blocks } = altered;
  const out = `${sent} bytes sent`;
  if (restored !== null) return `NOT KEPT: ${out}; ${backText(restored)}`;
  if (outcome !== 'good') return `NOT GOOD: ${out}; whatever it did stays`;
  if (lba !== null && blocks !== null)
    return `ALTERED: ${out}; what it did to blocks ${lba} to ${lba + blocks - 1} stays`;
  return `ALTERED: ${out}; ${effect}: it stays${effect === 'whole medium' ? ', and the disk is another now' : ''}`;
}

function senseLines(
  { text, key, asc, ascq, deferred, fieldPointer, ...rest }: NonNullable<CommandReport['sense']>,
  bytes: string,
): string[] {
  const told = Object.entries(rest).filter(([, value]) => value !== null);
  return [
    `sense: ${text}`,
    ...told.flatMap(([name, value]) => memberLines(name, value)),
    ...(fieldPointer === null ? [] : [`  ${fieldText(fieldPointer)}`]),
    `  ${bytes.replace(/..(?!$)/g, '$& ')}`,
  ];
}

/** Members of an array that are printed; the JSON form has more. */
const MEMBERS_SHOWN = 256;

/** `name: value`; an array of objects has a line for each. */
function memberLines(name: string, value: Decoded): string[] {
  if (!Array.isArray(value)) return [`  ${name}: ${inlineText(name, value)}`];
  const members: readonly Decoded[] = value;
  const shown = members.slice(0, MEMBERS_SHOWN);
  const more = members.length - shown.length;
  const objects = shown.some((one) => typeof one === 'object' && one !== null);
  return [
    ...(objects
      ? shown.map((one) => `  ${name}: ${inlineText(name, one)}`)
      : [`  ${name}: ${inlineText(name, shown)}`]),
    ...(more > 0 ? [`  ${name}: and ${more} more: --json has them all`] : []),
  ];
}

/** On one line. What is not there is `none`. */
function inlineText(name: string, value: Decoded): string {
  if (typeof value !== 'object' || value === null) return scalarText(name, value);
  const parts = Array.isArray(value)
    ? value.map((one) => bracketed(name, one))
    : Object.entries(value).map(([member, one]) => `${member} ${bracketed(member, one)}`);
  return parts.length === 0 ? 'none' : parts.join(', ');
}

const bracketed = (name: string, value: Decoded) =>
  typeof value === 'object' && value !== null ? `(${inlineText(name, value)})` : inlineText(name, value);

function scalarText(name: string, value: null | boolean | number | string): string {
  if (value === null) return 'none';
  return CODE_FIELDS.includes(name) && typeof value === 'number' ? `0x${value.toString(16)}` : String(value);
}

type FieldPointer = NonNullable<NonNullable<CommandReport['sense']>['fieldPointer']>;

function fieldText({ inCdb, byte: at, bit }: FieldPointer): string {
  const where = inCdb ? 'the CDB' : 'the parameter list';
  return `invalid: byte ${at}${bit === null ? '' : `, bit ${bit}`} of ${where}`;
}
