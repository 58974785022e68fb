/** Payloads: where they come from, how much they hold, and what a clone takes of them. */
import t from 'tap';
import { bioAdvance } from '../../src/bio/advance.js';
import { Bio, type BioDevice } from '../../src/bio/bio.js';
import { bioIntegrityGenerate, bioIntegrityPrep } from '../../src/bio/bio-integrity.js';
import { BioSet, biosetIntegrityCreate, biosetIntegrityFree, fsBioSet } from '../../src/bio/bioset.js';
import {
  bioIntegrityAddPage,
  bioIntegrityAlloc,
  bioIntegrityFree,
  bioIntegrityTrim,
} from '../../src/bio/bip.js';
import { BioIntegrityPayload } from '../../src/bio/payload.js';
import { SEMANTICS, semanticsByName } from '../../src/bio/semantics.js';
import { bioClone, bioSplit } from '../../src/bio/split.js';
import { completeBio, submitBio } from '../../src/bio/submit.js';
import { bioIntegrityInit } from '../../src/bio/workqueue.js';
import {
  device,
  errorOf,
  filled,
  hex,
  mediumTuples,
  NAMES,
  payload,
  SINCE_4_19,
  TYPE1,
  varied,
} from '../support/bio.js';

const bioOf = (on: BioDevice, bioset?: BioSet | null) =>
  Bio.read({ device: on, lba: 0n, data: filled(0), ...(bioset === undefined ? {} : { bioset }) });

const allocated = (bio: Bio, nrVecs: number) => {
  const made = bioIntegrityAlloc(bio, nrVecs);
  if (!(made instanceof BioIntegrityPayload)) throw new Error(`alloc said ${made}`);
  return made;
};

t.test('how many vectors a payload holds', async (t) => {
  for (const name of NAMES) {
    const on = device(name);
    const capacities = (bioset: BioSet | null) =>
      [0, 1, 4, 5, 16, 17, 65, 256].map((nrVecs) => allocated(bioOf(on, bioset), nrVecs).vecsMax);
    const asAsked = [0, 1, 4, 5, 16, 17, 65, 256];
    t.same(
      capacities(fsBioSet()),
      name === '7.1' || name === '6.12' ? asAsked : [4, 4, 4, 16, 16, 64, 128, 256],
      `${name}: from pools`,
    );
    t.same(
      capacities(null),
      name.startsWith('3.10') ? [4, 4, 4, 4, 4, 4, 4, 4] : asAsked,
      `${name}: without`,
    );
  }
});

t.test('no memory, or more vectors than a pool has', async (t) => {
  for (const name of NAMES) {
    const nothing = name.startsWith('3.10') ? null : -12;
    const bio = bioOf(device(name), null);
    t.equal(
      bioIntegrityAlloc(bio, 1, () => false),
      nothing,
      name,
    );
    t.equal(bio.integrity, null);
    if (name === '7.1')
      t.equal(allocated(bioOf(device(name)), 257).vecsMax, 257, 'no pools, no limit of theirs');
    else t.equal(bioIntegrityAlloc(bioOf(device(name)), 257), nothing, name);
  }
  t.match(
    errorOf(() => bioIntegrityAlloc(bioOf(device('current')), -1)),
    'ERR_OUT_OF_RANGE: nrVecs -1',
  );
});

t.test('pools set elements aside, and get them back', async (t) => {
  for (const name of ['3.10', '4.19', '5.10', '6.1', '6.12']) {
    const bioset = fsBioSet();
    const take = () => {
      const bio = bioOf(device(name), bioset);
      bioIntegrityAlloc(bio, 5, () => false);
      return bio;
    };
    const first = take();
    take();
    t.same([bioset.payloads?.available, bioset.vectors?.available], [0, 0], name);
    t.match(errorOf(take), 'ERR_BUSY: the pool is empty: the kernel would wait');
    bioIntegrityFree(first);
    t.equal(first.integrity, null);
    t.same([bioset.payloads?.available, bioset.vectors?.available], [1, 1]);
    take();
    const many = bioOf(device(name), fsBioSet());
    bioIntegrityAlloc(many, 257, () => false);
    t.equal(many.bioset?.payloads?.available, 2, 'what could not be had whole is given back');
    const few = bioOf(device(name), fsBioSet());
    bioIntegrityAlloc(few, 4, () => false);
    t.same([few.bioset?.payloads?.available, few.bioset?.vectors?.available], [1, 2], 'four are inline');
  }
  t.equal(
    errorOf(() => bioIntegrityFree(bioOf(device('6.1')))),
    'kernel BUG: bio_integrity(bio) == NULL',
  );
});

t.test('bioset_integrity_create and free', async (t) => {
  for (const name of NAMES) {
    const semantics = semanticsByName(name);
    const bioset = new BioSet();
    if (name === '7.1') {
      const words = /Linux 7\.1 has no bioset_integrity_(create|free): it is in 3\.10-before-fix, .*6\.12/;
      t.match(
        errorOf(() => biosetIntegrityCreate(semantics, bioset, 2)),
        words,
      );
      t.match(
        errorOf(() => biosetIntegrityFree(semantics, bioset)),
        words,
      );
      continue;
    }
    t.equal(
      biosetIntegrityCreate(semantics, bioset, 2, () => false),
      -1,
      name,
    );
    t.equal(bioset.payloads, null);
    t.equal(
      biosetIntegrityCreate(semantics, bioset, 2, (piece) => piece === 'payload'),
      -1,
      `${name}: the second fails`,
    );
    const leaks = name.startsWith('3.10');
    t.equal(bioset.payloads !== null, leaks, leaks ? 'and the first is left behind' : 'and the first goes');
    t.equal(biosetIntegrityCreate(semantics, bioset, 2), 0);
    t.equal(bioset.vectors === null, leaks, leaks ? 'which a second call takes for both' : 'both are there');
    if (leaks) {
      t.equal(
        errorOf(() => bioIntegrityAlloc(bioOf(device(name), bioset), 5)),
        'kernel BUG: bs->bvec_integrity_pool == NULL',
      );
    }
    t.equal(biosetIntegrityCreate(semantics, bioset, 2), 0, 'once is enough');
    biosetIntegrityFree(semantics, bioset);
    t.same([bioset.payloads, bioset.vectors], [null, null]);
  }
});

t.test('add_page', async (t) => {
  for (const name of NAMES) {
    const merges = name === '6.12' || name === '7.1';
    const add = (on: BioDevice, pages: [Uint8Array, number, number][], nrVecs = 4) => {
      const bio = bioOf(on);
      const made = allocated(bio, nrVecs);
      return {
        returned: pages.map(([page, length, offset]) => bioIntegrityAddPage(bio, page, length, offset)),
        made,
      };
    };
    const page = () => new Uint8Array(4096);

    const apart = add(device(name), [
      [page(), 8, 0],
      [page(), 16, 8],
    ]);
    t.same(apart.returned, [8, 16], name);
    t.same(
      apart.made.vecs.map(({ offset, length }) => [offset, length]),
      [
        [0, 8],
        [8, 16],
      ],
    );
    t.equal(
      apart.made.iterator.size,
      merges ? 24 : 0,
      `${name}: the size is ${merges ? 'counted' : 'the caller’s'}`,
    );

    const one = page();
    const next = add(device(name), [
      [one, 8, 0],
      [one, 8, 8],
      [one, 8, 32],
    ]);
    t.equal(next.made.vecs.length, merges ? 2 : 3, `${name}: neighbours in memory`);

    const full = add(
      device(name),
      Array.from({ length: 5 }, () => [page(), 8, 0] as [Uint8Array, number, number]),
    );
    t.same(full.returned, [8, 8, 8, 8, 0], `${name}: full`);

    const gap = add(device(name, TYPE1, { virtBoundary: 4095 }), [
      [page(), 8, 0],
      [page(), 8, 0],
    ]);
    t.same(gap.returned, [8, name.startsWith('3.10') ? 8 : 0], `${name}: a gap`);
    const begins = add(device(name, TYPE1, { virtBoundary: 4095 }), [
      [page(), 4096, 0],
      [page(), 8, 512],
    ]);
    t.same(begins.returned, [4096, name.startsWith('3.10') ? 8 : 0], `${name}: a gap before the second`);
    const noGap = add(device(name, TYPE1, { virtBoundary: 4095 }), [
      [page(), 4096, 0],
      [page(), 8, 0],
    ]);
    t.same(noGap.returned, [4096, 8]);

    const few = add(device(name, TYPE1, { maxIntegritySegments: 1 }), [
      [page(), 8, 0],
      [page(), 8, 0],
    ]);
    t.same(few.returned, [8, merges ? 0 : 8], `${name}: a queue that takes one piece`);

    const bio = bioOf(device(name));
    allocated(bio, 1);
    t.match(
      errorOf(() => bioIntegrityAddPage(bio, page(), 9, 4090)),
      'ERR_OUT_OF_RANGE: segment 0: 9 bytes from 4090',
    );
    t.equal(
      errorOf(() => bioIntegrityAddPage(bioOf(device(name)), page(), 8, 0)),
      'kernel BUG: bio_integrity(bio) == NULL',
    );
  }

  const bio = bioOf(device('3.10'), null);
  allocated(bio, 1);
  t.equal(bioIntegrityAddPage(bio, filled(0, 8), 8, 0), 8);
  t.match(
    errorOf(() => bioIntegrityAddPage(bio, filled(0, 8), 8, 0)),
    'ERR_OUT_OF_RANGE: vector 1 of a payload with memory for 1: Linux 3.10 would write past it',
  );
});

t.test('a payload of one’s own', async (t) => {
  for (const name of SINCE_4_19) {
    const bio = Bio.write({ device: device(name), lba: 16n, data: filled(0x33, 1024) });
    allocated(bio, 2);
    const pages = [filled(0, 8), filled(0, 8)];
    for (const page of pages) bioIntegrityAddPage(bio, page, 8, 0);
    bioIntegrityGenerate(bio);
    t.equal(pages.map(hex).join(' '), 'b218000000000010 b218000000000011', `${name}: in two places`);
    t.equal(bioIntegrityPrep(bio), 0, 'prep leaves it alone');
    t.equal(bio.integrity?.buffer, null);

    const small = Bio.write({ device: device(name), lba: 16n, data: filled(0x33, 1024) });
    allocated(small, 1);
    const page = filled(0xee, 8);
    bioIntegrityAddPage(small, page, 8, 0);
    t.match(
      errorOf(() => bioIntegrityGenerate(small)),
      `ERR_BAD_LENGTH: 1024 bytes of data have 16 bytes of metadata, and the payload 8: Linux ${name} would run past it`,
    );
    t.same(page, filled(0xee, 8), 'nothing was written');
  }
  const bio = Bio.write({ device: device('3.10'), lba: 16n, data: filled(0x33, 1024) });
  const made = allocated(bio, 1);
  t.equal(
    errorOf(() => bioIntegrityGenerate(bio)),
    'kernel BUG: bip->bip_buf == NULL',
  );
  made.buffer = filled(0, 8);
  t.equal(
    errorOf(() => bioIntegrityGenerate(bio)),
    'kernel BUG: total > bio->bi_integrity->bip_size',
  );
});

t.test('what a clone takes', async (t) => {
  for (const [name, flags, appTag] of [
    ['4.19', [], 0],
    ['5.10', [], 0],
    ['6.1', ['IP_CHECKSUM', 'MAPPED_INTEGRITY'], 0],
    ['6.12', ['IP_CHECKSUM', 'MAPPED_INTEGRITY'], 0],
    ['7.1', ['CHECK_GUARD', 'CHECK_REFTAG', 'IP_CHECKSUM', 'MAPPED_INTEGRITY'], 0x1234],
  ] as const) {
    const bio = Bio.write({ device: device(name, 'T10-DIF-TYPE1-IP'), lba: 9n, data: varied(8 * 512) });
    bioIntegrityPrep(bio);
    payload(bio).flags.add('MAPPED_INTEGRITY');
    payload(bio).appTag = 0x1234;
    bioAdvance(bio, 512);
    const clone = bioClone(bio) as Bio;
    t.same([...clone.integrity!.flags].sort(), flags, `${name}: flags`);
    t.equal(clone.integrity!.appTag, appTag, `${name}: application tag`);
    t.same(
      [clone.iterator, clone.integrity!.iterator],
      [bio.iterator, payload(bio).iterator],
      'the same place',
    );
    t.equal(clone.integrity!.vecs[0]!.buffer, payload(bio).buffer, 'over the same metadata');
    bioAdvance(clone, 512);
    t.equal(payload(bio).seed, 10n, 'and goes on alone');
    t.equal(clone.integrity!.seed, 11n);
    bioIntegrityTrim(clone);
    t.equal(clone.integrity!.iterator.size, 6 * 8);
  }
  for (const name of SINCE_4_19) {
    const bio = Bio.write({ device: device(name), lba: 9n, data: filled(0), bioset: null });
    bioIntegrityPrep(bio);
    t.equal(
      bioClone(bio, () => false),
      -12,
      `${name}: no memory`,
    );
    t.equal((bioClone(Bio.read({ device: device(name), lba: 0n, data: filled(0) })) as Bio).integrity, null);
  }
});

t.test('vectors of a clone are its own up to 6.1', async (t) => {
  for (const name of NAMES) {
    const bio = bioOf(device(name));
    allocated(bio, 5);
    for (let i = 0; i < 5; i++) bioIntegrityAddPage(bio, filled(0, 8), 8, 0);
    const { vecs, vecsMax } = (bioClone(bio) as Bio).integrity!;
    t.equal(vecs.length, 5);
    t.equal(vecsMax, name === '6.12' || name === '7.1' ? 0 : 16, name);
  }
});

t.test('every row says what was read', async (t) => {
  for (const { name, source, functions } of SEMANTICS) {
    t.match(source.read, /^Linux \d/, name);
    t.equal(new Set(functions).size, functions.length);
  }
});

t.test('pages of a pool: what is made lies in them', async (t) => {
  const data = varied(1024);
  const bio = Bio.write({ device: device('6.1'), lba: 8n, data });
  bioIntegrityAlloc(bio, 2);
  const pages = [Buffer.from('one page'), Buffer.from('and more')];
  for (const page of pages) bioIntegrityAddPage(bio, page, 8, 0);
  bio.integrity!.iterator = { sector: 8n, size: 16, index: 0, done: 0, moved: 0 };
  bioIntegrityGenerate(bio);
  const made = mediumTuples(bio.device, 8n, data);
  t.same(Buffer.concat(pages), Buffer.from(made));
});

t.test('what submitBio says goes to the disk with a part of a write', async (t) => {
  const data = varied(1024);
  for (const name of SINCE_4_19) {
    const bio = Bio.write({ device: device(name), lba: 100n, data });
    bioIntegrityPrep(bio);
    const [front, rest] = bioSplit(bio, 1);
    const made = Buffer.from(mediumTuples(bio.device, 100n, data));
    t.same(Buffer.from(submitBio(front)!), made.subarray(0, 8), `${name}: front`);
    t.same(Buffer.from(submitBio(rest)!), made.subarray(8), `${name}: rest`);
  }
});

t.test('completed twice', async (t) => {
  for (const name of NAMES) {
    const kintegrityd = bioIntegrityInit();
    const bio = Bio.read({ device: { ...device(name), kintegrityd }, lba: 0n, data: new Uint8Array(512) });
    let ends = 0;
    bio.endIo = () => ends++;
    submitBio(bio)!.fill(0);
    t.equal(completeBio(bio), null, `${name}: it waits`);
    t.throws(() => completeBio(bio, 'IOERR'), { code: 'ERR_BUSY' }, name);
    kintegrityd.run();
    t.same([bio.status, ends], ['OK', 1], name);
  }
});

t.test('arguments that are none', async (t) => {
  const good = { device: device('6.1'), lba: 0n, data: new Uint8Array(512) };
  const wrong = (part: object) => () => Bio.read({ ...good, ...part });
  t.throws(wrong({ lba: 0 }), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(wrong({ device: undefined }), { code: 'ERR_USAGE' });
  t.throws(wrong({ device: { ...good.device, semantics: '6.1' } }), { code: 'ERR_USAGE' });
  t.throws(wrong({ data: new ArrayBuffer(512) }), { code: 'ERR_USAGE' });
  const bio = Bio.read(good);
  submitBio(bio);
  t.throws(() => completeBio(bio, 'EIO' as 'IOERR'), { code: 'ERR_USAGE' });
  const { semantics } = good.device;
  for (const reserve of [-1, Number.NaN, 1.5]) {
    t.throws(() => biosetIntegrityCreate(semantics, new BioSet(), reserve), { code: 'ERR_OUT_OF_RANGE' });
  }
});
