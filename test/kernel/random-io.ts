/**
 * Random I/O on every target that the kernel has: what the kernel makes equals what the mirror makes, what the mirror makes is taken,
 * and of every corruption kernel and mirror say the same. A case is drawn from the run's seed, the target's name and its number, so
 * that it can be run again alone.
 */
import { writeFile } from 'node:fs/promises';
import { constants, release } from 'node:os';
import {
  alignedBuffer,
  type BioVec,
  countsReferenceTags,
  type Disk,
  mirrorTuples,
  type Profile,
  semanticsForRelease,
} from 'blk-integrity';
import type { Test } from 'tap';
import { FIELDS, type Prediction, predictRead, scatter } from './predict.js';
import { Random, seedOf } from './random.js';
import type { TargetMakers } from './targets/index.js';
import type { Target, TargetMaker } from './targets/target.js';
import { openWaysIn, type WayIn } from './ways-in.js';

export interface RandomIoOptions {
  readonly seed: number;
  /** Of the kernel; every target that is run gets its share. */
  readonly cases: number;
  /** This target's name alone. */
  readonly target?: string | undefined;
  /** This case alone. */
  readonly number?: number | undefined;
}

/** What one target's cases have shown. */
interface Tally {
  cases: number;
  tuplesCompared: number;
  corruptions: number;
  refused: number;
  /** Refusals of which the kernel's log said who and what. */
  named: number;
  /** Long reads that ended well where the same read was refused each time after. */
  readonly slipped: string[];
}

/** A target is worth its setting up with so many cases. */
const CASES_OF_A_TARGET = 5;

export async function randomIo(t: Test, makers: TargetMakers, options: RandomIoOptions): Promise<void> {
  const { seed, cases, number } = options;
  const chosen = choose(makers, options);
  t.ok(chosen.length > 0, 'there are targets');
  let total = 0;
  for (const [index, maker] of chosen.entries()) {
    const upTo = (targets: number) => Math.floor((targets * cases) / chosen.length);
    const share = upTo(index + 1) - upTo(index);
    const numbers = number === undefined ? Array.from({ length: share }, (_, i) => i) : [number];
    await t.test(maker.name, { timeout: 0 }, async (t) => {
      await using made = await maker.make();
      const tally = await runCases(t, made, seed, numbers);
      total += tally.cases;
      t.equal(tally.cases, numbers.length, wordsOf(tally));
      t.comment(`${maker.name}: ${wordsOf(tally)}`);
      for (const slip of tally.slipped) t.comment(`SLIPPED: ${slip}`);
      t.ok(tally.slipped.length <= SLIPS_MAX, 'a corrupt read that ends well is the rarest exception');
    });
  }
  t.equal(total, number === undefined ? cases : chosen.length, 'every case that was asked for has run');
  t.comment(`random I/O on ${release()}: ${total} cases on ${chosen.length} targets, seed ${seed}`);
}

/** All that are always run, and a drawing of the others where not all get their cases. */
function choose({ always, some }: TargetMakers, { seed, cases, target }: RandomIoOptions): TargetMaker[] {
  if (target !== undefined) return [...always, ...some].filter(({ name }) => name === target);
  const random = new Random(seed);
  const drawn = [...some];
  const room = Math.max(0, Math.floor(cases / CASES_OF_A_TARGET) - always.length);
  while (drawn.length > room) drawn.splice(random.below(drawn.length), 1);
  return [...always, ...drawn];
}

function wordsOf({ cases, tuplesCompared, corruptions, refused, named, slipped }: Tally): string {
  return (
    `${cases} cases: ${tuplesCompared} tuples compared, ` +
    `${corruptions} corruptions read, ${refused} refused, ${named} of them named in the log, ${slipped.length} slipped`
  );
}

async function runCases(t: Test, target: Target, seed: number, numbers: readonly number[]): Promise<Tally> {
  const tally: Tally = { cases: 0, tuplesCompared: 0, corruptions: 0, refused: 0, named: 0, slipped: [] };
  await using ways = await openWaysIn(target.disk);
  const limits = splitLimits(target.disk);
  await unalignedIsRefused(t, target.disk, ways.all[0]!);
  for (const number of numbers) {
    const random = new Random(seedOf(`${seed} ${target.name} ${number}`));
    const drawn = draw(random, target.disk, ways.all, limits);
    try {
      await runCase(target, drawn, random, tally);
    } catch (cause) {
      const { way, lba, blocks, maxSectorsKb, writeTo, readTo } = drawn;
      const where = [
        `seed ${seed}, target ${JSON.stringify(target.name)}, case ${number}`,
        `${way.name}, LBA ${lba} of the disk, ${blocks} blocks, max_sectors_kb ${maxSectorsKb}`,
        `written from ${writeTo.map(({ length }) => length)}, read to ${readTo.map(({ length }) => length)}`,
      ].join('\n');
      throw new Error(`${(cause as Error).message}\n${where}`, { cause });
    }
    tally.cases++;
  }
  return tally;
}

/** Where the kernel wants memory that is aligned to the interval, an interval in two pieces never reaches the tuples. */
async function unalignedIsRefused(t: Test, disk: Disk, { file, dmaAlignment }: WayIn): Promise<void> {
  const { interval } = disk.kernelProfile!;
  if (dmaAlignment !== interval - 1) return;
  const half = interval / 2;
  const pieces = [alignedBuffer(half), alignedBuffer(half)];
  await t.rejects(file.readv(pieces, 0), { code: 'EINVAL' }, 'an interval in two pieces');
}

interface Drawn {
  readonly way: WayIn;
  /** Of the whole disk. */
  readonly lba: bigint;
  readonly blocks: number;
  readonly maxSectorsKb: number;
  readonly writeTo: readonly BioVec[];
  readonly readTo: readonly BioVec[];
}

/** Values of queue/max_sectors_kb: the kernel's own, and smaller ones, so that little I/O is split too. */
function splitLimits({ sysfs: { queue } }: Disk): readonly number[] {
  const usual = queue.maxSectorsKb!;
  return [usual, usual, ...[4, 12, 64, 252].filter((limit) => limit < usual)];
}

const IO_BYTES_MAX = 2 * 1024 * 1024;

function draw(random: Random, disk: Disk, ways: readonly WayIn[], limits: readonly number[]): Drawn {
  const way = random.pick(ways);
  const maxSectorsKb = random.pick(limits);
  const { blockSize } = disk;
  const limit = Math.max(1, (maxSectorsKb * 1024) / blockSize);
  const most = Math.min(IO_BYTES_MAX / blockSize, way.blocks);
  const blocks = Math.min(
    most,
    random.pick([
      () => 1,
      () => random.between(2, 8),
      () => random.between(9, 64),
      () => random.between(1, (256 * 1024) / blockSize),
      // Split by its length.
      () => random.between(Math.ceil(limit) + 1, 4 * Math.ceil(limit)),
    ])(),
  );
  const lba = way.start + BigInt(random.below(way.blocks - blocks + 1));
  const grain = memoryGrain(disk, way);
  const memory = () => drawMemory(random, blocks * blockSize, grain);
  return { way, lba, blocks, maxSectorsKb, writeTo: memory(), readTo: memory() };
}

/**
 * What addresses and lengths of the pieces are multiples of. Finer than the interval only where the kernel takes an interval that lies
 * in two pieces; the kernels between would run past their buffer of tuples.
 */
function memoryGrain({ kernelProfile }: Disk, { dmaAlignment }: WayIn): number {
  const { interval } = kernelProfile!;
  const { straddling } = semanticsForRelease(release());
  return straddling && dmaAlignment !== null ? Math.min(dmaAlignment + 1, interval) : interval;
}

const SEGMENTS_MAX = 40;

function drawMemory(random: Random, bytes: number, grain: number): BioVec[] {
  const units = bytes / grain;
  const wanted = Math.min(units, random.pick([1, 2, 3, random.between(1, SEGMENTS_MAX)]));
  const cuts = new Set<number>([0, units]);
  while (cuts.size < wanted + 1) cuts.add(random.between(1, units - 1));
  const at = [...cuts].sort((a, b) => a - b);
  return at.slice(1).map((end, i) => {
    const length = (end - at[i]!) * grain;
    const offset = random.below(9) * grain;
    return { buffer: alignedBuffer(offset + length), offset, length };
  });
}

async function runCase(target: Target, drawn: Drawn, random: Random, tally: Tally): Promise<void> {
  const { disk } = target;
  await writeFile(`/sys/block/${disk.sysfs.name}/queue/max_sectors_kb`, String(drawn.maxSectorsKb));
  let medium = await theKernelsTuples(target, drawn, random, tally);
  if (target.plant !== null) medium = await theMirrorsTuples(target, target.plant, drawn, random);
  await corruptions(target, drawn, medium, random, tally);
}

/** What lies, or is to lie, on the medium in some blocks. */
interface Medium {
  readonly data: Uint8Array;
  readonly metadata: Uint8Array;
}

/** (a) A write by the block layer leaves the mirror's tuples, and a read delivers the data. */
async function theKernelsTuples(
  { disk, readMetadata }: Target,
  drawn: Drawn,
  random: Random,
  tally: Tally,
): Promise<Medium> {
  const { way, lba, blocks, writeTo } = drawn;
  const data = drawData(random, blocks, disk.blockSize);
  scatter(data, writeTo);
  await transfer('writev', way, lba, disk, writeTo);
  const made = mirrorTuples(disk, lba, { segments: writeTo });
  await readsAs(drawn, disk, data, 'what the kernel has just written');
  if (readMetadata === null) return { data, metadata: made };
  const seen = Buffer.concat(
    await inPieces(disk, blocks, (from, count) => readMetadata(lba + BigInt(from), count)),
  );
  requireSame("the kernel's tuples", seen, mirrorOfSplit(disk, drawn, data, made, seen));
  tally.tuplesCompared += data.length / disk.kernelProfile!.interval;
  return { data, metadata: seen };
}

/**
 * What the mirror makes, bio by bio. Where reference tags are those of the bio (type 3 of Linux 7) and the seed counts 512-byte sectors
 * while intervals are longer, a tag tells where the bio began after the kernel's split: taken from the tags, and held against what
 * can be: the first bio begins with the I/O, and none is longer than max_sectors.
 */
function mirrorOfSplit(
  disk: Disk,
  { lba, maxSectorsKb }: Drawn,
  data: Uint8Array,
  made: Uint8Array,
  seen: Uint8Array,
): Uint8Array {
  const profile = disk.kernelProfile!;
  const { interval } = profile;
  const perBlock = disk.blockSize / interval;
  const sectors = interval / 512;
  const seeded = profile.type === 3 && semanticsForRelease(release()).type3Ref === 'seed';
  if (!seeded || sectors === 1) return made;
  const parts: Uint8Array[] = [];
  const count = data.length / interval;
  const first = Number(lba) * perBlock;
  let begin = 0;
  for (let i = 1; i <= count; i++) {
    const seed = (first + begin) * sectors + (i - begin);
    if (i < count && (i % perBlock !== 0 || refOf(profile, seen, i) === seed)) continue;
    if ((i - begin) * interval > maxSectorsKb * 1024) {
      throw new Error(
        `by its tags a bio is ${i - begin} intervals: longer than max_sectors_kb ${maxSectorsKb}`,
      );
    }
    const part = data.subarray(begin * interval, i * interval);
    parts.push(mirrorTuples(disk, lba + BigInt(begin / perBlock), { data: part }));
    begin = i;
  }
  return Buffer.concat(parts);
}

/** (b) Other data, with the mirror's tuples put beside it: the block layer reads it. Application tags are the application's own. */
async function theMirrorsTuples(
  target: Target,
  plant: NonNullable<Target['plant']>,
  drawn: Drawn,
  random: Random,
): Promise<Medium> {
  const { disk } = target;
  const { lba, blocks } = drawn;
  const profile = disk.kernelProfile!;
  const data = drawData(random, blocks, disk.blockSize);
  const metadata = mirrorTuples(disk, lba, { data });
  const [from, to] = FIELDS[profile.tupleSize as 8 | 16].app;
  if (random.chance(2)) {
    for (let i = 0; i < data.length / profile.interval; i++) {
      // FFFFh would say that the block is not to be checked.
      const tag = random.below(0xffff);
      const app = metadata.subarray(i * profile.metadataSize + profile.piOffset).subarray(from, to);
      app[0] = tag >> 8;
      app[1] = tag & 0xff;
    }
  }
  await inPieces(disk, blocks, (from, count) => {
    const piece = blocksOf(disk, { data, metadata }, from, count);
    return plant(lba + BigInt(from), piece.data, piece.metadata);
  });
  await readsAs(drawn, disk, data, "the mirror's tuples");
  return { data, metadata };
}

interface Corruption {
  readonly name: string;
  /** What it changes: where nothing but data can be planted, tags cannot. */
  readonly changes: readonly ('data' | 'guard' | 'app' | 'ref')[];
  /** Where it says anything. Default: everywhere. */
  readonly applies?: (profile: Profile, first: bigint) => boolean;
  /** The interval at which it must lie. Default: any. */
  readonly at?: 0;
  /** `first` is the first interval of the I/O. */
  corrupt(random: Random, interval: Medium, profile: Profile, first: bigint): void;
}

type TagName = 'guard' | 'app' | 'ref';

function tag({ metadata }: Medium, profile: Profile, name: TagName): Uint8Array {
  const [from, to] = FIELDS[profile.tupleSize as 8 | 16][name];
  return metadata.subarray(profile.piOffset + from, profile.piOffset + to);
}

const flips = (name: TagName): Corruption => ({
  name: `a bit of the ${name} tag`,
  changes: [name],
  corrupt: (random, interval, profile) => random.flipBit(tag(interval, profile, name)),
});

const CORRUPTIONS: readonly Corruption[] = [
  {
    name: 'a bit of the data',
    changes: ['data'],
    corrupt: (random, { data }) => random.flipBit(data),
  },
  flips('guard'),
  flips('app'),
  flips('ref'),
  {
    name: 'guard and reference tag',
    changes: ['guard', 'ref'],
    corrupt: (random, interval, profile) => {
      random.flipBit(tag(interval, profile, 'guard'));
      random.flipBit(tag(interval, profile, 'ref'));
    },
  },
  {
    name: 'data, with application tag FFFFh',
    changes: ['data', 'app'],
    corrupt: (random, interval, profile) => {
      random.flipBit(interval.data);
      tag(interval, profile, 'app').fill(0xff);
    },
  },
  {
    name: 'data, with application and reference tag of all ones',
    changes: ['data', 'app', 'ref'],
    corrupt: (random, interval, profile) => {
      random.flipBit(interval.data);
      tag(interval, profile, 'app').fill(0xff);
      tag(interval, profile, 'ref').fill(0xff);
    },
  },
  {
    name: 'the metadata before the tuple, which the guard covers',
    changes: ['guard'],
    applies: ({ piOffset }) => piOffset > 0,
    corrupt: (random, { metadata }, { piOffset }) => random.flipBit(metadata.subarray(0, piOffset)),
  },
  {
    name: 'the metadata behind the tuple, which nothing covers',
    changes: ['guard'],
    applies: ({ piOffset, tupleSize, metadataSize }) => piOffset + tupleSize < metadataSize,
    corrupt: (random, { metadata }, { piOffset, tupleSize }) =>
      random.flipBit(metadata.subarray(piOffset + tupleSize)),
  },
  {
    // The kernel remaps what holds the LBA to the seed, and what holds the seed already passes unseen.
    name: "a reference tag that is the seed of the read's first interval instead of its LBA",
    changes: ['ref'],
    applies: (profile, first) => countsReferenceTags(profile) && profile.interval > 512 && first > 0n,
    at: 0,
    corrupt: (_, interval, profile, first) => {
      const ref = tag(interval, profile, 'ref');
      const view = new DataView(ref.buffer, ref.byteOffset, ref.byteLength);
      view.setUint32(ref.length - 4, Number(first) * (profile.interval / 512));
    },
  },
];

/** Of long I/O so many corruptions are drawn; of short, each one happens. */
const CORRUPTIONS_OF_LONG = 2;
const LONG_BYTES = 128 * 1024;

/** (c) Each corruption of one interval ends the read as the mirror predicts, and the interval put right reads clean. */
async function corruptions(
  target: Target,
  drawn: Drawn,
  medium: Medium,
  random: Random,
  tally: Tally,
): Promise<void> {
  const { disk } = target;
  const profile = disk.kernelProfile!;
  const first = firstInterval(disk, drawn.lba);
  const possible = CORRUPTIONS.filter(
    ({ changes, applies }) => plants(target, changes) && (applies?.(profile, first) ?? true),
  );
  const long = medium.data.length > LONG_BYTES;
  const chosen = long ? Array.from({ length: CORRUPTIONS_OF_LONG }, () => random.pick(possible)) : possible;
  for (const corruption of chosen) {
    const i = corruption.at ?? random.below(medium.data.length / profile.interval);
    const block = Math.floor((i * profile.interval) / disk.blockSize);
    const before = copyOf(blocksOf(disk, medium, block, 1));
    corruption.corrupt(random, intervalOf(profile, medium, i), profile, first);
    try {
      await put(target, drawn.lba, medium, block);
      await endsAsPredicted(target, drawn, medium, tally);
      if (corruption.at === undefined) await isNamedAsPredicted(target, drawn, medium, block, tally);
    } catch (error) {
      throw new Error(`${corruption.name} of interval ${i}: ${(error as Error).message}`, { cause: error });
    }
    const bad = blocksOf(disk, medium, block, 1);
    bad.data.set(before.data);
    bad.metadata.set(before.metadata);
    await put(target, drawn.lba, medium, block);
    await readsAs(drawn, disk, medium.data, `interval ${i}, put right again`);
  }
}

function firstInterval({ blockSize, kernelProfile }: Disk, lba: bigint): bigint {
  return lba * BigInt(blockSize / kernelProfile!.interval);
}

/** Calls for so many blocks at a time as a transfer carries. */
async function inPieces<T>(
  disk: Disk,
  blocks: number,
  call: (from: number, count: number) => Promise<T>,
): Promise<T[]> {
  const results: T[] = [];
  for (let from = 0; from < blocks; from += disk.transferBlocksMax) {
    results.push(await call(from, Math.min(disk.transferBlocksMax, blocks - from)));
  }
  return results;
}

/** Views of so many blocks of a medium. */
function blocksOf(disk: Disk, medium: Medium, block: number, count: number): Medium {
  const { interval, metadataSize } = disk.kernelProfile!;
  const perBlock = (disk.blockSize / interval) * metadataSize;
  return {
    data: medium.data.subarray(block * disk.blockSize, (block + count) * disk.blockSize),
    metadata: medium.metadata.subarray(block * perBlock, (block + count) * perBlock),
  };
}

function intervalOf({ interval, metadataSize }: Profile, medium: Medium, i: number): Medium {
  return {
    data: medium.data.subarray(i * interval, (i + 1) * interval),
    metadata: medium.metadata.subarray(i * metadataSize, (i + 1) * metadataSize),
  };
}

function copyOf({ data, metadata }: Medium): Medium {
  return { data: data.slice(), metadata: metadata.slice() };
}

function plants({ plant, plantData, refTagFixed }: Target, changes: Corruption['changes']): boolean {
  if (plant === null) return plantData !== null && changes.every((what) => what === 'data');
  return !(refTagFixed && changes.includes('ref'));
}

/** One block of the medium as it is meant to lie there. */
async function put(target: Target, lba: bigint, medium: Medium, block: number): Promise<void> {
  const { data, metadata } = blocksOf(target.disk, medium, block, 1);
  const at = lba + BigInt(block);
  if (target.plant !== null) await target.plant(at, data, metadata);
  else await target.plantData!(at, data);
}

/** Of one bio at most: an O_DIRECT read of more is several, which share one status. */
const BIO_BYTES_MAX = 256 * 4096;
const SLIPS_MAX = 1;
const READ_AGAIN = 20;

/**
 * A read of several bios that delivered what should have been refused, and does so no more when it is read again: seen in three of 12,000
 * cases, docs/kernels.md. A read of one bio has no such excuse.
 */
async function slips(
  { disk }: Target,
  { way, lba, blocks, readTo }: Drawn,
  expected: Prediction,
): Promise<boolean> {
  if (blocks * disk.blockSize <= BIO_BYTES_MAX) return false;
  const again = readTo.map((vec) => ({ ...vec, buffer: alignedBuffer(vec.buffer.length) }));
  for (let i = 0; i < READ_AGAIN; i++) {
    if ((await transfer('readv', way, lba, disk, again, true)) !== expected.errno) return false;
  }
  return true;
}

async function endsAsPredicted(target: Target, drawn: Drawn, medium: Medium, tally: Tally): Promise<void> {
  const { disk, deviceRule } = target;
  const { way, lba, readTo } = drawn;
  const expected = predictRead(disk, deviceRule, firstInterval(disk, lba), medium, readTo);
  for (const { buffer } of readTo) buffer.fill(0);
  let errno = await transfer('readv', way, lba, disk, readTo, true);
  tally.corruptions++;
  if (errno === 0 && expected.errno !== 0 && (await slips(target, drawn, expected))) {
    tally.slipped.push(`${namesOf(expected)} in ${drawn.blocks} blocks, with ${deliveredIn(readTo, medium)}`);
    errno = expected.errno;
  }
  if (errno !== expected.errno) {
    const told = errno === 0 ? `success with ${deliveredIn(readTo, medium)}` : `errno ${errno}`;
    throw new Error(`expected errno ${expected.errno} (${namesOf(expected)}), seen ${told}`);
  }
  if (errno === 0) requireSame('the data of the read', gather(readTo), medium.data);
  else tally.refused++;
}

function deliveredIn(memory: readonly BioVec[], { data }: Medium): string {
  const seen = gather(memory);
  const at = seen.findIndex((byte, i) => byte !== data[i]);
  return at < 0 ? 'the data of the medium' : `other data than that of the medium, first at byte ${at}`;
}

/** Blocks around the bad one that are read to see who refuses it. */
const AROUND = 2;

/** What the kernel's log says of the refusal, where it says anything. */
async function isNamedAsPredicted(
  { disk, deviceRule }: Target,
  { lba, blocks }: Drawn,
  medium: Medium,
  bad: number,
  tally: Tally,
): Promise<void> {
  if (deviceRule === undefined) return;
  const from = Math.max(0, bad - AROUND);
  const to = Math.min(blocks, bad + AROUND + 1);
  const around = blocksOf(disk, medium, from, to - from);
  const segments = [{ buffer: new Uint8Array(around.data.length), offset: 0, length: around.data.length }];
  const first = firstInterval(disk, lba + BigInt(from));
  const expected = predictRead(disk, deviceRule, first, around, segments);
  const { answer } = await disk.read('block', lba + BigInt(from), to - from);
  if (answer.kind === 'failed') throw answer.error;
  const refused = answer.kind === 'refused';
  if (refused !== (expected.errno !== 0)) {
    throw new Error(`expected ${namesOf(expected)}, seen ${JSON.stringify(answer)}`);
  }
  if (!refused || answer.checker === 'kernel-or-device') return;
  tally.named++;
  const same =
    answer.checker === expected.checker &&
    answer.check === expected.check &&
    (expected.tags === undefined ||
      (answer.tags?.stored === expected.tags.stored && answer.tags.computed === expected.tags.computed));
  if (!same) {
    throw new Error(`expected ${namesOf(expected)}, seen ${JSON.stringify(answer)}`);
  }
}

function namesOf({ checker, check, tags }: Prediction): string {
  return checker === null
    ? 'a good read'
    : `${check} refused by the ${checker} ${JSON.stringify(tags ?? '')}`;
}

async function readsAs(
  { way, lba, readTo }: Drawn,
  disk: Disk,
  data: Uint8Array,
  what: string,
): Promise<void> {
  for (const { buffer } of readTo) buffer.fill(0);
  const errno = await transfer('readv', way, lba, disk, readTo, true);
  if (errno !== 0) throw new Error(`reading ${what}: expected success, seen errno ${errno}`);
  requireSame(what, gather(readTo), data);
}

/** Returns the errno, positive, of what may fail. */
async function transfer(
  call: 'readv' | 'writev',
  way: WayIn,
  lba: bigint,
  disk: Disk,
  memory: readonly BioVec[],
  mayFail = false,
): Promise<number> {
  const views = memory.map(({ buffer, offset, length }) => buffer.subarray(offset, offset + length));
  const length = views.reduce((sum, view) => sum + view.length, 0);
  const position = Number(lba - way.start) * disk.blockSize;
  try {
    const result = await way.file[call](views, position);
    const bytes = 'bytesRead' in result ? result.bytesRead : result.bytesWritten;
    if (bytes !== length) throw new Error(`${call}: ${bytes} of ${length} bytes`);
    return 0;
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    if (mayFail && errno === -constants.errno.EILSEQ) return -errno;
    throw error;
  }
}

/** Random blocks, and among them runs of zeros, of ones, of one byte, and of the block before. */
function drawData(random: Random, blocks: number, blockSize: number): Uint8Array {
  const data = random.bytes(blocks * blockSize);
  for (let at = random.below(4); at < blocks; at += random.between(1, 16)) {
    const run = data.subarray(at * blockSize, (at + random.between(1, 4)) * blockSize);
    random.pick([
      () => run.fill(0),
      () => run.fill(0xff),
      () => run.fill(random.below(256)),
      () => at > 0 && run.set(data.subarray((at - 1) * blockSize, at * blockSize)),
    ])();
  }
  return data;
}

function gather(memory: readonly BioVec[]): Uint8Array {
  return Buffer.concat(memory.map(({ buffer, offset, length }) => buffer.subarray(offset, offset + length)));
}

function refOf(profile: Profile, metadata: Uint8Array, index: number): number {
  const view = new DataView(metadata.buffer, metadata.byteOffset);
  return view.getUint32(index * profile.metadataSize + profile.piOffset + profile.tupleSize - 4);
}

function requireSame(what: string, seen: Uint8Array, expected: Uint8Array): void {
  if (Buffer.compare(seen, expected) === 0) return;
  let at = 0;
  while (at < seen.length && seen[at] === expected[at]) at++;
  const around = (bytes: Uint8Array) =>
    Buffer.from(bytes.subarray(Math.max(0, at - 8), at + 16)).toString('hex');
  throw new Error(
    `${what}: ${seen.length} bytes, ${expected.length} expected, first different at ${at}: seen ${around(seen)}, expected ${around(expected)} from 8 before`,
  );
}
