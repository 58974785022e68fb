/**
 * What must not be written is not, and what was written is put back, whatever happens in between.
 */
import { constants } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import {
  alignedBuffer,
  claimRegion,
  createScsiDebug,
  type Disk,
  openDevice,
  removeScsiDebug,
  scsiDebugDisks,
} from 'blk-integrity';
import type { Test } from 'tap';
import { command } from './command.js';
import { sameBytes } from './same-bytes.js';

const OPTS = '/sys/bus/pseudo/drivers/scsi_debug/opts';
/** scsi_debug's medium errors, with opts bit 1: ten blocks from here. */
const BAD = 0x1234n;
const GOOD = 0x1300n;

export async function safeguard(t: Test): Promise<void> {
  {
    await using made = await createScsiDebug({ sizeMiB: 4 });
    await using disk = await openDevice(made.device);
    await t.test('a region put back', (t) => ownMemory(t, disk));
    await t.test('a block that somebody else wrote', (t) => foreignWrite(t, disk));
    await t.test('a block that cannot be put back', (t) => oneFails(t, disk));
    await t.test('a read-only disk', (t) => readOnly(t, disk));
  }
  await t.test('disks that share their blocks', sharedStore);
  await t.test("somebody else's scsi_debug", othersModule);
}

const medium = async (disk: Disk, lba: bigint) => (await disk.readMedium(lba, 1)).data;
const filled = (disk: Disk, byte: number) => new Uint8Array(disk.blockSize).fill(byte);

/** The region works on copies: what the caller does to its own memory meanwhile reaches no disk. */
async function ownMemory(t: Test, disk: Disk): Promise<void> {
  const before = await medium(disk, 8n);
  const range = { lba: 8n, blocks: 2 };
  {
    await using region = await claimRegion(disk, range);
    range.lba = 300n;
    const data = filled(disk, 0x5a);
    const writing = region.write('passthrough', 8n, data);
    data.fill(0xa5);
    region.savedData().fill(0xa5);
    t.same(await writing, { kind: 'good' });
    sameBytes(t, await medium(disk, 8n), filled(disk, 0x5a));
    const many = Promise.all([8n, 9n, 8n].map((lba) => region.write('passthrough', lba, filled(disk, 0x11))));
    const restored = region.restore();
    await many;
    await restored;
    await region.write('passthrough', 9n, filled(disk, 0x22));
  }
  sameBytes(t, await medium(disk, 8n), before, 'writes and restores go one after the other');
  sameBytes(t, await medium(disk, 9n), filled(disk, 0), 'a write after a restore is put back too');
  sameBytes(t, await medium(disk, 300n), filled(disk, 0), 'and nothing beside the region was touched');
}

async function foreignWrite(t: Test, disk: Disk): Promise<void> {
  const region = await claimRegion(disk, { lba: 8n, blocks: 2 });
  await region.write('passthrough', 8n, filled(disk, 0x33));
  await region.write('passthrough', 9n, filled(disk, 0x33));
  const theirs = alignedBuffer(disk.blockSize).fill(0x77);
  const node = await open(disk.device, constants.O_RDWR | constants.O_DIRECT);
  await node.write(theirs, 0, theirs.length, 9 * disk.blockSize);
  await node.close();
  await t.rejects(region.restore(), { code: 'ERR_RESTORE', message: /block 9 .*somebody else/ });
  sameBytes(t, await medium(disk, 9n), theirs, 'theirs is left');
  await region.keep();
  await region[Symbol.asyncDispose]();
}

async function oneFails(t: Test, disk: Disk): Promise<void> {
  const before = await medium(disk, GOOD);
  const region = await claimRegion(disk, { lba: BAD, blocks: Number(GOOD - BAD) + 1 });
  await region.write('passthrough', BAD, filled(disk, 0x44));
  await region.write('passthrough', GOOD, filled(disk, 0x44));
  await writeFile(OPTS, '2');
  await t.rejects(region.restore(), { code: 'ERR_RESTORE', message: new RegExp(`${BAD} \\(1\\)`) });
  await writeFile(OPTS, '0');
  sameBytes(t, await medium(disk, GOOD), before, 'the others are back all the same');
  await region[Symbol.asyncDispose]();
  sameBytes(t, await medium(disk, BAD), filled(disk, 0), 'and it, when the disk reads again');
}

async function readOnly(t: Test, disk: Disk): Promise<void> {
  await command('blockdev', '--setro', disk.device);
  await t.rejects(claimRegion(disk, { lba: 0n, blocks: 1 }), { code: 'ERR_READ_ONLY' });
  await command('blockdev', '--setrw', disk.device);
}

/** Two hosts of one scsi_debug have one memory: a write to one disk would change the other. */
async function sharedStore(t: Test): Promise<void> {
  await command('modprobe', 'scsi_debug', 'dev_size_mb=2', 'add_host=2', 'delay=0');
  let nodes: string[] = [];
  while (nodes.length < 2) {
    nodes = (await scsiDebugDisks()).flatMap(({ block, sg, name }) => (block && sg ? [`/dev/${name}`] : []));
  }
  {
    await using disk = await openDevice(nodes[0] as string);
    await t.rejects(claimRegion(disk, { lba: 0n, blocks: 1 }), {
      code: 'ERR_BUSY',
      message: /share its blocks/,
    });
  }
  await command('modprobe', '-r', 'scsi_debug');
}

/** The record of ours outlives a module that was taken away by hand. */
async function othersModule(t: Test): Promise<void> {
  await createScsiDebug({ sizeMiB: 2 });
  await command('modprobe', '-r', 'scsi_debug');
  await command('modprobe', 'scsi_debug', 'dev_size_mb=2', 'delay=0');
  await t.rejects(removeScsiDebug(), { code: 'ERR_TESTBED' });
  await t.rejects(createScsiDebug(), { code: 'ERR_TESTBED', message: /loaded already/ });
  // It is still there: taking it away succeeds only so.
  t.equal(await command('modprobe', '-r', 'scsi_debug'), '');
}
