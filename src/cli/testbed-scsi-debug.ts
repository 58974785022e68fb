import { Command } from 'commander';
import { openDevice } from '../device/disk.js';
import { fillDisk } from '../testbed/fill.js';
import { createScsiDebug, removeScsiDebug, scsiDebugDisks } from '../testbed/scsi-debug.js';
import type { CommandIo } from './io.js';
import { parseChoice, parseInteger } from './options.js';
import type { OutputOptions } from './output.js';

interface CreateOptions {
  readonly dif: string;
  readonly dix: string;
  readonly guard: string;
  readonly sectorSize: string;
  readonly size: string;
  readonly partitions: string;
  readonly fill?: boolean;
  readonly json?: boolean;
}

const SECTOR_SIZES = { '512': 512, '1024': 1024, '2048': 2048, '4096': 4096 } as const;
type SectorSize = keyof typeof SECTOR_SIZES;

/** `testbed scsi-debug create|list|remove`: scsi_debug in the kernel that runs. */
export function testbedScsiDebugCommand(io: CommandIo): Command {
  const create = new Command('create')
    .description('load scsi_debug with one disk and print its node')
    .option('--dif <type>', 'protection type of the disk, 0 to 3', '1')
    .option('--dix <n>', '1: tuples are exchanged with memory, 0: not', '1')
    .option('--guard <kind>', 'guard in memory: crc or ip', 'crc')
    .option('--sector-size <bytes>', '512, 1024, 2048 or 4096', '512')
    .option('--size <MiB>', 'size of the disk', '16')
    .option('--partitions <n>', 'equal partitions that it comes with', '0')
    .option('--fill', 'write the whole disk once, so that every block has a tuple')
    .option('--json', 'one JSON object')
    .action(async (options: CreateOptions) => {
      const sizes = Object.keys(SECTOR_SIZES) as SectorSize[];
      const made = await createScsiDebug({
        dif: parseInteger('--dif', options.dif, { min: 0, max: 3 }) as 0 | 1 | 2 | 3,
        dix: parseInteger('--dix', options.dix, { min: 0, max: 1 }) as 0 | 1,
        guard: parseChoice('--guard', options.guard, ['crc', 'ip']),
        sectorSize: SECTOR_SIZES[parseChoice('--sector-size', options.sectorSize, sizes)],
        sizeMiB: parseInteger('--size', options.size, { min: 1, max: 65536 }),
        partitions: parseInteger('--partitions', options.partitions, { min: 0, max: 15 }),
      });
      if (options.fill) {
        try {
          await using disk = await openDevice(made.device, { signal: io.signal });
          await fillDisk(disk, io.signal);
        } catch (error) {
          await made[Symbol.asyncDispose]();
          throw error;
        }
      }
      printDisks(io, options, [made.device]);
    });
  const list = new Command('list')
    .description('the disks of scsi_debug in this kernel')
    .option('--json', 'one JSON object')
    .action(async (options: OutputOptions) => {
      const disks = await scsiDebugDisks();
      printDisks(
        io,
        options,
        disks.map(({ name }) => `/dev/${name}`),
      );
    });
  const remove = new Command('remove')
    .description('unload the scsi_debug that this package loaded')
    .action(removeScsiDebug);
  return new Command('scsi-debug')
    .description("the kernel's own SCSI disk in memory")
    .addCommand(create)
    .addCommand(list)
    .addCommand(remove);
}

/** A node a line, or one object. */
function printDisks(io: CommandIo, options: OutputOptions, devices: readonly string[]): void {
  if (options.json) io.stdout.write(`${JSON.stringify({ devices })}\n`);
  else for (const device of devices) io.stdout.write(`${device}\n`);
}
