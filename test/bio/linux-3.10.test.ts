/** Linux 3.10, whose quirks are the reason why there is a mirror of it. */
import t from 'tap';
import { bioAdvance } from '../../src/bio/advance.js';
import { Bio } from '../../src/bio/bio.js';
import {
  bioEndio,
  bioIntegrityEnabled,
  bioIntegrityEndio,
  bioIntegrityPrep,
  bioIntegrityVerify,
} from '../../src/bio/bio-integrity.js';
import {
  bioIntegrityHwSectors,
  bioIntegrityMarkHead,
  bioIntegrityMarkTail,
  bioIntegrityTrim,
} from '../../src/bio/bip.js';
import { blkIntegrityComplete, blkIntegrityPrepare } from '../../src/bio/blk-integrity.js';
import { BioIntegrityPayload } from '../../src/bio/payload.js';
import { semanticsByName } from '../../src/bio/semantics.js';
import { bioClone, bioSplit, bioTrim } from '../../src/bio/split.js';
import { completeBio, submitBio } from '../../src/bio/submit.js';
import { plainEngine } from '../../src/pi/engine.js';
import {
  device,
  ended,
  errorOf,
  filled,
  hex,
  mediumTuples,
  payload,
  segmented,
  servedRead,
  TYPE1,
  TYPE3,
  varied,
} from '../support/bio.js';

const semantics = semanticsByName('3.10');
const lengths = ({ vecs }: BioIntegrityPayload) => vecs.map(({ offset, length }) => [offset, length]);

t.test('enabled: by profile, functions and flags, not by the operation', async (t) => {
  const enabled = (...options: Parameters<typeof device>) =>
    (['read', 'write'] as const).map((op) =>
      bioIntegrityEnabled(Bio[op]({ device: device(...options), lba: 0n, data: filled(0) })),
    );
  t.same(enabled('3.10'), [true, true]);
  t.same(enabled('3.10', 'none'), [false, false]);
  t.same(enabled('3.10', 'nop', { metadataSize: 8 }), [false, false], 'a profile without functions');
  t.same(enabled('3.10', TYPE1, { readVerify: false }), [false, true]);
  t.same(enabled('3.10', TYPE1, { writeGenerate: false }), [true, false]);
  const bio = Bio.discard({ device: device('3.10'), lba: 0n, intervals: 8 });
  t.equal(bioIntegrityEnabled(bio), true, 'a discard is prepared');
  t.equal(bioIntegrityEnabled(Bio.flush({ device: device('3.10') })), true, 'and a flush');
  bioIntegrityPrep(bio);
  t.equal(bioIntegrityEnabled(bio), false, 'not twice');
});

t.test('a discard carries what memory held, a large one fails', async (t) => {
  const small = Bio.discard({ device: device('3.10'), lba: 0n, intervals: 2 });
  t.same(submitBio(small), filled(0x5a, 16), 'nothing was generated, nothing zeroed');
  const large = Bio.discard({ device: device('3.10'), lba: 0n, intervals: 2 ** 19 + 1 });
  t.equal(submitBio(large), null);
  t.match(large, { status: 'IOERR', ended: true });
  const unpooled = Bio.discard({ device: device('3.10'), lba: 0n, intervals: 2 ** 19 + 1, bioset: null });
  submitBio(unpooled);
  t.match(unpooled, { status: 'IOERR', ended: true }, 'its buffer is more than kmalloc gives');
  const flush = Bio.flush({ device: device('3.10') });
  t.equal(submitBio(flush)?.length, 0);
  t.equal(flush.ended, false);
  const later = Bio.discard({ device: device('4.19'), lba: 0n, intervals: 2 });
  t.equal(submitBio(later), null, 'since 4.19 it goes without');
  t.equal(later.ended, false);
});

t.test('prep: what a caller gets, and what the submitter sees', async (t) => {
  const on = device('3.10');
  const write = () => Bio.write({ device: on, lba: 0n, data: filled(0x33) });
  t.equal(
    bioIntegrityPrep(write(), () => false),
    -12,
    'no buffer: ENOMEM',
  );
  const plain = Bio.write({ device: on, lba: 0n, data: filled(0x33), bioset: null });
  t.equal(
    bioIntegrityPrep(plain, (piece) => piece !== 'payload'),
    -5,
    'no payload: EIO',
  );
  t.equal(plain.ended, false, 'ending it is the caller’s');
  for (const piece of ['buffer', 'payload'] as const) {
    const bio = Bio.write({ device: on, lba: 0n, data: filled(0x33), bioset: null });
    submitBio(bio, (asked) => asked !== piece);
    t.match(bio, { status: 'IOERR', ended: true }, `the submitter sees EIO without ${piece}`);
  }
  const unprotected = Bio.write({ device: device('3.10', 'none'), lba: 0n, data: filled(0) });
  t.equal(
    errorOf(() => bioIntegrityPrep(unprotected)),
    'kernel BUG: bi == NULL',
  );
  const twice = write();
  bioIntegrityPrep(twice);
  t.equal(
    errorOf(() => bioIntegrityPrep(twice)),
    'kernel BUG: bio_integrity(bio)',
  );
});

t.test('vectors that are full pass for success', async (t) => {
  // 5 pages of tuples, in a payload that takes itself for one of 4 vectors.
  const data = varied((5 * 4096 * 512) / 8);
  const broken = Uint8Array.from(data);
  broken[0]! ^= 1;
  const read = Bio.read({ device: device('3.10'), lba: 0n, data: broken, bioset: null });
  t.equal(bioIntegrityPrep(read), 0);
  t.equal(payload(read).vecs.length, 4);
  payload(read).buffer.set(mediumTuples(read.device, 0n, data));
  t.equal(completeBio(read), 'OK', 'a corrupt read passes');

  const write = Bio.write({ device: device('3.10'), lba: 0n, data, bioset: null });
  t.equal(bioIntegrityPrep(write), 0);
  t.same(payload(write).buffer.subarray(0, 8), filled(0x5a, 8), 'a write sends what memory held');

  const pooled = Bio.write({ device: device('3.10'), lba: 0n, data });
  t.equal(bioIntegrityPrep(pooled), 0);
  t.same([pooled.integrity?.vecs.length, pooled.integrity?.vecsMax], [5, 16], 'with pools there is room');
  t.same(payload(pooled).buffer, mediumTuples(pooled.device, 0n, data));

  // The vectors of later kernels are as many as were asked for: only a queue that takes few pieces can be full.
  const ends = Bio.write({ device: device('6.12', TYPE1, { maxIntegritySegments: 1 }), lba: 0n, data });
  t.equal(bioIntegrityPrep(ends), 0, 'pages of one buffer are one piece since 6.12');
});

t.test('an escaped tuple exempts the rest of its segment, not the next one', async (t) => {
  const data = filled(0x5a, 2048);
  for (const [format, exempt] of [
    [TYPE1, '0000ffff00000000'],
    [TYPE3, '0000ffffffffffff'],
  ] as const) {
    for (const [kernel, inSegment, inNext] of [
      ['3.10', 'OK', 'IOERR'],
      ['4.19', 'PROTECTION', 'PROTECTION'],
    ] as const) {
      const on = device(kernel, format);
      const tuples = Buffer.from(mediumTuples(on, 0n, data));
      if (format === TYPE3) for (let i = 0; i < 4; i++) tuples.fill(0, i * 8 + 4, i * 8 + 8);
      tuples.write(exempt, 0, 'hex');
      const corrupt = (interval: number) => {
        const bad = Buffer.from(tuples);
        bad[interval * 8]! ^= 1;
        return ended(servedRead(on, 0n, { segments: segmented(data, [1024]) }, bad));
      };
      t.equal(corrupt(1), inSegment, `${kernel} ${format}: behind it in its segment`);
      t.equal(corrupt(2), inNext, `${kernel} ${format}: in the next segment`);
    }
  }
  const on = device('3.10', TYPE3);
  const half = Buffer.from('0000ffff00000000'.repeat(4), 'hex');
  t.equal(ended(servedRead(on, 0n, { data }, half)), 'IOERR', 'type 3: both tags or it is none');
});

t.test('a completion in part shrinks the segment, and verify is mis-sized', async (t) => {
  const data = varied(8 * 512);
  for (const [kernel, status] of [
    ['3.10', 'IOERR'],
    ['4.19', 'OK'],
    ['current', 'OK'],
  ] as const) {
    const on = device(kernel);
    const bio = Bio.read({ device: on, lba: 40n, data });
    submitBio(bio)!.set(mediumTuples(on, 40n, data));
    blkIntegrityComplete(bio, 3 * 512);
    bioAdvance(bio, 3 * 512);
    blkIntegrityComplete(bio);
    bioAdvance(bio, 5 * 512);
    t.equal(ended(bio), status, `${kernel}: right data`);
  }
  const bio = Bio.read({ device: device('3.10'), lba: 40n, data });
  bioAdvance(bio, 3 * 512);
  t.match(bio.segments, [{ offset: 3 * 512, length: 5 * 512 }]);
  t.equal(data.length, 8 * 512, 'the caller’s memory is not touched');
});

t.test('a seed that is not advanced: reference tags of the rest come out wrong', async (t) => {
  const tags = (kernel: string, interval: number) => {
    const on = device(kernel, TYPE1, { interval });
    const data = filled(0, 4 * interval);
    const bio = Bio.read({ device: on, lba: 16n, data });
    submitBio(bio)!.set(mediumTuples(on, 16n, data));
    blkIntegrityComplete(bio, interval);
    bioAdvance(bio, interval);
    blkIntegrityComplete(bio);
    return Array.from({ length: 4 }, (_, i) => Buffer.from(payload(bio).buffer).readUInt32BE(i * 8 + 4));
  };
  t.same(tags('3.10', 512), [16, 16, 17, 18], '512 bytes too');
  t.same(tags('3.10', 4096), [128, 128, 129, 130]);
  t.same(tags('4.19', 512), [16, 17, 18, 19], '4.19 counts in 512 bytes');
  t.same(tags('4.19', 4096), [128, 136, 137, 138], 'and is wrong where a block is larger');
  for (const kernel of ['5.10', '6.1', '6.12', 'current']) {
    t.same(tags(kernel, 512), [16, 17, 18, 19], kernel);
    t.same(tags(kernel, 4096), [128, 129, 130, 131], kernel);
  }
});

t.test('hw_sectors knows 512 and 4096', async (t) => {
  const sectors = (interval: number) =>
    bioIntegrityHwSectors(device('3.10', TYPE1, { interval }).profile, 24, semantics);
  t.same([512, 1024, 2048, 4096].map(sectors), [24, 24, 24, 3]);
});

t.test('1024 and 2048 bytes: completion takes the sector for the LBA', async (t) => {
  for (const [interval, right] of [
    [512, true],
    [1024, false],
    [2048, false],
    [4096, true],
  ] as const) {
    const on = device('3.10', TYPE1, { interval });
    const data = varied(2 * interval);
    const bio = Bio.read({ device: on, lba: 100n, data });
    submitBio(bio)!.set(mediumTuples(on, 100n, data));
    t.equal(completeBio(bio), right ? 'OK' : 'IOERR', `${interval}`);
  }
});

t.test('mark_head and mark_tail', async (t) => {
  const make = () => {
    const made = new BioIntegrityPayload(4, 4);
    for (let i = 0; i < 3; i++) made.vecs.push({ buffer: filled(0, 64), offset: 8, length: 32 });
    made.iterator = { ...made.iterator, size: 96 };
    return made;
  };
  const head = (skip: number) => {
    const made = make();
    bioIntegrityMarkHead(semantics, made, skip);
    t.equal(made.iterator.size, 96, 'the size stays');
    return [made.iterator.index, lengths(made)];
  };
  const whole = [
    [8, 32],
    [8, 32],
    [8, 32],
  ];
  t.same(head(0), [0, whole]);
  t.same(head(8), [0, [[16, 24], [8, 32], [8, 32]]]); // biome-ignore format: a line a case
  t.same(head(32), [1, whole], 'a whole vector is stepped over');
  t.same(head(72), [2, [[8, 32], [8, 32], [16, 24]]]); // biome-ignore format: a line a case
  t.same(head(96), [0, whole], 'just all of it: nothing changes');
  t.same(head(104), [0, whole], 'more than there is: nothing changes');

  const tail = (length: number) => {
    const made = make();
    bioIntegrityMarkTail(semantics, made, length);
    t.equal(made.iterator.size, 96, 'the size stays');
    return lengths(made);
  };
  t.same(tail(0), []);
  t.same(tail(24), [[8, 24]]);
  t.same(tail(32), [[8, 32]]);
  t.same(tail(40), [[8, 32], [8, 8]]); // biome-ignore format: a line a case
  t.same(tail(96), whole);
  t.same(tail(500), whole);
  t.match(
    errorOf(() => bioIntegrityMarkHead(semanticsByName('4.19'), make(), 8)),
    'Linux 4.19 has no bio_integrity_mark_head: it is in 3.10-before-fix, 3.10',
  );
  t.match(
    errorOf(() => bioIntegrityMarkTail(semanticsByName('7.1'), make(), 8)),
    'Linux 7.1 has no bio_integrity_mark_tail',
  );
});

t.test('trim counts a tuple for every 512 bytes', async (t) => {
  const trimmed = (kernel: string, interval: number) => {
    const bio = Bio.write({
      device: device(kernel, TYPE1, { interval }),
      lba: 0n,
      data: filled(0, 64 * interval),
    });
    bioIntegrityPrep(bio);
    const clone = bioClone(bio) as Bio;
    const unit = interval / 512;
    bioTrim(clone, 2 * unit, 3 * unit);
    const { seed, vecs, iterator } = clone.integrity!;
    if (kernel !== '3.10') return [seed, iterator.done, iterator.size];
    return [seed, vecs[0]!.offset, vecs[0]!.length];
  };
  t.same(trimmed('3.10', 512), [2n, 16, 24]);
  t.same(trimmed('3.10', 4096), [16n, 16 * 8, 24 * 8], '8 times too far on 4096 bytes, and the seed with it');
  t.same(trimmed('current', 512), [2n, 16, 24]);
  t.same(trimmed('current', 4096), [2n, 16, 24]);
  const bio = Bio.write({ device: device('3.10'), lba: 0n, data: filled(0) });
  bioIntegrityPrep(bio);
  t.equal(
    errorOf(() => bioIntegrityTrim(bio, 0, 1)),
    'kernel BUG: !bio_flagged(bio, BIO_CLONED)',
  );
});

t.test('what dm cuts out of a bio is verified alone', async (t) => {
  const data = varied(8 * 512);
  const bio = Bio.read({ device: device('3.10'), lba: 40n, segments: segmented(data, [2048]) });
  const clone = bioClone(bio) as Bio;
  bioTrim(clone, 3, 3);
  t.same(
    clone.segments.map(({ length }) => length),
    [512, 1024],
  );
  submitBio(clone)!.set(mediumTuples(bio.device, 43n, data.subarray(3 * 512, 6 * 512)));
  t.equal(completeBio(clone), 'OK');
});

t.test('split mixes its units', async (t) => {
  const halves = (interval: number, sectors: number) => {
    const bio = Bio.write({
      device: device('3.10', TYPE1, { interval }),
      lba: 0n,
      data: filled(0, 32 * interval),
    });
    bioIntegrityPrep(bio);
    const [front, rest] = bioSplit(bio, sectors);
    return [front, rest].map(({ integrity, iterator }) => [
      iterator.sector,
      iterator.size,
      integrity!.seed,
      ...lengths(integrity!),
    ]);
  };
  t.same(halves(512, 8), [
    [0n, 8 * 512, 0n, [0, 64]],
    [8n, 24 * 512, 8n, [64, 192]],
  ]);
  t.same(
    halves(4096, 8),
    [
      [0n, 4096, 0n, [0, 64]],
      [8n, 31 * 4096, 1n, [64, 192]],
    ],
    'one block is split off, with the tuples of 8; the seed goes on by 1',
  );
  t.match(
    errorOf(() => halves(4096, 64)),
    'ERR_OUT_OF_RANGE: 64 sectors are taken for as many tuples, 512 bytes of metadata, and there are 256',
  );
  const two = Bio.write({ device: device('3.10'), lba: 0n, segments: segmented(filled(0, 1024), [512]) });
  t.equal(
    errorOf(() => bioSplit(two, 1)),
    'kernel BUG: bi->bi_vcnt != 1',
  );
  const pages = Bio.write({ device: device('3.10'), lba: 0n, data: filled(0, 1024 * 512) });
  bioIntegrityPrep(pages);
  t.equal(
    errorOf(() => bioSplit(pages, 8)),
    'kernel BUG: bip->bip_vcnt != 1',
  );
  const [front, rest] = bioSplit(Bio.read({ device: device('3.10'), lba: 0n, data: filled(0, 1024) }), 1);
  t.same([front.integrity, rest.integrity], [null, null], 'no payload, nothing to split');
});

t.test('a clone: vectors, seed and place; neither buffer nor end_io', async (t) => {
  const bio = Bio.read({ device: device('3.10'), lba: 5n, data: filled(0, 2048) });
  bioIntegrityPrep(bio);
  const clone = bioClone(bio) as Bio;
  t.match(clone.integrity, { seed: 5n, buffer: null, replacesEndIo: false, iterator: { size: 0 } });
  t.equal(payload(bio).iterator.size, 32);
  t.equal(clone.integrity?.bio, clone);
  t.same(lengths(clone.integrity!), lengths(payload(bio)));
  t.equal(ended(clone), 'OK', 'it is not verified');
  const unpooled = Bio.read({ device: device('3.10'), lba: 5n, data: filled(0), bioset: null });
  bioIntegrityPrep(unpooled);
  t.equal(
    bioClone(unpooled, () => false),
    -5,
    'no memory: EIO',
  );

  // Behind its first segment: verify of 3.10 begins at the first all the same.
  const data = varied(1024);
  const moved = Bio.read({ device: device('3.10'), lba: 0n, segments: segmented(data, [512]) });
  bioAdvance(moved, 512);
  bioIntegrityPrep(moved);
  t.match(bioIntegrityVerify(moved), { status: 'IOERR', intervals: 1 }, 'the first mismatch ends it');
  const { profile } = moved.device;
  const first = data.subarray(0, 512);
  payload(moved).buffer.set(
    plainEngine.generate(first, { profile, layout: 'separate', seed: 1n, type3Ref: 'zero' }),
  );
  t.match(
    errorOf(() => bioIntegrityVerify(moved)),
    'kernel BUG: total > bio->bi_integrity->bip_size',
    'only behind a segment that has verified well',
  );
});

t.test('the payload stays with the bio, and end_io is put back', async (t) => {
  const bio = Bio.read({ device: device('3.10'), lba: 0n, data: filled(0) });
  let calls = 0;
  bio.endIo = () => calls++;
  submitBio(bio)!.fill(0);
  t.equal(payload(bio).replacesEndIo, true);
  completeBio(bio);
  t.match([bio.status, calls, payload(bio).replacesEndIo], ['OK', 1, false]);
  bioEndio(bio, 'OK');
  t.equal(calls, 2, 'a second end goes straight to it');
  const write = Bio.write({ device: device('3.10'), lba: 0n, data: filled(0) });
  bioIntegrityPrep(write);
  t.equal(payload(write).replacesEndIo, false, 'a write ends by itself');
  t.equal(bioIntegrityEndio(write), true);
});

t.test('a payload that is another bio’s: endio stops at it', async (t) => {
  const bio = Bio.read({ device: device('3.10'), lba: 0n, data: filled(0) });
  submitBio(bio);
  t.equal(payload(bio).bio, bio);
  const taken = Bio.read({ device: device('3.10'), lba: 0n, data: filled(0) });
  taken.integrity = bio.integrity;
  t.equal(
    errorOf(() => bioEndio(taken)),
    'kernel BUG: bip->bip_bio != bio',
  );
});

t.test('no flags: an IP guard is known by the host alone', async (t) => {
  const bio = Bio.write({ device: device('3.10', 'T10-DIF-TYPE1-IP'), lba: 0n, data: filled(0) });
  bioIntegrityPrep(bio);
  t.same([...payload(bio).flags], []);
});

t.test('4.19: a count that leads back beyond the beginning is an I/O error', async (t) => {
  const bio = Bio.read({ device: device('4.19'), lba: 8n, data: filled(0x5a) });
  submitBio(bio)!.set(mediumTuples(bio.device, 8n, filled(0x5a)));
  bioAdvance(bio, 512);
  bio.iterator = { ...bio.iterator, moved: 1024 };
  t.match(bioIntegrityVerify(bio), { status: 'IOERR', errno: -5, intervals: 0, finding: null });
});

t.test('type 3: reference tags 0, also where the LBA is not', async (t) => {
  const bio = Bio.write({ device: device('3.10', TYPE3), lba: 40n, data: filled(0x5a, 1024) });
  submitBio(bio);
  t.equal(hex(payload(bio).buffer), '7867000000000000 7867000000000000');
  blkIntegrityPrepare(bio);
  t.equal(hex(payload(bio).buffer), '7867000000000000 7867000000000000');
});
