/**
 * The power cuts of test/power-cuts.test.ts: what a guest is started with, and what it tells. One guest is one boot of the same machine,
 * which looks at what the cut before left, and is cut.
 */
import type { NvmeNamespace } from 'blk-integrity';
import type { Crash } from './crash.js';

/** The drives of that machine, NSID 1 first: image files of the disks under test, and journals. */
export const DRIVES: readonly NvmeNamespace[] = [
  { blockSize: 4096, pi: 0, sizeMiB: 64 },
  { blockSize: 4096, pi: 0, sizeMiB: 64 },
];

/**
 * What becomes of writes to the disks under test that nobody has flushed: they wait in memory and are lost, they are on the medium at once,
 * or come there in their own time.
 */
export const CACHES = ['lost', 'through', 'some'] as const;

export interface Cut extends Pick<Crash, 'at' | 'when'> {
  readonly verb: string;
  /** How many write points the verb has. */
  readonly points: number;
  readonly cache: (typeof CACHES)[number];
}

/** What one boot finds, in the beginning or after a cut. */
export interface Found {
  /** Whether there was a journal, and what came of its restore. */
  readonly journal: string | null;
  /** SHA-256 of each image file (data, tuples, format and serial number): as the cut left it, and restored. */
  readonly left: Readonly<Record<string, string>>;
  readonly images: Readonly<Record<string, string>>;
}

/** What a guest prints, a line of JSON each. */
export interface Told {
  readonly found?: Found;
  readonly cut?: Cut;
}
