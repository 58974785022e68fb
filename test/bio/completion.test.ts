/** In what order an I/O ends. */
import t from 'tap';
import { Bio } from '../../src/bio/bio.js';
import {
  bioEndio,
  bioIntegrityEndio,
  bioIntegrityPrep,
  bioIntegrityVerifyFn,
} from '../../src/bio/bio-integrity.js';
import { bioClone } from '../../src/bio/split.js';
import type { BlkStatus } from '../../src/bio/status.js';
import { completeBio, submitBio } from '../../src/bio/submit.js';
import { bioIntegrityInit } from '../../src/bio/workqueue.js';
import { device, errorOf, filled, mediumTuples, NAMES, SINCE_4_19, TYPE1, varied } from '../support/bio.js';

t.test('reads end when kintegrityd has verified them, in order; all else at once', async (t) => {
  for (const name of NAMES) {
    const kintegrityd = bioIntegrityInit();
    const on = device(name, TYPE1, { kintegrityd });
    const said: string[] = [];
    const data = varied(512);
    const make = (op: 'read' | 'write', what: string) => {
      const bio = Bio[op]({ device: on, lba: 3n, data });
      bio.endIo = ({ status }) => said.push(`${what} ${status}`);
      const metadata = submitBio(bio);
      if (op === 'read') metadata!.set(mediumTuples(on, 3n, data));
      return bio;
    };
    const [first, second] = [make('read', 'first'), make('read', 'second')];
    const failed = make('read', 'failed');
    t.equal(completeBio(first), null);
    completeBio(second);
    t.same([first.ended, kintegrityd.length], [false, 2], `${name}: two wait`);
    completeBio(failed, 'IOERR');
    completeBio(make('write', 'write'));
    t.same(said, ['failed IOERR', 'write OK'], `${name}: no verify after an error, none of a write`);
    kintegrityd.run();
    t.same(said.slice(2), ['first OK', 'second OK']);
    t.equal(kintegrityd.length, 0);
    t.equal(first.ended, true);
  }
});

t.test('what ends in the queue may queue more', async (t) => {
  const kintegrityd = bioIntegrityInit();
  const said: number[] = [];
  kintegrityd.queue(() => {
    said.push(1);
    kintegrityd.queue(() => said.push(3));
  });
  kintegrityd.queue(() => said.push(2));
  kintegrityd.run();
  t.same(said, [1, 2, 3]);
});

t.test('every status of the device comes through unverified', async (t) => {
  for (const name of NAMES) {
    for (const status of ['IOERR', 'RESOURCE', 'PROTECTION'] as BlkStatus[]) {
      const bio = Bio.read({ device: device(name), lba: 0n, data: filled(1) });
      submitBio(bio)!.fill(0x22);
      t.equal(completeBio(bio, status), status, `${name} ${status}`);
      t.equal(bio.ended, true);
    }
  }
});

t.test('what has ended stays as it ended', async (t) => {
  for (const name of NAMES) {
    const bio = Bio.read({ device: device(name), lba: 0n, data: filled(1) });
    let calls = 0;
    bio.endIo = () => calls++;
    submitBio(bio)!.fill(0x22);
    const status = completeBio(bio);
    t.equal(status, name.startsWith('3.10') ? (name === '3.10' ? 'IOERR' : 'OK') : 'PROTECTION', name);
    t.equal(completeBio(bio), status, 'completed twice');
    t.equal(calls, 1);
    if (name === '7.1') continue;
    const none = Bio.write({ device: device(name), lba: 0n, data: filled(1) });
    submitBio(none, (piece) => piece !== 'buffer');
    t.equal(completeBio(none), name.startsWith('3.10') ? 'IOERR' : 'RESOURCE', 'and what never went out');
  }
});

t.test(
  'a write goes out with LBAs and keeps them; a read comes in with LBAs and ends with virtual tags',
  async (t) => {
    for (const name of NAMES) {
      const on = device(name, TYPE1, { interval: 4096 });
      const tags = (metadata: Uint8Array) =>
        [3, 7, 11, 15].filter((at) => at % 8 === 7).map((at) => metadata[at]);
      const data = varied(8192);
      const write = Bio.write({ device: on, lba: 16n, data });
      const sent = submitBio(write)!;
      completeBio(write);
      t.same(tags(sent), [16, 17], `${name}: what was sent is what the medium has`);
      const read = Bio.read({ device: on, lba: 16n, data });
      const metadata = submitBio(read)!;
      t.notOk(read.integrity?.flags.has('MAPPED_INTEGRITY'), 'a read is not remapped on its way out');
      metadata.set(mediumTuples(on, 16n, data));
      t.equal(completeBio(read), 'OK');
      t.same(tags(metadata), [128, 129]);
    }
  },
);

t.test('after an error nothing is remapped or moved', async (t) => {
  const on = device('current', TYPE1, { interval: 4096 });
  const bio = Bio.read({ device: on, lba: 16n, data: varied(4096) });
  const metadata = submitBio(bio)!;
  metadata.set(mediumTuples(on, 16n, varied(4096)));
  completeBio(bio, 'IOERR');
  t.equal(metadata[7], 16);
  t.equal(bio.iterator.size, 4096);
});

t.test('a clone is not verified, and keeps its payload', async (t) => {
  for (const name of SINCE_4_19) {
    const bio = Bio.read({ device: device(name), lba: 0n, data: filled(1) });
    submitBio(bio)!.fill(0x22);
    const clone = bioClone(bio) as Bio;
    t.equal(bioIntegrityEndio(clone), true, name);
    t.equal(clone.status, 'OK');
  }
});

t.test('metadata without tuples: up to 6.1 it waits to be verified all the same', async (t) => {
  for (const name of SINCE_4_19) {
    const kintegrityd = bioIntegrityInit();
    const bio = Bio.read({
      device: device(name, 'nop', { metadataSize: 8, kintegrityd }),
      lba: 0n,
      data: filled(1),
    });
    submitBio(bio);
    const waits = ['4.19', '5.10', '6.1'].includes(name);
    t.equal(completeBio(bio), waits ? null : 'OK', name);
    kintegrityd.run();
    t.equal(bio.status, 'OK');
  }
});

t.test('read_verify off: a corrupt read passes', async (t) => {
  for (const name of NAMES) {
    const bio = Bio.read({ device: device(name, TYPE1, { readVerify: false }), lba: 0n, data: filled(1) });
    t.equal(submitBio(bio), null, `${name}: no payload`);
    t.equal(completeBio(bio), 'OK');
  }
});

t.test('wrong calls', async (t) => {
  const bio = Bio.read({ device: device('current'), lba: 0n, data: filled(0) });
  t.equal(bioIntegrityEndio(bio), true, 'nothing to do');
  const old = Bio.read({ device: device('3.10'), lba: 0n, data: filled(0) });
  t.equal(
    errorOf(() => bioIntegrityEndio(old)),
    'kernel BUG: bio_integrity(bio) == NULL',
  );
  t.equal(
    errorOf(() => bioIntegrityVerifyFn(bio)),
    'kernel BUG: bio_integrity(bio) == NULL',
  );
  bioEndio(bio, 'IOERR');
  t.equal(bio.status, 'IOERR', 'a bio without payload just ends');
});

t.test('an end of zero bytes', async (t) => {
  for (const name of NAMES) {
    const bio = Bio.read({ device: device(name), lba: 0n, data: new Uint8Array(0) });
    t.equal(bioIntegrityPrep(bio), 0, name);
    t.equal(completeBio(bio), 'OK');
  }
});
