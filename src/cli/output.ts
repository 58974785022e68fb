/**
 * How a verb prints its report and what its exit status says.
 */
import { IntegrityError } from '../errors.js';
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

/** @throws ERR_USAGE where binary bytes must not go to stdout: to a terminal, or into the middle of JSON. */
export function requireBinaryStdout(what: string, { json }: OutputOptions, { stdout }: CommandIo): void {
  if (json) {
    throw new IntegrityError('ERR_USAGE', `--json and ${what} cannot both go to stdout`, {
      advice: `Name a file for ${what} with -o.`,
    });
  }
  if ('isTTY' in stdout && stdout.isTTY) {
    throw new IntegrityError('ERR_USAGE', `${what} is binary and stdout is a terminal: not written`, {
      advice: 'Redirect stdout, or name a file with -o.',
    });
  }
}
