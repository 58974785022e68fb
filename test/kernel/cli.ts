import { Readable, Writable } from 'node:stream';
import { runProgram } from '../../lib/cli/program.js';

export interface Seen {
  status: number;
  stdout: string;
  stderr: string;
}

/** Runs one command line in this process and returns what a shell would see. */
export async function cli(...args: string[]): Promise<Seen> {
  const seen = { status: 0, stdout: '', stderr: '' };
  const collect = (name: 'stdout' | 'stderr') =>
    new Writable({
      write(chunk, _, done) {
        seen[name] += chunk;
        done();
      },
    });
  await runProgram(
    args,
    {
      stdin: Readable.from([]),
      stdout: collect('stdout'),
      stderr: collect('stderr'),
      signal: new AbortController().signal,
      setExitStatus: (status) => {
        seen.status = status;
      },
    },
    'test',
  );
  return seen;
}
