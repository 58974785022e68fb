/**
 * Mode pages of a disk that is held: read, and selected one at a time, never saved (SP 0).
 */
import { IntegrityError } from '../../errors.js';
import { hex } from '../../scsi/bytes.js';
import { encodeCdb } from '../../scsi/commands.js';
import { decodeModeSense, encodeModeSelectList } from '../../scsi/mode-page.js';
import { fetch, type ScsiReply, type ScsiTransport } from '../transport.js';
import type { ModePageCode } from './journal-format.js';

/** What protection information depends on: Control, Control Extension, Application Tag. The others are nobody's business here. */
const PAGES: readonly ModePageCode[] = [
  { page: 0x0a, subpage: 0x00 },
  { page: 0x0a, subpage: 0x01 },
  { page: 0x0a, subpage: 0x02 },
];

/** Of MODE SENSE(10): more than any of these pages has. */
const ALLOCATION_BYTES = 8192;

/** PC of MODE SENSE. */
const PAGE_CONTROL = { current: 0, changeable: 1 } as const;

/** PS and SPF share the first byte of a page with its code. */
const PS = 0x80;
const SPF = 0x40;

/** The codes that a page begins with. @throws ERR_USAGE for a page that is not changed here. */
export function requireKnownPage(disk: string, bytes: Uint8Array): ModePageCode {
  const [first = 0, second = 0] = bytes;
  const subpage = (first & SPF) === 0 ? 0 : second;
  const known = PAGES.find((one) => one.page === (first & 0x3f) && one.subpage === subpage);
  if (known !== undefined) return known;
  const names = PAGES.map(pageName).join(', ');
  throw new IntegrityError(
    'ERR_USAGE',
    `${disk}: ${hex(bytes.subarray(0, 4), ' ')}…: no mode page of ${names}`,
    {
      disk,
      advice: 'Others are sent, and stay, by `blk-integrity cdb --write`.',
    },
  );
}

/** `0Ah/01h`. */
export function pageName({ page, subpage }: ModePageCode): string {
  return [page, subpage].map((code) => `${code.toString(16).toUpperCase().padStart(2, '0')}h`).join('/');
}

/**
 * A page as it is, from its header on, PS clear as MODE SELECT wants it.
 *
 * @throws ERR_NO_PATH when the disk has no such page, ERR_MALFORMED_RESPONSE, and what fetch throws.
 */
export async function readModePage(
  disk: string,
  transport: ScsiTransport,
  code: ModePageCode,
  values: keyof typeof PAGE_CONTROL = 'current',
): Promise<Uint8Array> {
  const cdb = encodeCdb('MODE SENSE(10)', {
    disableBlockDescriptors: true,
    page: code.page,
    subpage: code.subpage,
    pageControl: PAGE_CONTROL[values],
    allocationLength: ALLOCATION_BYTES,
  });
  const bytes = await fetch(transport, cdb, ALLOCATION_BYTES);
  if (bytes === null) {
    const message = `${disk} has no mode page ${pageName(code)}`;
    throw new IntegrityError('ERR_NO_PATH', message, { disk });
  }
  const { pages } = decodeModeSense(bytes, 10);
  const [only] = pages;
  if (pages.length !== 1 || only?.page !== code.page || only.subpage !== code.subpage) {
    const message = `${disk}: MODE SENSE of page ${pageName(code)} came with another, or none`;
    throw new IntegrityError('ERR_MALFORMED_RESPONSE', message, { disk });
  }
  return withoutPs(only.bytes);
}

/** A copy. */
export function withoutPs(page: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(page);
  copy[0] = copy[0]! & ~PS;
  return copy;
}

/** Throws ERR_USAGE unless the page differs from what it is in bits alone that the disk lets be changed. */
export async function requireChangeable(
  disk: string,
  transport: ScsiTransport,
  code: ModePageCode,
  current: Uint8Array,
  wanted: Uint8Array,
): Promise<void> {
  const changeable = await readModePage(disk, transport, code, 'changeable');
  const refuse = (why: string) =>
    new IntegrityError('ERR_USAGE', `${disk}: mode page ${pageName(code)}: ${why}`, { disk });
  if (wanted.length !== current.length)
    throw refuse(`${wanted.length} bytes, the disk has ${current.length}`);
  const fixed = wanted.findIndex(
    (byte, i) => ((byte ^ current[i]!) & ~(i < headerBytes(current) ? 0 : (changeable[i] ?? 0))) !== 0,
  );
  if (fixed >= 0) throw refuse(`byte ${fixed} has bits that the disk does not let be changed`);
}

const headerBytes = (page: Uint8Array) => ((page[0]! & SPF) === 0 ? 2 : 4);

/** UA_INTLCK_CTRL 10b and 11b, in byte 4 of the Control mode page: a unit attention stays when it was told (SPC-5). */
const KEEPS_ATTENTIONS = 0x20;

/** Throws ERR_USAGE for a page that would have a unit attention, as after a reset, be the answer to every command, restoring included. */
export function requireAttentionsEnd(
  disk: string,
  code: ModePageCode,
  current: Uint8Array,
  wanted: Uint8Array,
): void {
  const isControl = code.page === 0x0a && code.subpage === 0;
  if (!isControl || (wanted[4]! & ~current[4]! & KEEPS_ATTENTIONS) === 0) return;
  const message = `${disk}: mode page ${pageName(code)}: UA_INTLCK_CTRL 10b or 11b would keep a unit attention for every command`;
  throw new IntegrityError('ERR_USAGE', message, { disk });
}

/** MODE SELECT(10) of one page; sent once. */
export function selectModePage(transport: ScsiTransport, page: Uint8Array): Promise<ScsiReply> {
  const list = encodeModeSelectList([page], 10);
  const cdb = encodeCdb('MODE SELECT(10)', { pageFormat: true, parameterListLength: list.length });
  return transport.send({ cdb, direction: 'to-device', data: list });
}
