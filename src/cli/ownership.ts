/**
 * The options by which a disk's owner lets a verb write to it, and where the journal goes without a name for it.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Disk } from '../device/disk.js';
import type { ClaimOptions } from '../device/safeguard/claim.js';
import { isOurs } from '../device/safeguard/ours.js';

export interface OwnershipOptions {
  readonly iOwn?: string;
  readonly journal?: string;
  readonly partition?: string;
}

/** Outlives a power cut, and no package manager cleans it. */
const JOURNAL_FOLDER = '/var/lib/blk-integrity';

export function addOwnershipOptions(command: Command): Command {
  return command
    .option(
      '--i-own <id>',
      "WWN or serial number of a disk that is not the testbed's, whose blocks may be written and put back",
    )
    .option(
      '--journal <file>',
      `where the region is saved first; without it a file in ${JOURNAL_FOLDER}, testbed disks none`,
    )
    .option(
      '--partition <name>',
      'the partition that the blocks lie in, as sda1; without it they lie in none',
    );
}

/** What the safeguard is told. A disk of the testbed has no journal unless one is named. */
export async function claimOptions(
  disk: Disk,
  { iOwn, journal, partition }: OwnershipOptions,
  signal: AbortSignal,
): Promise<ClaimOptions> {
  const needed = iOwn !== undefined && !isOurs(disk);
  return { iOwn, partition, signal, journal: journal ?? (needed ? await newJournal(disk) : undefined) };
}

async function newJournal({ facts, sysfs }: Disk): Promise<string> {
  await mkdir(JOURNAL_FOLDER, { recursive: true, mode: 0o700 });
  const name = (facts?.serial ?? sysfs.name).replace(/[^\w.-]/g, '_');
  const time = new Date().toISOString().replace(/[:.]/g, '-');
  return join(JOURNAL_FOLDER, `${name}-${time}.journal`);
}

/** The options as they were given, to be said again elsewhere. */
export function ownershipWords({ iOwn, journal, partition }: OwnershipOptions): string[] {
  return [
    ...(iOwn === undefined ? [] : ['--i-own', iOwn]),
    ...(journal === undefined ? [] : ['--journal', journal]),
    ...(partition === undefined ? [] : ['--partition', partition]),
  ];
}
