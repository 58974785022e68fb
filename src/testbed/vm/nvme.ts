/** NVMe namespaces of a guest: QEMU's emulated controller, which keeps metadata and checks protection information itself. */
import { stat, truncate, writeFile } from 'node:fs/promises';
import { IntegrityError } from '../../errors.js';
import { optionValue } from './qemu-option.js';

/** Of the guest's controller, as /sys/class/nvme/NAME/serial shows it. */
export const NVME_SERIAL: string = 'blk-integrity';

/**
 * One namespace, in the terms of the NVM Command Set's Format NVM command. It is made for the run and empty (every block escaped), but for
 * one with a file of its own.
 */
export interface NvmeNamespace {
  /** 512 or 4096 bytes. */
  readonly blockSize: 512 | 4096;
  /** MS: bytes of metadata beside every block, moved in a buffer of its own. Default: the tuple's size, 0 without one. */
  readonly metadataSize?: number | undefined;
  /** PI: the protection type; 0 is none. */
  readonly pi: 0 | 1 | 2 | 3;
  /** PIF: tuples of 8 bytes with a CRC-16, or of 16 with a CRC-64. Default crc16. */
  readonly guard?: 'crc16' | 'crc64' | undefined;
  /** PIL: the tuple is the first bytes of the metadata, not the last. Default false. */
  readonly first?: boolean | undefined;
  /** Capacity in MiB of data. Default 16. */
  readonly sizeMiB?: number | undefined;
  /**
   * The file of the host that holds it, data and behind it metadata. It is made when it is not there, and stays: another guest finds what
   * this one has written, and what it flushed outlives the host too. Default: a file that goes with the run.
   */
  readonly file?: string | undefined;
}

const MIB = 1024 * 1024;

/** PIF, protection information format, and the bytes of its tuple (NVM Command Set Specification 1.0, 5.2 and 5.3). */
const GUARDS = {
  crc16: { pif: 0, tupleSize: 8 },
  crc64: { pif: 2, tupleSize: 16 },
} as const;

/** QEMU's limit (hw/nvme NVME_MAX_NAMESPACES). */
const NAMESPACES_MAX = 256;
/** MS is a field of 16 bits, and the kernel keeps the size in 8. */
const METADATA_MAX = 255;
const SIZE_MIB_MAX = 1024 * 1024;

type Described = {
  readonly [Key in keyof Omit<NvmeNamespace, 'file'>]-?: NonNullable<NvmeNamespace[Key]>;
};

/** With its defaults. @throws ERR_OUT_OF_RANGE */
function described(namespace: NvmeNamespace): Described {
  const { blockSize, pi, guard = 'crc16', first = false, sizeMiB = 16 } = namespace;
  const refuse = (what: string): IntegrityError =>
    new IntegrityError('ERR_OUT_OF_RANGE', `NVMe namespace: ${what}`);
  if (blockSize !== 512 && blockSize !== 4096)
    throw refuse(`a block has 512 or 4096 bytes, not ${blockSize}`);
  if (!Object.hasOwn(GUARDS, guard)) throw refuse(`a guard is crc16 or crc64, not ${guard}`);
  if (![0, 1, 2, 3].includes(pi)) throw refuse(`protection types are 0 to 3, not ${pi}`);
  const tupleSize = pi === 0 ? 0 : GUARDS[guard].tupleSize;
  const { metadataSize = tupleSize } = namespace;
  const requireWhole = (what: string, value: number, min: number, max: number): void => {
    if (!Number.isInteger(value) || value < min || value > max)
      throw refuse(`${what} ${value} is not a whole number from ${min} to ${max}`);
  };
  requireWhole('bytes of metadata', metadataSize, tupleSize, METADATA_MAX);
  requireWhole('MiB', sizeMiB, 1, SIZE_MIB_MAX);
  return { blockSize, pi, guard, first, sizeMiB, metadataSize };
}

/** @throws ERR_OUT_OF_RANGE for a namespace that cannot be, or too many of them. */
export function requireNamespaces(namespaces: readonly NvmeNamespace[]): void {
  if (namespaces.length > NAMESPACES_MAX) {
    throw new IntegrityError(
      'ERR_OUT_OF_RANGE',
      `${namespaces.length} NVMe namespaces: at most ${NAMESPACES_MAX}`,
    );
  }
  namespaces.forEach(described);
}

/** Data and behind it metadata, as QEMU lays them out. */
function bytesOf(namespace: NvmeNamespace): number {
  const { sizeMiB, blockSize, metadataSize } = described(namespace);
  return ((sizeMiB * MIB) / blockSize) * (blockSize + metadataSize);
}

/** Makes the file that holds a namespace: sparse. */
export async function makeNamespaceFile(path: string, namespace: NvmeNamespace): Promise<void> {
  await writeFile(path, '', { flag: 'wx', mode: 0o600 });
  await truncate(path, bytesOf(namespace));
}

/**
 * Makes the file that the namespace names, or takes the one that is there. Errors: ERR_TESTBED for one that is no regular file (the guest
 * writes to none of the host's devices) or not as long as the namespace.
 */
export async function keptNamespaceFile(path: string, namespace: NvmeNamespace): Promise<void> {
  const there = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw unusable(path, error.message, error);
  });
  if (there === null) {
    return makeNamespaceFile(path, namespace).catch((error: Error) => {
      throw unusable(path, error.message, error);
    });
  }
  if (!there.isFile()) throw unusable(path, 'it is no regular file');
  const bytes = bytesOf(namespace);
  if (there.size !== bytes) throw unusable(path, `it has ${there.size} bytes, and the namespace ${bytes}`);
}

function unusable(path: string, why: string, cause?: Error): IntegrityError {
  return new IntegrityError('ERR_TESTBED', `${path} cannot hold the NVMe namespace: ${why}`, {
    advice:
      'Name a file that was made for a namespace of this format and size, or one that is not there yet.',
    cause,
  });
}

/** A namespace and the file that holds it. */
export interface NamespaceFile {
  readonly namespace: NvmeNamespace;
  readonly path: string;
}

/** One controller with the namespaces in their order, from NSID 1 on: /dev/nvme0n1, /dev/nvme0n2 and so on. */
export function nvmeArguments(files: readonly NamespaceFile[]): string[] {
  if (files.length === 0) return [];
  return [
    ...['-device', `nvme,id=nvme,serial=${NVME_SERIAL}`],
    ...files.flatMap(({ namespace, path }, index) => {
      const { blockSize, metadataSize, pi, guard, first } = described(namespace);
      const nsid = index + 1;
      // What is never to outlive the guest need not be synced.
      const cache = namespace.file === undefined ? 'unsafe' : 'writeback';
      const properties = {
        drive: `ns${nsid}`,
        nsid,
        logical_block_size: blockSize,
        physical_block_size: blockSize,
        ms: metadataSize,
        // Metadata in a buffer of its own: of an extended block the kernel's block layer sees no tuples.
        mset: 0,
        pi,
        pil: Number(first),
        pif: GUARDS[guard].pif,
      };
      return [
        ...['-drive', `if=none,id=ns${nsid},format=raw,cache=${cache},file=${optionValue(path)}`],
        ...[
          '-device',
          ['nvme-ns,bus=nvme', ...Object.entries(properties).map((pair) => pair.join('='))].join(),
        ],
      ];
    }),
  ];
}
