/**
 * Kernel modules, by modprobe and argument vectors: never through a shell.
 */
import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
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

/** Tells one loading of a module from another: its folder in sysfs is a new one each time. Null while it is not loaded. */
export async function loadedInstance(module: string): Promise<string | null> {
  try {
    const { ino, ctimeMs } = await stat(`/sys/module/${module}`);
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
    return `${boot.trim()} ${ino} ${ctimeMs}`;
  } catch {
    return null;
  }
}

/** Loads a module, and what it depends on. One that is loaded already stays as it is. */
export function loadModule(module: string): Promise<void> {
  return modprobe([module]);
}

/** Loads a module with parameters; ERR_TESTBED when somebody has loaded it already. */
export function loadModuleFirst(
  module: string,
  parameters: Readonly<Record<string, string | number>>,
): Promise<void> {
  const words = Object.entries(parameters).map(([name, value]) => `${name}=${value}`);
  return modprobe(['--first-time', module, ...words]);
}

export function unloadModule(module: string): Promise<void> {
  return modprobe(['-r', module]);
}
