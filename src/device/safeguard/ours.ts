/**
 * Which disks this package's own testbed makes. Sysfs (the driver of the host) and the disk (INQUIRY, serial number) must agree.
 */
import type { SysfsDisk } from '../../sysfs/disks.js';
import type { Disk } from '../disk.js';
import type { DiskIdentity } from '../facts.js';
import { inProcessNode } from '../in-process.js';

/** How the unit serial number of every disk of the testbed behind tcm_loop begins; the testbed sets it. */
export const SERIAL_PREFIX = 'blk-integrity-';

/** INQUIRY of the emulated disk. */
export const EMULATED: Readonly<Record<'vendor' | 'product', string>> = {
  vendor: 'BLKINT',
  product: 'emulated T10',
};

export type TestbedKind = 'scsi_debug' | 'lio-fileio' | 'emulated';

interface Mark {
  readonly kind: TestbedKind;
  /** scsi_host/hostN/proc_name. */
  readonly driver: string;
  readonly vendor: string;
  readonly product: string | null;
  readonly serialPrefix: string | null;
}

const MARKS: readonly Mark[] = [
  // Its blocks live in the module's memory, whoever loaded it.
  { kind: 'scsi_debug', driver: 'scsi_debug', vendor: 'Linux', product: 'scsi_debug', serialPrefix: null },
  // LIO exports other people's files and disks too: only the serial number tells ours.
  {
    kind: 'lio-fileio',
    driver: 'tcm_loopback',
    vendor: 'LIO-ORG',
    product: null,
    serialPrefix: SERIAL_PREFIX,
  },
  { kind: 'emulated', driver: 'tcm_loopback', ...EMULATED, serialPrefix: SERIAL_PREFIX },
];

/** What kind of testbed disk this is, or null when this package's testbed did not make it. */
export function testbedKind(sysfs: SysfsDisk, facts: DiskIdentity | null): TestbedKind | null {
  if (facts === null) return null;
  const { inquiry, serial } = facts;
  const mark = MARKS.find(
    ({ driver, vendor, product, serialPrefix }) =>
      sysfs.host?.driver === driver &&
      inquiry.vendor === vendor &&
      (product === null || inquiry.product === product) &&
      (serialPrefix === null || serial?.startsWith(serialPrefix) === true),
  );
  return mark?.kind ?? null;
}

/** Whether this package's own testbed made the disk. What lies in this process is nobody else's. */
export function isOurs(disk: Disk): boolean {
  return inProcessNode(disk) !== null || testbedKind(disk.sysfs, disk.facts) !== null;
}
