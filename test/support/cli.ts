/**
 * One command line in this process, as a shell would see it.
 */
import { Readable, Writable } from 'node:stream';
import { runProgram } from '../../src/cli/program.js';

export interface Seen {
  status: number;
  stdout: string;
  stderr: string;
  /** What stdout is, byte by byte. */
  bytes: Buffer;
}

export interface Surroundings {
  readonly signal?: AbortSignal;
  readonly stdin?: Iterable<Uint8Array>;
  readonly isTTY?: boolean;
  readonly stderrIsTTY?: boolean;
}

export async function cli(
  args: readonly string[],
  {
    signal = new AbortController().signal,
    stdin = [],
    isTTY = false,
    stderrIsTTY = false,
  }: Surroundings = {},
): Promise<Seen> {
  const parts = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  const collect = (name: keyof typeof parts) =>
    new Writable({
      write(chunk, _, done) {
        parts[name].push(Buffer.from(chunk));
        done();
      },
    });
  let status = 0;
  await runProgram(
    args,
    {
      stdin: Readable.from(stdin, { objectMode: false }),
      stdout: Object.assign(collect('stdout'), { isTTY }),
      stderr: Object.assign(collect('stderr'), { isTTY: stderrIsTTY }),
      signal,
      setExitStatus: (said) => {
        status = said;
      },
    },
    '1.2.3',
  );
  const [bytes, stderr] = [Buffer.concat(parts.stdout), Buffer.concat(parts.stderr).toString()];
  return { status, stdout: bytes.toString(), stderr, bytes };
}
