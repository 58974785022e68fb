import { Command, Option } from 'commander';
import { namedRange } from '../check/ranges.js';
import { readBlocks } from '../check/read.js';
import { planRead, type ReadRequest } from '../check/read-plan.js';
import type { ProtectedBlocks } from '../device/blocks.js';
import { QUEUE_DEPTH_MAX } from '../device/disk.js';
import { IntegrityError } from '../errors.js';
import { interleave } from '../pi/interleave.js';
import type { Layout } from '../pi/layout.js';
import type { Profile } from '../pi/profile.js';
import type { ReadReport } from '../report/model.js';
import { readText } from '../report/transfer-text.js';
import { TRANSFER_SIZES } from '../scsi/cdb.js';
import { PATHS } from '../words.js';
import { openSink } from './bytes.js';
import type { CommandIo } from './io.js';
import { BLOCK_COUNT, integerUpTo, LBA, parseChoice, parseInteger, parseLayout } from './options.js';
import { type OutputOptions, printReport, requireBinaryStdout } from './output.js';
import { TESTBED_HERE_OPTION, TRACE_OPTION, withDisk } from './testbeds.js';

interface ReadVerbOptions extends OutputOptions, Pick<ReadRequest, 'path' | 'cdbSize' | 'protect'> {
  readonly lba: bigint;
  readonly blocks: bigint;
  readonly refTag?: number;
  readonly appTag?: number;
  readonly tagMask?: number;
  readonly fua?: true;
  readonly dpo?: true;
  readonly output?: string;
  readonly tuples?: string;
  readonly layout: Layout;
  readonly queueDepth?: number;
  readonly testbed?: string;
  readonly trace?: boolean;
}

const QUEUE_DEPTH = { min: 1, max: QUEUE_DEPTH_MAX };

/** `read [DEVICE]`: blocks by one path and one command. Exit status 1 with findings, 3 when a read failed otherwise. */
export function readCommand(io: CommandIo): Command {
  return new Command('read')
    .description('read blocks with their tuples by one path, and say what hardware and software make of them')
    .argument('[device]')
    .requiredOption('--lba <n>', 'first block', (text: string) => parseInteger('--lba', text, LBA))
    .addOption(
      // A bigint is told in words: the help knows how to print JSON alone.
      new Option('--blocks <n>', 'how many blocks')
        .argParser((text) => parseInteger('--blocks', text, BLOCK_COUNT))
        .default(1n, '1'),
    )
    .option('--path <path>', `${PATHS.join(', ')} (default: the best that yields tuples)`, (text: string) =>
      parseChoice('--path', text, PATHS),
    )
    .option(
      '--cdb-size <n>',
      `${TRANSFER_SIZES.join(', ')}: which READ is sent (default: by the disk's type)`,
      parseCdbSize,
    )
    .option(
      '--protect <n>',
      'RDPROTECT, 0 to 7 (default: 1 where tuples are proved to cross)',
      integerUpTo('--protect', 7),
    )
    .option('--ref-tag <n>', 'READ(32): reference tag expected first', integerUpTo('--ref-tag', 2 ** 32 - 1))
    .option('--app-tag <n>', 'READ(32): application tag expected', integerUpTo('--app-tag', 0xffff))
    .option('--tag-mask <n>', 'READ(32): bits of it that are compared', integerUpTo('--tag-mask', 0xffff))
    .option('--fua', 'READ: from the medium, not from a cache')
    .option('--dpo', 'READ: not to be kept in the cache')
    .option('-o, --output <file>', 'write the data to a regular file or pipe, or - for stdout')
    .option('--tuples <file>', 'write the tuples to a regular file or pipe, or - for stdout')
    .option(
      '--layout <layout>',
      'of --output: separate, the data alone, or interleaved, each interval with its tuple',
      parseLayout,
      'separate',
    )
    .option(
      '--queue-depth <n>',
      `transfers under way at once, 1 to ${QUEUE_DEPTH_MAX} (default: 1)`,
      (text: string) => parseInteger('--queue-depth', text, QUEUE_DEPTH),
    )
    .option(...TESTBED_HERE_OPTION)
    .option(...TRACE_OPTION)
    .option('--json', 'one JSON object')
    .action(async (device: string | undefined, options: ReadVerbOptions) => {
      requireOutputs(options, io);
      const { testbed, trace, queueDepth } = options;
      await withDisk(io, { device, testbed, trace, queueDepth, verb: null }, async (disk) => {
        const { lba, blocks, tagMask: appTagMask, ...rest } = options;
        const plan = await planRead(
          disk,
          { ...rest, appTagMask, ...namedRange(disk, lba, blocks) },
          io.signal,
        );
        const takesTuples = options.tuples !== undefined || options.layout === 'interleaved';
        if (takesTuples && !plan.tuples) {
          const claim = plan.rules.claims.software[plan.path];
          throw new IntegrityError(
            'ERR_NO_PATH',
            `${disk.device}: no tuples come by ${plan.path}: ${claim}`,
            {
              disk: disk.device,
            },
          );
        }
        await using data = await openSink(options.output, io);
        await using tuples = await openSink(options.tuples, io);
        const onBlocks = async (read: ProtectedBlocks & { readonly data: Uint8Array }) => {
          await data?.write(
            options.layout === 'interleaved' ? interleaved(read, plan.rules.profiles[plan.path]!) : read.data,
          );
          await tuples?.write(read.tuples as Uint8Array);
        };
        const report = await readBlocks(disk, plan, {
          signal: io.signal,
          ...(data || tuples ? { onBlocks } : {}),
        });
        await data?.end();
        await tuples?.end();
        // Where the bytes go to stdout, what is said of them goes beside.
        const binary = options.output === '-' || options.tuples === '-';
        printReport(binary ? { ...io, stdout: io.stderr } : io, options, report, { text: readText });
        io.setExitStatus(exitStatus(report));
      });
    });
}

function parseCdbSize(text: string): ReadRequest['cdbSize'] {
  const size = parseChoice('--cdb-size', text, TRANSFER_SIZES.map(String));
  return TRANSFER_SIZES.find((one) => String(one) === size);
}

/** What can be refused before the disk is opened. */
function requireOutputs(options: ReadVerbOptions, io: CommandIo): void {
  const { output, tuples, layout } = options;
  if (output === '-') requireBinaryStdout('the data', options, io);
  if (tuples === '-') requireBinaryStdout('the tuples', options, io);
  if (layout === 'interleaved' && (output === undefined || tuples !== undefined)) {
    throw new IntegrityError(
      'ERR_USAGE',
      '--layout interleaved puts the tuples into --output: it needs that, and no --tuples',
    );
  }
  if (output !== undefined && output === tuples) {
    throw new IntegrityError('ERR_USAGE', `data and tuples cannot both go to ${output}`, {
      advice: 'For both in one file: --layout interleaved.',
    });
  }
}

/** Each interval with its tuple behind it. */
function interleaved(
  { data, tuples }: ProtectedBlocks & { readonly data: Uint8Array },
  profile: Profile,
): Uint8Array {
  const metadata = tuples as Uint8Array;
  const bytes = new Uint8Array(data.length + metadata.length);
  interleave(bytes, data, metadata, profile.interval, profile.metadataSize);
  return bytes;
}

/** A read that failed tells nothing; whatever else is found is a finding. */
function exitStatus({ findings }: ReadReport): number {
  if (findings.length === 0) return 0;
  return findings.every(({ kind }) => kind === 'read-error') ? 3 : 1;
}
