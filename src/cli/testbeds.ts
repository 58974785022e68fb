/**
 * Which disk a verb works on: the one that is named, a testbed's made for it, or, without either, one in a VM. What makes a testbed is
 * loaded when it is asked for.
 */
import { fileURLToPath } from 'node:url';
import { type Disk, type OpenDiskOptions, openDevice } from '../device/disk.js';
import { traceText } from '../device/trace.js';
import { IntegrityError } from '../errors.js';
import { printable } from '../report/printable.js';
import { fillDisk } from '../testbed/fill.js';
import type { CommandIo } from './io.js';
import { parseChoice } from './options.js';

const TESTBEDS_HERE = ['scsi-debug', 'disk'] as const;
const TESTBEDS = [...TESTBEDS_HERE, 'vm'] as const;

/** As many as scsi_debug has. */
const EMULATED_BLOCKS = 32_768;

export const TESTBED_OPTION = [
  '--testbed <kind>',
  'without DEVICE: make a disk for this run; scsi-debug in the kernel that runs, an emulated disk in this process, or vm (default)',
] as const;

/** For verbs whose files would stay in the VM. */
export const TESTBED_HERE_OPTION = [
  '--testbed <kind>',
  'in place of DEVICE: make a disk for this run; scsi-debug in the kernel that runs, or an emulated disk in this process',
] as const;

export const TRACE_OPTION = ['--trace', 'print each SCSI command with its answer, a line on stderr'] as const;

export interface DiskChoice {
  readonly device: string | undefined;
  readonly testbed?: string | undefined;
  readonly trace?: boolean | undefined;
  readonly queueDepth?: number | undefined;
  readonly idle?: boolean | undefined;
  /** The verb and its options, to be said again in a VM; null for one that does not run there. */
  readonly verb: readonly string[] | null;
}

/** Runs `job` on the disk, and gives the testbed back whatever comes of it. */
export async function withDisk(
  io: CommandIo,
  { device, testbed, trace, queueDepth, idle, verb }: DiskChoice,
  job: (disk: Disk) => Promise<void>,
): Promise<void> {
  const options: OpenDiskOptions = {
    signal: io.signal,
    queueDepth,
    idle,
    ...(trace && { onCommand: (traced) => void io.stderr.write(`${printable(traceText(traced))}\n`) }),
  };
  if (device !== undefined && testbed !== undefined) {
    throw new IntegrityError('ERR_USAGE', 'give either DEVICE or --testbed, not both');
  }
  if (device !== undefined) {
    await using disk = await openDevice(device, options);
    return await job(disk);
  }
  if (verb === null && testbed === undefined) {
    throw new IntegrityError('ERR_USAGE', 'give DEVICE, or --testbed disk or scsi-debug');
  }
  const kind = parseChoice('--testbed', testbed ?? 'vm', verb === null ? TESTBEDS_HERE : TESTBEDS);
  if (kind === 'vm') return runVerbInVm(io, verb!);
  if (kind === 'disk') {
    const { EmulatedDisk } = await import('../testbed/disk/emulated-disk.js');
    await using made = await EmulatedDisk.create({ blocks: EMULATED_BLOCKS });
    return await onFilled(io, (how) => made.open(how), options, job);
  }
  const { createScsiDebug } = await import('../testbed/scsi-debug.js');
  await using made = await createScsiDebug();
  await onFilled(io, (how) => openDevice(made.device, how), options, job);
}

/** The disk is opened anew when it is full: what was learnt of it when it was empty is over. Nobody asked to see it filled. */
async function onFilled(
  { signal }: CommandIo,
  open: (options: OpenDiskOptions) => Promise<Disk>,
  options: OpenDiskOptions,
  job: (disk: Disk) => Promise<void>,
): Promise<void> {
  {
    await using empty = await open({ signal });
    await fillDisk(empty, signal);
  }
  await using disk = await open(options);
  await job(disk);
}

/** The same verb again, inside a VM with a scsi_debug disk. */
async function runVerbInVm(io: CommandIo, verb: readonly string[]): Promise<void> {
  const main = fileURLToPath(new URL('./main.js', import.meta.url));
  const { runInVm } = await import('../testbed/vm/index.js');
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
