/**
 * The active negative test: plants one genuine fault on a testbed disk, asks every checker on every path, and puts the block back.
 */
import type { Answer } from '../device/blocks.js';
import type { Disk } from '../device/disk.js';
import { testbedKind } from '../device/ours.js';
import type { Region } from '../device/region.js';
import { claimRegion, requireOurs } from '../device/safeguard.js';
import { IntegrityError } from '../errors.js';
import { defaultEngine } from '../pi/engine.js';
import type { Finding, ProveReport, RangeReport } from '../report/model.js';
import type { Checker, Verdict } from '../words.js';
import { checkRange, rulesOf } from './crosscheck.js';
import { finding } from './judge.js';
import { summarise } from './summary.js';

export interface ProveOptions {
  /** The block to plant the fault in; the middle of the disk without it. */
  readonly lba?: bigint | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with each step in words, before it is taken. */
  readonly onStep?: (step: string) => void;
}

/** The bit that is flipped: in the middle of the block, so that no checker can miss it by looking at its ends alone. */
const FLIPPED_BIT = 0x10;

/** Verdicts of somebody who noticed. */
const REFUSALS: readonly Verdict[] = ['guard', 'app', 'ref', 'protection'];

/**
 * Changes one block's data under its tuple by a plain SG_IO write and reads it by every path.
 * Errors: ERR_NOT_OURS, ERR_BUSY, ERR_OUT_OF_RANGE, ERR_CANNOT_PLANT, ERR_ABORTED (the block is back as it was), ERR_RESTORE.
 */
export async function prove(disk: Disk, options: ProveOptions = {}): Promise<ProveReport> {
  const { signal, onStep = () => {} } = options;
  const lba = options.lba ?? disk.blocks / 2n;
  requireOurs(disk);
  if (testbedKind(disk.sysfs, disk.facts) !== 'scsi_debug') {
    throw new IntegrityError(
      'ERR_CANNOT_PLANT',
      `${disk.device} makes new, right tuples for every plain write: no fault can be planted by SG_IO`,
      {
        disk: disk.device,
        advice: 'Use a scsi_debug disk, or edit the tuples in the file behind an LIO fileio disk.',
      },
    );
  }
  onStep(`claim block ${lba} and save it`);
  await using region = await claimRegion(disk, { lba, blocks: 1 }, signal);
  await makeCheckable(region, onStep);
  await requireClean(disk, lba, signal);

  const was = region.savedData();
  const byte = was.length >> 1;
  const planted = was.slice();
  planted[byte]! ^= FLIPPED_BIT;
  onStep(`flip a bit of byte ${byte} of block ${lba} by a plain SG_IO write`);
  signal?.throwIfAborted();
  requireWritten(disk, lba, await region.write('passthrough', lba, planted));

  onStep('see by an independent read that the fault is on the medium');
  const vacuous = await whyVacuous(disk, lba, planted, signal);
  onStep('read the block by every path');
  const { range, findings } = await checkRange(disk, await rulesOf(disk, signal), { lba, blocks: 1 }, signal);
  const delivered = await deliveredByBlockLayer(disk, lba, planted, range, signal);
  onStep('put the block back');
  const restored = await region.restore();
  await requireClean(disk, lba);

  return {
    verb: 'prove',
    disk: await summarise(disk),
    fault: { lba: Number(lba), byte, was: was[byte]!, now: planted[byte]! },
    outcome: vacuous !== null ? 'vacuous' : delivered ? 'delivered' : 'caught',
    why: vacuous,
    ranges: [range],
    findings: delivered ? [...findings, deliveredFinding(lba)] : findings,
    ...witnesses(range),
    restored: restored,
  };
}

/** A fresh scsi_debug disk is escaped all over, and where no path shows tuples nobody knows: one write by the kernel makes a tuple. */
async function makeCheckable(region: Region, onStep: (step: string) => void): Promise<void> {
  const { disk, range } = region;
  const profile = disk.kernelProfile;
  if (profile === null) return;
  const [data, tuples] = [region.savedData(), region.savedTuples()];
  if (tuples !== null) {
    const { escaped } = defaultEngine().verify(data, tuples, {
      profile,
      layout: 'separate',
      seed: range.lba,
    });
    if (escaped === 0) return;
  }
  onStep(
    `write the same data through the block layer, so that block ${range.lba} has a tuple that is checked`,
  );
  requireWritten(disk, range.lba, await region.write('block', range.lba, data));
}

function requireWritten(disk: Disk, lba: bigint, answer: Answer): void {
  if (answer.kind === 'good') return;
  const why = answer.kind === 'failed' ? answer.error.message : answer.text;
  throw new IntegrityError('ERR_CANNOT_PLANT', `${disk.device}: block ${lba} cannot be written: ${why}`, {
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
  const { data } = await disk.readMedium(lba, 1, signal);
  if (data === null || Buffer.compare(data, planted) !== 0)
    return 'an independent read does not find the changed data on the medium';
  const profile = disk.kernelProfile;
  if (profile === null || !disk.paths.includes('block-pi')) return null;
  const { tuples } = await disk.read('block-pi', lba, 1, signal);
  if (tuples === null) return null;
  const { ok } = defaultEngine().verify(planted, tuples, { profile, layout: 'separate', seed: lba });
  return ok ? 'the tuple on the medium fits the changed data: the disk made a new one' : null;
}

/** An application's read: whether it got the wrong data. What is neither that nor a refusal tells nothing and is thrown. */
async function deliveredByBlockLayer(
  disk: Disk,
  lba: bigint,
  planted: Uint8Array,
  range: RangeReport,
  signal?: AbortSignal,
): Promise<boolean> {
  const { answer, data } = await disk.read('block', lba, 1, signal);
  const seen = range.cells.some(
    ({ path, counts }) => path === 'block' && REFUSALS.some((verdict) => counts[verdict]),
  );
  if (answer.kind === 'failed') throw answer.error;
  if (answer.kind === 'refused' && seen) return false;
  if (answer.kind === 'good' && !seen && data !== null && Buffer.compare(data, planted) === 0) return true;
  throw new IntegrityError(
    'ERR_IO',
    `${disk.device}: two reads of block ${lba} through the block layer ended differently`,
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

function deliveredFinding(lba: bigint): Finding {
  const text = 'wrong data was delivered with success to a read through the block layer';
  return finding({ kind: 'silent', lba: Number(lba), path: 'block', text });
}
