/**
 * The Control mode page in MODE SENSE(10) data (SPC-5).
 */
import { ResponseReader } from './bytes.js';

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
}

const HEADER_BYTES = 8;
const CONTROL_PAGE = 0x0a;

/** Throws ERR_MALFORMED_RESPONSE when the page that came is another. */
export function decodeControlModePage(bytes: Uint8Array): ControlModePage {
  const data = new ResponseReader('MODE SENSE(10) data', bytes);
  const page = HEADER_BYTES + data.u16(6);
  // SPF and page code: with SPF it is a subpage.
  if (data.bits(page, 6, 0) !== CONTROL_PAGE) throw data.malformed(page, 'not the Control mode page');
  return {
    noCheckWhenProtectZero: data.bit(page + 2, 3),
    descriptorSense: data.bit(page + 2, 2),
    softwareWriteProtect: data.bit(page + 4, 3),
    appTagOwner: data.bit(page + 5, 7),
    appTagModePage: data.bit(page + 5, 5),
    rejectWritesWithoutProtection: data.bit(page + 5, 4),
  };
}
