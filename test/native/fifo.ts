/** A FIFO to open: an open for reading waits until a writer comes, so a handle's thread is busy for as long as a test likes. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

export function makeFifo(path: string): string {
  execFileSync('mkfifo', [path]);
  return path;
}

/** Lets one open that waits at the FIFO, or is yet to come, go on. */
export async function admit(path: string): Promise<void> {
  const writer = await open(path, 'w');
  await writer.close();
}

const OPENAT: Partial<Record<NodeJS.Architecture, number>> = { x64: 257, arm64: 56 };

/** How many threads of this process are inside open(2). */
function threadsOpening(): number {
  const calls = readdirSync('/proc/self/task').map((id) =>
    readFileSync(`/proc/self/task/${id}/syscall`, 'utf8'),
  );
  return calls.filter((call) => call.startsWith(`${OPENAT[process.arch]} `)).length;
}

/** Waits until so many threads of this process wait in open(2). */
export async function untilOpening(threads: number): Promise<void> {
  while (threadsOpening() < threads) await sleep(5);
}

/** The descriptors of this process that are open on `path`. */
export function descriptorsOf(path: string): string[] {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false;
    }
  });
}
