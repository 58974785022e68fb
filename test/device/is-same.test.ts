/** Whether a disk that takes no commands still is the one that was opened: by what sysfs says of it. */
import t from 'tap';
import { Disk } from '../../src/device/disk.js';
import type { SysfsDisk } from '../../src/sysfs/disks.js';
import { EmulatedDisk } from '../../src/testbed/disk/emulated-disk.js';

t.test('asked of sysfs, or of what it has just said', async (t) => {
  const emulated = await EmulatedDisk.create({ blocks: 64 });
  t.teardown(() => emulated.close());
  const { device, sysfs } = await emulated.open();
  let listed: SysfsDisk | undefined = sysfs;
  let asked = 0;
  const listing = async () => {
    asked++;
    return listed;
  };
  const nothing = { facts: null, namespace: null, lbmd: null, noBlockPi: null, sg: null, block: null };
  const disk = new Disk({ ...nothing, device, sysfs, transport: null, log: null, queueDepth: 1, listing });

  t.equal(await disk.isSame(), true);
  t.equal(asked, 1);
  const others: readonly [string, SysfsDisk][] = [
    ['another name', { ...sysfs, wwid: 'eui.0000000000000001' }],
    ['another size', { ...sysfs, blocks: 65n }],
    ['other blocks', { ...sysfs, logicalBlockSize: 4096 }],
    ['other intervals', { ...sysfs, integrity: { ...sysfs.integrity, interval: 4096 } }],
    ['another format', { ...sysfs, integrity: { ...sysfs.integrity, format: 'T10-DIF-TYPE3-CRC' } }],
    ['another room for tags', { ...sysfs, integrity: { ...sysfs.integrity, tagSize: 6 } }],
  ];
  for (const [name, other] of others) {
    asked = 0;
    t.equal(await disk.isSame(undefined, other), false, name);
    t.equal(asked, 0, 'nobody is asked again');
    listed = other;
    t.equal(await disk.isSame(), false, name);
  }
  listed = undefined;
  t.equal(await disk.sysfsNow(), null);
  asked = 0;
  t.equal(await disk.isSame(undefined, null), false, 'gone, by what was said');
  t.equal(asked, 0);
  t.equal(await disk.isSame(), false, 'gone');
  t.equal(await disk.isSame(undefined, sysfs), true, 'by what was said alone');
});
