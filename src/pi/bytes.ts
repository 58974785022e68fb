/** Which memory the engines work in: the caller's, as it is, which must stay what it is until they are done. */
import { types } from 'node:util';
import { IntegrityError } from '../errors.js';

/**
 * Views that were found fit last: data and metadata of small calls, for which the look costs a fifth of the call. Memory that is neither
 * shared nor resizable stays so, and a detached view has no length. Larger memory is not kept from the garbage collector for it.
 */
let lastFit: Uint8Array | undefined;
let fitBefore: Uint8Array | undefined;
const KEPT_BYTES_MAX = 1 << 20;

/**
 * @throws ERR_USAGE for what is no Uint8Array, and for a view of memory that can change under the work: shared with other threads,
 * resizable, or detached.
 */
export function requireBytes(value: Uint8Array, name: string): void {
  if ((value === lastFit || value === fitBefore) && value.length > 0) return;
  if (!types.isUint8Array(value)) throw wrong(name, 'is no Uint8Array');
  // ES2024, in Node 20 but not in the types for its ES2023. Undefined of a SharedArrayBuffer.
  const { resizable } = value.buffer as ArrayBuffer & { readonly resizable?: boolean };
  if (resizable !== false) {
    throw wrong(
      name,
      resizable ? 'is a view of a resizable ArrayBuffer' : 'is a view of a SharedArrayBuffer',
    );
  }
  if (value.length === 0 && isDetached(value.buffer))
    throw wrong(name, 'is a view of a detached ArrayBuffer');
  if (value.buffer.byteLength > KEPT_BYTES_MAX) return;
  fitBefore = lastFit;
  lastFit = value;
}

/** @throws ERR_USAGE where one lies in the other. */
export function requireApart(data: Uint8Array, blocks: Uint8Array): void {
  const apart =
    data.buffer !== blocks.buffer ||
    data.byteOffset + data.length <= blocks.byteOffset ||
    blocks.byteOffset + blocks.length <= data.byteOffset;
  if (!apart) throw new IntegrityError('ERR_USAGE', 'data and blocks overlap: one is copied into the other');
}

function isDetached(buffer: ArrayBufferLike): boolean {
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}

function wrong(name: string, what: string): IntegrityError {
  return new IntegrityError('ERR_USAGE', `${name} ${what}`, {
    advice: 'Give a Uint8Array over an ArrayBuffer of fixed size, or copy the bytes into one.',
  });
}
