/** The options that `generate` and `verify` share, and what they amount to. */
import { type Command, Option } from 'commander';
import { requireKnownProfile, SEMANTICS_NAMES, type Semantics, semanticsByName } from '../bio/semantics.js';
import type { Layout } from '../pi/layout.js';
import { PROFILE_NAMES, type Profile, profileByName } from '../pi/profile.js';
import { integerUpTo, LAYOUTS, parseInteger, parseLayout } from './options.js';

/** As commander hands them over. */
export interface MirrorOptions {
  readonly format: string;
  readonly interval: number;
  readonly seed: bigint;
  readonly appTag?: number;
  readonly metadataSize?: number;
  readonly piOffset: number;
  readonly layout: Layout;
  readonly semantics: string;
  readonly json?: true;
}

export function addMirrorOptions(command: Command): Command {
  return command
    .option('--format <name>', `the profile: ${PROFILE_NAMES.join(', ')}`, 'T10-DIF-TYPE1-CRC')
    .option(
      '--interval <n>',
      'bytes of data that one tuple protects',
      integerUpTo('--interval', 2 ** 16),
      512,
    )
    .addOption(
      new Option('--seed <n>', "the first interval's reference tag, decimal or 0x")
        .argParser(seed)
        .default(0n, '0'),
    )
    .option('--app-tag <n>', 'the application tag', integerUpTo('--app-tag', 0xffff))
    .option(
      '--metadata-size <n>',
      'bytes of metadata an interval (default: the tuple alone)',
      integerUpTo('--metadata-size', 0xffff),
    )
    .option('--pi-offset <n>', 'where in the metadata the tuple lies', integerUpTo('--pi-offset', 0xffff), 0)
    .option('--layout <layout>', LAYOUTS.join(' or '), parseLayout, 'separate')
    .option('--semantics <name>', `as which kernel: ${SEMANTICS_NAMES.join(', ')}`, 'current')
    .option('--json', 'print one JSON object');
}

/**
 * @throws ERR_UNKNOWN_FORMAT, ERR_OUT_OF_RANGE when the options do not make a profile that these kernels can
 * have.
 */
export function mirrorOf(options: MirrorOptions): { profile: Profile; semantics: Semantics } {
  const { interval, piOffset, metadataSize } = options;
  const profile = profileByName(options.format, {
    interval,
    piOffset,
    ...(metadataSize !== undefined && { metadataSize }),
  });
  const semantics = semanticsByName(options.semantics);
  requireKnownProfile(semantics, profile);
  return { profile, semantics };
}

/** The seed `intervals` later; the tuples keep its low bits. */
export function seedAfter(seed: bigint, intervals: number): bigint {
  return BigInt.asUintN(64, seed + BigInt(intervals));
}

const seed = (text: string) => parseInteger('--seed', text, { min: 0n, max: 2n ** 64n - 1n });
