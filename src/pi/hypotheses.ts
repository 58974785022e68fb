/**
 * What can be wrong with a bad interval, each as a hypothesis: whether an interval fits it, and how unlikely that would be by chance.
 * diagnose.ts weighs them.
 */
import { appTagReader } from './app-tags.js';
import { computeGuard, guardBehind, type IpGuardCovers } from './guard.js';
import { dataOf, type Placement, prefixOf, tupleOffset } from './layout.js';
import type { GuardKind, Profile } from './profile.js';
import { isEscaped, readTuple, referenceTag, type Tuple, viewOf } from './tuple.js';
import { type CheckedField, comparedFields, type VerifyOptions } from './verify.js';

/** What was found to be wrong; docs/mirror.md has a row for each. */
export type DiagnosisKind =
  | 'zeroed'
  | 'all-ones'
  | 'byte-swapped-guard'
  | 'other-guard-kind'
  | 'pi-position'
  | 'shifted'
  | 'interval-size'
  | 'virtual-tags'
  | 'constant-ref'
  | 'misdirected'
  | 'foreign-tuple'
  | 'data-bit-flip'
  | 'guard-bit-flip'
  | 'ref-bit-flip'
  | 'app-tag'
  | 'stale'
  | 'unknown';

/** One bit that would have to be flipped back. */
export interface FlippedBit {
  readonly interval: number;
  /** `data` goes on into the metadata before the tuple, which the guard covers too. */
  readonly field: 'data' | 'guard' | 'ref';
  /** Counted from the first byte of the data or of the tuple. Null for data under an IP checksum, which cannot tell. */
  readonly byte: number | null;
  /** 0 is the least significant. */
  readonly bit: number;
}

/** A bad interval and what is known of it. */
export interface BadInterval {
  /** From 0 in the buffers. */
  readonly index: number;
  readonly stored: Tuple;
  /** As its data gives it; null where it was not compared. */
  readonly guard: number | bigint | null;
  /** The reference tag of its place; null where it was not compared. */
  readonly ref: number | null;
  /** Of the fields that were compared; none of them in an escaped tuple. */
  readonly guardWrong: boolean;
  readonly refWrong: boolean;
  readonly appWrong: boolean;
}

/** Guards and tuples of a run, each guard made once. */
export class Scene {
  readonly profile: Profile;
  readonly kind: GuardKind;
  readonly size: 8 | 16;
  readonly placement: Placement;
  readonly seed: bigint;
  readonly guardBits: number;
  readonly refBits: number;
  readonly #options: VerifyOptions;
  readonly #compared: readonly CheckedField[];
  readonly #view: DataView;
  readonly #appTagOf: (interval: number) => number | undefined;
  readonly #guards = new Map<string, Map<number, number | bigint>>();

  constructor(options: VerifyOptions, kind: GuardKind, placement: Placement) {
    this.profile = options.profile;
    this.kind = kind;
    this.size = options.profile.tupleSize === 16 ? 16 : 8;
    this.placement = placement;
    this.seed = options.seed;
    this.guardBits = kind === 'crc64' ? 64 : 16;
    this.refBits = this.size === 16 ? 48 : 32;
    this.#options = options;
    this.#compared = comparedFields(options);
    this.#view = viewOf(placement.metadata);
    this.#appTagOf = appTagReader(options);
  }

  has(index: number): boolean {
    return Number.isInteger(index) && index >= 0 && index < this.placement.intervals;
  }

  compares(field: CheckedField): boolean {
    return this.#compared.includes(field);
  }

  /** The tuple of an interval, or what would be it at another offset of the metadata. */
  tuple(index: number, piOffset: number = this.profile.piOffset): Tuple {
    const at = tupleOffset(this.profile, this.placement, index) - this.profile.piOffset + piOffset;
    return readTuple(this.#view, at, this.size);
  }

  data(index: number): Uint8Array {
    return dataOf(this.profile, this.placement, index);
  }

  /** The guard that the data of an interval gives, or gave before a tuple at another offset of the metadata. */
  guard(
    index: number,
    kind: GuardKind = this.kind,
    piOffset: number = this.profile.piOffset,
  ): number | bigint {
    return this.#once(`${kind} ${piOffset}`, index, () => {
      if (piOffset === 0) return this.guardOf(this.data(index), NO_BYTES, kind);
      const prefix = prefixOf({ ...this.profile, piOffset }, this.placement, index);
      return guardBehind(kind, this.guard(index, kind, 0), prefix, this.#ipGuardCovers);
    });
  }

  /** The guard of an interval of another size, by where its data begins. */
  guardOfSize(size: number, start: number, prefix: Uint8Array): number | bigint {
    const { data } = this.placement;
    return this.#once(`${size} bytes`, start, () => this.guardOf(data.subarray(start, start + size), prefix));
  }

  guardOf(data: Uint8Array, prefix: Uint8Array, kind: GuardKind = this.kind): number | bigint {
    return computeGuard(kind, data, prefix, this.#ipGuardCovers);
  }

  get #ipGuardCovers(): IpGuardCovers {
    return this.#options.ipGuardCovers ?? 'data-and-metadata';
  }

  /** A guard costs a reading of the data, and each round of the diagnosis asks again. */
  #once(what: string, at: number, make: () => number | bigint): number | bigint {
    const made = this.#guards.get(what) ?? new Map<number, number | bigint>();
    this.#guards.set(what, made);
    const guard = made.get(at) ?? make();
    made.set(at, guard);
    return guard;
  }

  /** Intervals come in rising order. */
  examine(index: number): BadInterval {
    const { profile, size, seed } = this;
    const stored = this.tuple(index);
    const looks = !isEscaped(profile, size, stored);
    const guard = this.compares('guard') ? this.guard(index) : null;
    const ref = this.compares('ref') ? referenceTag(size, seed, index) : null;
    const app = this.compares('app') ? this.#appTagOf(index) : undefined;
    const appMask = this.#options.appTagMask ?? 0xffff;
    return {
      index,
      stored,
      guard,
      ref,
      guardWrong: looks && guard !== null && stored.guard !== guard,
      refWrong: looks && ref !== null && stored.ref !== ref,
      appWrong: looks && app !== undefined && ((stored.app ^ app) & appMask) !== 0,
    };
  }

  /** How far the reference tag is from that of its place, from 0 to all ones. */
  distance({ stored, ref }: BadInterval): number {
    const span = 2 ** this.refBits;
    return (stored.ref - (ref ?? 0) + span) % span;
  }
}

export interface Hypothesis {
  readonly kind: DiagnosisKind;
  readonly parameters: Readonly<Record<string, number | string | boolean>>;
  /** One sentence, without the number of intervals. */
  readonly text: string;
  /** That an interval of random bytes fits has the chance 2^-bits. */
  readonly bits: number;
  /** log2 of how many parameters were tried. */
  readonly choices: number;
  /** So many of the intervals that fit went into the parameters and prove nothing. */
  readonly spent: number;
  /** Fewer intervals than this are no pattern. */
  readonly atLeast: number;
  fits(bad: BadInterval): boolean;
  /** Whether an interval that fits counts as evidence as well: one of uniform data fits too much. */
  proves(bad: BadInterval): boolean;
  /** The bit that was flipped, for an interval that fits. */
  flipped?(bad: BadInterval): FlippedBit;
  /** The intervals that it speaks of: if it fits them all, it is worth a word even where chance may well do so. */
  speaksOf?(bad: BadInterval): boolean;
  /** Those that it cannot be tested on, since what it needs is not in the buffers. They are its own once it is certain. */
  beyond?(bad: BadInterval): boolean;
}

/** Looks at the intervals that nothing has explained yet, and proposes what might. */
export type Proposer = (scene: Scene, bad: readonly BadInterval[]) => Hypothesis[];

/** Data against tuples is looked for at up to so many intervals, either way. */
export const SHIFT_MAX = 256;
/** Tuples are looked for at the first so many offsets of the metadata, and at the last. */
const PI_OFFSETS_MAX = 64;
/** So many intervals vote on a parameter that costs a guard to try: the first, and as many from everywhere. */
const VOTERS = 16;
const INTERVAL_SIZES = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];

const NO_BYTES = new Uint8Array(0);

type Outline = Pick<Hypothesis, 'kind' | 'text' | 'bits' | 'fits'> & Partial<Hypothesis>;

function hypothesis(outline: Outline): Hypothesis {
  return { parameters: {}, choices: 0, spent: 0, atLeast: 1, proves: () => true, ...outline };
}

/** The most frequent values of `of`, the undefined ones apart, at most `limit`. */
function votes<T>(
  bad: readonly BadInterval[],
  of: (interval: BadInterval) => Iterable<T>,
  limit: number,
): T[] {
  const counts = new Map<T, number>();
  for (const interval of bad) {
    for (const value of of(interval)) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  return [...counts]
    .sort((a, b) => b[1] - a[1])
    .slice(0, limit)
    .map(([value]) => value);
}

function voters(bad: readonly BadInterval[]): BadInterval[] {
  const step = Math.ceil((2 * bad.length) / VOTERS);
  return bad.filter((_, k) => k < VOTERS / 2 || k % step === 0);
}

/** Each byte is the one before it: compared natively, since all the data of many intervals is asked about many times. */
const isUniform = (bytes: Uint8Array) => Buffer.compare(bytes.subarray(1), bytes.subarray(0, -1)) === 0;
const isFilled = (bytes: Uint8Array, value: number) => bytes[0] === value && isUniform(bytes);
const guardAlone = (bad: BadInterval) => bad.guardWrong && !bad.refWrong;
const refAlone = (bad: BadInterval) => bad.refWrong && !bad.guardWrong;
const isWrong = (bad: BadInterval) => bad.guardWrong || bad.refWrong;
const signed = (distance: number, span: number) => (distance >= span / 2 ? distance - span : distance);
const placeOf = (places: number) => `${plural(Math.abs(places))} ${places < 0 ? 'before' : 'after'}`;
const plural = (n: number) => `${n} interval${Math.abs(n) === 1 ? '' : 's'}`;

/** Tuples, with their data or alone, all of one byte; of FFh only where a tag keeps them from being escaped. */
function filledTuples(kind: DiagnosisKind, value: 0 | 0xff, called: string): Proposer {
  return (scene) => {
    const tupleIs = filledTuple(scene, value);
    const variants = [
      { what: 'data and tuples', text: 'both are', data: true },
      { what: 'tuples', text: 'the tuples are, their data is not', data: false },
    ];
    return variants.map(({ what, text, data }) =>
      hypothesis({
        kind,
        parameters: { what },
        text: `${called}: ${text}`,
        // Tags of 0 are healthy where the reference tag is not compared: only the guard speaks.
        bits: scene.compares('ref') ? 2 * scene.guardBits : scene.guardBits,
        fits: (bad) => isWrong(bad) && tupleIs(bad) && isFilled(scene.data(bad.index), value) === data,
      }),
    );
  };
}

/**
 * Data all of one byte under tuples of something else. Garbage for tuples looks so too, so these must look real: the tag of their
 * place, or one application tag where that is not known, and guards that differ among themselves.
 */
function filledData(kind: DiagnosisKind, value: 0 | 0xff, called: string): Proposer {
  return (scene, all) => {
    const tupleIs = filledTuple(scene, value);
    const filled = all.filter(
      (bad) => guardAlone(bad) && !tupleIs(bad) && isFilled(scene.data(bad.index), value),
    );
    const [app] = votes(filled, ({ stored }) => [stored.app], 1);
    const real = new Set(filled.filter(({ ref, stored }) => ref !== null || stored.app === app));
    const differ = new Set([...real].map(({ stored }) => stored.guard)).size > 1;
    return [
      hypothesis({
        kind,
        parameters: { what: 'data' },
        text: `${called}: the data is; the tuples are not, and their guards are of other data`,
        bits: 2 * scene.guardBits,
        fits: (bad) => real.has(bad),
        proves: () => differ,
        speaksOf: (bad) => real.has(bad),
      }),
    ];
  };
}

function filledTuple(scene: Scene, value: 0 | 0xff): (bad: BadInterval) => boolean {
  const ones = value === 0xff;
  const guard = ones ? 2n ** BigInt(scene.guardBits) - 1n : 0n;
  const ref = ones ? 2 ** scene.refBits - 1 : 0;
  return ({ stored }) => {
    const tags = [stored.ref === ref, stored.app === (ones ? 0xffff : 0)];
    return BigInt(stored.guard) === guard && (ones ? tags.includes(true) : !tags.includes(false));
  };
}

/** A guard in another form of the very data, whatever the reference tags are. */
function guardForm(
  scene: Scene,
  all: readonly BadInterval[],
  {
    kind,
    parameters,
    text,
    is,
  }: Pick<Hypothesis, 'kind' | 'parameters' | 'text'> & { is: Hypothesis['fits'] },
): Hypothesis[] {
  const outline = {
    kind,
    bits: scene.guardBits,
    // Some guards are the same in either form.
    proves: (bad: BadInterval) => bad.guardWrong && !isUniform(scene.data(bad.index)),
  };
  const refIs = (bad: BadInterval) =>
    bad.ref !== null && byteSwapped(bad.stored.ref, scene.refBits) === BigInt(bad.ref);
  const [distance] = votes(
    all.filter((bad) => bad.guardWrong && bad.refWrong && is(bad)),
    (bad) => [scene.distance(bad)],
    1,
  );
  const known = scene.compares('ref');
  const variants = [
    hypothesis({
      ...outline,
      parameters: { ...parameters, refs: known ? 'right' : 'not compared' },
      text,
      proves: (bad) => bad.guardWrong,
      fits: (bad) => guardAlone(bad) && is(bad),
    }),
  ];
  if (!known) return variants;
  variants.push(
    hypothesis({
      ...outline,
      parameters: { ...parameters, refs: 'byte-swapped' },
      text: `${text}, and so are those of the reference tag: tuples written little-endian`,
      bits: scene.guardBits,
      proves: () => true,
      fits: (bad) => kind === 'byte-swapped-guard' && isWrong(bad) && is(bad) && refIs(bad),
    }),
  );
  if (distance !== undefined) {
    const places = signed(distance, 2 ** scene.refBits);
    variants.push(
      hypothesis({
        ...outline,
        parameters: { ...parameters, refs: `off by ${places}` },
        text: `${text}, and the reference tags are off by ${places}: those of another place, or a seed that is off by so much`,
        choices: Math.log2(all.length),
        fits: (bad) => bad.refWrong && is(bad) && scene.distance(bad) === distance,
      }),
    );
  }
  variants.push(
    hypothesis({
      ...outline,
      parameters: { ...parameters, refs: 'wrong' },
      text: `${text}, and the reference tags are not those of their places`,
      fits: (bad) => bad.guardWrong && bad.refWrong && is(bad),
    }),
  );
  return variants;
}

function byteSwapped(value: number | bigint, bits: number): bigint {
  const bytes = Buffer.from(value.toString(16).padStart(bits / 4, '0'), 'hex');
  return BigInt(`0x${bytes.reverse().toString('hex')}`);
}

const byteSwappedGuard: Proposer = (scene, all) =>
  guardForm(scene, all, {
    kind: 'byte-swapped-guard',
    parameters: {},
    text: 'the bytes of the guard are in the opposite order',
    is: ({ stored, guard }) => guard !== null && byteSwapped(stored.guard, scene.guardBits) === BigInt(guard),
  });

const otherGuardKind: Proposer = (scene, all) => {
  if (scene.kind === 'crc64') return [];
  const [found, called] =
    scene.kind === 'crc16' ? (['ip', 'an IP checksum'] as const) : (['crc16', 'a CRC-16 T10-DIF'] as const);
  const kind = 'other-guard-kind';
  return [
    ...guardForm(scene, all, {
      kind,
      parameters: { found },
      text: `the guard is ${called} of the very data`,
      is: ({ index, stored }) => stored.guard === scene.guard(index, found),
    }),
    ...guardForm(scene, all, {
      kind,
      parameters: { found, byteSwapped: true },
      text: `the guard is ${called} of the very data with its bytes in the opposite order`,
      is: ({ index, stored }) =>
        byteSwapped(stored.guard, scene.guardBits) === BigInt(scene.guard(index, found)),
    }),
  ];
};

const piPosition: Proposer = (scene, all) => {
  const { piOffset, metadataSize, tupleSize } = scene.profile;
  const last = metadataSize - tupleSize;
  const offsets = Array.from({ length: Math.min(last, PI_OFFSETS_MAX) }, (_, offset) => offset);
  offsets.push(last);
  const fitsAt = (bad: BadInterval, offset: number) => {
    const { guard, ref } = scene.tuple(bad.index, offset);
    if (!isWrong(bad) || (bad.ref !== null && ref !== bad.ref)) return false;
    if (bad.guard === null) return true;
    return guard === scene.guard(bad.index, scene.kind, offset);
  };
  const possible = offsets.filter((offset) => offset !== piOffset);
  // Data and its own guard, but for one bit, sum up to a power of two, and so do many tags.
  const almostRight = ({ stored, guard }: BadInterval) =>
    scene.kind === 'ip' && guard !== null && locateByIp(stored.guard, guard) !== null;
  const voted = votes(voters(all), (bad) => possible.filter((offset) => fitsAt(bad, offset)), 2);
  return voted.map((found) =>
    hypothesis({
      kind: 'pi-position',
      parameters: { piOffset: found },
      text: `the tuple lies at byte ${found} of the metadata, not at ${piOffset}`,
      bits: (scene.compares('guard') ? scene.guardBits : 0) + (scene.compares('ref') ? scene.refBits : 0),
      choices: Math.log2(possible.length),
      fits: (bad) => fitsAt(bad, found),
      // Guards of blank data are anywhere in blank metadata; reference tags but 0 are not.
      proves: (bad) => (bad.ref ?? 0) !== 0 || !(isUniform(scene.data(bad.index)) || almostRight(bad)),
    }),
  );
};

const shifted: Proposer = (scene, all) => {
  const wrong = all.filter(({ guardWrong }) => guardWrong);
  const distances = Array.from({ length: SHIFT_MAX }, (_, k) => [k + 1, -k - 1]).flat();
  const belongs = ({ index, guard }: BadInterval, distance: number) =>
    scene.has(index + distance) && scene.tuple(index + distance).guard === guard;
  // Where the other one is in order, equal blocks are all there is to it.
  const isBad = (index: number) => scene.has(index) && scene.tuple(index).guard !== scene.guard(index);
  const voted = votes(wrong, (bad) => distances.filter((distance) => belongs(bad, distance)), 2);
  return voted.map((distance) =>
    hypothesis({
      kind: 'shifted',
      parameters: { distance },
      text: `data and tuples are shifted against each other: the data of interval i belongs to the tuple of interval i ${distance < 0 ? '-' : '+'} ${Math.abs(distance)}`,
      bits: scene.guardBits - 1,
      choices: Math.log2(distances.length),
      atLeast: 2,
      fits: (bad) => {
        if (!isWrong(bad)) return false;
        const before = bad.index - distance;
        return (
          (belongs(bad, distance) && isBad(bad.index + distance)) ||
          (isBad(before) && scene.guard(before) === bad.stored.guard)
        );
      },
      // A guard may happen to be that of the other data too.
      proves: (bad) => bad.guardWrong && !isUniform(scene.data(bad.index)),
    }),
  );
};

/** Tuples beside intervals of another size, counted from the beginning of the buffers. */
const intervalSize: Proposer = (scene, all) => {
  const { profile, placement } = scene;
  const { data, metadata, dataStride, metadataStride } = placement;
  const { metadataSize, piOffset } = profile;
  const interleaved = data === metadata;
  const sizes = INTERVAL_SIZES.filter((size) => size !== profile.interval);
  const strideOf = (size: number) => (interleaved ? size + metadataSize : size);
  /** The interval of that size that holds the first byte of this one; separate, the one of this tuple. */
  const at = (index: number, size: number) =>
    interleaved ? Math.floor((index * dataStride) / strideOf(size)) : index;
  const other = (index: number, size: number) => {
    const start = at(index, size) * strideOf(size);
    const metadataAt = interleaved ? start + size : index * metadataStride;
    const end = interleaved ? metadataAt + metadataSize : start + size;
    if (end > data.length) return null;
    return {
      start,
      data: data.subarray(start, start + size),
      prefix: metadata.subarray(metadataAt, metadataAt + piOffset),
      tuple: readTuple(viewOf(metadata), metadataAt + piOffset, scene.size),
    };
  };
  const fitsAt = (bad: BadInterval, size: number) => {
    const there = bad.guardWrong ? other(bad.index, size) : null;
    return there !== null && there.tuple.guard === scene.guardOfSize(size, there.start, there.prefix);
  };
  const voted = votes(voters(all), (bad) => sizes.filter((size) => fitsAt(bad, size)), 2);
  return voted.map((size) => {
    // Several may lie in one larger interval, which is one piece of evidence.
    const apart = new Map([...all].reverse().map((bad) => [at(bad.index, size), bad]));
    return hypothesis({
      kind: 'interval-size',
      parameters: { interval: size },
      text: `the tuples are those of intervals of ${size} bytes, not ${profile.interval}`,
      bits: scene.guardBits,
      choices: Math.log2(sizes.length),
      fits: (bad) => fitsAt(bad, size),
      proves: (bad) =>
        apart.get(at(bad.index, size)) === bad && !isUniform(other(bad.index, size)?.data ?? NO_BYTES),
      beyond: (bad) => isWrong(bad) && other(bad.index, size) === null,
    });
  });
};

/**
 * A bio's seed is its sector of 512 bytes and counts up by 1 an interval: tags 8L + k where the medium has L + k, until they are
 * remapped (Linux block/t10-pi.c).
 */
const virtualTags: Proposer = (scene) => {
  const { profile, placement, seed, refBits } = scene;
  const ratio = BigInt(profile.interval / 512);
  if (ratio === 1n || !scene.compares('ref')) return [];
  const modulo = (value: bigint) => BigInt.asUintN(refBits, value);
  const units = `sectors of 512 bytes, not of ${profile.interval}`;
  // The tag of an I/O at L is ratio * L, which is (ratio - 1) * L too much: odd, so that it can be divided by.
  const inverse = inverseOf(ratio - 1n, refBits);
  const startOf = (bad: BadInterval) => Number(modulo(BigInt(scene.distance(bad)) * inverse - seed));
  const lba = seed / ratio;
  const tuples = hypothesis({
    kind: 'virtual-tags',
    parameters: { inSectors: 'tuples' },
    text: `the reference tags are virtual, never remapped: they count from the start of their I/O in ${units}`,
    bits: refBits - Math.log2(placement.intervals),
    fits: (bad) => refAlone(bad) && startOf(bad) <= bad.index,
  });
  const given = hypothesis({
    kind: 'virtual-tags',
    parameters: { inSectors: 'seed', seed: lba.toString() },
    text: `the seed is in ${units}: the tuples begin at ${lba}`,
    bits: refBits,
    fits: (bad) => refAlone(bad) && BigInt(scene.distance(bad)) === modulo(lba - seed),
  });
  return seed > 0n && seed % ratio === 0n ? [given, tuples] : [tuples];
};

/** A tag that is no place, so that one is enough. */
const blankRef: Proposer = (scene, all) =>
  [
    { ref: 0, called: '0: cleared, or never set' },
    { ref: 2 ** scene.refBits - 1, called: 'all ones: cleared, or never set' },
  ]
    .filter(({ ref }) => all.some((bad) => refAlone(bad) && bad.stored.ref === ref))
    .map(({ ref, called }) =>
      hypothesis({
        kind: 'constant-ref',
        parameters: { ref },
        text: `the reference tag is ${called}`,
        bits: scene.refBits - 1,
        fits: (bad) => refAlone(bad) && bad.stored.ref === ref,
      }),
    );

const constantRef: Proposer = (scene, all) =>
  votes(all.filter(refAlone), ({ stored }) => [stored.ref], 1).map((ref) =>
    hypothesis({
      kind: 'constant-ref',
      parameters: { ref },
      text: `the reference tag does not count: it is ${ref} everywhere`,
      bits: scene.refBits,
      choices: Math.log2(all.length),
      spent: 1,
      atLeast: 2,
      fits: (bad) => refAlone(bad) && bad.stored.ref === ref,
    }),
  );

/** A distance in intervals: as many after this one where there is no place so far before it. */
function placesOf(scene: Scene, distance: number, { index }: BadInterval): number {
  const places = signed(distance, 2 ** scene.refBits);
  return scene.seed + BigInt(index) + BigInt(places) < 0n ? distance : places;
}

const misdirected: Proposer = (scene, all) => {
  const moved = all.filter(refAlone);
  if (moved.length < 2) return [];
  return votes(moved, (bad) => [scene.distance(bad)], 1).map((distance) => {
    const places = placesOf(scene, distance, moved.find((bad) => scene.distance(bad) === distance)!);
    const seen = scene.compares('guard')
      ? 'data and tuple belong together and to another place'
      : 'the tuples belong to another place (guards were not compared)';
    return hypothesis({
      kind: 'misdirected',
      parameters: { distance: places },
      text: `${seen}, ${placeOf(places)} this one: a misdirected write or read, or a seed that is off by so much`,
      bits: scene.refBits,
      choices: Math.log2(all.length),
      spent: 1,
      atLeast: 2,
      fits: (bad) => refAlone(bad) && scene.distance(bad) === distance,
    });
  });
};

/** All that speaks for a single one is that its guard is right, which it is under a corrupted tag too. */
const misdirectedAlone: Proposer = (scene, all) => {
  const [bad, another] = all.filter(refAlone);
  if (bad === undefined || another !== undefined || !scene.compares('guard')) return [];
  const places = signed(scene.distance(bad), 2 ** scene.refBits);
  if (scene.seed + BigInt(bad.index) + BigInt(places) < 0n) return [];
  return [
    hypothesis({
      kind: 'misdirected',
      parameters: { distance: places },
      text: `data and tuple belong together, and the reference tag is of the place ${placeOf(places)} this one: a misdirected write or read, or a corrupted reference tag`,
      bits: scene.guardBits,
      fits: (one) => one === bad,
    }),
  ];
};

const foreignTuple: Proposer = (scene, all) => {
  const foreign = all.filter((bad) => bad.refWrong && bad.guardWrong);
  return votes(foreign, (bad) => [scene.distance(bad)], 1).map((distance) => {
    const places = placesOf(scene, distance, foreign.find((bad) => scene.distance(bad) === distance)!);
    return hypothesis({
      kind: 'foreign-tuple',
      parameters: { distance: places },
      text: `the tuples are those of the place ${placeOf(places)} this one, and their guards are of other data, in any form tried here`,
      bits: scene.refBits,
      choices: Math.log2(all.length),
      spent: 1,
      atLeast: 2,
      fits: (bad) => bad.refWrong && bad.guardWrong && scene.distance(bad) === distance,
    });
  });
};

const dataBitFlip: Proposer = (scene) => {
  const { interval, piOffset } = scene.profile;
  const bytes = interval + piOffset;
  const locate = { crc16: locateByCrc16, ip: locateByIp, crc64: locateByCrc64 }[scene.kind];
  const found = new Map<BadInterval, Place | null>();
  const placeOf = (bad: BadInterval) => {
    let place = found.get(bad);
    if (place === undefined) {
      place = locate(bad.stored.guard, bad.guard ?? 0, bytes);
      found.set(bad, place);
    }
    return place;
  };
  // Of the syndromes that there are: an IP checksum has two for each bit of a word.
  const chance = scene.kind === 'ip' ? 32 / 65535 : (8 * bytes) / 2 ** scene.guardBits;
  const oneIn = Math.round(1 / chance);
  return [
    hypothesis({
      kind: 'data-bit-flip',
      parameters: { chance },
      text: `one flipped bit of data would do it${oneIn < 2 ** 16 ? `; so it would for 1 in ${oneIn} of all wrong guards` : ''}`,
      bits: -Math.log2(chance),
      fits: (bad) => guardAlone(bad) && placeOf(bad) !== null,
      speaksOf: guardAlone,
      flipped: (bad) => ({ interval: bad.index, field: 'data', ...(placeOf(bad) ?? { byte: null, bit: 0 }) }),
    }),
  ];
};

const tagBitFlip =
  (field: 'guard' | 'ref', applies: (bad: BadInterval) => boolean): Proposer =>
  (scene) => {
    const bits = field === 'guard' ? scene.guardBits : scene.refBits;
    const end = field === 'guard' ? scene.guardBits / 8 : scene.size;
    const difference = (bad: BadInterval) => BigInt(bad.stored[field]) ^ BigInt(bad[field] ?? 0);
    return [
      hypothesis({
        kind: `${field}-bit-flip`,
        text: `one flipped bit in the ${field === 'guard' ? 'guard' : 'reference tag'}`,
        bits: bits - Math.log2(bits),
        fits: (bad) => {
          const flips = difference(bad);
          return applies(bad) && flips !== 0n && (flips & (flips - 1n)) === 0n;
        },
        flipped: (bad) => {
          const bit = difference(bad).toString(2).length - 1;
          return { interval: bad.index, field, byte: end - 1 - (bit >> 3), bit: bit & 7 };
        },
      }),
    ];
  };

const appTag: Proposer = () => [
  hypothesis({
    kind: 'app-tag',
    text: 'only the application tag is another than the one expected',
    bits: Infinity,
    fits: (bad) => bad.appWrong && !isWrong(bad),
  }),
];

const stale: Proposer = (scene) => [
  hypothesis({
    kind: 'stale',
    text: 'the tuple is of this place and the guard of other data: stale data, a stale tuple or corrupted data, which the tuple cannot tell apart',
    bits: scene.refBits,
    fits: (bad) => bad.ref !== null && guardAlone(bad),
  }),
];

/**
 * One after the other: what is read in the wrong way looks like many other things besides, and may leave a rest that is blank. Within
 * one group, in this order where they explain the same: the special before the general. The last is for what the others leave.
 */
export const PROPOSERS: readonly (readonly Proposer[])[] = [
  [piPosition, intervalSize],
  [
    filledTuples('zeroed', 0, 'all zeros'),
    filledTuples('all-ones', 0xff, 'all ones and not escaped'),
    byteSwappedGuard,
    otherGuardKind,
    shifted,
    virtualTags,
    blankRef,
    constantRef,
    misdirected,
    foreignTuple,
    dataBitFlip,
    tagBitFlip('guard', guardAlone),
    tagBitFlip('ref', refAlone),
    filledData('zeroed', 0, 'all zeros'),
    filledData('all-ones', 0xff, 'all ones'),
    misdirectedAlone,
    appTag,
  ],
  [stale],
];

type Place = Pick<FlippedBit, 'byte' | 'bit'>;

/** The exponents of x that a CRC-16 can be: 8BB7h is primitive, so each but 0 is one, below 65535. */
let crc16Exponents: Uint16Array | undefined;

function exponentOfCrc16(crc: number): number {
  if (crc16Exponents === undefined) {
    crc16Exponents = new Uint16Array(0x10000);
    let power = 1;
    for (let exponent = 0; exponent < 0xffff; exponent++) {
      crc16Exponents[power] = exponent;
      power = power & 0x8000 ? ((power << 1) ^ 0x18bb7) & 0xffff : power << 1;
    }
  }
  return crc16Exponents[crc]!;
}

/** A bit k bits before the end of the data is x^(k + 16) of the guard. Unique up to 8 KiB. */
function locateByCrc16(stored: number | bigint, computed: number | bigint, bytes: number): Place | null {
  if (8 * bytes + 16 > 0xffff) return null;
  const fromEnd = exponentOfCrc16(Number(stored) ^ Number(computed)) - 16;
  if (fromEnd < 0 || fromEnd >= 8 * bytes) return null;
  return { byte: bytes - 1 - (fromEnd >> 3), bit: fromEnd & 7 };
}

/** What each flipped bit makes of a CRC-64, found by its low half. */
interface Crc64Syndromes {
  readonly low: Int32Array;
  readonly high: Int32Array;
  /** Open addressing: 1 + the bit's distance from the end of the data, or 0. */
  readonly slots: Int32Array;
}

/** Made once, for the largest interval asked for. */
let crc64Syndromes: Crc64Syndromes | undefined;

function syndromesOfCrc64(bits: number): Crc64Syndromes {
  if (crc64Syndromes !== undefined && crc64Syndromes.low.length >= bits) return crc64Syndromes;
  const slots = new Int32Array(2 ** Math.ceil(Math.log2(2 * bits)));
  const made = { low: new Int32Array(bits), high: new Int32Array(bits), slots };
  // The reversed polynomial of guard.ts: x^64, one bit from the end.
  let low = 0xac4bc9b5 | 0;
  let high = 0x9a6c9329 | 0;
  for (let fromEnd = 0; fromEnd < bits; fromEnd++) {
    made.low[fromEnd] = low;
    made.high[fromEnd] = high;
    let slot = low & (slots.length - 1);
    while (slots[slot] !== 0) slot = (slot + 1) & (slots.length - 1);
    slots[slot] = fromEnd + 1;
    const carry = low & 1;
    low = (low >>> 1) | (high << 31);
    high >>>= 1;
    if (carry) {
      low ^= 0xac4bc9b5;
      high ^= 0x9a6c9329;
    }
    high |= 0;
  }
  crc64Syndromes = made;
  return made;
}

/** The same, least significant bit first. */
function locateByCrc64(stored: number | bigint, computed: number | bigint, bytes: number): Place | null {
  const syndrome = BigInt(stored) ^ BigInt(computed);
  const [wantedLow, wantedHigh] = [Number(syndrome & 0xffffffffn) | 0, Number(syndrome >> 32n) | 0];
  const { low, high, slots } = syndromesOfCrc64(8 * bytes);
  for (let slot = wantedLow & (slots.length - 1); slots[slot] !== 0; slot = (slot + 1) & (slots.length - 1)) {
    const fromEnd = slots[slot]! - 1;
    if (low[fromEnd] !== wantedLow || high[fromEnd] !== wantedHigh) continue;
    return fromEnd < 8 * bytes ? { byte: bytes - 1 - (fromEnd >> 3), bit: 7 - (fromEnd & 7) } : null;
  }
  return null;
}

/** The sum of 16-bit words has gone up or down by a power of two; which word it was, it does not say. */
function locateByIp(stored: number | bigint, computed: number | bigint): Place | null {
  const up = (Number(stored) - Number(computed) + 0xffff) % 0xffff;
  for (let bit = 0; bit < 16; bit++) {
    if (up === 1 << bit || up === 0xffff - (1 << bit)) return { byte: null, bit: bit & 7 };
  }
  return null;
}

/** Of an odd number, modulo 2^bits: each step of Newton's doubles the bits that are right. */
function inverseOf(odd: bigint, bits: number): bigint {
  let inverse = odd;
  for (let right = 3; right < bits; right *= 2)
    inverse = BigInt.asUintN(bits, inverse * (2n - odd * inverse));
  return inverse;
}
