import { Command } from 'commander';
import { requireReadOnly, sendCommand } from '../check/command.js';
import { IntegrityError } from '../errors.js';
import type { CommandReport } from '../report/model.js';
import { commandReportText } from '../report/transfer-text.js';
import { cdbText } from '../scsi/cdb.js';
import { openSink } from './bytes.js';
import type { CommandIo } from './io.js';
import { integerUpTo, parseInteger } from './options.js';
import { type OutputOptions, printReport, requireBinaryStdout } from './output.js';
import { TESTBED_HERE_OPTION, TRACE_OPTION, withDisk } from './testbeds.js';

interface CdbOptions extends OutputOptions {
  readonly in?: number;
  readonly out?: boolean;
  readonly input?: string;
  readonly output?: string;
  readonly timeout?: number;
  readonly testbed?: string;
  readonly trace?: boolean;
}

/** As SG_IO takes them here. */
const CDB_BYTES = { min: 6, max: 32 };
const TIMEOUT_S = { min: 1, max: 86_400 };

/** `cdb DEVICE HEX…`: one command that cannot alter the disk. Exit status 1 when protection information was refused, 3 for any other answer than GOOD. */
export function cdbCommand(io: CommandIo): Command {
  return new Command('cdb')
    .description(
      'send one SCSI command, given in hex, and decode its answer; only what cannot alter the disk',
    )
    .usage('[options] DEVICE HEX…')
    .argument('<words...>', 'DEVICE (left out with --testbed), then the bytes of the CDB in hex')
    .option(
      '--in <n>',
      'bytes of data to take in (default: what the CDB says)',
      integerUpTo('--in', 2 ** 31 - 1),
    )
    .option('-o, --output <file>', 'write the data that comes to a regular file or pipe, or - for stdout')
    .option('--out', 'data goes out: refused, because it could alter the disk')
    .option('-i, --input <file>', 'the data that goes out: refused as well')
    .option('--timeout <s>', 'seconds that the command may take (default: 30)', (text: string) =>
      parseInteger('--timeout', text, TIMEOUT_S),
    )
    .option(...TESTBED_HERE_OPTION)
    .option(...TRACE_OPTION)
    .option('--json', 'one JSON object')
    .action(async (words: string[], options: CdbOptions) => {
      const { testbed, trace, output, in: inBytes, timeout } = options;
      const device = testbed === undefined ? words[0] : undefined;
      const cdb = parseCdb(device === undefined ? words : words.slice(1));
      if (options.out || options.input !== undefined) {
        const message = `refused to send ${cdbText(cdb)} with data: it could alter the disk`;
        throw new IntegrityError('ERR_READ_ONLY', message, {
          cdb,
          advice: 'Blocks are written with `blk-integrity write`.',
        });
      }
      requireReadOnly(cdb);
      if (output === '-') requireBinaryStdout('the data', options, io);
      await withDisk(io, { device, testbed, trace, verb: null }, async (disk) => {
        await using sink = await openSink(output, io);
        const timeoutMs = timeout && timeout * 1000;
        const { report, data } = await sendCommand(disk, { cdb, inBytes, timeoutMs }, io.signal);
        await sink?.write(data);
        await sink?.end();
        const beside = output === '-' ? { ...io, stdout: io.stderr } : io;
        const printed = sink === null ? report : { ...report, data: null };
        printReport(beside, options, printed, { text: commandReportText });
        io.setExitStatus(exitStatus(report));
      });
    });
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

function exitStatus({ outcome }: CommandReport): number {
  if (outcome === 'good') return 0;
  return outcome === 'protection' ? 1 : 3;
}
