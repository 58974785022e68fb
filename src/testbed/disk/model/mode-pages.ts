/** Mode pages: their bytes, which bits of them MODE SELECT may change, and what the model reads out of them (SPC-5, SBC-4). */
import { u16 } from './protection.js';
import { invalidInList } from './refusal.js';

interface ModePageDefinition {
  readonly page: number;
  /** Null: the page has the format without subpage code. */
  readonly subpage: number | null;
  /** What follows the page length, by default. */
  readonly parameters: readonly number[];
  /** Bits that may be changed. */
  readonly changeable: readonly number[];
}

/** The application tags of at most so many ranges. */
const APP_TAG_DESCRIPTORS = 4;
const APP_TAG_DESCRIPTOR_BYTES = 24;

const zeros = (length: number) => new Array<number>(length).fill(0);

const PAGES: readonly ModePageDefinition[] = [
  // Read-Write Error Recovery: AWRE, ARRE.
  { page: 0x01, subpage: null, parameters: [0xc0, ...zeros(9)], changeable: zeros(10) },
  // Caching: WCE.
  { page: 0x08, subpage: null, parameters: [0x04, ...zeros(17)], changeable: [0x04, ...zeros(17)] },
  // Control: D_SENSE and DPICZ; SWP; ATO, ATMPE and RWWP. ATO is set by default.
  {
    page: 0x0a,
    subpage: null,
    parameters: [0x00, 0x10, 0x00, 0x80, 0, 0, 0, 0, 0, 0],
    changeable: [0x0c, 0x00, 0x08, 0xb0, 0, 0, 0, 0, 0, 0],
  },
  // Control Extension: MAXIMUM SENSE DATA LENGTH.
  { page: 0x0a, subpage: 0x01, parameters: [0, 0, 252, ...zeros(25)], changeable: zeros(28) },
  // Application Tag: what it is made of is checked where it is selected.
  {
    page: 0x0a,
    subpage: 0x02,
    parameters: zeros(12 + APP_TAG_DESCRIPTORS * APP_TAG_DESCRIPTOR_BYTES),
    changeable: [
      ...zeros(12),
      ...new Array<number>(APP_TAG_DESCRIPTORS * APP_TAG_DESCRIPTOR_BYTES).fill(0xff),
    ],
  },
  // Informational Exceptions Control: no failure prediction.
  { page: 0x1c, subpage: null, parameters: zeros(10), changeable: zeros(10) },
];

/** By PC of MODE SENSE. */
export const PAGE_CONTROLS = ['current', 'changeable', 'default', 'saved'] as const;
export type PageControl = (typeof PAGE_CONTROLS)[number];

const ALL_PAGES = 0x3f;
const ALL_SUBPAGES = 0xff;
const PS = 0x80;
const SPF = 0x40;

const CONTROL = { page: 0x0a, subpage: null } as const;
const APP_TAGS = { page: 0x0a, subpage: 0x02 } as const;

export type ControlBit = keyof typeof CONTROL_BITS;

/** Byte of the parameters of the Control mode page, and bit. */
const CONTROL_BITS = {
  descriptorSense: [0, 0x04],
  dpicz: [0, 0x08],
  softwareWriteProtect: [2, 0x08],
  ato: [3, 0x80],
  atmpe: [3, 0x20],
  rwwp: [3, 0x10],
} as const;

export type SavedPages = Readonly<Record<string, readonly number[]>>;

/** Whether this is what a disk has saved: each page in its length, of bytes. A page that is not there is as it was made. */
export function areSavedPages(pages: unknown): pages is SavedPages {
  if (typeof pages !== 'object' || pages === null) return false;
  return PAGES.every((definition) => {
    const key = keyOf(definition);
    if (!Object.hasOwn(pages, key)) return true;
    const bytes: unknown = (pages as Record<string, unknown>)[key];
    const isByte = (byte: unknown) =>
      Number.isInteger(byte) && (byte as number) >= 0 && (byte as number) <= 0xff;
    return Array.isArray(bytes) && bytes.length === definition.parameters.length && bytes.every(isByte);
  });
}

const keyOf = ({ page, subpage }: { page: number; subpage: number | null }) => `${page}/${subpage ?? 0}`;

/** The mode parameters of one disk. */
export class ModePages {
  readonly #current = new Map<string, Uint8Array>();
  readonly #saved = new Map<string, Uint8Array>();
  /** Of the disk, for the Application Tag page: its ranges end with the last block. */
  readonly #lastLba: () => number;
  readonly #onSave: (pages: SavedPages) => void;

  constructor(lastLba: () => number, saved: SavedPages = {}, onSave: (pages: SavedPages) => void = () => {}) {
    this.#lastLba = lastLba;
    this.#onSave = onSave;
    for (const definition of PAGES) {
      const key = keyOf(definition);
      const bytes = Uint8Array.from(saved[key] ?? definition.parameters);
      this.#current.set(key, bytes);
      this.#saved.set(key, bytes.slice());
    }
  }

  get(bit: ControlBit): boolean {
    const [byte, mask] = CONTROL_BITS[bit];
    return (this.#current.get(keyOf(CONTROL))![byte]! & mask) !== 0;
  }

  set(bit: ControlBit, value: boolean): void {
    const [byte, mask] = CONTROL_BITS[bit];
    const bytes = this.#current.get(keyOf(CONTROL))!;
    bytes[byte] = value ? bytes[byte]! | mask : bytes[byte]! & ~mask;
  }

  /** The saved values, for a disk that outlives its process. */
  saved(): SavedPages {
    return Object.fromEntries([...this.#saved].map(([key, bytes]) => [key, [...bytes]]));
  }

  /** The pages that MODE SENSE asks for; null where there is none. */
  sense(page: number, subpage: number, control: PageControl): Uint8Array | null {
    const chosen = PAGES.filter((one) => {
      if (page !== ALL_PAGES && one.page !== page) return false;
      return subpage === ALL_SUBPAGES || (one.subpage ?? 0) === subpage;
    });
    if (chosen.length === 0) return null;
    return Uint8Array.from(chosen.flatMap((one) => [...header(one), ...this.#values(one, control)]));
  }

  #values(definition: ModePageDefinition, control: PageControl): ArrayLike<number> & Iterable<number> {
    const key = keyOf(definition);
    const { parameters, changeable } = definition;
    const byControl = {
      current: this.#current.get(key)!,
      saved: this.#saved.get(key)!,
      default: parameters,
      changeable,
    };
    return byControl[control];
  }

  /**
   * Takes the pages of MODE SELECT, all or none of them.
   *
   * @param from where in the parameter list they begin, for the field pointer.
   */
  select(pages: Uint8Array, from: number, save: boolean): void {
    const changes = new Map<string, Uint8Array>();
    for (let at = 0; at < pages.length; ) {
      const long = (pages[at]! & SPF) !== 0;
      const headerBytes = long ? 4 : 2;
      const subpage = long ? (pages[at + 1] ?? 0) : null;
      const definition = PAGES.find((one) => one.page === (pages[at]! & 0x3f) && one.subpage === subpage);
      if (definition === undefined) throw invalidInList(from + at, 5);
      // MODE SENSE alone has PS: here it is reserved (SPC-5, mode page format).
      if ((pages[at]! & PS) !== 0) throw invalidInList(from + at, 7);
      const length = long ? u16OrNone(pages, at + 2) : pages[at + 1];
      if (length !== definition.parameters.length)
        throw invalidInList(from + at + headerBytes - (long ? 2 : 1));
      const start = at + headerBytes;
      const wanted = pages.slice(start, start + length);
      if (wanted.length < length) throw invalidInList(from + at);
      const current = this.#current.get(keyOf(definition))!;
      const fixed = wanted.findIndex(
        (byte, i) => ((byte ^ current[i]!) & ~definition.changeable[i]! & 0xff) !== 0,
      );
      if (fixed >= 0) throw invalidInList(from + start + fixed);
      if (definition.page === APP_TAGS.page && definition.subpage === APP_TAGS.subpage) {
        requireAppTags(wanted, from + start, this.#lastLba());
      }
      changes.set(keyOf(definition), wanted);
      at = start + length;
    }
    this.#change(changes, save);
  }

  /** RTD of MODE SELECT: all pages as they were made. */
  revert(save: boolean): void {
    this.#change(
      PAGES.map((page) => [keyOf(page), Uint8Array.from(page.parameters)]),
      save,
    );
  }

  #change(changes: Iterable<readonly [key: string, bytes: Uint8Array]>, save: boolean): void {
    for (const [key, bytes] of changes) {
      this.#current.set(key, bytes);
      if (save) this.#saved.set(key, bytes.slice());
    }
    if (save) this.#onSave(this.saved());
  }

  /** The application tag that the Application Tag page says of a block; null where it says none. */
  appTag(lba: number): number | null {
    for (const { tag, first, count } of appTagRanges(this.#current.get(keyOf(APP_TAGS))!)) {
      if (lba >= first && lba < first + count) return tag;
    }
    return null;
  }
}

function header({ page, subpage, parameters }: ModePageDefinition): number[] {
  return subpage === null
    ? [PS | page, parameters.length]
    : [PS | SPF | page, subpage, parameters.length >> 8, parameters.length & 0xff];
}

function u16OrNone(bytes: Uint8Array, at: number): number | undefined {
  return at + 2 <= bytes.length ? u16(bytes, at) : undefined;
}

interface AppTagRange {
  readonly last: boolean;
  readonly tag: number;
  readonly first: number;
  readonly count: number;
}

/** The descriptors up to the one that says LAST; none where no range has blocks. */
function appTagRanges(parameters: Uint8Array): AppTagRange[] {
  const view = new DataView(parameters.buffer, parameters.byteOffset, parameters.byteLength);
  const ranges: AppTagRange[] = [];
  for (let at = 12; at < parameters.length; at += APP_TAG_DESCRIPTOR_BYTES) {
    const count = Number(view.getBigUint64(at + 16));
    if (count === 0) break;
    const last = (parameters[at]! & 0x80) !== 0;
    ranges.push({ last, tag: view.getUint16(at + 6), first: Number(view.getBigUint64(at + 8)), count });
    if (last) break;
  }
  return ranges;
}

/** SBC-4: the first range begins at 0, each goes on where the one before ended, and the last ends with the last block. */
function requireAppTags(parameters: Uint8Array, from: number, lastLba: number): void {
  const ranges = appTagRanges(parameters);
  if (ranges.length === 0) return;
  let next = 0;
  for (const [i, { first, count }] of ranges.entries()) {
    if (first !== next) throw invalidInList(from + 12 + i * APP_TAG_DESCRIPTOR_BYTES + 8);
    next = first + count;
  }
  const { last } = ranges.at(-1)!;
  if (!last || next !== lastLba + 1) {
    throw invalidInList(from + 12 + (ranges.length - 1) * APP_TAG_DESCRIPTOR_BYTES + 16);
  }
}
