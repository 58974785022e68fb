import t from 'tap';
import { SERIAL_PREFIX, testbedKind } from '../../../src/device/safeguard/ours.js';
import type { SysfsDisk } from '../../../src/sysfs/disks.js';

const disk = (driver: string | null) =>
  ({ host: driver === null ? null : { driver } }) as unknown as SysfsDisk;
const facts = (vendor: string, product: string, serial: string | null = null) =>
  ({ inquiry: { vendor, product }, identity: null, serial }) as unknown as Parameters<typeof testbedKind>[1];

t.test('a disk is ours only when driver and INQUIRY agree', async (t) => {
  t.equal(testbedKind(disk('scsi_debug'), facts('Linux', 'scsi_debug')), 'scsi_debug');
  t.equal(testbedKind(disk('tcm_loopback'), facts('LIO-ORG', 'x', `${SERIAL_PREFIX}1`)), 'lio-fileio');
  for (const [what, theirs, said] of [
    ['a real disk that calls itself scsi_debug', disk('mpt3sas'), facts('Linux', 'scsi_debug')],
    ['another disk behind scsi_debug', disk('scsi_debug'), facts('SEAGATE', 'ST4000')],
    ['another vendor behind scsi_debug', disk('scsi_debug'), facts('SEAGATE', 'scsi_debug')],
    ["somebody's LIO disk", disk('tcm_loopback'), facts('LIO-ORG', 'FILEIO', '5e1f')],
    ['a LIO disk without a serial number', disk('tcm_loopback'), facts('LIO-ORG', 'FILEIO')],
    ['our serial number over iSCSI', disk('iscsi_tcp'), facts('LIO-ORG', 'FILEIO', `${SERIAL_PREFIX}1`)],
    ['a disk without a SCSI host', disk(null), facts('Linux', 'scsi_debug')],
    ['a disk that does not answer', disk('scsi_debug'), null],
  ] as const) {
    t.equal(testbedKind(theirs, said), null, what);
  }
});
