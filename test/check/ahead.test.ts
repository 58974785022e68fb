import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { ahead } from '../../src/check/ahead.js';

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

/** Jobs that end after a while each, the later the sooner. */
function jobs(count: number) {
  const seen = { begun: 0, underWay: 0, most: 0, ended: 0 };
  const start = async (index: number) => {
    seen.begun++;
    seen.most = Math.max(seen.most, ++seen.underWay);
    await delay((count - index) % 5);
    seen.underWay--;
    seen.ended++;
    return index;
  };
  return { seen, start };
}

t.test('results come in order, so many jobs under way at once', async (t) => {
  for (const [count, depth] of [
    [20, 1],
    [20, 4],
    [3, 8],
    [0, 4],
  ] as const) {
    const { seen, start } = jobs(count);
    const taken: number[] = [];
    for await (const index of ahead(numbers(count), depth, start)) taken.push(index);
    t.same(taken, numbers(count));
    t.equal(seen.most, Math.min(count, depth));
  }
});

t.test('who takes no more begins no more, and waits for what is under way', async (t) => {
  const { seen, start } = jobs(20);
  for await (const index of ahead(numbers(20), 4, start)) if (index === 2) break;
  t.match(seen, { begun: 6, underWay: 0, ended: 6 });
});

t.test('a failure is thrown in its turn', async (t) => {
  const { seen, start } = jobs(20);
  const taken: number[] = [];
  const failing = async (index: number) => {
    await start(index);
    if (index >= 3) throw new Error(`job ${index}`);
    return index;
  };
  await t.rejects(
    async () => {
      for await (const index of ahead(numbers(20), 4, failing)) taken.push(index);
    },
    { message: 'job 3' },
  );
  t.same(taken, [0, 1, 2]);
  t.equal(seen.underWay, 0);
});
