/**
 * `block`: O_DIRECT through the block layer, whose kernel makes and checks the tuples; and what the kernel's log says of a refusal.
 */
import type { NativeHandle } from '../../binding.js';
import { explainRefusals } from '../../sysfs/kernel-log.js';
import { type Answer, type BlocksRead, GOOD } from '../blocks.js';
import { alignedBuffer } from '../buffers.js';
import { ERRNO, errnoError } from '../errno.js';
import type { KernelLog } from '../kernel-log.js';

/** The kernel's log counts in these. */
const SECTOR = 512n;

export interface BlockSource {
  /** The node, `/dev/sda`. */
  readonly disk: string;
  /** The kernel's name, `sda`, and its H:C:T:L, by which the log speaks of it. */
  readonly name: string;
  readonly hctl: string | null;
  readonly handle: NativeHandle;
  readonly log: KernelLog | null;
  readonly blockSize: number;
}

/** One read or write of the block layer: the blocks it was of, and what the kernel answered. */
export interface BlockTransfer {
  readonly what: string;
  readonly lba: bigint;
  readonly length: number;
  readonly errno: number;
  readonly bytes: number;
}

/** Reads `blocks` at `lba`. The log is drained before, so that what it says afterwards is of this time. */
export async function readBlock(source: BlockSource, lba: bigint, blocks: number): Promise<BlocksRead> {
  const data = alignedBuffer(blocks * source.blockSize);
  source.log?.drain();
  const result = await source.handle.read(data, lba * BigInt(source.blockSize));
  const answer = answerOf(source, { what: 'read', lba, length: data.length, ...result });
  return { lba, blocks, data: answer.kind === 'good' ? data : null, tuples: null, answer };
}

/** Writes whole blocks; the kernel makes their tuples. `data` is page-aligned. */
export async function writeBlock(source: BlockSource, lba: bigint, data: Uint8Array): Promise<Answer> {
  source.log?.drain();
  const result = await source.handle.write(data, lba * BigInt(source.blockSize));
  return answerOf(source, { what: 'write', lba, length: data.length, ...result });
}

/** From errno and log to an answer; throws when the device is gone. */
export function answerOf(source: BlockSource, transfer: BlockTransfer): Answer {
  const { what, length, errno, bytes } = transfer;
  const { disk } = source;
  if (errno === 0 && bytes === length) return GOOD;
  if (errno === ERRNO.EILSEQ) return refusal(source, transfer);
  const error =
    errno === 0
      ? errnoError(ERRNO.EIO, `${what}: ${bytes} of ${length} bytes`, disk)
      : errnoError(errno, what, disk);
  if (error.code === 'ERR_DEVICE_GONE') throw error;
  return { kind: 'failed', error };
}

/**
 * Kernel and device both end in EILSEQ, so the log must tell who refused. The first record of this transfer that names one decides:
 * the kernel checks only what the device has let pass.
 */
function refusal({ log, name, hctl, blockSize }: BlockSource, { lba, length }: BlockTransfer): Answer {
  if (log === null) return unnamed('the kernel log cannot be read');
  // Virtual seeds and 512-byte sectors of a transfer both begin at its first sector and end within its length.
  const first = (lba * BigInt(blockSize)) / SECTOR;
  const end = first + BigInt(length) / SECTOR;
  const named = explainRefusals(log.drain(), { diskName: name, hctl }).find(
    ({ checker, sector }) =>
      checker !== 'kernel-or-device' && (sector === null || (sector >= first && sector < end)),
  );
  if (named === undefined) return unnamed('the kernel log does not say who refused');
  const { checker, check, text, stored, computed } = named;
  const tags =
    stored === null || computed === null
      ? {}
      : { tags: { stored: Number(stored), computed: Number(computed) } };
  return { kind: 'refused', checker, check, text: `EILSEQ; kernel log: ${text}`, ...tags };
}

function unnamed(why: string): Answer {
  return { kind: 'refused', checker: 'kernel-or-device', check: 'protection', text: `EILSEQ; ${why}` };
}
