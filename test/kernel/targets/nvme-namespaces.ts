/**
 * The NVMe namespaces that the kernel tests want of their guest, NSID 1 first. Whoever boots it passes them on: by runInVm's `nvme`, or
 * as `--nvme` options.
 */
import type { NvmeNamespace } from 'blk-integrity';

export const NAMESPACES: readonly NvmeNamespace[] = [
  { blockSize: 512, pi: 1 },
  { blockSize: 4096, pi: 1 },
  { blockSize: 512, pi: 3 },
  { blockSize: 4096, pi: 3 },
  { blockSize: 512, pi: 1, metadataSize: 64, first: true },
  { blockSize: 512, pi: 1, metadataSize: 64 },
  { blockSize: 4096, pi: 1, guard: 'crc64' },
  { blockSize: 4096, pi: 3, guard: 'crc64' },
  { blockSize: 4096, pi: 1, guard: 'crc64', metadataSize: 64, first: true },
  { blockSize: 4096, pi: 1, guard: 'crc64', metadataSize: 64 },
];

/** `--nvme block=512,pi=1,guard=crc16` and so on. */
export const NVME_OPTIONS: readonly string[] = NAMESPACES.flatMap(
  ({ blockSize, pi, guard = 'crc16', metadataSize, first = false }) => {
    const ms = metadataSize === undefined ? '' : `,ms=${metadataSize}`;
    return ['--nvme', `block=${blockSize},pi=${pi},guard=${guard},pil=${Number(first)}${ms}`];
  },
);
