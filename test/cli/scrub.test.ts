import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { runProgram } from '../../src/cli/program.js';
import { scrubExitStatus } from '../../src/cli/scrub.js';
import type { ScrubReport } from '../../src/report/model.js';
import { cli, type Surroundings } from '../support/cli.js';

const dir = t.testdir();
const scrub = (...args: string[]) => cli(['scrub', '--testbed', 'disk', ...args]);
const within = (surroundings: Surroundings, ...args: string[]) =>
  cli(['scrub', '--testbed', 'disk', ...args], surroundings);
const lines = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

t.test('a report for people', async (t) => {
  const { status, stdout, stderr } = await scrub();
  t.same({ status, stderr }, { status: 0, stderr: '' }, 'a pipe is not told of progress');
  t.match(stdout, /^blocks 0 to 32767$/m);
  t.match(stdout, /^the software checks guard, ref by passthrough: READ with RDPROTECT 001b$/m);
  t.match(stdout, /^no findings\n32768 intervals ok\n\d/m);
  t.notMatch(stdout, /NOTHING WAS CHECKED|FAILED|INTERRUPTED/);
});

t.test('a range, a sample, and JSON Lines whose last is the report', async (t) => {
  const range = await scrub('--lba', '1000', '--blocks', '500', '--json');
  t.equal(range.status, 0);
  t.match(lines(range.stdout), [
    { verb: 'scrub', lba: 1000, blocks: 500, planned: 500, done: 500, counts: { ok: 500 }, findings: [] },
  ]);
  const tail = lines((await scrub('--lba', '32760', '--json')).stdout).at(-1);
  t.match(tail, { lba: 32760, blocks: 8, done: 8 });
  const sample = lines((await scrub('--sample', '10%', '--seed', '3', '--json')).stdout).at(-1);
  t.match(sample, { sample: { percent: 10, seed: 3 }, blocks: 32768 });
  t.ok(sample.done >= 3276 && sample.done < 4500, `${sample.done}`);
});

t.test('a terminal sees how far it is, on a line that is gone in the end', async (t) => {
  const { stdout, stderr } = await within({ stderrIsTTY: true }, '--rate', '32M');
  t.match(stderr, /^\r\d+\.\d %, \d+\.\d [KM]iB\/s, \d+\.\d s left, 0 findings/);
  t.ok(stderr.endsWith('\r\x1b[K'));
  t.notMatch(stdout, /\r|%/);
  t.equal((await within({ stderrIsTTY: true }, '--rate', '31.5M', '--json')).stderr, '');
});

t.test('a state without a name', async (t) => {
  t.match(await scrub('--state', ''), { status: 2, stderr: /names no file/ });
});

t.test('an interrupt: a partial report, a state, and the exit status of it', async (t) => {
  const state = join(dir, 'state');
  const controller = new AbortController();
  const interrupted = within({ signal: controller.signal }, '--rate', '2M', '--state', state, '--json');
  // Until who checks is known there is nothing to report.
  while (!existsSync(`${state}.lock`)) await sleep(20);
  await sleep(1000);
  controller.abort();
  const { status, stdout, stderr } = await interrupted;
  t.same({ status, stderr }, { status: 130, stderr: '' });
  const report = lines(stdout).at(-1);
  t.match(report, { ended: 'interrupted', planned: 32768 });
  t.ok(report.done < 32768);
  t.equal(report.counts.ok, report.done);
  t.match(JSON.parse(readFileSync(state, 'utf8')), { state: { blocks: report.done } });
  t.match(
    await scrub('--state', state),
    { status: 2, stderr: /its identity is.*ERR_USAGE/s },
    'of another disk',
  );
  t.match(await scrub('--state', join(dir, 'other')), { status: 0 });
  t.notOk(existsSync(join(dir, 'other')), 'a finished scrub leaves no state');
});

t.test('SIGINT is heard between the commands of a disk in this process', async (t) => {
  const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));
  // It sends itself the signal with the trace of a command in the middle of the disk.
  const signalled = `data:text/javascript,process.stderr.write = (text) => {
    if (/protect=1 lba=9100 /.test(text)) process.kill(process.pid, 'SIGINT');
    return true;
  };`;
  const args = ['--import', signalled, main, 'scrub', '--testbed', 'disk', '--trace', '--json'];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 20_000 });
  t.equal(status, 130);
  const report = lines(stdout).at(-1);
  t.match(report, { ended: 'interrupted', next: report.done, counts: { ok: report.done } });
  t.ok(report.done > 5000 && report.done < 15_000, `${report.done}`);
});

/** It sends itself the signal with the trace of a command in the middle of the disk; its stdout is a file. */
function hungUp(run: (command: string) => readonly [string, ...string[]]) {
  const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));
  const out = join(dir, 'hung-up');
  const signalled = `data:text/javascript,process.stderr.write = (text) => {
    if (/protect=1 lba=9100 /.test(text)) process.kill(process.pid, 'SIGHUP');
    return true;
  };`;
  const args = ['--import', signalled, main, 'scrub', '--testbed', 'disk', '--trace', '--json'];
  const quoted = [process.execPath, ...args].map((arg) => `'${arg.replaceAll("'", "'\\''")}'`).join(' ');
  const [program, ...rest] = run(`${quoted} >'${out}'`);
  const { status } = spawnSync(program, rest, { timeout: 20_000 });
  return { status, report: lines(readFileSync(out, 'utf8')).at(-1) };
}

t.test('a hang-up passes by what nohup runs, and ends what has a terminal', async (t) => {
  for (const before of ['trap "" HUP; exec', 'exec nohup']) {
    const { status, report } = hungUp((command) => ['sh', '-c', `${before} ${command}`]);
    t.match({ status, report }, { status: 0, report: { ended: 'finished', done: 32768 } }, before);
  }
  const { status, report } = hungUp((command) => ['script', '-qec', command, '/dev/null']);
  t.match({ status, report }, { status: 130, report: { ended: 'interrupted' } });
});

t.test('--trace names the commands, --idle is taken', async (t) => {
  const { stderr, status } = await scrub('--blocks', '16', '--trace', '--idle');
  t.equal(status, 0);
  t.match(stderr, /^READ\(16\) protect=1 lba=0 blocks=16, in 8320 bytes: GOOD, [\d.]+ ms$/m);
});

t.test('exit status: what is counted and no longer listed is a finding too', async (t) => {
  const unreadable = Array.from({ length: 1000 }, () => ({ kind: 'read-error' }));
  const report = (counts: object) =>
    ({
      ended: 'finished',
      checker: 'software',
      checked: 9,
      findings: unreadable,
      counts,
    }) as unknown as ScrubReport;
  const counts = { bad: 0, refused: 0, unchecked: 0 };
  t.equal(scrubExitStatus(report(counts)), 3);
  t.equal(scrubExitStatus(report({ ...counts, bad: 1 })), 1);
  t.equal(scrubExitStatus(report({ ...counts, escaped: 0, ok: 7, changing: 1 })), 3);
  t.equal(scrubExitStatus(report({ ...counts, refused: 1 })), 1);
});

t.test('what cannot be is said, and its exit status', async (t) => {
  for (const [args, message] of [
    [['--blocks', '0'], /--blocks/],
    [['--blocks', '99999'], /ERR_OUT_OF_RANGE/],
    [['--lba', '999999999'], /block 999999999 is not on the disk: it has blocks 0 to \d+ \(ERR_OUT_OF_RANGE/],
    [['--sample', '0'], /no percentage/],
    [['--sample', '101'], /no percentage/],
    [['--sample', '-1'], /no percentage/],
    [['--seed', '1'], /needs --sample/],
    [['--queue-depth', '0'], /1 to 128/],
    [['--rate', '16'], /from 512 on, which is a block a second \(ERR_OUT_OF_RANGE/],
    [['--rate', '0'], /no number of bytes/],
    [['--rate', '5T'], /no number of bytes/],
    [['--rate', 'M'], /no number of bytes/],
    [['--rate', '1.G'], /no number of bytes/],
    [['--sample', '5%%'], /no percentage/],
  ] as const) {
    t.match(await scrub(...args), { status: 2, stdout: '', stderr: message }, args.join(' '));
  }
  t.match(await cli(['scrub']), { status: 2, stderr: /give DEVICE, or --testbed/ });
  for (const kind of ['bogus', 'vm'])
    t.match(await cli(['scrub', '--testbed', kind]), {
      status: 2,
      stderr: `--testbed "${kind}" is none of scsi-debug, disk (ERR_USAGE)`,
    });
});

t.test('a reader that goes away ends it', async (t) => {
  let status = 0;
  const leave = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
  await runProgram(
    ['scrub', '--testbed', 'disk', '--rate', '1M', '--json'],
    {
      stdin: Readable.from([]),
      stdout: new Writable({ write: (_chunk, _encoding, done) => done(leave) }),
      stderr: new Writable({ write: (_chunk, _encoding, done) => done() }),
      signal: new AbortController().signal,
      setExitStatus: (said) => {
        status = said;
      },
    },
    '1.2.3',
  );
  t.equal(status, 130);
});
