/** Which kernel to boot: one of Debian's, the host's own, or one's own build. */
import { access, constants, readdir, readFile, realpath, rename, writeFile } from 'node:fs/promises';
import { release as runningRelease } from 'node:os';
import { join, resolve } from 'node:path';
import { IntegrityError } from '../../errors.js';
import { buildFolder, exists, withLock } from './cache.js';
import { DebianArchive, type DebianKernel } from './debian-archive.js';

export interface BootableKernel {
  readonly image: string;
  /** The folder lib/modules/RELEASE of the kernel; none when everything is built in. */
  readonly modulesFolder: string | undefined;
  /** For people: where it comes from. */
  readonly origin: string;
}

export interface KernelRequest {
  /** `newest`, a version prefix of Debian's (`6.1`), `host`, or the path of an image. */
  readonly kernel: string;
  /** Modules of an image of one's own: lib/modules/RELEASE, or a folder that holds exactly one such. */
  readonly modules: string | undefined;
  /** Whether anything may be downloaded. */
  readonly install: boolean;
  readonly cache: string;
  readonly signal: AbortSignal | undefined;
  /** Told what takes time. */
  readonly note: (message: string) => void;
}

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
    `Debian’s mirror serves no kernel ${wanted}; it serves\n${served.join('\n')}`,
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

/**
 * A kernel of Debian's. What was resolved and unpacked before is used as it is, without the network; with `install` the mirror is
 * asked again when its last answer is over a day old, or does not lead to a kernel (any more).
 */
async function debianKernel({
  kernel: wanted,
  install,
  cache,
  signal,
  note,
}: KernelRequest): Promise<BootableKernel> {
  const folder = join(cache, 'debian');
  const index = join(folder, 'served.json');
  const archive = new DebianArchive(join(folder, 'apt'), signal);
  const folderOf = ({ version }: DebianKernel): string => join(folder, version);
  const packedSize = ({ bytes }: DebianKernel): string => `${Math.ceil(bytes / 1e6)} MB`;

  const lastAnswer = async (): Promise<Served | undefined> => {
    const text = await readFile(index, 'utf8').catch(() => undefined);
    return text === undefined ? undefined : (JSON.parse(text) as Served);
  };
  const ask = async (): Promise<Served> => {
    note('reading the package lists of Debian’s suites');
    const served: Served = { readAt: Date.now(), kernels: await archive.kernels() };
    await writeFile(`${index}.partial`, JSON.stringify(served));
    await rename(`${index}.partial`, index);
    return served;
  };
  const unpacked = async (kernel: DebianKernel): Promise<BootableKernel> => ({
    image: join(folderOf(kernel), 'vmlinuz'),
    modulesFolder: await releaseFolder(folderOf(kernel)),
    origin: `Debian ${kernel.version}`,
  });
  const fetched = async (served: Served): Promise<BootableKernel> => {
    const kernel = chooseKernel(served.kernels, wanted);
    if (!(await exists(folderOf(kernel)))) {
      note(`downloading Debian’s kernel ${kernel.version}, ${packedSize(kernel)}`);
      await buildFolder(folderOf(kernel), (partial) => archive.unpack(kernel, partial));
    }
    return await unpacked(kernel);
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
    throw new IntegrityError('ERR_NO_KERNEL', `no kernel of Debian’s is here yet (wanted: ${wanted})`, {
      advice: `--install reads the package lists of Debian’s suites (40 MB) and downloads linux-image-amd64 with what it depends on (50 to 130 MB), to be unpacked below ${folder}; nothing of it is installed. --kernel host boots this host’s own.`,
    });
  }
  const kernel = chooseKernel(known.kernels, wanted);
  if (await exists(folderOf(kernel))) return await unpacked(kernel);
  throw new IntegrityError('ERR_NO_KERNEL', `Debian’s kernel ${kernel.version} is not here yet`, {
    advice: `--install downloads ${kernel.packages.map(({ name }) => name).join(', ')} (${packedSize(kernel)}), to be unpacked below ${folder}; nothing of it is installed.`,
  });
}

/** lib/modules/RELEASE in what `make modules_install INSTALL_MOD_PATH=` filled, or `folder` itself if it is such a folder. */
async function releaseFolder(folder: string): Promise<string> {
  const hasIndex = (candidate: string): Promise<boolean> => exists(join(candidate, 'modules.dep'));
  if (await hasIndex(folder)) return await realpath(folder);
  const parent = join(folder, 'lib/modules');
  const releases = await readdir(parent).catch(() => []);
  const found: string[] = [];
  for (const release of releases) if (await hasIndex(join(parent, release))) found.push(release);
  if (found.length === 1) return await realpath(join(parent, found[0]!));
  throw new IntegrityError(
    'ERR_NO_KERNEL',
    found.length === 0
      ? `${folder} holds no modules: neither modules.dep nor lib/modules/RELEASE/modules.dep is there`
      : `${folder} holds modules of several kernels: ${found.join(', ')}`,
    {
      advice: 'Give what `make modules_install INSTALL_MOD_PATH=DIR` filled, or its lib/modules/RELEASE.',
    },
  );
}

async function readableImage(image: string): Promise<string> {
  await access(image, constants.R_OK).catch((cause: NodeJS.ErrnoException) => {
    throw new IntegrityError(
      cause.code === 'EACCES' ? 'ERR_PERMISSION' : 'ERR_NO_KERNEL',
      `kernel image ${image}: ${cause.message}`,
      { cause, advice: 'Give the path of a bzImage, a version prefix such as 6.12, newest, or host.' },
    );
  });
  return await realpath(image);
}

/** Where distributions keep the image of the kernel that runs. */
const hostImages = (release: string): string[] => [
  `/boot/vmlinuz-${release}`,
  `/lib/modules/${release}/vmlinuz`,
  `/boot/kernel-${release}`,
  '/run/booted-system/kernel',
];
const hostModules = (release: string): string[] => [
  `/lib/modules/${release}`,
  `/run/booted-system/kernel-modules/lib/modules/${release}`,
];

async function firstThatExists(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if (await exists(path)) return path;
  return undefined;
}

async function hostKernel(): Promise<BootableKernel> {
  const release = runningRelease();
  const missing = (what: string, places: readonly string[]): IntegrityError =>
    new IntegrityError(
      'ERR_NO_KERNEL',
      `this host has no ${what} of its kernel ${release}: ${places.join(', ')}`,
      {
        advice:
          'Use --kernel newest or a version prefix (Debian’s kernels), or --kernel IMAGE --modules DIR.',
      },
    );
  const image = await firstThatExists(hostImages(release));
  if (image === undefined) throw missing('image', hostImages(release));
  const modules = await firstThatExists(hostModules(release));
  if (modules === undefined) throw missing('modules', hostModules(release));
  return {
    image: await readableImage(image),
    modulesFolder: await releaseFolder(modules),
    origin: 'of this host',
  };
}

async function ownKernel(image: string, modules: string | undefined): Promise<BootableKernel> {
  return {
    image: await readableImage(resolve(image)),
    modulesFolder: modules === undefined ? undefined : await releaseFolder(resolve(modules)),
    origin: image,
  };
}

/** Finds the kernel, or fetches it when allowed. Throws ERR_NO_KERNEL with what there is and what to do. */
export async function findKernel(request: KernelRequest): Promise<BootableKernel> {
  const { kernel, modules } = request;
  const isDebian = kernel === 'newest' || /^\d[^/]*$/.test(kernel);
  if (modules !== undefined && (isDebian || kernel === 'host')) {
    throw new IntegrityError(
      'ERR_USAGE',
      `--modules goes with an image of your own, not with --kernel ${kernel}`,
    );
  }
  if (isDebian) return await debianKernel(request);
  return kernel === 'host' ? await hostKernel() : await ownKernel(kernel, modules);
}
