import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { runProgram } from '../../src/cli/program.js';

interface Seen {
  status: number;
  stdout: string;
  stderr: string;
}

async function cli(
  args: readonly string[],
  signal: AbortSignal = new AbortController().signal,
): Promise<Seen> {
  const seen: Seen = { status: 0, stdout: '', stderr: '' };
  const collect = (name: 'stdout' | 'stderr') =>
    new Writable({
      write(chunk, _, done) {
        seen[name] += chunk;
        done();
      },
    });
  await runProgram(
    args,
    {
      stdin: Readable.from([]),
      stdout: collect('stdout'),
      stderr: collect('stderr'),
      signal,
      setExitStatus: (status) => {
        seen.status = status;
      },
    },
    '1.2.3',
  );
  return seen;
}

t.test('wrong usage is exit status 2, said on stderr alone', async (t) => {
  for (const args of [
    ['no-such-verb'],
    ['list', '--no-such-option'],
    ['show'],
    ['show', '/dev/sda', '/dev/sdb'],
    ['crosscheck', '--testbed', 'moon'],
    ['crosscheck', '--lba', 'x'],
    ['crosscheck', '/dev/sda', '--write'],
    ['prove', '/dev/sda', '--lba', '-5'],
    ['generate', '--format', 'T10-DIF-TYPE9'],
    ['testbed', 'scsi-debug', 'create', '--dif', '4'],
    ['testbed', 'scsi-debug', 'create', '--sector-size', '520'],
    ['testbed', 'vm'],
    [],
  ]) {
    const seen = await cli(args);
    t.match(seen, { status: 2, stdout: '', stderr: /\w/ }, args.join(' ') || 'nothing');
  }
});

t.test('help and version are asked for, so they are no failure', async (t) => {
  for (const args of [['--help'], ['prove', '--help'], ['testbed', 'scsi-debug', 'create', '--help']]) {
    t.match(await cli(args), { status: 0, stdout: /Usage: /, stderr: '' }, args.join(' '));
  }
  t.match(await cli(['--version']), { status: 0, stdout: '1.2.3\n' });
  for (const verb of ['list', 'show', 'crosscheck', 'prove', 'generate', 'verify', 'testbed']) {
    t.match((await cli(['--help'])).stdout, new RegExp(`^  ${verb}\\b`, 'm'), `help names ${verb}`);
  }
});

t.test('an error is its message, its code and what to do', async (t) => {
  const seen = await cli(['show', '/dev/no-such-disk']);
  t.same(seen, {
    status: 3,
    stdout: '',
    stderr:
      'blk-integrity: /dev/no-such-disk: stat: ENOENT (ERR_NO_DEVICE)\nSee `blk-integrity list` for the disks of this host.\n',
  });
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

t.test('the command itself: a reader that has seen enough ends it quietly', async (t) => {
  const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));
  const child = spawn(process.execPath, [main, 'list'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  child.stdout.destroy();
  const [status] = await once(child, 'exit');
  t.same([status, stderr], [0, '']);
});
