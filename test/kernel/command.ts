import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Runs a program of the guest; it fails the test when that fails. */
export async function command(program: string, ...args: string[]): Promise<string> {
  return (await run(program, args)).stdout;
}
