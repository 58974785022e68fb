/**
 * A transfer as runs of blocks that are judged alike: one with something wrong is one block long.
 */
import { partOf } from '../device/blocks.js';
import { differingBlocks, type Reads, type Rules, softwareView } from './judge.js';
import type { BlockRange } from './ranges.js';

/** The blocks of a transfer that anything speaks against. */
export function suspectBlocks(reads: Reads, rules: Rules): bigint[] {
  const suspects = new Set(differingBlocks(reads).map(({ lba }) => lba));
  for (const { answer, lba } of Object.values(reads)) if (answer.kind !== 'good') suspects.add(lba);
  for (const path of ['passthrough', 'block-pi'] as const) {
    for (const { lba } of softwareView(reads, path, rules)?.bad ?? []) suspects.add(lba);
  }
  return [...suspects].sort((a, b) => (a < b ? -1 : 1));
}

/** What lies between them. */
export function runsBetween(lba: bigint, blocks: number, suspects: readonly bigint[]): BlockRange[] {
  const runs: BlockRange[] = [];
  let from = lba;
  for (const stop of [...suspects, lba + BigInt(blocks)]) {
    if (stop > from) runs.push({ lba: from, blocks: Number(stop - from) });
    from = stop + 1n;
  }
  return runs;
}

/** Some blocks of what was read. */
export function slice(reads: Reads, lba: bigint, blocks: number): Reads {
  const entries = Object.entries(reads).map(([path, read]) => {
    const part = (bytes: Uint8Array | null) =>
      bytes && partOf(bytes, read.blocks, Number(lba - read.lba), blocks);
    return [path, { lba, blocks, data: part(read.data), tuples: part(read.tuples), answer: read.answer }];
  });
  return Object.fromEntries(entries) as Reads;
}
