/** Who has which device nodes open. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import t from 'tap';
import { native } from '../../src/binding.js';

const NULL = { type: 'character', major: 1, minor: 3 };

t.test('this process and another', async (t) => {
  const own = await open('/dev/null');
  const child = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore'] });
  await once(child, 'spawn');
  const { errno, nodes } = await native().openNodes('/proc');
  t.equal(errno, 0);
  t.ok(
    nodes.some((node) => node.pid === process.pid && node.major === NULL.major && node.minor === NULL.minor),
  );
  t.match(
    nodes.find(({ pid }) => pid === child.pid),
    { ...NULL, command: 'sleep' },
  );
  await own.close();
  child.kill();
  await once(child, 'exit');
  const after = await native().openNodes('/proc');
  t.notOk(
    after.nodes.some(({ pid }) => pid === child.pid),
    'gone',
  );
});

t.test('a folder like /proc', async (t) => {
  const proc = t.testdir({
    12: {
      comm: 'first\n',
      fd: { 0: t.fixture('symlink', '/dev/null'), 3: t.fixture('symlink', '/etc/passwd') },
    },
    13: {
      comm: 'led\n',
      fd: {},
      task: { 13: { fd: {} }, 14: { comm: 'thread\n', fd: { 5: t.fixture('symlink', '/dev/zero') } } },
    },
    self: { fd: { 0: t.fixture('symlink', '/dev/null') } },
  });
  const { nodes, hidden } = await native().openNodes(proc);
  t.same(
    nodes.map(({ pid, command, minor }) => ({ pid, command, minor })).sort((a, b) => a.pid - b.pid),
    [
      { pid: 12, command: 'first', minor: 3 },
      { pid: 13, command: 'thread', minor: 5 },
    ],
    'also where the first thread has ended',
  );
  t.same(hidden, []);
  t.match(await native().openNodes(`${proc}/not-there`), { errno: 2, nodes: [] });
  t.throws(() => native().openNodes(7 as unknown as string));
});
