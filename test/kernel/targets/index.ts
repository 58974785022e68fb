/**
 * Every target that random I/O runs on, in order.
 */
import { lioTargets } from './lio.js';
import { nvmeTargets } from './nvme.js';
import { scsiDebugTargets } from './scsi-debug.js';
import type { TargetMaker } from './target.js';

export async function targetMakers(): Promise<readonly TargetMaker[]> {
  return [...lioTargets, ...scsiDebugTargets, ...(await nvmeTargets())];
}
