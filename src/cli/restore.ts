import { Command } from 'commander';
import { openDevice } from '../device/disk.js';
import { type Recovery, recover } from '../device/safeguard/recover.js';
import type { RestoreReport } from '../report/model.js';
import { restoreText } from '../report/text.js';
import type { CommandIo } from './io.js';
import { type OutputOptions, printReport } from './output.js';

/** `restore JOURNAL [DEVICE]`: puts back what an interrupted run had saved. Exit status 3 when a block is not back. */
export function restoreCommand(io: CommandIo): Command {
  return new Command('restore')
    .description('put back the blocks that an interrupted prove or crosscheck --write had saved in JOURNAL')
    .argument('<journal>')
    .argument('[device]', 'the disk; without it, the one of this host that the journal names')
    .option('--json', 'one JSON object')
    .action(async (journal: string, device: string | undefined, options: OutputOptions) => {
      const { signal } = io;
      if (device === undefined) return print(io, options, journal, await recover(journal, { signal }));
      await using disk = await openDevice(device, { signal });
      print(io, options, journal, await recover(journal, { disk, signal }));
    });
}

function print(io: CommandIo, options: OutputOptions, journal: string, recovery: Recovery): void {
  const { lba, ...rest } = recovery;
  const report: RestoreReport = { verb: 'restore', journal, ...rest, lba: Number(lba) };
  printReport(io, options, report, { text: restoreText });
}
