/**
 * What random I/O runs on.
 */
import { lioTargets } from './lio.js';
import { nvmeTargets } from './nvme.js';
import { scsiDebugTargets } from './scsi-debug.js';
import type { TargetMaker } from './target.js';
import { ublkTargets } from './ublk.js';

export interface TargetMakers {
  /** Each gets its share of the cases. */
  readonly always: readonly TargetMaker[];
  /** A choice of them, as many as there are cases for. */
  readonly some: readonly TargetMaker[];
}

/** Those that the running kernel has. Many of ublk's profiles differ in little. */
export async function targetMakers(): Promise<TargetMakers> {
  return { always: [...lioTargets, ...scsiDebugTargets, ...(await nvmeTargets())], some: ublkTargets };
}
