import t from 'tap';
import type { IntegrityError } from '../../src/errors.js';
import { type GenerateOptions, nativeEngine, plainEngine, type VerifyOptions } from '../../src/pi/engine.js';
import { PROFILE_NAMES, type Profile, profileByName } from '../../src/pi/profile.js';
import { remapReferenceTags } from '../../src/pi/remap.js';

const TYPE1 = profileByName('T10-DIF-TYPE1-CRC');
const TYPE2 = profileByName('T10-DIF-TYPE1-CRC', { type: 2 });
const TYPE3 = profileByName('T10-DIF-TYPE3-CRC');
const TYPE1_IP = profileByName('T10-DIF-TYPE1-IP');
const EXT1 = profileByName('EXT-DIF-TYPE1-CRC64');
const EXT3 = profileByName('EXT-DIF-TYPE3-CRC64');

const filled = (byte: number, length = 512) => new Uint8Array(length).fill(byte);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bytes = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));

/** The error's code and message; fails the test when nothing is thrown. */
function errorOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return `${(error as IntegrityError).code}: ${(error as IntegrityError).message}`;
  }
  return 'nothing thrown';
}

function generate(profile: Profile, data: Uint8Array, options: Partial<GenerateOptions> = {}): Uint8Array {
  return plainEngine.generate(data, { profile, layout: 'separate', seed: 0n, type3Ref: 'zero', ...options });
}

function verify(
  profile: Profile,
  data: Uint8Array,
  metadata: Uint8Array,
  options: Partial<VerifyOptions> = {},
) {
  return plainEngine.verify(data, metadata, { profile, layout: 'separate', seed: 0n, ...options });
}

t.test('profiles', async (t) => {
  t.same(
    PROFILE_NAMES.map((name) => {
      const { type, guard, tupleSize } = profileByName(name);
      return [name, type, guard, tupleSize];
    }),
    [
      ['T10-DIF-TYPE1-CRC', 1, 'crc16', 8],
      ['T10-DIF-TYPE1-IP', 1, 'ip', 8],
      ['T10-DIF-TYPE3-CRC', 3, 'crc16', 8],
      ['T10-DIF-TYPE3-IP', 3, 'ip', 8],
      ['EXT-DIF-TYPE1-CRC64', 1, 'crc64', 16],
      ['EXT-DIF-TYPE3-CRC64', 3, 'crc64', 16],
      ['nop', 0, null, 0],
      ['none', 0, null, 0],
    ],
  );
  t.same(
    profileByName('EXT-DIF-TYPE1-CRC64', { interval: 4096, metadataSize: 64, piOffset: 48, tagSize: 2 }),
    {
      name: 'EXT-DIF-TYPE1-CRC64',
      type: 1,
      guard: 'crc64',
      interval: 4096,
      tupleSize: 16,
      metadataSize: 64,
      piOffset: 48,
      tagSize: 2,
    },
  );
  t.equal(TYPE2.type, 2);
  t.equal(profileByName('nop', { metadataSize: 64 }).metadataSize, 64);

  const unknown = errorOf(() => profileByName('T10-DIF-TYPE2-CRC'));
  t.match(
    unknown,
    /^ERR_UNKNOWN_FORMAT: no format is named "T10-DIF-TYPE2-CRC": .*EXT-DIF-TYPE3-CRC64, nop, none$/,
  );
  t.match(
    errorOf(() => profileByName('toString')),
    /^ERR_UNKNOWN_FORMAT/,
  );
  for (const [name, options, parameter] of [
    ['T10-DIF-TYPE1-CRC', { interval: 256 }, 'interval 256'],
    ['T10-DIF-TYPE1-CRC', { interval: 520 }, 'interval 520'],
    ['T10-DIF-TYPE1-CRC', { interval: 131072 }, 'interval 131072'],
    ['T10-DIF-TYPE1-CRC', { interval: Number.NaN }, 'interval NaN'],
    ['T10-DIF-TYPE1-CRC', { metadataSize: 7 }, 'metadataSize 7'],
    ['EXT-DIF-TYPE1-CRC64', { metadataSize: 8 }, 'metadataSize 8'],
    ['none', { metadataSize: 8 }, 'metadataSize 8'],
    ['T10-DIF-TYPE1-CRC', { piOffset: 1 }, 'piOffset 1'],
    ['T10-DIF-TYPE1-CRC', { metadataSize: 16, piOffset: 9 }, 'piOffset 9'],
    ['T10-DIF-TYPE1-CRC', { metadataSize: 16, piOffset: -1 }, 'piOffset -1'],
    ['T10-DIF-TYPE1-CRC', { tagSize: 7 }, 'tagSize 7'],
    ['T10-DIF-TYPE3-CRC', { type: 2 }, 'type 2'],
    ['T10-DIF-TYPE1-CRC', { type: 0 }, 'type 0'],
    ['none', { type: 1 }, 'type 1'],
  ] as const) {
    const error = errorOf(() => profileByName(name, options));
    t.ok(error.startsWith('ERR_OUT_OF_RANGE') && error.includes(parameter), error);
  }
});

t.test('generate', async (t) => {
  const inc = Uint8Array.from({ length: 512 }, (_, i) => i);
  t.equal(hex(generate(TYPE1, inc, { seed: 0x12345678n })), '4f10000012345678');
  t.equal(hex(generate(TYPE1, filled(0), { seed: 8n })), '0000000000000008', "scsi_debug's, LBA 8");
  t.equal(
    hex(generate(TYPE1, filled(0x33), { seed: 16n, appTag: 0x1234 })),
    'b218123400000010',
    "scsi_debug's, LBA 16",
  );
  t.equal(hex(generate(TYPE2, filled(0x33), { seed: 16n })), 'b218000000000010', 'type 2 as type 1');
  t.equal(hex(generate(TYPE1_IP, inc)), '7f80000000000000');
  t.equal(hex(generate(EXT1, filled(0), { seed: 0x123456789abcdn })), '1de60e2868a782e9000023456789abcd');

  t.test('reference tags count up and wrap', async (t) => {
    const data = filled(0, 3 * 512);
    t.equal(
      hex(generate(TYPE1, data, { seed: 0xffffffffn })),
      '00000000ffffffff 0000000000000000 0000000000000001'.replaceAll(' ', ''),
    );
    t.equal(
      hex(generate(TYPE1, data, { seed: 0x1ffffffffn })).slice(8, 16),
      'ffffffff',
      'the low 32 bits of the seed',
    );
    const guard = '1de60e2868a782e9';
    t.equal(
      hex(generate(EXT1, data, { seed: 2n ** 64n - 1n })),
      `${guard}0000ffffffffffff${guard}0000000000000000${guard}0000000000000001`,
      'the low 48 bits',
    );
  });

  t.test('type 3: zero up to Linux 6.12, the seed in 7.1', async (t) => {
    const data = filled(0x5a, 1024);
    t.equal(hex(generate(TYPE3, data, { seed: 9n, type3Ref: 'zero' })), '78670000000000007867000000000000');
    t.equal(hex(generate(TYPE3, data, { seed: 9n, type3Ref: 'seed' })), '7867000000000009786700000000000a');
    t.equal(
      hex(generate(EXT3, filled(0), { seed: 9n, type3Ref: 'seed' })),
      '1de60e2868a782e90000000000000009',
    );
    t.equal(
      hex(generate(TYPE1, data, { seed: 9n, type3Ref: 'zero' })),
      '7867000000000009786700000000000a',
      'type 1 always',
    );
  });

  t.test('interleaved: every interval and its metadata', async (t) => {
    const profile = profileByName('T10-DIF-TYPE1-CRC', { metadataSize: 16, piOffset: 8 });
    const data = Buffer.concat([filled(0x33), filled(0)]);
    const blocks = generate(profile, data, { layout: 'interleaved', seed: 5n });
    t.equal(blocks.length, 2 * 528);
    t.equal(hex(blocks.subarray(0, 512)), hex(filled(0x33)));
    t.equal(hex(blocks.subarray(528, 1040)), hex(filled(0)));
    t.equal(hex(blocks.subarray(512, 520)), '0000000000000000', 'metadata beside the tuple is zero');
    t.equal(hex(blocks.subarray(524, 528)), '00000005');
    t.equal(hex(blocks.subarray(1040)), '00000000000000000000000000000006');
  });

  t.test('in place: only tuples are written', async (t) => {
    const profile = profileByName('T10-DIF-TYPE1-CRC', { metadataSize: 12, piOffset: 2 });
    const metadata = filled(0xee, 12);
    const options = { profile, layout: 'separate', seed: 7n, type3Ref: 'zero' } as const;
    plainEngine.generateInto(filled(0), metadata, options);
    t.match(hex(metadata), /^eeee....000000000007eeee$/);
    t.not(hex(metadata).slice(4, 8), '0000', 'the guard covers the metadata before the tuple');
  });

  t.same(generate(TYPE1, new Uint8Array(0)), new Uint8Array(0), 'no intervals');
  t.same(generate(profileByName('none'), filled(1)), new Uint8Array(0), 'no metadata');
  t.same(
    generate(profileByName('nop', { metadataSize: 4 }), filled(1)),
    new Uint8Array(4),
    'metadata without tuple',
  );
});

t.test('verify: what a kernel says of each fault', async (t) => {
  const kernels: Record<string, Profile> = {
    'type 1': TYPE1,
    'type 2': TYPE2,
    'type 3': TYPE3,
    'CRC-64 type 1': EXT1,
    'CRC-64 type 3': EXT3,
  };
  // Interval 1 of 3 gets the fault. Each: what changes, the verdict with reference tags, the verdict without.
  const faults: [
    string,
    { data?: true; guard?: true; app?: number; ref?: 'flip' | 'ones' },
    string,
    string,
  ][] = [
    ['nothing', {}, 'ok', 'ok'],
    ['data', { data: true }, 'guard', 'guard'],
    ['guard', { guard: true }, 'guard', 'guard'],
    ['application tag', { app: 0x8000 }, 'ok', 'ok'],
    ['reference tag', { ref: 'flip' }, 'ref', 'ok'],
    ['guard and reference tag', { guard: true, ref: 'flip' }, 'ref', 'guard'],
    ['data, application tag FFFFh', { data: true, app: 0xffff }, 'escaped', 'guard'],
    ['data, reference tag all ones', { data: true, ref: 'ones' }, 'ref', 'guard'],
    ['data, both tags all ones', { data: true, app: 0xffff, ref: 'ones' }, 'escaped', 'escaped'],
    ['reference tag all ones', { ref: 'ones' }, 'ref', 'ok'],
  ];
  for (const [kind, profile] of Object.entries(kernels)) {
    const size = profile.tupleSize;
    const [appAt, refAt] = size === 8 ? [2, 4] : [8, 10];
    for (const [what, fault, withRef, withoutRef] of faults) {
      const data = Buffer.concat([filled(1), filled(2), filled(3)]);
      const tuples = generate(profile, data, { seed: 100n });
      const tuple = tuples.subarray(size, 2 * size);
      if (fault.data) data[700]! ^= 1;
      if (fault.guard) tuple[0]! ^= 1;
      if (fault.app !== undefined) tuple.set([fault.app >> 8, fault.app & 0xff], appAt);
      if (fault.ref === 'flip') tuple[size - 1]! ^= 1;
      if (fault.ref === 'ones') tuple.fill(0xff, refAt);
      const expected = profile.type === 3 ? withoutRef : withRef;
      const result = verify(profile, data, tuples, { seed: 100n });
      const verdict = result.escaped > 0 ? 'escaped' : (result.findings[0]?.check ?? 'ok');
      t.equal(verdict, expected, `${kind}: ${what}`);
      t.equal(result.ok, expected === 'ok' || expected === 'escaped');
      t.equal(result.checked, expected === 'escaped' ? 2 : 3);
      t.same(
        result.findings.map(({ interval }) => interval),
        result.ok ? [] : [1],
      );
    }
  }
});

t.test('verify: the values', async (t) => {
  const data = Buffer.concat([filled(0x5a), filled(0x5a), filled(0x5a), filled(0x5a)]);
  const tuples = bytes('7867 0000 0000000a  1234 0000 0000000b  7867 1111 0000000c  7867 0000 000000ff');
  t.same(verify(TYPE1, data, tuples, { seed: 10n }), {
    ok: false,
    intervals: 4,
    checked: 4,
    escaped: 0,
    bad: 2,
    badByCheck: { guard: 1, app: 0, ref: 1 },
    findings: [
      {
        interval: 1,
        check: 'guard',
        stored: 0x1234,
        computed: 0x7867,
        differs: ['guard'],
        dataOffset: 512,
        tupleOffset: 8,
        ref: 11,
      },
      {
        interval: 3,
        check: 'ref',
        stored: 0xff,
        computed: 13,
        differs: ['ref'],
        dataOffset: 1536,
        tupleOffset: 24,
        ref: 13,
      },
    ],
  });
  t.same(
    verify(TYPE1, data, tuples, { seed: 10n, appTag: 0, startInterval: 1000 }).findings,
    [
      {
        interval: 1001,
        check: 'guard',
        stored: 0x1234,
        computed: 0x7867,
        differs: ['guard'],
        dataOffset: 512,
        tupleOffset: 8,
        ref: 11,
      },
      {
        interval: 1002,
        check: 'app',
        stored: 0x1111,
        computed: 0,
        differs: ['app'],
        dataOffset: 1024,
        tupleOffset: 16,
        ref: 12,
      },
      {
        interval: 1003,
        check: 'ref',
        stored: 0xff,
        computed: 13,
        differs: ['ref'],
        dataOffset: 1536,
        tupleOffset: 24,
        ref: 13,
      },
    ],
    'an expected application tag is compared; numbers start where asked',
  );
  const capped = verify(TYPE1, data, tuples, { seed: 10n, findingsMax: 1 });
  t.equal(capped.findings.length, 1);
  t.equal(capped.bad, 2, 'the counts go on');

  const last = bytes('7867 1111 000000ff');
  t.match(verify(TYPE1, filled(0), last, { appTag: 0 }).findings, [{ check: 'ref' }], 'reference tag first');
  last.set([0, 0, 0, 0], 4);
  t.match(verify(TYPE1, filled(0), last, { appTag: 0 }).findings, [{ check: 'guard' }], 'then guard');
  t.match(
    verify(TYPE1, filled(0x5a), last, { appTag: 0 }).findings,
    [{ check: 'app' }],
    'then application tag',
  );

  const ext = bytes('0000000000000001 0000 000000000000');
  t.same(verify(EXT1, filled(0), ext).findings, [
    {
      interval: 0,
      check: 'guard',
      stored: 1n,
      computed: 0x1de60e2868a782e9n,
      differs: ['guard'],
      dataOffset: 0,
      tupleOffset: 0,
      ref: 0,
    },
  ]);
  t.same(verify(EXT1, filled(0), ext, { seed: 2n ** 48n + 5n }).findings, [
    {
      interval: 0,
      check: 'ref',
      stored: 0,
      computed: 5,
      differs: ['ref', 'guard'],
      dataOffset: 0,
      tupleOffset: 0,
      ref: 5,
    },
  ]);
  t.same(
    verify(TYPE1_IP, filled(0), bytes('abcd 0000 00000000')).findings,
    [
      {
        interval: 0,
        check: 'guard',
        stored: 0xabcd,
        computed: 0xffff,
        differs: ['guard'],
        dataOffset: 0,
        tupleOffset: 0,
        ref: 0,
      },
    ],
    'an IP guard is its two bytes read big-endian',
  );

  const badByCheck = { guard: 0, app: 0, ref: 0 };
  const nothing = { ok: true, intervals: 2, checked: 0, escaped: 0, bad: 0, badByCheck, findings: [] };
  t.same(
    verify(TYPE1, filled(7, 1024), filled(0xff, 16)),
    { ...nothing, escaped: 2 },
    'a freshly formatted disk: nothing was checked',
  );
  t.same(
    verify(profileByName('nop', { metadataSize: 8 }), filled(7, 1024), filled(1, 16)),
    nothing,
    'no tuples: nothing was checked',
  );
});

t.test('verify: which checks, in which order, of which tags', async (t) => {
  const data = Buffer.concat([filled(0x5a), filled(0x5a), filled(0x5a)]);
  const tuples = bytes('0000 1111 00000000  7867 1111 0000000b  7867 2222 0000000c');
  const checked = (options: Partial<VerifyOptions>) => {
    const { checked, findings, badByCheck } = verify(TYPE1, data, tuples, { seed: 10n, ...options });
    const all = findings.map(({ interval, check, differs }) => `${interval} ${check} of ${differs}`);
    return { checked, all, bad: Object.values(badByCheck).reduce((a, b) => a + b) };
  };
  t.same(checked({}), { checked: 3, all: ['0 ref of ref,guard'], bad: 1 });
  t.same(checked({ appTag: 0, order: 'kernel' }).all[0], '0 ref of ref,guard,app');
  t.same(checked({ appTag: 0, order: 't10' }).all[0], '0 guard of guard,app,ref');
  t.same(checked({ appTag: 0, order: 'spdk' }).all, [
    '0 guard of guard,app,ref',
    '1 app of app',
    '2 app of app',
  ]);
  t.same(checked({ appTag: 0, order: 't10', checks: ['ref', 'app'] }).all[0], '0 app of app,ref');
  t.same(checked({ checks: ['guard'] }).all, ['0 guard of guard']);
  t.same(
    checked({ appTag: 0, checks: ['ref'] }).all,
    ['0 ref of ref'],
    'a tag may be given and not compared',
  );
  t.same(checked({ checks: [] }), { checked: 0, all: [], bad: 0 }, 'nothing was checked');

  const onlyApp = { checks: ['app'] } as const;
  t.same(checked({ ...onlyApp, appTag: 0x1110, appTagMask: 0xfffe }), {
    checked: 3,
    all: ['2 app of app'],
    bad: 1,
  });
  t.same(checked({ ...onlyApp, appTag: 0, appTagMask: 0 }), { checked: 0, all: [], bad: 0 });
  const ranges = [
    { first: 0, count: 1, value: 0x1111 },
    { first: 2, count: 2 ** 40, value: 0x3333 },
  ];
  t.same(checked({ ...onlyApp, appTags: ranges }), { checked: 2, all: ['2 app of app'], bad: 1 });
  t.same(checked({ ...onlyApp, appTags: ranges, appTag: 0 }).all, ['1 app of app', '2 app of app']);
  t.equal(
    hex(generate(TYPE1, data, { appTag: 7, appTags: ranges })),
    '7867111100000000 7867000700000001 7867333300000002'.replaceAll(' ', ''),
  );

  const type3 = plainEngine.verify(data, tuples, {
    profile: TYPE3,
    layout: 'separate',
    seed: 10n,
    checks: ['ref'],
  });
  t.match(type3, { checked: 0, bad: 0 }, 'the reference tag of type 3 is never compared');

  t.equal(
    errorOf(() => checked(onlyApp)),
    'ERR_USAGE: checks: app, and no application tag is given to compare with',
  );
  for (const wrong of [
    [{ first: -1, count: 1, value: 0 }],
    [{ first: 0, count: 0.5, value: 0 }],
    [{ first: 0, count: 1, value: 0x10000 }],
    [{ first: 0, count: Infinity, value: 0 }],
    [
      { first: 1, count: 2, value: 0 },
      { first: 2, count: 1, value: 0 },
    ],
  ]) {
    t.match(
      errorOf(() => checked({ appTags: wrong })),
      /^ERR_OUT_OF_RANGE: appTags/,
    );
    t.match(
      errorOf(() => generate(TYPE1, data, { appTags: wrong })),
      /^ERR_OUT_OF_RANGE: appTags/,
    );
  }
  t.match(
    errorOf(() => checked({ appTag: 0, appTagMask: 0x10000 })),
    /^ERR_OUT_OF_RANGE: appTagMask/,
  );
});

t.test('verify: without the guard no data is read', async (t) => {
  const data = filled(0, 1024);
  Object.defineProperty(data, 'subarray', { value: () => t.fail('the data is read') });
  const tuples = bytes('0000 0000 00000000  0000 0000 00000001');
  t.match(verify(TYPE1, data, tuples, { checks: ['ref'] }), { checked: 2, bad: 0 });
});

t.test('verify: how far an escape reaches', async (t) => {
  const data = filled(0, 2048);
  const tuples = bytes('1234 0000 00000000  1234 ffff 00000001  1234 0000 00000002  1234 ffff 00000003');
  t.match(verify(TYPE1, data, tuples), { checked: 2, escaped: 2, bad: 2 });
  t.match(
    verify(TYPE1, data, tuples, { escapeCovers: 'rest' }),
    { intervals: 4, checked: 1, escaped: 1, bad: 1 },
    'Linux 3.10: what lies behind an escaped tuple is not looked at',
  );
});

t.test('verify: a tuple behind other metadata, interleaved', async (t) => {
  const profile = profileByName('T10-DIF-TYPE1-CRC', { interval: 4096, metadataSize: 64, piOffset: 56 });
  const options = { profile, layout: 'interleaved', seed: 3n } as const;
  const blocks = plainEngine.generate(filled(9, 8192), { ...options, type3Ref: 'zero' });
  t.equal(plainEngine.verify(blocks, null, options).ok, true);
  blocks[4160 + 4096 + 55]! ^= 1;
  t.match(
    plainEngine.verify(blocks, null, options).findings,
    [{ interval: 1, check: 'guard' }],
    'the byte before it is guarded',
  );
});

t.test('lengths and numbers that do not fit', async (t) => {
  const data = filled(0, 1024);
  t.equal(
    errorOf(() => verify(TYPE1, data, filled(0, 1040))),
    'ERR_BAD_LENGTH: 1040 bytes of metadata for 2 intervals of 8: 16 needed',
  );
  t.equal(
    errorOf(() => verify(TYPE1, data, filled(0, 15))),
    'ERR_BAD_LENGTH: 15 bytes of metadata for 2 intervals of 8: 16 needed',
  );
  t.equal(
    errorOf(() => generate(TYPE1, filled(0, 1000))),
    'ERR_BAD_LENGTH: 1000 bytes are no whole number of intervals of 512: 512 or 1024 would be',
  );
  t.equal(
    errorOf(() => plainEngine.verify(data, null, { profile: TYPE1, layout: 'interleaved', seed: 0n })),
    'ERR_BAD_LENGTH: 1024 bytes are no whole number of intervals of 512 + 8: 520 or 1040 would be',
  );
  t.match(
    errorOf(() => plainEngine.verify(data, null, { profile: TYPE1, layout: 'separate', seed: 0n })),
    'ERR_BAD_LENGTH: 0 bytes of metadata',
  );
  t.match(
    errorOf(() =>
      plainEngine.verify(filled(0, 520), filled(0), { profile: TYPE1, layout: 'interleaved', seed: 0n }),
    ),
    'ERR_USAGE: metadata must be null',
  );
  t.match(
    errorOf(() => generate(TYPE1, data, { seed: -1n })),
    'ERR_OUT_OF_RANGE: seed -1',
  );
  t.match(
    errorOf(() => generate(TYPE1, data, { seed: 2n ** 64n })),
    'ERR_OUT_OF_RANGE: seed 18446744073709551616',
  );
  t.match(
    errorOf(() => verify(TYPE1, data, filled(0, 16), { seed: -1n })),
    'ERR_OUT_OF_RANGE: seed -1',
  );
  t.match(
    errorOf(() => generate(TYPE1, data, { appTag: 0x10000 })),
    'ERR_OUT_OF_RANGE: appTag 65536',
  );
  t.match(
    errorOf(() => verify(TYPE1, data, filled(0, 16), { appTag: -1 })),
    'ERR_OUT_OF_RANGE: appTag -1',
  );
  for (const number of [-1, 1.5, Number.NaN]) {
    t.match(
      errorOf(() => verify(TYPE1, data, filled(0, 16), { findingsMax: number })),
      'ERR_OUT_OF_RANGE: findingsMax',
    );
    t.match(
      errorOf(() => verify(TYPE1, data, filled(0, 16), { startInterval: number })),
      'ERR_OUT_OF_RANGE: startInterval',
    );
  }
});

t.test('remap', async (t) => {
  const remapped = (profile: Profile, text: string, from: bigint, to: bigint) => {
    const metadata = bytes(text);
    remapReferenceTags(profile, metadata, from, to);
    return hex(metadata)
      .replaceAll(/(.{8})(.{8})/g, '$1 $2 ')
      .trim();
  };
  t.equal(
    remapped(TYPE1, '78670000 00000008 78670000 00000063 7867ffff 0000000a', 8n, 1n),
    '78670000 00000001 78670000 00000063 7867ffff 00000003',
    'an unmatched tag stays, and the counters go on past it; escapes are as any other',
  );
  t.equal(
    remapped(TYPE1, '0000000000000001 0000000000000002', 1n, 8n),
    '00000000 00000008 00000000 00000009',
    'back',
  );
  t.equal(remapped(TYPE2, '0000000000000001', 1n, 8n), '00000000 00000008');
  t.equal(remapped(TYPE3, '0000000000000001', 1n, 8n), '00000000 00000001', 'type 3 is not touched');
  t.equal(
    remapped(TYPE1, '00000000ffffffff 0000000000000000', 0xffffffffn, 0x1fffffffen),
    '00000000 fffffffe 00000000 ffffffff',
    'wraps',
  );
  t.equal(
    remapped(
      profileByName('T10-DIF-TYPE1-CRC', { metadataSize: 16, piOffset: 8 }),
      `${'0000000000000001'.repeat(2)}${'0000000000000002'.repeat(2)}`,
      1n,
      7n,
    ),
    '00000000 00000001 00000000 00000007 00000000 00000002 00000000 00000008',
    'only tuples',
  );
  t.equal(
    remapped(EXT1, '00000000000000000000ffffffffffff', 2n ** 48n - 1n, 3n),
    '00000000 00000000 00000000 00000003',
  );
  t.match(
    errorOf(() => remapReferenceTags(TYPE1, filled(0, 9), 0n, 1n)),
    'ERR_BAD_LENGTH: 9 bytes',
  );
});

t.test('a name that no option has is refused: a typo would pass a corrupt disk', async (t) => {
  for (const engine of [plainEngine, nativeEngine]) {
    for (const name of ['T10-DIF-TYPE1-CRC', 'EXT-DIF-TYPE1-CRC64']) {
      const profile = profileByName(name);
      const [data, tuples] = [new Uint8Array(512).fill(1), new Uint8Array(profile.tupleSize)];
      const good = { profile, layout: 'separate', seed: 0n } as const;
      const verify = (more: object) => engine.verify(data, tuples, { ...good, ...more });
      t.equal(verify({}).bad, 1);
      for (const wrong of [
        { checks: ['gaurd'] },
        { checks: ['guard', 'length'] },
        { checks: 'guard' },
        { checks: [0] },
        { order: 'linux' },
        { order: 'toString' },
        { escapeCovers: 'all' },
        { ipGuardCovers: 'data' },
        { layout: 'seperate' },
        { layout: undefined },
      ]) {
        t.throws(() => verify(wrong), { name: 'IntegrityError', code: 'ERR_USAGE' }, JSON.stringify(wrong));
      }
      for (const seed of [0, '0', undefined, null, -1n, 2n ** 64n]) {
        t.throws(
          () => verify({ seed }),
          { name: 'IntegrityError', code: 'ERR_OUT_OF_RANGE' },
          `seed ${seed}`,
        );
      }
      const make = (more: object) => engine.generate(data, { ...good, type3Ref: 'zero', ...more });
      t.throws(() => make({ type3Ref: 'one' }), { code: 'ERR_USAGE' });
      t.throws(() => make({ layout: 'seperate' }), { code: 'ERR_USAGE' });
      t.throws(() => make({ seed: 0 }), { code: 'ERR_OUT_OF_RANGE' });
    }
  }
});

t.test('verify: where an interval lies and which reference tag is expected there', async (t) => {
  const wide = { interval: 4096, metadataSize: 64, piOffset: 48 };
  for (const engine of [plainEngine, nativeEngine]) {
    for (const [profile, seed, ref] of [
      [profileByName('T10-DIF-TYPE1-CRC', wide), 2n ** 33n - 1n, 0],
      [profileByName('T10-DIF-TYPE1-IP', { ...wide, type: 2 }), 9n, 10],
      [profileByName('EXT-DIF-TYPE1-CRC64', wide), 2n ** 48n + 6n, 7],
      [profileByName('T10-DIF-TYPE3-CRC', wide), 9n, null],
      [profileByName('EXT-DIF-TYPE3-CRC64', wide), 9n, null],
    ] as const) {
      const [data, job] = [
        filled(7, 3 * 4096),
        { profile, seed, type3Ref: 'zero', startInterval: 70 } as const,
      ];
      const metadata = engine.generate(data, { ...job, layout: 'separate' });
      const stream = engine.generate(data, { ...job, layout: 'interleaved' });
      data[4096]! ^= 1;
      stream[4160]! ^= 1;
      const separate = engine.verify(data, metadata, { ...job, layout: 'separate' }).findings;
      t.match(separate, [{ interval: 71, dataOffset: 4096, tupleOffset: 64 + 48, ref }]);
      const interleaved = engine.verify(stream, null, { ...job, layout: 'interleaved' }).findings;
      t.match(interleaved, [{ interval: 71, dataOffset: 4160, tupleOffset: 4160 + 4096 + 48, ref }]);
    }
  }
});
