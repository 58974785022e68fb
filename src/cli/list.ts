import { Command } from 'commander';
import { reach } from '../check/chain.js';
import { DISK_TYPES } from '../device/disk.js';
import { listText } from '../report/text.js';
import { interpret } from '../sysfs/disks.js';
import { readSnapshot } from '../sysfs/snapshot.js';
import type { CommandIo } from './io.js';
import { type OutputOptions, printReport } from './output.js';

/** `list`: every disk of the host, from sysfs alone. */
export function listCommand(io: CommandIo): Command {
  return new Command('list')
    .description('disks, their profile, and whether protection is on end to end')
    .option('--json', 'one JSON object')
    .action(async (options: OutputOptions) => {
      const disks = interpret(await readSnapshot())
        .filter(({ sizeBytes, sg }) => sizeBytes !== 0n || sg !== null)
        .filter(({ peripheralType }) => peripheralType === null || DISK_TYPES.includes(peripheralType))
        .map((disk) => {
          const { endToEnd, text } = reach(disk);
          return {
            device: `/dev/${disk.name}`,
            sg: disk.sg && `/dev/${disk.sg.name}`,
            vendor: disk.vendor ?? '',
            model: disk.model ?? '',
            blocks: Number(disk.blocks ?? 0n),
            blockSize: disk.logicalBlockSize ?? 0,
            format: disk.integrity.format ?? 'none',
            protectionType: disk.scsiDisk?.protectionType ?? 0,
            endToEnd,
            reach: text,
          };
        });
      printReport(io, options, { verb: 'list' as const, disks }, { text: listText });
    });
}
