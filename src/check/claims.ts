/**
 * Who is supposed to check on which path. GOOD from somebody who checks nothing says nothing.
 */
import type { Disk } from '../device/disk.js';
import type { Proof } from '../device/proof.js';
import type { PathName } from '../words.js';

/** Null when the checker is supposed to check reads on this path, else why it is not. */
export type Claim = string | null;

export interface Claims {
  /** Why the software has nothing to judge on a path by which no tuple came. */
  readonly software: Readonly<Record<PathName, string>>;
  readonly kernel: Readonly<Record<PathName, Claim>>;
  readonly hba: Readonly<Record<PathName, Claim>>;
  readonly device: Readonly<Record<PathName, Claim>>;
}

/** From what sysfs, the disk's own pages and the proof say. */
export function claimsOf(disk: Disk, proof: Proof | null): Claims {
  const silent = 'a host adapter that checks does not say so';
  const device = deviceOnBlockPaths(disk);
  const noTuples = proof?.text ?? 'the disk takes no SCSI commands';
  return {
    software: {
      passthrough: noTuples,
      block: 'the block layer keeps its tuples to itself',
      'block-pi': 'the kernel delivered no tuples',
    },
    kernel: {
      passthrough: 'SG_IO passes the block layer by',
      block: kernelOnBlock(disk),
      'block-pi': 'the kernel does not check tuples that the caller supplies',
    },
    hba: { passthrough: silent, block: silent, 'block-pi': silent },
    device: {
      passthrough: proof?.result === 'crosses' ? deviceChecks(disk) : noTuples,
      block: device,
      'block-pi': device,
    },
  };
}

function kernelOnBlock({ kernelProfile, sysfs }: Disk): Claim {
  if (kernelProfile === null || kernelProfile.guard === null)
    return 'the block layer has no integrity profile for this disk';
  if (!sysfs.integrity.readVerify) return 'integrity/read_verify is 0';
  return null;
}

function deviceOnBlockPaths(disk: Disk): Claim {
  const checks = deviceChecks(disk);
  const { scsiDisk, host } = disk.sysfs;
  if (checks !== null || scsiDisk === null) return checks;
  // The sd driver sends RDPROTECT only where the host offers DIF of the disk's type.
  if (scsiDisk.protectionType === 0)
    return `host${host?.number ?? ''} does not offer DIF type ${disk.diskProfile?.type}`;
  return disk.kernelProfile === null
    ? 'no tuples travel: the block layer has no integrity profile for this disk'
    : null;
}

function deviceChecks({ facts, diskProfile }: Disk): Claim {
  if (facts === null) return 'the disk does not say what it checks';
  if (diskProfile === null) return 'the disk is formatted without protection';
  if (facts.extended === null) return 'the disk has no VPD 86h, which says what it checks';
  return facts.extended.guardCheck ? null : 'the disk says that it does not check guards (VPD 86h GRD_CHK 0)';
}
