/**
 * What the disk says of itself, and where the kernel says otherwise.
 */
import type { LbmdCapability } from '../binding.js';
import { IntegrityError } from '../errors.js';
import type { NamespaceFormat } from '../nvme/identify.js';
import type { GuardKind, Profile, ProfileName } from '../pi/profile.js';
import { profileByName, tagRoom } from '../pi/profile.js';
import { inquiryCdb, modeSense10Cdb, readCapacity16Cdb } from '../scsi/cdb.js';
import { decodeInquiry, type Inquiry } from '../scsi/inquiry.js';
import { type ControlModePage, decodeControlModePage } from '../scsi/mode-page.js';
import { decodeReadCapacity16, type ReadCapacity16 } from '../scsi/read-capacity.js';
import {
  type BlockLimits,
  decodeBlockLimits,
  decodeDeviceIdentification,
  decodeExtendedInquiry,
  decodeSupportedPages,
  decodeUnitSerialNumber,
  type ExtendedInquiry,
} from '../scsi/vpd.js';
import type { SysfsDisk } from '../sysfs/disks.js';
import { fetch, type ScsiTransport } from './transport.js';

/** Allocation length of INQUIRY, VPD and MODE SENSE: enough for each page that is read here. */
const PAGE_BYTES = 252;
const READ_CAPACITY_16_BYTES = 32;
const CONTROL_MODE_PAGE = 0x0a;

/** Who the disk is: little enough to be asked before every write. */
export interface DiskIdentity {
  readonly inquiry: Inquiry;
  /** The logical unit's own name from VPD 83h (`naa.…`, `eui.…`, `t10.…`), or null. */
  readonly identity: string | null;
  /** Unit serial number, VPD 80h. */
  readonly serial: string | null;
}

export interface DiskFacts extends DiskIdentity {
  /** VPD 86h: which tags the disk says it checks. */
  readonly extended: ExtendedInquiry | null;
  /** VPD B0h: how much one command may carry. */
  readonly limits: BlockLimits | null;
  readonly capacity: ReadCapacity16 | null;
  readonly control: ControlModePage | null;
}

type Ask = <T>(cdb: Uint8Array, length: number, decode: (bytes: Uint8Array) => T) => Promise<T | null>;

/**
 * Every answer is hostile input: the decoders check its bounds. Null for a command that the disk refused, and for an answer that
 * makes no sense: bridges answer pages that they do not know with others.
 */
function asker(transport: ScsiTransport, signal?: AbortSignal): Ask {
  return async (cdb, length, decode) => {
    const bytes = await fetch(transport, cdb, length, signal);
    try {
      return bytes === null ? null : decode(bytes);
    } catch (error) {
      if (error instanceof IntegrityError && error.code === 'ERR_MALFORMED_RESPONSE') return null;
      throw error;
    }
  };
}

const vpdCdb = (page: number) => inquiryCdb(PAGE_BYTES, page);

/** Asks the disk who it is; null when it refuses INQUIRY. */
export async function learnIdentity(
  transport: ScsiTransport,
  signal?: AbortSignal,
): Promise<DiskIdentity | null> {
  const ask = asker(transport, signal);
  const inquiry = await ask(inquiryCdb(PAGE_BYTES), PAGE_BYTES, decodeInquiry);
  if (inquiry === null) return null;
  const names = await ask(vpdCdb(0x83), PAGE_BYTES, decodeDeviceIdentification);
  const serial = await ask(vpdCdb(0x80), PAGE_BYTES, decodeUnitSerialNumber);
  return { inquiry, identity: names?.identity ?? null, serial };
}

/** Whether two answers name one and the same disk. */
export function sameIdentity(a: DiskIdentity, b: DiskIdentity): boolean {
  return (
    a.inquiry.vendor === b.inquiry.vendor &&
    a.inquiry.product === b.inquiry.product &&
    a.identity === b.identity &&
    a.serial === b.serial
  );
}

/** READ CAPACITY(16): size and format; null when the disk refuses it. */
export async function learnCapacity(
  transport: ScsiTransport,
  signal?: AbortSignal,
): Promise<ReadCapacity16 | null> {
  const cdb = readCapacity16Cdb(READ_CAPACITY_16_BYTES);
  return asker(transport, signal)(cdb, READ_CAPACITY_16_BYTES, decodeReadCapacity16);
}

/** Whether two answers tell of one and the same format. */
export function sameCapacity(a: ReadCapacity16 | null, b: ReadCapacity16 | null): boolean {
  return (
    a?.blocks === b?.blocks &&
    a?.blockSize === b?.blockSize &&
    a?.protectionType === b?.protectionType &&
    a?.intervalExponent === b?.intervalExponent
  );
}

/** Asks again: whether it is the disk that told these facts, formatted as it was then. */
export async function isStillThat(
  facts: DiskFacts,
  transport: ScsiTransport,
  signal?: AbortSignal,
): Promise<boolean> {
  const now = await learnIdentity(transport, signal);
  const capacity = await learnCapacity(transport, signal);
  return now !== null && sameIdentity(now, facts) && sameCapacity(capacity, facts.capacity);
}

/** Asks the disk for all that this package knows how to ask. */
export async function learnFacts(transport: ScsiTransport, signal?: AbortSignal): Promise<DiskFacts | null> {
  const identity = await learnIdentity(transport, signal);
  if (identity === null) return null;
  const ask = asker(transport, signal);
  const supported = (await ask(vpdCdb(0x00), PAGE_BYTES, decodeSupportedPages)) ?? [];
  const askPage = async <T>(page: number, decode: (bytes: Uint8Array) => T) =>
    supported.includes(page) ? ask(vpdCdb(page), PAGE_BYTES, decode) : null;
  return {
    ...identity,
    extended: await askPage(0x86, decodeExtendedInquiry),
    limits: await askPage(0xb0, decodeBlockLimits),
    capacity: await learnCapacity(transport, signal),
    control: await ask(modeSense10Cdb(CONTROL_MODE_PAGE, PAGE_BYTES), PAGE_BYTES, decodeControlModePage),
  };
}

/** What a disk says of itself: of the two, a SCSI disk has the one and an NVMe namespace the other. */
export interface Told {
  readonly facts: DiskFacts | null;
  readonly namespace: NamespaceFormat | null;
}

/** The profile by which the kernel's block layer works, or null when it has none for this disk. */
export function kernelProfile(
  sysfs: SysfsDisk,
  { facts, namespace }: Told,
  lbmd: LbmdCapability | null,
): Profile | null {
  const { integrity, logicalBlockSize } = sysfs;
  if (!integrity.present || integrity.format === null) return null;
  const profile = profileByName(integrity.format, {
    interval: integrity.interval ?? logicalBlockSize ?? 512,
    ...metadataLayout(integrity.format, namespace, lbmd),
    // The kernel registers type 2 under the type 1 name: the checks are the same, the commands are not.
    ...(facts?.capacity?.protectionType === 2 ? { type: 2 as const } : {}),
  });
  // As the driver gave it: the kernel (7.3) takes and shows a size that no tuple has room for.
  const { tagSize } = integrity;
  return tagSize <= tagRoom(profile) ? { ...profile, tagSize } : profile;
}

/** Metadata that is wider than the tuple: by the kernel's word, which it gives since Linux 6.17, else the namespace's. */
function metadataLayout(
  format: string,
  namespace: NamespaceFormat | null,
  lbmd: LbmdCapability | null,
): { metadataSize?: number; piOffset?: number } {
  if (lbmd?.size) return { metadataSize: lbmd.size, piOffset: lbmd.piOffset };
  const own = namespace && namespaceProfile(namespace);
  // A namespace that says otherwise was formatted anew, and the kernel has not looked again.
  return own?.name === format ? { metadataSize: own.metadataSize, piOffset: own.piOffset } : {};
}

/** Names of the profiles of a namespace: by its guard, type 3 and the others. */
const NAMESPACE_PROFILES: Readonly<
  Record<GuardKind, readonly [others: ProfileName, type3: ProfileName] | null>
> = {
  crc16: ['T10-DIF-TYPE1-CRC', 'T10-DIF-TYPE3-CRC'],
  crc64: ['EXT-DIF-TYPE1-CRC64', 'EXT-DIF-TYPE3-CRC64'],
  ip: null,
};

/** The profile by which the disk itself is formatted, or null when it is formatted without protection. On the wire the guard is a CRC. */
export function diskProfile({ facts, namespace }: Told): Profile | null {
  return namespace === null ? scsiProfile(facts) : namespaceProfile(namespace);
}

function scsiProfile(facts: DiskFacts | null): Profile | null {
  const capacity = facts?.capacity;
  if (!capacity || capacity.protectionType === 0) return null;
  return profileByName(capacity.protectionType === 3 ? 'T10-DIF-TYPE3-CRC' : 'T10-DIF-TYPE1-CRC', {
    interval: capacity.blockSize >> capacity.intervalExponent,
    type: capacity.protectionType,
  });
}

function namespaceProfile(namespace: NamespaceFormat): Profile | null {
  const { protectionType: type, guard, blockSize: interval, metadataSize, piOffset } = namespace;
  const names = guard && NAMESPACE_PROFILES[guard];
  if (names === null) return null;
  return profileByName(names[type === 3 ? 1 : 0], { interval, type, metadataSize, piOffset });
}

/** Where the kernel's picture of the disk differs from the disk's own, in words; none when they agree. */
export function disagreements(sysfs: SysfsDisk, facts: DiskFacts | null): string[] {
  const capacity = facts?.capacity;
  if (!capacity) return [];
  const { block, scsiDisk, host, integrity } = sysfs;
  const type = capacity.protectionType;
  const hostHasDif = host?.dif.includes(type) ?? false;
  const hostHasDix = host?.dix.includes(type) ?? false;
  const rules: [boolean, string][] = [
    [
      block !== null && capacity.blockSize !== sysfs.logicalBlockSize,
      `READ CAPACITY(16) says ${capacity.blockSize} bytes a block, the kernel ${sysfs.logicalBlockSize}`,
    ],
    [
      block !== null && capacity.blocks !== sysfs.blocks,
      `READ CAPACITY(16) says ${capacity.blocks} blocks, the kernel ${sysfs.blocks}`,
    ],
    [
      facts.inquiry.protect === false && type !== 0,
      `READ CAPACITY(16) says protection type ${type}, INQUIRY PROTECT is 0`,
    ],
    [
      scsiDisk !== null && hostHasDif && scsiDisk.protectionType !== type,
      `the disk is formatted with protection type ${type}, the kernel's scsi_disk says ${scsiDisk?.protectionType}`,
    ],
    [
      type !== 0 && host !== null && !hostHasDif,
      `the disk is formatted with protection type ${type}, but host${host?.number} (${host?.driver}) does not offer it: DIF is off`,
    ],
    [
      block !== null && type !== 0 && hostHasDix && integrity.present === false,
      `host${host?.number} offers DIX type ${type} and the disk is formatted with it, but the block layer has no profile: DIX is off`,
    ],
    [
      integrity.present === true && type !== 0 && integrity.format?.includes('TYPE3') !== (type === 3),
      `the disk is formatted with protection type ${type}, the block layer's profile is ${integrity.format}`,
    ],
    [
      integrity.present === true &&
        type !== 0 &&
        integrity.interval !== null &&
        integrity.interval !== capacity.blockSize >> capacity.intervalExponent,
      `the disk protects intervals of ${capacity.blockSize >> capacity.intervalExponent} bytes, the block layer ${integrity.interval}`,
    ],
  ];
  return rules.filter(([differs]) => differs).map(([, text]) => text);
}
