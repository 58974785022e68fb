/** Programs of others that tests judge by, from Debian's archive. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';

/**
 * Installs the packages of the programs that are missing, as root.
 *
 * @param tools the path of each program, and the Debian package that it comes in.
 * @throws when they cannot be had: what a test needs is no reason to skip it.
 */
export function installTools(tools: Readonly<Record<string, string>>): void {
  const missing = Object.entries(tools).flatMap(([path, name]) => (existsSync(path) ? [] : [name]));
  if (missing.length === 0) return;
  // Test files run side by side, and two apt-get do not.
  const apt = (...args: string[]) =>
    spawnSync('flock', [`${tmpdir()}/blk-integrity-apt.lock`, 'apt-get', ...args], {
      stdio: ['ignore', 2, 2],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  apt('update');
  const install = ['install', '-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300'];
  const { status } = apt(...install, ...missing);
  if (status !== 0) throw new Error(`needed: as root, apt-get install -y ${missing.join(' ')}`);
}
