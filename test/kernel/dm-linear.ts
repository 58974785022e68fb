/**
 * A device-mapper device that is a piece of a disk: its bios reach the disk as clones that have been moved.
 */
import { command } from './command.js';

export interface DmLinear extends AsyncDisposable {
  /** `/dev/dm-0`. */
  readonly device: string;
}

/** `start` and `length` in 512-byte sectors. */
export async function createDmLinear(device: string, start: number, length: number): Promise<DmLinear> {
  await command('modprobe', 'dm_mod');
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
  const minor = await command('dmsetup', 'info', '--columns', '--noheadings', '-o', 'minor', name);
  return {
    device: `/dev/dm-${minor.trim()}`,
    [Symbol.asyncDispose]: async () => {
      await command('dmsetup', '--noudevsync', 'remove', '--retry', name);
    },
  };
}
