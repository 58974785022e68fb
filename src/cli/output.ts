/**
 * How a verb prints its report and what its exit status says.
 */
import { printableJson } from '../report/printable.js';
import type { CommandIo } from './io.js';

export interface OutputOptions {
  readonly json?: boolean;
  readonly tap?: boolean;
}

/** Prints one report in the form that the options name. */
export function printReport<T>(
  io: CommandIo,
  options: OutputOptions,
  report: T,
  forms: { readonly text: (report: T) => string; readonly tap?: (report: T) => string },
): void {
  const print = options.json ? printableJson : options.tap && forms.tap ? forms.tap : forms.text;
  io.stdout.write(`${print(report)}\n`);
}
