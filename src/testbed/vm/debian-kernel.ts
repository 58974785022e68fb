/** Chooses one of Debian's kernels by its version, and keeps what was downloaded. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IntegrityError } from '../../errors.js';
import { buildFolder, exists, replaceFile, requirePrivate, withLock } from './cache.js';
import { DebianArchive, type DebianKernel } from './debian-archive.js';

const components = (version: string): string[] => version.split(/[.\-+~]/);

/** Whether `version` starts with `prefix`, component by component: 6.1 is a prefix of 6.1.176-1 and not of 6.12. */
export function hasPrefix(version: string, prefix: string): boolean {
  const all = components(version);
  return components(prefix).every((component, index) => all[index] === component);
}

/** The highest kernel that matches. `kernels` are as apt lists them, the highest version first. */
export function chooseKernel(kernels: readonly DebianKernel[], wanted: string): DebianKernel {
  const chosen = kernels.find(({ version }) => wanted === 'newest' || hasPrefix(version, wanted));
  if (chosen !== undefined) return chosen;
  const served = kernels.map(({ version, suites }) => `  ${version} (${suites.join(', ')})`);
  throw new IntegrityError(
    'ERR_NO_KERNEL',
    `Debian's mirror serves no kernel ${wanted}; it serves\n${served.join('\n')}`,
    {
      advice: 'Give a prefix of one of these versions, such as 6.12, or newest.',
    },
  );
}

/** What the mirror served when it was last asked. */
interface Served {
  readonly readAt: number;
  readonly kernels: readonly DebianKernel[];
}

/** How long the mirror's answer is good for. */
const SERVED_FOR_MS = 24 * 60 * 60 * 1000;

export interface DebianRequest {
  /** `newest` or a version prefix. */
  readonly wanted: string;
  /** Whether anything may be downloaded. */
  readonly install: boolean;
  readonly cache: string;
  readonly signal: AbortSignal | undefined;
  /** Told what takes time. */
  readonly note: (message: string) => void;
}

export interface UnpackedKernel {
  readonly version: string;
  /** Holds `vmlinuz` and `lib/modules/RELEASE`. */
  readonly folder: string;
}

/**
 * A kernel of Debian's. What was resolved and unpacked before is used as it is, without the network; with `install` the mirror is
 * asked again when its last answer is over a day old, or does not lead to a kernel (any more).
 */
export async function debianKernel(request: DebianRequest): Promise<UnpackedKernel> {
  const { wanted, install, cache, signal, note } = request;
  const folder = join(cache, 'debian');
  const index = join(folder, 'served.json');
  await requirePrivate(cache, 'debian');
  const archive = new DebianArchive(cache, signal);
  const packedSize = ({ bytes }: DebianKernel): string => `${Math.ceil(bytes / 1e6)} MB`;

  const lastAnswer = async (): Promise<Served | undefined> => {
    const text = await readFile(index, 'utf8').catch(() => undefined);
    return text === undefined ? undefined : (JSON.parse(text) as Served);
  };
  const ask = async (): Promise<Served> => {
    signal?.throwIfAborted();
    note("reading the package lists of Debian's suites");
    const served: Served = { readAt: Date.now(), kernels: await archive.kernels() };
    await replaceFile(index, JSON.stringify(served));
    return served;
  };
  const unpacked = ({ version }: DebianKernel): UnpackedKernel => ({
    version,
    folder: join(folder, version),
  });
  const isHere = async (kernel: DebianKernel): Promise<boolean> => {
    await requirePrivate(cache, 'debian', kernel.version);
    return await exists(unpacked(kernel).folder);
  };
  const fetched = async (served: Served): Promise<UnpackedKernel> => {
    const kernel = chooseKernel(served.kernels, wanted);
    if (!(await isHere(kernel))) {
      note(`downloading Debian's kernel ${kernel.version}, ${packedSize(kernel)}`);
      await buildFolder(unpacked(kernel).folder, (partial) => archive.unpack(kernel, partial));
    }
    return unpacked(kernel);
  };

  if (install) {
    return await withLock(cache, signal, async () => {
      const known = await lastAnswer();
      if (known === undefined || Date.now() - known.readAt > SERVED_FOR_MS) return await fetched(await ask());
      return await fetched(known).catch(async () => await fetched(await ask()));
    });
  }
  const known = await lastAnswer();
  if (known === undefined) {
    throw new IntegrityError('ERR_NO_KERNEL', `no kernel of Debian's is here yet (wanted: ${wanted})`, {
      advice: `--install reads the package lists of Debian's suites (40 MB) and downloads linux-image-amd64 with what it depends on (50 to 130 MB), to be unpacked below ${folder}; nothing of it is installed. --kernel host boots this host's own.`,
    });
  }
  const kernel = chooseKernel(known.kernels, wanted);
  if (await isHere(kernel)) return unpacked(kernel);
  throw new IntegrityError('ERR_NO_KERNEL', `Debian's kernel ${kernel.version} is not here yet`, {
    advice: `--install downloads ${kernel.packages.map(({ name }) => name).join(', ')} (${packedSize(kernel)}), to be unpacked below ${folder}; nothing of it is installed.`,
  });
}
