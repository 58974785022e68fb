/** What faults do to the blocks of a command. */

import { partsOf } from './command.js';
import type { Disk } from './disk.js';
import type { FaultKindName, FaultPlace, Stroke } from './faults.js';
import { recordBytesOf } from './medium.js';
import { TAG_BYTES, type Tag } from './protection.js';

/** Whether one of these kinds strikes. */
export function struckBy(strokes: readonly Stroke[], kind: FaultKindName): Stroke | undefined {
  return strokes.find(({ fault }) => fault.kind === kind);
}

const TAGS: readonly FaultKindName[] = ['guard', 'app', 'ref'];

/** Spoils records in place, as the faults of that place do; `first` is the LBA of the first record. */
export function spoil(
  disk: Disk,
  strokes: readonly Stroke[],
  place: FaultPlace,
  first: number,
  records: Uint8Array,
): void {
  const blocks = records.length / recordBytesOf(disk.medium.format);
  for (const { fault, lba } of strokes) {
    const index = lba - first;
    if (fault.place !== place || index < 0 || index >= blocks) continue;
    if (fault.kind === 'data') partsOf(disk, records, index).data[0]! ^= 0x01;
    else if (TAGS.includes(fault.kind)) flipTag(disk, records, index, fault.kind as Tag);
    else if (fault.kind === 'shift-pi') shiftTuples(disk, records);
  }
}

export function spoils(strokes: readonly Stroke[], place: FaultPlace): boolean {
  return strokes.some(({ fault }) => fault.place === place && SPOILING.includes(fault.kind));
}

const SPOILING: readonly FaultKindName[] = ['data', ...TAGS, 'shift-pi'];

function flipTag(disk: Disk, records: Uint8Array, index: number, tag: Tag): void {
  const { tuples } = partsOf(disk, records, index);
  const [from] = TAG_BYTES[tag];
  if (tuples.length > 0) tuples[from]! ^= 0x01;
}

function shiftTuples(disk: Disk, records: Uint8Array): void {
  for (let index = records.length / recordBytesOf(disk.medium.format) - 1; index > 0; index--) {
    partsOf(disk, records, index).tuples.set(partsOf(disk, records, index - 1).tuples);
  }
}
