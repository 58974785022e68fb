/** What the VM testbed keeps between runs, in a folder that can be deleted at any time. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { IntegrityError } from '../../errors.js';

/** $XDG_CACHE_HOME/blk-integrity/vm, or ~/.cache/blk-integrity/vm (XDG Base Directory Specification: relative paths are ignored). */
export function cacheFolder(environment: NodeJS.ProcessEnv): string {
  const base = environment['XDG_CACHE_HOME'] ?? '';
  return join(isAbsolute(base) ? base : join(homedir(), '.cache'), 'blk-integrity', 'vm');
}

export async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

export async function firstThatExists(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if (await exists(path)) return path;
  return undefined;
}

/**
 * Runs `work` while holding the cache's lock, flock(1) on a file in it: the kernel lets go of it however we end. flock runs `cat`,
 * whose echo tells that the lock is held, and which ends with our end of the pipe.
 */
export async function withLock<T>(
  cache: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  await mkdir(cache, { recursive: true });
  const holder = spawn('flock', [join(cache, 'lock'), 'cat'], {
    // Out of reach of a Ctrl-C on our terminal.
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(holder, 'exit');
  try {
    holder.stdin.on('error', () => {}).write('held');
    const failed = ended.then(([status]) => {
      throw new IntegrityError('ERR_TESTBED', `flock ${join(cache, 'lock')}: exit status ${status}`);
    });
    await Promise.race([once(holder.stdout, 'data', signal && { signal }), failed]);
    return await work();
  } finally {
    holder.stdin.end();
    holder.kill();
    await ended;
  }
}

/**
 * The folder `path`, made by `build` in a folder beside it and renamed when whole, so that an interrupted build is not taken
 * for a whole one. To be called with the lock held.
 */
export async function buildFolder(path: string, build: (folder: string) => Promise<void>): Promise<void> {
  const partial = `${path}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  try {
    await build(partial);
    await rename(partial, path);
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}
