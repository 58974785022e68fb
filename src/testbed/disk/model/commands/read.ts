/** READ in all sizes, and what VERIFY, ORWRITE and COMPARE AND WRITE read of the medium (SBC-4). */
import {
  type BlockRange,
  type Command,
  type Handler,
  knowledgeOf,
  partsOf,
  phaseOf,
  protectOf,
  rangeOf,
  toWire,
} from '../command.js';
import { type Disk, rulesOf } from '../disk.js';
import { recordBytesOf, STATE } from '../medium.js';
import { CHECK_FAILED, failedTag, type Knowledge, mediumChecks, type Tag } from '../protection.js';
import { Refusal, SENSE, type SenseCodes } from '../refusal.js';
import { spoil, spoils, struckBy } from '../strokes.js';

export const read: Handler = (disk, command) => {
  const protect = protectOf(disk, command);
  const range = rangeOf(disk, command);
  const checks = mediumChecks(protect, rulesOf(disk));
  const phase = phaseOf(disk, command, 'read', range);
  const records = readChecked(disk, phase, range, checks, protect);
  disk.tally.blocksRead += range.blocks;
  // Only here anything crosses the wire.
  const crosses = spoils(phase.strokes, 'wire') ? records.slice() : records;
  spoil(disk, phase.strokes, 'wire', range.lba, crosses);
  return toWire(disk, crosses, crossing(disk, phase, protect));
};

/** The protect field by which bytes really cross. */
export function crossing({ behaviour }: Disk, { strokes }: Command, protect: number): number {
  return behaviour.interleave === 'stripped' || struckBy(strokes, 'strip-pi') ? 0 : protect;
}

/**
 * The records of a range as the initiator is to get them, checked. The first block that cannot be read or fails a check is told, by
 * INFORMATION too, with the blocks before it sent. VERIFY passes over unmapped blocks (SBC-4), whatever they read as.
 */
export function readChecked(
  disk: Disk,
  command: Command,
  range: BlockRange,
  checks: readonly Tag[],
  protect: number,
  known: Knowledge = knowledgeOf(disk, command, range.lba),
  passesUnmapped = false,
): Uint8Array {
  const { strokes } = command;
  const { lba, blocks } = range;
  const records = loadRange(disk, command, range);
  const failsToRead = struckBy(strokes, 'medium-error');
  const pretends = disk.behaviour.checking === 'pretended' || struckBy(strokes, 'unchecked');
  const looks = pretends ? [] : checks;
  const rules = rulesOf(disk);
  for (let i = 0; i < blocks; i++) {
    const { data, tuples, state } = partsOf(disk, records, i);
    const unreadable = state === STATE.UNREADABLE || failsToRead?.lba === lba + i;
    const passed = unreadable || (passesUnmapped && state === STATE.UNMAPPED);
    const failed = passed ? null : failedTag(rules, looks, known, lba + i, data, tuples);
    if (!unreadable && failed === null) continue;
    const codes = failed === null ? SENSE.UNRECOVERED_READ : CHECK_FAILED[failed];
    const before = records.subarray(0, i * recordBytesOf(disk.medium.format));
    const sent = disk.behaviour.readBeforeError === 'sent' ? before : before.subarray(0, 0);
    throw badBlock(disk, command, codes, lba + i, toWire(disk, sent, crossing(disk, command, protect)));
  }
  return records;
}

/** What lies on the medium, or elsewhere where a fault misdirects; a copy where anything is to be changed. */
function loadRange(disk: Disk, { strokes }: Command, { lba, blocks }: BlockRange): Uint8Array {
  const astray = struckBy(strokes, 'misdirected');
  const capacity = disk.medium.format.blocks;
  const from = astray ? modulo(lba + Number(astray.fault.distance), capacity - blocks + 1) : lba;
  const loaded = disk.medium.load(from, blocks);
  const scrambles = disk.behaviour.unmapped === 'scrambled';
  if (!scrambles && !spoils(strokes, 'medium')) return loaded;
  const records = loaded.slice();
  if (scrambles) scrambleUnmapped(disk, lba, records);
  spoil(disk, strokes, 'medium', lba, records);
  return records;
}

export function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}

/** Noise that is the same each time: what a key that is gone makes of a block. */
function scrambleUnmapped(disk: Disk, first: number, records: Uint8Array): void {
  const recordBytes = recordBytesOf(disk.medium.format);
  for (let i = 0; i * recordBytes < records.length; i++) {
    if (partsOf(disk, records, i).state !== STATE.UNMAPPED) continue;
    let x = (Math.imul(first + i, 0x9e3779b1) + 0x12345678) | 0 || 1;
    for (let at = i * recordBytes; at < (i + 1) * recordBytes - 1; at++) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      records[at] = x;
    }
  }
}

/** The tags of CHECK_FAILED, of a comparison: with the key MISCOMPARE. */
export function comparisonFailed({ behaviour }: Disk, [key, asc, ascq]: SenseCodes): SenseCodes {
  return behaviour.compareKey === 'miscompare' ? [SENSE.MISCOMPARE[0], asc, ascq] : [key, asc, ascq];
}

/** The sense of one bad block: INFORMATION is its LBA. */
export function badBlock(
  { behaviour }: Disk,
  { strokes }: Command,
  codes: SenseCodes,
  lba: number,
  dataIn?: Uint8Array,
): Refusal {
  const wrong = struckBy(strokes, 'wrong-information');
  const information = BigInt.asUintN(64, BigInt(lba) + (wrong?.fault.distance ?? 0n));
  const told = behaviour.information === 'lba' || codes[0] === SENSE.UNRECOVERED_READ[0];
  return new Refusal(codes, { ...(told && { information }), ...(dataIn && { dataIn }) });
}
