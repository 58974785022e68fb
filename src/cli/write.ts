import { Command } from 'commander';
import { namedRange } from '../check/ranges.js';
import { planWrite, type WriteContent, type WritePlan, writeBlocks } from '../check/write.js';
import type { Disk } from '../device/disk.js';
import { IntegrityError } from '../errors.js';
import { deinterleave } from '../pi/interleave.js';
import { type Layout, metadataLength } from '../pi/layout.js';
import type { WriteVerbReport } from '../report/model.js';
import { writeText } from '../report/transfer-text.js';
import { PATHS, type PathName } from '../words.js';
import { type ByteSource, openSource } from './bytes.js';
import type { CommandIo } from './io.js';
import { BLOCK_COUNT, integerUpTo, LBA, parseChoice, parseInteger, parseLayout } from './options.js';
import { type OutputOptions, printReport } from './output.js';
import { addOwnershipOptions, claimOptions, type OwnershipOptions } from './ownership.js';
import { TESTBED_HERE_OPTION, TRACE_OPTION, withDisk } from './testbeds.js';

interface WriteVerbOptions extends OutputOptions, OwnershipOptions {
  readonly lba: bigint;
  readonly blocks: bigint;
  readonly input: string;
  readonly tuples?: string;
  readonly layout: Layout;
  readonly path?: PathName;
  readonly protect?: number;
  readonly appTag?: number;
  readonly testbed?: string;
  readonly trace?: boolean;
}

/** `write [DEVICE]`: a file over blocks, which stay written. Exit status 1 when the write was refused or is not on the medium, 3 when it failed. */
export function writeCommand(io: CommandIo): Command {
  const command = new Command('write')
    .description(
      'write blocks, with tuples or under tuples that are made for them; disks of the testbed, and yours with --i-own',
    )
    .argument('[device]')
    .requiredOption('--lba <n>', 'first block', (text: string) => parseInteger('--lba', text, LBA))
    .requiredOption('--blocks <n>', 'how many blocks', (text: string) =>
      parseInteger('--blocks', text, BLOCK_COUNT),
    )
    .requiredOption('-i, --input <file>', 'the data, of just so many blocks; - for stdin')
    .option('--tuples <file>', 'their tuples; without any, the software, the kernel or the disk makes them')
    .option(
      '--layout <layout>',
      'of --input: separate, the data alone, or interleaved, each interval with its tuple',
      parseLayout,
      'separate',
    )
    .option('--path <path>', `${PATHS.join(', ')} (default: the best that carries tuples)`, (text: string) =>
      parseChoice('--path', text, PATHS),
    )
    .option(
      '--protect <n>',
      'WRPROTECT: 1, the disk checks; 3, it stores what comes; 0, data alone (default: 1 where tuples are proved to cross)',
      integerUpTo('--protect', 7),
    )
    .option(
      '--app-tag <n>',
      'the application tag of tuples that the software makes for SG_IO',
      integerUpTo('--app-tag', 0xffff),
    )
    .option(...TESTBED_HERE_OPTION)
    .option(...TRACE_OPTION)
    .option('--json', 'one JSON object');
  return addOwnershipOptions(command).action(
    async (device: string | undefined, options: WriteVerbOptions) => {
      const { path, protect, appTag, testbed, trace } = options;
      const given = givenTuples(options);
      await withDisk(io, { device, testbed, trace, verb: null }, async (disk) => {
        const range = namedRange(disk, options.lba, options.blocks);
        const claim = await claimOptions(disk, options, io.signal);
        const plan = await planWrite(disk, { ...range, path, protect, appTag, tuples: given }, claim);
        const content = await contentOf(disk, plan, options, io);
        const report = await writeBlocks(disk, plan, content, claim);
        printReport(io, options, report, { text: writeText });
        io.setExitStatus(exitStatus(report));
      });
    },
  );
}

/** Whether the caller brings tuples. */
function givenTuples({ input, tuples, layout }: WriteVerbOptions): boolean {
  if (layout === 'interleaved' && tuples !== undefined) {
    throw new IntegrityError(
      'ERR_USAGE',
      '--layout interleaved has the tuples in --input: no --tuples beside it',
    );
  }
  if (input === '-' && tuples === '-') {
    throw new IntegrityError('ERR_USAGE', 'data and tuples cannot both be stdin');
  }
  return layout === 'interleaved' || tuples !== undefined;
}

async function contentOf(
  disk: Disk,
  { path, blocks }: WritePlan,
  { input, tuples: tuplesName, layout }: WriteVerbOptions,
  io: CommandIo,
): Promise<WriteContent> {
  const profile = disk.profileBy(path) ?? { interval: disk.blockSize, metadataSize: 0 };
  const metadata = metadataLength(profile, blocks * disk.blockSize);
  using source = await openSource(input, io);
  if (layout === 'interleaved') {
    const bytes = await readWhole(source, blocks * disk.blockSize + metadata);
    return deinterleave(bytes, profile.interval, profile.metadataSize);
  }
  using beside = tuplesName === undefined ? null : await openSource(tuplesName, io);
  const data = await readWhole(source, blocks * disk.blockSize);
  return { data, tuples: beside && (await readWhole(beside, metadata)) };
}

/** Just so many bytes; the one too many that tells is all that is read beyond. @throws ERR_BAD_LENGTH */
async function readWhole(source: ByteSource, length: number): Promise<Uint8Array> {
  const bytes = source.size !== null && source.size !== length ? null : await source.read(length + 1);
  if (bytes?.length === length) return bytes;
  const found = source.size ?? (bytes!.length > length ? `more than ${length}` : bytes!.length);
  throw new IntegrityError('ERR_BAD_LENGTH', `${source.name}: ${found} bytes: ${length} needed`);
}

/** A write that failed tells nothing; whatever else is found is a finding. */
function exitStatus({ findings }: WriteVerbReport): number {
  if (findings.length === 0) return 0;
  return findings.every(({ kind }) => kind === 'write-error') ? 3 : 1;
}
