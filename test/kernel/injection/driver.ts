/**
 * scsi_debug with options of a test's own choice: its attributes, its error injection and its counters, all at once in one kernel.
 */

import { constants } from 'node:fs';
import { access, readFile, writeFile } from 'node:fs/promises';
import { type SysfsDisk, scsiDebugDisks } from 'blk-integrity';
import { type NativeHandle, native } from '../../../lib/binding.js';
import { SgTransport } from '../../../lib/device/transport.js';
import { loadModule, loadModuleFirst, unloadModule } from '../../../lib/testbed/modules.js';
import { waitFor } from '../../../lib/testbed/wait.js';

const DRIVER = 'scsi_debug';
const ATTRIBUTES = '/sys/bus/pseudo/drivers/scsi_debug';
const DEBUGFS = '/sys/kernel/debug/scsi_debug';
const APPEAR_MS = 20_000;
const RELEASE_MS = 20_000;

/** Module parameters. With `no_uld` there is an sg node alone, which is there at once. */
export type DriverOptions = Readonly<Record<string, number | string>>;

/** What the driver makes of the next commands of one opcode; for all of them unless `times` says how many. */
export interface Forged {
  readonly opcode: number;
  readonly times?: number;
  /** DID_*. */
  readonly host?: number;
  readonly driver?: number;
  readonly status?: number;
  /** Sense key, ASC, ASCQ. */
  readonly sense?: readonly [key: number, asc: number, ascq: number];
}

/** A command that fails, by the driver's number of it. */
const FAIL_COMMAND = 2;

export class Driver implements AsyncDisposable {
  readonly disk: SysfsDisk;

  private constructor(disk: SysfsDisk) {
    this.disk = disk;
  }

  static async load(options: DriverOptions): Promise<Driver> {
    await loadModule('sd_mod');
    await loadModule('sg');
    await loadModuleFirst(DRIVER, { delay: 0, dev_size_mb: 4, ...options });
    const disk = await waitFor(() => ready(options['no_uld'] !== 1), APPEAR_MS);
    if (disk === null) throw new Error(`scsi_debug ${JSON.stringify(options)}: no disk`);
    return new Driver(disk);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    let last: unknown;
    const gone = await waitFor(async () => {
      try {
        await unloadModule(DRIVER);
        return true;
      } catch (error) {
        last = error;
        return false;
      }
    }, RELEASE_MS);
    if (gone === null) throw last;
  }

  get sg(): string {
    return `/dev/${this.disk.sg!.name}`;
  }

  /** In sysfs. */
  get folder(): string {
    return `/sys/bus/scsi/devices/${this.disk.hctl}`;
  }

  /** Whether the driver has such an option at all: modprobe passes over what it has not. */
  has(option: string): Promise<boolean> {
    return exists(`/sys/module/${DRIVER}/parameters/${option}`);
  }

  set(attribute: string, value: number): Promise<void> {
    return writeFile(`${ATTRIBUTES}/${attribute}`, String(value));
  }

  /** Whether errors can be forged: from Linux 6.7 on. */
  forges(): Promise<boolean> {
    return exists(this.#errors);
  }

  /** The driver reads all numbers but the count in hexadecimal, and takes a negative count as so many times, a positive one as always. */
  async forge({ opcode, times, host = 0, driver = 0, status = 0, sense = [0, 0, 0] }: Forged): Promise<void> {
    const words = [opcode, host, driver, status, ...sense].map((word) => `0x${word.toString(16)}`);
    const count = times === undefined ? 1 : -times;
    await writeFile(this.#errors, [FAIL_COMMAND, count, ...words].join(' '));
  }

  async forgeNothing(opcode: number): Promise<void> {
    await writeFile(this.#errors, `- ${FAIL_COMMAND} 0x${opcode.toString(16)}`);
  }

  get #errors(): string {
    return `${DEBUGFS}/${this.disk.hctl}/error`;
  }

  /** Commands that the SCSI layer has sent to the disk, its own tries again included. */
  async sent(): Promise<number> {
    return Number(await readFile(`${this.folder}/iorequest_cnt`, 'utf8'));
  }

  /** A transport that sends anything: this disk is all the test's own. */
  async open(queueDepth = 1): Promise<Opened> {
    const handle = new (native().Handle)(queueDepth);
    const { errno } = await handle.open(this.sg, constants.O_RDWR);
    if (errno !== 0) throw new Error(`${this.sg}: errno ${errno}`);
    return new Opened(handle, this.sg, queueDepth);
  }
}

export class Opened extends SgTransport implements AsyncDisposable {
  readonly handle: NativeHandle;

  constructor(handle: NativeHandle, name: string, queueDepth: number) {
    super(handle, name, true, { queueDepth });
    this.handle = handle;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handle.close();
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function ready(withSd: boolean): Promise<SysfsDisk | null> {
  const [disk] = await scsiDebugDisks();
  const nodes = [disk?.sg, ...(withSd ? [disk?.block] : [])];
  try {
    for (const node of nodes) await access(`/dev/${node!.name}`);
    return disk!;
  } catch {
    return null;
  }
}
