/** The first root of the guest: busybox, the modules that reach the host's files, and the scripts. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { IntegrityError } from '../../errors.js';
import { type CpioEntry, cpioArchive } from './cpio.js';
import { commandScript, type GuestJob, initScript } from './guest-init.js';
import { loadOrder } from './modules.js';
import { capture } from './process.js';

/** Without these there are no host files and no way back. */
const NEEDED_MODULES = ['virtio_pci', 'virtio_console', '9pnet_virtio', '9p', 'overlay'];
/** With configfs loaded, LIO's tree is mounted from the start. */
const WELCOME_MODULES = ['configfs'];

/** By the last suffix of a module's file. busybox unpacks xz, so that no tool is needed for it. */
const UNPACK: Record<string, (packed: Buffer, busybox: string) => Promise<Buffer> | Buffer> = {
  ko: (packed) => packed,
  gz: (packed) => gunzipSync(packed),
  xz: (packed, busybox) => capture([busybox, 'unxz', '-c'], { input: packed }),
  zst: (packed) => capture(['zstd', '-dcq'], { input: packed }),
};

async function modules(folder: string, busybox: string): Promise<CpioEntry[]> {
  const index = (name: string): Promise<string> => readFile(join(folder, name), 'utf8');
  const dependencies = await index('modules.dep');
  const builtin = await index('modules.builtin').catch(() => '');
  const needed = loadOrder(NEEDED_MODULES, dependencies, builtin);
  if (needed.missing.length > 0) {
    throw new IntegrityError('ERR_NO_KERNEL', `the kernel of ${folder} has no ${needed.missing.join(', ')}`, {
      advice: "Build them in or as modules: the guest reads the host's files over 9p and virtio.",
    });
  }
  const welcome = loadOrder(WELCOME_MODULES, dependencies, builtin);
  return await Promise.all(
    [...new Set([...needed.files, ...welcome.files])].map(async (file, position) => {
      const unpack = UNPACK[file.split('.').at(-1)!]!;
      return {
        path: `modules/${String(position).padStart(2, '0')}.ko`,
        type: 'file',
        mode: 0o644,
        data: await unpack(await readFile(join(folder, file)), busybox),
      } as const;
    }),
  );
}

/** @param busybox path of a statically linked busybox. */
export async function initramfs(job: GuestJob, busybox: string): Promise<Buffer> {
  const script = (path: string, text: string): CpioEntry => ({
    path,
    type: 'file',
    mode: 0o755,
    data: Buffer.from(text),
  });
  return cpioArchive([
    { path: 'dev', type: 'folder', mode: 0o755 },
    { path: 'dev/console', type: 'characterDevice', mode: 0o600, device: [5, 1] },
    { path: 'busybox', type: 'file', mode: 0o755, data: await readFile(busybox) },
    script('init', initScript(job)),
    script('command', commandScript(job)),
    { path: 'modules', type: 'folder', mode: 0o755 },
    ...(job.modulesFolder === undefined ? [] : await modules(job.modulesFolder, busybox)),
  ]);
}
