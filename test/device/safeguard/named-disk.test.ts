/** Disks that have one name: paths of one disk, or twins. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Disk } from '../../../src/device/disk.js';
import { headOf } from '../../../src/device/safeguard/journal.js';
import { findNamed, requireSoleName } from '../../../src/device/safeguard/named-disk.js';
import { encodeUnitSerialNumber } from '../../../src/scsi/vpd.js';
import type { SysfsDisk } from '../../../src/sysfs/disks.js';
import { EmulatedDisk } from '../../../src/testbed/disk/emulated-disk.js';

interface Listing {
  readonly name: string;
  readonly hctl: string | null;
  readonly wwid: string | null;
  readonly serial: string;
}

/** A host whose disks answer by these serial numbers. */
async function host(t: Test, listings: readonly Listing[]) {
  const closed: string[] = [];
  const open = async (device: string): Promise<Disk> => {
    const listing = listings.find(({ name }) => device === `/dev/${name}`)!;
    if (listing.serial === 'silent') throw new Error('it does not answer');
    const emulated = await EmulatedDisk.create({ blocks: 64, type: 0, serial: listing.serial });
    t.teardown(() => emulated.close());
    const disk = await emulated.open();
    const close = disk.close.bind(disk);
    disk.close = async () => {
      closed.push(listing.name);
      await close();
    };
    return Object.assign(disk, { device });
  };
  return { closed, host: { disks: listings as unknown as SysfsDisk[], open } };
}

t.test('restore finds one disk, and refuses two', async (t) => {
  const emulated = await EmulatedDisk.create({ blocks: 64, type: 0, serial: 'meant' });
  t.teardown(() => emulated.close());
  const head = await headOf(await emulated.open(), { lba: 0n, blocks: 1 }, new Map());
  const one = (name: string, hctl: string | null, wwid: string | null, serial = 'meant') => ({
    name,
    hctl,
    wwid,
    serial,
  });
  const others = [
    one('sdx', '9:0:0:0', null, 'another'),
    one('dm-0', null, 'naa.1'),
    one('sdy', '9:0:0:1', null, 'silent'),
  ];
  const many = await host(t, [
    ...others,
    one('sda', '0:0:0:0', 'naa.1'),
    one('sdb', '1:0:0:0', 'naa.1'),
    ...others,
  ]);
  const found = await findNamed(head, undefined, many.host);
  t.equal(found.device, '/dev/sda');
  t.same(many.closed, ['sdx', 'sdb', 'sdx']);
  await found.close();
  for (const wwids of [
    [null, null],
    ['naa.1', null],
    ['naa.1', 'naa.2'],
  ] as const) {
    const twins = await host(t, [one('sda', '0:0:0:0', wwids[0]), one('sdb', '1:0:0:0', wwids[1])]);
    const message = /\/dev\/sda and \/dev\/sdb are both naa\./;
    await t.rejects(findNamed(head, undefined, twins.host), { code: 'ERR_NOT_OURS', message });
    t.same(twins.closed, ['sdb', 'sda']);
  }
  const none = await host(t, others);
  await t.rejects(findNamed(head, undefined, none.host), { code: 'ERR_NO_DEVICE' });
});

t.test('a claim refuses a disk whose only name another one has', async (t) => {
  const sys = t.testdir();
  const list = (hctl: string, serial: string, wwid: string | null = null) => {
    const folder = join(sys, `class/scsi_device/${hctl}/device`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'vpd_pg80'), encodeUnitSerialNumber(serial));
    return { name: `sd${hctl}`, hctl, wwid, vendor: 'DOCK', model: 'X' } as unknown as SysfsDisk;
  };
  const disk = { facts: { serial: '12345' } } as unknown as Disk;
  const sysfs = list('0:0:0:0', '12345');
  const odd = list('4:0:0:0', '12345');
  writeFileSync(join(sys, 'class/scsi_device/4:0:0:0/device/vpd_pg80'), 'x');
  const untold = { ...odd, hctl: '5:0:0:0' };
  const others = [sysfs, list('1:0:0:0', '54321'), list('2:0:0:0', '12345', 'naa.5'), odd, untold];
  const otherMakes = { ...list('6:0:0:0', '12345'), model: 'Y' };
  await requireSoleName(disk, { sysfs, disks: [...others, otherMakes] }, sys);
  const disks = [...others, list('3:0:0:0', ' 12345 ')];
  await t.rejects(requireSoleName(disk, { sysfs, disks }, sys), {
    code: 'ERR_NOT_OURS',
    message: '/dev/sd0:0:0:0 and /dev/sd3:0:0:0 are both 12345: nothing is written',
  });
  await requireSoleName(disk, { sysfs: { ...sysfs, wwid: 'naa.6' }, disks }, sys);
});
