/**
 * The proof that tuples cross SG_IO on this disk, or its absence. Devices accept RDPROTECT and send no tuples with GOOD status
 * and residue 0, so only the content can tell; a write with interleaved bytes to such a disk would destroy its data.
 */
import { defaultEngine } from '../pi/engine.js';
import type { Profile } from '../pi/profile.js';
import { readCdb, type TransferCdbSize, transferLength } from '../scsi/cdb.js';
import { describeOutcome } from '../scsi/outcome.js';
import { deinterleave } from './blocks.js';
import { alignedBuffer, poison } from './buffers.js';
import type { ScsiTransport } from './transport.js';

/** Blocks that the proof reads: enough that chance cannot stand in for a device. */
export const PROOF_BLOCKS = 8;

/** A disk in use changes between two reads: look again so often. */
const STANDSTILL_TRIES = 3;

/** RDPROTECT 001b: the tuples are transferred, and checked by the device. */
const PROTECT = 1;

export interface ProofSubject {
  readonly transport: ScsiTransport;
  readonly blockSize: number;
  readonly blocks: bigint;
  /** How the disk is formatted; null when it is formatted without protection. */
  readonly profile: Profile | null;
}

export interface Proof {
  /**
   * `crosses`: proved. `absent`: the command ends GOOD and no tuples came. `refused`: the target refused the command.
   * `not-proven`: the content decides nothing. `unformatted`: there are no tuples on this disk.
   */
  readonly result: 'crosses' | 'absent' | 'refused' | 'not-proven' | 'unformatted';
  readonly text: string;
  /** What it holds for: this CDB size, with RDPROTECT 001b, until the next UNIT ATTENTION. */
  readonly cdbSize: TransferCdbSize;
  readonly unitAttentions: number;
}

/** Type 2 knows its reference tags from 32-byte commands only (T10 SBC-4, READ(32)). */
export function protectedCdbSize(profile: Profile): TransferCdbSize {
  return profile.type === 2 ? 32 : 16;
}

/** READ of `blocks` at `lba` that asks for the tuples as well. */
export function protectedReadCdb(profile: Profile, lba: bigint, blocks: number): Uint8Array {
  return readCdb({ size: protectedCdbSize(profile), lba, blocks, protect: PROTECT });
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** Whether `received` is what a transfer of the plain data alone leaves: `plain`, then a tail of poison, zeros or ones. */
function explainedWithoutTuples(received: Uint8Array, plain: Uint8Array, poisoned: Uint8Array): boolean {
  if (!same(received.subarray(0, plain.length), plain)) return false;
  const tail = received.subarray(plain.length);
  return (
    tail.every((byte) => byte === 0x00) ||
    tail.every((byte) => byte === 0xff) ||
    same(tail, poisoned.subarray(plain.length))
  );
}

/** What the content of one interleaved read says, beside a plain read of the same blocks that stood still. */
export function judgeInterleaved(
  received: Uint8Array,
  plain: Uint8Array,
  poisoned: Uint8Array,
  profile: Profile,
  lba: bigint,
): Pick<Proof, 'result' | 'text'> {
  if (explainedWithoutTuples(received, plain, poisoned)) {
    return { result: 'absent', text: 'accepts RDPROTECT, transfers no tuples' };
  }
  const { data, tuples } = deinterleave(received, profile.interval, 8);
  if (!same(data, plain)) {
    return {
      result: 'not-proven',
      text: 'the data between the supposed tuples is not the data of a plain read',
    };
  }
  if (tuples.every((byte) => byte === 0xff)) {
    return { result: 'crosses', text: 'tuples cross SG_IO (all escaped)' };
  }
  const { ok, escaped } = defaultEngine().verify(data, tuples, { profile, layout: 'separate', seed: lba });
  const telling = tuples.some((byte, i) => i % 8 < 2 && byte !== 0);
  return ok && escaped === 0 && telling
    ? { result: 'crosses', text: 'tuples cross SG_IO' }
    : {
        result: 'not-proven',
        text: 'what came in the place of the tuples fits neither the data nor an escape',
      };
}

/** Reads, never writes. Settles as soon as one place on the disk decides; `not-proven` when none does. */
export async function proveTuplesCross(subject: ProofSubject, signal?: AbortSignal): Promise<Proof> {
  const { transport, blockSize, blocks, profile } = subject;
  if (profile === null || blocks < BigInt(PROOF_BLOCKS)) {
    const text = profile === null ? 'formatted without protection' : 'too small a disk to prove anything';
    return { result: profile === null ? 'unformatted' : 'not-proven', text, cdbSize: 16, unitAttentions: 0 };
  }
  const cdbSize = protectedCdbSize(profile);
  const count = BigInt(PROOF_BLOCKS);
  const intervalsPerBlock = blockSize / profile.interval;
  const interleavedLength = transferLength({
    blocks: PROOF_BLOCKS,
    blockSize,
    intervalsPerBlock,
    protect: PROTECT,
  });
  let last: Pick<Proof, 'result' | 'text'> = {
    result: 'not-proven',
    text: 'the blocks changed between two reads',
  };
  for (const lba of [0n, (blocks - count) / 2n, blocks - count]) {
    for (let attempt = 0; attempt < STANDSTILL_TRIES; attempt++) {
      const before = await readPlain(transport, lba, blockSize, signal);
      const received = alignedBuffer(interleavedLength);
      poison(received);
      const poisoned = received.slice();
      const cdb = protectedReadCdb(profile, lba, PROOF_BLOCKS);
      const { outcome } = await transport.send({ cdb, direction: 'from-device', data: received, signal });
      const after = await readPlain(transport, lba, blockSize, signal);
      if (outcome.kind !== 'good') {
        last = { result: 'refused', text: `refuses RDPROTECT: ${describeOutcome(outcome)}` };
        break;
      }
      if (before === null || after === null || !same(before, after)) continue;
      last = judgeInterleaved(received, before, poisoned, profile, lba);
      if (last.result === 'crosses' || last.result === 'absent') {
        return { ...last, cdbSize, unitAttentions: transport.unitAttentions };
      }
      break;
    }
  }
  return { ...last, cdbSize, unitAttentions: transport.unitAttentions };
}

async function readPlain(
  transport: ScsiTransport,
  lba: bigint,
  blockSize: number,
  signal?: AbortSignal,
): Promise<Uint8Array | null> {
  const data = alignedBuffer(PROOF_BLOCKS * blockSize);
  const cdb = readCdb({ size: 16, lba, blocks: PROOF_BLOCKS });
  const { outcome, result } = await transport.send({ cdb, direction: 'from-device', data, signal });
  return outcome.kind === 'good' && result.resid === 0 ? data : null;
}
