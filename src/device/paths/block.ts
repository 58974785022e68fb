/**
 * `block`: O_DIRECT through the block layer, whose kernel makes and checks the tuples; and what the kernel's log says of a refusal.
 */
import type { NativeHandle } from '../../binding.js';
import { explainRefusals } from '../../sysfs/kernel-log.js';
import { type Answer, type BlocksRead, GOOD } from '../blocks.js';
import { alignedBuffer } from '../buffers.js';
import { ERRNO, errnoError } from '../errno.js';
import type { KernelLog } from '../kernel-log.js';

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

/** Reads `blocks` at `lba`. The log is drained before, so that what it says afterwards is of this read. */
export async function readBlock(source: BlockSource, lba: bigint, blocks: number): Promise<BlocksRead> {
  const data = alignedBuffer(blocks * source.blockSize);
  source.log?.drain();
  const { errno, bytes } = await source.handle.read(data, lba * BigInt(source.blockSize));
  const answer = answerOf(source, errno, bytes, data.length, 'read');
  return { lba, blocks, data: answer.kind === 'good' ? data : null, tuples: null, answer };
}

/** From errno and log to an answer; throws when the device is gone. */
export function answerOf(
  source: BlockSource,
  errno: number,
  bytes: number,
  wanted: number,
  what: string,
): Answer {
  if (errno === 0 && bytes === wanted) return GOOD;
  const { disk } = source;
  if (errno === 0)
    return { kind: 'failed', error: errnoError(ERRNO.EIO, `${what}: ${bytes} of ${wanted} bytes`, disk) };
  if (errno === ERRNO.EILSEQ) return refusal(source);
  const error = errnoError(errno, what, disk);
  if (error.code === 'ERR_DEVICE_GONE') throw error;
  return { kind: 'failed', error };
}

/**
 * Kernel and device both end in EILSEQ, so the log must tell who refused. The first record that names one decides: the kernel checks
 * only what the device has let pass.
 */
function refusal({ log, name, hctl }: BlockSource): Answer {
  const told = log === null ? [] : explainRefusals(log.drain(), { diskName: name, hctl });
  const named = told.find(({ checker }) => checker !== null);
  if (named?.checker) {
    const { checker, check, stored, computed } = named;
    const tags =
      stored === null
        ? ''
        : ` (rcvd ${stored.toString(16)}${computed === null ? '' : `, want ${computed.toString(16)}`})`;
    return { kind: 'refused', checker, check, text: `EILSEQ, ${check} tag${tags} by the kernel's log` };
  }
  const why = log === null ? 'the kernel log cannot be read' : 'the kernel log does not say who refused';
  return { kind: 'refused', checker: 'kernel-or-device', check: 'protection', text: `EILSEQ; ${why}` };
}
