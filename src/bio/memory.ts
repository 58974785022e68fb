/** The memory behind payloads: the kernel's allocator, and the pools set aside for when it has none. */
import { IntegrityError } from '../errors.js';

/** What is asked of the allocator: a payload, its vectors beyond the inline ones, or the buffer of metadata. */
export type Piece = 'payload' | 'vectors' | 'buffer';

/** Stands for the kernel's allocator: whether it has memory for a piece of so many bytes. */
export type Memory = (piece: Piece, bytes: number) => boolean;

/** Memory that never runs out. */
export function plenty(): boolean {
  return true;
}

/** kmalloc's largest piece on x86-64 with pages of 4 KiB (KMALLOC_MAX_SIZE, Linux 3.10 to 6.12). */
export const KMALLOC_MAX: number = 4 * 1024 * 1024;

/** mempool_t: elements set aside for when there is no memory. */
export class Mempool {
  /** Elements that nobody has taken of those set aside. */
  available: number;

  constructor(reserve: number) {
    this.available = reserve;
  }

  /**
   * mempool_alloc of a caller that may wait (GFP_NOIO).
   *
   * @throws ERR_BUSY where the kernel would wait until somebody gives an element back.
   */
  alloc(hasMemory: boolean): PoolElement {
    if (hasMemory) return { free: () => {} };
    if (this.available === 0) {
      throw new IntegrityError('ERR_BUSY', 'the pool is empty: the kernel would wait for an element', {
        advice: 'Free a payload that came from it, or let the memory have some.',
      });
    }
    this.available--;
    return {
      free: () => {
        this.available++;
      },
    };
  }
}

export interface PoolElement {
  free(): void;
}
