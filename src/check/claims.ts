/**
 * Who is supposed to check what on which path. GOOD from somebody who checks nothing says nothing.
 */
import type { Disk } from '../device/disk.js';
import type { Proof } from '../device/proof.js';
import { PROTECT } from '../device/protected-range.js';
import type { SysfsDisk } from '../sysfs/disks.js';
import type { Check, PathName } from '../words.js';

/** The tags that a checker is supposed to check in reads on one path, or why it checks none. */
export type Claim = readonly Check[] | string;

export interface Claims {
  /** Why the software has nothing to judge on a path by which no tuple came. */
  readonly software: Readonly<Record<PathName, string>>;
  readonly kernel: Readonly<Record<PathName, Claim>>;
  readonly hba: Readonly<Record<PathName, Claim>>;
  readonly device: Readonly<Record<PathName, Claim>>;
}

const PLAIN_READ = 'a READ without RDPROTECT transfers no tuples';

/** What the kernel was supposed to check is only so while its switches and the profile stay as they were: those that are not, in words. */
export function switchedMeanwhile(
  { sysfs }: Disk,
  sysfsNow: SysfsDisk | null,
  names: readonly ('format' | 'readVerify' | 'writeGenerate')[],
): string[] {
  const now = sysfsNow?.integrity;
  const then = sysfs.integrity;
  return names
    .filter((name) => now?.[name] !== then[name])
    .map(
      (name) =>
        `integrity: ${name} was ${then[name]} and is ${now?.[name]}: verdicts of the kernel say nothing`,
    );
}

/** By RDPROTECT: the tags that a disk checks of what it sends (SBC-4), or why none. */
const READ_CHECKS: readonly Claim[] = [
  PLAIN_READ,
  ['guard', 'app', 'ref'],
  ['app', 'ref'],
  'RDPROTECT 011b: the disk checks nothing',
  ['guard'],
  ['guard', 'app', 'ref'],
  'RDPROTECT 110b is reserved',
  'RDPROTECT 111b is reserved',
];

/** From what sysfs, the disk's own pages and the proof say, of reads with this RDPROTECT by SG_IO. */
export function claimsOf(disk: Disk, proof: Proof | null, rdprotect: number = PROTECT.checked): Claims {
  const silent = 'a host adapter that checks does not say so';
  const device = deviceOnBlockPaths(disk);
  const crosses = proof?.result === 'crosses';
  const unproven = proof?.text ?? 'the disk takes no SCSI commands';
  const noTuples = rdprotect === 0 ? PLAIN_READ : crosses ? 'the disk sent no tuples' : unproven;
  return {
    software: {
      passthrough: noTuples,
      block: disk.kernelProfile
        ? 'the block layer keeps its tuples to itself'
        : 'the block layer has no tuples for this disk',
      'block-pi': 'the kernel delivered no tuples',
    },
    kernel: {
      passthrough: 'SG_IO passes the block layer by',
      block: kernelOnBlock(disk),
      'block-pi': 'the kernel does not check tuples that the caller supplies',
    },
    hba: { passthrough: silent, block: silent, 'block-pi': silent },
    device: {
      // T10 SBC-4 has a plain READ checked as well, but targets that show no tuples do not prove to do so.
      passthrough: crosses ? both(READ_CHECKS[rdprotect]!, deviceChecks(disk)) : noTuples,
      block: device,
      'block-pi': device,
    },
  };
}

/** What a command asks for and the disk says that it does. */
function both(asked: Claim, does: Claim): Claim {
  if (typeof asked === 'string') return asked;
  if (typeof does === 'string') return does;
  const checks = does.filter((check) => asked.includes(check));
  return checks.length > 0 ? checks : `the disk says that it checks ${does.join(' and ')} tags alone`;
}

function kernelOnBlock({ kernelProfile, sysfs }: Disk): Claim {
  if (!kernelProfile?.guard) return 'the block layer has no integrity profile for this disk';
  if (!sysfs.integrity.readVerify) return 'integrity/read_verify is 0';
  return kernelProfile.type === 3 ? ['guard'] : ['guard', 'ref'];
}

function deviceOnBlockPaths(disk: Disk): Claim {
  const checks = deviceChecks(disk);
  const { scsiDisk, host } = disk.sysfs;
  if (typeof checks === 'string' || scsiDisk === null) return checks;
  // The sd driver sends RDPROTECT only where the host offers DIF of the disk's type.
  if (scsiDisk.protectionType === 0) {
    return `host${host?.number ?? ''} does not offer DIF type ${disk.diskProfile?.type}`;
  }
  return disk.kernelProfile === null
    ? 'DIF only: tuples travel, if at all, between adapter and disk, and no path shows them'
    : checks;
}

/** The tags that a disk says it checks (VPD 86h), or why none. */
export function deviceChecks({ facts, diskProfile }: Disk): Claim {
  if (facts === null) return 'the disk does not say what it checks';
  if (diskProfile === null) return 'the disk is formatted without protection';
  const { extended } = facts;
  if (extended === null) return 'the disk has no VPD 86h, which says what it checks';
  const checks: [boolean, Check][] = [
    [extended.guardCheck, 'guard'],
    [extended.appCheck, 'app'],
    [extended.refCheck && diskProfile.type !== 3, 'ref'],
  ];
  const said = checks.filter(([does]) => does).map(([, check]) => check);
  return said.length > 0 ? said : 'the disk says that it checks no tag (VPD 86h)';
}
