/** A value that is none, as messages show it. */
import { inspect } from 'node:util';

/** Never throws, whatever it is given: it is asked about what was refused. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  return inspect(value, { depth: 0, breakLength: Infinity, customInspect: false });
}
