/**
 * What the tests ask of a report.
 */
import type { Cell, Checker, PathName, RangeReport, Verdict } from 'blk-integrity';

function cellOf({ cells }: RangeReport, checker: Checker, path: PathName): Cell | undefined {
  return cells.find((cell) => cell.checker === checker && cell.path === path);
}

/** The verdicts of one checker on one path, other than those that count nothing. */
export function verdicts(range: RangeReport, checker: Checker, path: PathName): Verdict[] {
  const counts = cellOf(range, checker, path)?.counts ?? {};
  return (Object.keys(counts) as Verdict[]).filter((verdict) => counts[verdict]);
}

/** All verdicts of one checker over the paths, each once. */
export function verdictsOf(range: RangeReport, checker: Checker): Verdict[] {
  const all = range.cells
    .filter((cell) => cell.checker === checker)
    .map(({ path }) => verdicts(range, checker, path));
  return [...new Set(all.flat())].sort();
}
