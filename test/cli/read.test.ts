import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { pattern } from '../../src/testbed/fill.js';
import { cli } from '../support/cli.js';

const dir = t.testdir();
const file = (name: string) => join(dir, name);
const read = (...args: string[]) => cli(['read', '--testbed', 'disk', '--lba', '8', ...args]);
const data = (blocks: number) => Buffer.concat(Array.from({ length: blocks }, (_, i) => pattern(512, 8 + i)));

t.test('a report for people: three columns, the tuples, the data', async (t) => {
  const { status, stdout, stderr } = await read('--blocks', '2');
  t.same({ status, stderr }, { status: 0, stderr: '' });
  t.match(
    stdout,
    /^blocks 8 to 9 by passthrough: READ\(16\) protect=1\n {2}blocks +hardware +software +comparable\n {2}8 to 9 +GOOD +ok 2 +checked: the device is to check guard, app, ref\n/m,
  );
  t.match(
    stdout,
    /^ {2}tuple +guard +app +ref +software\n {2}8 +0x[0-9a-f]{4} +0x0000 +0x00000008 +ok\n {2}9 /m,
  );
  t.match(
    stdout,
    new RegExp(
      `^ {2}000003f0  ${[...data(2).subarray(1008, 1016)].map((b) => b.toString(16).padStart(2, '0')).join(' ')}  `,
      'm',
    ),
  );
  t.match(stdout, /\nno findings\n$/);
});

t.test('JSON is one object on one line', async (t) => {
  const { status, stdout } = await read('--json');
  t.equal(stdout.indexOf('\n'), stdout.length - 1);
  const report = JSON.parse(stdout);
  t.equal(status, 0);
  t.match(report, {
    verb: 'read',
    lba: 8,
    blocks: 1,
    path: 'passthrough',
    delivered: 1,
    checked: 1,
    findings: [],
  });
  t.match(report.tuples, [{ lba: 8, verdict: 'ok', stored: { ref: 8 }, computed: { app: null, ref: 8 } }]);
  t.equal(report.data, data(1).toString('hex'));
});

t.test('files, as the verb verify takes them', async (t) => {
  const [separate, tuples, interleaved] = ['data', 'tuples', 'both'].map(file) as [string, string, string];
  const { stdout } = await read('--blocks', '600', '-o', separate, '--tuples', tuples, '--json');
  t.match(JSON.parse(stdout), { delivered: 600, data: null });
  t.same(readFileSync(separate), data(600), 'more than one transfer');
  t.match(await cli(['verify', '--seed', '8', separate, tuples]), { status: 0, stdout: /600 checked/ });
  await read('--blocks', '600', '-o', interleaved, '--layout', 'interleaved');
  t.match(await cli(['verify', '--seed', '8', '--layout', 'interleaved', interleaved]), {
    status: 0,
    stdout: /600 checked/,
  });
});

t.test('several transfers at once come in their order, and say the same', async (t) => {
  const whole = async (depth: string) => {
    const name = file(`deep-${depth}`);
    const { stdout } = await read('--blocks', '5000', '-o', name, '--queue-depth', depth, '--json');
    t.same(readFileSync(name), data(5000), depth);
    const { disk: _, ...report } = JSON.parse(stdout);
    return report;
  };
  t.same(await whole('7'), await whole('1'));
});

t.test('stdout: bytes and report do not mix, and no bytes go to a terminal', async (t) => {
  const { bytes, stderr } = await read('--blocks', '2', '-o', '-');
  t.same(bytes, data(2));
  t.match(stderr, /^blocks 8 to 9 by passthrough/m);
  t.equal((await read('--tuples', '-')).bytes.length, 8);
  for (const [args, message] of [
    [['-o', '-', '--json'], /--json and the data cannot both go to stdout/],
    [['-o', '-', '--tuples', '-'], /data and tuples cannot both go to -/],
    [['--layout', 'interleaved'], /needs that/],
    [['-o', '-', '--layout', 'interleaved', '--tuples', 'x'], /no --tuples/],
  ] as const) {
    t.match(await read(...args), { status: 2, stdout: '', stderr: message });
  }
  const terminal = await cli(['read', '--testbed', 'disk', '--lba', '0', '-o', '-'], { isTTY: true });
  t.match(terminal, { status: 2, stderr: /the data is binary and stdout is a terminal/ });
  t.equal(terminal.bytes.length, 0);
});

t.test('--trace names the command', async (t) => {
  const { stderr, stdout } = await read('--cdb-size', '10', '--protect', '3', '--fua', '--trace', '--json');
  t.match(stderr, /^READ\(10\) protect=3 fua=1 lba=8 blocks=1, in 520 bytes: GOOD, [\d.]+ ms$/m);
  t.match(JSON.parse(stdout), { command: { name: 'READ(10)', protect: 3, fua: true, expected: null } });
});

t.test('what cannot be is said, and its exit status', async (t) => {
  for (const [args, status, message] of [
    [['--ref-tag', '1', '--cdb-size', '16'], 2, /READ\(16\) has no tags.*ERR_USAGE/],
    [['--cdb-size', '7'], 2, /none of 6, 10/],
    [['--protect', '8'], 2, /0 to 7/],
    [['--queue-depth', '0'], 2, /--queue-depth.*1 to 128/],
    [['--blocks', '0'], 2, /--blocks/],
    [['--blocks', '99999'], 2, /ERR_OUT_OF_RANGE/],
    [['--path', 'block'], 3, /ERR_NO_PATH/],
    [
      ['--protect', '0', '--tuples', file('none')],
      3,
      /no tuples come by passthrough: a READ without RDPROTECT/,
    ],
    [['-o', '/dev/null'], 2, /neither a regular file nor a pipe/],
  ] as const) {
    t.match(await read(...args), { status, stdout: '', stderr: message }, args.join(' '));
  }
  t.match(await cli(['read', '--lba', '0']), { status: 2, stderr: /give DEVICE, or --testbed/ });
  t.match(await cli(['read', '--testbed', 'disk']), { status: 2, stderr: /--lba/ });
  // READ(32) is not for this type.
  const unknown = await read('--ref-tag', '8');
  t.match(unknown, { status: 3, stdout: /ILLEGAL REQUEST 05h\/20h/ });
});
