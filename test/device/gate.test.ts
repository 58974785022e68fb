import t from 'tap';
import { Gate } from '../../src/device/gate.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A job that ends when it is told to. */
function job(order: string[], name: string) {
  let end = () => {};
  const run = async () => {
    order.push(name);
    await new Promise<void>((resolve) => {
      end = resolve;
    });
    order.push(`${name} ended`);
  };
  return { run, end: () => end() };
}

t.test('many pass at once; one goes alone, before those who came after it', async (t) => {
  const gate = new Gate();
  const order: string[] = [];
  const [first, second, alone, third] = ['first', 'second', 'alone', 'third'].map((name) => job(order, name));
  const all = [gate.pass(first!.run), gate.pass(second!.run), gate.alone(alone!.run), gate.pass(third!.run)];
  await turn();
  t.same(order, ['first', 'second']);
  first!.end();
  await turn();
  t.same(order.at(-1), 'first ended', 'one still passes');
  second!.end();
  await turn();
  t.equal(order.at(-1), 'alone');
  alone!.end();
  await turn();
  t.same(order.slice(-2), ['alone ended', 'third']);
  third!.end();
  await Promise.all(all);
});

t.test('two who want to go alone go one after the other, and a failure opens the gate', async (t) => {
  const gate = new Gate();
  let inside = 0;
  const alone = (fails: boolean) =>
    gate.alone(async () => {
      t.equal(++inside, 1);
      await turn();
      inside--;
      if (fails) throw new Error('fails');
    });
  const failing = alone(true);
  const others = [alone(false), gate.pass(async () => t.equal(inside, 0)), alone(false)];
  await t.rejects(failing, { message: 'fails' });
  await Promise.all(others);
  await t.rejects(
    gate.pass(async () => {
      throw new Error('passing');
    }),
    { message: 'passing' },
  );
  t.equal(await gate.alone(async () => 'free'), 'free');
});
