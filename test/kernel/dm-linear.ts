/**
 * A device-mapper device that is a piece of a disk: its bios reach the disk as clones that have been moved.
 */
import { access, readdir, readFile } from 'node:fs/promises';
import { command } from './command.js';

export interface DmLinear extends AsyncDisposable {
  /** `/dev/dm-0`. */
  readonly device: string;
}

/** `start` and `length` in 512-byte sectors. */
export async function createDmLinear(device: string, start: number, length: number): Promise<DmLinear> {
  // Programs start slowly in the guest.
  await access('/sys/module/dm_mod').catch(() => command('modprobe', 'dm_mod'));
  const name = `linear-${start}`;
  // Nobody runs udev here.
  await command(
    'dmsetup',
    '--noudevsync',
    'create',
    name,
    '--table',
    `0 ${length} linear ${device} ${start}`,
  );
  return {
    device: await nodeOf(name),
    [Symbol.asyncDispose]: async () => {
      await command('dmsetup', '--noudevsync', 'remove', '--retry', name);
    },
  };
}

async function nodeOf(name: string): Promise<string> {
  for (const node of await readdir('/sys/block')) {
    const mapped = await readFile(`/sys/block/${node}/dm/name`, 'utf8').catch(() => '');
    if (mapped.trim() === name) return `/dev/${node}`;
  }
  throw new Error(`no dm device is named ${name}`);
}
