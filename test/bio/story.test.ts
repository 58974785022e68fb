import t from 'tap';
import { Bio } from '../../src/bio/bio.js';
import { bioIntegrityVerify } from '../../src/bio/bio-integrity.js';
import { completeBio, submitBio } from '../../src/bio/submit.js';
import { bioIntegrityInit } from '../../src/bio/workqueue.js';
import { device, mediumTuples, segmented, TYPE1, varied } from '../support/bio.js';

/**
 * The bug that this project began with (Linux commit 5837c80e870b, in 3.14 and 3.10.y): a READ completes,
 * bio_advance moves the index of the bio behind its last segment, and only then does kintegrityd verify. Its
 * walk began at that index: there was nothing left to look at, and nothing wrong with it.
 */
t.test("the origin's bug: a corrupt READ passes before the fix and fails after it", async (t) => {
  const lba = 100n;
  const written = varied(4 * 512);
  for (const [kernel, seen] of [
    ['3.10-before-fix', { status: 'OK', errno: 0, intervals: 0 }],
    ['3.10', { status: 'IOERR', errno: -5, intervals: 3 }],
    ['current', { status: 'PROTECTION', errno: -84, intervals: 3 }],
  ] as const) {
    await t.test(kernel, async (t) => {
      const kintegrityd = bioIntegrityInit();
      const disk = device(kernel, TYPE1, { kintegrityd });

      // On the medium: what was written, with its tuples, and then a bit of block 102 turned.
      const tuples = mediumTuples(disk, lba, written);
      const medium = Uint8Array.from(written);
      medium[2 * 512 + 17]! ^= 0x04;

      // The file system reads the four blocks, into two pieces of memory.
      const segments = segmented(new Uint8Array(4 * 512), [1024]);
      const bio = Bio.read({ device: disk, lba, segments });
      const metadata = submitBio(bio)!;

      // The disk fills data and metadata, and finds nothing wrong: it does not look.
      let at = 0;
      for (const { buffer, offset, length } of segments) {
        buffer.set(medium.subarray(at, at + length), offset);
        at += length;
      }
      metadata.set(tuples);

      // The read completes; the work that kintegrityd has to do waits until the bio has come to its end.
      t.equal(completeBio(bio), null, 'verify has yet to say');
      t.equal(bio.ended, false);
      t.equal(bio.iterator.index, 2, 'bio_advance has moved the index behind the last segment');
      t.match(bioIntegrityVerify(bio), seen, 'what verify says, and how many intervals it looked at');
      kintegrityd.run();
      t.equal(bio.ended, true);
      t.equal(
        bio.status,
        seen.status,
        seen.status === 'OK' ? 'wrong data is delivered with success' : 'the read fails',
      );
    });
  }
});

t.test('what is right passes in all of them', async (t) => {
  for (const kernel of ['3.10-before-fix', '3.10', 'current']) {
    const disk = device(kernel);
    const data = varied(2048);
    const bio = Bio.read({ device: disk, lba: 7n, data });
    submitBio(bio)!.set(mediumTuples(disk, 7n, data));
    t.equal(completeBio(bio), 'OK', kernel);
  }
});
