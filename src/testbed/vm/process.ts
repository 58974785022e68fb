/** Runs the host's programs, by argument vector. */
import { spawn } from 'node:child_process';
import { buffer, text } from 'node:stream/consumers';
import { IntegrityError } from '../../errors.js';

export type Argv = readonly [program: string, ...argv: string[]];

/** Where programs are looked for: the PATH, and the folders of system programs that an ordinary user's may lack. */
export const PROGRAM_FOLDERS: readonly string[] = [
  ...new Set([
    ...(process.env['PATH'] ?? '').split(':').filter((folder) => folder.startsWith('/')),
    ...['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'],
  ]),
];

export interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  readonly cwd?: string | undefined;
  /** Beside our own. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly input?: Uint8Array;
}

/** The program's standard output. Throws ERR_MISSING_TOOL when it is not there, ERR_TESTBED with its own words when it fails. */
export async function capture(argv: Argv, options: RunOptions = {}): Promise<Buffer> {
  const { signal, cwd, environment, input } = options;
  const [program, ...rest] = argv;
  const child = spawn(program, rest, {
    stdio: 'pipe',
    env: { ...process.env, LC_ALL: 'C.UTF-8', PATH: PROGRAM_FOLDERS.join(':'), ...environment },
    ...(cwd === undefined ? {} : { cwd }),
    ...(signal === undefined ? {} : { signal }),
  });
  const ended = new Promise<string | undefined>((resolve, reject) => {
    child.on('error', (cause: NodeJS.ErrnoException) => {
      const missing = cause.code === 'ENOENT';
      reject(
        signal?.aborted
          ? signal.reason
          : new IntegrityError(missing ? 'ERR_MISSING_TOOL' : 'ERR_TESTBED', `${program}: ${cause.message}`, {
              cause,
              ...(missing ? { advice: `Install ${program}.` } : {}),
            }),
      );
    });
    child.on('close', (status, killer) =>
      resolve(status === 0 ? undefined : `exit status ${status ?? killer}`),
    );
  });
  // A program that ends without reading its input is judged by its exit status.
  child.stdin.on('error', () => {}).end(input);
  const [output, words, failure] = await Promise.all([buffer(child.stdout), text(child.stderr), ended]);
  if (failure === undefined) return output;
  throw new IntegrityError('ERR_TESTBED', `${argv.join(' ')}: ${failure}\n${words.trim()}`);
}

export async function run(argv: Argv, options: RunOptions = {}): Promise<string> {
  return (await capture(argv, options)).toString();
}
