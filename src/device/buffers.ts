/**
 * Buffers for O_DIRECT and SG_IO: page-aligned, and filled with a poison that tells what a transfer did not touch.
 */
import { markAsUntransferable } from 'node:worker_threads';
import { native } from '../binding.js';

const PAGE = 4096;

/** A page-aligned buffer of `length` bytes, zeroed. It never shares memory with another buffer. */
export function alignedBuffer(length: number): Uint8Array {
  const memory = new ArrayBuffer(length + PAGE);
  // A transfer to a worker would take the memory from under a command in flight.
  markAsUntransferable(memory);
  return new Uint8Array(memory, native().alignedOffset(memory, PAGE), length);
}

/** A page-aligned copy. */
export function alignedCopy(bytes: Uint8Array): Uint8Array {
  const copy = alignedBuffer(bytes.length);
  copy.set(bytes.subarray(0, copy.length));
  return copy;
}

/** The byte of the poison at `index`: never 00h nor FFh, which devices and bounce buffers leave by themselves. */
function poisonAt(index: number): number {
  return 0x51 + ((index * 37) % 97);
}

export function poison(buffer: Uint8Array): void {
  for (let i = 0; i < buffer.length; i++) buffer[i] = poisonAt(i);
}

/** Whether bytes `from` up to `to` still hold what {@link poison} wrote there. */
export function isPoison(buffer: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (buffer[i] !== poisonAt(i)) return false;
  return true;
}
