/**
 * QEMU's NVMe namespaces: the controller checks tuples itself, and pass-through shows and plants them on every kernel.
 */
import { constants } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import {
  alignedBuffer,
  type Disk,
  interpret,
  type NvmeNamespace,
  openDevice,
  readSnapshot,
} from 'blk-integrity';
import { type NativeHandle, native } from '../../../lib/binding.js';
import { NVME_SERIAL } from '../../../lib/testbed/vm/nvme.js';
import { waitFor } from '../../../lib/testbed/wait.js';
import { command } from '../command.js';
import { NAMESPACES } from './nvme-namespaces.js';
import type { Target, TargetMaker } from './target.js';

const TIMEOUT_MS = 30_000;
const SCAN_MS = 20_000;

/** `NVMe type 1, 4096 + 64 bytes, tuple last, CRC-64`. */
export function namespaceName({
  blockSize,
  pi,
  guard = 'crc16',
  metadataSize,
  first = false,
}: NvmeNamespace): string {
  const place = metadataSize === undefined ? '' : `, tuple ${first ? 'first' : 'last'}`;
  const [crc, tuple] = guard === 'crc16' ? ['CRC', 8] : ['CRC-64', 16];
  return `NVMe type ${pi}, ${blockSize} + ${metadataSize ?? tuple} bytes${place}, ${crc}`;
}

export interface FoundNamespace {
  readonly namespace: NvmeNamespace;
  readonly device: string;
  /** What sysfs says; `nop` where the kernel does not know the layout of the metadata. */
  readonly format: string;
}

/**
 * The guest's namespaces, in the order of their NSIDs: the numbers in the nodes' names are those of a scan that may run in any order.
 * None in a guest that was booted without them.
 */
export async function findNamespaces(): Promise<FoundNamespace[]> {
  await command('modprobe', 'nvme');
  const controllers = await readdir('/sys/class/nvme').catch(() => []);
  if (controllers.length === 0) return [];
  const serials = await Promise.all(
    controllers.map((name) => readFile(`/sys/class/nvme/${name}/serial`, 'utf8')),
  );
  if (serials.some((serial) => serial.trim() !== NVME_SERIAL)) {
    throw new Error(`an NVMe controller is not that of the testbed: ${serials}`);
  }
  const listed = await waitFor(async () => {
    const disks = interpret(await readSnapshot()).filter(
      ({ kind, blocks }) => kind === 'nvme' && blocks > 0n,
    );
    return disks.length === NAMESPACES.length && disks;
  }, SCAN_MS);
  if (listed === null) throw new Error(`the guest does not have ${NAMESPACES.length} NVMe namespaces`);
  const found = await Promise.all(
    listed.map(async ({ name, integrity }) => {
      const nsid = Number(await readFile(`/sys/block/${name}/nsid`, 'utf8'));
      return { nsid, namespace: NAMESPACES[nsid - 1]!, device: `/dev/${name}`, format: integrity.format };
    }),
  );
  return found.sort((a, b) => a.nsid - b.nsid);
}

/** Of those namespaces for which the running kernel has a profile. */
export async function nvmeTargets(): Promise<readonly TargetMaker[]> {
  const found = await findNamespaces();
  return found
    .filter(({ format }) => format !== 'nop' && format !== 'none')
    .map(({ namespace, device }) => {
      const name = namespaceName(namespace);
      return { name, make: () => makeTarget(name, namespace, device) };
    });
}

/** The namespace's node, open for pass-through. */
export async function openNamespace(device: string): Promise<NativeHandle> {
  const handle = new (native().Handle)();
  const { errno } = await handle.open(device, constants.O_RDWR);
  if (errno === 0) return handle;
  await handle.close();
  throw new Error(`${device}: errno ${errno}`);
}

async function makeTarget(name: string, { pi }: NvmeNamespace, device: string) {
  const handle = await openNamespace(device);
  const disk = await openDevice(device).catch(async (error) => {
    await handle.close();
    throw error;
  });
  const close = async () => {
    await disk.close();
    await handle.close();
  };
  const medium = new Medium(disk, handle);
  return {
    name,
    disk,
    readMetadata: async (lba, blocks) => (await medium.read(lba, blocks)).metadata,
    plant: (lba, data, metadata) => medium.write(lba, data, metadata),
    plantData: async (lba, data) => {
      const { metadata } = await medium.read(lba, data.length / disk.blockSize);
      await medium.write(lba, data, metadata);
    },
    // QEMU, as the kernel asks it to: PRCHK of the guard, and of the reference tag unless the type is 3.
    deviceRule: { checks: pi === 3 ? ['guard'] : ['guard', 'ref'], exempts: 't10' },
    [Symbol.asyncDispose]: close,
  } satisfies Target;
}

/** Data and metadata as they lie there: nothing is checked (PRCHK 000b) and nothing made. */
class Medium {
  readonly #disk: Disk;
  readonly #handle: NativeHandle;

  constructor(disk: Disk, handle: NativeHandle) {
    this.#disk = disk;
    this.#handle = handle;
  }

  async read(lba: bigint, blocks: number): Promise<{ data: Uint8Array; metadata: Uint8Array }> {
    const { blockSize, kernelProfile } = this.#disk;
    const data = alignedBuffer(blocks * blockSize);
    const metadata = alignedBuffer(blocks * kernelProfile!.metadataSize);
    await this.#io('read', lba, data, metadata);
    return { data, metadata };
  }

  async write(lba: bigint, data: Uint8Array, metadata: Uint8Array): Promise<void> {
    await this.#io('write', lba, data, metadata);
  }

  async #io(opcode: 'read' | 'write', slba: bigint, data: Uint8Array, metadata: Uint8Array): Promise<void> {
    const { errno, status } = await this.#handle.nvmeIo({
      opcode,
      slba,
      blocks: data.length / this.#disk.blockSize,
      data,
      metadata,
      prchk: 0,
      refTag: 0n,
      appTag: 0,
      appMask: 0,
      timeoutMs: TIMEOUT_MS,
    });
    if (errno !== 0 || status !== 0)
      throw new Error(
        `${this.#disk.device}: NVMe ${opcode} at ${slba}: errno ${errno}, status ${status.toString(16)}h`,
      );
  }
}
