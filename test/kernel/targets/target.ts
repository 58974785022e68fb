/**
 * A disk as the random I/O sees it: the block layer's disk, and what can be done behind its back.
 */
import type { Disk } from 'blk-integrity';

/** What the device itself compares, in its order, before the kernel sees the block. */
export interface DeviceRule {
  readonly checks: readonly ('guard' | 'ref')[];
  /** What exempts a block: `app`, application tag FFFFh whatever the type; `t10`, in type 3 a reference tag of all ones as well. */
  readonly exempts: 'app' | 't10';
}

/** One disk, made for the test and removed with it. */
export interface Target extends AsyncDisposable {
  /** `scsi_debug dif=1 dix=1, 512 bytes, CRC`. */
  readonly name: string;
  readonly disk: Disk;
  // Of these three, one call is for at most disk.transferBlocksMax blocks.

  /** The metadata on the medium, as it lies there; null where nothing shows it (scsi_debug before Linux 6.14). */
  readonly readMetadata: ((lba: bigint, blocks: number) => Promise<Uint8Array>) | null;
  /** Puts data and metadata on the medium as given, unchecked; null where that cannot be done. */
  readonly plant: ((lba: bigint, data: Uint8Array, metadata: Uint8Array) => Promise<void>) | null;
  /** Changes data under its tuple; null where that cannot be done. */
  readonly plantData: ((lba: bigint, data: Uint8Array) => Promise<void>) | null;
  /** Left out where it is not known: then who refused a block, and for what, is not compared. */
  readonly deviceRule?: DeviceRule;
  /** The disk compares reference tags when they are written, so that no wrong one can be planted. */
  readonly refTagFixed?: boolean;
}

export interface TargetMaker {
  readonly name: string;
  make(): Promise<Target>;
}
