/**
 * The ways in which a block can be written: by which path, and with whose tuples.
 */
import type { Profile } from '../../pi/profile.js';
import type { PathName } from '../../words.js';
import type { Answer } from '../blocks.js';
import { blockSourceOf, type Disk } from '../disk.js';
import { writeBlock } from '../paths/block.js';
import { writeBlockPi } from '../paths/block-pi.js';
import { type PassthroughSource, writeInterleaved, writePlain } from '../paths/passthrough.js';
import { PROTECT, type ProtectField } from '../protected-range.js';
import type { Hold } from './hold.js';

export interface Blocks {
  readonly lba: bigint;
  /** Page-aligned, as the tuples are. */
  readonly data: Uint8Array;
  readonly tuples: Uint8Array | null;
}

export interface Way {
  readonly path: PathName;
  /** The descriptor that carries it. */
  readonly by: 'block' | 'sg';
  readonly carriesTuples: boolean;
  available(disk: Disk): Promise<boolean>;
  /** `again`: what must hold before it is sent again to a disk that was too busy for it. */
  send(disk: Disk, hold: Hold, blocks: Blocks, again: () => Promise<void>): Promise<Answer>;
}

export type WayName = 'plain' | 'interleaved' | 'interleaved unchecked' | 'block' | 'block-pi';

export const WAYS: Readonly<Record<WayName, Way>> = {
  /** WRPROTECT 000b: what becomes of the tuple is the disk's business. */
  plain: {
    path: 'passthrough',
    by: 'sg',
    carriesTuples: false,
    available: async ({ paths }) => paths.includes('passthrough'),
    send: (disk, hold, { lba, data }, again) => writePlain(sourceOf(disk, hold), lba, data, again),
  },
  interleaved: interleaved(PROTECT.checked),
  /** WRPROTECT 011b: stored as it is, right or wrong. */
  'interleaved unchecked': interleaved(PROTECT.unchecked),
  /** The kernel makes the tuples. */
  block: {
    path: 'block',
    by: 'block',
    carriesTuples: false,
    available: async ({ paths }) => paths.includes('block'),
    send: (disk, { block }, { lba, data }) => writeBlock(blockSourceOf(disk, block!), lba, data),
  },
  'block-pi': {
    path: 'block-pi',
    by: 'block',
    carriesTuples: true,
    available: async ({ paths }) => paths.includes('block-pi'),
    send: (disk, { block }, { lba, data, tuples }) =>
      writeBlockPi(
        { ...blockSourceOf(disk, block!), profile: disk.kernelProfile as Profile },
        lba,
        data,
        tuples!,
      ),
  },
};

function interleaved(protect: ProtectField): Way {
  return {
    path: 'passthrough',
    by: 'sg',
    carriesTuples: true,
    available: (disk) => disk.tuplesCross(protect),
    send: (disk, hold, { lba, data, tuples }, again) =>
      writeInterleaved(sourceOf(disk, hold), disk.diskProfile as Profile, lba, {
        data,
        tuples: tuples!,
        protect,
        again,
      }),
  };
}

function sourceOf({ device, blockSize }: Disk, { transports }: Hold): PassthroughSource {
  return { disk: device, transport: transports.sg, blockSize };
}
