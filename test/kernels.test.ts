/**
 * The tests of test/kernel, compiled, inside Debian's kernels: one boot each. A kernel that cannot be had or booted is a failure.
 */
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = fileURLToPath(new URL('..', import.meta.url));
const KERNELS = ['6.1', 'newest'];

/** Of one kernel, all in all; the guest itself is ended a minute earlier. */
const LIMIT_MS = 360_000;

t.setTimeout(LIMIT_MS * KERNELS.length);
for (const kernel of KERNELS) {
  t.spawn(
    process.execPath,
    [
      'lib/cli/main.js',
      ...['testbed', 'vm', '--install', '--kernel', kernel, '--timeout', String(LIMIT_MS / 1000 - 60), '--'],
      ...[process.execPath, 'build/kernel-tests/main.js'],
    ],
    { cwd: root, timeout: LIMIT_MS },
    `kernel ${kernel}`,
  );
}
