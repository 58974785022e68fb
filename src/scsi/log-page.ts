/** Log pages of LOG SENSE (SPC-5). */
import { ResponseReader } from './bytes.js';

const HEADER_BYTES = 4;
const ALL_SUBPAGES = 0xff;

export interface LogPage {
  readonly page: number;
  readonly subpage: number;
  readonly parameters: readonly LogParameter[];
}

export interface LogParameter {
  readonly code: number;
  /** The byte of DU, TSD, ETC, TMC and FORMAT AND LINKING. */
  readonly control: number;
  /** A view, not a copy. */
  readonly bytes: Uint8Array;
}

export interface LogPageCode {
  readonly page: number;
  readonly subpage: number;
}

/** From the header to the end, or to where the allocation length cut it short. */
function openLogPage(bytes: Uint8Array): { log: ResponseReader; page: number; subpage: number } {
  const whole = new ResponseReader('log page', bytes);
  const end = Math.min(bytes.length, HEADER_BYTES + whole.u16(2));
  // SPF says whether the second byte is a subpage code.
  return {
    log: new ResponseReader(whole.structure, bytes.subarray(0, end)),
    page: whole.bits(0, 5, 0),
    subpage: whole.bit(0, 6) ? whole.u8(1) : 0,
  };
}

/** Any page that is made of parameters; one that is not whole is left out. Throws ERR_MALFORMED_RESPONSE for less than a header. */
export function decodeLogPage(bytes: Uint8Array): LogPage {
  const { log, page, subpage } = openLogPage(bytes);
  const parameters: LogParameter[] = [];
  for (let at = HEADER_BYTES; at + 4 <= log.length; ) {
    const length = log.u8(at + 3);
    if (at + 4 + length > log.length) break;
    parameters.push({ code: log.u16(at), control: log.u8(at + 2), bytes: log.slice(at + 4, length) });
    at += 4 + length;
  }
  return { page, subpage, parameters };
}

/**
 * Which log pages there are, from page 00h: all with subpage 0, or with subpage FFh all there are.
 *
 * @throws ERR_MALFORMED_RESPONSE for another page.
 */
export function decodeSupportedLogPages(bytes: Uint8Array): LogPageCode[] {
  const { log, page, subpage } = openLogPage(bytes);
  if (page !== 0 || (subpage !== 0 && subpage !== ALL_SUBPAGES)) throw log.malformed(0, 'not log page 00h');
  const each = subpage === ALL_SUBPAGES ? 2 : 1;
  const codes: LogPageCode[] = [];
  for (let at = HEADER_BYTES; at + each <= log.length; at += each) {
    codes.push({ page: log.bits(at, 5, 0), subpage: each === 2 ? log.u8(at + 1) : 0 });
  }
  return codes;
}
