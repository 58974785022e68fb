// The prepare step of `npm ci` in a clone, and what builds after a change:
//   node scripts/prepare.js               the native addon, then lib/
//   node scripts/prepare.js native        the native addon alone
//   node scripts/prepare.js native-tests  the native addon, its C++ test program, the disk of the kernel tests and
//                                         the SG_IO relay
//   node scripts/prepare.js bench         the native addon, lib/, and what the bench measures without JavaScript
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const packageRoot = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);

const ADDON = {
  name: 'native addon',
  product: 'build/Release/blk_integrity.node',
  sources: ['native/core', 'native/addon'],
};
/** What the tests are built of beside the addon. */
const NATIVE_TESTS = [
  ['C++ test program', 'core_test'],
  ['C++ test program under sanitizers', 'core_test_sanitized'],
  ['C++ test program of the guard kernels', 'guard_kernels_test'],
  ['C++ test program of the guard kernels under sanitizers', 'guard_kernels_test_sanitized'],
  ['C++ fuzz program', 'core_fuzz'],
  ['ublk disk', 'ublk_disk'],
  ['SG_IO relay', 'sg_io_relay.node', ['native/test']],
].map(([name, file, sources = ['native/core', 'native/test']]) => ({
  name,
  product: `build/Release/${file}`,
  sources,
}));

const BENCH = {
  name: 'candidates of the bench',
  product: 'build/Release/performance_candidates.node',
  sources: ['native/core', 'bench'],
};

const MODES = {
  all: () => {
    buildNative([ADDON]);
    buildLib();
  },
  native: () => buildNative([ADDON]),
  bench: () => {
    buildNative([ADDON, BENCH], '--', '-Dbench=1');
    buildLib();
  },
  'native-tests': () => buildNative([ADDON, ...NATIVE_TESTS], '--', '-Dnative_tests=1'),
};

class PrepareError extends Error {}

function say(line) {
  process.stdout.write(`prepare: ${line}\n`);
}

function run(command, args, env = process.env) {
  const { error, status, signal } = spawnSync(command, args, { cwd: packageRoot, stdio: 'inherit', env });
  if (error) throw new PrepareError(`${command} could not be started: ${error.message}`);
  if (status !== 0)
    throw new PrepareError(`${command} ${args.join(' ')} failed (${signal ?? `exit status ${status}`})`);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function isInstalled(tool) {
  const folders = tool.includes('/') ? [''] : (process.env.PATH ?? '').split(delimiter);
  return folders.some((folder) => isExecutable(join(folder, tool)));
}

function missingTools() {
  const compiler = (process.env.CXX || 'g++').split(' ')[0];
  return [compiler, 'make', 'python3'].filter((tool) => !isInstalled(tool));
}

function ensureTools() {
  const missing = missingTools();
  if (missing.length === 0) return;
  const install = ['install', '-y', '--no-install-recommends', 'g++', 'make', 'python3'];
  const advice = `${missing.join(', ')} not found. Install what the native addon is built with:\n  apt-get ${install.join(' ')}`;
  const mayInstall = process.getuid() === 0 && existsSync('/etc/debian_version') && isInstalled('apt-get');
  if (!mayInstall) throw new PrepareError(advice);
  say(`${missing.join(', ')} not found: installing g++, make and python3`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update'], env);
  run('apt-get', install, env);
  if (missingTools().length > 0) throw new PrepareError(advice);
}

/** The argument that points node-gyp at the headers beside the running node, when they are there and its own. */
function headersArgument() {
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  const header = join(prefix, 'include/node/node_version.h');
  if (!existsSync(header)) {
    say(`no Node headers beside ${process.execPath}: node-gyp fetches those of ${process.version}`);
    return [];
  }
  const text = readFileSync(header, 'utf8');
  const version = ['MAJOR', 'MINOR', 'PATCH']
    .map((part) => text.match(`#define NODE_${part}_VERSION (\\d+)`)?.[1])
    .join('.');
  if (version !== process.versions.node) {
    say(`the headers in ${prefix} are of v${version}: node-gyp fetches those of ${process.version}`);
    return [];
  }
  return [`--nodedir=${prefix}`];
}

/** A development dependency's JavaScript entry point, so that no shell is needed to run it. */
function entryPoint(path, otherwise) {
  try {
    return require.resolve(path);
  } catch (cause) {
    if (otherwise) return otherwise;
    throw new PrepareError(`${path} not found: run \`npm ci\` with the development dependencies`, { cause });
  }
}

function newestFile(path) {
  const status = statSync(path);
  const below = status.isDirectory() ? readdirSync(path).map((name) => newestFile(join(path, name))) : [];
  return Math.max(status.mtimeMs, ...below);
}

function isUpToDate({ product, sources }) {
  const path = join(packageRoot, product);
  if (!existsSync(path)) return false;
  const built = statSync(path).mtimeMs;
  return ['binding.gyp', ...sources].every((source) => newestFile(join(packageRoot, source)) < built);
}

function buildNative(targets, ...gypArguments) {
  if (targets.every(isUpToDate)) {
    for (const { name } of targets) say(`${name} is up to date`);
    return;
  }
  ensureTools();
  // An installed package has no node-gyp of its own, but npm brings one.
  const nodeGyp = [
    entryPoint('node-gyp/bin/node-gyp.js', process.env.npm_config_node_gyp),
    '--loglevel=warn',
  ];
  // configure and build, not rebuild: that would empty build/, which others use too.
  run(process.execPath, [...nodeGyp, 'configure', ...headersArgument(), ...gypArguments]);
  run(process.execPath, [...nodeGyp, 'build', '-j', '2']);
  // make leaves a product alone that a touched source did not change; it is up to date from now on all the same.
  const now = new Date();
  for (const { product } of targets) utimesSync(join(packageRoot, product), now, now);
}

function buildLib() {
  run(process.execPath, [entryPoint('typescript/bin/tsc'), '-p', 'tsconfig.build.json']);
  say('lib/ is built');
}

const mode = process.argv[2] ?? 'all';
if (!Object.hasOwn(MODES, mode)) {
  process.stderr.write(`prepare: unknown mode ${mode}; one of ${Object.keys(MODES).join(', ')}\n`);
  process.exit(2);
}
try {
  MODES[mode]();
} catch (error) {
  if (!(error instanceof PrepareError)) throw error;
  process.stderr.write(`prepare: ${error.message}\n`);
  process.exit(1);
}
