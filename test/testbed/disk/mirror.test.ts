/**
 * Model against mirror: random commands, tuples and faults, and what the kernel's bio integrity says of the same blocks. A disk of type 1
 * that checks everything and a kernel that verifies agree on every block of which both look at the same tags.
 *
 * EMULATED_DISK_COMMANDS: how many; EMULATED_DISK_SEED: the seed that a failure printed.
 */
import { randomInt } from 'node:crypto';
import t from 'tap';
import { Bio } from '../../../src/bio/bio.js';
import { semanticsByName } from '../../../src/bio/semantics.js';
import { completeBio, submitBio } from '../../../src/bio/submit.js';
import { type CheckedField, defaultEngine } from '../../../src/pi/engine.js';
import { type Profile, profileByName } from '../../../src/pi/profile.js';
import { encodeCdb } from '../../../src/scsi/commands.js';
import { EmulatedDisk } from '../../../src/testbed/disk/emulated-disk.js';
import { Random } from '../../kernel/random.js';
import { ask, send } from './drive.js';

const COMMANDS = Number(process.env['EMULATED_DISK_COMMANDS'] ?? 30_000);
const SEED = Number(process.env['EMULATED_DISK_SEED'] ?? randomInt(2 ** 32));

/** A thousand commands take about 0.15 s. */
t.setTimeout(120_000 + COMMANDS);

/** A protect field, and the tags that SBC-4 has checked; what nobody tells of the application tag is not compared. */
const CHECKS: readonly (readonly CheckedField[])[] = [
  ['guard', 'app', 'ref'],
  ['guard', 'app', 'ref'],
  ['app', 'ref'],
  [],
  ['guard'],
  ['guard', 'app', 'ref'],
];

interface Shape {
  readonly type: 1 | 2 | 3;
  readonly blockSize: number;
  readonly exponent: number;
}

const SHAPES: readonly Shape[] = [
  { type: 1, blockSize: 512, exponent: 0 },
  { type: 1, blockSize: 4096, exponent: 0 },
  { type: 2, blockSize: 512, exponent: 0 },
  { type: 2, blockSize: 4096, exponent: 3 },
  { type: 3, blockSize: 512, exponent: 0 },
  { type: 3, blockSize: 4096, exponent: 1 },
];

const BLOCKS = 2 ** 33;
/** Blocks are taken from the beginnings of such runs: reference tags of one go over 32 bits. */
const RUNS = [0, 2 ** 32 - 128] as const;
const RUN_BLOCKS = 256;

for (const shape of SHAPES) {
  const { type, blockSize, exponent } = shape;
  const what = `type ${type}, ${blockSize} bytes, ${2 ** exponent} tuples a block`;
  t.test(what, async (t) => {
    const random = new Random(SEED + SHAPES.indexOf(shape) * 7919);
    const interval = blockSize >> exponent;
    const profile = profileByName(type === 3 ? 'T10-DIF-TYPE3-CRC' : 'T10-DIF-TYPE1-CRC', { interval });
    const disk = await EmulatedDisk.create({ type, blockSize, intervalExponent: exponent, blocks: BLOCKS });
    ask(disk, 'TEST UNIT READY', {});
    const counts = { commands: 0, refused: 0, kernel: 0 };
    for (; counts.commands < COMMANDS / SHAPES.length; counts.commands++) {
      const blocks = 1 + random.below(6);
      const lba = random.pick(RUNS) + random.below(RUN_BLOCKS - blocks);
      const told: Told = type === 2 ? tagsOf(random) : {};
      const refs = type === 2 ? told.refTag! : lba * 2 ** exponent;
      const bytes = spoilt(random, profile, blocks << exponent, refs, told.appTag ?? 0);
      const size = type === 2 ? 32 : 16;
      const put = encodeCdb(`WRITE(${size})`, { lba: BigInt(lba), blocks, protect: 3, ...told });
      const problem =
        compareWrite(disk, random, profile, { lba, blocks, refs, size, told }, bytes, counts) ??
        (send(disk, put, bytes).status === 0 ? null : 'planting was refused') ??
        compareRead(disk, random, profile, { lba, blocks, refs, size, told }, bytes, counts);
      if (problem !== null) {
        t.fail(`${problem}: seed ${SEED}, ${what}, command ${counts.commands}, LBA ${lba}, ${blocks} blocks`);
        break;
      }
    }
    t.ok(counts.refused > counts.commands / 10, `${JSON.stringify(counts)}, seed ${SEED}`);
  });
}

/** What a 32-byte command has the disk expect. */
interface Told {
  readonly refTag?: number;
  readonly appTag?: number;
  readonly appTagMask?: number;
}

function tagsOf(random: Random): Told {
  const appTagMask = random.pick([0, 0xffff, 0x00ff, random.below(2 ** 16)]);
  return { refTag: random.below(2 ** 32), appTag: random.below(0xffff), appTagMask };
}

interface Transfer {
  readonly lba: number;
  readonly blocks: number;
  /** The first reference tag. */
  readonly refs: number;
  readonly size: 16 | 32;
  readonly told: Told;
}

/** Interleaved intervals with right tuples, and here and there a fault. */
function spoilt(
  random: Random,
  profile: Profile,
  intervals: number,
  seed: number,
  appTag: number,
): Uint8Array {
  const { interval } = profile;
  const bytes = new Uint8Array(intervals * (interval + 8));
  for (let at = 0; at < bytes.length; at += 64) bytes[at] = random.below(256);
  const options = { profile, layout: 'interleaved', seed: BigInt(seed), appTag, type3Ref: 'zero' } as const;
  defaultEngine().generateInto(bytes, null, options);
  for (let i = 0; i < intervals; i++) {
    if (random.below(8) !== 0) continue;
    const tuple = i * (interval + 8) + interval;
    random.pick([
      () => (bytes[tuple - 1 - random.below(interval)]! ^= 1 << random.below(8)),
      () => (bytes[tuple + random.below(2)]! ^= 1 << random.below(8)),
      () => (bytes[tuple + 4 + random.below(4)]! ^= 1 << random.below(8)),
      () => bytes.fill(0xff, tuple + 2, tuple + 4),
      () => bytes.fill(0xff, tuple + 2, tuple + 8),
      () => (bytes[tuple + 3] = random.below(256)),
    ])();
  }
  return bytes;
}

/** The first bad interval by `pi`, or null. */
function firstBad(profile: Profile, bytes: Uint8Array, { refs, told }: Transfer, protect: number) {
  const { appTag, appTagMask } = told;
  const checks = CHECKS[protect]!.filter((check) => check !== 'app' || appTag !== undefined);
  const options = {
    profile,
    layout: 'interleaved',
    seed: BigInt(refs),
    checks,
    order: 't10',
    ...(appTag !== undefined && { appTag, appTagMask: appTagMask! }),
  } as const;
  return defaultEngine().verify(bytes, null, options).findings[0] ?? null;
}

const ASCQ = { guard: '01h', app: '02h', ref: '03h' } as const;

function expectedSense(finding: ReturnType<typeof firstBad>): string {
  return finding === null ? '' : `0Bh/10h/${ASCQ[finding.check]}`;
}

function compareRead(
  disk: EmulatedDisk,
  random: Random,
  profile: Profile,
  transfer: Transfer,
  written: Uint8Array,
  counts: { refused: number; kernel: number },
): string | null {
  const { lba, blocks, refs, size, told } = transfer;
  const protect = random.below(6);
  const bytes = faulted(disk, random, profile, transfer, written);
  const verb = random.pick(['READ', 'READ', 'VERIFY']);
  const cdb = encodeCdb(`${verb}(${size})`, { lba: BigInt(lba), blocks, protect, ...told });
  const seen = send(disk, cdb);
  const finding = firstBad(profile, bytes, transfer, protect);
  if (seen.sense !== expectedSense(finding))
    return `${verb}, protect ${protect}: seen ${seen.sense}, expected ${expectedSense(finding)}`;
  if (finding !== null) {
    counts.refused++;
    const intervals = bytes.length / (profile.interval + 8);
    const bad = BigInt(lba + Math.floor((finding.interval * blocks) / intervals));
    // Fixed sense has no room for more.
    const told = bad < 2n ** 32n ? bad : null;
    if (seen.information !== told) return `INFORMATION ${seen.information}, expected ${told}`;
  }
  // What the kernel's own verify says of these blocks, read from a disk that does not check.
  if (protect !== 1 || size === 32) return null;
  counts.kernel++;
  const refused = kernelRefuses(profile, refs, bytes);
  return refused === (finding !== null) ? null : `kernel ${refused}, device ${finding !== null}`;
}

const SPOILING = { data: 0, guard: 0, app: 2, ref: 4 } as const;

/** Now and then the disk spoils a block while it reads: what it must see then. */
function faulted(
  disk: EmulatedDisk,
  random: Random,
  { interval }: Profile,
  { lba, blocks }: Transfer,
  written: Uint8Array,
): Uint8Array {
  if (random.below(8) !== 0) return written;
  const kind = random.pick(['data', 'guard', 'app', 'ref'] as const);
  const block = random.below(blocks);
  disk.addFault({ kind, on: 'read', lba: BigInt(lba + block), blocks: 1n, times: 1 });
  const bytes = written.slice();
  const at = (block * bytes.length) / blocks + (kind === 'data' ? 0 : interval) + SPOILING[kind];
  bytes[at]! ^= 1;
  return bytes;
}

/** By the mirror, as a bio that the disk has served. */
function kernelRefuses(profile: Profile, first: number, bytes: Uint8Array): boolean {
  const stride = profile.interval + 8;
  const intervals = bytes.length / stride;
  const data = new Uint8Array(intervals * profile.interval);
  const tuples = new Uint8Array(intervals * 8);
  for (let i = 0; i < intervals; i++) {
    data.set(bytes.subarray(i * stride, i * stride + profile.interval), i * profile.interval);
    tuples.set(bytes.subarray(i * stride + profile.interval, (i + 1) * stride), i * 8);
  }
  const device = { profile, semantics: semanticsByName('6.12') };
  const bio = Bio.read({ device, lba: BigInt(first), data });
  submitBio(bio)!.set(tuples);
  return completeBio(bio) === 'PROTECTION';
}

function compareWrite(
  disk: EmulatedDisk,
  random: Random,
  profile: Profile,
  transfer: Transfer,
  bytes: Uint8Array,
  counts: { refused: number },
): string | null {
  const { lba, blocks, size, told } = transfer;
  const protect = 1 + random.below(5);
  const cdb = encodeCdb(`WRITE(${size})`, { lba: BigInt(lba), blocks, protect, ...told });
  const { sense } = send(disk, cdb, bytes);
  const finding = firstBad(profile, bytes, transfer, protect);
  if (finding !== null) counts.refused++;
  return sense === expectedSense(finding)
    ? null
    : `write, protect ${protect}: seen ${sense}, expected ${expectedSense(finding)}`;
}
