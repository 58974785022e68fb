/** Which accelerators are worth a try on this host. */
import { access, constants, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { privateFolder, replaceFile } from './cache.js';
import type { Accelerator } from './qemu.js';

/** Nested KVM may open and then hang at the guest's first instructions, for as long as the host runs: remembered by its boot. */
const noteFile = (cache: string): string => join(cache, 'kvm-failed-in-boot');
const bootId = (): Promise<string> => readFile('/proc/sys/kernel/random/boot_id', 'utf8');

/** In the order to try them. */
export async function usableAccelerators(cache: string): Promise<Accelerator[]> {
  const opens = await access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  const failedIn = await readFile(noteFile(cache), 'utf8').catch(() => undefined);
  return opens && failedIn !== (await bootId()) ? ['KVM', 'TCG'] : ['TCG'];
}

/** Where that cannot be written, the next run waits for KVM again. */
export async function rememberThatKvmFails(cache: string): Promise<void> {
  const written = privateFolder(cache).then(async () => replaceFile(noteFile(cache), await bootId()));
  await written.catch(() => {});
}
