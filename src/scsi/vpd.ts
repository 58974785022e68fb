/**
 * Vital product data pages of INQUIRY (SPC-5, SBC-4).
 */
import { hex, ResponseReader } from './bytes.js';

const HEADER_BYTES = 4;

/** A page from its header to its end, or to where the allocation length cut it short. */
function openPage(name: string, code: number, bytes: Uint8Array): ResponseReader {
  const page = new ResponseReader(`VPD page ${name}`, bytes);
  if (page.u8(1) !== code) throw page.malformed(1, `page code ${hex(bytes.subarray(1, 2))}h, not ${name}`);
  const end = HEADER_BYTES + page.u16(2);
  return end < bytes.length ? new ResponseReader(page.structure, bytes.subarray(0, end)) : page;
}

/** Page 00h: the codes of the pages that the device has. */
export function decodeSupportedPages(bytes: Uint8Array): number[] {
  const page = openPage('00h', 0x00, bytes);
  return [...page.slice(HEADER_BYTES, page.length - HEADER_BYTES)];
}

/** Page 80h: the unit serial number, or null when the device left it blank. */
export function decodeUnitSerialNumber(bytes: Uint8Array): string | null {
  const page = openPage('80h', 0x80, bytes);
  return page.ascii(HEADER_BYTES, page.length - HEADER_BYTES).trim() || null;
}

/** One designator of page 83h. */
export interface Designator {
  /** 0 the logical unit, 1 the target port, 2 the target device. */
  readonly association: number;
  /** 1 T10 vendor id, 2 EUI-64, 3 NAA, 8 SCSI name string. */
  readonly type: number;
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
  const page = openPage('83h', 0x83, bytes);
  const designators: Designator[] = [];
  for (let at = HEADER_BYTES; at + 4 <= page.length; ) {
    const length = page.u8(at + 3);
    if (at + 4 + length > page.length) break;
    designators.push({
      association: page.bits(at + 1, 5, 4),
      type: page.bits(at + 1, 3, 0),
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

export interface ExtendedInquiry {
  /** Which tags the device checks when it reads the medium. */
  readonly guardCheck: boolean;
  readonly appCheck: boolean;
  readonly refCheck: boolean;
  /** NO_PI_CHK: it checks none while it does not transfer them. */
  readonly noPiCheck: boolean;
  /**
   * Protection types that it can be formatted with; null when page B4h has to be asked. Means nothing unless
   * INQUIRY says PROTECT.
   */
  readonly supportedTypes: readonly number[] | null;
  /** P_I_I_SUP: it can have more than one interval a block. */
  readonly multipleIntervals: boolean;
}

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
  const page = openPage('86h', 0x86, bytes);
  return {
    supportedTypes: SUPPORTED_TYPES[page.bits(4, 5, 3)] ?? null,
    guardCheck: page.bit(4, 2),
    appCheck: page.bit(4, 1),
    refCheck: page.bit(4, 0),
    noPiCheck: page.bit(7, 5),
    multipleIntervals: page.bit(7, 4),
  };
}
