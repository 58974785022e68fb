/**
 * `passthrough`: READ by SG_IO. Data alone, or data with tuples interleaved where the proof holds that they cross.
 */
import { IntegrityError } from '../../errors.js';
import type { Profile } from '../../pi/profile.js';
import { readCdb, transferLength } from '../../scsi/cdb.js';
import { describeOutcome, type ScsiOutcome } from '../../scsi/outcome.js';
import { type Answer, type BlocksRead, deinterleave, GOOD } from '../blocks.js';
import { alignedBuffer, poison } from '../buffers.js';
import { type Proof, protectedReadCdb } from '../proof.js';
import type { ScsiTransport } from '../transport.js';

export interface PassthroughSource {
  readonly disk: string;
  readonly transport: ScsiTransport;
  readonly blockSize: number;
}

/** Why a reply is no success, for the one who reads by this path. */
export function answerOf(outcome: ScsiOutcome, disk: string, cdb: Uint8Array, sense: Uint8Array): Answer {
  if (outcome.kind === 'good') return GOOD;
  const text = describeOutcome(outcome);
  if (outcome.kind === 'protection') {
    return { kind: 'refused', checker: outcome.checker, check: outcome.check, text };
  }
  const code = outcome.kind === 'check-condition' ? 'ERR_CHECK_CONDITION' : 'ERR_TRANSPORT';
  return { kind: 'failed', error: new IntegrityError(code, `${disk}: ${text}`, { disk, cdb, sense }) };
}

/** Reads the data alone: RDPROTECT 000b. */
export async function readPlain(
  source: PassthroughSource,
  lba: bigint,
  blocks: number,
  signal?: AbortSignal,
): Promise<BlocksRead> {
  const { disk, transport, blockSize } = source;
  const data = alignedBuffer(transferLength({ blocks, blockSize, intervalsPerBlock: 1, protect: 0 }));
  const cdb = readCdb({ size: 16, lba, blocks });
  const { outcome, result } = await transport.send({ cdb, direction: 'from-device', data, signal });
  const answer = shortOrAnswer(answerOf(outcome, disk, cdb, result.sense), result.resid, disk, cdb);
  return { lba, blocks, data: answer.kind === 'good' ? data : null, tuples: null, answer };
}

/** Reads data and tuples: RDPROTECT 001b. The proof must hold; what it was made for is checked by the caller. */
export async function readInterleaved(
  source: PassthroughSource,
  profile: Profile,
  lba: bigint,
  blocks: number,
  signal?: AbortSignal,
): Promise<BlocksRead> {
  const { disk, transport, blockSize } = source;
  const intervalsPerBlock = blockSize / profile.interval;
  const received = alignedBuffer(transferLength({ blocks, blockSize, intervalsPerBlock, protect: 1 }));
  poison(received);
  const cdb = protectedReadCdb(profile, lba, blocks);
  const { outcome, result } = await transport.send({ cdb, direction: 'from-device', data: received, signal });
  const answer = shortOrAnswer(answerOf(outcome, disk, cdb, result.sense), result.resid, disk, cdb);
  if (answer.kind !== 'good') return { lba, blocks, data: null, tuples: null, answer };
  return { lba, blocks, ...deinterleave(received, profile.interval, profile.tupleSize), answer };
}

/** A transfer with a residue is not the one that was asked for. */
function shortOrAnswer(answer: Answer, resid: number, disk: string, cdb: Uint8Array): Answer {
  if (answer.kind !== 'good' || resid === 0) return answer;
  const message = `${disk}: GOOD, but ${resid} bytes of the transfer did not come`;
  return { kind: 'failed', error: new IntegrityError('ERR_TRANSPORT', message, { disk, cdb }) };
}

/** Whether a proof still speaks for the disk that this transport reaches. */
export function proofHolds(proof: Proof | null, transport: ScsiTransport): boolean {
  return proof?.result === 'crosses' && proof.unitAttentions === transport.unitAttentions;
}
