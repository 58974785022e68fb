/**
 * `block-pi`: io_uring with the PI attribute (Linux 6.14). The caller's tuples travel; the kernel does not check them.
 */
import type { NativeHandle, PiAttribute } from '../../binding.js';
import { metadataLength } from '../../pi/layout.js';
import { nativeReadRule } from '../../pi/native.js';
import type { Profile } from '../../pi/profile.js';
import type { Answer, BlocksRead } from '../blocks.js';
import { alignedBuffer, isPoison, poison } from '../buffers.js';
import { BAD_NAMED_MAX, type BlocksJudged, blocksJudged, type TransferRun } from '../read-verdict.js';
import { answerOf, type BlockSource } from './block.js';

/** IO_INTEGRITY_CHK_GUARD | IO_INTEGRITY_CHK_REFTAG: what a device that heeds the flags shall check. */
const CHECK_GUARD = 1;
const CHECK_REFTAG = 2;
const CHECK_NOTHING = 0;

export interface BlockPiSource extends BlockSource {
  readonly handle: NativeHandle;
  readonly profile: Profile;
}

/** A reference tag is only checked where the type defines one. */
function checksOf({ type }: Profile): number {
  return type === 3 ? CHECK_GUARD : CHECK_GUARD | CHECK_REFTAG;
}

/** `offset` in bytes. */
function attribute(profile: Profile, offset: bigint, tuples: Uint8Array): PiAttribute {
  return { flags: checksOf(profile), appTag: 0, seed: offset / BigInt(profile.interval), tuples };
}

/**
 * Reads data and tuples. What the device refuses is asked for again without its check, which not every device heeds; a refused read may still
 * deliver the tuples of its blocks.
 */
export async function readBlockPi(source: BlockPiSource, lba: bigint, blocks: number): Promise<BlocksRead> {
  const read = await readOnce(source, lba, blocks, checksOf(source.profile));
  if (read.answer.kind !== 'refused') return read;
  const medium = await readOnce(source, lba, blocks, CHECK_NOTHING);
  return medium.answer.kind === 'good' ? { ...medium, answer: read.answer } : read;
}

async function readOnce(
  source: BlockPiSource,
  lba: bigint,
  blocks: number,
  flags: number,
): Promise<BlocksRead> {
  const { profile, blockSize, handle } = source;
  const data = alignedBuffer(blocks * blockSize);
  const tuples = alignedBuffer(metadataLength(profile, data.length));
  poison(tuples);
  source.log?.drain();
  const offset = lba * BigInt(blockSize);
  const result = await handle.readWithPi(data, offset, { ...attribute(profile, offset, tuples), flags });
  const answer = answerOf(source, { what: 'io_uring read with tuples', lba, length: data.length, ...result });
  const good = answer.kind === 'good';
  return {
    lba,
    blocks,
    data: good ? data : null,
    tuples: delivered(tuples, good, blocks) ? tuples : null,
    answer,
  };
}

/** Reads data and tuples, once, and judges them where they come in. No verdict unless all of it came, and GOOD: then a read says why. */
export async function judgeBlockPi(source: BlockPiSource, run: TransferRun): Promise<BlocksJudged> {
  const { profile, blockSize, handle } = source;
  const offset = run.lba * BigInt(blockSize);
  const bytes = run.blocks * blockSize;
  const { flags, seed } = attribute(profile, offset, NO_TUPLES);
  const rule = nativeReadRule(profile, seed, BAD_NAMED_MAX);
  if (rule === null) return { blocks: run.blocks, verdict: null, wrong: false };
  const tupleBytes = metadataLength(profile, bytes);
  const request = { offset, bytes, tupleBytes, reads: run.count, flags, seed, rule };
  const result = await handle.verifyWithPi(request);
  const judged = blocksJudged(run, result);
  // An error is that of a request, which the block layer may have made of neighbours too.
  return { ...judged, wrong: judged.wrong && result.errno === 0 };
}

const NO_TUPLES = new Uint8Array(0);

/** Writes whole blocks with the caller's tuples. Both buffers are page-aligned. */
export async function writeBlockPi(
  source: BlockPiSource,
  lba: bigint,
  data: Uint8Array,
  tuples: Uint8Array,
): Promise<Answer> {
  const { profile, blockSize, handle } = source;
  source.log?.drain();
  const offset = lba * BigInt(blockSize);
  const result = await handle.writeWithPi(data, offset, attribute(profile, offset, tuples));
  return answerOf(source, { what: 'io_uring write with tuples', lba, length: data.length, ...result });
}

/**
 * Kernels that do not know the attribute leave the buffer as it was. After a failed read, zeros may be a bounce buffer's, and of
 * several blocks nobody knows which came: there only one block's tuples that are not all zero count.
 */
function delivered(tuples: Uint8Array, good: boolean, blocks: number): boolean {
  if (isPoison(tuples, 0, tuples.length)) return false;
  return good || (blocks === 1 && tuples.some((byte) => byte !== 0));
}
