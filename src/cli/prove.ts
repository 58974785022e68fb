import { Command, Option } from 'commander';
import { prove } from '../check/prove.js';
import type { ProveReport } from '../report/model.js';
import { proveTap } from '../report/tap.js';
import { proveText } from '../report/text.js';
import { verbLine } from './crosscheck.js';
import type { CommandIo } from './io.js';
import { LBA, parseInteger } from './options.js';
import { type OutputOptions, printReport } from './output.js';
import { addOwnershipOptions, claimOptions, type OwnershipOptions } from './ownership.js';
import { TESTBED_OPTION, TRACE_OPTION, withDisk } from './testbeds.js';

interface ProveOptions extends OutputOptions, OwnershipOptions {
  readonly lba?: string;
  readonly testbed?: string;
  readonly trace?: boolean;
}

const EXIT_STATUS: Readonly<Record<ProveReport['outcome'], number>> = { caught: 0, delivered: 1, vacuous: 3 };

/** `prove [DEVICE]`: plants one fault on a testbed disk and says who noticed. Exit status 0 caught, 1 delivered, 3 vacuous. */
export function proveCommand(io: CommandIo): Command {
  const command = new Command('prove')
    .description(
      'plant one genuine fault, name every checker that stayed silent, put the block back; disks of the testbed, and yours with --i-own',
    )
    .argument('[device]')
    .option('--lba <n>', 'the block to use; the middle of the disk without it')
    .option(...TESTBED_OPTION)
    .option(...TRACE_OPTION)
    .option('--json', 'one JSON object')
    .addOption(new Option('--tap', 'TAP: a line for each checker × path').conflicts('json'));
  return addOwnershipOptions(command).action(async (device: string | undefined, options: ProveOptions) => {
    const lba = options.lba === undefined ? undefined : parseInteger('--lba', options.lba, LBA);
    const { testbed, trace } = options;
    const verb = verbLine('prove', options);
    await withDisk(io, { device, testbed, trace, verb }, async (disk) => {
      const talk = 'isTTY' in io.stderr && io.stderr.isTTY === true;
      const onStep = (step: string) => {
        if (talk) io.stderr.write(`${step}\n`);
      };
      const report = await prove(disk, { ...(await claimOptions(disk, options, io.signal)), lba, onStep });
      printReport(io, options, report, { text: proveText, tap: proveTap });
      io.setExitStatus(EXIT_STATUS[report.outcome]);
    });
  });
}
