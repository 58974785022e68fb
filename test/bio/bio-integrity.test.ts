import fc from 'fast-check';
import t from 'tap';
import { bioAdvance } from '../../src/bio/advance.js';
import { Bio, type BioDevice } from '../../src/bio/bio.js';
import {
  bioIntegrityAction,
  bioIntegrityGenerate,
  bioIntegrityPrep,
  bioIntegrityVerify,
} from '../../src/bio/bio-integrity.js';
import {
  bioIntegrityAdvance,
  bioIntegrityBytes,
  bioIntegrityIntervals,
  bioIntegrityTrim,
} from '../../src/bio/bip.js';
import { blkIntegrityComplete, blkIntegrityPrepare } from '../../src/bio/blk-integrity.js';
import type { BioVec } from '../../src/bio/bvec.js';
import { SEMANTICS_NAMES, semanticsByName, semanticsForRelease } from '../../src/bio/semantics.js';
import { bioClone, bioSplit, bioTrim } from '../../src/bio/split.js';
import { KernelBugError } from '../../src/errors.js';
import { plainEngine } from '../../src/pi/engine.js';
import { profileByName } from '../../src/pi/profile.js';
import {
  device,
  ended,
  errorOf,
  filled,
  hex,
  payload,
  SINCE_4_19,
  servedRead,
  TYPE1,
  TYPE3,
  varied,
} from '../support/bio.js';

const ROWS = SINCE_4_19;

t.test('a write, everyday: the tuples that scsi_debug received', async (t) => {
  for (const name of ROWS) {
    const bio = Bio.write({ device: device(name), lba: 16n, data: Buffer.concat([filled(0x33), filled(0)]) });
    t.equal(bioIntegrityPrep(bio), 0);
    blkIntegrityPrepare(bio);
    t.equal(hex(payload(bio).buffer), 'b218000000000010 0000000000000011', name);
  }
});

t.test(
  'a seed starts as a sector of 512 bytes and counts intervals; on the medium it is the LBA',
  async (t) => {
    for (const name of ROWS) {
      const bio = Bio.write({
        device: device(name, TYPE1, { interval: 4096 }),
        lba: 5n,
        data: filled(0, 3 * 4096),
      });
      bioIntegrityPrep(bio);
      t.equal(
        hex(payload(bio).buffer),
        '0000000000000028 0000000000000029 000000000000002a',
        `${name}: 8L + k`,
      );
      blkIntegrityPrepare(bio);
      t.equal(
        hex(payload(bio).buffer),
        '0000000000000005 0000000000000006 0000000000000007',
        `${name}: L + k`,
      );
      blkIntegrityComplete(bio);
      t.equal(
        hex(payload(bio).buffer),
        '0000000000000028 0000000000000029 000000000000002a',
        `${name}: and back`,
      );
    }
  },
);

t.test("on a partition the sectors are the whole disk's", async (t) => {
  // Block 3 of a partition that starts at sector 2048, on a disk of 4096-byte blocks.
  const lba = 2048n / 8n + 3n;
  const bio = Bio.write({ device: device('current', TYPE1, { interval: 4096 }), lba, data: filled(0, 4096) });
  bioIntegrityPrep(bio);
  t.equal(payload(bio).seed, 2048n + 24n);
  blkIntegrityPrepare(bio);
  t.equal(hex(payload(bio).buffer), '0000000000000103');
});

t.test('type 3: reference tags by kernel, never remapped', async (t) => {
  for (const [name, expected] of [
    ['6.1', '7867000000000000 7867000000000000'],
    ['6.12', '7867000000000000 7867000000000000'],
    ['7.1', '7867000000000028 7867000000000029'],
  ] as const) {
    const bio = Bio.write({
      device: device(name, TYPE3, { interval: 512 }),
      lba: 40n,
      data: filled(0x5a, 1024),
    });
    bioIntegrityPrep(bio);
    blkIntegrityPrepare(bio);
    t.equal(hex(payload(bio).buffer), expected, name);
  }
  const virtual = Bio.write({
    device: device('7.1', 'T10-DIF-TYPE3-IP', { interval: 4096 }),
    lba: 5n,
    data: filled(0, 4096),
  });
  bioIntegrityPrep(virtual);
  blkIntegrityPrepare(virtual);
  t.equal(hex(payload(virtual).buffer), 'ffff000000000028', 'on the medium too it is the virtual tag');
});

t.test('any segmentation gives the tuples of the whole', async (t) => {
  const cases = fc.record({
    name: fc.constantFrom(...ROWS),
    format: fc.constantFrom(TYPE1, TYPE3, 'T10-DIF-TYPE1-IP', 'EXT-DIF-TYPE1-CRC64'),
    interval: fc.constantFrom(512, 4096),
    intervals: fc.integer({ min: 1, max: 12 }),
    lba: fc.bigInt(0n, 2n ** 34n),
    cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 }),
    margin: fc.nat(40),
  });
  const property = fc.property(cases, ({ name, format, interval, intervals, lba, cuts, margin }) => {
    if (!semanticsByName(name).guards.includes(profileByName(format).guard!)) return true;
    const on = device(name, format, { interval });
    const data = varied(intervals * interval);
    // Where the kernel lets intervals straddle, cut anywhere; elsewhere between intervals.
    const grain = on.semantics.straddling ? 1 : interval;
    const bounds = [0, ...cuts.map((cut) => Math.floor((cut * data.length) / grain) * grain), data.length];
    bounds.sort((a, b) => a - b);
    const segments: BioVec[] = bounds.slice(1).map((end, i) => {
      const part = data.subarray(bounds[i]!, end);
      const buffer = filled(0xee, part.length + 2 * margin);
      buffer.set(part, margin);
      return { buffer, offset: margin, length: part.length };
    });

    const medium = plainEngine.generate(data, {
      profile: on.profile,
      layout: 'separate',
      seed: on.profile.type === 3 ? lba * BigInt(interval / 512) : lba,
      type3Ref: on.semantics.type3Ref,
    });
    const write = Bio.write({ device: on, lba, segments });
    bioIntegrityPrep(write);
    blkIntegrityPrepare(write);
    if (hex(payload(write).buffer) !== hex(medium)) return false;

    const read = Bio.read({ device: on, lba, segments });
    bioIntegrityPrep(read);
    payload(read).buffer.set(medium);
    blkIntegrityComplete(read);
    bioAdvance(read, data.length);
    return ended(read) === 'OK' && read.integrity === null;
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 200 }));
});

t.test('verify walks every segment although completion has advanced past all of them', async (t) => {
  for (const name of ROWS) {
    const on = device(name);
    const data = varied(4 * 512);
    const tuples = plainEngine.generate(data, {
      profile: on.profile,
      layout: 'separate',
      seed: 100n,
      type3Ref: 'zero',
    });
    for (let corrupt = 0; corrupt < 4; corrupt++) {
      const broken = Uint8Array.from(data);
      broken[corrupt * 512 + 511]! ^= 0x80;
      const segments = [0, 1, 2, 3].map((i) => ({ buffer: broken, offset: i * 512, length: 512 }));
      const bio = Bio.read({ device: on, lba: 100n, segments });
      bioIntegrityPrep(bio);
      payload(bio).buffer.set(tuples);
      blkIntegrityComplete(bio);
      bioAdvance(bio, 2048);
      t.equal(bio.iterator.size, 0);
      const { status, errno, finding } = bioIntegrityVerify(bio);
      t.same([status, errno], ['PROTECTION', -84], `${name}: segment ${corrupt}`);
      t.match(finding, { seed: 100n + BigInt(corrupt), check: 'guard' });
      t.equal(ended(bio), 'PROTECTION');
      t.equal(bio.integrity, null, 'the payload is gone');
    }
  }
});

t.test('verify: what it compares', async (t) => {
  const data = filled(0x5a, 1024);
  for (const [what, format, tuples, status] of [
    ['clean', TYPE1, '7867 0000 00000007 7867 0000 00000008', 'OK'],
    ['the application tag never', TYPE1, '7867 1234 00000007 7867 5678 00000008', 'OK'],
    ['reference tag', TYPE1, '7867 0000 00000007 7867 0000 00000007', 'PROTECTION'],
    ['an escaped interval not, but the next', TYPE1, '0000 ffff 00000000 0000 0000 00000008', 'PROTECTION'],
    ['all escaped', TYPE1, 'ffff ffff ffffffff ffff ffff ffffffff', 'OK'],
    ['type 3 has no reference tag', TYPE3, '7867 0000 12345678 7867 0000 00000000', 'OK'],
    ['type 3, application tag FFFFh alone', TYPE3, '0000 ffff 00000000 7867 0000 00000000', 'PROTECTION'],
  ] as const) {
    for (const name of ROWS) {
      const stored = Buffer.from(tuples.replaceAll(' ', ''), 'hex');
      t.equal(
        ended(servedRead(device(name, format), 7n, { data: data }, stored)),
        status,
        `${name}: ${what}`,
      );
    }
  }
  const zeros = filled(0, 16);
  const bio = servedRead(device('current', TYPE1, { interval: 4096 }), 2n, { data: filled(1, 8192) }, zeros);
  t.match(
    bioIntegrityVerify(bio).finding,
    { seed: 16n, check: 'ref', stored: 0, computed: 16 },
    'tags are virtual',
  );
});

t.test('an I/O that failed is not verified', async (t) => {
  for (const name of ROWS) {
    const bio = servedRead(device(name), 0n, { data: filled(1) }, filled(0x22, 8));
    bio.status = 'IOERR';
    t.equal(ended(bio), 'IOERR', name);
    t.equal(bio.integrity, null);
  }
  const write = Bio.write({ device: device('current'), lba: 0n, data: filled(1) });
  bioIntegrityPrep(write);
  payload(write).buffer.fill(0);
  t.equal(ended(write), 'OK', 'nor is a write');
  t.equal(ended(write), 'OK', 'nor what has no payload');
});

t.test('which bios are prepared', async (t) => {
  const action = (on: BioDevice, op: 'read' | 'write', bytes = on.profile.interval) =>
    bioIntegrityAction(Bio[op]({ device: on, lba: 0n, data: filled(0, bytes) }));
  const off = { readVerify: false, writeGenerate: false };
  const wide = { metadataSize: 16 };
  const nothing = { buffer: false, check: false, zero: false };
  for (const name of ROWS) {
    t.match(action(device(name, 'none'), 'read'), { ...nothing, skipped: 'no-profile' }, name);
    t.match(action(device(name), 'write', 0), { ...nothing, skipped: 'no-sectors' }, name);
    t.match(action(device(name, TYPE1, off), 'read'), { ...nothing, skipped: 'switched-off' }, name);
    t.match(action(device(name, TYPE1, off), 'write'), { ...nothing, skipped: 'switched-off' }, name);
    t.match(
      action(device(name, TYPE1, { readVerify: false }), 'write'),
      { check: true, skipped: null },
      name,
    );
    t.match(
      action(device(name, TYPE1, { writeGenerate: false }), 'read'),
      { check: true, skipped: null },
      name,
    );
    t.match(action(device(name), 'read'), { buffer: true, check: true, zero: false, skipped: null }, name);
    t.match(
      action(device(name), 'write'),
      { buffer: true, check: true, zero: name === '5.10' || name === '6.1' },
      name,
    );
    t.match(
      action(device(name, TYPE1, wide), 'write'),
      { zero: name !== '4.19' },
      `${name}: no byte of the kernel leaks, since 5.10.y`,
    );

    const bare = name === '7.1';
    t.match(
      action(device(name, TYPE1, { ...wide, ...off }), 'read'),
      { buffer: bare, check: false, zero: false },
      name,
    );
    t.match(
      action(device(name, TYPE1, { ...wide, ...off }), 'write'),
      { buffer: bare, check: false, zero: bare },
      name,
    );

    const twice = Bio.write({ device: device(name), lba: 0n, data: filled(0) });
    bioIntegrityPrep(twice);
    const first = payload(twice);
    t.equal(bioIntegrityAction(twice).skipped, 'has-payload', name);
    t.equal(bioIntegrityPrep(twice), 0);
    t.equal(twice.integrity, first, `${name}: a payload that is there stays`);
  }

  t.test('switched off, in 7.1, with metadata beyond the tuple: a buffer that nobody checks', async (t) => {
    const on = device('7.1', TYPE1, { ...wide, ...off });
    const write = Bio.write({ device: on, lba: 3n, data: filled(0x5a) });
    bioIntegrityPrep(write);
    t.same(payload(write).buffer, filled(0, 16), 'zeroed, nothing generated');
    t.equal(ended(servedRead(on, 3n, { data: filled(0x5a) }, filled(0x22, 16))), 'OK', 'nothing verified');
  });

  t.test('a buffer that is not zeroed shows it', async (t) => {
    const read = Bio.read({ device: device('current'), lba: 0n, data: filled(0) });
    bioIntegrityPrep(read);
    t.notSame(payload(read).buffer, filled(0, 8));
    t.equal(ended(read), 'PROTECTION', 'a disk that sent no tuples passes for no zero block');
  });
});

t.test('which reason is told where there are several', async (t) => {
  for (const [name, reason] of [
    ['4.19', 'other-op'],
    ['5.10', 'other-op'],
    ['6.1', 'other-op'],
    ['6.12', 'switched-off'],
    ['7.1', 'other-op'],
  ] as const) {
    const on = device(name, TYPE1, { writeGenerate: false });
    const discard = Bio.discard({ device: on, lba: 0n, intervals: 8 });
    t.equal(bioIntegrityAction(discard).skipped, reason, name);
    const prepared = Bio.write({ device: device(name), lba: 0n, data: filled(0) });
    bioIntegrityPrep(prepared);
    bioAdvance(prepared, 512);
    const first = name === '7.1' ? 'has-payload' : 'no-sectors';
    t.equal(bioIntegrityAction(prepared).skipped, first, name);
  }
});

t.test('flags', async (t) => {
  const flags = (name: string, format: string) => {
    const bio = Bio.write({ device: device(name, format), lba: 0n, data: filled(0) });
    bioIntegrityPrep(bio);
    blkIntegrityPrepare(bio);
    return [...payload(bio).flags].sort();
  };
  t.same(flags('6.1', TYPE1), ['BLOCK_INTEGRITY', 'MAPPED_INTEGRITY']);
  t.same(flags('6.12', 'T10-DIF-TYPE3-IP'), ['BLOCK_INTEGRITY', 'IP_CHECKSUM']);
  t.same(flags('7.1', TYPE1), ['BLOCK_INTEGRITY', 'CHECK_GUARD', 'CHECK_REFTAG', 'MAPPED_INTEGRITY']);
  t.same(flags('7.1', 'T10-DIF-TYPE3-IP'), ['BLOCK_INTEGRITY', 'CHECK_GUARD', 'IP_CHECKSUM']);
});

t.test('no memory', async (t) => {
  for (const name of ['4.19', '5.10', '6.1', '6.12']) {
    const bio = Bio.read({ device: device(name), lba: 0n, data: filled(0) });
    t.equal(
      bioIntegrityPrep(bio, () => false),
      -12,
      `${name}: the bio has ended, ENOMEM`,
    );
    t.equal(bio.ended, true);
    t.equal(bio.status, 'RESOURCE');
    t.equal(bio.integrity, null);
  }
  const bio = Bio.write({ device: device('7.1'), lba: 1n, data: filled(0x5a) });
  t.equal(
    bioIntegrityPrep(bio, () => false),
    0,
    '7.1: the pool has some',
  );
  t.equal(hex(payload(bio).buffer), '7867000000000001');
});

t.test('pages of metadata that the queue cannot take: the bio ends', async (t) => {
  // A page at 4096 leaves a gap where pieces must begin and end at multiples of 8192.
  const data = varied((2 * 4096 * 512) / 8);
  for (const name of ['4.19', '5.10', '6.1']) {
    const bio = Bio.write({ device: device(name, TYPE1, { virtBoundary: 8191 }), lba: 0n, data });
    t.equal(bioIntegrityPrep(bio), -12, name);
    t.match(bio, { status: 'RESOURCE', ended: true, integrity: null });
  }
  for (const name of ['6.12', '7.1']) {
    const bio = Bio.write({ device: device(name, TYPE1, { virtBoundary: 8191 }), lba: 0n, data });
    t.equal(bioIntegrityPrep(bio), 0, `${name}: they are one piece`);
  }
});

t.test('a segment that cuts an interval', async (t) => {
  const data = varied(1024);
  const segments = [
    { buffer: data, offset: 0, length: 700 },
    { buffer: data, offset: 700, length: 324 },
  ];
  for (const name of ['4.19', '5.10', '6.1', '6.12']) {
    for (const op of ['read', 'write'] as const) {
      const bio = Bio[op]({ device: device(name), lba: 0n, segments });
      t.equal(
        errorOf(() => bioIntegrityPrep(bio)),
        `ERR_BAD_LENGTH: segment 0 is 700 bytes, no whole number of intervals of 512: Linux ${name} would run past the buffer of tuples`,
      );
      t.equal(bio.integrity, null, 'nothing was attached');
    }
  }
  for (const name of ['3.10-before-fix', '3.10']) {
    t.equal(
      errorOf(() => bioIntegrityPrep(Bio.write({ device: device(name), lba: 0n, segments }))),
      `ERR_BAD_LENGTH: segment 0 is 700 bytes, no whole number of intervals of 512: Linux ${name} would read past it, and put the next segment's tuples over its last one`,
    );
  }
  const straddling = Bio.write({ device: device('7.1'), lba: 0n, segments });
  t.equal(bioIntegrityPrep(straddling), 0);
});

t.test('a request of several bios', async (t) => {
  const bios = (name: string) => {
    const on = device(name, TYPE1, { interval: 4096 });
    const list = [10n, 12n, 14n].map((lba) => Bio.write({ device: on, lba, data: filled(0, 8192) }));
    for (const bio of list) bioIntegrityPrep(bio);
    return list;
  };
  const refs = (list: Bio[]) => list.map((bio) => hex(payload(bio).buffer).replaceAll('0000000000', ''));

  for (const name of ROWS) {
    const list = bios(name);
    t.same(refs(list), ['000050 000051', '000060 000061', '000070 000071']);
    blkIntegrityPrepare(list);
    t.same(refs(list), ['00000a 00000b', '00000c 00000d', '00000e 00000f'], name);

    blkIntegrityComplete(list, 3 * 4096 + 4095);
    t.same(refs(list), ['000050 000051', '000060 00000d', '00000e 00000f'], 'good intervals only');
    bioAdvance(list[0]!, 8192);
    bioAdvance(list[1]!, 4096);
    blkIntegrityComplete(list.slice(1));
    // 4.19 counts the seed on by 8 for a block of 4096 bytes: after a completion in part the tag is wrong.
    const rest = name === '4.19' ? '000060 000068' : '000060 000061';
    t.same(refs(list), ['000050 000051', rest, '000070 000071'], 'the rest, from where it stands');
  }

  for (const [name, third] of [
    ['6.1', '000070 000071'],
    ['6.12', '000070 000071'],
    ['7.1', '00000e 00000f'],
  ] as const) {
    const list = bios(name);
    blkIntegrityPrepare(list[0]!);
    blkIntegrityPrepare(list);
    t.equal(refs(list)[0], '00000a 00000b', 'not remapped twice');
    t.equal(refs(list)[2], third, `${name}: a bio that is remapped already`);
  }
});

t.test('segments of one buffer, apart and in any order', async (t) => {
  for (const name of ROWS) {
    const buffer = Buffer.concat([filled(0x5a), filled(0xee), filled(0x33), filled(0)]);
    const segments = [1024, 0, 1536].map((offset) => ({ buffer, offset, length: 512 }));
    const bio = Bio.write({ device: device(name), lba: 16n, segments });
    bioIntegrityPrep(bio);
    t.equal(hex(payload(bio).buffer), 'b218000000000010 7867000000000011 0000000000000012', name);
  }
});

t.test('4.19 counts from where a bio was split off, not from where it was prepared', async (t) => {
  const data = varied(2048);
  const read = (prepare: (bio: Bio) => Bio, name = '4.19') => {
    const bio = prepare(Bio.read({ device: device(name), lba: 8n, data }));
    bioIntegrityPrep(bio);
    const { profile } = bio.device;
    const done = data.subarray(2048 - bio.iterator.size);
    const seed = bio.iterator.sector;
    payload(bio).buffer.set(
      plainEngine.generate(done, { profile, layout: 'separate', seed, type3Ref: 'zero' }),
    );
    bioAdvance(bio, bio.iterator.size);
    return ended(bio);
  };
  t.equal(
    read((bio) => bioSplit(bio, 1)[1]),
    'OK',
  );
  const advanced = (bio: Bio) => {
    bioAdvance(bio, 512);
    return bio;
  };
  for (const name of ['5.10', '6.1', '6.12', '7.1']) t.equal(read(advanced, name), 'OK', name);
  t.equal(read(advanced), 'PROTECTION', 'it goes back to the first interval, whose tuple is not here');
});

t.test('an IP guard behind other metadata: 6.12 loses the data', async (t) => {
  const guard = (name: string) => {
    const on = device(name, 'T10-DIF-TYPE1-IP', { metadataSize: 16, piOffset: 8 });
    const bio = Bio.write({ device: on, lba: 0n, data: filled(0x01) });
    bioIntegrityPrep(bio);
    return hex(payload(bio).buffer.subarray(8, 10));
  };
  t.equal(guard('6.12'), 'ffff', 'eight zeros of metadata alone');
  t.equal(guard('7.1'), 'fefe', '256 times 0101h, and they');
  for (const [name, status] of [
    ['6.12', 'OK'],
    ['7.1', 'PROTECTION'],
  ] as const) {
    const on = device(name, 'T10-DIF-TYPE1-IP', { metadataSize: 16, piOffset: 8 });
    const tuple = Buffer.from('0000000000000000' + 'ffff000000000000', 'hex');
    t.equal(ended(servedRead(on, 0n, { data: filled(0x77) }, tuple)), status, `${name}: verify as generate`);
  }
});

t.test('prep begins where the bio stands, in the middle of a segment too', async (t) => {
  const data = Buffer.concat([filled(0), filled(0x33), filled(0x5a)]);
  const bio = Bio.write({ device: device('current'), lba: 15n, data });
  bioAdvance(bio, 512);
  bioIntegrityPrep(bio);
  t.equal(hex(payload(bio).buffer), 'b218000000000010 7867000000000011');
});

t.test('wrong calls', async (t) => {
  const on = device('current');
  t.match(
    errorOf(() => Bio.read({ device: on, lba: 0n, data: filled(0, 500) })),
    'ERR_BAD_LENGTH: 500 bytes',
  );
  t.match(
    errorOf(() => Bio.read({ device: on, lba: -1n, data: filled(0) })),
    'ERR_OUT_OF_RANGE: lba -1',
  );
  t.match(
    errorOf(() => Bio.read({ device: on, lba: 2n ** 64n, data: filled(0) })),
    'ERR_OUT_OF_RANGE: lba',
  );
  const outside = [{ buffer: filled(0), offset: 1, length: 512 }];
  t.match(
    errorOf(() => Bio.read({ device: on, lba: 0n, segments: outside })),
    'ERR_OUT_OF_RANGE: segment 0',
  );
  const bio = Bio.read({ device: on, lba: 0n, data: filled(0) });
  t.match(
    errorOf(() => bioAdvance(bio, 513)),
    'ERR_OUT_OF_RANGE: cannot advance 513',
  );
  t.throws(() => bioIntegrityVerify(bio), new KernelBugError('bio_integrity(bio) == NULL'));
  t.throws(() => bioIntegrityGenerate(bio), new KernelBugError('bio_integrity(bio) == NULL'));
  const behind = Bio.write({
    device: device('6.1', TYPE1, { metadataSize: 16, piOffset: 8 }),
    lba: 0n,
    data: filled(0),
  });
  t.match(
    errorOf(() => bioIntegrityPrep(behind)),
    'ERR_OUT_OF_RANGE: piOffset 8: Linux 6.1',
  );
});

t.test('counts that are none leave everything as it is', async (t) => {
  for (const name of ROWS) {
    const bio = Bio.read({ device: device(name), lba: 0n, data: filled(0, 4096) });
    bioIntegrityPrep(bio);
    const clone = bioClone(bio) as Bio;
    const before = [clone.iterator, clone.integrity!.iterator];
    for (const [offset, sectors] of [
      [3, -1],
      [-1, 2],
      [0.5, 0.5],
      [Number.NaN, 1],
      [0, 9],
    ] as const) {
      t.match(
        errorOf(() => bioTrim(clone, offset, sectors)),
        'ERR_OUT_OF_RANGE: ',
        `${name}: ${offset}, ${sectors}`,
      );
    }
    for (const bad of [-8, Number.NaN, 0.5]) {
      for (const call of [
        () => bioIntegrityTrim(clone, bad),
        () => bioIntegrityAdvance(clone, bad),
        () => blkIntegrityComplete(clone, bad),
        () => bioAdvance(clone, bad),
        () => bioSplit(bio, bad),
      ]) {
        t.match(errorOf(call), 'ERR_OUT_OF_RANGE: ');
      }
    }
    t.match(
      errorOf(() => bioSplit(bio, 0)),
      'leaves one side empty',
    );
    t.same([clone.iterator, clone.integrity!.iterator], before);
  }
});

t.test('counting', async (t) => {
  const profile = profileByName(TYPE1, { interval: 4096, metadataSize: 16 });
  t.equal(bioIntegrityIntervals(profile, 24), 3);
  t.equal(bioIntegrityIntervals(profile, 15), 1);
  t.equal(bioIntegrityBytes(profile, 24), 48);
});

t.test('semantics by name and by release', async (t) => {
  t.same(SEMANTICS_NAMES, ['3.10-before-fix', '3.10', '4.19', '5.10', '6.1', '6.12', '7.1', 'current']);
  t.equal(semanticsByName('current'), semanticsByName('7.1'));
  for (const [release, name] of [
    ['3.10.108', '3.10'],
    ['4.14.336', '4.19'],
    ['4.18.0-553.el8', '4.19'],
    ['4.19.0-27-amd64', '4.19'],
    ['5.4.200', '4.19'],
    ['5.10.0-30-amd64', '5.10'],
    ['6.1.0-50-amd64', '6.1'],
    ['6.1', '6.1'],
    ['6.6.30', '6.1'],
    ['6.12.94+deb13-amd64', '6.12'],
    ['7.0.1', '6.12'],
    ['7.3.4+deb14-amd64', '7.1'],
    ['10.0.0', '7.1'],
  ] as const) {
    t.equal(semanticsForRelease(release).name, name, release);
  }
  for (const release of ['3.9.11', '2.6.32', '3.14.79', '3.18.140', '4.12.14', '', 'six', '6', '-6.1']) {
    t.match(
      errorOf(() => semanticsForRelease(release)),
      'there are 3.10-before-fix, 3.10, 4.19, 5.10, 6.1, 6.12, 7.1',
      release,
    );
  }
  t.match(
    errorOf(() => semanticsByName('2.6')),
    'ERR_OUT_OF_RANGE: no semantics are named "2.6"',
  );
});
