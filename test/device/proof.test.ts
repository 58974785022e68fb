import t from 'tap';
import { proveTuplesCross } from '../../src/device/proof.js';
import type { ScsiTransport } from '../../src/device/transport.js';
import { plainEngine } from '../../src/pi/engine.js';
import { deinterleave } from '../../src/pi/interleave.js';
import { type Profile, profileByName } from '../../src/pi/profile.js';
import { pattern } from '../../src/testbed/fill.js';
import { FilledDisk } from '../support/filled-disk.js';
import { type Manner, Target, type TargetOptions } from '../support/target.js';

const BLOCKS = 64;

interface Medium {
  readonly data: Uint8Array;
  readonly tuples: Uint8Array;
}

function written(profile: Profile, data = pattern(BLOCKS * 512, 1)): Medium {
  const options = { profile, layout: 'separate', seed: 0n, type3Ref: 'zero' } as const;
  return { data, tuples: plainEngine.generate(data, options) };
}

function prove(manner: Manner, profile: Profile | null, medium: Medium, more: Partial<TargetOptions> = {}) {
  const interval = profile?.interval ?? 512;
  const target = new Target({ manner, blockSize: 512, interval, ...medium, ...more });
  const blocks = BigInt(medium.data.length / 512);
  return { target, proof: proveTuplesCross({ transport: target, blockSize: 512, blocks, profile }) };
}

const TYPE1 = profileByName('T10-DIF-TYPE1-CRC');
const TYPE2 = profileByName('T10-DIF-TYPE1-CRC', { type: 2 });
const TYPE3 = profileByName('T10-DIF-TYPE3-CRC');
const zeros = new Uint8Array(BLOCKS * 512);
const ones = new Uint8Array(BLOCKS * 512).fill(0xff);
const escaped = new Uint8Array(BLOCKS * 8).fill(0xff);

t.test('tuples that cross are proved', async (t) => {
  for (const [name, profile] of [
    ['type 1', TYPE1],
    ['type 2', TYPE2],
    ['type 3', TYPE3],
  ] as const) {
    const { proof, target } = prove('interleaves', profile, written(profile));
    t.match(await proof, { result: 'crosses', cdbSize: profile.type === 2 ? 32 : 16 }, name);
    const asked = target.sent.filter((cdb) => (cdb[cdb[0] === 0x7f ? 10 : 1]! & 0xe0) !== 0);
    t.same(
      [...new Set(asked.map((cdb) => cdb.length))],
      [profile.type === 2 ? 32 : 16],
      'by the CDB that the type knows',
    );
  }
  const fresh = await prove('interleaves', TYPE1, { data: zeros, tuples: escaped }).proof;
  t.match(fresh, { result: 'crosses', text: /escaped/ }, 'a freshly formatted disk: every tuple FF x 8');
});

t.test('a plain transfer is told from one with tuples, whatever status and residue say', async (t) => {
  for (const manner of [
    'plain with residue',
    'plain, zeroed, residue 0',
    'plain, ones, residue 0',
    'plain and on',
  ] as const) {
    for (const [what, data] of [
      ['patterned', pattern(BLOCKS * 512, 1)],
      ['zero', zeros],
      ['all-ones', ones],
    ] as const) {
      // Ones between ones may be escaped tuples as well.
      const both = what === 'all-ones' && manner === 'plain, ones, residue 0';
      const expected = both
        ? { result: 'not-proven' }
        : { result: 'absent', text: 'accepts RDPROTECT, transfers no tuples' };
      t.match(
        await prove(manner, TYPE1, { data, tuples: escaped }).proof,
        expected,
        `${manner}, ${what} data`,
      );
    }
  }
});

t.test(
  'content made to look like blocks with tuples, from a target that sends its medium in one piece',
  async (t) => {
    // Block k repeats the tuples of the blocks before it, so that the medium itself reads as interleaved blocks.
    const medium = new Uint8Array((BLOCKS + 8) * 512);
    const lba = BigInt(BLOCKS - 8);
    const at = Number(lba) * 512;
    for (let k = 0; k < 8; k++) {
      const stream = medium.subarray(at);
      const block = pattern(512, 40 + k);
      for (let j = 0; j < k; j++) block.set(stream.subarray(j * 520 + 512, j * 520 + 520), 8 * j);
      stream.set(block.subarray(0, 512), k * 520);
      const options = {
        profile: TYPE1,
        layout: 'separate',
        seed: lba + BigInt(k),
        type3Ref: 'zero',
      } as const;
      stream.set(plainEngine.generate(stream.slice(k * 520, k * 520 + 512), options), k * 520 + 512);
    }
    const { proof } = prove(
      'plain and on',
      TYPE1,
      { data: medium.subarray(0, BLOCKS * 512), tuples: escaped },
      { beyond: medium },
    );
    t.match(await proof, { result: 'absent' });
  },
);

t.test('one place that speaks against it outweighs those that speak for it', async (t) => {
  const medium = written(TYPE1);
  const last = prove('interleaves', TYPE1, medium, { refuseFrom: BLOCKS - 8 });
  t.match(await last.proof, { result: 'refused' });
});

t.test('bad blocks do not hide that tuples cross, nor do they show it', async (t) => {
  const bent = (from: number, to: number) => {
    const medium = written(TYPE1);
    for (let lba = from; lba < to; lba++) medium.tuples[lba * 8]! ^= 0x01;
    return prove('interleaves', TYPE1, medium).proof;
  };
  t.match(await bent(BLOCKS - 1, BLOCKS), { result: 'crosses' }, 'the last block');
  t.match(await bent(0, 3), { result: 'crosses' }, 'three of eight');
  t.match(await bent(0, 8), { result: 'crosses' }, 'a whole place: it is looked at beside');
  t.match(await bent(BLOCKS / 2 - 4, BLOCKS), { result: 'not-proven', text: /fits neither/ }, 'half a disk');
  t.match(await bent(0, BLOCKS), { result: 'not-proven', text: /fits neither/ }, 'every block');
});

t.test('where the disk refuses what is stored, it is looked at beside', async (t) => {
  await using filled = await FilledDisk.make({ blocks: 4096 });
  for (const lba of [0, 9, 2047, 4090]) {
    await filled.change(lba, (block) => {
      block[0]! ^= 1;
    });
  }
  for (const protect of [1, 3]) t.match(await filled.disk.proof(undefined, protect), { result: 'crosses' });
  await using bad = await FilledDisk.make({ blocks: 64 });
  for (let lba = 0; lba < 64; lba += 4) {
    await bad.change(lba, (block) => {
      block[0]! ^= 1;
    });
  }
  t.match(await bad.disk.proof(), { result: 'refused' });
  t.match(await bad.disk.proof(undefined, 3), {
    result: 'not-proven',
    text: /refuses the blocks by their tags/,
  });
});

t.test('what decides nothing is not proven', async (t) => {
  t.match(await prove('interleaves rubbish', TYPE1, written(TYPE1)).proof, { result: 'not-proven' });
  t.match(await prove('interleaves zeros', TYPE1, written(TYPE1)).proof, { result: 'not-proven' });
  const nothing = { data: zeros, tuples: new Uint8Array(BLOCKS * 8) };
  t.match(
    await prove('interleaves zeros', TYPE3, nothing).proof,
    { result: 'not-proven' },
    'zeros everywhere fit both',
  );
  t.match(await prove('interleaves other data', TYPE1, written(TYPE1)).proof, {
    result: 'not-proven',
    text: /plain read/,
  });
  const zeroGuards = written(TYPE1, zeros);
  t.match(
    await prove('interleaves', TYPE1, zeroGuards).proof,
    { result: 'not-proven' },
    'right reference tags, but every guard is zero',
  );
  const few = written(TYPE1, pattern(8 * 512, 1));
  few.tuples.fill(0xff, 0, 32);
  t.match(
    await prove('interleaves', TYPE1, few).proof,
    { result: 'not-proven' },
    'half of the tuples escaped',
  );
  const misplaced = written(TYPE1);
  misplaced.tuples.copyWithin(0, 8);
  t.match(
    await prove('interleaves', TYPE1, misplaced).proof,
    { result: 'not-proven' },
    'right guards nowhere',
  );
});

t.test('a refusal, no protection, a disk too small', async (t) => {
  t.match(await prove('refuses', TYPE1, written(TYPE1)).proof, {
    result: 'refused',
    text: /refuses RDPROTECT: .*24/i,
  });
  t.match(await prove('interleaves', null, written(TYPE1)).proof, { result: 'unformatted' });
  const small = { data: new Uint8Array(4 * 512), tuples: new Uint8Array(32) };
  t.match(await prove('interleaves', TYPE1, small).proof, { result: 'not-proven', text: /small/ });
});

t.test('what the disk answers for a reason of its own is no refusal: it is asked again', async (t) => {
  for (const [times, result] of [
    [2, 'crosses'],
    [100, 'not-proven'],
  ] as const) {
    const target = new Target({ manner: 'interleaves', blockSize: 512, interval: 512, ...written(TYPE1) });
    const send = target.send.bind(target);
    let left: number = times;
    target.send = async (command) => {
      const reply = await send(command);
      const asked = (command.cdb[1]! & 0xe0) !== 0;
      return asked && left-- > 0 ? { ...reply, outcome: { kind: 'busy' } } : reply;
    };
    const subject = { transport: target, blockSize: 512, blocks: BigInt(BLOCKS), profile: TYPE1 };
    const proof = await proveTuplesCross(subject);
    t.equal(proof.result, result, `${times} times`);
    if (result === 'not-proven') t.match(proof.text, /no answer to RDPROTECT: .*busy/i);
  }
});

t.test('a disk that changes between the reads proves nothing', async (t) => {
  const medium = written(TYPE1);
  let commands = 0;
  const onCommand = () => {
    const next = written(TYPE1, pattern(BLOCKS * 512, ++commands + 1));
    medium.data.set(next.data);
    medium.tuples.set(next.tuples);
  };
  t.match(await prove('interleaves', TYPE1, medium, { onCommand }).proof, {
    result: 'not-proven',
    text: /changed/,
  });
});

t.test('deinterleave takes data and tuples apart', async (t) => {
  const bytes = Uint8Array.from([1, 2, 3, 4, 0xa, 0xb, 5, 6, 7, 8, 0xc, 0xd]);
  t.same(deinterleave(bytes, 4, 2), {
    data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    tuples: Uint8Array.of(0xa, 0xb, 0xc, 0xd),
  });
});

t.test('a disk that is busy, or has something else to say, has refused nothing', async (t) => {
  await using filled = await FilledDisk.make({ blocks: BLOCKS });
  const inner = filled.disk.transport!;
  let asked = 0;
  const transport: ScsiTransport = {
    unitAttentions: 0,
    send: async (command) => {
      const reply = await inner.send(command);
      const checks = command.cdb[1]! >> 5 !== 0;
      return checks && asked++ % 3 === 0 ? { ...reply, outcome: { kind: 'busy' } } : reply;
    },
  };
  const subject = { transport, blockSize: 512, blocks: BigInt(BLOCKS), profile: TYPE1 };
  t.match(await proveTuplesCross(subject), { result: 'crosses' });
});
