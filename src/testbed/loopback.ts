/**
 * LIO's configfs, as far as every testbed disk behind tcm_loop needs it: adapters, and a loopback port with one logical unit.
 */
import { mkdir, readdir, readFile, rmdir, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const TARGET = '/sys/kernel/config/target';

/** Backstores lie below it, each in the folder of its adapter. */
export const LIO_CORE: string = join(TARGET, 'core');

/** Backstores of this package are named so, with an id behind. */
export const STORE_PREFIX = 'blkint';

/** A folder for an adapter of this kind (`fileio`, `user`) that was nobody's. */
export async function claimAdapter(kind: string): Promise<string> {
  for (let i = 0; ; i++) {
    const folder = join(LIO_CORE, `${kind}_${i}`);
    if (await made(folder)) return folder;
  }
}

async function made(folder: string): Promise<boolean> {
  try {
    await mkdir(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** NAA 6 names of nobody's company: target port and nexus of one loop. `id` is ten hexadecimal digits. */
const naa = (id: string, end: string) => `naa.6001405${id}${end}`.padEnd(20, '0');

function portFolders(id: string): { port: string; group: string; lun: string; link: string } {
  const port = join(TARGET, 'loopback', naa(id, '01'));
  const group = join(port, 'tpgt_1');
  const lun = join(group, 'lun/lun_0');
  return { port, group, lun, link: join(lun, 'disk') };
}

/**
 * Makes the port `id` with the backstore as its logical unit 0. The kernel scans it at once: who serves the unit must be ready.
 * Returns host:channel:target:lun.
 */
export async function addPort(id: string, store: string): Promise<string> {
  const { group, lun, link } = portFolders(id);
  await mkdir(group, { recursive: true });
  await writeFile(join(group, 'nexus'), naa(id, '02'));
  await mkdir(lun);
  await symlink(store, link);
  return hctl(await readFile(join(group, 'address'), 'utf8'));
}

/** Removes what there is of the port `id`. The SCSI device goes first, and the kernel waits for its commands. */
export async function removePort(id: string): Promise<void> {
  const { port, group, lun, link } = portFolders(id);
  await unlink(link).catch(unlessMissing);
  for (const folder of [lun, group, port]) await rmdir(folder).catch(unlessMissing);
}

/** host:channel:target:lun of the port `id`, or null when there is no such port. */
export async function portAddress(id: string): Promise<string | null> {
  const { group } = portFolders(id);
  const address = await readFile(join(group, 'address'), 'utf8').catch(unlessMissing);
  return address === undefined ? null : hctl(address);
}

/** tpgt_1/address: host, channel and target. */
function hctl(address: string): string {
  const [host, channel, target] = address.trim().split(':');
  return `${host}:${channel}:${target}:0`;
}

/** Every backstore of this package behind adapters of this kind, as its folder. */
export async function ownStores(kind: string): Promise<string[]> {
  const adapters = (await readdir(LIO_CORE).catch(unlessMissing)) ?? [];
  const stores: string[] = [];
  for (const adapter of adapters.filter((name) => name.startsWith(`${kind}_`))) {
    const names = (await readdir(join(LIO_CORE, adapter)).catch(unlessMissing)) ?? [];
    stores.push(
      ...names.filter((name) => name.startsWith(STORE_PREFIX)).map((name) => join(LIO_CORE, adapter, name)),
    );
  }
  return stores;
}

export function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
