/**
 * Mode parameters: what MODE SENSE returns, and the pages in it that protection information depends on (SPC-5, SBC-4).
 *
 * Every decoder throws ERR_MALFORMED_RESPONSE for data that ends before what it says it holds, or that holds another page.
 */
import { hex, ResponseReader, requireWithin, StructureWriter } from './bytes.js';
import { bits, decodeLayout, encodeLayout, flag, type Layout, uint, uint64 } from './layout.js';

/** What MODE SENSE returned, its pages not looked into. */
export interface ModeData {
  readonly mediumType: number;
  /** WP. */
  readonly writeProtected: boolean;
  /** DPOFUA: DPO and FUA of READ and WRITE are taken. */
  readonly dpoFua: boolean;
  readonly blockDescriptors: readonly ModeBlockDescriptor[];
  readonly pages: readonly ModePage[];
}

/** NUMBER OF LOGICAL BLOCKS, where all ones of the short form mean more than it can tell, and LOGICAL BLOCK LENGTH in bytes. */
export interface ModeBlockDescriptor {
  readonly blocks: bigint;
  readonly blockSize: number;
}

export interface ModePage {
  readonly page: number;
  /** 0 where the page has none. */
  readonly subpage: number;
  /** PS: it can be saved. */
  readonly savable: boolean;
  /** From its header on: a view, not a copy. */
  readonly bytes: Uint8Array;
}

interface Header {
  readonly bytes: number;
  readonly mediumTypeAt: number;
  /** WP and DPOFUA. */
  readonly deviceSpecificAt: number;
  /** Bytes of MODE DATA LENGTH, and of BLOCK DESCRIPTOR LENGTH, which ends the header. */
  readonly lengthBytes: 1 | 2;
  /** Where LONGLBA is, bit 0. */
  readonly longLbaAt: number | null;
}

/** By bytes of the CDB. */
const HEADERS: Readonly<Record<6 | 10, Header>> = {
  6: { bytes: 4, mediumTypeAt: 1, deviceSpecificAt: 2, lengthBytes: 1, longLbaAt: null },
  10: { bytes: 8, mediumTypeAt: 2, deviceSpecificAt: 3, lengthBytes: 2, longLbaAt: 4 },
};

/** MODE SENSE data of the CDB with so many bytes, as far as the allocation length let it come; a page that is not whole is left out. */
export function decodeModeSense(bytes: Uint8Array, cdbLength: 6 | 10): ModeData {
  const { data, descriptorsEnd, header, longLba } = openModeData(bytes, cdbLength);
  const blockDescriptors: ModeBlockDescriptor[] = [];
  const each = longLba ? 16 : 8;
  for (let at = header.bytes; at + each <= Math.min(descriptorsEnd, data.length); at += each) {
    blockDescriptors.push({
      blocks: longLba ? data.u64(at) : BigInt(data.u32(at)),
      blockSize: longLba ? data.u32(at + 12) : data.u32(at + 4) & 0xffffff,
    });
  }
  return {
    mediumType: data.u8(header.mediumTypeAt),
    writeProtected: data.bit(header.deviceSpecificAt, 7),
    dpoFua: data.bit(header.deviceSpecificAt, 4),
    blockDescriptors,
    pages: pagesOf(data, descriptorsEnd),
  };
}

function openModeData(
  bytes: Uint8Array,
  cdbLength: 6 | 10,
): { data: ResponseReader; header: Header; descriptorsEnd: number; longLba: boolean } {
  const header = HEADERS[cdbLength];
  const whole = new ResponseReader(`MODE SENSE(${cdbLength}) data`, bytes);
  whole.slice(0, header.bytes);
  const uintAt = (at: number) => (header.lengthBytes === 1 ? whole.u8(at) : whole.u16(at));
  const end = Math.min(bytes.length, header.lengthBytes + uintAt(0));
  const data = new ResponseReader(whole.structure, bytes.subarray(0, Math.max(end, header.bytes)));
  return {
    data,
    header,
    descriptorsEnd: header.bytes + uintAt(header.bytes - header.lengthBytes),
    longLba: header.longLbaAt !== null && data.bit(header.longLbaAt, 0),
  };
}

function pagesOf(data: ResponseReader, from: number): ModePage[] {
  const pages: ModePage[] = [];
  for (let at = from; at + 2 <= data.length; ) {
    // SPF: a page with a subpage code has two bytes more of header.
    const long = data.bit(at, 6);
    if (long && at + 4 > data.length) break;
    const length = long ? 4 + data.u16(at + 2) : 2 + data.u8(at + 1);
    if (at + length > data.length) break;
    pages.push({
      page: data.bits(at, 5, 0),
      subpage: long ? data.u8(at + 1) : 0,
      savable: data.bit(at, 7),
      bytes: data.slice(at, length),
    });
    at += length;
  }
  return pages;
}

/** What the parameter list of MODE SELECT holds. */
export interface ModeSelectList {
  readonly descriptorBytes: number;
  readonly pages: readonly ModePage[];
}

/** Null for a list that ends within its header, a block descriptor or a page. MODE DATA LENGTH is reserved in it (SPC-5). */
export function decodeModeSelectList(bytes: Uint8Array, cdbLength: 6 | 10): ModeSelectList | null {
  const { bytes: headerBytes, lengthBytes } = HEADERS[cdbLength];
  if (bytes.length < headerBytes) return null;
  const list = new ResponseReader(`MODE SELECT(${cdbLength}) parameter list`, bytes);
  const at = headerBytes - lengthBytes;
  const descriptorBytes = lengthBytes === 1 ? list.u8(at) : list.u16(at);
  const pages = pagesOf(list, headerBytes + descriptorBytes);
  const end = pages.reduce((sum, page) => sum + page.bytes.length, headerBytes + descriptorBytes);
  return end === bytes.length ? { descriptorBytes, pages } : null;
}

/** The Control mode page. */
export interface ControlModePage {
  /** ATO: the application tags are the initiator's own; the disk keeps them and may check them. */
  readonly appTagOwner: boolean;
  /** ATMPE: the Application Tag mode page says which application tags to expect. */
  readonly appTagModePage: boolean;
  /** RWWP: writes without protection information are refused. */
  readonly rejectWritesWithoutProtection: boolean;
  /** DPICZ: nothing is checked where RDPROTECT or VRPROTECT is 0. */
  readonly noCheckWhenProtectZero: boolean;
  /** D_SENSE: sense comes in descriptor format. */
  readonly descriptorSense: boolean;
  /** SWP: the disk refuses all writes. */
  readonly softwareWriteProtect: boolean;
  /** TST: 0 one task set for all initiators, 1 one for each. */
  readonly taskSetType: number;
  /** TMF_ONLY. */
  readonly taskManagementOnly: boolean;
  /** GLTSD and RLEC: log parameters are not saved by themselves; their exception conditions are reported. */
  readonly noImplicitLogSave: boolean;
  readonly reportLogExceptions: boolean;
  /** QUEUE ALGORITHM MODIFIER: 1 lets the disk reorder simple commands as it likes. */
  readonly queueAlgorithm: number;
  /** QERR: what becomes of the other commands when one ends in CHECK CONDITION. */
  readonly queueError: number;
  /** RAC: a busy disk says so within the busy timeout. */
  readonly reportCheck: boolean;
  /** UA_INTLCK_CTRL. */
  readonly attentionInterlock: number;
  /** TAS: commands that another initiator aborts end in TASK ABORTED. */
  readonly taskAbortedStatus: boolean;
  readonly autoload: number;
  /** BUSY TIMEOUT PERIOD, in 100 ms. */
  readonly busyTimeout: number;
  /** EXTENDED SELF-TEST COMPLETION TIME, in seconds. */
  readonly selfTestSeconds: number;
}

const CONTROL: Layout<ControlModePage> = {
  taskSetType: bits(2, 7, 5),
  taskManagementOnly: flag(2, 4),
  noCheckWhenProtectZero: flag(2, 3),
  descriptorSense: flag(2, 2),
  noImplicitLogSave: flag(2, 1),
  reportLogExceptions: flag(2, 0),
  queueAlgorithm: bits(3, 7, 4),
  queueError: bits(3, 2, 1),
  reportCheck: flag(4, 6),
  attentionInterlock: bits(4, 5, 4),
  softwareWriteProtect: flag(4, 3),
  appTagOwner: flag(5, 7),
  taskAbortedStatus: flag(5, 6),
  appTagModePage: flag(5, 5),
  rejectWritesWithoutProtection: flag(5, 4),
  autoload: bits(5, 2, 0),
  busyTimeout: uint(8, 2),
  selfTestSeconds: uint(10, 2),
};

/** The Control Extension mode page. */
export interface ControlExtensionModePage {
  /** TCMOS: timestamps are changed by other methods too. */
  readonly timestampByOthers: boolean;
  /** SCSIP: the timestamp that SCSI commands set has precedence. */
  readonly scsiPrecedence: boolean;
  /** IALUAE: asymmetric access is changed by the disk itself. */
  readonly implicitAccessChange: boolean;
  readonly initialPriority: number;
  /** MAXIMUM SENSE DATA LENGTH, in bytes; 0 not told. */
  readonly senseLengthMax: number;
}

const CONTROL_EXTENSION: Layout<ControlExtensionModePage> = {
  timestampByOthers: flag(4, 2),
  scsiPrecedence: flag(4, 1),
  implicitAccessChange: flag(4, 0),
  initialPriority: bits(5, 3, 0),
  senseLengthMax: uint(6, 1),
};

/** The application tag that the blocks of one range have: a descriptor of the Application Tag mode page (SBC-4). */
export interface AppTagDescriptor {
  /** LAST: the descriptors after it mean nothing. */
  readonly last: boolean;
  readonly appTag: number;
  readonly lba: bigint;
  /** LOGICAL BLOCK COUNT. */
  readonly blocks: bigint;
}

const APP_TAG: Layout<AppTagDescriptor> = {
  last: flag(0, 7),
  appTag: uint(6, 2),
  lba: uint64(8),
  blocks: uint64(16),
};
const APP_TAG_BYTES = 24;
const APP_TAGS_AT = 16;

/**
 * The parameter list of MODE SELECT: a header, and pages as MODE SENSE returned them or as they are encoded here. PS is cleared: it is
 * reserved in what is sent.
 *
 * @param blockDescriptor of the short form: what the next FORMAT UNIT is to make. 0 blocks are as many as there can be.
 * @throws ERR_OUT_OF_RANGE naming the field of the block descriptor that does not fit.
 */
export function encodeModeSelectList(
  pages: readonly Uint8Array[],
  cdbLength: 6 | 10,
  blockDescriptor?: ModeBlockDescriptor,
): Uint8Array {
  const { bytes: headerBytes, lengthBytes } = HEADERS[cdbLength];
  const descriptorBytes = blockDescriptor === undefined ? 0 : 8;
  const from = headerBytes + descriptorBytes;
  const list = new StructureWriter(
    `MODE SELECT(${cdbLength}) parameter list`,
    pages.reduce((sum, page) => sum + page.length, from),
  );
  list.uint(headerBytes - lengthBytes, lengthBytes, 'block descriptor length', descriptorBytes);
  if (blockDescriptor !== undefined) {
    list
      .uint(headerBytes, 4, 'blocks', blockDescriptor.blocks)
      .uint(headerBytes + 5, 3, 'blockSize', blockDescriptor.blockSize);
  }
  let at = from;
  for (const page of pages) {
    list.bytes.set(page, at);
    list.bytes[at] = list.bytes[at]! & 0x7f;
    at += page.length;
  }
  return list.bytes;
}

/** A page's codes, as one number for the first byte with SPF and one for the second where it is a subpage. */
const CONTROL_PAGE = [0x0a] as const;
const CONTROL_EXTENSION_PAGE = [0x4a, 0x01] as const;
const APP_TAG_PAGE = [0x4a, 0x02] as const;

/** The page that follows the header and the block descriptors of MODE SENSE(10) data, which asked for it alone. */
function onlyPage(bytes: Uint8Array, codes: readonly number[], name: string): ResponseReader {
  const { data, descriptorsEnd } = openModeData(bytes, 10);
  const isIt = codes.every((code, i) => (data.u8(descriptorsEnd + i) & (i === 0 ? 0x7f : 0xff)) === code);
  if (!isIt) throw data.malformed(descriptorsEnd, `not the ${name} mode page`);
  return new ResponseReader(`${name} mode page`, data.slice(descriptorsEnd, data.length - descriptorsEnd));
}

const readControl = (page: ResponseReader) => decodeLayout(CONTROL, page, 6);
const readControlExtension = (page: ResponseReader) => decodeLayout(CONTROL_EXTENSION, page, 6);

/** The descriptors that are there whole, up to the last. */
function readAppTags(page: ResponseReader): AppTagDescriptor[] {
  const end = Math.min(page.length, 4 + page.u16(2));
  const descriptors: AppTagDescriptor[] = [];
  for (let at = APP_TAGS_AT; at + APP_TAG_BYTES <= end; at += APP_TAG_BYTES) {
    const descriptor = decodeLayout(APP_TAG, page, APP_TAG_BYTES, at);
    descriptors.push(descriptor);
    if (descriptor.last) break;
  }
  return descriptors;
}

/** Of MODE SENSE(10) data. */
export function decodeControlModePage(bytes: Uint8Array): ControlModePage {
  return readControl(onlyPage(bytes, CONTROL_PAGE, 'Control'));
}

/** Of MODE SENSE(10) data. */
export function decodeControlExtensionModePage(bytes: Uint8Array): ControlExtensionModePage {
  return readControlExtension(onlyPage(bytes, CONTROL_EXTENSION_PAGE, 'Control Extension'));
}

/** Of MODE SENSE(10) data: the descriptors that are there whole, up to the last. */
export function decodeApplicationTagModePage(bytes: Uint8Array): AppTagDescriptor[] {
  return readAppTags(onlyPage(bytes, APP_TAG_PAGE, 'Application Tag'));
}

/** By page and subpage. */
const CONTENTS: Readonly<Record<string, (page: ResponseReader) => object>> = {
  '10/0': readControl,
  '10/1': readControlExtension,
  '10/2': (page) => ({ descriptors: readAppTags(page) }),
};

/** The fields of a page that MODE SENSE returned; null where they are not known here. Throws ERR_MALFORMED_RESPONSE for less than its first fields. */
export function decodeModePage({ page, subpage, bytes }: ModePage): object | null {
  const read = CONTENTS[`${page}/${subpage}`];
  return read?.(new ResponseReader(`mode page ${hex([page])}h/${hex([subpage])}h`, bytes)) ?? null;
}

/**
 * The Application Tag mode page for MODE SELECT, with room for `room` descriptors: as many as the disk's page has.
 *
 * @throws ERR_OUT_OF_RANGE naming the field that does not fit, or for more descriptors than there is room for.
 */
export function encodeApplicationTagModePage(
  descriptors: readonly AppTagDescriptor[],
  room: number = descriptors.length,
): Uint8Array {
  const page = new StructureWriter('Application Tag mode page', APP_TAGS_AT + APP_TAG_BYTES * room);
  requireWithin(page.structure, 'descriptors', descriptors.length, [0n, BigInt(room)]);
  page.bytes.set(APP_TAG_PAGE);
  page.uint(2, 2, 'page length', page.bytes.length - 4);
  for (const [i, descriptor] of descriptors.entries()) {
    encodeLayout(APP_TAG, page, descriptor, APP_TAGS_AT + i * APP_TAG_BYTES);
  }
  return page.bytes;
}
