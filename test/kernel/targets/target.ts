/**
 * A disk as the random I/O sees it: the block layer's disk, and what can be done behind its back.
 */
import type { Disk } from 'blk-integrity';

/** One disk, made for the test and removed with it. */
export interface Target extends AsyncDisposable {
  /** `scsi_debug dif=1 dix=1, 512 bytes, CRC`. */
  readonly name: string;
  readonly disk: Disk;
  /** The metadata on the medium, as it lies there; null where nothing shows it (scsi_debug before Linux 6.14). */
  readonly readMetadata: ((lba: bigint, blocks: number) => Promise<Uint8Array>) | null;
  /** Puts data and metadata on the medium as given, unchecked; null where that cannot be done. */
  readonly plant: ((lba: bigint, data: Uint8Array, metadata: Uint8Array) => Promise<void>) | null;
  /** Changes data under its tuple; null where that cannot be done. */
  readonly plantData: ((lba: bigint, data: Uint8Array) => Promise<void>) | null;
}

export interface TargetMaker {
  readonly name: string;
  make(): Promise<Target>;
}
