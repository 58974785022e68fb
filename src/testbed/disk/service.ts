/**
 * Emulated disks that outlive the command that made them: each is served by a process of its own, which is asked over a socket in
 * /run/blk-integrity. One line of JSON goes in, one comes out.
 */
import { fork } from 'node:child_process';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, IntegrityError } from '../../errors.js';
import { fillDisk } from '../fill.js';
import { Undo } from '../undo.js';
import { EmulatedDisk, type EmulatedDiskOptions } from './emulated-disk.js';
import type { Fault, FaultSpec } from './model/faults.js';
import type { Format } from './model/format.js';
import type { DiskStats } from './model/stats.js';
import type { AttachedUnit } from './tcmu/attach.js';
import { removeStaleUnits } from './tcmu/configfs.js';
import type { UnitStats } from './tcmu/serve.js';

const FOLDER = '/run/blk-integrity';
const SUFFIX = '.sock';
/** A process that serves is asked and answers at once; making a disk waits for the kernel's scan. */
const ANSWER_MS = 10_000;
const START_MS = 60_000;
/** Filling a disk takes its time. */
const FILL_MS = 1_800_000;

/** What is told of a disk. */
export interface ServedDisk {
  readonly name: string;
  readonly pid: number;
  readonly sg: string;
  /** Null where the disk has protection, which is kept from sd. */
  readonly block: string | null;
  readonly serial: string;
  readonly format: Format;
}

export interface ServedStats {
  /** As the model counts them. */
  readonly disk: DiskStats;
  /** As they crossed TCMU's ring. */
  readonly ring: UnitStats;
}

/** What a disk in another process can be asked, by name: each as a function of the disk here. */
interface Requests {
  info: { argument: null; answer: ServedDisk };
  stats: { argument: null; answer: ServedStats };
  faults: { argument: null; answer: readonly Fault[] };
  'add-fault': { argument: FaultSpec; answer: Fault };
  'remove-fault': { argument: number; answer: null };
  'clear-faults': { argument: null; answer: null };
  remove: { argument: null; answer: null };
}

type RequestName = keyof Requests;
type Answerers = {
  readonly [Name in RequestName]: (argument: Requests[Name]['argument']) => Requests[Name]['answer'];
};

const NAME = /^[\w.-]{1,32}$/;

function socketOf(name: string): string {
  if (NAME.test(name)) return join(FOLDER, `${name}${SUFFIX}`);
  throw new IntegrityError(
    'ERR_USAGE',
    `${JSON.stringify(name)} is no name: 1 to 32 letters, digits, '-', '_', '.'`,
  );
}

/** LBAs go beyond what JSON's numbers hold: `{ "bigint": "12" }`. */
function toLine(value: unknown): string {
  const told = (_: string, field: unknown) => (typeof field === 'bigint' ? { bigint: `${field}` } : field);
  return `${JSON.stringify(value, told)}\n`;
}

function fromLine(line: string): unknown {
  const meant = (_: string, field: unknown) => {
    const { bigint, ...others } = (field ?? {}) as { bigint?: unknown };
    const tells =
      typeof bigint === 'string' && /^-?\d{1,20}$/.test(bigint) && Object.keys(others).length === 0;
    return tells ? BigInt(bigint) : field;
  };
  return JSON.parse(line, meant);
}

/** Makes a disk in a process of its own, which goes on when this one ends; `fills`: every block gets data and a right tuple first. */
export async function startDisk(
  name: string,
  options: EmulatedDiskOptions,
  { fills = false }: { readonly fills?: boolean } = {},
): Promise<ServedDisk> {
  const path = socketOf(name);
  await removeDeadDisks();
  if ((await namesOf()).includes(name)) {
    throw new IntegrityError('ERR_TESTBED', `there is an emulated disk ${name} already`, {
      advice: `Remove it with \`blk-integrity testbed disk remove ${name}\`, or give another name.`,
    });
  }
  const main = fileURLToPath(new URL('./service-main.js', import.meta.url));
  const child = fork(main, [path], { detached: true, stdio: 'ignore' });
  try {
    const answer = await new Promise<string>((resolve, reject) => {
      const late = () => reject(notStarted(name, 'it does not answer'));
      const timer = setTimeout(late, fills ? FILL_MS : START_MS);
      child.once('message', (message) => resolve(String(message)));
      child.once('error', reject);
      child.once('exit', (code, signal) => reject(notStarted(name, `it ended with ${signal ?? code}`)));
      child.once('spawn', () => child.send(toLine({ name, options, fills })));
      child.once('message', () => clearTimeout(timer));
    });
    return answerOf(answer) as ServedDisk;
  } catch (error) {
    child.kill();
    throw error;
  } finally {
    child.removeAllListeners();
    if (child.connected) child.disconnect();
    child.unref();
  }
}

function notStarted(name: string, why: string): IntegrityError {
  return new IntegrityError(
    'ERR_TESTBED',
    `the process of the emulated disk ${name} could not be started: ${why}`,
  );
}

/** The process that serves: makes the disk, tells of it, and stays until it is told to go. */
export async function serveDisk(path: string): Promise<void> {
  const first = await new Promise<string>((resolve) =>
    process.once('message', (line) => resolve(String(line))),
  );
  const { name, options, fills } = fromLine(first) as {
    name: string;
    options: EmulatedDiskOptions;
    fills: boolean;
  };
  const undo = new Undo();
  let exitStatus = 0;
  // Whatever comes first, and however often: all is taken away once, and then the process ends.
  const stop = () => undo.run().finally(() => process.exit(exitStatus));
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => void stop());
  try {
    // The name is taken before anything is made.
    const server = await listen(path);
    undo.push(async () => server.close());
    const making = make(name, options, fills, undo);
    // Who asks before it is there waits for it.
    answer(server, making, () => undo.run());
    const { disk, attached } = await making;
    tell({ answer: infoOf(name, disk, attached) });
  } catch (error) {
    exitStatus = 3;
    await undo.run().catch(() => {});
    tell({ error: told(error) }, () => process.exit(exitStatus));
  }
}

interface Made {
  readonly name: string;
  readonly disk: EmulatedDisk;
  readonly attached: AttachedUnit;
}

async function make(name: string, options: EmulatedDiskOptions, fills: boolean, undo: Undo): Promise<Made> {
  const disk = await EmulatedDisk.create(options);
  undo.push(() => disk.close());
  if (fills) await fillDisk(await disk.open());
  return { name, disk, attached: await disk.attach({ name }) };
}

/** Who made this process may be gone: the disk is there all the same. */
function tell(answer: unknown, then: () => void = () => {}): void {
  if (process.connected) process.send?.(toLine(answer), then);
  else then();
}

function infoOf(name: string, disk: EmulatedDisk, { sg, block }: AttachedUnit): ServedDisk {
  return { name, pid: process.pid, sg, block, serial: disk.identity.serial, format: disk.format };
}

function answerersOf({ name, disk, attached }: Made): Answerers {
  return {
    info: () => infoOf(name, disk, attached),
    stats: () => ({ disk: disk.stats(), ring: attached.stats() }),
    faults: () => disk.faults(),
    'add-fault': (spec) => disk.addFault(spec),
    'remove-fault': (id) => {
      disk.removeFault(id);
      return null;
    },
    'clear-faults': () => {
      disk.clearFaults();
      return null;
    },
    remove: () => null,
  };
}

async function listen(path: string): Promise<Server> {
  await mkdir(FOLDER, { recursive: true, mode: 0o700 });
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return server;
}

function answer(server: Server, making: Promise<Made>, stop: () => Promise<void>): void {
  server.on('connection', (socket: Socket) => {
    // A client that goes away is no business of the disk's.
    socket.on('error', () => socket.destroy());
    socket.setTimeout(ANSWER_MS, () => socket.destroy());
    void (async () => {
      let request: RequestName | null = null;
      try {
        const line = await lineOf(socket);
        const answerers = answerersOf(await making);
        const { name, argument } = fromLine(line) as { name: RequestName; argument: never };
        if (!Object.hasOwn(answerers, name))
          throw new IntegrityError('ERR_USAGE', `no request ${name} is known`);
        request = name;
        if (request === 'remove') await stop();
        socket.end(toLine({ answer: answerers[name](argument) }));
      } catch (error) {
        socket.end(toLine({ error: told(error) }));
      }
      if (request === 'remove') socket.once('close', () => process.exit(0));
    })();
  });
}

const LINE_MAX = 1 << 20;

/** The first line that comes; what breaks off before its end is an error. */
function lineOf(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    socket.setEncoding('utf8');
    const collect = (piece: string) => {
      text += piece;
      if (text.includes('\n')) {
        socket.off('data', collect).resume();
        resolve(text.slice(0, text.indexOf('\n')));
      } else if (text.length > LINE_MAX) socket.destroy(new Error('a line without end'));
    };
    socket.on('data', collect);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the other side went away')));
  });
}

interface Told {
  readonly code: ErrorCode;
  readonly message: string;
  readonly advice?: string;
}

function told(error: unknown): Told {
  if (!(error instanceof IntegrityError)) return { code: 'ERR_TESTBED', message: (error as Error).message };
  const { code, message, advice } = error;
  return { code, message, ...(advice !== undefined && { advice }) };
}

function answerOf(line: string): unknown {
  const { answer, error } = fromLine(line) as { answer?: unknown; error?: Told };
  if (error === undefined) return answer;
  const { code, message, advice } = error;
  throw new IntegrityError(code, message, advice === undefined ? {} : { advice });
}

/**
 * Asks the process of a disk.
 *
 * @throws ERR_NO_DEVICE when there is no such disk, and what the disk throws.
 */
export async function askDisk<Name extends RequestName>(
  disk: string,
  name: Name,
  argument: Requests[Name]['argument'],
): Promise<Requests[Name]['answer']> {
  const path = socketOf(disk);
  const socket = connect(path, () => socket.write(toLine({ name, argument })));
  socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error('it does not answer')));
  const line = await lineOf(socket).catch((cause: NodeJS.ErrnoException) => {
    const gone = ['ENOENT', 'ECONNREFUSED'].includes(cause.code ?? '');
    const message = gone
      ? `there is no emulated disk ${disk}`
      : `the emulated disk ${disk}: ${cause.message}`;
    const advice = 'See `blk-integrity testbed disk list`.';
    throw new IntegrityError(gone ? 'ERR_NO_DEVICE' : 'ERR_TESTBED', message, { advice, cause });
  });
  socket.end();
  return answerOf(line) as Requests[Name]['answer'];
}

async function namesOf(): Promise<string[]> {
  const files = await readdir(FOLDER).catch(() => []);
  const names = files.filter((file) => file.endsWith(SUFFIX)).map((file) => file.slice(0, -SUFFIX.length));
  return names.filter((name) => NAME.test(name));
}

/** Every disk that is served. What a dead process left is taken away first. */
export async function servedDisks(): Promise<ServedDisk[]> {
  await removeDeadDisks();
  const asked = (await namesOf()).sort().map((name) =>
    askDisk(name, 'info', null).catch((error: IntegrityError) => {
      // It went away meanwhile.
      if (error.code === 'ERR_NO_DEVICE') return null;
      throw error;
    }),
  );
  return (await Promise.all(asked)).filter((disk) => disk !== null);
}

/** Sockets that nobody listens on, and what their processes left in the kernel. */
async function removeDeadDisks(): Promise<void> {
  for (const name of await namesOf()) {
    try {
      await askDisk(name, 'info', null);
    } catch (error) {
      if ((error as IntegrityError).code === 'ERR_NO_DEVICE') await rm(socketOf(name), { force: true });
    }
  }
  await removeStaleUnits();
}
