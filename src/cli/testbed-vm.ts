import { Command } from 'commander';
import { runInVm } from '../testbed/vm/index.js';
import type { CommandIo } from './io.js';
import { parseInteger } from './options.js';

interface VmCommandOptions {
  readonly kernel: string;
  readonly modules?: string;
  readonly install?: boolean;
  readonly timeout: string;
}

/** `testbed vm -- COMMAND`: a command in a VM with a real kernel and the host's files; its exit status is ours. */
export function testbedVmCommand(io: CommandIo): Command {
  return new Command('vm')
    .description(
      'run a command in a VM with a real kernel, which sees the files of this host and can change none',
    )
    .argument('<command...>', 'after --: the command and its arguments')
    .option(
      '--kernel <K>',
      'newest or a version prefix (6.1): a kernel of Debian; host: the kernel of this host; or the path of an image',
      'newest',
    )
    .option(
      '--modules <dir>',
      'modules of that image: what make modules_install filled, or its lib/modules/RELEASE',
    )
    .option('--install', 'allow to install missing tools (as root, by apt) and to download kernels')
    .option('--timeout <seconds>', 'end the VM after so long', '600')
    .action(async (command: string[], options: VmCommandOptions) => {
      const { exitStatus } = await runInVm({
        command,
        kernel: options.kernel,
        modules: options.modules,
        install: options.install,
        timeoutMs: parseInteger('--timeout', options.timeout, { min: 1, max: 1_000_000 }) * 1000,
        signal: io.signal,
        stdout: io.stdout,
        stderr: io.stderr,
        note: (message) => io.stderr.write(`blk-integrity: ${message}\n`),
      });
      io.setExitStatus(exitStatus);
    });
}
