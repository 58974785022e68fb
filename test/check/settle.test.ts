import t from 'tap';
import { settle } from '../../src/check/settle.js';
import { BLOCK, fakeDisk, goodReader, type Reader } from '../support/disk.js';

/** Of four blocks from 8 on, the one at 10 has other data in each of the first `rounds` rounds. */
function restless(rounds: number): Reader {
  let read = 0;
  return (path, lba, blocks) => {
    const good = goodReader(path, lba, blocks);
    if (path === 'block' && read++ < rounds) good.data![Number(10n - lba) * BLOCK] = read;
    return good;
  };
}

const settled = async (rounds: number) =>
  (await settle(fakeDisk(restless(rounds)), { lba: 8n, blocks: 4 })).changing;

t.test('blocks are read until two rounds agree, five rounds at most', async (t) => {
  for (const [rounds, changing] of [
    [0, []],
    [1, []],
    [3, []],
    [4, [10n]],
    [9, [10n]],
  ] as const) {
    t.same(await settled(rounds), changing, `${rounds} rounds`);
  }
});

t.test('another answer, or tuples that come and go, are a change as well', async (t) => {
  let round = 0;
  const reader: Reader = (path, lba, blocks) => {
    const read = goodReader(path, lba, blocks);
    return path === 'block-pi' && round++ % 2 === 0 ? { ...read, tuples: null } : read;
  };
  t.equal((await settle(fakeDisk(reader), { lba: 8n, blocks: 2 })).changing.length, 2);
});
