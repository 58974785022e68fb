/** Commands that alter a disk of somebody else's: what is not taken for granted of it, and what is not sent to it. */
import t, { type Test } from 'tap';
import { Disk } from '../../src/device/disk.js';
import { effectOn, requireHeldCommand } from '../../src/device/safeguard/alter.js';
import { isOurs } from '../../src/device/safeguard/ours.js';
import { encodeCdb } from '../../src/scsi/commands.js';
import { encodeModeSelectList } from '../../src/scsi/mode-page.js';
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

t.test('mode pages of the vendor are nobody else’s to set', async (t) => {
  const { ours, theirs } = await both(t);
  const select = (disk: Disk, page: number) => {
    const dataOut = encodeModeSelectList([Uint8Array.of(page, 2, 0, 0)], 10);
    const cdb = encodeCdb('MODE SELECT(10)', { pageFormat: true, parameterListLength: dataOut.length });
    return requireHeldCommand(disk, { cdb, dataOut }, { iOwn: disk.facts!.serial! });
  };
  for (const page of [0x00, 0x20, 0x3e]) {
    t.throws(() => select(theirs, page), { code: 'ERR_NOT_OURS', message: /vendor/ }, `page ${page}`);
    t.match(select(ours, page), { kind: 'mode pages' });
  }
  for (const page of [0x01, 0x1f]) t.match(select(theirs, page), { kind: 'mode pages' }, `page ${page}`);
});
