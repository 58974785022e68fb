/**
 * What the VM testbed keeps between runs, in a folder that can be deleted at any time. Kernels are booted from it and apt, often as
 * root, writes in it: so it is ours alone, or not used.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { lstat, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { IntegrityError } from '../../errors.js';

/** $XDG_CACHE_HOME/blk-integrity/vm, or ~/.cache/blk-integrity/vm (XDG Base Directory Specification: relative paths are ignored). */
export function cacheFolder(environment: NodeJS.ProcessEnv): string {
  const base = environment['XDG_CACHE_HOME'] ?? '';
  return join(isAbsolute(base) ? base : join(homedir(), '.cache'), 'blk-integrity', 'vm');
}

const FOLDER_MODE = 0o700;
const OTHERS_CAN_WRITE = 0o022;

/** @throws ERR_TESTBED unless `path` is a folder of ours that nobody else can write to, or is not there. */
async function requireOurs(path: string): Promise<void> {
  const stats = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (stats === undefined) return;
  const us = process.geteuid!();
  const fault = !stats.isDirectory()
    ? 'is no folder of its own (a link?)'
    : stats.uid !== us
      ? `belongs to user ${stats.uid}, and this is user ${us}`
      : stats.mode & OTHERS_CAN_WRITE
        ? 'can be written to by others than its owner'
        : undefined;
  if (fault === undefined) return;
  throw new IntegrityError('ERR_TESTBED', `the cache folder ${path} ${fault}: not used`, {
    advice: 'Delete it, or name another folder for caches in XDG_CACHE_HOME.',
  });
}

/** @throws ERR_TESTBED unless the cache, and `names` one below the other in it, are ours alone as far as they are there. */
export async function requirePrivate(cache: string, ...names: string[]): Promise<void> {
  const below = names.map((_, depth) => join(cache, ...names.slice(0, depth + 1)));
  for (const path of [dirname(cache), cache, ...below]) await requireOurs(path);
}

/** Makes them where they are not there, and returns the last. @throws ERR_TESTBED as above */
export async function privateFolder(cache: string, ...names: string[]): Promise<string> {
  const path = join(cache, ...names);
  await requirePrivate(cache, ...names);
  await mkdir(path, { recursive: true, mode: FOLDER_MODE });
  await requirePrivate(cache, ...names);
  return path;
}

/** Whole or not at all; what stood in its place, a link too, is replaced and not written to. */
export async function replaceFile(path: string, content: string): Promise<void> {
  const partial = `${path}.${randomBytes(8).toString('hex')}`;
  try {
    await writeFile(partial, content, { flag: 'wx', mode: 0o600 });
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
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
  await privateFolder(cache);
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
  await mkdir(partial, { recursive: true, mode: FOLDER_MODE });
  try {
    await build(partial);
    await rename(partial, path);
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}
