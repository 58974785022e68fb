/**
 * `passthrough`: READ and WRITE by SG_IO. Data alone, or data with tuples interleaved where the proof holds that they cross.
 */
import { type ErrorCode, IntegrityError } from '../../errors.js';
import { deinterleave, interleave } from '../../pi/interleave.js';
import type { Profile } from '../../pi/profile.js';
import { readCdb, type TransferForm, transferLength, writeCdb } from '../../scsi/cdb.js';
import { describeOutcome, type ScsiOutcome } from '../../scsi/outcome.js';
import { type Answer, type BlocksRead, GOOD } from '../blocks.js';
import { alignedBuffer, poison } from '../buffers.js';
import { type ProtectField, protectedForm, protectedLength, seedOf } from '../protected-range.js';
import { type BlocksJudged, blocksJudged, type TransferRun } from '../read-verdict.js';
import type { DiskTransport, ScsiReply, ScsiTransport } from '../transport.js';

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
  if (outcome.kind === 'protection') {
    const { checker, check, lba } = outcome;
    return { kind: 'refused', checker, check, text, ...(lba !== null && { lba }) };
  }
  return failed(FAILURE_CODES[outcome.kind] ?? 'ERR_TRANSPORT', text);
}

/**
 * Reads by a READ of any form. With RDPROTECT it is taken apart if it is proved that tuples `crosses`; else what came is not known and
 * is not delivered.
 */
export async function readAs(
  { disk, transport, blockSize }: PassthroughSource,
  form: TransferForm,
  lba: bigint,
  blocks: number,
  {
    profile,
    crosses,
    signal,
  }: {
    readonly profile: Profile | null;
    readonly crosses: boolean;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<BlocksRead> {
  const { protect = 0 } = form;
  const intervalsPerBlock = profile === null ? 1 : blockSize / profile.interval;
  const received = alignedBuffer(transferLength({ blocks, blockSize, intervalsPerBlock, protect }));
  if (protect !== 0) poison(received);
  const cdb = readCdb({ ...form, lba, blocks });
  const reply = await transport.send({ cdb, direction: 'from-device', data: received, signal });
  const answer = plainAnswerOf(reply, disk, cdb);
  const nothing = { lba, blocks, data: null, tuples: null, answer };
  if (answer.kind !== 'good') return nothing;
  if (protect === 0) return { ...nothing, data: received };
  if (!crosses || profile === null) return nothing;
  return { ...nothing, ...deinterleave(received, profile.interval, profile.tupleSize) };
}

/** Reads the data alone: RDPROTECT 000b. */
export function readPlain(
  source: PassthroughSource,
  lba: bigint,
  blocks: number,
  signal?: AbortSignal,
): Promise<BlocksRead> {
  return readAs(source, { size: 16 }, lba, blocks, { profile: null, crosses: false, signal });
}

/**
 * Reads data and tuples, checked by the disk unless `protect` says otherwise. The proof must hold; what it was made for is checked by
 * the caller.
 */
export function readInterleaved(
  source: PassthroughSource,
  profile: Profile,
  lba: bigint,
  blocks: number,
  { protect, signal }: { readonly protect?: ProtectField; readonly signal?: AbortSignal | undefined } = {},
): Promise<BlocksRead> {
  const form = protectedForm({ profile, blockSize: source.blockSize, lba }, protect);
  return readAs(source, form, lba, blocks, { profile, crosses: true, signal });
}

/**
 * Reads data and tuples as {@link readInterleaved} does, once, and judges them where they come in. No verdict unless all of it came, and GOOD:
 * then a read says why.
 */
export async function judgeInterleaved(
  { transport, blockSize }: PassthroughSource & { readonly transport: DiskTransport },
  profile: Profile,
  run: TransferRun,
  signal?: AbortSignal,
): Promise<BlocksJudged> {
  const cdbs = Array.from({ length: run.count }, (_, i) => {
    const range = { profile, blockSize, lba: run.lba + BigInt(i * run.blocks), blocks: run.blocks };
    return readCdb({ ...protectedForm(range), lba: range.lba, blocks: range.blocks });
  });
  const first = { profile, blockSize, ...run };
  const commands = { cdbs, bytes: protectedLength(first), profile, seed: seedOf(first), signal };
  const { result, outcome } = await transport.judge(commands);
  const judged = blocksJudged(run, result);
  return { ...judged, wrong: judged.wrong && !NOT_NOW.includes(outcome.kind) };
}

/** What says nothing of the blocks. */
const NOT_NOW: readonly ScsiOutcome['kind'][] = ['unit-attention', 'busy', 'task-set-full', 'not-ready'];

/**
 * Writes the data alone: WRPROTECT 000b. It is not sent again after a UNIT ATTENTION, by which the disk may be another; and to a disk that
 * was too busy for it only when `again` does not throw.
 */
export async function writePlain(
  source: PassthroughSource,
  lba: bigint,
  data: Uint8Array,
  again?: () => Promise<void>,
): Promise<Answer> {
  const { disk, transport, blockSize } = source;
  const cdb = writeCdb({ size: 16, lba, blocks: data.length / blockSize });
  return plainAnswerOf(await transport.send({ cdb, direction: 'to-device', data, again }), disk, cdb);
}

/**
 * Writes data and tuples. The proof must hold: a disk that takes the tuples for data loses its own. For the same reason it is not sent
 * again after a UNIT ATTENTION, which ends it.
 */
export async function writeInterleaved(
  source: PassthroughSource,
  profile: Profile,
  lba: bigint,
  {
    data,
    tuples,
    protect,
    again,
  }: { data: Uint8Array; tuples: Uint8Array; protect: ProtectField; again?: () => Promise<void> },
): Promise<Answer> {
  const { disk, transport, blockSize } = source;
  const range = { profile, blockSize, lba, blocks: data.length / blockSize };
  const bytes = alignedBuffer(protectedLength(range));
  interleave(bytes, data, tuples, profile.interval, profile.tupleSize);
  const cdb = writeCdb({ ...protectedForm(range, protect), lba, blocks: range.blocks });
  const command = { cdb, direction: 'to-device', data: bytes, again } as const;
  return plainAnswerOf(await transport.send(command), disk, cdb);
}
