import { Command } from 'commander';
import { chain, reach } from '../check/chain.js';
import { summarise } from '../check/summary.js';
import { openDevice } from '../device/disk.js';
import type { ChainReport } from '../report/model.js';
import { chainText } from '../report/text.js';
import { interpret, layersAbove } from '../sysfs/disks.js';
import { readSnapshot } from '../sysfs/snapshot.js';
import type { CommandIo } from './io.js';
import { type OutputOptions, printReport } from './output.js';

/** `show DEVICE`: the chain from application to medium. Exit status 1 when kernel and disk disagree. */
export function showCommand(io: CommandIo): Command {
  return new Command('show')
    .description(
      'the chain application → block layer → host adapter → device: who makes, carries and checks tuples',
    )
    .argument('<device>')
    .option('--json', 'one JSON object')
    .action(async (device: string, options: OutputOptions) => {
      await using disk = await openDevice(device, { signal: io.signal });
      const { endToEnd, text } = reach(disk.sysfs);
      const report: ChainReport = {
        verb: 'show',
        disk: await summarise(disk, io.signal),
        endToEnd,
        reach: text,
        links: chain(disk.sysfs, disk.facts, await disk.proof(io.signal)),
        above: [
          ...disk.sysfs.partitions.map(({ name }) => name),
          ...layersAbove(interpret(await readSnapshot()), disk.sysfs).map(({ name }) => name),
        ],
        disagreements: disk.disagreements,
      };
      printReport(io, options, report, { text: chainText });
      if (disk.disagreements.length > 0) io.setExitStatus(1);
    });
}
