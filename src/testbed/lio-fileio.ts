/**
 * LIO's fileio disks behind tcm_loop: T10 disks of the kernel whose tuples lie in a file beside the data, where they can be read and edited.
 */
import { randomBytes } from 'node:crypto';
import {
  access,
  mkdir,
  mkdtemp,
  open,
  readFile,
  realpath,
  rm,
  rmdir,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { SERIAL_PREFIX } from '../device/safeguard/ours.js';
import { IntegrityError } from '../errors.js';
import { interpret, type SysfsDisk } from '../sysfs/disks.js';
import { readSnapshot } from '../sysfs/snapshot.js';
import { addPort, claimAdapter, removePort, STORE_PREFIX } from './loopback.js';
import { loadModule } from './modules.js';
import { Undo } from './undo.js';
import { waitFor } from './wait.js';

const TUPLE_BYTES = 8;
const APPEAR_MS = 20_000;

export interface LioFileioOptions {
  /** pi_prot_type. LIO has no type 2. Default 1. */
  readonly type?: 0 | 1 | 3;
  /** Default 16. */
  readonly sizeMiB?: number;
  /** Bytes a block. Default 512. */
  readonly blockSize?: 512 | 4096;
  /** Where the data file and the file of tuples are made. Default: a temporary folder. */
  readonly folder?: string;
}

/** A disk whose tuples can be read and planted behind its back. Removed with `await using`. */
export interface LioFileioDisk extends AsyncDisposable {
  readonly device: string;
  /** The tuples that lie in the file, as the kernel or the device left them. */
  readTuples(lba: bigint, blocks: number): Promise<Uint8Array>;
  /** Puts tuples into the file, right or wrong. */
  plantTuples(lba: bigint, tuples: Uint8Array): Promise<void>;
  /** pi_prot_verify: whether the device checks tuples itself or hands them on. */
  setVerify(verify: boolean): Promise<void>;
}

/** Errors: ERR_TESTBED, ERR_MISSING_TOOL. */
export async function createLioFileio(options: LioFileioOptions = {}): Promise<LioFileioDisk> {
  const { type = 1, sizeMiB = 16, blockSize = 512, folder = tmpdir() } = options;
  const file = join(await ownFolder(folder), 'data');
  const tuples = tuplesFile(file);
  const undo = new Undo();
  try {
    undo.push(() => rm(dirname(file), { recursive: true }));
    await writeFile(file, '');
    await truncate(file, sizeMiB * 1024 * 1024);
    const id = randomBytes(5).toString('hex');
    const { device, store } = await exportFileio(file, { id, type, blockSize, format: true }, undo);
    return {
      device,
      readTuples: async (lba, blocks) => {
        const bytes = new Uint8Array(blocks * TUPLE_BYTES);
        await using handle = await open(tuples, 'r');
        await handle.read(bytes, 0, bytes.length, Number(lba) * TUPLE_BYTES);
        return bytes;
      },
      plantTuples: async (lba, bytes) => {
        await using handle = await open(tuples, 'r+');
        await handle.write(bytes, 0, bytes.length, Number(lba) * TUPLE_BYTES);
        await handle.sync();
      },
      setVerify: (verify) => writeFile(join(store, 'attrib/pi_prot_verify'), verify ? '1' : '0'),
      [Symbol.asyncDispose]: () => undo.run(),
    };
  } catch (cause) {
    await undo.run().catch(() => {});
    if (cause instanceof IntegrityError) throw cause;
    throw new IntegrityError('ERR_TESTBED', `LIO could not be set up: ${(cause as Error).message}`, {
      cause,
      advice: 'It takes root, configfs on /sys/kernel/config and the modules target_core_file and tcm_loop.',
    });
  }
}

/** Where LIO keeps the tuples of a file. */
export function tuplesFile(file: string): string {
  return `${file}.protection`;
}

export interface FileioExport {
  /** Ten hexadecimal digits, by which the disk is known, its serial number too. */
  readonly id: string;
  readonly type: 0 | 1 | 3;
  readonly blockSize: number;
  /** Escapes all tuples; else they are what their file holds. */
  readonly format: boolean;
}

/** Makes a file a disk of this kernel; `undo` takes it away and leaves the file. Throws what configfs does, and ERR_TESTBED. */
export async function exportFileio(
  file: string,
  { id, type, blockSize, format }: FileioExport,
  undo: Undo,
): Promise<{ readonly device: string; readonly store: string }> {
  for (const module of ['sd_mod', 'sg', 'target_core_mod', 'target_core_file', 'tcm_loop'])
    await loadModule(module);
  const adapter = await claimAdapter('fileio');
  undo.push(() => rmdir(adapter));
  const store = join(adapter, `${STORE_PREFIX}${id}`);
  await mkdir(store);
  undo.push(() => rmdir(store));
  await writeFile(join(store, 'control'), `fd_dev_name=${file},fd_dev_size=${(await stat(file)).size}`);
  await requireExported(store, file);
  await writeFile(join(store, 'enable'), '1');
  await writeFile(join(store, 'attrib/block_size'), String(blockSize));
  await writeFile(join(store, 'wwn/vpd_unit_serial'), `${SERIAL_PREFIX}${id}`);
  if (type !== 0) {
    await writeFile(join(store, 'attrib/pi_prot_type'), String(type));
    if (format) await writeFile(join(store, 'attrib/pi_prot_format'), '1');
  }
  undo.push(() => removePort(id));
  const hctl = await addPort(id, store);
  const disk = await waitFor(() => readyDisk(hctl), APPEAR_MS);
  if (disk === null)
    throw new IntegrityError('ERR_TESTBED', 'the LIO disk did not appear', { advice: 'See dmesg.' });
  return { device: `/dev/${disk.name}`, store };
}

/** A folder of nobody else's, whose name LIO reads whole: it takes a comma for the end of the name. */
async function ownFolder(parent: string): Promise<string> {
  const made = await mkdtemp(join(await realpath(parent), 'blk-integrity-lio-'));
  if (/^[\x20-\x2b\x2d-\x7e]+$/.test(made)) return made;
  await rm(made, { recursive: true });
  throw new IntegrityError('ERR_TESTBED', `LIO cannot take the folder ${JSON.stringify(parent)}`, {
    advice: 'Name one without commas and control characters.',
  });
}

/** Before anything is exported: LIO has understood the very name that was meant. */
async function requireExported(store: string, file: string): Promise<void> {
  const info = await readFile(join(store, 'info'), 'utf8');
  if (info.includes(` File: ${file} `)) return;
  throw new IntegrityError('ERR_TESTBED', `LIO took another file than ${file}: ${info.trim()}`);
}

async function readyDisk(hctl: string): Promise<SysfsDisk | null> {
  const disk = interpret(await readSnapshot()).find((candidate) => candidate.hctl === hctl);
  if (!disk?.block || !disk.sg || disk.blocks === 0n) return null;
  const there = await Promise.allSettled([access(`/dev/${disk.block.name}`), access(`/dev/${disk.sg.name}`)]);
  return there.every(({ status }) => status === 'fulfilled') ? disk : null;
}
