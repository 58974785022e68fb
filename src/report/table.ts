/**
 * Tables for terminals and pipes alike: two spaces between columns, nothing cut, nothing drawn.
 */

export type Align = 'left' | 'right';

/** Lines of a table; the first row is the header. Trailing blanks are left out. */
export function table(rows: readonly (readonly string[])[], align: readonly Align[] = []): string[] {
  const widths = rows.reduce<number[]>(
    (widest, row) => row.map((cell, i) => Math.max(widest[i] ?? 0, cell.length)),
    [],
  );
  return rows.map((row) =>
    row
      .map((cell, i) => (align[i] === 'right' ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
}
