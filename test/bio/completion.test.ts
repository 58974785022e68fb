/** In what order an I/O ends. */
import t from 'tap';
import { Bio } from '../../src/bio/bio.js';
import {
  bioEndio,
  bioIntegrityEndio,
  bioIntegrityPrep,
  bioIntegrityVerifyFn,
} from '../../src/bio/bio-integrity.js';
import type { BlkStatus } from '../../src/bio/status.js';
import { completeBio, submitBio } from '../../src/bio/submit.js';
import { bioIntegrityInit } from '../../src/bio/workqueue.js';
import { device, errorOf, filled, mediumTuples, NAMES, TYPE1, varied } from '../support/bio.js';

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
    t.equal(completeBio(first), 'OK');
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

t.test('read_verify off: a corrupt read passes', async (t) => {
  for (const name of NAMES) {
    const bio = Bio.read({ device: device(name, TYPE1, { readVerify: false }), lba: 0n, data: filled(1) });
    t.equal(submitBio(bio), null, `${name}: no payload`);
    t.equal(completeBio(bio), 'OK');
  }
});

t.test('wrong calls', async (t) => {
  const bio = Bio.read({ device: device('current'), lba: 0n, data: filled(0) });
  t.equal(
    errorOf(() => bioIntegrityEndio(bio)),
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
