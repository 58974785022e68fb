/**
 * By whom the tuples of a disk are checked, and how they come to him.
 */
import type { Answer } from '../device/blocks.js';
import type { Disk } from '../device/disk.js';
import { plainAnswerOf } from '../device/paths/passthrough.js';
import { PROTECT, protectedCdbSize, refTagOf } from '../device/protected-range.js';
import type { ReadVerdict } from '../device/read-verdict.js';
import { IntegrityError } from '../errors.js';
import { encodeCdb } from '../scsi/commands.js';
import { unreadableBlockOf } from '../scsi/sense.js';
import type { Check, Checker, PathName } from '../words.js';
import { type Claims, claimsOf, deviceChecks } from './claims.js';

/** What a first look said: the software's verdict; `passed` by a checker who was silent; null when it must be looked at again. */
export type Verdict = ReadVerdict | 'passed' | null;

/** Of the first blocks of those that were to be looked at: of one transfer, or of several that are clean. */
export interface Look {
  readonly blocks: number;
  readonly verdict: Verdict;
  /** Whether something was wrong with what was looked at last: with all of it, or, behind blocks that are clean, with the transfer that follows them. */
  readonly wrong: boolean;
  /** Without a verdict, the block that the answer named. */
  readonly named?: bigint | null;
}

export interface ScrubWay {
  readonly checker: Extract<Checker, 'software' | 'kernel' | 'device'>;
  readonly path: PathName;
  /** What he checks. */
  readonly checks: readonly Check[];
  /** What is sent, in the field's words. */
  readonly by: string;
  /** Why the software does not check; null when it does. */
  readonly notSoftware: string | null;
  look(lba: bigint, blocks: number, signal?: AbortSignal): Promise<Look>;
}

/**
 * The software where a path shows it the tuples; else the kernel where it says that it checks; else the device.
 *
 * @throws ERR_NO_PATH when nobody checks.
 */
export async function wayOf(disk: Disk, signal?: AbortSignal): Promise<ScrubWay> {
  const proof = await disk.proof(signal);
  const claims = claimsOf(disk, proof);
  if (proof?.result === 'crosses') return bySoftware(disk, 'passthrough', 'READ with RDPROTECT 001b');
  if (disk.paths.includes('block-pi') && disk.kernelProfile?.guard)
    return bySoftware(disk, 'block-pi', 'io_uring with tuples');
  const notSoftware = whyNotSoftware(disk, claims);
  return (
    byBlockPath(disk, claims, 'kernel', notSoftware) ??
    byBlockPath(disk, claims, 'device', notSoftware) ??
    byVerify(disk, notSoftware) ??
    nobody(disk, claims, notSoftware)
  );
}

/** Tuples of a block, as they are counted when it is looked at so. */
export function intervalsPerBlock(disk: Disk, { path }: Pick<ScrubWay, 'path'>): number {
  return disk.blockSize / ((disk.profileBy(path) ?? disk.profile)?.interval ?? disk.blockSize);
}

function bySoftware(disk: Disk, path: 'passthrough' | 'block-pi', by: string): ScrubWay {
  const counts = disk.profileBy(path)?.type !== 3;
  return {
    checker: 'software',
    path,
    checks: counts ? ['guard', 'ref'] : ['guard'],
    by,
    notSoftware: null,
    look: (lba, blocks, signal) => disk.judge(path, lba, blocks, signal),
  };
}

function whyNotSoftware(disk: Disk, { software }: Claims): string {
  const pi = disk.noBlockPi === null ? [] : [`block-pi: ${disk.noBlockPi}`];
  return [`passthrough: ${software.passthrough}`, ...pi].join('; ');
}

function byBlockPath(
  disk: Disk,
  claims: Claims,
  checker: 'kernel' | 'device',
  notSoftware: string,
): ScrubWay | null {
  const checks = claims[checker].block;
  if (!disk.paths.includes('block') || typeof checks === 'string') return null;
  return {
    checker,
    path: 'block',
    checks,
    by: 'reads through the block layer',
    notSoftware,
    look: async (lba, blocks, signal) => {
      const came = await disk.readThrough(lba, blocks, signal);
      // An error is that of a request, in which there may be neighbours.
      const wrong = false;
      return came > 0
        ? { blocks: came, verdict: 'passed', wrong }
        : { blocks: oneTransfer(disk, blocks), verdict: null, wrong };
    },
  };
}

/** VERIFY transfers nothing: the disk compares its own tuples (SBC-4, VRPROTECT 001b with BYTCHK 00b). */
function byVerify(disk: Disk, notSoftware: string): ScrubWay | null {
  const checks = deviceChecks(disk);
  if (disk.transport === null || disk.diskProfile === null || typeof checks === 'string') return null;
  const size = protectedCdbSize(disk.diskProfile);
  return {
    checker: 'device',
    path: 'passthrough',
    checks,
    by: `VERIFY(${size}) with VRPROTECT 001b`,
    notSoftware,
    look: async (lba, all, signal) => {
      const blocks = oneTransfer(disk, all);
      const answer = await verifyByDisk(disk, lba, blocks, signal);
      return answer.kind === 'good'
        ? { blocks, verdict: 'passed', wrong: false }
        : { blocks, verdict: null, wrong: true, named: blockNamedBy(answer) };
    },
  };
}

/** The one of the blocks that the answer to a command says it is of: the first that is bad, by INFORMATION of the sense (SBC-4). */
export function blockNamedBy(answer: Answer): bigint | null {
  if (answer.kind === 'failed') return unreadableBlockOf(answer.error);
  return answer.kind === 'refused' ? (answer.lba ?? null) : null;
}

const oneTransfer = ({ transferBlocksMax }: Disk, blocks: number) => Math.min(blocks, transferBlocksMax);

/** Has the disk check blocks by itself. Throws when it is gone. */
export async function verifyByDisk(
  disk: Disk,
  lba: bigint,
  blocks: number,
  signal?: AbortSignal,
): Promise<Answer> {
  const profile = disk.diskProfile!;
  const size = protectedCdbSize(profile);
  const expected = {
    refTag: refTagOf({ profile, blockSize: disk.blockSize, lba }),
    appTag: 0,
    appTagMask: 0,
  };
  const fields = { lba, blocks, protect: PROTECT.checked, ...(size === 32 && expected) };
  const cdb = encodeCdb(`VERIFY(${size})`, fields);
  const reply = await disk.transport!.send({ cdb, direction: 'none', data: null, signal });
  return plainAnswerOf(reply, disk.device, cdb);
}

function nobody(disk: Disk, { kernel }: Claims, notSoftware: string): never {
  const device = deviceChecks(disk);
  const says = (claim: readonly Check[] | string) =>
    typeof claim === 'string' ? claim : 'no command reaches it';
  throw new IntegrityError(
    'ERR_NO_PATH',
    `${disk.device}: nobody can check its tuples: software: ${notSoftware}; kernel: ${says(kernel.block)}; device: ${says(device)}`,
    { disk: disk.device, advice: `See blk-integrity show ${disk.device}.` },
  );
}
