/** MODE SENSE and MODE SELECT, of 6 and of 10 bytes (SPC-5). */
import { byteOf, type Handler, NO_DATA, parameterList } from '../command.js';
import type { Disk } from '../disk.js';
import { type Format, requireFormat } from '../format.js';
import { PAGE_CONTROLS } from '../mode-pages.js';
import { u16, u32 } from '../protection.js';
import { invalidInCdb, invalidInList, Refusal, SENSE } from '../refusal.js';

interface Header {
  readonly bytes: number;
  /** Offsets: device-specific parameter, block descriptor length. */
  readonly specificAt: number;
  readonly descriptorLength: (list: Uint8Array) => number;
  readonly long: (list: Uint8Array) => boolean;
}

/** By the length of the CDB. */
const HEADERS: Readonly<Record<number, Header>> = {
  6: { bytes: 4, specificAt: 2, descriptorLength: (list) => list[3]!, long: () => false },
  10: {
    bytes: 8,
    specificAt: 3,
    descriptorLength: (list) => u16(list, 6),
    long: (list) => (list[4]! & 0x01) !== 0,
  },
};

const DPOFUA = 0x10;
const WP = 0x80;
const CHANGEABLE_CONTROL = 1;

export const modeSense: Handler = (disk, { definition, fields }) => {
  const { page = 0, subpage = 0, pageControl = 0, disableBlockDescriptors = false, longLba = false } = fields;
  const { bytes, specificAt } = HEADERS[definition.length]!;
  const pages = disk.modePages.sense(page, subpage, PAGE_CONTROLS[pageControl]!);
  if (pages === null) throw invalidInCdb(byteOf(definition, subpage === 0 ? 'page' : 'subpage'), 5);
  const descriptor = disableBlockDescriptors
    ? NO_DATA
    : blockDescriptor(disk.medium.format, longLba, pageControl === CHANGEABLE_CONTROL);
  const data = new Uint8Array(bytes + descriptor.length + pages.length);
  const view = new DataView(data.buffer);
  if (bytes === 4) {
    data[0] = data.length - 1;
    data[3] = descriptor.length;
  } else {
    view.setUint16(0, data.length - 2);
    data[4] = Number(longLba && descriptor.length > 0);
    view.setUint16(6, descriptor.length);
  }
  data[specificAt] = DPOFUA | (disk.modePages.get('softwareWriteProtect') ? WP : 0);
  data.set(descriptor, bytes);
  data.set(pages, bytes + descriptor.length);
  return data;
};

/** SBC-4: 8 bytes with 32 bits of blocks, or 16 with 64. */
function blockDescriptor({ blocks, blockSize }: Format, long: boolean, changeable: boolean): Uint8Array {
  const descriptor = new DataView(new ArrayBuffer(long ? 16 : 8));
  if (changeable) return new Uint8Array(descriptor.buffer);
  if (long) {
    descriptor.setBigUint64(0, BigInt(blocks));
    descriptor.setUint32(12, blockSize);
  } else {
    descriptor.setUint32(0, Math.min(blocks, 0xffffffff));
    descriptor.setUint32(4, blockSize);
  }
  return new Uint8Array(descriptor.buffer);
}

export const modeSelect: Handler = (disk, command) => {
  const { definition, fields } = command;
  const { pageFormat = false, savePages = false, revertToDefaults = false } = fields;
  if (revertToDefaults) {
    disk.modePages.revert(savePages);
    return NO_DATA;
  }
  const list = parameterList(command);
  if (list.length === 0) return NO_DATA;
  if (!pageFormat) throw invalidInCdb(1, 4);
  const header = HEADERS[definition.length]!;
  if (list.length < header.bytes) throw new Refusal(SENSE.PARAMETER_LIST_LENGTH);
  const descriptorBytes = header.descriptorLength(list);
  const from = header.bytes + descriptorBytes;
  if (list.length < from) throw new Refusal(SENSE.PARAMETER_LIST_LENGTH);
  const pending =
    descriptorBytes === 0 ? disk.pendingFormat : pendingFormat(disk, list, header, descriptorBytes);
  disk.modePages.select(list.subarray(from), from, savePages);
  disk.pendingFormat = pending;
  return NO_DATA;
};

/** A block descriptor as it stands asks for nothing; another takes effect with FORMAT UNIT (SBC-4). */
function pendingFormat(
  disk: Disk,
  list: Uint8Array,
  { bytes, long }: Header,
  descriptorBytes: number,
): Disk['pendingFormat'] {
  const is64 = long(list);
  if (descriptorBytes !== (is64 ? 16 : 8)) throw invalidInList(bytes);
  const { format } = disk.medium;
  const wanted = is64 ? u32(list, bytes) * 2 ** 32 + u32(list, bytes + 4) : u32(list, bytes);
  const blockSize = is64 ? u32(list, bytes + 12) : u32(list, bytes + 4) & 0xffffff;
  const size = blockSize || format.blockSize;
  const most = Math.floor(disk.medium.capacityBytes / size);
  // 0 keeps the number of blocks while their size stays, with another size it means as many as there can be; so do all ones (SBC-4).
  const none = size === format.blockSize ? format.blocks : most;
  const made = { blockSize: size, blocks: wanted === 0 ? none : Math.min(wanted, most) };
  try {
    requireFormat({ type: 0, intervalExponent: 0, ...made });
  } catch {
    throw invalidInList(bytes + (is64 ? 12 : 4));
  }
  const same = made.blockSize === format.blockSize && made.blocks === format.blocks;
  return same ? null : made;
}
