/**
 * The kernel's struct bio as far as integrity sees it: where an I/O goes, its segments, and how far it has
 * come.
 */
import { IntegrityError } from '../errors.js';
import type { Profile } from '../pi/profile.js';
import { type BioSet, fsBioSet } from './bioset.js';
import { type BioIterator, type BioVec, bytesOf, iteratorOver, requireInside, SECTOR } from './bvec.js';
import type { BioIntegrityPayload } from './payload.js';
import type { Semantics } from './semantics.js';
import type { BlkStatus } from './status.js';
import type { Workqueue } from './workqueue.js';

/** Operations other than reads and writes carry no integrity, but Linux 3.10 prepares some. */
export type BioOp = 'read' | 'write' | 'discard' | 'flush';

/** The disk as the block layer knows it. */
export interface BioDevice {
  readonly profile: Profile;
  readonly semantics: Semantics;
  /** `integrity/read_verify` and `integrity/write_generate` in sysfs. Default true, as the kernel's. */
  readonly readVerify?: boolean;
  readonly writeGenerate?: boolean;
  /** The queue limit max_integrity_segments. Default: no limit. */
  readonly maxIntegritySegments?: number;
  /** The queue limit virt_boundary, as a mask. Default 0, none. */
  readonly virtBoundary?: number;
  /** Where reads wait to be verified. Default: nowhere, they are verified when they end. */
  readonly kintegrityd?: Workqueue;
}

interface Place {
  readonly device: BioDevice;
  /**
   * In intervals from the start of the whole disk, also on a partition: the logical blocks of SCSI and NVMe
   * disks.
   */
  readonly lba: bigint;
  /** Where its payload comes from. Default: a set as fs_bio_set; null for a bio of bio_kmalloc. */
  readonly bioset?: BioSet | null;
}

/** The memory of an I/O is `data`, one segment, or `segments`: either way a whole number of intervals. */
export type BioOptions = Place & ({ readonly data: Uint8Array } | { readonly segments: readonly BioVec[] });

const SECTOR_MAX = 2n ** 64n - 1n;

export class Bio {
  readonly device: BioDevice;
  readonly op: BioOp;
  readonly bioset: BioSet | null;
  /** Its own list of the caller's memory; Linux 3.10 shortens a segment that is done in part. */
  readonly segments: BioVec[];
  /** Whether it shares the data of another (BIO_CLONED). */
  readonly cloned: boolean;
  /** Where the I/O stands: at its beginning, and moved on by bioAdvance as it completes. */
  iterator: BioIterator;
  status: BlkStatus = 'OK';
  /** Whether it has ended: its `endIo`, if it has one, was called. */
  ended = false;
  /** Completed, and in the queue of kintegrityd to be verified. */
  waits = false;
  /** bi_end_io: called once, when the bio has ended. */
  endIo: ((bio: Bio) => void) | null = null;
  /** Attached by prep; gone after the end of the I/O, but in 3.10, where it stays as long as the bio. */
  integrity: BioIntegrityPayload | null = null;

  /** @internal */
  constructor(parts: {
    op: BioOp;
    device: BioDevice;
    bioset: BioSet | null;
    segments: readonly BioVec[];
    iterator: BioIterator;
    cloned?: boolean;
  }) {
    this.op = parts.op;
    this.device = parts.device;
    this.bioset = parts.bioset;
    this.segments = [...parts.segments];
    this.iterator = parts.iterator;
    this.cloned = parts.cloned ?? false;
  }

  /**
   * An I/O that fills its segments.
   *
   * @throws ERR_BAD_LENGTH, ERR_OUT_OF_RANGE when lengths or address do not fit.
   */
  static read(options: BioOptions): Bio {
    return withMemory('read', options);
  }

  /**
   * An I/O that sends its segments.
   *
   * @throws ERR_BAD_LENGTH, ERR_OUT_OF_RANGE when lengths or address do not fit.
   */
  static write(options: BioOptions): Bio {
    return withMemory('write', options);
  }

  /**
   * A discard of so many intervals; it has no memory.
   *
   * @throws ERR_OUT_OF_RANGE when the address does not fit.
   */
  static discard(options: Place & { readonly intervals: number }): Bio {
    return withoutMemory('discard', options, options.intervals);
  }

  /** A flush: nothing but the wish that what was written is on the medium. */
  static flush({ device }: { readonly device: BioDevice }): Bio {
    return withoutMemory('flush', { device, lba: 0n }, 0);
  }
}

function withMemory(op: 'read' | 'write', options: BioOptions): Bio {
  const { device, bioset = fsBioSet() } = options;
  requireDevice(device);
  const segments =
    'segments' in options
      ? options.segments
      : [{ buffer: options.data, offset: 0, length: options.data.length }];
  segments.forEach(requireInside);
  const size = bytesOf(segments);
  const { interval } = device.profile;
  if (size % interval !== 0) {
    throw new IntegrityError(
      'ERR_BAD_LENGTH',
      `${size} bytes are no whole number of intervals of ${interval}`,
    );
  }
  const sector = sectorOf(options, size);
  return new Bio({ op, device, bioset, segments, iterator: iteratorOver(segments, sector) });
}

function withoutMemory(op: 'discard' | 'flush', place: Place, intervals: number): Bio {
  const { device, bioset = fsBioSet() } = place;
  requireDevice(device);
  const size = intervals * device.profile.interval;
  if (!(Number.isSafeInteger(size) && size >= 0)) {
    throw new IntegrityError('ERR_OUT_OF_RANGE', `intervals ${intervals} must be a whole number`);
  }
  const iterator = { sector: sectorOf(place, size), size, index: 0, done: 0, moved: 0 };
  return new Bio({ op, device, bioset, segments: [], iterator });
}

/** @throws ERR_USAGE for what is no device: its semantics are a row of the table, not its name. */
function requireDevice(device: BioDevice | undefined): void {
  if (typeof device?.profile?.interval === 'number' && typeof device.semantics === 'object') return;
  throw new IntegrityError('ERR_USAGE', 'device must have a profile and semantics', {
    advice: "{ profile: profileByName('T10-DIF-TYPE1-CRC'), semantics: semanticsByName('6.1') }",
  });
}

function sectorOf({ device, lba }: Place, size: number): bigint {
  if (typeof lba !== 'bigint')
    throw new IntegrityError('ERR_OUT_OF_RANGE', `lba ${String(lba)} must be a bigint`);
  const sector = lba * BigInt(device.profile.interval / SECTOR);
  if (lba >= 0n && sector + BigInt(size / SECTOR) <= SECTOR_MAX) return sector;
  throw new IntegrityError('ERR_OUT_OF_RANGE', `lba ${lba} does not lie on any disk`);
}
