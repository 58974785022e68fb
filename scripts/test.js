/**
 * The whole test command: what is compiled is compiled, types and style are checked, then every test runs, those inside real
 * kernels included. Prints a line a test file and what failed; the whole TAP is in .tap/all.tap. The last line is
 * `N passed, N failed, N skipped`.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Each a program of ours or of node_modules, run by this very node. */
const STEPS = [
  ['scripts/prepare.js'],
  ['scripts/prepare.js', 'native-tests'],
  ['node_modules/typescript/bin/tsc', '-p', '.'],
  ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.kernel.json'],
  ['node_modules/@biomejs/biome/bin/biome', 'ci', '--colors=off', '.'],
];

for (const args of STEPS) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) {
    console.error(`${args.join(' ')} failed`);
    process.exit(status ?? 1);
  }
}

mkdirSync(`${root}/.tap`, { recursive: true });
const whole = createWriteStream(`${root}/.tap/all.tap`);
const tap = spawn(
  process.execPath,
  ['node_modules/tap/dist/esm/run.mjs', '--reporter=tap', ...process.argv.slice(2)],
  {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  },
);
const exited = once(tap, 'exit');

/** What a test remarks, but not what tap itself does. */
const REMARK = /^ +# (?!Subtest|time=|\{)/;

/** Lines of a point's details are indented deeper than the point. */
let failing = Number.POSITIVE_INFINITY;
let totals = '';
for await (const line of createInterface({ input: tap.stdout })) {
  whole.write(`${line}\n`);
  const depth = line.length - line.trimStart().length;
  if (depth <= failing) failing = /^\s*not ok/.test(line) ? depth : Number.POSITIVE_INFINITY;
  if (depth >= failing || /^ok/.test(line) || REMARK.test(line)) console.log(line);
  if (line.startsWith('# { total:')) totals = line;
}
whole.end();
const [status] = await exited;

const count = (name) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(totals)?.[1] ?? 0);
const failed = count('fail');
const passed = count('pass');
console.log(`${passed} passed, ${failed} failed, ${count('skip') + count('todo')} skipped`);
process.exit(status !== 0 || failed > 0 || passed === 0 ? status || 1 : 0);
