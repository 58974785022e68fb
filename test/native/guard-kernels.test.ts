import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { native } from '../../src/binding.js';
import { guardKernels } from '../../src/pi/guard-kernels.js';
import { installTools } from '../support/install-tools.js';
import { crc16Vectors, ipVectors, patternBytes } from '../vectors/vectors.js';

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

// Emulators, of which one is of another architecture, on a machine that guests keep busy.
t.setTimeout(600_000);

const { kernels, inUse } = guardKernels();
const here = kernels.filter(({ runsHere }) => runsHere).map(({ name }) => name);

t.test('the fastest that runs here is used', async (t) => {
  t.equal(kernels[0]!.name, 'portable');
  t.ok(kernels[0]!.runsHere);
  t.equal(inUse, here.at(-1));
});

t.test('every kernel computes the vectors of ISA-L, SPDK and the kernel', async (t) => {
  const { crc16T10Dif, crc64Nvme, ipChecksum, useGuardKernel } = native();
  t.teardown(() => useGuardKernel(inUse));
  for (const name of here) {
    t.ok(useGuardKernel(name));
    t.equal(guardKernels().inUse, name);
    const wrong = [
      ...crc16Vectors.vectors.flatMap(([pattern, length, ...crcs]) =>
        crcs.filter((crc, i) => {
          const seed = Number(crc16Vectors.seeds[i]);
          return crc16T10Dif(seed, patternBytes(pattern, length)) !== Number.parseInt(crc, 16);
        }),
      ),
      ...ipVectors.vectors.filter(
        ({ pattern, length, beValue }) => ipChecksum(patternBytes(pattern, length)) !== Number(beValue),
      ),
    ];
    t.same(wrong, [], name);
    t.equal(crc64Nvme(0n, patternBytes('inc', 4096)), 0x3e729f5f6750449cn, name);
  }
  t.notOk(useGuardKernel('none'));
  t.equal(guardKernels().inUse, here.at(-1), 'one that is none changes nothing');
});

t.test('the environment names another', async (t) => {
  const main = path('lib/cli/main.js');
  const generate = (kernel: string) =>
    spawnSync(process.execPath, [main, 'generate'], {
      input: new Uint8Array(512).fill(0x33),
      env: { ...process.env, BLK_INTEGRITY_GUARD_KERNEL: kernel },
    });
  for (const name of here) {
    const { status, stdout } = generate(name);
    t.equal(status, 0, name);
    t.equal(stdout.toString('hex'), 'b218000000000000', name);
  }
  for (const name of ['none', '']) {
    const { status, stderr } = generate(name);
    t.equal(status, 2, `"${name}"`);
    t.match(
      stderr.toString(),
      `BLK_INTEGRITY_GUARD_KERNEL=${name}: no guard kernel of that name runs on this CPU`,
    );
    t.match(stderr.toString(), here.join(', '), 'those that do are named');
  }
});

/** Runs the test program of the kernels under an emulator: an instruction that the CPU does not have ends it. */
function underEmulator(
  t: Test,
  command: string,
  args: readonly string[],
  alignments: number,
  expected: readonly string[],
): void {
  const CASES = '500';
  const SEED = '1';
  const { status, signal, stdout } = spawnSync(command, [...args, CASES, SEED, String(alignments)], {
    encoding: 'utf8',
  });
  t.equal(signal, null);
  t.equal(status, 0, stdout);
  const ran = [...stdout.matchAll(/^ok \d+ - (\S+): (?!.*# SKIP)/gm)].map(([, name]) => name!);
  t.same([...new Set(ran)], expected);
  t.match(stdout, `in use: ${expected.at(-1)}`);
}

t.test('a CPU is given no instruction that it does not have', { skip: process.arch !== 'x64' }, async (t) => {
  const emulator = '/usr/bin/qemu-x86_64';
  installTools({ [emulator]: 'qemu-user' });
  const program = path('build/Release/guard_kernels_test');
  for (const [cpu, expected] of [
    ['Nehalem', ['portable']],
    ['Westmere', ['portable', 'pclmul']],
    ['Haswell', ['portable', 'pclmul', 'avx2']],
  ] as const) {
    t.test(cpu, async (t) => underEmulator(t, emulator, ['-cpu', cpu, program], 1, expected));
  }
});

t.test('ARM64, cross-compiled', async (t) => {
  const compiler = '/usr/bin/aarch64-linux-gnu-g++';
  const emulator = '/usr/bin/qemu-aarch64';
  installTools({ [compiler]: 'g++-aarch64-linux-gnu', [emulator]: 'qemu-user' });
  const folder = mkdtempSync(join(tmpdir(), 'blk-integrity-arm64-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const program = join(folder, 'guard_kernels_test');
  const ofKernels = readdirSync(path('native/core/guard_kernels')).filter((name) => name.endsWith('.cc'));
  const sources = [
    ...ofKernels.map((name) => `native/core/guard_kernels/${name}`),
    ...['copy_intervals', 'crc16_t10dif', 'crc64_nvme', 'guard_kernels', 'ip_checksum'].map(
      (name) => `native/core/${name}.cc`,
    ),
    'native/test/guard_kernels_test.cc',
  ];
  const flags = ['-std=c++20', '-O2', '-static', '-Wall', '-Wextra', '-Werror', '-I', path('native')];
  const { status, stderr } = spawnSync(compiler, [...flags, ...sources.map(path), '-o', program], {
    encoding: 'utf8',
  });
  t.equal(status, 0, stderr);
  underEmulator(t, emulator, [program], 4, ['portable', 'pmull']);
});
