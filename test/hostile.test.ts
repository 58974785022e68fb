/**
 * Whatever a device answers: no decoder throws anything but ERR_MALFORMED_RESPONSE, none reads what lies around its bytes or writes to
 * them, and none takes long.
 *
 * FUZZ_CASES: how many buffers each decoder gets; FUZZ_SEED: the seed that a failure printed.
 */
import { randomInt } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { IntegrityError } from '../src/errors.js';
import { Random } from './kernel/random.js';
import { DECODERS, type Decoder } from './support/decoders.js';

const CASES = Number(process.env['FUZZ_CASES'] ?? 10_000);
const SEED = Number(process.env['FUZZ_SEED'] ?? randomInt(2 ** 32));
/** Of so many buffers one is encoded and decoded again. */
const AGAIN_EVERY = 8;
/** What lies around the bytes. */
const POISONS = [0x00, 0xff, 0x20, 0xa5] as const;
const MARGIN = 64;

const EDGES = [0x00, 0x01, 0x7f, 0x80, 0xff] as const;

/** The functions of these names read what came from outside; `decodeLayout` is what they are made of. */
const FOLDERS = ['scsi', 'nvme', 'sysfs', 'device'] as const;
const isDecoder = (name: string) => /^(decode|parse)[A-Z]/.test(name) && name !== 'decodeLayout';

t.test('every decoder is tested', async (t) => {
  const exported: string[] = [];
  for (const folder of FOLDERS) {
    for (const file of readdirSync(new URL(`../src/${folder}/`, import.meta.url))) {
      if (!file.endsWith('.ts')) continue;
      const module: object = await import(`../src/${folder}/${file.replace(/\.ts$/, '.js')}`);
      exported.push(...Object.keys(module).filter(isDecoder));
    }
  }
  const tested = new Set(Object.keys(DECODERS).map((name) => name.split(',')[0]));
  t.same(
    exported.filter((name) => !tested.has(name)),
    [],
  );
  t.ok(exported.length > 25, `${exported.length} decoders`);
});

const longestOf = (answers: readonly Uint8Array[]): number =>
  Math.max(300, ...answers.map(({ length }) => length + 50));

/** Puts a case at `at` of the arena and returns its length: noise, or one or two right answers, cut, lengthened and changed. */
function putCase(
  random: Random,
  arena: Uint8Array,
  at: number,
  longest: number,
  answers: readonly Uint8Array[],
): number {
  const answer = answers[random.below(answers.length)]!;
  const length = random.below(3) === 0 ? random.below(longest) : answer.length;
  const kind = random.below(8);
  for (let i = 0; i < length; i++)
    arena[at + i] = kind < 2 || i >= answer.length ? random.below(256) : answer[i]!;
  if (kind === 2) splice(random, arena.subarray(at, at + length), answers);
  for (let changes = random.below(5); length > 0 && changes > 0; changes--) {
    const place = at + random.below(length);
    const how = random.below(4);
    if (how === 0) arena[place] = arena[place]! ^ (1 << random.below(8));
    else if (how === 1) arena[place] = random.below(256);
    else if (how === 2) arena[place] = EDGES[random.below(EDGES.length)]!;
    else putLength(random, arena, place, at + length);
  }
  return length;
}

/** The end of another answer, from any place on. */
function splice(random: Random, into: Uint8Array, answers: readonly Uint8Array[]): void {
  const other = answers[random.below(answers.length)]!;
  const from = random.below(other.length);
  const at = random.below(into.length + 1);
  into.set(other.subarray(from, from + into.length - at), at);
}

/** A field of one or two bytes that says how much is left, nearly. */
function putLength(random: Random, arena: Uint8Array, place: number, end: number): void {
  const left = Math.max(0, end - place - random.below(8) + 2);
  if (random.below(2) === 0 && place + 2 <= end) arena[place] = left >> 8;
  arena[Math.min(place + 1, end - 1)] = left & 0xff;
}

/** What a decoder makes of a case, or the message where it throws what it may. */
function outcomeOf(
  decode: Decoder['decode'],
  response: Uint8Array,
): { value: unknown } | { refused: string } {
  try {
    return { value: decode(response) };
  } catch (error) {
    if (error instanceof IntegrityError && error.code === 'ERR_MALFORMED_RESPONSE') {
      return { refused: error.message };
    }
    throw error;
  }
}

/** Whether a value is the same once it was encoded and decoded. */
function comesBack({ decode, again }: Decoder, value: unknown): boolean {
  const encoded = again?.encode(value) ?? null;
  return encoded === null || isDeepStrictEqual(again?.kept(decode(encoded)), again?.kept(value));
}

interface Tally {
  decoded: number;
  /** The first case that went wrong. */
  wrong: string | null;
}

function fuzz(decoder: Decoder): Tally {
  const { decode, answers } = decoder;
  const random = new Random(SEED);
  const longest = longestOf(answers);
  const arena = new Uint8Array(MARGIN + longest + MARGIN);
  let decoded = 0;
  for (let i = 0; i < CASES; i++) {
    arena.fill(POISONS[i % POISONS.length]!);
    const length = putCase(random, arena, MARGIN, longest, answers);
    const among = arena.subarray(MARGIN, MARGIN + length);
    const alone = among.slice();
    const wrong = (why: string): Tally => {
      const hex = Buffer.from(alone).toString('hex');
      return { decoded, wrong: `${why}: FUZZ_SEED=${SEED}, case ${i}: ${hex}` };
    };
    try {
      const outcome = outcomeOf(decode, among);
      if (!isDeepStrictEqual(among, alone)) return wrong('it wrote to its bytes');
      if (!isDeepStrictEqual(outcomeOf(decode, alone), outcome)) return wrong('it read what lies around');
      if (!('value' in outcome)) continue;
      decoded++;
      if (i % AGAIN_EVERY === 0 && !comesBack(decoder, outcome.value)) return wrong('it does not come back');
    } catch (error) {
      return wrong(String(error));
    }
  }
  return { decoded, wrong: null };
}

t.setTimeout(120_000 + 3 * CASES);
for (const [name, decoder] of Object.entries(DECODERS)) {
  t.test(name, async (t) => {
    const { decoded, wrong } = fuzz(decoder);
    t.equal(wrong, null);
    t.ok(decoded > CASES / 20, `${decoded} of ${CASES} were decoded`);
  });
}

const PAGE_BYTES = 4 + 0xffff;
/** A loop in a loop over that many bytes takes seconds. */
const CPU_MS_MAX = 400;
/** Parts of a value that one byte makes: an entry of a list and what is in it. */
const PARTS_A_BYTE_MAX = 6;

/** As long as a page can be, and its lengths say so: an answer, then itself or one byte again and again, and a last byte that is none of those. */
function* longPages({ answers }: Decoder): Generator<Uint8Array> {
  for (const answer of answers.slice(0, 2)) {
    for (const filler of [answer, [0x00], [0xff], [0x20], [0x0a], [0x39], [0x5c, 0x30]]) {
      for (const length of [[], [0, 1], [2, 3], [2, 3, 1]]) {
        const page = Buffer.alloc(PAGE_BYTES, Uint8Array.from(filler));
        page.set(answer);
        for (const at of length) page[at] = 0xff;
        page[PAGE_BYTES - 1] = 0x78;
        yield page;
      }
    }
  }
}

/** Of a value that was decoded. */
function partsOf(value: unknown): number {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return 1;
  const inside = value instanceof Map ? [...value] : Object.values(value);
  return inside.reduce((sum: number, part) => sum + partsOf(part), 1);
}

function cpuMs(run: () => void): number {
  const before = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

t.test('the longest pages', async (t) => {
  for (const [name, decoder] of Object.entries(DECODERS)) {
    let [slowest, parts] = [0, 0];
    for (const page of longPages(decoder)) {
      const once = () => {
        const outcome = outcomeOf(decoder.decode, page);
        parts = Math.max(parts, partsOf('value' in outcome ? outcome.value : null));
      };
      // The first time may be that of the compiler, or of the garbage collector.
      const took = cpuMs(once);
      slowest = Math.max(slowest, took < CPU_MS_MAX ? took : cpuMs(once));
    }
    t.ok(slowest < CPU_MS_MAX, `${name}: ${slowest.toFixed(0)} ms`);
    t.ok(parts < PARTS_A_BYTE_MAX * PAGE_BYTES, `${name}: ${parts} parts`);
  }
});
