/**
 * Which of a disk's nodes carries its SCSI commands.
 */
import type { NativeHandle } from '../binding.js';
import type { FoundDisk, SysfsDisk } from '../sysfs/disks.js';
import { type NodeThreads, openNode, openSg, READ_ONLY } from './node.js';
import type { CommandNode } from './transport.js';

/** One that judges by itself. */
type Verifying = Required<CommandNode>;

/**
 * The bsg node when it is named; else the sg node, which takes 32-byte commands of those who may write it, beside the bsg node for what is
 * judged; else the block node, and where sd has no hand on the disk its bsg node, which every SCSI device has.
 */
export async function openCommandNode(
  { sg, bsg, hctl }: SysfsDisk,
  by: FoundDisk['by'],
  block: NativeHandle | null,
  keep: (opening: Promise<NativeHandle>) => Promise<NativeHandle>,
  threads: NodeThreads,
): Promise<CommandNode | null> {
  const throughBsg = async () => bsg && bsgNode(await keep(openNode(bsg, READ_ONLY, threads)));
  if (by === 'bsg') return throughBsg();
  if (sg) {
    const node = await keep(openSg(sg, threads));
    // Not everybody who may open the one may open the other.
    const direct = await throughBsg().catch(() => null);
    return direct === null ? node : judgingThrough(direct, node);
  }
  return hctl && block ? block : throughBsg();
}

function bsgNode(handle: NativeHandle): Verifying {
  return {
    sgIo: (request) => handle.bsgIo(request),
    sgVerify: (request) => handle.bsgVerify(request),
    close: () => handle.close(),
  };
}

/**
 * READs that are judged go through `direct`, whose transfers the kernel puts where they are judged: sg zeroes pages of its own for each and copies
 * out of them (Linux 6.1 and 7.3, drivers/scsi/sg.c). What `direct` does not take, goes through `node`: it filters commands, and maps no
 * more pages than the host adapter has segments.
 */
export function judgingThrough(direct: Pick<Verifying, 'sgVerify' | 'close'>, node: Verifying): Verifying {
  return {
    sgIo: (request) => node.sgIo(request),
    async sgVerify(request) {
      const result = await direct.sgVerify(request);
      return result.errno === 0 || result.overrun ? result : node.sgVerify(request);
    },
    async close() {
      await Promise.all([direct.close(), node.close()]);
    },
  };
}
