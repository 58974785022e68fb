/**
 * Reports as TAP 14: a line for each range × checker × path; what nobody checked is a skip that says why.
 */
import { READ_BY } from '../words.js';
import type { Cell, CrosscheckReport, Finding, ProveReport, RangeReport } from './model.js';
import { printable } from './printable.js';
import { countsText } from './text.js';

const JUDGED_BAD = ['guard', 'app', 'ref', 'protection', 'error'] as const;

interface Point {
  readonly ok: boolean;
  readonly name: string;
  readonly skip?: string;
  /** A known failing that does not fail the run. */
  readonly todo?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** `#` would begin a directive. */
function plain(text: string): string {
  return text.replace(/[\\#]/g, (character) => `\\${character}`).replace(/\s+/g, ' ');
}

function point({ ok, name, skip, todo, details }: Point, number: number): string[] {
  const directive =
    skip !== undefined ? ` # SKIP ${plain(skip)}` : todo !== undefined ? ` # TODO ${plain(todo)}` : '';
  const lines = [`${ok ? 'ok' : 'not ok'} ${number} - ${plain(name)}${directive}`];
  if (details === undefined) return lines;
  // JSON is YAML, on one line each.
  const yaml = Object.entries(details).map(([key, value]) => `  ${key}: ${JSON.stringify(value)}`);
  return [...lines, '  ---', ...yaml, '  ...'];
}

function document(points: readonly Point[]): string {
  const lines = points.flatMap((one, i) => point(one, i + 1));
  return ['TAP version 14', `1..${points.length}`, ...lines].map(printable).join('\n');
}

const blocksOf = ({ lba, blocks }: RangeReport) => `blocks ${lba} to ${lba + blocks - 1}`;

function cellPoint(
  range: RangeReport,
  { checker, path, counts, why }: Cell,
  findings: readonly Finding[],
): Point {
  const part = (counts.escaped ?? 0) + (counts.unchecked ?? 0) > 0 ? ` (${countsText(counts)})` : '';
  const who = `${blocksOf(range)}: ${checker} by ${path}`;
  const name = `${who}${part}`;
  const bad = JUDGED_BAD.some((verdict) => counts[verdict]);
  const mine = findings.filter((one) => one.checker === checker && one.path === path);
  const checked = (counts.ok ?? 0) > 0;
  if (bad || mine.length > 0) return { ok: false, name, details: { verdicts: counts, why, findings: mine } };
  if (checked) return { ok: true, name, details: { verdicts: counts } };
  return { ok: true, name: who, skip: why.join('; ') || 'every tuple is escaped' };
}

function changingPoints(range: RangeReport): Point[] {
  if (range.changing === 0) return [];
  const name = `${blocksOf(range)}: ${range.changing} blocks were changing`;
  return [{ ok: true, name, skip: 'not judged' }];
}

function points(ranges: readonly RangeReport[], findings: readonly Finding[]): Point[] {
  const cells = ranges.flatMap((range) => {
    const here = findings.filter(
      ({ lba }) => lba !== null && lba >= range.lba && lba < range.lba + range.blocks,
    );
    return [...changingPoints(range), ...range.cells.map((cell) => cellPoint(range, cell, here))];
  });
  const others = findings.filter(({ checker, path }) => checker === null || path === null);
  return [...cells, ...others.map((one) => ({ ok: false, name: one.text, details: { finding: one } }))];
}

export function crosscheckTap({ ranges, findings, written }: CrosscheckReport): string {
  return document([...points(ranges, findings), ...writePoints(written, findings)]);
}

/** A point for each path that wrote; what it left wrong has points of its own. */
function writePoints(written: CrosscheckReport['written'], findings: readonly Finding[]): Point[] {
  if (written === null) return [];
  const { lba, blocks, paths, restored } = written;
  const points = paths.map(({ path, tuplesCompared }): Point => {
    const name = `blocks ${lba} to ${lba + blocks - 1}: written by ${path}`;
    const wrong = findings.some((one) => one.kind === 'write-differs' && one.path === path);
    if (wrong) return { ok: false, name };
    return tuplesCompared
      ? { ok: true, name }
      : { ok: true, name, skip: 'accepted, but no path reads tuples to compare' };
  });
  return [...points, { ok: true, name: `the region is back: ${restored}` }];
}

/**
 * Every checker that notices the planted fault is an `ok` point; one that should have and did not is a `not ok` that does not fail the run,
 * since the last but one point decides: whether an application was refused the block.
 */
export function proveTap(report: ProveReport): string {
  const { ranges, path, outcome, why, fault, restored, noticed, findings } = report;
  const cells = ranges.flatMap((range) =>
    range.cells.map((cell): Point => {
      const name = `LBA ${fault.lba}: ${cell.checker} by ${cell.path} notices the fault`;
      if (noticed.includes(`${cell.checker} by ${cell.path}`))
        return { ok: true, name, details: { verdicts: cell.counts } };
      const silent = findings.find(
        ({ kind, checker, path }) => kind === 'silent' && checker === cell.checker && path === cell.path,
      );
      if (silent) return { ok: false, name, todo: silent.text };
      return { ok: true, name, skip: cell.why.join('; ') };
    }),
  );
  const verdict = {
    ok: outcome === 'caught',
    name: `${READ_BY[path]} is refused`,
    details: { outcome, why },
  };
  const back = { ok: true, name: `the block is back: ${restored}` };
  return document([...cells, verdict, back]);
}
