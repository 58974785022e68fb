/**
 * The verbs, and how an error becomes a message and an exit status.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { Command, CommanderError } from 'commander';
import { ERROR_CODES, IntegrityError } from '../errors.js';
import { printableLines } from '../report/printable.js';
import { streamError } from './bytes.js';
import type { CommandIo } from './io.js';

const EXIT_STATUSES = `
Exit status: 0 nothing wrong, 1 integrity findings, 2 wrong usage, 3 could not tell, 130 interrupted.`;

/** By name, in the order of the help. A verb's module is loaded when the verb is called: to load all of them takes three times as long. */
const VERBS: Readonly<Record<string, (io: CommandIo) => Promise<Command>>> = {
  list: async (io) => (await import('./list.js')).listCommand(io),
  show: async (io) => (await import('./show.js')).showCommand(io),
  crosscheck: async (io) => (await import('./crosscheck.js')).crosscheckCommand(io),
  scrub: async (io) => (await import('./scrub.js')).scrubCommand(io),
  prove: async (io) => (await import('./prove.js')).proveCommand(io),
  restore: async (io) => (await import('./restore.js')).restoreCommand(io),
  read: async (io) => (await import('./read.js')).readCommand(io),
  write: async (io) => (await import('./write.js')).writeCommand(io),
  cdb: async (io) => (await import('./cdb.js')).cdbCommand(io),
  generate: async (io) => (await import('./generate.js')).generateCommand(io),
  verify: async (io) => (await import('./verify.js')).verifyCommand(io),
  testbed: async (io) =>
    new Command('testbed')
      .description('make, list and remove disks to test on')
      .addCommand((await import('./testbed-scsi-debug.js')).testbedScsiDebugCommand(io))
      .addCommand((await import('./testbed-disk.js')).testbedDiskCommand(io))
      .addCommand((await import('./testbed-vm.js')).testbedVmCommand(io)),
};

/** With the verb that the arguments begin with; with every verb for help, and where the first argument is none. */
async function program([verb = '']: readonly string[], io: CommandIo, version: string): Promise<Command> {
  const root = new Command('blk-integrity')
    .description('cross-check T10 protection information: device, kernel and a software mirror side by side')
    .version(version)
    .addHelpText('after', EXIT_STATUSES)
    // Whoever gave up while the verb was loaded finds nothing begun.
    .hook('preAction', () => io.signal.throwIfAborted());
  for (const name of Object.hasOwn(VERBS, verb) ? [verb] : Object.keys(VERBS)) {
    root.addCommand(await VERBS[name]!(io));
  }
  for (const command of everyCommand(root)) {
    command.exitOverride().configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(printableLines(text)),
    });
  }
  return root;
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

/**
 * Runs one command line (without node and script). Never throws: the exit status says how it ended. Whatever becomes of stdout, the
 * command runs to its end, so that what it made is taken down: a reader that has seen enough is no failure, a full disk is one.
 */
export async function runProgram(args: readonly string[], io: CommandIo, version: string): Promise<void> {
  let unwritten: NodeJS.ErrnoException | undefined;
  io.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') unwritten ??= error;
  });
  let failed = false;
  const fail = (error: unknown): void => {
    const status = report(error, io);
    failed = status !== 0;
    io.setExitStatus(status);
  };
  await program(args, io, version)
    .then((root) => root.parseAsync([...args], { from: 'user' }))
    .catch(fail);
  // Writes to files and terminals are synchronous; the event of one that failed comes with the next turn.
  await turn();
  if (unwritten !== undefined && !failed) fail(streamError('write', 'stdout', unwritten));
}

function report(error: unknown, io: CommandIo): number {
  // commander has printed its message, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : ERROR_CODES.ERR_USAGE;
  if (io.signal.aborted && (error === io.signal.reason || (error as Error).name === 'AbortError')) {
    io.stderr.write('blk-integrity: interrupted\n');
    return ERROR_CODES.ERR_ABORTED;
  }
  // What went wrong, and then what went wrong while it was cleaned up.
  if (error instanceof Error && error.name === 'SuppressedError') {
    const both = error as Error & { readonly error: unknown; readonly suppressed: unknown };
    report(both.suppressed, io);
    return report(both.error, io);
  }
  if (error instanceof IntegrityError) {
    const advice = error.advice === undefined ? '' : `\n${error.advice}`;
    io.stderr.write(
      `blk-integrity: ${printableLines(error.message)} (${error.code})${printableLines(advice)}\n`,
    );
    return ERROR_CODES[error.code];
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  io.stderr.write(`blk-integrity: ${printableLines(text)}\n`);
  return 3;
}
