/**
 * An emulated disk in this process, full of right blocks, and whoever writes around the safeguard.
 */
import type { Disk, OpenDiskOptions } from '../../src/device/disk.js';
import { encodeCdb } from '../../src/scsi/commands.js';
import { EmulatedDisk, type EmulatedDiskOptions } from '../../src/testbed/disk/emulated-disk.js';
import { fillDisk } from '../../src/testbed/fill.js';

export class FilledDisk implements AsyncDisposable {
  readonly emulated: EmulatedDisk;
  readonly disk: Disk;

  private constructor(emulated: EmulatedDisk, disk: Disk) {
    this.emulated = emulated;
    this.disk = disk;
  }

  static async make(options: EmulatedDiskOptions, opened: OpenDiskOptions = {}): Promise<FilledDisk> {
    const emulated = await EmulatedDisk.create(options);
    {
      await using empty = await emulated.open();
      await fillDisk(empty);
    }
    return new FilledDisk(emulated, await emulated.open(opened));
  }

  /** One block as `change` leaves it, data and tuples interleaved, unchecked by the disk. */
  async change(lba: number, change: (block: Uint8Array) => void): Promise<void> {
    const { type, blockSize, intervalExponent } = this.emulated.format;
    const size = type === 2 ? 32 : 16;
    const block = new Uint8Array(blockSize + 8 * 2 ** intervalExponent);
    const fields = { lba: BigInt(lba), blocks: 1, protect: 3 };
    await this.#send(encodeCdb(`READ(${size})`, fields), 'from-device', block);
    change(block);
    await this.#send(encodeCdb(`WRITE(${size})`, fields), 'to-device', block);
  }

  async #send(cdb: Uint8Array, direction: 'from-device' | 'to-device', data: Uint8Array): Promise<void> {
    const transport = this.emulated.transport({ writable: true });
    const { outcome } = await transport.send({ cdb, direction, data });
    if (outcome.kind !== 'good') throw new Error(JSON.stringify(outcome));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.disk.close();
    await this.emulated.close();
  }
}
