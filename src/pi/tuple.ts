/** One tuple: guard, application tag and reference tag as they lie in memory, all big-endian. */
import { countsReferenceTags, type Profile } from './profile.js';

/** The three fields. The guard is a bigint in a 16-byte tuple (CRC-64) and a number in one of 8. */
export interface Tuple {
  readonly guard: number | bigint;
  readonly app: number;
  /** 32 bits in a tuple of 8 bytes, 48 in one of 16. */
  readonly ref: number;
}

/** The application tag that says "do not check me". */
const APP_ESCAPE = 0xffff;

const REF_SPAN = { 8: 2 ** 32, 16: 2 ** 48 } as const;

/**
 * 8 bytes: guard at 0, application tag at 2, reference tag at 4. 16 bytes: at 0, 8 and 10 (NVM command set,
 * 64-bit guard).
 */
export function readTuple(view: DataView, offset: number, size: 8 | 16): Tuple {
  return size === 8
    ? { guard: view.getUint16(offset), app: view.getUint16(offset + 2), ref: view.getUint32(offset + 4) }
    : {
        guard: view.getBigUint64(offset),
        app: view.getUint16(offset + 8),
        ref: view.getUint16(offset + 10) * 2 ** 32 + view.getUint32(offset + 12),
      };
}

export function writeTuple(view: DataView, offset: number, size: 8 | 16, tuple: Tuple): void {
  if (size === 8) {
    view.setUint16(offset, Number(tuple.guard));
    view.setUint16(offset + 2, tuple.app);
  } else {
    view.setBigUint64(offset, BigInt(tuple.guard));
    view.setUint16(offset + 8, tuple.app);
  }
  writeReferenceTag(view, offset, size, tuple.ref);
}

export function writeReferenceTag(view: DataView, offset: number, size: 8 | 16, ref: number): void {
  if (size === 16) view.setUint16(offset + 10, Math.floor(ref / 2 ** 32));
  view.setUint32(offset + size - 4, ref % 2 ** 32);
}

/** The reference tag `index` intervals after `seed`: the low 32 or 48 bits, so that it wraps. */
export function referenceTag(size: 8 | 16, seed: bigint, index: number): number {
  const span = REF_SPAN[size];
  return (Number(BigInt.asUintN(48, seed)) + index) % span;
}

/**
 * Whether the tags say that this interval is not to be checked: application tag FFFFh, in type 3 only
 * together with a reference tag of all ones (T10 SBC-4; Linux block/t10-pi.c from 3.18 on, one interval at a
 * time).
 */
export function isEscaped(profile: Profile, size: 8 | 16, tuple: Tuple): boolean {
  return tuple.app === APP_ESCAPE && (countsReferenceTags(profile) || tuple.ref === REF_SPAN[size] - 1);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
