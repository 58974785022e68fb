/**
 * Reports for people.
 */
import { CHECKERS, PATHS, READ_BY, VERDICTS } from '../words.js';
import type {
  Cell,
  ChainReport,
  CrosscheckReport,
  DiskSummary,
  Finding,
  ListReport,
  ProveReport,
  RangeReport,
  RestoreReport,
  WriteReport,
} from './model.js';
import { printable } from './printable.js';
import { table } from './table.js';

/** Findings that are printed one by one; the JSON form has them all. */
const FINDINGS_SHOWN = 50;

/** The lines of one report: control characters in what they quote are made visible. */
export const page = (lines: readonly string[]): string => lines.map(printable).join('\n');

export function diskText(disk: DiskSummary): string[] {
  const { device, sg, vendor, product, blocks, blockSize, format, protectionType, kernel } = disk;
  return [
    `${device}${sg ? ` (${sg})` : ''}  ${vendor} ${product}  ${blocks} blocks of ${blockSize}  ${disk.identity ?? 'no identity'}`,
    `disk: protection type ${protectionType}; block layer: ${format}; kernel ${kernel}; paths ${disk.paths.join(', ')}`,
    `SG_IO: ${disk.passthroughTuples}`,
    ...(disk.noBlockPi === null ? [] : [`no path block-pi: ${disk.noBlockPi}`]),
  ];
}

/** How many intervals got which verdict. */
export function countsText(counts: Cell['counts']): string {
  const said = VERDICTS.filter((verdict) => counts[verdict]);
  return said.map((verdict) => `${verdict} ${counts[verdict]}`).join(', ');
}

function matrix({ lba, blocks, intervals, changing, cells }: RangeReport): string[] {
  const paths = PATHS.filter((path) => cells.some((cell) => cell.path === path));
  const rows = CHECKERS.filter((checker) => cells.some((cell) => cell.checker === checker)).map((checker) => [
    checker,
    ...paths.map((path) => {
      const cell = cells.find((candidate) => candidate.checker === checker && candidate.path === path);
      return cell === undefined ? '-' : countsText(cell.counts);
    }),
  ]);
  const moved = changing === 0 ? '' : `, ${changing} blocks changing`;
  return [
    `blocks ${lba} to ${lba + blocks - 1} (${intervals} intervals${moved})`,
    ...table([['checker', ...paths], ...rows]).map((line) => `  ${line}`),
    ...reasons(cells).map((line) => `  ${line}`),
  ];
}

/** Why intervals were not judged, each reason once with the checkers and paths that it is of. */
function reasons(cells: readonly Cell[]): string[] {
  const where = new Map<string, string[]>();
  for (const { checker, path, why } of cells) {
    for (const reason of why) where.set(reason, [...(where.get(reason) ?? []), `${checker} by ${path}`]);
  }
  return [...where].map(([reason, places]) => `${places.join(', ')}: ${reason}`);
}

function findingText({ lba, path, text, checker }: Finding): string {
  const by = path === null ? '' : ` by ${path}`;
  const who = checker === 'software' ? 'software: ' : '';
  return lba === null ? text : `LBA ${lba}${by}: ${who}${text}`;
}

export function findingsText(findings: readonly Finding[]): string[] {
  const shown = findings.slice(0, FINDINGS_SHOWN).map((one) => `  ${findingText(one)}`);
  const more = findings.length - shown.length;
  return [
    findings.length === 0
      ? 'no findings'
      : `${findings.length} ${findings.length === 1 ? 'finding' : 'findings'}`,
    ...shown,
    ...(more > 0 ? [`  and ${more} more: --json has them all`] : []),
  ];
}

/** What was not judged: it is no pass, so every summary says how much it was. */
function notJudged(ranges: readonly RangeReport[]): string[] {
  const total = { escaped: 0, unchecked: 0 };
  for (const { cells } of ranges) {
    const software = cells.filter(({ checker }) => checker === 'software');
    // The best path counts: a tuple that one path showed is judged.
    const best = software.reduce<Cell | null>(
      (least, cell) =>
        (least?.counts.unchecked ?? Number.POSITIVE_INFINITY) > (cell.counts.unchecked ?? 0) ? cell : least,
      null,
    );
    total.escaped += best?.counts.escaped ?? 0;
    total.unchecked += best?.counts.unchecked ?? 0;
  }
  const parts = [
    ...(total.escaped > 0 ? [`${total.escaped} intervals are escaped: nobody checks them`] : []),
    ...(total.unchecked > 0
      ? [`${total.unchecked} intervals were unchecked by the software: no path shows their tuples`]
      : []),
  ];
  return parts.length === 0 ? [] : [parts.join('; ')];
}

function writtenText({ lba, blocks, paths, restored }: WriteReport): string {
  const by = paths.map(
    ({ path, tuplesCompared }) => `${path}${tuplesCompared ? '' : ' (tuples not compared)'}`,
  );
  return `written: blocks ${lba} to ${lba + blocks - 1} by ${by.join(', ') || 'no path'}; restored: ${RESTORED[restored]}`;
}

export function crosscheckText(report: CrosscheckReport): string {
  return page([
    ...diskText(report.disk),
    ...(report.note === null ? [] : [report.note]),
    '',
    ...report.ranges.flatMap((range) => [...matrix(range), '']),
    ...(report.written === null ? [] : [writtenText(report.written)]),
    ...findingsText(report.findings),
    ...notJudged(report.ranges),
    ...(report.checked === 0 ? ['NOTHING WAS CHECKED: no findings is no verdict'] : []),
  ]);
}

const RESTORED: Readonly<Record<ProveReport['restored'], string>> = {
  exact: 'data and tuple as they were',
  'tuples regenerated': 'data as it was, tuples regenerated',
};

const OUTCOMES: Readonly<Record<ProveReport['outcome'], (read: string) => string>> = {
  caught: (read) => `CAUGHT: ${read} was refused`,
  delivered: (read) => `DELIVERED: ${read} returned wrong data with success`,
  vacuous: () => 'VACUOUS: the fault is none',
};

export function proveText(report: ProveReport): string {
  const { fault, path, outcome, why, noticed, silent } = report;
  const hex = (byte: number) => `${byte.toString(16).padStart(2, '0')}h`;
  return page([
    ...diskText(report.disk),
    `planted: byte ${fault.byte} of LBA ${fault.lba} changed from ${hex(fault.was)} to ${hex(fault.now)} under its tuple`,
    '',
    ...report.ranges.flatMap((range) => [...matrix(range), '']),
    ...findingsText(report.findings),
    '',
    `noticed: ${noticed.join(', ') || 'nobody'}`,
    `silent: ${silent.join(', ') || 'nobody'}`,
    `${OUTCOMES[outcome](READ_BY[path])}${why === null ? '' : `: ${why}`}`,
    ...(outcome === 'delivered' ? [`why: blk-integrity show ${report.disk.device}`] : []),
    `the block is back: ${RESTORED[report.restored]}`,
  ]);
}

export function restoreText({ device, lba, blocks, writtenBlocks, outcome, journal }: RestoreReport): string {
  const region = `${device}: blocks ${lba} to ${lba + blocks - 1}`;
  const done =
    outcome === 'untouched'
      ? 'nothing was to be put back'
      : `${writtenBlocks} block${writtenBlocks === 1 ? '' : 's'} put back: ${RESTORED[outcome]}`;
  return `${region}: ${done}; ${journal} is removed`;
}

export function listText({ disks }: ListReport): string {
  if (disks.length === 0) return 'no disks';
  const rows = disks.map(
    ({ device, sg, vendor, model, blocks, blockSize, format, protectionType, reach }) => [
      device,
      sg ?? '-',
      `${vendor} ${model}`.trim() || '-',
      String(blocks),
      String(blockSize),
      String(protectionType),
      format,
      reach,
    ],
  );
  const header = ['DISK', 'SG', 'MODEL', 'BLOCKS', 'BLOCK', 'TYPE', 'FORMAT', 'PROTECTION'];
  return page(table([header, ...rows], ['left', 'left', 'left', 'right', 'right', 'right']));
}

export function chainText({ disk, links, reach, above, disagreements }: ChainReport): string {
  const yes = (is: boolean) => (is ? 'yes' : 'no');
  const rows = links.map(({ link, makes, carries, checks, text }) => [
    link,
    yes(makes),
    yes(carries),
    yes(checks),
    text,
  ]);
  return page([
    ...diskText(disk),
    '',
    ...table([['', 'MAKES', 'CARRIES', 'CHECKS', ''], ...rows]),
    '',
    ...(above.length === 0 ? [] : [`above it: ${above.join(', ')}`]),
    ...disagreements.map((text) => `disagreement: ${text}`),
    `protection: ${reach}`,
  ]);
}
