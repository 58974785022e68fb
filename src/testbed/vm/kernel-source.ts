/** Which kernel to boot: one of Debian's, the host's own, or one's own build. */
import { access, constants, readdir, realpath } from 'node:fs/promises';
import { release as runningRelease } from 'node:os';
import { join, resolve } from 'node:path';
import { IntegrityError } from '../../errors.js';
import { exists, firstThatExists } from './cache.js';
import { type DebianRequest, debianKernel } from './debian-kernel.js';

export interface BootableKernel {
  readonly image: string;
  /** The folder lib/modules/RELEASE of the kernel; none when everything is built in. */
  readonly modulesFolder: string | undefined;
  /** For people: where it comes from. */
  readonly origin: string;
}

export interface KernelRequest extends Omit<DebianRequest, 'wanted'> {
  /** `newest`, a version prefix of Debian's (`6.1`), `host`, or the path of an image. */
  readonly kernel: string;
  /** Modules of an image of one's own: lib/modules/RELEASE, or a folder that holds exactly one such. */
  readonly modules: string | undefined;
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

async function hostKernel(): Promise<BootableKernel> {
  const release = runningRelease();
  const missing = (what: string, places: readonly string[]): IntegrityError =>
    new IntegrityError(
      'ERR_NO_KERNEL',
      `this host has no ${what} of its kernel ${release}: ${places.join(', ')}`,
      {
        advice:
          "Use --kernel newest or a version prefix (Debian's kernels), or --kernel IMAGE --modules DIR.",
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
  if (isDebian) {
    const { version, folder } = await debianKernel({ ...request, wanted: kernel });
    return {
      image: join(folder, 'vmlinuz'),
      modulesFolder: await releaseFolder(folder),
      origin: `Debian ${version}`,
    };
  }
  return kernel === 'host' ? await hostKernel() : await ownKernel(kernel, modules);
}
