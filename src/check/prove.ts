/**
 * The active negative test: plants one genuine fault on a testbed disk, asks every checker on every path, and puts the block back.
 */
import type { Answer, BlocksRead } from '../device/blocks.js';
import type { Disk } from '../device/disk.js';
import { PROTECT, seedOf } from '../device/protected-range.js';
import { type ClaimOptions, claimRegion } from '../device/safeguard/claim.js';
import { testbedKind } from '../device/safeguard/ours.js';
import { requireAllowed } from '../device/safeguard/permission.js';
import type { Region } from '../device/safeguard/region.js';
import { IntegrityError } from '../errors.js';
import { defaultEngine } from '../pi/engine.js';
import type { Finding, ProveReport, RangeReport } from '../report/model.js';
import { type Checker, type PathName, READ_BY, type Verdict } from '../words.js';
import { checkRange, rulesOf } from './crosscheck.js';
import { finding } from './judge.js';
import { tuplesBy } from './mirror.js';
import { summarise } from './summary.js';

export interface ProveOptions extends ClaimOptions {
  /** The block to plant the fault in; the middle of the disk without it. */
  readonly lba?: bigint | undefined;
  /** Called with each step in words, before it is taken. */
  readonly onStep?: (step: string) => void;
}

/** The bit that is flipped: in the middle of the block, so that no checker can miss it by looking at its ends alone. */
const FLIPPED_BIT = 0x10;

/** Verdicts of somebody who noticed. */
const REFUSALS: readonly Verdict[] = ['guard', 'app', 'ref', 'protection'];

/**
 * Changes one block's data under its tuple and reads it by every path. Where tuples cross SG_IO the changed data is written with the old
 * tuple (WRPROTECT 011b), else by a plain SG_IO write.
 * Errors: ERR_NOT_OURS, ERR_BUSY, ERR_OUT_OF_RANGE, ERR_CANNOT_PLANT, ERR_ABORTED (the block is back as it was), ERR_RESTORE.
 */
export async function prove(disk: Disk, options: ProveOptions = {}): Promise<ProveReport> {
  const { signal, onStep = () => {} } = options;
  const lba = options.lba ?? disk.blocks / 2n;
  requireAllowed(disk, options);
  const crosses = await disk.tuplesCross(PROTECT.unchecked, signal);
  if (!crosses && !keepsTuples(disk)) {
    throw new IntegrityError(
      'ERR_CANNOT_PLANT',
      `${disk.device} makes new, right tuples for every plain write: no fault can be planted by SG_IO`,
      {
        disk: disk.device,
        advice:
          'Use a scsi_debug or an emulated disk, or edit the tuples in the file behind an LIO fileio disk.',
      },
    );
  }
  onStep(`claim block ${lba} and save it`);
  await using region = await claimRegion(disk, { lba, blocks: 1 }, options);
  await makeCheckable(region, onStep);
  await requireClean(disk, lba, signal);

  const was = region.savedData();
  const byte = was.length >> 1;
  const planted = was.slice();
  planted[byte]! ^= FLIPPED_BIT;
  const how = crosses ? 'an SG_IO write with the old tuple' : 'a plain SG_IO write';
  onStep(`flip a bit of byte ${byte} of block ${lba} by ${how}`);
  signal?.throwIfAborted();
  const answer = crosses
    ? await region.write('passthrough', lba, planted, (await mediumOf(disk, lba)).tuples!, { checked: false })
    : await region.write('passthrough', lba, planted);
  requireGood(disk, lba, 'written', answer);

  onStep('see by an independent read that the fault is on the medium');
  const vacuous = await whyVacuous(disk, lba, planted, signal);
  onStep('read the block by every path');
  const { range, findings } = await checkRange(disk, await rulesOf(disk, signal), { lba, blocks: 1 }, signal);
  // An application reads through the block layer; a disk without one is read by SG_IO, with RDPROTECT.
  const path = disk.paths.includes('block') ? 'block' : 'passthrough';
  const delivered = await deliveredBy(disk, path, lba, planted, range, signal);
  onStep('put the block back');
  const restored = await region.restore();
  await requireClean(disk, lba);

  return {
    verb: 'prove',
    disk: await summarise(disk),
    fault: { lba: Number(lba), byte, was: was[byte]!, now: planted[byte]! },
    path,
    outcome: vacuous !== null ? 'vacuous' : delivered ? 'delivered' : 'caught',
    why: vacuous,
    ranges: [range],
    findings: delivered ? [...findings, deliveredFinding(lba, path)] : findings,
    ...witnesses(range),
    restored: restored,
  };
}

/** Whether a plain write leaves the old tuple where it is, as scsi_debug does, or there is none. */
function keepsTuples({ sysfs, facts, diskProfile }: Disk): boolean {
  const kind = testbedKind(sysfs, facts);
  return kind === 'scsi_debug' || (kind !== 'lio-fileio' && diskProfile === null);
}

async function mediumOf(disk: Disk, lba: bigint, signal?: AbortSignal): Promise<BlocksRead> {
  const read = await disk.readMedium(lba, 1, signal);
  requireGood(disk, lba, 'read', read.answer);
  return read;
}

/**
 * A fresh disk is escaped all over, and where no path shows tuples nobody knows: one write with a tuple of the kernel's, or ours, makes it
 * checkable.
 */
async function makeCheckable(region: Region, onStep: (step: string) => void): Promise<void> {
  const { disk, range } = region;
  const path = disk.kernelProfile === null ? 'passthrough' : 'block';
  const profile = disk.profile;
  if (profile === null || !disk.paths.includes(path)) return;
  if (path === 'passthrough' && !(await disk.tuplesCross(PROTECT.checked))) return;
  const [data, tuples] = [region.savedData(), region.savedTuples()];
  if (tuples !== null) {
    const seed = seedOf({ profile, blockSize: disk.blockSize, lba: range.lba });
    const { escaped } = defaultEngine().verify(data, tuples, { profile, layout: 'separate', seed });
    if (escaped === 0) return;
  }
  const by = path === 'block' ? 'through the block layer' : 'with a new tuple';
  onStep(`write the same data ${by}, so that block ${range.lba} has a tuple that is checked`);
  const own = path === 'block' ? undefined : tuplesBy(path, disk, range.lba, data);
  requireGood(disk, range.lba, 'written', await region.write(path, range.lba, data, own));
}

function requireGood(disk: Disk, lba: bigint, what: 'read' | 'written', answer: Answer): void {
  if (answer.kind === 'good') return;
  const why = answer.kind === 'failed' ? answer.error.message : answer.text;
  throw new IntegrityError('ERR_CANNOT_PLANT', `${disk.device}: block ${lba} cannot be ${what}: ${why}`, {
    disk: disk.device,
  });
}

/** A block that is refused already proves nothing. */
async function requireClean(disk: Disk, lba: bigint, signal?: AbortSignal): Promise<void> {
  for (const path of disk.paths) {
    const { answer } = await disk.read(path, lba, 1, signal);
    if (answer.kind === 'good') continue;
    const why = answer.kind === 'failed' ? answer.error.message : answer.text;
    throw new IntegrityError(
      'ERR_CANNOT_PLANT',
      `${disk.device}: block ${lba} cannot be read by ${path} without any fault planted: ${why}`,
      {
        disk: disk.device,
        advice: 'Choose another block: --lba N.',
      },
    );
  }
}

/** Why the fault is not one: it is not on the medium, or the disk made a new tuple for it. Null when it is genuine. */
async function whyVacuous(
  disk: Disk,
  lba: bigint,
  planted: Uint8Array,
  signal?: AbortSignal,
): Promise<string | null> {
  const medium = await mediumOf(disk, lba, signal);
  if (medium.data === null || Buffer.compare(medium.data, planted) !== 0)
    return 'an independent read does not find the changed data on the medium';
  const path = medium.tuples === null ? 'block-pi' : 'passthrough';
  const profile = disk.profileBy(path);
  if (profile === null || !disk.paths.includes(path)) return null;
  const tuples = medium.tuples ?? (await disk.read(path, lba, 1, signal)).tuples;
  if (tuples === null) return null;
  const seed = seedOf({ profile, blockSize: disk.blockSize, lba });
  const { ok } = defaultEngine().verify(planted, tuples, { profile, layout: 'separate', seed });
  return ok ? 'the tuple on the medium fits the changed data: the disk made a new one' : null;
}

/** An application's read: whether it got the wrong data. What is neither that nor a refusal tells nothing and is thrown. */
async function deliveredBy(
  disk: Disk,
  path: PathName,
  lba: bigint,
  planted: Uint8Array,
  range: RangeReport,
  signal?: AbortSignal,
): Promise<boolean> {
  const { answer, data } = await disk.read(path, lba, 1, signal);
  const seen = range.cells.some(
    (cell) =>
      cell.path === path && cell.checker !== 'software' && REFUSALS.some((verdict) => cell.counts[verdict]),
  );
  if (answer.kind === 'failed') throw answer.error;
  if (answer.kind === 'refused' && seen) return false;
  if (answer.kind === 'good' && !seen && data !== null && Buffer.compare(data, planted) === 0) return true;
  throw new IntegrityError(
    'ERR_IO',
    `${disk.device}: two reads of block ${lba} by ${path} ended differently`,
    {
      disk: disk.device,
      advice: 'Something else works on this disk: try again when it is alone.',
    },
  );
}

/** Who noticed the fault, as `checker by path`, and which checkers did so by no path. */
function witnesses({ cells }: RangeReport): { noticed: string[]; silent: Checker[] } {
  const noticing = cells.filter(({ counts }) => REFUSALS.some((verdict) => counts[verdict]));
  const silent = new Set(cells.map(({ checker }) => checker));
  for (const { checker } of noticing) silent.delete(checker);
  return { noticed: noticing.map(({ checker, path }) => `${checker} by ${path}`), silent: [...silent] };
}

function deliveredFinding(lba: bigint, path: ProveReport['path']): Finding {
  const text = `wrong data was delivered with success to ${READ_BY[path]}`;
  return finding({ kind: 'silent', lba: Number(lba), path, text });
}
