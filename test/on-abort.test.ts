import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { onAbort } from '../src/on-abort.js';

t.test('each that waits is called once, and nobody is warned of many', async (t) => {
  const warnings: Error[] = [];
  const warned = (warning: Error) => warnings.push(warning);
  process.on('warning', warned);
  t.teardown(() => process.off('warning', warned));
  const caller = new AbortController();
  const called: number[] = [];
  const waits = Array.from({ length: 30 }, (_, i) => onAbort(caller.signal, () => called.push(i)));
  waits[7]!();
  caller.abort();
  caller.abort();
  await nextTurn();
  t.same(
    called,
    Array.from({ length: 30 }, (_, i) => i).filter((i) => i !== 7),
  );
  t.same(warnings, []);
});

t.test('without a signal nothing is waited for', async (t) => {
  t.equal(onAbort(undefined, () => t.fail())(), undefined);
});
