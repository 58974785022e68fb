/**
 * Kernel modules, by modprobe and argument vectors: never through a shell.
 */
import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { promisify } from 'node:util';
import { IntegrityError } from '../errors.js';

const run = promisify(execFile);

async function modprobe(args: readonly string[]): Promise<void> {
  try {
    await run('modprobe', [...args]);
  } catch (cause) {
    const { code, stderr = '' } = cause as { code?: unknown; stderr?: string };
    if (code === 'ENOENT') {
      throw new IntegrityError('ERR_MISSING_TOOL', 'modprobe is not installed', {
        cause,
        advice: 'apt-get install -y kmod',
      });
    }
    throw new IntegrityError(
      'ERR_TESTBED',
      `modprobe ${args.join(' ')}: ${stderr.trim() || (cause as Error).message}`,
      {
        cause,
        advice:
          'It takes root and a kernel with loadable SCSI modules; without them use `blk-integrity testbed vm`.',
      },
    );
  }
}

export async function isLoaded(module: string): Promise<boolean> {
  try {
    await access(`/sys/module/${module}`);
    return true;
  } catch {
    return false;
  }
}

/** Loads a module with parameters, and what it depends on. One that is loaded already stays as it is. */
export function loadModule(
  module: string,
  parameters: Readonly<Record<string, string | number>> = {},
): Promise<void> {
  return modprobe([module, ...Object.entries(parameters).map(([name, value]) => `${name}=${value}`)]);
}

export function unloadModule(module: string): Promise<void> {
  return modprobe(['-r', module]);
}
