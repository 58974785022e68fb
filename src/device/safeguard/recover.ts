/**
 * Puts back what an interrupted run had saved, by its journal.
 */
import { IntegrityError } from '../../errors.js';
import type { Disk, OpenDiskOptions } from '../disk.js';
import { holdDisk, requireFlushed } from './hold.js';
import { Journal } from './journal.js';
import {
  type JournalContent,
  type JournalHead,
  type JournalStep,
  namesSameDisk,
  WITHOUT_DIGEST,
} from './journal-format.js';
import { awaitLateCommands } from './late-commands.js';
import { findNamed, nameOf } from './named-disk.js';
import { isOurs } from './ours.js';
import { Region } from './region.js';
import type { Restored } from './saved-region.js';

export interface Recovery {
  readonly device: string;
  readonly lba: bigint;
  readonly blocks: number;
  /** Blocks that may have been written and were put back. */
  readonly writtenBlocks: number;
  /** `untouched`: the run ended before its first write, or after everything was back. */
  readonly outcome: Restored | 'untouched';
}

/**
 * Opens the disk that the journal names, holds it, puts back every block that holds what the run wrote, and removes the journal.
 * Errors: ERR_IO without the file; ERR_NO_DEVICE without the disk; ERR_BUSY while its run goes on; ERR_MALFORMED_RESPONSE for a file that is no journal; ERR_NOT_OURS when `disk` is
 * another or was formatted anew, and where two disks have its names; ERR_RESTORE, naming the blocks that hold something else and were left: the journal stays.
 */
export async function recover(
  path: string,
  { disk, signal }: OpenDiskOptions & { readonly disk?: Disk } = {},
): Promise<Recovery> {
  const journal = await Journal.read(path);
  if (disk) return putBack(path, journal, disk);
  await using found = await findNamed(journal.head, signal);
  return await putBack(path, journal, found);
}

/** `found` is the journal by which the disk was found. */
async function putBack(path: string, found: JournalContent, disk: Disk): Promise<Recovery> {
  requireFor(disk, found, path);
  // The run may have set SWP itself.
  const hold = await holdDisk(disk, { despiteSwp: found.steps.some(({ kind }) => kind === 'mode page') });
  try {
    // Under the hold: its run is over, and sends nothing more. The file may be another run's by now.
    const journal = await Journal.read(path);
    requireFor(disk, journal, path);
    const { head, data, tuples, steps } = journal;
    if (hold.listed) await awaitLateCommands(journal, hold.listed);
    const range = { lba: BigInt(head.lba), blocks: head.blocks };
    const parts = { disk, range, saved: { data, tuples }, hold, journal: null, keptIn: path };
    const region = Region.resume(parts, steps);
    const { writtenBlocks, changedModePages } = region;
    // What was kept is to stay; otherwise every block is what it was, whatever the last record said.
    const outcome = await region.restore();
    await requireFlushed(disk, hold);
    await Journal.remove(path);
    return {
      device: disk.device,
      ...range,
      writtenBlocks,
      outcome: writtenBlocks + changedModePages === 0 ? 'untouched' : outcome,
    };
  } finally {
    disk.proveOutside(null);
    await hold.release();
  }
}

function requireFor(disk: Disk, { head, steps }: JournalContent, path: string): void {
  requireNamed(disk, head);
  requireTold(path, disk, steps);
}

/** Only of the testbed's disks a block may hold anything: elsewhere nobody would know it from somebody else's. */
function requireTold(path: string, disk: Disk, steps: readonly JournalStep[]): void {
  const untold = steps.some(
    (step) => step.kind === 'writing' && step.digests.includes(WITHOUT_DIGEST.anything),
  );
  if (!untold || isOurs(disk)) return;
  const message = `${path} says of ${disk.device} what no run writes of a disk that is not the testbed's`;
  throw new IntegrityError('ERR_MALFORMED_RESPONSE', message, { disk: disk.device });
}

/** The journal is its owner's word for this very disk, as it was formatted then. */
function requireNamed(disk: Disk, head: JournalHead): void {
  const { device, facts, blockSize, blocks } = disk;
  const refuse = (why: string) =>
    new IntegrityError('ERR_NOT_OURS', `${device} ${why}: nothing is written to it`, { disk: device });
  if (facts === null || !namesSameDisk(head, facts)) throw refuse(`is not ${nameOf(head)}`);
  const { capacity } = facts;
  const same =
    blockSize === head.blockSize &&
    String(blocks) === head.diskBlocks &&
    (capacity?.protectionType ?? 0) === head.protectionType &&
    (capacity?.intervalExponent ?? 0) === head.intervalExponent;
  if (!same) throw refuse('was formatted anew since the journal was made');
}
