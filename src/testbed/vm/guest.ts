/** One QEMU process and the three streams that join its guest to us. */
import { spawn } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Duplex, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { PROGRAM_FOLDERS } from './process.js';
import { CHANNEL_FD, type Machine, QEMU, qemuArguments } from './qemu.js';

export interface Guest extends AsyncDisposable {
  /** Raw, each ended by the job's trailer. */
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** The release of the kernel, when the guest has its root and is about to run the command. */
  readonly ready: Promise<string>;
  /** The command's exit status, 128+n when signal n ended it. */
  readonly exitStatus: Promise<number>;
  /** What QEMU itself said on its standard error, when it has ended. */
  readonly ended: Promise<string>;
}

/**
 * QEMU runs in a session of its own, so that a Ctrl-C on our terminal reaches only us, and with a parent death signal
 * (PR_SET_PDEATHSIG, prctl(2)), so that it never outlives us, however we end.
 * `ready` and `exitStatus` stay pending when the guest never gets there: wait for `ended` beside them.
 */
export function startGuest(machine: Machine): Guest {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', QEMU, ...qemuArguments(machine)], {
    detached: true,
    env: { ...process.env, PATH: PROGRAM_FOLDERS.join(':') },
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
  });
  const channel = (name: keyof typeof CHANNEL_FD): Duplex => {
    const socket = (child.stdio as unknown[])[CHANNEL_FD[name]] as Duplex;
    // A socket that QEMU's end resets tells no more than that QEMU ended.
    return socket.on('error', () => {});
  };
  const control = createInterface({ input: channel('control') });
  const message = (word: string): Promise<string> =>
    new Promise((resolve) => {
      control.on('line', (line) => {
        if (line.startsWith(`${word} `)) resolve(line.slice(word.length + 1));
      });
    });
  const closed = new Promise<void>((resolve) => {
    child.on('error', () => resolve());
    child.on('exit', () => resolve());
  });
  const complaint = text(child.stderr!);
  return {
    stdout: channel('stdout'),
    stderr: channel('stderr'),
    ready: message('ready'),
    exitStatus: message('exit').then(Number),
    ended: closed.then(() => complaint).then((words) => words.trim()),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await closed;
    },
  };
}

/** A kernel that starts has written to its console long before. */
const SILENCE_LIMIT_MS = 45_000;

export interface BootFailure {
  readonly failure: string;
  /** Whether the kernel never wrote a line: on a loaded host QEMU without KVM was seen to stop before it. */
  readonly silent: boolean;
}

/** The release of the guest's kernel when it has its root, or why it never will. */
export async function booted(
  guest: Guest,
  consoleLog: string,
  limitMs: number,
): Promise<{ release: string } | BootFailure> {
  const over = new AbortController();
  const after = (ms: number): Promise<void> => delay(ms, undefined, { signal: over.signal });
  const never = new Promise<never>(() => {});
  const failed = async (why: string): Promise<BootFailure> => ({
    failure: why,
    silent: await isSilent(consoleLog),
  });
  const late = after(limitMs).then(() => failed(`did not get to its root in ${limitMs / 1000} s`));
  const silent = after(Math.min(SILENCE_LIMIT_MS, limitMs)).then(async () =>
    (await isSilent(consoleLog)) ? failed(`wrote nothing in ${SILENCE_LIMIT_MS / 1000} s`) : never,
  );
  for (const waiting of [late, silent]) waiting.catch(() => {});
  try {
    return await Promise.race([
      guest.ready.then((release) => ({ release })),
      guest.ended.then((words) => failed(`ended before it had its root\n${words}`)),
      late,
      silent,
    ]);
  } finally {
    over.abort();
  }
}

async function isSilent(consoleLog: string): Promise<boolean> {
  const { size } = await stat(consoleLog).catch(() => ({ size: 0 }));
  return size === 0;
}

/** The last lines of a guest's console, without what steers a terminal, and the kernel's words of a panic, which a trace follows. */
export async function readConsole(consoleLog: string): Promise<{ panic: string[]; tail: string[] }> {
  const log = await readFile(consoleLog, 'utf8').catch(() => '');
  const lines = stripVTControlCharacters(log)
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '');
  const panic = lines.flatMap((line) => /Kernel panic - not syncing: .*/.exec(line) ?? []);
  return { panic: panic.slice(0, 1), tail: lines.slice(-20) };
}
