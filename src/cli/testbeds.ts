/**
 * Which disk a verb works on: the one that is named, a testbed's made for it, or, without either, one in a VM.
 */
import { fileURLToPath } from 'node:url';
import { type Disk, openDevice } from '../device/disk.js';
import { IntegrityError } from '../errors.js';
import { EmulatedDisk } from '../testbed/disk/emulated-disk.js';
import { fillDisk } from '../testbed/fill.js';
import { createScsiDebug } from '../testbed/scsi-debug.js';
import { runInVm } from '../testbed/vm/index.js';
import type { CommandIo } from './io.js';
import { parseChoice } from './options.js';

const TESTBEDS = ['scsi-debug', 'disk', 'vm'] as const;

/** As many as scsi_debug has. */
const EMULATED_BLOCKS = 32_768;

export const TESTBED_OPTION = [
  '--testbed <kind>',
  'without DEVICE: make a disk for this run; scsi-debug in the kernel that runs, an emulated disk in this process, or vm (default)',
] as const;

/** Runs `job` on the disk, and gives the testbed back whatever comes of it. */
export async function withDisk(
  io: CommandIo,
  device: string | undefined,
  testbed: string | undefined,
  verb: readonly string[],
  job: (disk: Disk) => Promise<void>,
): Promise<void> {
  if (device !== undefined && testbed !== undefined) {
    throw new IntegrityError('ERR_USAGE', 'give either DEVICE or --testbed, not both');
  }
  if (device !== undefined) {
    await using disk = await openDevice(device, { signal: io.signal });
    return await job(disk);
  }
  const kind = parseChoice('--testbed', testbed ?? 'vm', TESTBEDS);
  if (kind === 'vm') return runVerbInVm(io, verb);
  if (kind === 'disk') {
    await using made = await EmulatedDisk.create({ blocks: EMULATED_BLOCKS });
    return await onFilled(io, () => made.open({ signal: io.signal }), job);
  }
  await using made = await createScsiDebug();
  await onFilled(io, () => openDevice(made.device, { signal: io.signal }), job);
}

/** The disk is opened anew when it is full: what was learnt of it when it was empty is over. */
async function onFilled(
  { signal }: CommandIo,
  open: () => Promise<Disk>,
  job: (disk: Disk) => Promise<void>,
): Promise<void> {
  {
    await using empty = await open();
    await fillDisk(empty, signal);
  }
  await using disk = await open();
  await job(disk);
}

/** The same verb again, inside a VM with a scsi_debug disk. */
async function runVerbInVm(io: CommandIo, verb: readonly string[]): Promise<void> {
  const main = fileURLToPath(new URL('./main.js', import.meta.url));
  const { exitStatus } = await runInVm({
    command: [process.execPath, main, ...verb, '--testbed', 'scsi-debug'],
    signal: io.signal,
    stdout: io.stdout,
    stderr: io.stderr,
    note: (line) => io.stderr.write(`blk-integrity: ${line}\n`),
  }).catch((error: unknown) => {
    const { code, message } = error as IntegrityError;
    if (code !== 'ERR_MISSING_TOOL' && code !== 'ERR_NO_KERNEL') throw error;
    throw new IntegrityError(code, message, {
      advice:
        'To have what is missing installed and downloaded, once: blk-integrity testbed vm --install -- true',
      cause: error,
    });
  });
  io.setExitStatus(exitStatus);
}
