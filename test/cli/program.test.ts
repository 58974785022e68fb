import { type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { cli } from '../support/cli.js';

t.test('an emulated disk that is not there', async (t) => {
  const nobody = { status: 3, stdout: '', stderr: /there is no emulated disk nobody \(ERR_NO_DEVICE\)/ };
  for (const args of [['stats'], ['remove'], ['fault', '--clear']]) {
    const [verb, ...rest] = args;
    t.match(await cli(['testbed', 'disk', verb!, 'nobody', ...rest]), nobody, verb!);
  }
});

t.test('a disk in this process, made for one run', async (t) => {
  const json = async (...args: string[]) => {
    const { status, stdout } = await cli([...args, '--testbed', 'disk', '--json']);
    return { status, report: JSON.parse(stdout) };
  };
  t.match(await json('crosscheck', '--write', '--lba', '8', '--blocks', '8'), {
    status: 0,
    report: {
      disk: { paths: ['passthrough'], passthroughTuples: 'tuples cross SG_IO', protectionType: 1 },
      written: { paths: [{ path: 'passthrough', tuplesCompared: true }], restored: 'exact' },
      checked: 8,
      findings: [],
    },
  });
  t.match(await json('prove', '--lba', '9'), {
    status: 0,
    report: { outcome: 'caught', path: 'passthrough', fault: { lba: 9 }, restored: 'exact' },
  });
  for (const [verb, wrote] of [
    ['crosscheck', false],
    ['prove', true],
  ] as const) {
    const { stderr } = await cli([verb, '--lba', '9', '--testbed', 'disk', '--trace']);
    t.match(stderr, /^READ\(16\) protect=1 lba=9 blocks=.*, in \d+ bytes: GOOD, [\d.]+ ms$/m, verb);
    t.equal(/^WRITE/m.test(stderr), wrote, 'and what is sent to write');
  }
});

t.test('wrong usage is exit status 2, said on stderr alone', async (t) => {
  for (const args of [
    ['no-such-verb'],
    ['list', '--no-such-option'],
    ['show'],
    ['show', '/dev/sda', '/dev/sdb'],
    ['crosscheck', '--testbed', 'moon'],
    ['crosscheck', '--lba', 'x'],
    ['crosscheck', '/dev/sda', '--write'],
    ['crosscheck', '--testbed', 'disk', '--json', '--tap'],
    ['prove', '--testbed', 'disk', '--tap', '--json'],
    ['prove', '/dev/sda', '--lba', '-5'],
    ['generate', '--format', 'T10-DIF-TYPE9'],
    ['testbed', 'scsi-debug', 'create', '--dif', '4'],
    ['testbed', 'scsi-debug', 'create', '--sector-size', '520'],
    ['testbed', 'vm'],
    ['testbed', 'disk', 'create', '--type', '4'],
    ['testbed', 'disk', 'create', '--size', '1X'],
    ['testbed', 'disk', 'create', '--size', '0'],
    ['testbed', 'disk', 'create', '--behaviour', 'protect101'],
    ['testbed', 'disk', 'create', '--behaviour', 'nothing=valid'],
    ['testbed', 'disk', 'fault', 'one', '--kind', 'nothing'],
    ['testbed', 'disk', 'fault', 'one', '--kind', 'data', '--lba', '-1'],
    ['testbed', 'disk', 'fault', 'one', '--kind', 'data', '--distance', 'far'],
    ['testbed', 'disk', 'stats', '../../etc/passwd'],
    [],
  ]) {
    const seen = await cli(args);
    t.match(seen, { status: 2, stdout: '', stderr: /\w/ }, args.join(' ') || 'nothing');
  }
});

t.test('a disk that is not meant is not taken for one that is', async (t) => {
  for (const verb of ['scrub', 'crosscheck', 'prove', 'show']) {
    t.match(
      await cli([verb, '']),
      { status: 2, stderr: /name of the disk is empty \(ERR_USAGE\)\n.*variable/ },
      verb,
    );
  }
  const other = await cli(['prove', '--testbed', 'disk', '--i-own', 'naa.5000c500a1b2c3d4']);
  t.match(other, { status: 2, stdout: '', stderr: /is not naa\.5000.*nothing is written.*ERR_NOT_OURS/ });
  const missing = await cli(['restore', join(t.testdir(), 'journal')]);
  t.match(missing, { status: 3, stderr: /ENOENT.*\(ERR_IO\)\n$/ });
  t.notMatch(missing.stderr, /--journal/);
});

t.test('help and version are asked for, so they are no failure', async (t) => {
  for (const args of [['--help'], ['prove', '--help'], ['testbed', 'scsi-debug', 'create', '--help']]) {
    t.match(await cli(args), { status: 0, stdout: /Usage: /, stderr: '' }, args.join(' '));
  }
  t.match(await cli(['--version']), { status: 0, stdout: '1.2.3\n' });
  for (const verb of [
    'list',
    'show',
    'crosscheck',
    'prove',
    'read',
    'write',
    'scrub',
    'cdb',
    'generate',
    'verify',
    'testbed',
  ]) {
    t.match((await cli(['--help'])).stdout, new RegExp(`^  ${verb}\\b`, 'm'), `help names ${verb}`);
  }
});

t.test('every verb has its help', async (t) => {
  const waiting: string[][] = [[]];
  let asked = 0;
  for (let verb = waiting.pop(); verb; verb = waiting.pop(), asked++) {
    const { status, stdout, stderr } = await cli([...verb, '--help']);
    t.match({ status, stdout, stderr }, { status: 0, stdout: /^Usage: /, stderr: '' }, verb.join(' '));
    const [, commands = ''] = stdout.split('\nCommands:\n');
    const names = Array.from(commands.matchAll(/^ {2}([a-z-]+)/gm), ([, name]) => name as string);
    waiting.push(...names.filter((name) => name !== 'help').map((name) => [...verb, name]));
  }
  t.ok(asked > 18, `${asked} of them`);
});

t.test('an error is its message, its code and what to do', async (t) => {
  const { status, stdout, stderr } = await cli(['show', '/dev/no-such-disk']);
  t.same(
    { status, stdout, stderr },
    {
      status: 3,
      stdout: '',
      stderr:
        'blk-integrity: /dev/no-such-disk: stat: ENOENT (ERR_NO_DEVICE)\nSee `blk-integrity list` for the disks of this host.\n',
    },
  );
  t.match(await cli(['crosscheck', '/']), {
    status: 2,
    stderr: /directory \(ERR_NOT_A_DISK\)\n.*\/dev\/sdX/,
  });
});

t.test('list needs no permission and prints JSON on one line', async (t) => {
  const { status, stdout } = await cli(['list', '--json']);
  t.equal(status, 0);
  t.match(JSON.parse(stdout), { verb: 'list', disks: Array });
  t.equal(stdout.indexOf('\n'), stdout.length - 1);
});

t.test('control characters of names are made visible', async (t) => {
  const { stderr } = await cli(['show', '/dev/\x1b[31m\x07\x7f\u009b2J\r']);
  t.match(stderr, /^blk-integrity: \/dev\/\\x1b\[31m\\x07\\x7f\\x9b2J\\x0d: .*\nSee /);
  t.match((await cli(['\u009b2J'])).stderr, /unknown command '\\x9b2J'\n/);
});

/** The command itself: outputs whose reader has `gone`, and a script to `preload`. */
async function main(
  args: readonly string[],
  stdio: StdioOptions,
  { gone = [], preload = '' }: { gone?: readonly ('stdout' | 'stderr')[]; preload?: string } = {},
): Promise<{ status: number | null; stderr: string }> {
  const script = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));
  const node = ['--import', `data:text/javascript,${preload}`, script];
  const child = spawn(process.execPath, [...node, ...args], {
    stdio,
    timeout: 20_000,
  });
  for (const name of gone) child[name]!.destroy();
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const [status] = await once(child, 'close');
  return { status, stderr };
}

t.test('a reader of stdout that has seen enough is no failure, and cuts nothing short', async (t) => {
  const preload = 'process.exit = () => process.stderr.write("cut short")';
  t.same(await main(['list'], ['ignore', 'pipe', 'pipe'], { gone: ['stdout'], preload }), {
    status: 0,
    stderr: '',
  });
  const endless = openSync('/dev/zero', 'r');
  t.same(
    await main(['generate'], [endless, 'pipe', 'pipe'], { gone: ['stdout'], preload }),
    { status: 0, stderr: '' },
    'it ends all the same',
  );
});

t.test('a stdout that cannot be written is exit status 3, said once', async (t) => {
  const full = openSync('/dev/full', 'w');
  const zeros = openSync('/dev/zero', 'r');
  for (const verb of ['list', '--version', 'generate']) {
    const seen = await main([verb], [zeros, full, 'pipe']);
    t.match(seen, { status: 3, stderr: /^blk-integrity: cannot write stdout: ENOSPC.* \(ERR_IO\)\n$/ }, verb);
  }
});

t.test('a stderr that has gone changes nothing', async (t) => {
  const { status } = await main(['show', '/dev/no-such-disk'], ['ignore', 'pipe', 'pipe'], {
    gone: ['stderr'],
  });
  t.equal(status, 3);
});

t.test('given up before it begins', async (t) => {
  const signal = AbortSignal.abort();
  t.match(await cli(['list'], { signal }), {
    status: 130,
    stdout: '',
    stderr: 'blk-integrity: interrupted\n',
  });
  t.match(await cli(['list', '--help'], { signal }), { status: 0, stderr: '' });
});

t.test('a fault of ours interrupts, so that the command ends in order', async (t) => {
  const preload = `const before = process.listenerCount('SIGINT');
  const t = setInterval(() => {
    if (process.listenerCount('SIGINT') === before) return;
    clearInterval(t);
    throw new Error('astray');
  }, 10)`;
  const { status, stderr } = await main(['verify', '--layout=interleaved'], ['pipe', 'pipe', 'pipe'], {
    preload,
  });
  t.match({ status, stderr }, { status: 3, stderr: /Error: astray\n[\s\S]*\nblk-integrity: interrupted/ });
});
