/**
 * The proof that tuples cross SG_IO on this disk, or its absence. Devices accept RDPROTECT and send no tuples with GOOD status
 * and residue 0, so only the content can tell; a write with interleaved bytes to such a disk would destroy its data.
 */
import { defaultEngine } from '../pi/engine.js';
import { deinterleave } from '../pi/interleave.js';
import type { Profile } from '../pi/profile.js';
import { isEscaped, readTuple, viewOf } from '../pi/tuple.js';
import { readCdb, type TransferCdbSize } from '../scsi/cdb.js';
import { describeOutcome, type ScsiOutcome } from '../scsi/outcome.js';
import { isMediumError } from '../scsi/sense.js';
import { alignedBuffer, isPoison, poison } from './buffers.js';
import { PROTECT, protectedCdbSize, protectedForm, protectedLength, seedOf } from './protected-range.js';
import type { ScsiTransport } from './transport.js';

/** Blocks that the proof reads: enough that chance cannot stand in for a device. */
export const PROOF_BLOCKS = 8;

/** A disk in use changes between two reads: look again so often. */
const STANDSTILL_TRIES = 3;

export interface BlockRun {
  readonly lba: bigint;
  readonly blocks: number;
}

export interface ProofSubject {
  readonly transport: ScsiTransport;
  readonly blockSize: number;
  readonly blocks: bigint;
  /** How the disk is formatted; null when it is formatted without protection. */
  readonly profile: Profile | null;
  /** RDPROTECT, 1 to 7; 001b without it. */
  readonly protect?: number;
  /** Bytes of the READ; the size that the profile's type knows without it. */
  readonly cdbSize?: TransferCdbSize;
  /** Blocks to look beside, where the disk has others. */
  readonly avoid?: BlockRun | null;
}

export interface Proof {
  /**
   * `crosses`: proved. `absent`: the command ends GOOD and no tuples came. `refused`: the target refused the command.
   * `not-proven`: the content decides nothing. `unformatted`: there are no tuples on this disk.
   */
  readonly result: 'crosses' | 'absent' | 'refused' | 'not-proven' | 'unformatted';
  readonly text: string;
  /** What it holds for: this CDB size and RDPROTECT, until the next UNIT ATTENTION. */
  readonly cdbSize: TransferCdbSize;
  readonly protect: number;
  readonly unitAttentions: number;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** What one place on the disk says. `undecided`: its content would look the same either way, or did not stand still. */
type PlaceResult = 'crosses' | 'absent' | 'refused' | 'contradicts' | 'undecided';

interface Place {
  readonly result: PlaceResult;
  readonly text: string;
  /** What is stored there is bad, or may be: that says nothing of other places. */
  readonly badThere?: true;
}

/**
 * What the content of one interleaved read says, beside a plain read of the same blocks that stood still. A target that sent the plain
 * data alone left it in one piece at the beginning, whatever lies behind it: its own next blocks, zeros, or an earlier command's bytes.
 */
export function judgeInterleaved(
  received: Uint8Array,
  plain: Uint8Array,
  profile: Profile,
  seed: bigint,
): Place {
  const { data, tuples } = deinterleave(received, profile.interval, 8);
  const inOnePiece = same(received.subarray(0, plain.length), plain);
  const untouched = isPoison(received, plain.length, received.length);
  const between = same(data, plain);
  const escapes = tuples.every((byte) => byte === 0xff);
  const options = { profile, layout: 'separate', seed } as const;
  const { ok, intervals, findings } = defaultEngine().verify(data, tuples, options);
  if (inOnePiece && !untouched && between && ok) {
    return { result: 'undecided', text: 'the data looks the same with tuples and without' };
  }
  if (inOnePiece) return { result: 'absent', text: 'accepts RDPROTECT, transfers no tuples' };
  const bad = new Set(findings.map(({ interval }) => interval));
  const view = viewOf(tuples);
  const isTelling = (i: number) => {
    const tuple = readTuple(view, i * 8, 8);
    const [from, to] = [i * profile.interval, (i + 1) * profile.interval];
    const fits = !bad.has(i) && !isEscaped(profile, 8, tuple) && tuple.guard !== 0;
    return fits && same(data.subarray(from, to), plain.subarray(from, to));
  };
  const telling = Array.from({ length: intervals }, (_, i) => i).filter(isTelling).length;
  // No target makes tuples up that fit: where most do, they came, and the others are damaged or say nothing.
  if (2 * telling > intervals) return { result: 'crosses', text: 'tuples cross SG_IO' };
  if (!between) {
    return {
      result: 'contradicts',
      text: 'the data between the supposed tuples is not the data of a plain read',
      badThere: true,
    };
  }
  if (escapes) return { result: 'crosses', text: 'tuples cross SG_IO (all escaped)' };
  if (!ok) {
    return {
      result: 'contradicts',
      text: 'what came in the place of the tuples fits neither the data nor an escape',
      badThere: true,
    };
  }
  return { result: 'undecided', text: 'zero guards or single escapes prove nothing' };
}

/** The first of these that any place says is the proof's: one place that speaks against it outweighs all others. */
const WEIGHT = [
  ['absent', 'absent'],
  ['refused', 'refused'],
  ['contradicts', 'not-proven'],
  ['crosses', 'crosses'],
  ['undecided', 'not-proven'],
] as const satisfies readonly (readonly [PlaceResult, Proof['result']])[];

/** Reads three places of the disk, never writes. */
export async function proveTuplesCross(subject: ProofSubject, signal?: AbortSignal): Promise<Proof> {
  const { transport, blocks, profile, protect = PROTECT.checked } = subject;
  const cdbSize = subject.cdbSize ?? (profile === null ? 16 : protectedCdbSize(profile));
  // Of before the first look: a proof in which a UNIT ATTENTION came has lapsed when it is made.
  const { unitAttentions } = transport;
  const conclude = (result: Proof['result'], text: string): Proof => ({
    result,
    text,
    cdbSize,
    protect,
    unitAttentions,
  });
  if (profile === null) return conclude('unformatted', 'formatted without protection');
  const count = BigInt(PROOF_BLOCKS);
  if (blocks < count) return conclude('not-proven', 'too small a disk to prove anything');
  const places: Place[] = [];
  for (const lba of placesOf(subject)) {
    places.push(await readNear({ ...subject, profile }, lba, signal));
  }
  for (const [said, result] of WEIGHT) {
    const place = places.find((one) => one.result === said);
    if (place) return conclude(result, place.text);
  }
  throw new TypeError('a place without a result');
}

/** The beginning, the middle and the end of the disk. */
function placesOf({ blocks, avoid }: ProofSubject): Set<bigint> {
  const count = BigInt(PROOF_BLOCKS);
  const usual = [0n, (blocks - count) / 2n, blocks - count];
  if (!avoid) return new Set(usual);
  const end = avoid.lba + BigInt(avoid.blocks);
  const beside = [end, avoid.lba - count].filter((lba) => lba >= 0n && lba + count <= blocks);
  const places = usual.flatMap((lba) => (touches(avoid, lba) ? beside.slice(0, 1) : [lba]));
  return new Set(places.length > 0 ? places : usual);
}

/** Whether a place has blocks of a run. */
function touches({ lba, blocks }: BlockRun, place: bigint): boolean {
  return place < lba + BigInt(blocks) && place + BigInt(PROOF_BLOCKS) > lba;
}

/** Blocks from a place at which it is looked at again, where what is stored there is bad. */
const BESIDE: readonly bigint[] = [8n, 64n, 512n, 4096n];

async function readNear(
  subject: ProofSubject & { readonly profile: Profile },
  lba: bigint,
  signal?: AbortSignal,
): Promise<Place> {
  const { blocks, avoid } = subject;
  const count = BigInt(PROOF_BLOCKS);
  const free = (at: bigint) => at >= 0n && at + count <= blocks && !(avoid && touches(avoid, at));
  let place = await readPlace(subject, lba, signal);
  for (const distance of BESIDE) {
    if (!place.badThere) break;
    const at = [lba + distance, lba - distance].find(free);
    if (at !== undefined) place = await readPlace(subject, at, signal);
  }
  return place;
}

/** What a disk answers for a reason of its own, whatever it was asked: it says nothing of RDPROTECT. */
const PASSING: readonly string[] = ['unit-attention', 'busy', 'task-set-full'];

const REFUSED_THERE = 'the disk refuses the blocks by their tags';
const UNREADABLE_THERE = 'the disk cannot read the blocks';

/** An error of the medium says nothing of RDPROTECT, and nothing of other blocks. */
function isUnreadable(outcome: ScsiOutcome): boolean {
  return outcome.kind === 'check-condition' && outcome.sense !== null && isMediumError(outcome.sense);
}

async function readPlace(
  { transport, blockSize, profile, protect, cdbSize }: ProofSubject & { readonly profile: Profile },
  lba: bigint,
  signal?: AbortSignal,
): Promise<Place> {
  const range = { profile, blockSize, lba, blocks: PROOF_BLOCKS };
  let text = 'the blocks changed between two reads';
  for (let attempt = 0; attempt < STANDSTILL_TRIES; attempt++) {
    const before = await readPlain(transport, lba, blockSize, signal);
    if (before === 'unreadable') return { result: 'undecided', text: UNREADABLE_THERE, badThere: true };
    const received = alignedBuffer(protectedLength(range));
    poison(received);
    const cdb = readCdb({ ...protectedForm(range, protect, cdbSize), lba, blocks: PROOF_BLOCKS });
    const { outcome } = await transport.send({ cdb, direction: 'from-device', data: received, signal });
    if (isUnreadable(outcome)) {
      return { result: 'undecided', text: `${UNREADABLE_THERE} with RDPROTECT`, badThere: true };
    }
    const after = await readPlain(transport, lba, blockSize, signal);
    if (PASSING.includes(outcome.kind)) {
      text = `no answer to RDPROTECT: ${describeOutcome(outcome)}`;
      continue;
    }
    if (outcome.kind !== 'good') {
      const refusal = `refuses RDPROTECT: ${describeOutcome(outcome)}`;
      return { result: 'refused', text: refusal, ...(outcome.kind === 'protection' && { badThere: true }) };
    }
    if (before === 'refused') return { result: 'undecided', text: REFUSED_THERE, badThere: true };
    if (!(before instanceof Uint8Array && after instanceof Uint8Array && same(before, after))) continue;
    return judgeInterleaved(received, before, profile, seedOf(range));
  }
  return { result: 'undecided', text };
}

async function readPlain(
  transport: ScsiTransport,
  lba: bigint,
  blockSize: number,
  signal?: AbortSignal,
): Promise<Uint8Array | 'refused' | 'unreadable' | null> {
  const data = alignedBuffer(PROOF_BLOCKS * blockSize);
  const cdb = readCdb({ size: 16, lba, blocks: PROOF_BLOCKS });
  const { outcome, result } = await transport.send({ cdb, direction: 'from-device', data, signal });
  // SBC-4 has a plain READ checked as well.
  if (outcome.kind === 'protection') return 'refused';
  if (isUnreadable(outcome)) return 'unreadable';
  return outcome.kind === 'good' && result.resid === 0 ? data : null;
}
