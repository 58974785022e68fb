/**
 * The field's words, as this package uses them in code and output alike.
 */

/** What one checker said of one interval. */
export const VERDICTS = ['ok', 'guard', 'app', 'ref', 'protection', 'escaped', 'unchecked', 'error'] as const;
export type Verdict = (typeof VERDICTS)[number];

/** Who compares. `kernel-or-device`: a refusal whose author the kernel's log did not name. */
export const CHECKERS = ['software', 'kernel', 'hba', 'device', 'kernel-or-device'] as const;
export type Checker = (typeof CHECKERS)[number];

/** How bytes travel. */
export const PATHS = ['passthrough', 'block', 'block-pi'] as const;
export type PathName = (typeof PATHS)[number];

/** An application's read by each path, in a sentence. */
export const READ_BY: Readonly<Record<PathName, string>> = {
  passthrough: 'a read by SG_IO',
  block: 'a read through the block layer',
  'block-pi': 'a read with tuples by io_uring',
};

/** Which tag was compared; `protection` when the refusal did not tell. */
export type Check = 'guard' | 'app' | 'ref' | 'protection';

/** Fields of commands and answers that are known by their hexadecimal form: tags, pages, operation codes, sense codes. */
export const CODE_FIELDS: readonly string[] = [
  'refTag',
  'appTag',
  'appTagMask',
  'page',
  'subpage',
  'pages',
  'requestedOpcode',
  'requestedServiceAction',
  'opcode',
  'serviceAction',
  'code',
  'key',
  'asc',
  'ascq',
];
