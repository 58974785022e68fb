/**
 * scsi_debug with DIX, in every type, guard and block size. Its tuples are seen and sent by io_uring, where the kernel can (Linux 6.14).
 */
import { constants } from 'node:fs';
import { release } from 'node:os';
import {
  alignedBuffer,
  crc16T10Dif,
  createScsiDebug,
  type Disk,
  openDevice,
  type ScsiDebugOptions,
  writeCdb,
} from 'blk-integrity';
import { type NativeHandle, native } from '../../../lib/binding.js';
import { Undo } from '../undo.js';
import type { DeviceRule, Target, TargetMaker } from './target.js';

const SIZE_MIB = 8;
const TUPLE = 8;

type Combination = Required<Pick<ScsiDebugOptions, 'dif' | 'guard' | 'sectorSize'>>;

const COMBINATIONS: readonly Combination[] = ([1, 2, 3, 0] as const).flatMap((dif) =>
  ([512, 4096] as const).flatMap((sectorSize) =>
    (['crc', 'ip'] as const).map((guard) => ({ dif, sectorSize, guard })),
  ),
);

export const scsiDebugTargets: readonly TargetMaker[] = COMBINATIONS.map((combination) => {
  const { dif, sectorSize, guard } = combination;
  const name = `scsi_debug dif=${dif} dix=1, ${sectorSize} bytes, ${guard.toUpperCase()}`;
  return { name, make: () => makeTarget(name, combination) };
});

/**
 * From Linux 5.15 on it checks where the command asks for it, and looks for that in byte 1, which in READ(32), the command of type 2,
 * is another byte. Until then it checks always.
 */
function deviceRule(dif: Combination['dif']): DeviceRule {
  const [major, minor] = release().split('.').map(Number) as [number, number];
  const always = major < 5 || (major === 5 && minor < 15);
  if (!always && (dif === 0 || dif === 2)) return { checks: [], exempts: 'app' };
  return { checks: dif === 1 || dif === 2 ? ['guard', 'ref'] : ['guard'], exempts: 'app' };
}

function makeTarget(name: string, combination: Combination): Promise<Target> {
  return Undo.around(async (undo) => {
    const made = undo.use(await createScsiDebug({ ...combination, dix: 1, sizeMiB: SIZE_MIB }));
    const disk = undo.use(await openDevice(made.device));
    const openHandle = async (node: string, flags: number): Promise<NativeHandle> => {
      const handle = new (native().Handle)();
      undo.push(() => handle.close());
      requireGood('open', await handle.open(node, flags));
      return handle;
    };
    const sg = await openHandle(`/dev/${disk.sysfs.sg!.name}`, constants.O_RDWR | constants.O_NONBLOCK);
    const plantData = (lba: bigint, data: Uint8Array) => writePlain(sg, disk, lba, data);
    const base = {
      name,
      disk,
      plantData,
      deviceRule: deviceRule(combination.dif),
      refTagFixed: combination.dif === 1 || combination.dif === 2,
      [Symbol.asyncDispose]: () => undo[Symbol.asyncDispose](),
    };
    if (!disk.paths.includes('block-pi')) return { ...base, readMetadata: null, plant: null };
    const block = await openHandle(disk.device, constants.O_RDWR | constants.O_DIRECT);
    return {
      ...base,
      readMetadata: (lba, blocks) => readTuples(disk, lba, blocks),
      plant: async (lba, data, metadata) => {
        await writeWithTuples(block, disk, lba, dataOfGuards(disk, data, metadata), metadata);
        await plantData(lba, data);
      },
    };
  });
}

function requireGood(what: string, { errno }: { readonly errno: number }): void {
  if (errno !== 0) throw new Error(`${what}: errno ${errno}`);
}

async function readTuples(disk: Disk, lba: bigint, blocks: number): Promise<Uint8Array> {
  const { tuples, answer } = await disk.read('block-pi', lba, blocks);
  if (tuples === null) throw new Error(`tuples of ${lba}: ${JSON.stringify(answer)}`);
  return tuples;
}

/** A plain WRITE by SG_IO leaves the tuples as they were. */
async function writePlain(sg: NativeHandle, disk: Disk, lba: bigint, data: Uint8Array): Promise<void> {
  const cdb = writeCdb({ size: 16, lba, blocks: data.length / disk.blockSize });
  const result = await sg.sgIo({ cdb, direction: 'to-device', data: data.slice(), timeoutMs: 30_000 });
  if (result.errno !== 0 || result.status !== 0) throw new Error(`SG_IO WRITE: ${JSON.stringify(result)}`);
}

async function writeWithTuples(
  block: NativeHandle,
  disk: Disk,
  lba: bigint,
  data: Uint8Array,
  metadata: Uint8Array,
): Promise<void> {
  const buffer = alignedBuffer(data.length);
  buffer.set(data);
  const tuples = alignedBuffer(metadata.length);
  tuples.set(metadata);
  const pi = { flags: 0, appTag: 0, seed: lba, tuples };
  requireGood(
    'io_uring write with tuples',
    await block.writeWithPi(buffer, lba * BigInt(disk.blockSize), pi),
  );
}

/**
 * The disk compares guards when it is written. So each block is first written as one that has the guard to be planted: zeros, and two
 * bytes at the end that make it. The real data follows by a way that leaves the tuple.
 */
function dataOfGuards(disk: Disk, data: Uint8Array, metadata: Uint8Array): Uint8Array {
  const ends = disk.kernelProfile!.guard === 'ip' ? null : endsOfGuards();
  const made = new Uint8Array(data.length);
  const view = new DataView(made.buffer);
  const stored = new DataView(metadata.buffer, metadata.byteOffset);
  for (let i = 0; i * disk.blockSize < data.length; i++) {
    const guard = stored.getUint16(i * TUPLE);
    view.setUint16((i + 1) * disk.blockSize - 2, ends ? ends[guard]! : guard ^ 0xffff);
  }
  return made;
}

let ends: Uint16Array | undefined;

/** By guard, the last two bytes of an otherwise zero block that has it: leading zeros do not change this CRC. */
function endsOfGuards(): Uint16Array {
  if (ends === undefined) {
    ends = new Uint16Array(0x10000);
    const bytes = new Uint8Array(2);
    for (let word = 0; word < ends.length; word++) {
      bytes[0] = word >> 8;
      bytes[1] = word & 0xff;
      ends[crc16T10Dif(0, bytes)] = word;
    }
  }
  return ends;
}
