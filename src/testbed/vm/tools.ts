/** The programs that the VM testbed runs on the host, and the Debian packages that they come in. */
import { access, constants, open } from 'node:fs/promises';
import { join } from 'node:path';
import { IntegrityError } from '../../errors.js';
import { PROGRAM_FOLDERS, run } from './process.js';
import { QEMU } from './qemu.js';

/** Program to package. */
const TOOLS: Readonly<Record<string, string>> = {
  [QEMU]: 'qemu-system-x86',
  busybox: 'busybox-static',
  depmod: 'kmod',
  modprobe: 'kmod',
  setpriv: 'util-linux',
  flock: 'util-linux',
  // Used in the guest: layers above a disk.
};

async function findProgram(name: string): Promise<string | undefined> {
  for (const folder of PROGRAM_FOLDERS) {
    const candidate = join(folder, name);
    const found = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return candidate;
  }
  return undefined;
}

/** Whether an ELF file asks for no loader (has no PT_INTERP program header), so that it runs where no library is. */
async function isStatic(program: string): Promise<boolean> {
  await using file = await open(program);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
  if (bytesRead < 64 || buffer.toString('latin1', 0, 4) !== '\x7fELF') return false;
  const table = Number(buffer.readBigUInt64LE(32));
  const [entrySize, entries] = [buffer.readUInt16LE(54), buffer.readUInt16LE(56)];
  if (table + entries * entrySize > bytesRead) return false;
  return !Array.from({ length: entries }, (_, index) =>
    buffer.readUInt32LE(table + index * entrySize),
  ).includes(3);
}

async function findTool(name: string): Promise<string | undefined> {
  const program = await findProgram(name);
  if (program === undefined || name !== 'busybox') return program;
  return (await isStatic(program)) ? program : undefined;
}

async function missingTools(): Promise<string[]> {
  const found = await Promise.all(
    Object.keys(TOOLS).map(async (name) => ({ name, path: await findTool(name) })),
  );
  return found.filter(({ path }) => path === undefined).map(({ name }) => name);
}

/** The line that installs what `tools` come in. */
export function aptLine(tools: readonly string[]): readonly [string, ...string[]] {
  const packages = [...new Set(tools.map((tool) => TOOLS[tool]!))];
  return ['apt-get', 'install', '-y', '--no-install-recommends', ...packages];
}

/**
 * Sees to it that every tool is there, and returns the path of busybox. Installs what is missing when allowed to, root, and where apt
 * is; otherwise throws ERR_MISSING_TOOL with the line that does.
 */
export async function ensureTools(
  install: boolean,
  signal: AbortSignal | undefined,
  note: (message: string) => void,
): Promise<string> {
  const missing = await missingTools();
  const canInstall = process.getuid?.() === 0 && (await findProgram('apt-get')) !== undefined;
  if (missing.length > 0 && install && canInstall) {
    const line = aptLine(missing);
    note(line.join(' '));
    const environment = { DEBIAN_FRONTEND: 'noninteractive' };
    // A source that does not answer is no reason to stop: what it takes may be on another.
    const update = await run(['apt-get', 'update'], { signal, environment }).catch((error: Error) => error);
    signal?.throwIfAborted();
    if (update instanceof Error) note(update.message);
    await run([...line, '-o', 'DPkg::Lock::Timeout=300'], { signal, environment });
    missing.splice(0, missing.length, ...(await missingTools()));
  }
  if (missing.length > 0) {
    throw new IntegrityError('ERR_MISSING_TOOL', `the VM testbed needs ${missing.join(', ')}`, {
      advice: `Run as root: apt-get update && ${aptLine(missing).join(' ')}\nor give --install as root. On a distribution without apt install what these packages hold; busybox must be linked statically.`,
    });
  }
  return (await findTool('busybox'))!;
}
