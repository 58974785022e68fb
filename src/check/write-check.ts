/**
 * `crosscheck --write`: what each path writes is accepted, and leaves the tuples that the mirror makes. The region is put back.
 */
import { randomFillSync } from 'node:crypto';
import { partOf } from '../device/blocks.js';
import type { Disk } from '../device/disk.js';
import { PROTECT } from '../device/protected-range.js';
import { type ClaimOptions, claimRegion } from '../device/safeguard/claim.js';
import type { Region } from '../device/safeguard/region.js';
import type { Finding, WriteReport } from '../report/model.js';
import { hex } from '../scsi/bytes.js';
import type { PathName } from '../words.js';
import { finding } from './judge.js';
import { tuplesBy } from './mirror.js';
import type { BlockRange } from './ranges.js';

/** The paths that write tuples: the kernel's and, by two ways, ours. */
const WRITING_PATHS = ['block', 'block-pi', 'passthrough'] as const;

/**
 * Writes random data over the range by each path, a transfer at a time, and puts the region back. Errors: as claimRegion; a range
 * that does not read well is not written.
 */
export async function writeCheck(
  disk: Disk,
  range: BlockRange,
  options: ClaimOptions = {},
): Promise<{ written: WriteReport; findings: Finding[] }> {
  const { signal } = options;
  const findings: Finding[] = [];
  const crosses = await disk.tuplesCross(PROTECT.checked, signal);
  const paths = WRITING_PATHS.filter(
    (path) => disk.paths.includes(path) && (path !== 'passthrough' || crosses),
  );
  await using region = await claimRegion(disk, range, options);
  for (const path of paths) {
    for (let at = 0; at < range.blocks; at += disk.transferBlocksMax) {
      signal?.throwIfAborted();
      const blocks = Math.min(disk.transferBlocksMax, range.blocks - at);
      findings.push(...(await writeRun(region, path, range.lba + BigInt(at), blocks)));
    }
  }
  const restored = await region.restore();
  const written: WriteReport = {
    lba: Number(range.lba),
    blocks: range.blocks,
    paths: paths.map((path) => ({ path, tuplesCompared: comparedBy(disk, path) !== null })),
    restored,
  };
  return { written, findings };
}

/** By which path the tuples that `path` left are read; null where none shows them. */
export function comparedBy({ paths }: Disk, path: PathName): PathName | null {
  if (path === 'passthrough') return path;
  return paths.includes('block-pi') ? 'block-pi' : null;
}

async function writeRun(region: Region, path: PathName, lba: bigint, blocks: number): Promise<Finding[]> {
  const { disk } = region;
  const data = randomFillSync(new Uint8Array(blocks * disk.blockSize));
  const tuples = tuplesBy(path, disk, lba, data);
  const answer = await region.write(path, lba, data, path === 'block' ? undefined : tuples);
  if (answer.kind === 'good') return compareWritten(disk, path, lba, { data, tuples });
  const why =
    answer.kind === 'failed' ? answer.error.message : `refused by the ${answer.checker}: ${answer.text}`;
  return [differs(path, lba, `a write of right data and tuples was not accepted: ${why}`)];
}

const differs = (path: PathName, lba: bigint, text: string) =>
  finding({ kind: 'write-differs', lba: Number(lba), path, text });

/** Reads what `path` has written and compares it with what was sent, or with what the mirror makes; of tuples only where any are given. */
export async function compareWritten(
  disk: Disk,
  path: PathName,
  lba: bigint,
  { data, tuples: sent }: { readonly data: Uint8Array; readonly tuples: Uint8Array | null },
): Promise<Finding[]> {
  const blocks = data.length / disk.blockSize;
  const medium = await disk.readMedium(lba, blocks);
  if (medium.data === null || Buffer.compare(medium.data, data) !== 0)
    return [differs(path, lba, 'the medium does not hold what was written')];
  const reader = comparedBy(disk, path);
  if (reader === null || sent === null) return [];
  const { tuples } = await disk.read(reader, lba, blocks);
  if (tuples === null) return [differs(path, lba, 'the tuples of what was written cannot be read')];
  const expected = sent.slice();
  if (path === 'passthrough' && !disk.facts?.control?.appTagOwner) withoutAppTags(tuples, expected);
  const tupleOf = (bytes: Uint8Array, i: number) => partOf(bytes, blocks, i);
  const wrong = Array.from({ length: blocks }, (_, i) => i).filter(
    (i) => Buffer.compare(tupleOf(tuples, i), tupleOf(expected, i)) !== 0,
  );
  return wrong.map((i) => {
    const text = `the tuple on the medium is ${hex(tupleOf(tuples, i))}, the mirror's ${hex(tupleOf(expected, i))}`;
    return differs(path, lba + BigInt(i), text);
  });
}

/** With ATO 0 the application tags are the disk's: it may replace those that it was sent (SBC-4). */
function withoutAppTags(...sets: Uint8Array[]): void {
  for (const tuples of sets) for (let at = 0; at < tuples.length; at += 8) tuples.fill(0, at + 2, at + 4);
}
