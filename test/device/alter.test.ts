/** Commands that alter a disk of somebody else's: what is not taken for granted of it, and what is not sent to it. */
import t, { type Test } from 'tap';
import { effectOn } from '../../src/device/alter.js';
import { Disk } from '../../src/device/disk.js';
import { isOurs } from '../../src/device/permission.js';
import { encodeCdb } from '../../src/scsi/commands.js';
import { EmulatedDisk, type EmulatedDiskOptions } from '../../src/testbed/disk/emulated-disk.js';

/** An emulated disk, and the same as if it were one of the kernel's that no testbed has made. */
async function both(t: Test, options: EmulatedDiskOptions = {}): Promise<{ ours: Disk; theirs: Disk }> {
  const emulated = await EmulatedDisk.create({ blocks: 1024, ...options });
  t.teardown(() => emulated.close());
  const ours = await emulated.open();
  const { device, sysfs, facts, transport } = ours;
  const nothing = { namespace: null, lbmd: null, noBlockPi: null, sg: null, block: null, log: null };
  const parts = { device, sysfs, facts, transport, queueDepth: 1, listing: async () => sysfs };
  const theirs = new Disk({ ...nothing, ...parts });
  t.notOk(isOurs(theirs));
  return { ours, theirs };
}

t.test('a bad block of 512 bytes may be one of 4096 inside, whatever the disk says', async (t) => {
  const cdb = encodeCdb('WRITE LONG(16)', { lba: 102n, writeUncorrectable: true });
  const altered = (disk: Disk) => {
    const effect = effectOn(disk, { cdb });
    return effect.kind === 'blocks' ? effect.altered : [];
  };
  const small = await both(t);
  t.match(altered(small.ours), [{ lba: 102n, blocks: 1 }]);
  t.match(altered(small.theirs), [{ lba: 96n, blocks: 8 }]);
  const large = await both(t, { blockSize: 4096 });
  t.match(altered(large.theirs), [{ lba: 102n, blocks: 1 }]);
});
