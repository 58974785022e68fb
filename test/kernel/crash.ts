/**
 * A run of the command that ends at one of its write points, by crash-at.mjs.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export const WHENS = ['before', 'under-way', 'after'] as const;

export interface Crash {
  /** The write, counted from 1; more than there are: the run goes to its end. */
  readonly at: number;
  readonly when: (typeof WHENS)[number];
  /** `kill`: SIGKILL for the run alone. `reset`: this very machine restarts at once, and nothing is synced. */
  readonly by: 'kill' | 'reset';
}

/** A run that is to end by itself. */
export const NEVER: Crash = { at: Number.MAX_SAFE_INTEGER, when: 'after', by: 'kill' };

/**
 * Which write the `run`th of so many runs is to end at: spread over all of them, and in a long campaign each by each, before, during and
 * after it. The last come first: at the first ones the journal is made, and the disk is not written yet.
 */
export function crashPoint(run: number, runs: number, points: number): Pick<Crash, 'at' | 'when'> {
  const at = points - (runs < points ? Math.floor(((run + 0.5) * points) / runs) : run % points);
  return { at, when: WHENS[(run + Math.floor(run / points)) % WHENS.length]! };
}

export interface Ended {
  readonly signal: string | null;
  /** On standard error: of a run that came to its end, how many writes there were. */
  readonly said: string;
}

/** Throws for a run that failed by itself. */
export async function crash(
  verb: readonly string[],
  journal: string,
  { at, when, by }: Crash,
): Promise<Ended> {
  const preload = new URL('../../test/kernel/crash-at.mjs', import.meta.url).href;
  const child = spawn(
    process.execPath,
    ['--import', preload, 'lib/cli/main.js', ...verb, '--journal', journal, '--json'],
    {
      env: { ...process.env, CRASH_AT: String(at), CRASH_WHEN: when, CRASH_BY: by },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const [status, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (signal === null && status !== 0) throw new Error(`${verb.join(' ')} ended ${status}: ${said}`);
  return { signal, said };
}
