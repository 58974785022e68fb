/** The emulated T10 disk as a library has it: made in this process, spoilt on demand, looked at from both sides. */
import { createHash, randomBytes, randomInt } from 'node:crypto';
import type { Disk, OpenDiskOptions } from '../../device/disk.js';
import { FileLock } from '../../device/file-lock.js';
import { openInProcess } from '../../device/in-process.js';
import { EMULATED, SERIAL_PREFIX } from '../../device/safeguard/ours.js';
import { type ScsiTransport, SgTransport } from '../../device/transport.js';
import { IntegrityError } from '../../errors.js';
import { InProcessNode } from './in-process.js';
import { type Behaviour, requireBehaviour } from './model/behaviour.js';
import type { Abilities } from './model/disk.js';
import type { Fault, FaultSpec } from './model/faults.js';
import { FileMedium, unusable } from './model/file-medium.js';
import { type Format, INTERVAL_EXPONENT_MAX, requireFormat } from './model/format.js';
import type { LogicalUnit } from './model/logical-unit.js';
import { type Medium, MemoryMedium } from './model/medium.js';
import { DiskModel } from './model/model.js';
import { presetByName } from './model/presets.js';
import type { Tag } from './model/protection.js';
import type { DiskStats } from './model/stats.js';
import { type AttachedUnit, attachLogicalUnit } from './tcmu/attach.js';

export interface EmulatedDiskOptions {
  /** Protection type that the disk is formatted with. Default 1. */
  readonly type?: Format['type'];
  /** Bytes a block without protection information: 512, 1024, 2048 or 4096. Default 512. */
  readonly blockSize?: number;
  /** P_I_EXPONENT: 2^n tuples a block, types 2 and 3. Default 0. */
  readonly intervalExponent?: number;
  /** Default 131072. Only what is written takes memory. */
  readonly blocks?: number;
  /**
   * Keeps data and tuples in this file, which is made when it is not there. One that is there brings its own format and serial number: what
   * is asked for must agree.
   */
  readonly file?: string;
  /** A real disk's deviations from T10, by name; see PRESETS. */
  readonly preset?: string;
  /** What T10 leaves open; beside a preset this wins. See CHOICES. */
  readonly behaviour?: Partial<Behaviour>;
  /** Blocks may be unmapped. Default true. */
  readonly thin?: boolean;
  /** GRD_CHK, APP_CHK and REF_CHK of VPD page 86h. Default: all. */
  readonly checks?: Partial<Readonly<Record<Tag, boolean>>>;
  /** NO_PI_CHK of VPD page 86h: where no tuples are transferred, none are checked. Default false. */
  readonly noPiCheck?: boolean;
  /** Protection types that FORMAT UNIT takes. Default 1, 2 and 3; an empty list is a disk with PROTECT 0. */
  readonly supportedTypes?: readonly (1 | 2 | 3)[];
  /** At most 32 characters. Default: random. */
  readonly serial?: string;
  /**
   * INQUIRY's names, for programs that look at them: vendor up to 8 characters, product up to 16. The safeguard does not know such a disk
   * for the testbed's: it is written as anybody's is.
   */
  readonly inquiry?: Readonly<Record<'vendor' | 'product', string>>;
  /** Faults that strike one in so many commands choose by it. Default: random. */
  readonly randomSeed?: number;
}

const REVISION = '0001';
const BLOCKS = 131_072;
/** NAA 3: locally assigned (SPC-5). */
const NAA_LOCAL = 0x30;

/** A SCSI disk with T10 protection information in this process. Declare it with `await using`, or close it. */
export class EmulatedDisk implements AsyncDisposable {
  readonly #model: DiskModel;
  readonly #medium: Medium;
  readonly #lock: FileLock | null;
  readonly #attached: AttachedUnit[] = [];
  readonly #node: InProcessNode;

  private constructor(model: DiskModel, medium: Medium, lock: FileLock | null) {
    this.#model = model;
    this.#medium = medium;
    this.#lock = lock;
    this.#node = new InProcessNode(model);
  }

  /**
   * @throws ERR_OUT_OF_RANGE for a format that there cannot be, ERR_USAGE for a name that there is not, ERR_TESTBED for a file that holds
   * something else.
   */
  static async create(options: EmulatedDiskOptions = {}): Promise<EmulatedDisk> {
    const { type = 1, blockSize = 512, intervalExponent = 0, blocks = BLOCKS, thin = true, file } = options;
    const { behaviour = {}, abilities = {} } = options.preset ? presetByName(options.preset) : {};
    const format = requireFormat({ type, blockSize, intervalExponent, blocks });
    const serial = serialOf(options.serial);
    const lock = file === undefined ? null : await lockFile(file);
    let medium: Medium | undefined;
    try {
      const kept = file === undefined ? null : FileMedium.open(file, format, serial);
      medium = kept ?? new MemoryMedium(format);
      if (kept) requireAsAsked(kept, options, file as string);
      const asked = options.supportedTypes ?? abilities.supportedTypes ?? [1, 2, 3];
      const supportedTypes = ([1, 2, 3] as const).filter((one) => asked.includes(one));
      requireSupported(medium.format, supportedTypes);
      const model = new DiskModel({
        medium,
        ...(kept && { savedPages: kept.savedPages, onSave: (pages) => kept.save(pages) }),
        identity: { ...identityOf(kept?.serial ?? serial), ...inquiryOf(options.inquiry) },
        behaviour: requireBehaviour({ ...behaviour, ...options.behaviour }),
        checks: { guard: true, app: true, ref: true, ...abilities.checks, ...options.checks },
        noPiCheck: options.noPiCheck ?? abilities.noPiCheck ?? false,
        intervalExponentMax: abilities.intervalExponentMax ?? INTERVAL_EXPONENT_MAX,
        lacks: abilities.lacks ?? [],
        supportedTypes,
        thin,
        randomSeed: options.randomSeed ?? randomInt(2 ** 32),
      });
      return new EmulatedDisk(model, medium, lock);
    } catch (error) {
      medium?.close();
      await lock?.release();
      throw error;
    }
  }

  /** What takes CDBs: to be driven by whatever brings them. */
  get unit(): LogicalUnit {
    return this.#model;
  }

  get format(): Format {
    return this.#medium.format;
  }

  get identity(): Abilities['identity'] {
    return this.#model.disk.identity;
  }

  /** The initiator that this package is on a real node, with its retries; `writable` lets it send what alters the medium. */
  transport({ writable = false }: { readonly writable?: boolean } = {}): ScsiTransport {
    return new SgTransport(this.#node.open(), this.identity.serial, writable);
  }

  /**
   * Opens it as `openDevice` opens a disk of the kernel: what reads, checks and writes disks does so with this one. Its one path is
   * passthrough. Errors: as openDevice.
   */
  open(options?: OpenDiskOptions): Promise<Disk> {
    return openInProcess(this.identity.serial, this.#node, options);
  }

  /** @throws ERR_USAGE, ERR_OUT_OF_RANGE */
  addFault(spec: FaultSpec): Fault {
    return this.#model.disk.faults.add(spec);
  }

  /** @throws ERR_USAGE when there is none of that number */
  removeFault(id: number): void {
    if (this.#model.disk.faults.remove(id)) return;
    throw new IntegrityError('ERR_USAGE', `there is no fault ${id}`);
  }

  clearFaults(): void {
    this.#model.disk.faults.clear();
  }

  faults(): readonly Fault[] {
    return this.#model.disk.faults.list();
  }

  stats(): DiskStats {
    return this.#model.disk.tally.snapshot();
  }

  /**
   * Makes it a disk of this kernel: a real sg node, and without protection a block node too. sd would take the protection over and TCMU
   * does not carry its tuples, so that a disk with protection is kept from it.
   *
   * @throws ERR_TESTBED, ERR_MISSING_TOOL
   */
  async attach({
    name = this.identity.serial.slice(SERIAL_PREFIX.length),
  }: {
    readonly name?: string;
  } = {}): Promise<AttachedUnit> {
    const { type, blocks, blockSize } = this.format;
    const sd = type === 0;
    this.concealProtection(true);
    try {
      const attached = await attachLogicalUnit(this.#model, {
        name,
        sizeBytes: BigInt(blocks) * BigInt(blockSize),
        blockSize,
        sd,
        onAttached: () => this.concealProtection(sd),
      });
      this.#attached.push(attached);
      return attached;
    } catch (error) {
      this.concealProtection(false);
      throw error;
    }
  }

  /** While it conceals, INQUIRY and READ CAPACITY(16) say nothing of protection: for a host whose block layer would take it over. */
  concealProtection(conceals: boolean): void {
    this.#model.disk.concealsProtection = conceals;
  }

  /** Detaches it, where it is attached, and lets its file go. */
  async close(): Promise<void> {
    for (const attached of this.#attached.splice(0)) await attached[Symbol.asyncDispose]();
    this.#medium.close();
    await this.#lock?.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

async function lockFile(file: string): Promise<FileLock> {
  const lock = await FileLock.take(file, unusable);
  if (lock !== null) return lock;
  throw new IntegrityError('ERR_BUSY', `${file} is the file of a disk that is there already`);
}

function requireSupported({ type }: Format, supported: readonly number[]): void {
  if (type === 0 || supported.includes(type)) return;
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `type ${type} is none that this disk can be formatted with: 0, ${supported.join(', ')}`,
  );
}

/** What a file holds is not what was asked for: nothing is done to it. */
function requireAsAsked({ format, serial }: FileMedium, asked: EmulatedDiskOptions, file: string): void {
  const differs = (['type', 'blockSize', 'intervalExponent', 'blocks'] as const).find(
    (name) => asked[name] !== undefined && asked[name] !== format[name],
  );
  const why =
    differs !== undefined
      ? `${differs} ${format[differs]}, not ${asked[differs]}`
      : asked.serial !== undefined && serial !== asked.serial
        ? `serial number ${serial}, not ${asked.serial}`
        : null;
  if (why === null) return;
  throw new IntegrityError('ERR_TESTBED', `${file} holds a disk of ${why}`, {
    advice: 'Leave out what the file knows itself.',
  });
}

/** ASCII without the spaces that INQUIRY pads with (SPC-5 4.3.1). */
const NAMES = {
  vendor: /^[\x21-\x7e](?:[\x20-\x7e]{0,6}[\x21-\x7e])?$/,
  product: /^[\x21-\x7e](?:[\x20-\x7e]{0,14}[\x21-\x7e])?$/,
};

function inquiryOf(
  names: EmulatedDiskOptions['inquiry'] = EMULATED,
): Readonly<Record<'vendor' | 'product', string>> {
  const { vendor, product } = names;
  for (const [name, text] of Object.entries({ vendor, product })) {
    if (NAMES[name as keyof typeof NAMES].test(text)) continue;
    throw new IntegrityError(
      'ERR_OUT_OF_RANGE',
      `${name} ${JSON.stringify(text)}: printable characters, vendor up to 8, product up to 16`,
    );
  }
  return { vendor, product };
}

const SERIAL = /^[\x21-\x7e]{1,32}$/;

function serialOf(serial = randomBytes(5).toString('hex')): string {
  if (SERIAL.test(serial)) return serial;
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `serial ${JSON.stringify(serial)}: 1 to 32 printable characters without spaces`,
  );
}

function identityOf(serial: string): Omit<Abilities['identity'], 'vendor' | 'product'> {
  // A disk has one name as long as it lives.
  const naa = new Uint8Array(createHash('sha256').update(serial).digest().subarray(0, 8));
  naa[0] = NAA_LOCAL | (naa[0]! & 0x0f);
  return {
    revision: REVISION,
    serial: `${SERIAL_PREFIX}${serial}`,
    naa,
  };
}
