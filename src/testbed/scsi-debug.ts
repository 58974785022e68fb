/**
 * scsi_debug: the kernel's own SCSI disk in memory, in whatever kernel runs. Its tuples travel on the block paths only.
 */
import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { IntegrityError } from '../errors.js';
import { interpret, type SysfsDisk } from '../sysfs/disks.js';
import { readSnapshot } from '../sysfs/snapshot.js';
import { loadedInstance, loadModule, loadModuleFirst, unloadModule } from './modules.js';
import { waitFor } from './wait.js';

const DRIVER = 'scsi_debug';

/** Says which loading of the module was this package's. */
const RECORD = '/run/blk-integrity/scsi_debug';

const APPEAR_MS = 20_000;
const RELEASE_MS = 10_000;

export interface ScsiDebugOptions {
  /** Protection type of the disk, 0 for none. Default 1. */
  readonly dif?: 0 | 1 | 2 | 3;
  /** Whether tuples are exchanged with memory. Default 1. */
  readonly dix?: 0 | 1;
  /** Guard in memory. Default crc. */
  readonly guard?: 'crc' | 'ip';
  /** Bytes a block. Default 512. */
  readonly sectorSize?: 512 | 1024 | 2048 | 4096;
  /** Default 16. */
  readonly sizeMiB?: number;
  /** What the disk says that it has; its blocks are those of `sizeMiB`, again and again, with their tuples. Default: no more than it has. */
  readonly virtualGiB?: number;
  /** Equal partitions that the disk comes with. Default 0. */
  readonly partitions?: number;
  /** Milliseconds before each answer. Default 0: at once. */
  readonly delayMs?: number;
}

/** A scsi_debug disk that this package loaded. Removed with `await using` or {@link removeScsiDebug}. */
export interface ScsiDebugDisk extends AsyncDisposable {
  /** The block node. */
  readonly device: string;
}

/** The disks of scsi_debug in this kernel, whoever loaded it. */
export async function scsiDebugDisks(): Promise<SysfsDisk[]> {
  return interpret(await readSnapshot()).filter(({ host }) => host?.driver === DRIVER);
}

/**
 * Loads scsi_debug with one disk. A module that is loaded already is somebody's: ERR_TESTBED, and it stays as it is.
 * Errors: ERR_TESTBED, ERR_MISSING_TOOL, ERR_OUT_OF_RANGE.
 */
export async function createScsiDebug(options: ScsiDebugOptions = {}): Promise<ScsiDebugDisk> {
  const {
    dif = 1,
    dix = 1,
    guard = 'crc',
    sectorSize = 512,
    sizeMiB = 16,
    virtualGiB = 0,
    partitions = 0,
    delayMs = 0,
  } = options;
  if ((await loadedInstance(DRIVER)) !== null) {
    const disks = (await scsiDebugDisks()).map(({ name }) => `/dev/${name}`);
    throw new IntegrityError(
      'ERR_TESTBED',
      `scsi_debug is loaded already (${disks.join(', ') || 'without a disk'}) and stays as it is`,
      {
        advice:
          'Name its disk instead of --testbed scsi-debug, or remove it: `blk-integrity testbed scsi-debug remove` for ours, `modprobe -r scsi_debug` for yours.',
      },
    );
  }
  await loadModule('sd_mod');
  await loadModule('sg');
  await loadModuleFirst(DRIVER, {
    dif,
    dix,
    guard: guard === 'ip' ? 1 : 0,
    sector_size: sectorSize,
    dev_size_mb: sizeMiB,
    virtual_gb: virtualGiB,
    num_parts: partitions,
    ...(delayMs === 0 ? { delay: 0 } : { ndelay: delayMs * 1_000_000 }),
  });
  await mkdir('/run/blk-integrity', { recursive: true });
  await writeFile(RECORD, (await loadedInstance(DRIVER)) ?? '');
  const disk = await waitFor(readyDisk, APPEAR_MS);
  if (disk === null) {
    await removeScsiDebug();
    throw new IntegrityError(
      'ERR_TESTBED',
      `scsi_debug was loaded, but its disk did not appear within ${APPEAR_MS / 1000} s`,
      {
        advice: 'See dmesg; the sd_mod and sg modules are needed.',
      },
    );
  }
  let removed = false;
  return {
    device: `/dev/${disk.name}`,
    [Symbol.asyncDispose]: async () => {
      if (!removed) await removeScsiDebug();
      removed = true;
    },
  };
}

/** The disk once sd and sg have it and its nodes are there. */
async function readyDisk(): Promise<SysfsDisk | null> {
  const [disk] = await scsiDebugDisks();
  if (!disk?.block || !disk.sg || disk.blocks === 0n) return null;
  try {
    await access(`/dev/${disk.block.name}`);
    await access(`/dev/${disk.sg.name}`);
    return disk;
  } catch {
    return null;
  }
}

/** Removes the scsi_debug that this package loaded. Errors: ERR_TESTBED when it did not, or while it is in use. */
export async function removeScsiDebug(): Promise<void> {
  const ours = await readFile(RECORD, 'utf8').catch(() => null);
  if (ours === null || ours !== (await loadedInstance(DRIVER))) {
    throw new IntegrityError('ERR_TESTBED', 'there is no scsi_debug that this package loaded', {
      advice: 'One that you loaded yourself is removed with `modprobe -r scsi_debug`.',
    });
  }
  let last: unknown;
  const removed = await waitFor(async () => {
    try {
      await unloadModule(DRIVER);
      return true;
    } catch (error) {
      last = error;
      return false;
    }
  }, RELEASE_MS);
  if (removed === null) throw last;
  await rm(RECORD, { force: true });
}
