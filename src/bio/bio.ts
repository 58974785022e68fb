/**
 * The kernel's struct bio as far as integrity sees it: where an I/O goes, its segments, and how far it has
 * come.
 */
import { IntegrityError } from '../errors.js';
import type { Profile } from '../pi/profile.js';
import { advanceIterator, type BioIterator, type BioVec, requireInside } from './bvec.js';
import type { BioIntegrityPayload } from './payload.js';
import type { Semantics } from './semantics.js';
import type { BlkStatus } from './status.js';

/** Other operations carry no integrity of the kernel's making and are not modelled. */
export type BioOp = 'read' | 'write';

/** The disk as the block layer knows it. */
export interface BioDevice {
  readonly profile: Profile;
  readonly semantics: Semantics;
  /** `integrity/read_verify` and `integrity/write_generate` in sysfs. */
  readonly readVerify: boolean;
  readonly writeGenerate: boolean;
}

/** The memory of an I/O is `data`, one segment, or `segments`: either way a whole number of intervals. */
export type BioOptions = {
  readonly device: BioDevice;
  /**
   * In intervals from the start of the whole disk, also on a partition: the logical blocks of SCSI and NVMe
   * disks.
   */
  readonly lba: bigint;
} & ({ readonly data: Uint8Array } | { readonly segments: readonly BioVec[] });

const SECTOR = 512;
const SECTOR_MAX = 2n ** 64n - 1n;

export class Bio {
  readonly device: BioDevice;
  readonly op: BioOp;
  readonly segments: readonly BioVec[];
  /** Where the I/O stands: at its beginning, and moved on by `advance` as it completes. */
  iterator: BioIterator;
  status: BlkStatus = 'OK';
  /** Attached by prep, gone after the end of the I/O. */
  integrity: BioIntegrityPayload | null = null;

  private constructor(op: BioOp, options: BioOptions) {
    const { device, lba } = options;
    this.device = device;
    this.op = op;
    this.segments =
      'segments' in options
        ? options.segments
        : [{ buffer: options.data, offset: 0, length: options.data.length }];
    this.segments.forEach(requireInside);
    const size = this.segments.reduce((total, { length }) => total + length, 0);
    const { interval } = device.profile;
    if (size % interval !== 0) {
      throw new IntegrityError(
        'ERR_BAD_LENGTH',
        `${size} bytes are no whole number of intervals of ${interval}`,
      );
    }
    const sector = lba * BigInt(interval / SECTOR);
    if (lba < 0n || sector + BigInt(size / SECTOR) > SECTOR_MAX) {
      throw new IntegrityError('ERR_OUT_OF_RANGE', `lba ${lba} does not lie on any disk`);
    }
    this.iterator = { sector, size, index: 0, done: 0 };
  }

  /**
   * An I/O that fills its segments.
   *
   * @throws ERR_BAD_LENGTH, ERR_OUT_OF_RANGE when lengths or address do not fit.
   */
  static read(options: BioOptions): Bio {
    return new Bio('read', options);
  }

  /**
   * An I/O that sends its segments.
   *
   * @throws ERR_BAD_LENGTH, ERR_OUT_OF_RANGE when lengths or address do not fit.
   */
  static write(options: BioOptions): Bio {
    return new Bio('write', options);
  }

  /**
   * Moves on as completion does: bio_advance, which takes the payload along (bio_integrity_advance, in
   * intervals since Linux 5.17).
   *
   * @throws ERR_OUT_OF_RANGE beyond the end
   */
  advance(bytes: number): void {
    this.iterator = advanceIterator(this.segments, this.iterator, bytes);
    this.integrity?.advance(Math.floor(bytes / this.device.profile.interval));
  }
}
