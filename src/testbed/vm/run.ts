/** Runs one command in a VM: a real kernel, the host's files, nothing of the host's disks. */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { IntegrityError } from '../../errors.js';
import { rememberThatKvmFails, usableAccelerators } from './accelerator.js';
import { cacheFolder } from './cache.js';
import { booted, type Guest, readConsole, startGuest } from './guest.js';
import type { GuestJob } from './guest-init.js';
import { initramfs } from './initramfs.js';
import { findKernel } from './kernel-source.js';
import {
  keptNamespaceFile,
  makeNamespaceFile,
  type NamespaceFile,
  type NvmeNamespace,
  requireNamespaces,
} from './nvme.js';
import { passOn } from './output.js';
import { PROGRAM_FOLDERS, run } from './process.js';
import { type Accelerator, QEMU } from './qemu.js';
import { ensureTools } from './tools.js';

export interface VmOptions {
  /** The command and its arguments, run as they are: no shell reads them. */
  readonly command: readonly string[];
  /** `newest` (default) or a version prefix such as `6.1`: Debian's kernels; `host`: the host's own; else the path of an image. */
  readonly kernel?: string | undefined;
  /** Modules of an image of one's own: lib/modules/RELEASE, or the folder that `make modules_install` filled. */
  readonly modules?: string | undefined;
  /** Whether missing tools may be installed (as root, by apt) and kernels downloaded. Default false. */
  readonly install?: boolean | undefined;
  /** Working folder, the same in the guest as on the host. Default: ours. */
  readonly cwd?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Where the command's outputs go as they come; they are not ended. Default: nowhere. */
  readonly stdout?: NodeJS.WritableStream | undefined;
  readonly stderr?: NodeJS.WritableStream | undefined;
  /** Told, a line at a time, what takes long, and which kernel and accelerator run. */
  readonly note?: ((message: string) => void) | undefined;
  /** From the start of the boot to the end of the command, in milliseconds. Default 10 minutes. */
  readonly timeoutMs?: number | undefined;
  /** Default 2048. */
  readonly memoryMiB?: number | undefined;
  /** Namespaces of one NVMe controller; the guest finds them once it has loaded its nvme module. Default: none, and no controller. */
  readonly nvme?: readonly NvmeNamespace[] | undefined;
}

export interface VmResult {
  /** The command's, 128+n when signal n ended it. */
  readonly exitStatus: number;
  /** Of the kernel that ran, by its own word. */
  readonly release: string;
  readonly accelerator: Accelerator;
  /** From the start of QEMU to the guest's root being ready. */
  readonly bootMs: number;
}

/** How long the guest may take to get to its root. KVM that works takes a second or two, TCG on a busy host half a minute. */
const BOOT_LIMIT_MS: Record<Accelerator, number> = { KVM: 15_000, TCG: 120_000 };

const GUEST_ENVIRONMENT = {
  PATH: PROGRAM_FOLDERS.join(':'),
  HOME: homedir(),
  LANG: 'C.UTF-8',
  BLK_INTEGRITY_GUEST: '1',
};

/** The files of one run; they go with it, but for a console log that someone has been pointed to. */
async function runFolder() {
  const path = await mkdtemp(join(resolve(tmpdir()), 'blk-integrity-vm-'));
  const initramfsFile = join(path, 'initramfs');
  const consoleLog = join(path, 'console.log');
  const files = [initramfsFile];
  let keepsLog = false;
  // A process.exit() on the way leaves no time for anything else.
  const removeNow = (): void => rmSync(path, { recursive: true, force: true });
  process.once('exit', removeNow);
  return {
    initramfsFile,
    consoleLog,
    async namespaceFiles(namespaces: readonly NvmeNamespace[]): Promise<NamespaceFile[]> {
      return await Promise.all(
        namespaces.map(async (namespace, index) => {
          if (namespace.file !== undefined) {
            const kept = resolve(namespace.file);
            await keptNamespaceFile(kept, namespace);
            return { namespace, path: kept };
          }
          const file = join(path, `namespace-${index + 1}`);
          await makeNamespaceFile(file, namespace);
          files.push(file);
          return { namespace, path: file };
        }),
      );
    },
    /** What failed, with the end of the guest's console. */
    async failure(code: 'ERR_GUEST' | 'ERR_TIMEOUT', what: string): Promise<IntegrityError> {
      keepsLog = true;
      const { panic, tail } = await readConsole(consoleLog);
      const lines = [what, ...panic, ...tail.map((line) => `  ${line}`)];
      return new IntegrityError(code, lines.join('\n'), {
        advice: `The whole console of the guest is in ${consoleLog}.`,
      });
    },
    async [Symbol.asyncDispose](): Promise<void> {
      process.off('exit', removeNow);
      const gone = keepsLog ? files : [path];
      await Promise.all(gone.map((file) => rm(file, { recursive: true, force: true })));
    },
  };
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  const promise = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  // It may come when nobody waits any more.
  promise.catch(() => {});
  return promise;
}

/** Passes the outputs on while the command runs. Its exit status, or undefined when the guest ended before the command did. */
async function relay(
  guest: Guest,
  trailer: Buffer,
  { stdout, stderr }: Pick<VmOptions, 'stdout' | 'stderr'>,
): Promise<number | undefined> {
  const whole = await Promise.all([
    passOn(guest.stdout, trailer, stdout),
    passOn(guest.stderr, trailer, stderr),
  ]);
  if (whole.includes(false)) return undefined;
  return await Promise.race([guest.exitStatus, guest.ended.then(() => undefined)]);
}

async function qemuVersion(): Promise<string> {
  return /version (\d+\.\d+)/.exec(await run([QEMU, '--version']))?.[1] ?? '';
}

/**
 * Boots the kernel and runs the command as root in a guest that sees the host's files as they are and can change none but those that hold
 * its NVMe namespaces: what else it writes lies in its own memory. The guest has no network and none of the host's devices. Linux on x86-64 only.
 *
 * Errors: ERR_MISSING_TOOL and ERR_NO_KERNEL (with what to do), ERR_USAGE, ERR_OUT_OF_RANGE, ERR_PERMISSION, ERR_TESTBED, ERR_GUEST (the guest did not boot, or
 * ended before the command; with the end of its console), ERR_TIMEOUT. An abort rejects with the signal's reason. In every case
 * QEMU has ended.
 */
export async function runInVm(options: VmOptions): Promise<VmResult> {
  const {
    command,
    kernel: wanted = 'newest',
    modules,
    install = false,
    cwd = process.cwd(),
    signal,
  } = options;
  const { note = () => {}, timeoutMs = 600_000, memoryMiB = 2048, nvme = [] } = options;
  if (command.length === 0 || command.some((word) => word.includes('\0'))) {
    throw new IntegrityError('ERR_USAGE', 'command: one word or more, none with a NUL in it');
  }
  requireNamespaces(nvme);
  if (process.arch !== 'x64') {
    throw new IntegrityError(
      'ERR_TESTBED',
      `the VM is an x86-64 machine, and the programs of this host are for ${process.arch}`,
    );
  }
  signal?.throwIfAborted();
  const cache = cacheFolder(process.env);
  const busybox = await ensureTools(install, signal, note);
  const kernel = await findKernel({ kernel: wanted, modules, install, cache, signal, note });
  const trailer = `\x01${randomBytes(16).toString('hex')}`;
  const job: GuestJob = {
    argv: command,
    cwd: resolve(cwd),
    environment: GUEST_ENVIRONMENT,
    modulesFolder: kernel.modulesFolder,
    modulesRoot: join(await realpath('/lib').catch(() => '/lib'), 'modules'),
    trailer,
  };
  await using folder = await runFolder();
  await writeFile(folder.initramfsFile, await initramfs(job, busybox));
  const namespaces = await folder.namespaceFiles(nvme);

  const deadline = AbortSignal.timeout(timeoutMs);
  const stopped = rejectOnAbort(signal === undefined ? deadline : AbortSignal.any([signal, deadline]));
  const accelerators = await usableAccelerators(cache);
  let failure = '';
  try {
    // Once more with the last: it may have stopped before the kernel began.
    for (const [attempt, accelerator] of [...accelerators, ...accelerators.slice(-1)].entries()) {
      const started = performance.now();
      await using guest = startGuest({
        accelerator,
        image: kernel.image,
        initramfs: folder.initramfsFile,
        consoleLog: folder.consoleLog,
        memoryMiB,
        cpus: 2,
        nvme: namespaces,
      });
      const boot = await Promise.race([
        booted(guest, folder.consoleLog, BOOT_LIMIT_MS[accelerator]),
        stopped,
      ]);
      if ('failure' in boot) {
        failure = `the guest with ${accelerator} ${boot.failure}`.trim();
        if (accelerator === 'KVM') note('no guest boots with KVM here: going on with TCG');
        else if (!boot.silent) break;
        else if (attempt < accelerators.length) note(`${failure}: starting it again`);
        continue;
      }
      const bootMs = performance.now() - started;
      if (accelerator !== accelerators[0]) await rememberThatKvmFails(cache);
      note(`kernel ${boot.release} (${kernel.origin}), QEMU ${await qemuVersion()} with ${accelerator}`);
      const exitStatus = await Promise.race([relay(guest, Buffer.from(trailer), options), stopped]);
      if (exitStatus === undefined) {
        throw await folder.failure('ERR_GUEST', 'the guest ended before the command did');
      }
      return { exitStatus, release: boot.release, accelerator, bootMs };
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (error !== deadline.reason) throw error;
    throw await folder.failure(
      'ERR_TIMEOUT',
      `ended after ${timeoutMs / 1000} s in the VM: ${command.join(' ')}`,
    );
  }
  throw await folder.failure('ERR_GUEST', failure);
}
