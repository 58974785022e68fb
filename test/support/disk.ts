/**
 * A stand-in for an open disk: its paths are functions.
 */
import type { BlocksRead } from '../../src/device/blocks.js';
import type { Disk } from '../../src/device/disk.js';
import { plainEngine } from '../../src/pi/engine.js';
import { type Profile, profileByName } from '../../src/pi/profile.js';
import { pattern } from '../../src/testbed/fill.js';
import type { PathName } from '../../src/words.js';

export const TYPE1: Profile = profileByName('T10-DIF-TYPE1-CRC');
export const BLOCK = 512;

/** Data and right tuples of `blocks` blocks from `lba` on. */
export function goodBlocks(lba: bigint, blocks: number): { data: Uint8Array; tuples: Uint8Array } {
  const data = new Uint8Array(blocks * BLOCK);
  for (let i = 0; i < blocks; i++) data.set(pattern(BLOCK, Number(lba) + i), i * BLOCK);
  return {
    data,
    tuples: plainEngine.generate(data, { profile: TYPE1, layout: 'separate', seed: lba, type3Ref: 'zero' }),
  };
}

export type Reader = (path: PathName, lba: bigint, blocks: number) => BlocksRead;

const INTEGRITY = { present: true, readVerify: true, writeGenerate: true, format: 'T10-DIF-TYPE1-CRC' };

/** A type 1 disk that kernel and device both check, read by `reader`. */
export function fakeDisk(
  reader: Reader,
  paths: readonly PathName[] = ['passthrough', 'block', 'block-pi'],
): Disk {
  return {
    device: '/dev/sdx',
    blockSize: BLOCK,
    blocks: 1024n,
    transferBlocksMax: 16,
    paths,
    logReadable: false,
    disagreements: [],
    kernelProfile: TYPE1,
    diskProfile: TYPE1,
    profile: TYPE1,
    facts: {
      inquiry: { vendor: 'V', product: 'P', protect: true },
      extended: { guardCheck: true, refCheck: true, appCheck: false },
      identity: 'naa.5000',
    },
    sysfs: {
      sg: { name: 'sg9' },
      integrity: INTEGRITY,
      scsiDisk: { protectionType: 1 },
      host: { number: 3 },
    },
    sysfsNow: async () => ({ integrity: INTEGRITY }),
    proof: async () => ({ result: 'absent', text: 'accepts RDPROTECT, transfers no tuples' }),
    read: async (path: PathName, lba: bigint, blocks: number) => reader(path, lba, blocks),
  } as unknown as Disk;
}

/** Reads of a disk on which all is well. */
export function goodReader(path: PathName, lba: bigint, blocks: number): BlocksRead {
  const { data, tuples } = goodBlocks(lba, blocks);
  return { lba, blocks, data, tuples: path === 'block-pi' ? tuples : null, answer: { kind: 'good' } };
}
