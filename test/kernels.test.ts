/**
 * The tests of test/kernel, compiled, inside Debian's kernels: one boot each. A kernel that cannot be had or booted is a failure.
 *
 * RANDOM_IO_CASES: what is long alone, with so many cases of random I/O a kernel. RANDOM_IO_SEED: the seed that a failure printed.
 * EMULATED_DISK_ISCSI, EMULATED_DISK_LOAD_S, CRASHES and PASSTHROUGH_COMMANDS reach the guest: see test/kernel/iscsi-tests.ts, load.ts,
 * owned.ts and passthrough.ts.
 */
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { NVME_OPTIONS } from './kernel/targets/nvme-namespaces.js';
import { installTools } from './support/install-tools.js';

const root = fileURLToPath(new URL('..', import.meta.url));

const {
  RANDOM_IO_CASES,
  RANDOM_IO_SEED,
  EMULATED_DISK_ISCSI,
  EMULATED_DISK_LOAD_S,
  CRASHES,
  PASSTHROUGH_COMMANDS,
} = process.env;
const long = RANDOM_IO_CASES !== undefined;

const RANDOM_IO = [
  'random-io',
  ...(long ? ['--cases', RANDOM_IO_CASES] : []),
  ...(RANDOM_IO_SEED === undefined ? [] : ['--seed', RANDOM_IO_SEED]),
];

/** On the oldest, the newest and two between: what the verbs do is told by two of them. */
const SUITES: Readonly<Record<string, readonly string[]>> = {
  '5.10': ['lio-fileio', 'tcmu', 'altering', 'safeguard', 'passthrough', 'bad-input', 'nvme'],
  '6.1': ['scsi-debug', 'injection', 'lio-fileio', 'verbs', 'emulated-disk', 'nvme'],
  '6.12': ['owned', 'passthrough', 'verbs', 'scrub', 'emulated-disk-long', 'nvme'],
  newest: ['scsi-debug', 'injection', 'lio-fileio', 'scrub', 'emulated-disk', 'nvme', 'ublk'],
};
const LONG_SUITES: Readonly<Record<string, readonly string[]>> = {
  '5.10': [],
  '6.1': ['emulated-disk-long'],
  '6.12': ['owned', 'passthrough'],
  newest: ['emulated-disk-long'],
};
const KERNELS = Object.keys(SUITES);

const GUEST_ENVIRONMENT = Object.entries({
  EMULATED_DISK_ISCSI,
  EMULATED_DISK_LOAD_S,
  CRASHES,
  PASSTHROUGH_COMMANDS,
}).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));

/**
 * Of one kernel, its download and a host that is busy with other tests included; alone it takes two to five minutes, and where others
 * keep the machine busy fifteen were not enough. The guest itself is ended earlier.
 */
const LIMIT_MS = long ? 3_600_000 : 2_700_000;
const GUEST_S = long ? 3_400 : 2_400;

/** Tools of others that the guest runs, as it runs all of the host's programs, and the Debian packages that they come in. */
const TOOLS: Readonly<Record<string, string>> = {
  '/usr/sbin/dmsetup': 'dmsetup',
  '/usr/bin/sg_write_x': 'sg3-utils',
  '/usr/bin/iscsi-test-cu': 'libiscsi-bin',
  '/usr/bin/ddpt': 'ddpt',
  '/usr/bin/fio': 'fio',
  '/usr/sbin/mkfs.ext4': 'e2fsprogs',
};

t.setTimeout(LIMIT_MS * KERNELS.length);
// A guest has one processor.
t.jobs = 2;
installTools(TOOLS);
for (const kernel of KERNELS) {
  t.spawn(
    process.execPath,
    [
      'lib/cli/main.js',
      ...['testbed', 'vm', '--install', '--kernel', kernel, '--timeout', String(GUEST_S)],
      ...[...NVME_OPTIONS, '--'],
      ...['env', ...GUEST_ENVIRONMENT, process.execPath, 'build/kernel-tests/main.js'],
      ...(long ? LONG_SUITES : SUITES)[kernel]!,
      ...RANDOM_IO,
    ],
    { cwd: root, timeout: LIMIT_MS, buffered: true },
    `kernel ${kernel}`,
  );
}
