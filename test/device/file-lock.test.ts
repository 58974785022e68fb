import { constants, existsSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { native } from '../../src/binding.js';
import { ERRNO } from '../../src/device/errno.js';
import { FileLock, type Unusable } from '../../src/device/file-lock.js';
import { IntegrityError } from '../../src/errors.js';

const dir = t.testdir();
const unusable: Unusable = (path, why) => new IntegrityError('ERR_TESTBED', `${path}: ${why}`);

t.test('one at a time, also where each takes the file away', async (t) => {
  const path = join(dir, 'lock');
  let holders = 0;
  let held = 0;
  let refused = 0;
  const contend = async () => {
    for (let i = 0; i < 100; i++) {
      const lock = await FileLock.take(path, unusable);
      if (lock === null) {
        refused++;
        continue;
      }
      held++;
      if (++holders > 1) t.fail('two have it');
      await turn();
      holders--;
      await lock.remove();
    }
  };
  await Promise.all([contend(), contend(), contend(), contend()]);
  t.ok(held > 20 && refused > 20, `${held} ${refused}`);
  t.same(readdirSync(dir), []);
});

t.test('what cannot be locked', async (t) => {
  await t.rejects(FileLock.take(dir, unusable), { message: /no regular file/ });
  await t.rejects(FileLock.take(join(dir, 'none', 'lock'), unusable), { message: /ENOENT/ });
});

t.test('a system call that fails is told by its name, of whichever step', async (t) => {
  const path = join(dir, 'refused');
  const { Handle } = native();
  for (const [step, code] of [
    ['open', 'EACCES'],
    ['lockExclusive', 'ENOLCK'],
  ] as const) {
    const refuse = async () => ({ errno: ERRNO[code] });
    t.intercept(native(), 'Handle', {
      value: function Refusing() {
        return Object.defineProperty(new Handle(), step, { value: refuse });
      },
    });
    const causes: unknown[] = [];
    const refused = FileLock.take(path, (name, why, cause) => {
      causes.push(cause);
      return unusable(name, why);
    });
    await t.rejects(refused, { message: `${path}: ${code}` });
    t.match(causes, [{ code }]);
  }
  rmSync(path);
});

t.test('a link: followed where it may be one, and nothing is made where it points', async (t) => {
  const [link, target] = [join(dir, 'link'), join(dir, 'target')];
  symlinkSync(target, link);
  await t.rejects(FileLock.take(link, unusable, constants.O_NOFOLLOW), { message: /ELOOP/ });
  t.notOk(existsSync(target));
  const lock = await FileLock.take(link, unusable);
  t.equal(await FileLock.take(target, unusable), null);
  await lock?.release();
});

t.test('a file that has taken the name is not taken away', async (t) => {
  const path = join(dir, 'taken');
  const lock = (await FileLock.take(path, unusable))!;
  t.equal(await lock.isNamed(), true);
  renameSync(path, `${path}.old`);
  t.equal(await lock.isNamed(), false);
  writeFileSync(path, '');
  t.equal(await lock.isNamed(), false);
  await lock.remove();
  t.ok(existsSync(path));
  rmSync(path);
});
