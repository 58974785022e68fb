/** bio_integrity_tag_size, set_tag and get_tag of Linux 3.10. */
import t from 'tap';
import { bioAdvance } from '../../src/bio/advance.js';
import { Bio } from '../../src/bio/bio.js';
import { bioIntegrityPrep } from '../../src/bio/bio-integrity.js';
import { bioIntegrityGetTag, bioIntegritySetTag, bioIntegrityTagSize } from '../../src/bio/tags.js';
import type { ProfileOptions } from '../../src/pi/profile.js';
import { device, errorOf, filled, hex, payload, SINCE_4_19, TYPE1, TYPE3 } from '../support/bio.js';

const bytes = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'));

function prepared(op: 'read' | 'write', format: string, intervals: number, options: ProfileOptions): Bio {
  const on = device('3.10', format, options);
  const bio = Bio[op]({ device: on, lba: 0n, data: filled(0, intervals * on.profile.interval) });
  bioIntegrityPrep(bio);
  return bio;
}

/** Sets tags in a write, carries the metadata over into a read, and gets them. */
function roundTrip(format: string, intervals: number, options: ProfileOptions, tags: Uint8Array) {
  const write = prepared('write', format, intervals, options);
  const set = bioIntegritySetTag(write, tags);
  const read = prepared('read', format, intervals, options);
  payload(read).buffer.set(payload(write).buffer);
  const got = filled(0, tags.length);
  return { set, stored: hex(payload(write).buffer), get: bioIntegrityGetTag(read, got), got };
}

t.test('type 1: swapped on the medium, right again when read', async (t) => {
  const { set, stored, get, got } = roundTrip(TYPE1, 2, { tagSize: 2 }, bytes('a1b2c3d4'));
  t.same([set, get], [0, 0]);
  t.equal(stored, '0000b2a100000000 0000d4c300000001');
  t.same(got, bytes('a1b2c3d4'));
});

t.test('type 3: what get reads it steps over by two', async (t) => {
  const tags = bytes('010203040506' + '111213141516');
  const { set, stored, get, got } = roundTrip(TYPE3, 2, { tagSize: 6 }, tags);
  t.same([set, get], [0, 0]);
  t.equal(stored, '0000020106050403 0000121116151413');
  t.same(got, bytes('0102' + '111213141516' + '00000000'));
});

t.test('4096 bytes: an eighth is stored, and 0 returned all the same', async (t) => {
  const options = { tagSize: 2, interval: 4096 };
  const sixteen = roundTrip(TYPE1, 16, options, filled(0x41, 32));
  t.same([sixteen.set, sixteen.get], [0, 0]);
  t.same(sixteen.got, Uint8Array.from([...filled(0x41, 4), ...filled(0, 28)]), 'two of sixteen');
  const seven = roundTrip(TYPE1, 7, options, filled(0x41, 14));
  t.same([seven.set, seven.got], [0, filled(0, 14)], 'none of seven');
});

t.test('how much fits', async (t) => {
  const room = (options: ProfileOptions, intervals = 4) =>
    bioIntegrityTagSize(prepared('write', TYPE1, intervals, options));
  t.equal(room({ tagSize: 2 }), 8);
  t.equal(room({ tagSize: 2, interval: 4096 }), 8);
  t.equal(room({}), 0, 'the disk leaves no tags to the host');
  const odd = prepared('write', TYPE1, 2, { tagSize: 2 });
  bioAdvance(odd, 256);
  t.equal(bioIntegrityTagSize(odd), 2, 'of a block and a half');
  const longer = (tags: number) =>
    bioIntegritySetTag(prepared('write', TYPE1, 2, { tagSize: 2 }), filled(1, tags));
  t.equal(longer(4), 0);
  t.equal(longer(6), -1, 'longer than the room');
  t.equal(bioIntegritySetTag(prepared('write', TYPE1, 2, {}), filled(1, 2)), -1, 'no room at all');
  t.match(
    errorOf(() => longer(3)),
    'ERR_BAD_LENGTH: 3 bytes of tags: Linux 3.10 would go on to byte 4',
  );
  t.equal(longer(0), 0);
});

t.test('what stops the kernel', async (t) => {
  const options = { tagSize: 2 };
  const write = prepared('write', TYPE1, 1, options);
  const read = prepared('read', TYPE1, 1, options);
  t.equal(
    errorOf(() => bioIntegritySetTag(write, bytes('ffff'))),
    'kernel BUG: sdt->app_tag == 0xffff',
  );
  t.equal(
    errorOf(() => bioIntegritySetTag(read, bytes('0101'))),
    'kernel BUG: bio_data_dir(bio) != WRITE',
  );
  t.equal(
    errorOf(() => bioIntegrityGetTag(write, bytes('0101'))),
    'kernel BUG: bio_data_dir(bio) != READ',
  );
  const empty = Bio.write({ device: write.device, lba: 0n, data: new Uint8Array(0) });
  t.equal(
    errorOf(() => bioIntegrityTagSize(empty)),
    'kernel BUG: bio->bi_size == 0',
  );
  const bare = Bio.write({ device: write.device, lba: 0n, data: filled(0) });
  t.equal(
    errorOf(() => bioIntegritySetTag(bare, bytes('0101'))),
    'kernel BUG: bio_integrity(bio) == NULL',
  );
  for (const tuple of ['0000ffff00000000', '00000000ffffffff']) {
    const third = prepared('read', TYPE3, 1, { tagSize: 6 });
    payload(third).buffer.set(bytes(tuple));
    t.equal(
      errorOf(() => bioIntegrityGetTag(third, filled(0, 6))),
      'kernel BUG: sdt->app_tag == 0xffff || sdt->ref_tag == 0xffffffff',
    );
  }
});

t.test('later kernels have none', async (t) => {
  for (const name of SINCE_4_19) {
    const bio = Bio.write({ device: device(name, TYPE1, { tagSize: 2 }), lba: 0n, data: filled(0) });
    bioIntegrityPrep(bio);
    t.match(
      errorOf(() => bioIntegrityTagSize(bio)),
      `Linux ${name} has no bio_integrity_tag_size`,
    );
    t.match(
      errorOf(() => bioIntegritySetTag(bio, bytes('0101'))),
      'has no bio_integrity_set_tag',
    );
    t.match(
      errorOf(() => bioIntegrityGetTag(bio, bytes('0101'))),
      'has no bio_integrity_get_tag',
    );
  }
});
