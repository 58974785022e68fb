/**
 * sd and one SCSI device: waiting until it has taken the device, and taking it off.
 */
import { readlink, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { IntegrityError } from '../../../errors.js';
import { unlessMissing } from '../../loopback.js';
import { waitFor } from '../../wait.js';

const PROBE_MS = 20_000;

/** The driver that has the device, or null. `hctl` is host:channel:target:lun. */
async function driverOf(hctl: string): Promise<string | null> {
  const link = await readlink(`/sys/bus/scsi/devices/${hctl}/driver`).catch(unlessMissing);
  return link === undefined ? null : basename(link);
}

/** sd probes after the scan, in its own time. Errors: ERR_TESTBED. */
export async function waitForSd(hctl: string): Promise<void> {
  if ((await waitFor(() => driverOf(hctl), PROBE_MS)) === 'sd') return;
  throw new IntegrityError('ERR_TESTBED', `sd did not take the SCSI device ${hctl}`, {
    advice: 'See dmesg: the unit must answer INQUIRY as a disk.',
  });
}

/** Waits for a probe under way; sd sends SYNCHRONIZE CACHE when the unit has a write cache. */
export async function releaseFromSd(hctl: string): Promise<void> {
  if ((await driverOf(hctl)) === 'sd') await writeFile('/sys/bus/scsi/drivers/sd/unbind', hctl);
}
