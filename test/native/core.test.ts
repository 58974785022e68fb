/**
 * The C++ programs about native/core, which print TAP themselves; `node scripts/prepare.js native-tests` builds them.
 *
 * NATIVE_FUZZ_CASES: how much the fuzz program and that of the guard kernels try; NATIVE_FUZZ_SEED: the seed that a failure printed.
 */
import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const CASES = process.env['NATIVE_FUZZ_CASES'] ?? '10000';
const SEED = process.env['NATIVE_FUZZ_SEED'] ?? String(randomInt(2 ** 32));

const program = (name: string) => fileURLToPath(new URL(`../../build/Release/${name}`, import.meta.url));

t.setTimeout(600_000 + 5 * Number(CASES));
await t.spawn(program('core_test'), [], 'native/core');
await t.spawn(program('core_test_sanitized'), [], 'native/core under AddressSanitizer and UBSan');
await t.spawn(program('guard_kernels_test'), [CASES, SEED], 'guard kernels');
await t.spawn(
  program('guard_kernels_test_sanitized'),
  [CASES, SEED],
  'guard kernels under AddressSanitizer and UBSan',
);
await t.spawn(program('core_fuzz'), [CASES, SEED], 'native/core, with anything in its input');
