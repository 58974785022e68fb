/**
 * `passthrough`: READ by SG_IO. Data alone, or data with tuples interleaved where the proof holds that they cross.
 */
import { type ErrorCode, IntegrityError } from '../../errors.js';
import type { Profile } from '../../pi/profile.js';
import { readCdb, transferLength } from '../../scsi/cdb.js';
import { describeOutcome, type ScsiOutcome } from '../../scsi/outcome.js';
import { type Answer, type BlocksRead, deinterleave, GOOD } from '../blocks.js';
import { alignedBuffer, poison } from '../buffers.js';
import { type Proof, protectedReadCdb } from '../proof.js';
import type { ScsiReply, ScsiTransport } from '../transport.js';

/** Outcomes that have a code of their own. */
const FAILURE_CODES: Partial<Record<ScsiOutcome['kind'], ErrorCode>> = {
  'check-condition': 'ERR_CHECK_CONDITION',
  'not-ready': 'ERR_CHECK_CONDITION',
  timeout: 'ERR_TIMEOUT',
};

export interface PassthroughSource {
  readonly disk: string;
  readonly transport: ScsiTransport;
  readonly blockSize: number;
}

/** What a reply says of the transfer. One with a residue is not the one that was asked for. */
export function plainAnswerOf({ outcome, result }: ScsiReply, disk: string, cdb: Uint8Array): Answer {
  const { sense, resid } = result;
  const failed = (code: ErrorCode, text: string): Answer => ({
    kind: 'failed',
    error: new IntegrityError(code, `${disk}: ${text}`, { disk, cdb, sense }),
  });
  const text = describeOutcome(outcome);
  if (outcome.kind === 'good') {
    return resid === 0 ? GOOD : failed('ERR_TRANSPORT', `GOOD, but ${resid} bytes were not transferred`);
  }
  if (outcome.kind === 'protection')
    return { kind: 'refused', checker: outcome.checker, check: outcome.check, text };
  return failed(FAILURE_CODES[outcome.kind] ?? 'ERR_TRANSPORT', text);
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
  const answer = plainAnswerOf(
    await transport.send({ cdb, direction: 'from-device', data, signal }),
    disk,
    cdb,
  );
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
  const reply = await transport.send({ cdb, direction: 'from-device', data: received, signal });
  const answer = plainAnswerOf(reply, disk, cdb);
  if (answer.kind !== 'good') return { lba, blocks, data: null, tuples: null, answer };
  return { lba, blocks, ...deinterleave(received, profile.interval, profile.tupleSize), answer };
}

/** Whether a proof still speaks for the disk that this transport reaches. */
export function proofHolds(proof: Proof | null, transport: ScsiTransport): boolean {
  return proof?.result === 'crosses' && proof.unitAttentions === transport.unitAttentions;
}
