/**
 * The power is cut while `prove` and `crosscheck --write` write to disks, at one write point after the other. The machine comes up again,
 * the journal that is left restores, and the disks are byte for byte as they were. Each boot is a guest of its own; its drives are files
 * that outlive it.
 *
 * CRASHES: twice as often as the power is cut, which is 4 times without; the other half are the kills of test/kernel/owned.ts.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import t, { type Test } from 'tap';
import type { IntegrityError } from '../src/errors.js';
import { runInVm } from '../src/testbed/vm/index.js';
import { type Cut, DRIVES, type Found, type Told } from './kernel/power-cut.js';
import { installTools } from './support/install-tools.js';

const CUTS = Number(process.env['CRASHES'] ?? 8) / 2;
const KERNEL = 'newest';

/** Of one boot, on a host that is busy with other tests: alone it takes some twenty seconds. */
const BOOT_MS = 300_000;
/** And once for the kernel's download. */
const DOWNLOAD_MS = 600_000;

installTools({ '/usr/sbin/mkfs.ext4': 'e2fsprogs' });
t.setTimeout(DOWNLOAD_MS + BOOT_MS * (CUTS + 1));

const folder = t.testdir();
const drives = DRIVES.map((drive, i) => ({ ...drive, file: join(folder, `drive-${i + 1}`) }));
// Each guest that is cut leaves the log of its console.
process.env['TMPDIR'] = join(folder, 'consoles');
await mkdir(process.env['TMPDIR']);

/** What the guest told before it ended, and how it ended: with an exit status, or cut off. */
async function boot(run: number): Promise<{ told: Told; cutOff: Error | null }> {
  const stdout = new PassThrough();
  const output = text(stdout);
  const command = [process.execPath, 'build/kernel-tests/power-cut-main.js', String(run), String(CUTS)];
  const cutOff = await runInVm({
    command,
    kernel: KERNEL,
    install: true,
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    nvme: drives,
    timeoutMs: BOOT_MS,
    stdout,
    stderr: process.stderr,
  }).then(
    ({ exitStatus }) =>
      exitStatus === 0 ? null : new Error(`boot ${run} ended with exit status ${exitStatus}`),
    (error: IntegrityError) => {
      if (error.code !== 'ERR_GUEST') throw error;
      return error;
    },
  );
  stdout.end();
  const lines = (await output).split('\n').filter((line) => line !== '');
  return { told: Object.assign({}, ...lines.map((line) => JSON.parse(line))), cutOff };
}

let before: Found['images'] | undefined;
let cut: Cut | undefined;
let [restored, changed] = [0, 0];
const started = performance.now();

for (let run = 0; run <= CUTS && t.passing(); run++) {
  const name = cut
    ? `${cut.verb}, write ${cut.at} of ${cut.points}, ${cut.when}, ${cut.cache}`
    : 'before any';
  await t.test(name, { timeout: 0 }, async (t: Test) => {
    const { told, cutOff } = await boot(run);
    const { found } = told;
    t.match(told, { found: Object, cut: run === CUTS ? undefined : Object }, 'the guest got so far');
    before ??= found?.images;
    t.same(found?.images, before, 'byte for byte as they were');
    t.ok(
      [null, 'exact', 'untouched'].includes(found?.journal ?? null),
      `journal: ${found?.journal ?? 'none'}`,
    );
    if (found?.journal) restored++;
    if (!isDeepStrictEqual(found?.left, before)) changed++;
    cut = told.cut;
    const ended = run === CUTS ? undefined : /^the guest ended before the command did\n/;
    t.match(cutOff?.message, ended, ended ? 'cut off' : 'the last is not');
    t.notMatch(cutOff?.message ?? '', /Kernel panic/, 'and no panic');
  });
}
// With so many the first verb is cut in the last half of its writes, where the journal has long been there.
if (CUTS >= 4 && t.passing())
  t.ok(restored > 0, `${restored} journals restored: without one nothing was tried`);
t.comment(
  `${CUTS} power cuts, ${changed} of which left a disk changed, ${restored} journals restored, ${Math.round((performance.now() - started) / 1000)} s`,
);
