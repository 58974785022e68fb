/**
 * T10 SBC-4's tables of the protect fields: which tags are checked, and when. The emulated disk's own: whatever judges disks has others.
 */
import { crc16T10Dif } from '../../../pi/guard.js';
import type { Behaviour } from './behaviour.js';
import { type Format, TUPLE_BYTES } from './format.js';
import { SENSE, type SenseCodes } from './refusal.js';

export type Tag = 'guard' | 'app' | 'ref';

/** By the value of RDPROTECT, VRPROTECT or ORPROTECT: what is checked of the medium. Null is reserved. */
const MEDIUM_CHECKS: readonly (readonly Tag[] | null)[] = [
  ['guard', 'app', 'ref'],
  ['guard', 'app', 'ref'],
  ['app', 'ref'],
  [],
  ['guard'],
  ['guard', 'app', 'ref'],
  null,
  null,
];

/** By the value of WRPROTECT, or of VRPROTECT with data-out: what is checked of what the initiator sends. */
const DATA_OUT_CHECKS: readonly (readonly Tag[] | null)[] = [
  [],
  ['guard', 'app', 'ref'],
  ['app', 'ref'],
  [],
  ['guard'],
  ['guard', 'app', 'ref'],
  null,
  null,
];

/** By the value of VRPROTECT: which tags VERIFY compares with those that the initiator sends. */
const COMPARED: readonly (readonly Tag[])[] = [
  [],
  ['guard', 'app', 'ref'],
  ['app', 'ref'],
  ['guard', 'app', 'ref'],
  ['guard', 'app', 'ref'],
  ['guard', 'app', 'ref'],
];

/**
 * Values of the protect field with which SBC-4 lets the device leave a tag of data-out: of WRPROTECT the application tag with any, while
 * RWWP is 0.
 */
const MAY: Readonly<Record<'write' | 'verify', Readonly<Record<'app' | 'ref', readonly number[]>>>> = {
  write: { app: [0b001, 0b010, 0b101], ref: [0b010, 0b101] },
  verify: { app: [0b101], ref: [0b101] },
};

/** What decides beside the protect field. */
export interface Rules {
  readonly behaviour: Behaviour;
  readonly format: Format;
  /** GRD_CHK, APP_CHK, REF_CHK of VPD page 86h. */
  readonly enabled: Readonly<Record<Tag, boolean>>;
  /** NO_PI_CHK: nothing is checked that is not transferred. */
  readonly noPiCheck: boolean;
  /** Of the Control mode page. */
  readonly ato: boolean;
  readonly dpicz: boolean;
  readonly rwwp: boolean;
}

/** Whether this value of a protect field is none. */
export function isReservedProtect(protect: number, { protect101 }: Behaviour): boolean {
  return MEDIUM_CHECKS[protect] == null || (protect === 0b101 && protect101 === 'reserved');
}

/** Of the medium, by READ, VERIFY without data-out and ORWRITE. */
export function mediumChecks(protect: number, { behaviour, enabled, noPiCheck, dpicz }: Rules): Tag[] {
  if (protect === 0 && (dpicz || noPiCheck)) return [];
  const listed: readonly Tag[] =
    protect === 0b100 && behaviour.protect100 === 'app' ? ['app'] : (MEDIUM_CHECKS[protect] ?? []);
  return listed.filter((tag) => enabled[tag]);
}

/** Of data-out, by what writes, or by VERIFY with BYTCHK 01b and 11b. With ATO 0 nobody knows the application tag. */
export function dataOutChecks(
  protect: number,
  { behaviour, rwwp }: Rules,
  by: keyof typeof MAY = 'write',
): Tag[] {
  const { writeRefMay, writeAppMay } = behaviour;
  const shall = by === 'write' && rwwp;
  const left: Readonly<Record<Tag, boolean>> = {
    guard: false,
    app: !shall && MAY[by].app.includes(protect) && writeAppMay === 'unchecked',
    ref: MAY[by].ref.includes(protect) && writeRefMay === 'unchecked',
  };
  if (by === 'verify' && behaviour.verifyDataOut === 'compared') return [];
  return (DATA_OUT_CHECKS[protect] ?? []).filter((tag) => !left[tag]);
}

/** Type 3 has reference tags only while the application does not own them (ATO 0). */
export function comparedTags(protect: number, { format, ato }: Rules): Tag[] {
  const skipped: Readonly<Record<Tag, boolean>> = {
    guard: false,
    app: !ato,
    ref: format.type === 3 && ato,
  };
  return (COMPARED[protect] ?? []).filter((tag) => !skipped[tag]);
}

/** The tags that a command tells the disk to expect, or that the disk knows of itself. */
export interface Knowledge {
  /** Reference tag of the first interval of block `lba`; null where nobody knows it. */
  ref(lba: number): number | null;
  /** Application tag and mask of a block; null where nobody knows them. */
  app(lba: number): { readonly tag: number; readonly mask: number } | null;
}

const ORDERS: Readonly<Record<Behaviour['firstFailed'], readonly Tag[]>> = {
  'guard-app-ref': ['guard', 'app', 'ref'],
  'ref-guard-app': ['ref', 'guard', 'app'],
};

/** The offsets of the tags in a tuple, in bytes. */
const APP_AT = 2;
const REF_AT = 4;

export const CHECK_FAILED: Readonly<Record<Tag, SenseCodes>> = {
  guard: SENSE.GUARD,
  app: SENSE.APP,
  ref: SENSE.REF,
};

/**
 * Checks the tuples of one block, `data` and `tuples` in the order of its intervals: the first tag that fails, or null. A tuple whose
 * application tag is FFFFh, with type 3 its reference tag FFFFFFFFh too, is passed over.
 */
export function failedTag(
  { format, behaviour }: Rules,
  checks: readonly Tag[],
  known: Knowledge,
  lba: number,
  data: Uint8Array,
  tuples: Uint8Array,
): Tag | null {
  if (checks.length === 0) return null;
  const interval = format.blockSize >> format.intervalExponent;
  for (let at = 0, j = 0; at < tuples.length; at += TUPLE_BYTES, j++) {
    const app = u16(tuples, at + APP_AT);
    const ref = u32(tuples, at + REF_AT);
    if (app === 0xffff && (format.type !== 3 || ref === 0xffffffff)) continue;
    const fails: Readonly<Record<Tag, () => boolean>> = {
      guard: () => u16(tuples, at) !== crc16T10Dif(0, data.subarray(j * interval, (j + 1) * interval)),
      app: () => {
        const expected = known.app(lba);
        return expected !== null && ((app ^ expected.tag) & expected.mask) !== 0;
      },
      ref: () => {
        const first = known.ref(lba);
        return first !== null && ref !== (first + j) >>> 0;
      },
    };
    const failed = ORDERS[behaviour.firstFailed].find((tag) => checks.includes(tag) && fails[tag]());
    if (failed !== undefined) return failed;
  }
  return null;
}

/** The tuples of a block that came without: by SBC-4 for type 1, and what disks do for the others. */
export function generateTuples(
  { format, behaviour, ato }: Rules,
  lba: number,
  data: Uint8Array,
  tuples: Uint8Array,
): void {
  const interval = format.blockSize >> format.intervalExponent;
  // With ATO 0 the tag is the disk's; where nobody knows the reference tag only an escape can be read again.
  const app = (ato && behaviour.generatedAppTag === 'ffff') || (!ato && format.type !== 1) ? 0xffff : 0;
  for (let at = 0, j = 0; at < tuples.length; at += TUPLE_BYTES, j++) {
    putU16(tuples, at, crc16T10Dif(0, data.subarray(j * interval, (j + 1) * interval)));
    putU16(tuples, at + APP_AT, app);
    putU32(tuples, at + REF_AT, format.type === 1 ? lba % 2 ** 32 : 0xffffffff);
  }
}

/** The bytes of a tag in the tuples of a block, one piece a tuple. */
export const TAG_BYTES: Readonly<Record<Tag, readonly [from: number, to: number]>> = {
  guard: [0, APP_AT],
  app: [APP_AT, REF_AT],
  ref: [REF_AT, TUPLE_BYTES],
};

/** Whether all tuples of a block have the same tag, those that were sent counted up by `ahead`. */
export function sameTags(tag: Tag, medium: Uint8Array, sent: Uint8Array, ahead = 0): boolean {
  const [from, to] = TAG_BYTES[tag];
  const read = to - from === 2 ? u16 : u32;
  for (let at = 0; at < medium.length; at += TUPLE_BYTES) {
    if (read(medium, at + from) !== (read(sent, at + from) + ahead) % 2 ** (8 * (to - from))) return false;
  }
  return true;
}

/** The application tags that the disk has for its own: 0, but an escape stays one. */
export function ownAppTags(tuples: Uint8Array): void {
  for (let at = APP_AT; at < tuples.length; at += TUPLE_BYTES) {
    if (u16(tuples, at) !== 0xffff) putU16(tuples, at, 0);
  }
}

export function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function u32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

export function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 0xff;
}

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  putU16(bytes, at, value >>> 16);
  putU16(bytes, at + 2, value & 0xffff);
}
