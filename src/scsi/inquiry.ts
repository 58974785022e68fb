/**
 * Standard INQUIRY data (SPC-5).
 */
import { ResponseReader, StructureWriter } from './bytes.js';

export interface Inquiry {
  /** 0 for a logical unit that is there. */
  readonly peripheralQualifier: number;
  /** 0 disk, 14h host-managed zoned disk. */
  readonly peripheralType: number;
  /** Of SPC: 5 is SPC-3, 6 SPC-4, 7 SPC-5. */
  readonly version: number;
  /** The disk can be formatted with protection information. Whether it is, READ CAPACITY(16) tells. */
  readonly protect: boolean;
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
}

/** Throws ERR_MALFORMED_RESPONSE for less than 36 bytes. */
export function decodeInquiry(bytes: Uint8Array): Inquiry {
  const data = new ResponseReader('standard INQUIRY data', bytes);
  return {
    peripheralQualifier: data.bits(0, 7, 5),
    peripheralType: data.bits(0, 4, 0),
    version: data.u8(2),
    protect: data.bit(5, 0),
    vendor: data.ascii(8, 8),
    product: data.ascii(16, 16),
    revision: data.ascii(32, 4),
  };
}

/** SAM-5, SPC-4 and SBC-3, no version of each claimed (SPC-5, version descriptors). */
const VERSION_DESCRIPTORS = [0x00a0, 0x0460, 0x04c0];
const INQUIRY_BYTES = 58 + 2 * 8;

/**
 * Standard INQUIRY data of a disk that is there: SPC-4, response data format 2, command queuing.
 *
 * @throws ERR_OUT_OF_RANGE for a text that is longer than its field or not printable.
 */
export function encodeInquiry({
  protect,
  vendor,
  product,
  revision,
}: Pick<Inquiry, 'protect' | 'vendor' | 'product' | 'revision'>): Uint8Array {
  const data = new StructureWriter('standard INQUIRY data', INQUIRY_BYTES);
  data.bytes.set([0, 0, 0x06, 0x02, INQUIRY_BYTES - 5, Number(protect), 0, 0x02]);
  data.ascii(8, 8, 'vendor', vendor).ascii(16, 16, 'product', product).ascii(32, 4, 'revision', revision);
  for (const [i, version] of VERSION_DESCRIPTORS.entries()) data.uint(58 + 2 * i, 2, 'version', version);
  return data.bytes;
}
