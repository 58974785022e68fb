/**
 * `testbed disk`: disks that outlive the command that made them, and what a process that was killed leaves.
 */

import { execFile } from 'node:child_process';
import { access, readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Test } from 'tap';

const run = promisify(execFile);
const cli = async (...args: string[]) =>
  (await run(process.execPath, ['lib/cli/main.js', 'testbed', 'disk', ...args])).stdout;

export async function served(t: Test): Promise<void> {
  const sg = (await cli('create', '--name', 'one', '--type', '2', '--block', '512', '--size', '1G')).trim();
  t.match(sg, /^\/dev\/sg\d+$/);
  await access(sg);
  t.match(JSON.parse(await cli('list', '--json')), {
    disks: [{ name: 'one', sg, format: { type: 2, blocks: 2097152 } }],
  });
  await t.rejects(cli('create', '--name', 'one'), { code: 3, stderr: /ERR_TESTBED/ });
  t.match(
    await cli('fault', 'one', '--kind', 'guard', '--lba', '8', '--blocks', '1', '--on', 'read'),
    /^1: guard LBA 8, 1 blocks, on read/,
  );
  t.equal(await cli('fault', 'one', '--clear'), '');
  t.match(JSON.parse(await cli('stats', 'one', '--json')), {
    disk: { byStatus: { '00h': Number } },
    ring: { inFlight: 0 },
  });

  await cli('fault', 'one', '--kind', 'silence', '--on', 'read');
  const underWay = run('sg_raw', [
    '-t',
    '60',
    '-r',
    '512',
    sg,
    '28',
    '0',
    '0',
    '0',
    '0',
    '0',
    '0',
    '0',
    '1',
    '0',
  ]);
  const ended = underWay.then(
    () => null,
    (error: { stderr: string }) => error.stderr,
  );
  await delay(500);

  const [{ pid }] = JSON.parse(await cli('list', '--json')).disks as [{ pid: number }];
  process.kill(pid, 'SIGKILL');
  const start = performance.now();
  t.match(JSON.parse(await cli('list', '--json')), { disks: [] }, 'a killed process leaves nothing');
  t.ok(performance.now() - start < 25_000, `and nothing hangs: ${Math.round(performance.now() - start)} ms`);
  t.match(await ended, /SCSI Status|sense|Sense|error/i, 'a command that was under way ends');
  t.ok(performance.now() - start < 25_000, `after ${Math.round(performance.now() - start)} ms`);
  await t.rejects(access(sg));

  const again = (await cli('create', '--name', 'one', '--type', '0')).trim();
  await access(again);
  await cli('remove', 'one');
  await t.rejects(access(again), 'removed');
  const left = await readdir('/sys/kernel/config/target/core').catch(() => []);
  t.same(
    left.filter((name) => name.startsWith('user_')),
    [],
  );
}
