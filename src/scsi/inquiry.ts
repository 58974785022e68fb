/**
 * Standard INQUIRY data (SPC-5).
 */
import { ResponseReader } from './bytes.js';

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
