import { Command, Option } from 'commander';
import { crosscheck } from '../check/crosscheck.js';
import { namedRange, sampleRanges } from '../check/ranges.js';
import { writeCheck } from '../check/write-check.js';
import { IntegrityError } from '../errors.js';
import { crosscheckTap } from '../report/tap.js';
import { crosscheckText } from '../report/text.js';
import type { CommandIo } from './io.js';
import { BLOCK_COUNT, LBA, parseInteger } from './options.js';
import { type OutputOptions, printReport } from './output.js';
import { addOwnershipOptions, claimOptions, type OwnershipOptions, ownershipWords } from './ownership.js';
import { TESTBED_OPTION, TRACE_OPTION, withDisk } from './testbeds.js';

interface CrosscheckOptions extends OutputOptions, OwnershipOptions {
  readonly lba?: string;
  readonly blocks?: string;
  readonly testbed?: string;
  readonly write?: boolean;
  readonly trace?: boolean;
}

/** `crosscheck [DEVICE]`: reads by every path, judges by every checker. Exit status 1 with any finding. */
export function crosscheckCommand(io: CommandIo): Command {
  const command = new Command('crosscheck')
    .description(
      'read by every path, judge by every checker, print the matrix and each disagreement; reads only, unless --write',
    )
    .argument('[device]')
    .option('--lba <n>', 'first block')
    .option('--blocks <n>', 'how many blocks; to the end of the disk without it')
    .option(...TESTBED_OPTION)
    .option(
      '--write',
      'also write by each path and compare the tuples; disks of the testbed, and yours with --i-own; needs --lba and --blocks',
    )
    .option(...TRACE_OPTION)
    .option('--json', 'one JSON object')
    .addOption(new Option('--tap', 'TAP: a line for each range × checker × path').conflicts('json'));
  return addOwnershipOptions(command).action(
    async (device: string | undefined, options: CrosscheckOptions) => {
      const lba = options.lba === undefined ? undefined : parseInteger('--lba', options.lba, LBA);
      const blocks =
        options.blocks === undefined ? undefined : parseInteger('--blocks', options.blocks, BLOCK_COUNT);
      if (options.write && (lba === undefined || blocks === undefined)) {
        throw new IntegrityError(
          'ERR_USAGE',
          '--write needs --lba and --blocks: the region that is written and put back',
        );
      }
      const { testbed, trace } = options;
      const verb = verbLine('crosscheck', options);
      await withDisk(io, { device, testbed, trace, verb }, async (disk) => {
        const named = lba !== undefined || blocks !== undefined;
        const { ranges, note } = named
          ? { ranges: [namedRange(disk, lba ?? 0n, blocks)], note: null }
          : sampleRanges(disk);
        const read = await crosscheck(disk, { ranges, note, signal: io.signal });
        // What is wrong already would be written over: it is reported instead.
        const writes = options.write && read.findings.length === 0;
        const claim = writes ? await claimOptions(disk, options, io.signal) : null;
        const check = claim ? await writeCheck(disk, ranges[0]!, claim) : null;
        const report = check
          ? { ...read, written: check.written, findings: [...read.findings, ...check.findings] }
          : read;
        printReport(io, options, report, { text: crosscheckText, tap: crosscheckTap });
        if (report.findings.length > 0) io.setExitStatus(1);
      });
    },
  );
}

/** The verb and its options as they were given, to be said again elsewhere. */
export function verbLine(verb: string, options: CrosscheckOptions): string[] {
  const { lba, blocks, write, trace, json, tap } = options;
  return [
    verb,
    ...(lba === undefined ? [] : ['--lba', lba]),
    ...(blocks === undefined ? [] : ['--blocks', blocks]),
    ...(write ? ['--write'] : []),
    ...ownershipWords(options),
    ...(trace ? ['--trace'] : []),
    ...(json ? ['--json'] : []),
    ...(tap ? ['--tap'] : []),
  ];
}
