/**
 * `passthrough`: READ and WRITE by SG_IO. Data alone, or data with tuples interleaved where the proof holds that they cross.
 */
import { type ErrorCode, IntegrityError } from '../../errors.js';
import type { Profile } from '../../pi/profile.js';
import { readCdb, transferLength, writeCdb } from '../../scsi/cdb.js';
import { describeOutcome, type ScsiOutcome } from '../../scsi/outcome.js';
import { type Answer, type BlocksRead, deinterleave, GOOD, interleave } from '../blocks.js';
import { alignedBuffer, poison } from '../buffers.js';
import {
  type ProtectField,
  protectedLength,
  protectedReadCdb,
  protectedWriteCdb,
} from '../protected-range.js';
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

/**
 * Reads data and tuples, checked by the disk unless `protect` says otherwise. The proof must hold; what it was made for is checked by
 * the caller.
 */
export async function readInterleaved(
  source: PassthroughSource,
  profile: Profile,
  lba: bigint,
  blocks: number,
  { protect, signal }: { readonly protect?: ProtectField; readonly signal?: AbortSignal | undefined } = {},
): Promise<BlocksRead> {
  const { disk, transport, blockSize } = source;
  const range = { profile, blockSize, lba, blocks };
  const received = alignedBuffer(protectedLength(range));
  poison(received);
  const cdb = protectedReadCdb(range, protect);
  const reply = await transport.send({ cdb, direction: 'from-device', data: received, signal });
  const answer = plainAnswerOf(reply, disk, cdb);
  if (answer.kind !== 'good') return { lba, blocks, data: null, tuples: null, answer };
  return { lba, blocks, ...deinterleave(received, profile.interval, profile.tupleSize), answer };
}

/** Writes the data alone: WRPROTECT 000b. It is not sent again after a UNIT ATTENTION, by which the disk may be another. */
export async function writePlain(source: PassthroughSource, lba: bigint, data: Uint8Array): Promise<Answer> {
  const { disk, transport, blockSize } = source;
  const cdb = writeCdb({ size: 16, lba, blocks: data.length / blockSize });
  return plainAnswerOf(
    await transport.send({ cdb, direction: 'to-device', data, onceOnly: true }),
    disk,
    cdb,
  );
}

/**
 * Writes data and tuples. The proof must hold: a disk that takes the tuples for data loses its own. For the same reason it is not sent
 * again after a UNIT ATTENTION, which ends it.
 */
export async function writeInterleaved(
  source: PassthroughSource,
  profile: Profile,
  lba: bigint,
  { data, tuples, protect }: { data: Uint8Array; tuples: Uint8Array; protect: ProtectField },
): Promise<Answer> {
  const { disk, transport, blockSize } = source;
  const range = { profile, blockSize, lba, blocks: data.length / blockSize };
  const bytes = alignedBuffer(protectedLength(range));
  interleave(bytes, data, tuples, profile.interval, profile.tupleSize);
  const cdb = protectedWriteCdb(range, protect);
  const command = { cdb, direction: 'to-device', data: bytes, onceOnly: true } as const;
  return plainAnswerOf(await transport.send(command), disk, cdb);
}
