/**
 * Vital product data pages of INQUIRY (SPC-5, SBC-4).
 *
 * Every decoder throws ERR_MALFORMED_RESPONSE for another page, or for less of it than its first fields; what a shorter page of an older
 * disk does not have is 0. Every encoder throws ERR_OUT_OF_RANGE naming the field that does not fit.
 */
import { IntegrityError } from '../errors.js';
import { hex, ResponseReader, requireWithin, StructureWriter } from './bytes.js';
import { bits, decodeLayout, encodeLayout, flag, type Layout, uint, uint64 } from './layout.js';

const HEADER_BYTES = 4;

const nameOf = (code: number): string => `VPD page ${hex([code]).toUpperCase()}h`;

/** A page from its header to its end, or to where the allocation length cut it short. */
function openPage(code: number, bytes: Uint8Array): ResponseReader {
  const page = new ResponseReader(nameOf(code), bytes);
  if (page.u8(1) !== code) throw page.malformed(1, `page code ${hex([page.u8(1)])}h`);
  const end = HEADER_BYTES + page.u16(2);
  return end < bytes.length ? new ResponseReader(page.structure, bytes.subarray(0, end)) : page;
}

/** An empty page with `length` bytes behind its header. */
function newPage(code: number, length: number): StructureWriter {
  return new StructureWriter(nameOf(code), HEADER_BYTES + length)
    .uint(1, 1, 'page code', code)
    .uint(2, 2, 'page length', length);
}

/** Page 00h: the codes of the pages that the device has. */
export function decodeSupportedPages(bytes: Uint8Array): number[] {
  const page = openPage(0x00, bytes);
  return [...page.slice(HEADER_BYTES, page.length - HEADER_BYTES)];
}

/** Page 00h, in rising order. */
export function encodeSupportedPages(codes: readonly number[]): Uint8Array {
  const page = newPage(0x00, codes.length);
  for (const [i, code] of [...codes].sort((a, b) => a - b).entries())
    page.uint(HEADER_BYTES + i, 1, 'page code', code);
  return page.bytes;
}

/** Page 80h: the unit serial number, or null when the device left it blank. */
export function decodeUnitSerialNumber(bytes: Uint8Array): string | null {
  const page = openPage(0x80, bytes);
  return page.ascii(HEADER_BYTES, page.length - HEADER_BYTES).trim() || null;
}

/** Page 80h. */
export function encodeUnitSerialNumber(serial: string): Uint8Array {
  return newPage(0x80, serial.length).ascii(HEADER_BYTES, serial.length, 'serial', serial).bytes;
}

/** One designator of page 83h. */
export interface Designator {
  /** 0 the logical unit, 1 the target port, 2 the target device. */
  readonly association: number;
  /** 0 vendor specific, 1 T10 vendor id, 2 EUI-64, 3 NAA, 4 relative target port, 5 target port group, 8 SCSI name string, Ah UUID. */
  readonly type: number;
  /** 1 binary, 2 ASCII, 3 UTF-8. */
  readonly codeSet: number;
  /** PROTOCOL IDENTIFIER of a target port or device (0 FCP, 5 iSCSI, 6 SAS); null where PIV says that there is none. */
  readonly protocol: number | null;
  /** A view of the page, not a copy. */
  readonly bytes: Uint8Array;
}

export interface DeviceIdentification {
  readonly designators: readonly Designator[];
  /**
   * The logical unit's own name: `naa.5000c500...`, else `eui.0025...`, else `t10.` and text; null when it
   * has none.
   */
  readonly identity: string | null;
}

/** Which designators of the logical unit name it, the best first, and how they are written. */
const IDENTITIES: readonly { readonly type: number; readonly text: (bytes: Uint8Array) => string }[] = [
  { type: 3, text: (bytes) => `naa.${hex(bytes)}` },
  { type: 2, text: (bytes) => `eui.${hex(bytes)}` },
  { type: 1, text: (bytes) => `t10.${new ResponseReader('T10 vendor id', bytes).ascii(0, bytes.length)}` },
];

/** Page 83h. A designator that is not whole, where the allocation length cut the page short, is left out. */
export function decodeDeviceIdentification(bytes: Uint8Array): DeviceIdentification {
  const page = openPage(0x83, bytes);
  const designators: Designator[] = [];
  for (let at = HEADER_BYTES; at + 4 <= page.length; ) {
    const length = page.u8(at + 3);
    if (at + 4 + length > page.length) break;
    designators.push({
      association: page.bits(at + 1, 5, 4),
      type: page.bits(at + 1, 3, 0),
      codeSet: page.bits(at, 3, 0),
      protocol: page.bit(at + 1, 7) ? page.bits(at, 7, 4) : null,
      bytes: page.slice(at + 4, length),
    });
    at += 4 + length;
  }
  return { designators, identity: identityOf(designators) };
}

function identityOf(designators: readonly Designator[]): string | null {
  const own = designators.filter(({ association, bytes }) => association === 0 && bytes.length > 0);
  for (const { type, text } of IDENTITIES) {
    // A longer one is the more specific: NAA 6 over NAA 5.
    const [longest] = own.filter((one) => one.type === type).sort((a, b) => b.bytes.length - a.bytes.length);
    if (longest) return text(longest.bytes);
  }
  return null;
}

/** CODE SET by designator type (SPC-5): ASCII for a T10 vendor id, UTF-8 for a SCSI name string, else binary. */
const CODE_SETS: Readonly<Record<number, number>> = { 1: 2, 8: 3 };
const BINARY = 1;

/** Page 83h, with the code set that is usual for the type and without protocol. */
export function encodeDeviceIdentification(
  designators: readonly Pick<Designator, 'association' | 'type' | 'bytes'>[],
): Uint8Array {
  const page = newPage(
    0x83,
    designators.reduce((sum, { bytes }) => sum + 4 + bytes.length, 0),
  );
  let at = HEADER_BYTES;
  for (const { association, type, bytes } of designators) {
    page
      .bits(at, 3, 0, 'codeSet', CODE_SETS[type] ?? BINARY)
      .bits(at + 1, 5, 4, 'association', association)
      .bits(at + 1, 3, 0, 'type', type)
      .uint(at + 3, 1, 'designator length', bytes.length);
    page.bytes.set(bytes, at + 4);
    at += 4 + bytes.length;
  }
  return page.bytes;
}

interface ExtendedInquiryBits {
  /** Which tags the device checks when it reads the medium. */
  readonly guardCheck: boolean;
  readonly appCheck: boolean;
  readonly refCheck: boolean;
  /** NO_PI_CHK: it checks none while it does not transfer them. */
  readonly noPiCheck: boolean;
  /** P_I_I_SUP: it can have more than one interval a block. */
  readonly multipleIntervals: boolean;
  /** ACTIVATE_MICROCODE: 0 not told, 1 before the command ends, 2 after another event. */
  readonly activateMicrocode: number;
  /** UASK_SUP: UNIT ATTENTION has sense-key specific data. */
  readonly attentionsTellOverflow: boolean;
  /** GROUP_SUP and PRIOR_SUP. */
  readonly groupNumbers: boolean;
  readonly priorities: boolean;
  /** HEADSUP, ORDSUP, SIMPSUP: the task attributes. */
  readonly headOfQueue: boolean;
  readonly ordered: boolean;
  readonly simple: boolean;
  /** WU_SUP and CRD_SUP: WRITE LONG can mark blocks, with WR_UNCOR and with COR_DIS. */
  readonly writeUncorrectable: boolean;
  readonly correctionDisabled: boolean;
  /** NV_SUP and V_SUP: which kinds of cache it has. */
  readonly nonVolatileCache: boolean;
  readonly volatileCache: boolean;
  /** LUICLR: a unit attention for an I_T nexus is cleared by the logical unit. */
  readonly clearsAttentions: boolean;
  /** R_SUP: referrals. */
  readonly referrals: boolean;
  /** RTD_SUP: MODE SELECT can revert to defaults. */
  readonly revertToDefaults: boolean;
  /** HSSRELEF: microcode history snapshots are released. */
  readonly releasesSnapshots: boolean;
  /** MULTI I_T NEXUS MICROCODE DOWNLOAD. */
  readonly microcodeFromSeveral: number;
  /** EXTENDED SELF-TEST COMPLETION MINUTES. */
  readonly selfTestMinutes: number;
  /** POA_SUP, HRA_SUP, VSA_SUP: what activates microcode: power on, hard reset, something of the vendor's. */
  readonly powerOnActivates: boolean;
  readonly resetActivates: boolean;
  readonly vendorActivates: boolean;
  /** MAXIMUM SUPPORTED SENSE DATA LENGTH, in bytes; 0 not told. */
  readonly senseLengthMax: number;
}

export interface ExtendedInquiry extends ExtendedInquiryBits {
  /**
   * Protection types that it can be formatted with; null when page B4h has to be asked. Means nothing unless
   * INQUIRY says PROTECT.
   */
  readonly supportedTypes: readonly number[] | null;
}

const EXTENDED_INQUIRY: Layout<ExtendedInquiryBits> = {
  activateMicrocode: bits(4, 7, 6),
  guardCheck: flag(4, 2),
  appCheck: flag(4, 1),
  refCheck: flag(4, 0),
  attentionsTellOverflow: flag(5, 5),
  groupNumbers: flag(5, 4),
  priorities: flag(5, 3),
  headOfQueue: flag(5, 2),
  ordered: flag(5, 1),
  simple: flag(5, 0),
  writeUncorrectable: flag(6, 3),
  correctionDisabled: flag(6, 2),
  nonVolatileCache: flag(6, 1),
  volatileCache: flag(6, 0),
  noPiCheck: flag(7, 5),
  multipleIntervals: flag(7, 4),
  clearsAttentions: flag(7, 0),
  referrals: flag(8, 4),
  revertToDefaults: flag(8, 3),
  releasesSnapshots: flag(8, 1),
  microcodeFromSeveral: bits(9, 3, 0),
  selfTestMinutes: uint(10, 2),
  powerOnActivates: flag(12, 7),
  resetActivates: flag(12, 6),
  vendorActivates: flag(12, 5),
  senseLengthMax: uint(13, 1),
};

/** SPT of page 86h (SBC-4), by its value. */
const SUPPORTED_TYPES: readonly (readonly number[] | null)[] = [
  [1],
  [1, 2],
  [2],
  [1, 3],
  [3],
  [2, 3],
  null,
  [1, 2, 3],
];

/** Page 86h, extended INQUIRY data. */
export function decodeExtendedInquiry(bytes: Uint8Array): ExtendedInquiry {
  const page = openPage(0x86, bytes);
  return {
    ...decodeLayout(EXTENDED_INQUIRY, page, 8),
    supportedTypes: SUPPORTED_TYPES[page.bits(4, 5, 3)] ?? null,
  };
}

/** Page 86h. No types at all, of a disk whose INQUIRY says PROTECT 0, are SPT 0; null sends the reader to page B4h. */
export function encodeExtendedInquiry(content: Partial<ExtendedInquiry>): Uint8Array {
  const { supportedTypes = [], ...rest } = content;
  const types = supportedTypes === null ? null : [...supportedTypes].sort((a, b) => a - b).join();
  const spt = types === '' ? 0 : SUPPORTED_TYPES.findIndex((known) => (known?.join() ?? null) === types);
  if (spt < 0) throw new IntegrityError('ERR_OUT_OF_RANGE', `no SPT is for the types ${types}`);
  const page = newPage(0x86, 0x3c).bits(4, 5, 3, 'supportedTypes', spt);
  encodeLayout(EXTENDED_INQUIRY, page, rest);
  return page.bytes;
}

/** What is limited of one command, in logical blocks without protection information (SBC-4). A maximum of 0 is not told. */
export interface BlockLimits {
  /** WSNZ: WRITE SAME of no blocks is refused. */
  readonly writeSameNonZero: boolean;
  /** 0: there is no COMPARE AND WRITE. */
  readonly compareAndWriteBlocksMax: number;
  /** OPTIMAL TRANSFER LENGTH GRANULARITY. */
  readonly transferGranularity: number;
  readonly transferBlocksMax: number;
  readonly transferBlocksOptimal: number;
  readonly prefetchBlocksMax: number;
  readonly unmapBlocksMax: number;
  readonly unmapDescriptorsMax: number;
  readonly unmapGranularity: number;
  /** UGAVALID: the alignment holds. */
  readonly unmapAligned: boolean;
  readonly unmapAlignment: number;
  readonly writeSameBlocksMax: bigint;
  /** 0: there is no WRITE ATOMIC. */
  readonly atomicBlocksMax: number;
  readonly atomicAlignment: number;
  readonly atomicGranularity: number;
  /** Of a WRITE ATOMIC that has an ATOMIC BOUNDARY, and of that boundary. */
  readonly atomicBlocksWithBoundaryMax: number;
  readonly atomicBoundaryMax: number;
}

const UNMAP_ALIGNMENT = uint(32, 4);
const UNMAP_ALIGNMENT_MASK = 0x7fffffff;

const BLOCK_LIMITS: Layout<BlockLimits> = {
  writeSameNonZero: flag(4, 0),
  compareAndWriteBlocksMax: uint(5, 1),
  transferGranularity: uint(6, 2),
  transferBlocksMax: uint(8, 4),
  transferBlocksOptimal: uint(12, 4),
  prefetchBlocksMax: uint(16, 4),
  unmapBlocksMax: uint(20, 4),
  unmapDescriptorsMax: uint(24, 4),
  unmapGranularity: uint(28, 4),
  // Its highest bit is UGAVALID.
  unmapAlignment: {
    ...UNMAP_ALIGNMENT,
    read: (from, start) => UNMAP_ALIGNMENT.read(from, start) & UNMAP_ALIGNMENT_MASK,
    write: (to, start, field, value) => {
      requireWithin(to.structure, field, value, [0n, BigInt(UNMAP_ALIGNMENT_MASK)]);
      UNMAP_ALIGNMENT.write(to, start, field, value);
    },
  },
  unmapAligned: flag(32, 7),
  writeSameBlocksMax: uint64(36),
  atomicBlocksMax: uint(44, 4),
  atomicAlignment: uint(48, 4),
  atomicGranularity: uint(52, 4),
  atomicBlocksWithBoundaryMax: uint(56, 4),
  atomicBoundaryMax: uint(60, 4),
};

/** Page B0h. */
export function encodeBlockLimits(limits: Partial<BlockLimits>): Uint8Array {
  const page = newPage(0xb0, 0x3c);
  encodeLayout(BLOCK_LIMITS, page, limits);
  return page.bytes;
}

/** Page B0h, also the shorter one of SBC-2. */
export function decodeBlockLimits(bytes: Uint8Array): BlockLimits {
  return decodeLayout(BLOCK_LIMITS, openPage(0xb0, bytes), 6);
}

/** Page B1h (SBC-4). */
export interface BlockDeviceCharacteristics {
  /** MEDIUM ROTATION RATE, per minute; 0 not told, 1 not a rotating medium. */
  readonly rotationRate: number;
  readonly productType: number;
  /** WABEREQ and WACEREQ: what reading gives after block erase and after cryptographic erase, until it is written. */
  readonly afterBlockErase: number;
  readonly afterCryptoErase: number;
  /** NOMINAL FORM FACTOR: 2 is 3.5 inch, 3 2.5 inch, 4 1.8 inch. */
  readonly formFactor: number;
  /** MACT: more than one actuator. */
  readonly multipleActuators: boolean;
  /** ZONED. */
  readonly zoned: number;
  /** RBWZ: blocks that are reassigned read as zeros. */
  readonly reassignedReadZeros: boolean;
  /** BOCS: BACKGROUND CONTROL. */
  readonly backgroundControl: boolean;
  /** FUAB: FUA and SYNCHRONIZE CACHE mean the non-volatile cache too. */
  readonly fuaBehaviour: boolean;
  /** VBULS: VERIFY compares unmapped blocks. */
  readonly verifyUnmapped: boolean;
  /** DEPOPULATION TIME, in seconds. */
  readonly depopulationSeconds: number;
}

const BLOCK_DEVICE_CHARACTERISTICS: Layout<BlockDeviceCharacteristics> = {
  rotationRate: uint(4, 2),
  productType: uint(6, 1),
  afterBlockErase: bits(7, 7, 6),
  afterCryptoErase: bits(7, 5, 4),
  formFactor: bits(7, 3, 0),
  multipleActuators: flag(8, 6),
  zoned: bits(8, 5, 4),
  reassignedReadZeros: flag(8, 3),
  backgroundControl: flag(8, 2),
  fuaBehaviour: flag(8, 1),
  verifyUnmapped: flag(8, 0),
  depopulationSeconds: uint(12, 4),
};

/** Page B1h. */
export function encodeBlockDeviceCharacteristics(content: Partial<BlockDeviceCharacteristics>): Uint8Array {
  const page = newPage(0xb1, 0x3c);
  encodeLayout(BLOCK_DEVICE_CHARACTERISTICS, page, content);
  return page.bytes;
}

/** Page B1h. */
export function decodeBlockDeviceCharacteristics(bytes: Uint8Array): BlockDeviceCharacteristics {
  return decodeLayout(BLOCK_DEVICE_CHARACTERISTICS, openPage(0xb1, bytes), 6);
}

/** Page B2h (SBC-4). */
export interface LogicalBlockProvisioning {
  /** THRESHOLD EXPONENT: thresholds count in 2^n blocks; 0 for no thresholds. */
  readonly thresholdExponent: number;
  /** LBPU, LBPWS, LBPWS10: UNMAP, WRITE SAME(16) and WRITE SAME(10) let blocks go. */
  readonly unmap: boolean;
  readonly writeSame16: boolean;
  readonly writeSame10: boolean;
  /** LBPRZ: 1 where unmapped blocks read as zeros, 2 where as the provisioning initialization pattern. */
  readonly readZeros: number;
  /** ANC_SUP: blocks can be anchored. */
  readonly anchor: boolean;
  /** DP: the designator of a provisioning group follows. */
  readonly group: boolean;
  /** MINIMUM PERCENTAGE of blocks in the threshold's resource, and THRESHOLD PERCENTAGE. */
  readonly minimumPercentage: number;
  readonly thresholdPercentage: number;
  /** 0 not told, 1 resource, 2 thin provisioned. */
  readonly provisioningType: number;
}

const LOGICAL_BLOCK_PROVISIONING: Layout<LogicalBlockProvisioning> = {
  thresholdExponent: uint(4, 1),
  unmap: flag(5, 7),
  writeSame16: flag(5, 6),
  writeSame10: flag(5, 5),
  readZeros: bits(5, 4, 2),
  anchor: flag(5, 1),
  group: flag(5, 0),
  minimumPercentage: bits(6, 7, 3),
  provisioningType: bits(6, 2, 0),
  thresholdPercentage: uint(7, 1),
};

/** Page B2h, without the designator of a provisioning group. */
export function encodeLogicalBlockProvisioning(
  content: Partial<Omit<LogicalBlockProvisioning, 'group'>>,
): Uint8Array {
  const page = newPage(0xb2, 4);
  encodeLayout(LOGICAL_BLOCK_PROVISIONING, page, content);
  return page.bytes;
}

/** Page B2h. */
export function decodeLogicalBlockProvisioning(bytes: Uint8Array): LogicalBlockProvisioning {
  return decodeLayout(LOGICAL_BLOCK_PROVISIONING, openPage(0xb2, bytes), 7);
}

interface BlockLength {
  readonly blockSize: number;
  /** P_I_I_SUP: blocks of this length can have more than one interval. */
  readonly multipleIntervals: boolean;
  readonly guardCheck: boolean;
  readonly appCheck: boolean;
  readonly refCheck: boolean;
  readonly noPiCheck: boolean;
}

/** A block length that a disk can be formatted to, with the protection types it can have there (SBC-4). */
export interface SupportedBlockLength extends BlockLength {
  /** Of 0 to 3. */
  readonly types: readonly number[];
}

const BLOCK_LENGTH: Layout<BlockLength> = {
  blockSize: uint(0, 4),
  multipleIntervals: flag(4, 6),
  noPiCheck: flag(4, 3),
  guardCheck: flag(4, 2),
  appCheck: flag(4, 1),
  refCheck: flag(4, 0),
};
const BLOCK_LENGTH_BYTES = 8;
/** T0PS to T3PS are bits of this byte, by type. */
const TYPES_AT = 5;
const TYPES = [0, 1, 2, 3] as const;

/** Page B4h. */
export function encodeSupportedBlockLengths(lengths: readonly SupportedBlockLength[]): Uint8Array {
  const page = newPage(0xb4, BLOCK_LENGTH_BYTES * lengths.length);
  for (const [i, { types, ...rest }] of lengths.entries()) {
    const at = HEADER_BYTES + i * BLOCK_LENGTH_BYTES;
    encodeLayout(BLOCK_LENGTH, page, rest, at);
    for (const type of types) {
      requireWithin(page.structure, 'types', type, [0n, 3n]);
      page.bit(at + TYPES_AT, type, true);
    }
  }
  return page.bytes;
}

/** Page B4h. */
export function decodeSupportedBlockLengths(bytes: Uint8Array): SupportedBlockLength[] {
  const page = openPage(0xb4, bytes);
  const lengths: SupportedBlockLength[] = [];
  for (let at = HEADER_BYTES; at + BLOCK_LENGTH_BYTES <= page.length; at += BLOCK_LENGTH_BYTES) {
    lengths.push({
      ...decodeLayout(BLOCK_LENGTH, page, BLOCK_LENGTH_BYTES, at),
      types: TYPES.filter((type) => page.bit(at + TYPES_AT, type)),
    });
  }
  return lengths;
}
