import { Command } from 'commander';
import { sendAltering } from '../check/altering-command.js';
import { requireReadOnly, sendCommand } from '../check/command.js';
import { namedRange } from '../check/ranges.js';
import type { Disk } from '../device/disk.js';
import { IntegrityError } from '../errors.js';
import type { CommandReport } from '../report/model.js';
import { commandReportText } from '../report/transfer-text.js';
import { cdbText, decodeWholeCdb, isComparingCdb } from '../scsi/cdb.js';
import { openSink, openSource } from './bytes.js';
import type { CommandIo } from './io.js';
import { BLOCK_COUNT, integerUpTo, LBA, parseInteger } from './options.js';
import { type OutputOptions, printReport, requireBinaryStdout } from './output.js';
import { addOwnershipOptions, claimOptions, type OwnershipOptions } from './ownership.js';
import { TESTBED_HERE_OPTION, TRACE_OPTION, withDisk } from './testbeds.js';

interface CdbOptions extends OutputOptions, OwnershipOptions {
  readonly in?: number;
  readonly input?: string;
  readonly output?: string;
  readonly timeout?: number;
  readonly testbed?: string;
  readonly trace?: boolean;
  readonly write?: boolean;
  readonly lba?: bigint;
  readonly blocks?: bigint;
}

/** As SG_IO takes them here. */
const CDB_BYTES = { min: 6, max: 32 };
const TIMEOUT_S = { min: 1, max: 86_400 };

/** `cdb DEVICE HEX…`: one command. Exit status 1 when protection information was refused, 3 for any other answer than GOOD, and for GOOD without all its bytes. */
export function cdbCommand(io: CommandIo): Command {
  const command = new Command('cdb')
    .description(
      'send one SCSI command, given in hex, and decode its answer; what can alter the disk only with --write',
    )
    .usage('[options] DEVICE HEX…')
    .argument('<words...>', 'DEVICE (left out with --testbed), then the bytes of the CDB in hex')
    .option(
      '--in <n>',
      'room for data to come in (default: as many bytes as CDB and format say, and no less for a READ)',
      integerUpTo('--in', 2 ** 31 - 1),
    )
    .option('-o, --output <file>', 'write the data that comes to a regular file or pipe, or - for stdout')
    .option('--write', 'the command may alter the disk: its blocks, all of them in the range, or mode pages')
    .option('--lba <n>', 'with --write: the first block of the range', (text: string) =>
      parseInteger('--lba', text, LBA),
    )
    .option('--blocks <n>', 'with --write: how many blocks', (text: string) =>
      parseInteger('--blocks', text, BLOCK_COUNT),
    )
    .option('-i, --input <file>', 'the data that goes out, with --write or for VERIFY; - for stdin')
    .option('--timeout <s>', 'seconds that the command may take (default: 30)', (text: string) =>
      parseInteger('--timeout', text, TIMEOUT_S),
    )
    .option(...TESTBED_HERE_OPTION)
    .option(...TRACE_OPTION)
    .option('--json', 'one JSON object');
  return addOwnershipOptions(command).action(async (words: string[], options: CdbOptions) => {
    const device = options.testbed === undefined ? words[0] : undefined;
    const cdb = parseCdb(device === undefined ? words : words.slice(1));
    return options.write
      ? alter(io, device, cdb, requireForWrite(options))
      : send(io, device, cdb, requireForReading(cdb, options));
  });
}

/** Options that are for the other kind of command. @throws ERR_USAGE, ERR_READ_ONLY */
function requireForReading(cdb: Uint8Array, options: CdbOptions): CdbOptions {
  const { input, lba, blocks, iOwn, journal, partition } = options;
  if (input !== undefined && !isComparingCdb(cdb)) {
    const message = `refused to send ${cdbText(cdb)} with data: it could alter the disk`;
    throw new IntegrityError('ERR_READ_ONLY', message, {
      cdb,
      advice: 'If that is meant: --write. Blocks are written with `blk-integrity write`, too.',
    });
  }
  if ([lba, blocks, iOwn, journal, partition].every((value) => value === undefined)) return options;
  throw new IntegrityError('ERR_USAGE', '--lba, --blocks and the options of an owner are for --write');
}

function requireForWrite(options: CdbOptions): CdbOptions {
  if (options.in !== undefined || options.output !== undefined) {
    throw new IntegrityError('ERR_USAGE', 'with --write no data comes in: leave out --in and --output');
  }
  if ((options.lba === undefined) === (options.blocks === undefined)) return options;
  throw new IntegrityError('ERR_USAGE', '--lba and --blocks come together');
}

async function send(
  io: CommandIo,
  device: string | undefined,
  cdb: Uint8Array,
  options: CdbOptions,
): Promise<void> {
  const { testbed, trace, input, output, in: inBytes } = options;
  requireReadOnly(cdb);
  if (output === '-') requireBinaryStdout('the data', options, io);
  await withDisk(io, { device, testbed, trace, verb: null }, async (disk) => {
    await using sink = await openSink(output, io);
    const dataOut = input === undefined ? undefined : await readData(disk, input, io);
    const command = { cdb, dataOut, inBytes, timeoutMs: timeoutOf(options) };
    const { report, data } = await sendCommand(disk, command, io.signal);
    await sink?.write(data);
    await sink?.end();
    const beside = output === '-' ? { ...io, stdout: io.stderr } : io;
    tell(beside, options, sink === null ? report : { ...report, data: null });
  });
}

async function alter(
  io: CommandIo,
  device: string | undefined,
  cdb: Uint8Array,
  options: CdbOptions,
): Promise<void> {
  const { testbed, trace, lba, blocks, input } = options;
  decodeWholeCdb(cdb);
  await withDisk(io, { device, testbed, trace, verb: null }, async (disk) => {
    const range = lba === undefined ? null : namedRange(disk, lba, blocks);
    const dataOut = input === undefined ? undefined : await readData(disk, input, io);
    const command = { cdb, dataOut, timeoutMs: timeoutOf(options) };
    const claim = await claimOptions(disk, options, io.signal);
    tell(io, options, await sendAltering(disk, command, range, claim));
  });
}

/** The whole file, or enough of it to tell that no command carries it. */
async function readData(disk: Disk, input: string, io: CommandIo): Promise<Uint8Array> {
  using source = await openSource(input, io);
  const bytes = await source.read(DATA_OUT_MAX + 1);
  disk.requireTransfer(bytes.length, 0);
  return bytes;
}

/** More than any host takes at once. */
const DATA_OUT_MAX = 64 * 1024 * 1024;

const timeoutOf = ({ timeout }: CdbOptions) => timeout && timeout * 1000;

function tell(io: CommandIo, options: CdbOptions, report: CommandReport): void {
  printReport(io, options, report, { text: commandReportText });
  io.setExitStatus(exitStatus(report));
}

/** `12 00 00 00 24 00`, `120000002400`, `0x12,0x00` …: whole bytes, in any grouping. */
function parseCdb(words: readonly string[]): Uint8Array {
  const groups = words.flatMap((word) => word.split(/[\s,]+/)).filter((group) => group !== '');
  const digits = groups
    .map((group) => group.replace(/^0x/i, ''))
    .map((one) => (one.length === 1 ? `0${one}` : one));
  const wrong = digits.findIndex((one) => !/^(?:[0-9a-f]{2})+$/i.test(one));
  if (wrong >= 0) {
    throw new IntegrityError('ERR_USAGE', `${JSON.stringify(groups[wrong])} is no bytes in hex`, {
      advice: 'DEVICE comes first, then the CDB: /dev/sg0 12 00 00 00 24 00.',
    });
  }
  const cdb = Uint8Array.from(Buffer.from(digits.join(''), 'hex'));
  if (cdb.length >= CDB_BYTES.min && cdb.length <= CDB_BYTES.max) return cdb;
  const message = `a CDB has ${CDB_BYTES.min} to ${CDB_BYTES.max} bytes: ${cdb.length} are given`;
  throw new IntegrityError('ERR_USAGE', message);
}

function exitStatus({ outcome, missing }: CommandReport): number {
  if (outcome === 'good') return missing === 0 ? 0 : 3;
  return outcome === 'protection' ? 1 : 3;
}
