/** What no entry of src/pi takes: hand-made profiles and options that would pass a corrupt disk. */
import t, { type Test } from 'tap';
import { convertGuards } from '../../src/pi/convert.js';
import { diagnose } from '../../src/pi/diagnose.js';
import { nativeEngine, plainEngine } from '../../src/pi/engine.js';
import { computeGuard } from '../../src/pi/guard.js';
import { injectFaults, undoFaults } from '../../src/pi/inject.js';
import { type Profile, profileByName } from '../../src/pi/profile.js';
import { remapReferenceTags, remapReferenceTagsChecked } from '../../src/pi/remap.js';

const TYPE1 = profileByName('T10-DIF-TYPE1-CRC');

type Given = Record<string, unknown>;
type Entry = (options: Given, data: Uint8Array, tuples: Uint8Array) => unknown;

const GOOD = {
  profile: TYPE1,
  layout: 'separate',
  seed: 0n,
  type3Ref: 'zero',
  randomSeed: 1,
  target: 'data',
  count: 1,
};

/** Each takes whatever options it is given. */
const MAKING = {
  'plain generate': (options, data) => plainEngine.generate(data, options as never),
  'native generate': (options, data) => nativeEngine.generate(data, options as never),
  'plain generateInto': (options, data, tuples) => plainEngine.generateInto(data, tuples, options as never),
  'native generateInto': (options, data, tuples) => nativeEngine.generateInto(data, tuples, options as never),
} satisfies Record<string, Entry>;
const VERIFYING = {
  'plain verify': (options, data, tuples) => plainEngine.verify(data, tuples, options as never),
  'native verify': (options, data, tuples) => nativeEngine.verify(data, tuples, options as never),
  diagnose: (options, data, tuples) => diagnose(data, tuples, options as never, []),
} satisfies Record<string, Entry>;
const CONVERTING = {
  convertGuards: (options, data, tuples) => convertGuards(data, tuples, options as never),
} satisfies Record<string, Entry>;
const FAULTING = {
  injectFaults: (options, data, tuples) => injectFaults(data, tuples, options as never),
  undoFaults: (options, data, tuples) => undoFaults(data, tuples, options as never, []),
} satisfies Record<string, Entry>;
const REMAPPING = {
  remapReferenceTags: ({ profile }, _, tuples) => remapReferenceTags(profile as never, tuples, 0n, 1n),
  remapReferenceTagsChecked: ({ profile, ...options }, _, tuples) =>
    remapReferenceTagsChecked(profile as never, tuples, 0n, 1n, options as never),
} satisfies Record<string, Entry>;
const ALL = { ...MAKING, ...VERIFYING, ...CONVERTING, ...FAULTING, ...REMAPPING };

/** Calls each, and holds that it throws that error and that no byte is written. */
function refuse(t: Test, entries: Record<string, Entry>, options: Given, code: string, says: RegExp): void {
  for (const [name, entry] of Object.entries(entries)) {
    const [data, tuples] = [new Uint8Array(1024).fill(1), new Uint8Array(16)];
    const what = `${name}: ${says}`;
    t.throws(() => entry(options, data, tuples), { name: 'IntegrityError', code, message: says }, what);
    t.ok(data.every((byte) => byte === 1) && tuples.every((byte) => byte === 0), `${what}: nothing written`);
  }
}

t.test('a profile that is none, at every entry', async (t) => {
  const wrong: [object, RegExp][] = [
    [{ guard: 'CRC16' }, /guard/],
    [{ guard: undefined }, /guard/],
    [{ guard: null }, /guard/],
    [{ guard: 'ip' }, /guard/],
    [{ type: '1' }, /type/],
    [{ type: 3 }, /type/],
    [{ tupleSize: 0 }, /tupleSize/],
    [{ tupleSize: 16, metadataSize: 16 }, /tupleSize/],
    [{ interval: -512 }, /interval/],
    [{ interval: 512.5 }, /interval/],
    [{ interval: 0 }, /interval/],
    [{ interval: '512' }, /interval/],
    [{ interval: 1024 * 1024 }, /interval/],
    [{ metadataSize: 0 }, /metadataSize/],
    [{ metadataSize: 8.5 }, /metadataSize/],
    [{ piOffset: -1 }, /piOffset/],
    [{ piOffset: 1 }, /piOffset/],
    [{ tagSize: 7 }, /tagSize/],
    [{ tagSize: Symbol('none') }, /tagSize/],
  ];
  for (const [change, says] of wrong) {
    refuse(t, ALL, { ...GOOD, profile: { ...TYPE1, ...change } }, 'ERR_OUT_OF_RANGE', says);
  }
  for (const profile of [
    { ...TYPE1, name: 'T10-DIF-TYPE4' },
    { ...TYPE1, name: ['nop'] },
    {},
    null,
    undefined,
  ]) {
    refuse(t, ALL, { ...GOOD, profile }, 'ERR_UNKNOWN_FORMAT', /format/);
  }
});

t.test('a profile is read once', async (t) => {
  let asked = 0;
  const profile: Profile = {
    ...TYPE1,
    get guard() {
      return asked++ === 0 ? 'crc16' : ('CRC16' as 'crc16');
    },
  };
  for (const engine of [plainEngine, nativeEngine]) {
    asked = 0;
    const result = engine.verify(new Uint8Array(512).fill(1), new Uint8Array(8), {
      ...GOOD,
      profile,
    } as never);
    t.match(result, { bad: 1, checked: 1 });
  }
});

t.test('a guard of no kind is not computed', async (t) => {
  for (const kind of ['CRC16', undefined, null, 'toString']) {
    t.throws(() => computeGuard(kind as never, new Uint8Array(8), new Uint8Array(0), 'data-and-metadata'), {
      code: 'ERR_OUT_OF_RANGE',
      message: /guard/,
    });
  }
});

t.test('null is no value of an option', async (t) => {
  for (const name of ['appTag', 'appTags']) {
    const options = { ...GOOD, [name]: null };
    refuse(t, { ...MAKING, ...VERIFYING }, options, 'ERR_OUT_OF_RANGE', new RegExp(name));
  }
  refuse(t, VERIFYING, { ...GOOD, appTag: 1, appTagMask: null }, 'ERR_OUT_OF_RANGE', /appTagMask/);
  for (const name of ['findingsMax', 'startInterval']) {
    const options = { ...GOOD, [name]: null };
    const entries = {
      ...VERIFYING,
      ...CONVERTING,
      remapReferenceTagsChecked: REMAPPING.remapReferenceTagsChecked,
    };
    refuse(t, entries, options, 'ERR_OUT_OF_RANGE', new RegExp(name));
  }
  refuse(t, VERIFYING, { ...GOOD, appTags: [null] }, 'ERR_OUT_OF_RANGE', /appTags/);
  refuse(t, VERIFYING, { ...GOOD, appTags: 'all' }, 'ERR_OUT_OF_RANGE', /appTags/);
});

t.test('options are refused wherever the object has them from', async (t) => {
  const wrong = { order: 'linux', checks: ['gaurd'], escapeCovers: 'all', ipGuardCovers: 'data' };
  for (const [name, value] of Object.entries(wrong)) {
    const inherited = Object.assign(Object.create({ [name]: value }), GOOD);
    refuse(t, VERIFYING, inherited, 'ERR_USAGE', new RegExp(name));
  }
  const number = Object.assign(Object.create({ appTagMask: -1 }), GOOD);
  refuse(t, VERIFYING, number, 'ERR_OUT_OF_RANGE', /appTagMask/);
});

t.test('options are taken wherever the object has them from, and read once', async (t) => {
  for (const engine of [plainEngine, nativeEngine]) {
    const [data, tuples] = [new Uint8Array(512).fill(1), new Uint8Array(8)];
    const inherited = Object.create({ ...GOOD, appTag: 7, checks: ['app'] });
    t.match(engine.verify(data, tuples, inherited).findings, [{ check: 'app', computed: 7 }]);

    const asked = new Map<string, number>();
    const counted = new Proxy({ ...GOOD, appTag: 7 } as Given, {
      get(options, name: string) {
        asked.set(name, (asked.get(name) ?? 0) + 1);
        return options[name];
      },
    });
    engine.verify(data, tuples, counted as never);
    engine.generate(data, counted as never);
    const times = (names: string[]) => names.map((name) => asked.get(name));
    t.same(times(['appTagMask', 'checks', 'type3Ref']), [1, 1, 1]);
    t.same(times(['profile', 'seed', 'appTag']), [2, 2, 2], 'once in each call');

    const checks = ['guard'];
    let elements = 0;
    Object.defineProperty(checks, 0, { get: () => (elements++ === 0 ? 'guard' : 'gaurd') });
    t.match(engine.verify(data, tuples, { ...GOOD, checks } as never), { bad: 1, checked: 1 });
  }
});

t.test('the toolbox refuses what verify refuses', async (t) => {
  const placed = { ...CONVERTING, ...FAULTING };
  for (const layout of ['seperate', null, undefined]) {
    refuse(t, placed, { ...GOOD, layout }, 'ERR_USAGE', /layout/);
  }
  refuse(t, CONVERTING, { ...GOOD, ipGuardCovers: 'data' }, 'ERR_USAGE', /ipGuardCovers/);
  const numbered = { ...CONVERTING, remapReferenceTagsChecked: REMAPPING.remapReferenceTagsChecked };
  for (const name of ['findingsMax', 'startInterval']) {
    for (const value of [-1, 0.5, Number.NaN, '1']) {
      refuse(t, numbered, { ...GOOD, [name]: value }, 'ERR_OUT_OF_RANGE', new RegExp(name));
    }
  }
  refuse(
    t,
    numbered,
    { ...GOOD, startInterval: Number.MAX_SAFE_INTEGER },
    'ERR_OUT_OF_RANGE',
    /startInterval/,
  );
  refuse(t, VERIFYING, { ...GOOD, checks: ['app'] }, 'ERR_USAGE', /application tag/);
  for (const wrong of [{ count: Symbol('one') }, { randomSeed: null }]) {
    refuse(
      t,
      { injectFaults: FAULTING.injectFaults },
      { ...GOOD, ...wrong },
      'ERR_OUT_OF_RANGE',
      /count|randomSeed/,
    );
  }
});

t.test('a fault is undone as it was looked at', async (t) => {
  let asked = 0;
  const fault = {
    interval: 0,
    target: 'data',
    bit: 0,
    get byte() {
      return asked++ === 0 ? 0 : 600;
    },
  } as const;
  const data = new Uint8Array(1024);
  undoFaults(data, new Uint8Array(16), { profile: TYPE1, layout: 'separate' }, [fault]);
  t.same([data[0], data[600]], [1, 0]);
});
