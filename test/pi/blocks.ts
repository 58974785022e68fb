/** Protected blocks for property tests. */
import fc from 'fast-check';
import { type GenerateOptions, type Layout, plainEngine } from '../../src/pi/engine.js';
import { place } from '../../src/pi/layout.js';
import { type Profile, profileByName } from '../../src/pi/profile.js';

export const NAMES_8 = [
  'T10-DIF-TYPE1-CRC',
  'T10-DIF-TYPE1-IP',
  'T10-DIF-TYPE3-CRC',
  'T10-DIF-TYPE3-IP',
] as const;
export const NAMES = [...NAMES_8, 'EXT-DIF-TYPE1-CRC64', 'EXT-DIF-TYPE3-CRC64'] as const;

/** The tuple alone, and behind and before other metadata. */
export const profilesOf = (names: readonly string[] = NAMES): fc.Arbitrary<Profile> =>
  fc
    .record({
      name: fc.constantFrom(...names),
      interval: fc.constantFrom(512, 4096),
      around: fc.constantFrom([0, 0], [0, 0], [8, 0], [0, 8]),
    })
    .map(({ name, interval, around: [before, after] }) =>
      profileByName(name, {
        interval,
        piOffset: before!,
        metadataSize: before! + profileByName(name).tupleSize + after!,
      }),
    );

export const layouts: fc.Arbitrary<Layout> = fc.constantFrom('separate', 'interleaved');

/** Bytes that do not repeat, by xorshift32. */
export function noise(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let x = (Math.imul(seed, 0x9e3779b1) + 0x12345678) | 0 || 1;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return new Uint8Array(words.buffer, 0, length);
}

export interface Blocks {
  readonly profile: Profile;
  readonly layout: Layout;
  readonly seed: bigint;
  /** As the engines take them. */
  readonly stream: Uint8Array;
  readonly metadata: Uint8Array | null;
}

/** Noise and its tuples, in either layout, the metadata beside the tuples 5Ah. */
export function protectedBlocks(
  job: Pick<GenerateOptions, 'profile' | 'layout' | 'seed' | 'appTag' | 'type3Ref'>,
  intervals: number,
  random: number,
): Blocks {
  const { profile, layout, seed } = job;
  const data = noise(intervals * profile.interval, random);
  const made = plainEngine.generate(data, job);
  const blocks = { profile, layout, seed };
  const [stream, metadata] = layout === 'separate' ? [data, made] : [made, null];
  const placement = place(profile, layout, stream, metadata);
  for (let i = 0; i < intervals; i++) {
    const start = placement.metadataStart + i * placement.metadataStride;
    const { piOffset, tupleSize, metadataSize } = profile;
    placement.metadata.fill(0x5a, start, start + piOffset);
    placement.metadata.fill(0x5a, start + piOffset + tupleSize, start + metadataSize);
  }
  plainEngine.generateInto(stream, metadata, job);
  return { ...blocks, stream, metadata };
}
