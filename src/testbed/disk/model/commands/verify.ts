/** VERIFY, COMPARE AND WRITE and ORWRITE: what is compared with the medium (SBC-4). */

import { crc16T10Dif } from '../../../../pi/guard.js';
import {
  type BlockRange,
  byteOf,
  type Command,
  fromWire,
  type Handler,
  knowledgeOf,
  NO_DATA,
  partsOf,
  protectOf,
  rangeOf,
  wireBytesOf,
} from '../command.js';
import { type Disk, rulesOf } from '../disk.js';
import { TUPLE_BYTES } from '../format.js';
import { STATE } from '../medium.js';
import {
  CHECK_FAILED,
  comparedTags,
  type Knowledge,
  mediumChecks,
  putU16,
  TAG_BYTES,
  u16,
  u32,
} from '../protection.js';
import { invalidInCdb, Refusal, SENSE, type SenseCodes } from '../refusal.js';
import { badBlock, readChecked } from './read.js';
import { firstBadTuple, receive, storeChecked, writeProtectOf } from './write.js';

/** By BYTCHK: how many blocks of data-out there are for `blocks`; null is reserved. */
const DATA_OUT_BLOCKS: readonly (((blocks: number) => number) | null)[] = [
  () => 0,
  (blocks) => blocks,
  null,
  (blocks) => Math.min(1, blocks),
];

export const verify: Handler = (disk, command) => {
  const { definition, fields, dataOut } = command;
  const { byteCheck = 0 } = fields;
  const ignores = disk.behaviour.verifyProtect === 'ignored';
  const protect = ignores ? 0 : protectOf(disk, command);
  const blocksOut = DATA_OUT_BLOCKS[byteCheck];
  if (blocksOut == null) throw invalidInCdb(byteOf(definition, 'byteCheck'), 2);
  const range = rangeOf(disk, command);
  if (range.blocks === 0) return NO_DATA;
  const rules = rulesOf(disk);
  const known = knowledgeOf(disk, command, range.lba);
  // With data-out and a protect field the medium is compared, not checked.
  const checks = byteCheck === 0 || protect === 0 ? mediumChecks(protect, rules) : [];
  const stored = readChecked(disk, command, range, checks, 0, known);
  if (byteCheck === 0) return NO_DATA;
  const sent = receive(disk, command, dataOut, { lba: range.lba, blocks: blocksOut(range.blocks) }, protect);
  const repeats = byteCheck === 0b11;
  if (protect !== 0) requireGoodDataOut(disk, command, range, sent, protect, known);
  const compared = protect === 0 ? [] : comparedTags(protect, rules);
  for (let i = 0; i < range.blocks; i++) {
    const medium = partsOf(disk, stored, i);
    const wanted = partsOf(disk, sent, repeats ? 0 : i);
    if (Buffer.compare(medium.data, wanted.data) !== 0) throw new Refusal(SENSE.MISCOMPARE);
    for (const tag of compared) {
      // One block stands for all, its reference tags counting on from block to block as WRITE SAME has them.
      const counts = repeats && tag === 'ref' && disk.medium.format.type !== 3;
      const ahead = counts ? i << disk.medium.format.intervalExponent : 0;
      if (!sameTags(tag, medium.tuples, wanted.tuples, ahead)) {
        throw badBlock(disk, command, comparisonFailed(disk, CHECK_FAILED[tag]), range.lba + i);
      }
    }
  }
  return NO_DATA;
};

function sameTags(tag: keyof typeof TAG_BYTES, medium: Uint8Array, sent: Uint8Array, ahead: number): boolean {
  const [from, to] = TAG_BYTES[tag];
  for (let at = 0; at < medium.length; at += TUPLE_BYTES) {
    const read = to - from === 2 ? u16 : u32;
    if (read(medium, at + from) !== (read(sent, at + from) + ahead) % 2 ** (8 * (to - from))) return false;
  }
  return true;
}

/** The tags of CHECK_FAILED, with the key MISCOMPARE. */
function comparisonFailed({ behaviour }: Disk, [key, asc, ascq]: SenseCodes): SenseCodes {
  return behaviour.compareKey === 'miscompare' ? [SENSE.MISCOMPARE[0], asc, ascq] : [key, asc, ascq];
}

function requireGoodDataOut(
  disk: Disk,
  command: Command,
  { lba }: BlockRange,
  sent: Uint8Array,
  protect: number,
  known: Knowledge,
): void {
  const bad = firstBadTuple(disk, sent, protect, lba, known);
  if (bad !== null) throw badBlock(disk, command, CHECK_FAILED[bad.tag], lba + bad.index);
}

/** Half of data-out is compared, the other half written when it was the same; INFORMATION is the offset of the first byte that differs. */
export const compareAndWrite: Handler = (disk, command) => {
  const protect = writeProtectOf(disk, command);
  const range = rangeOf(disk, command);
  const { dataOut } = command;
  const half = range.blocks * wireBytesOf(disk, protect);
  if (dataOut.length !== 2 * half) throw new Refusal(SENSE.DATA_LENGTH);
  if (range.blocks === 0) return NO_DATA;
  const known = knowledgeOf(disk, command, range.lba);
  const wanted = fromWire(disk, dataOut.subarray(0, half), protect, STATE.WRITTEN);
  if (protect !== 0) requireGoodDataOut(disk, command, range, wanted, protect, known);
  const written = receive(disk, command, dataOut.subarray(half), range, protect);
  const stored = readChecked(disk, command, range, mediumChecks(protect, rulesOf(disk)), 0, known);
  const { blockSize } = disk.medium.format;
  for (let i = 0; i < range.blocks; i++) {
    const medium = partsOf(disk, stored, i).data;
    const compare = partsOf(disk, wanted, i).data;
    const at = medium.findIndex((byte, k) => byte !== compare[k]);
    if (at >= 0) throw new Refusal(SENSE.MISCOMPARE, { information: BigInt(i * blockSize + at) });
  }
  storeChecked(disk, command, range, written, protect, known);
  return NO_DATA;
};

/** BMOP of ORWRITE(32). */
const BITMASK = { SET: 0b000, CHANGE_GENERATION_AND_CLEAR: 0b001 } as const;
const GENERATION_DIFFERS: SenseCodes = [0xb, 0x2c, 0x0c];

/** Data-out is ORed into the medium, with the generation changed ANDed; guards are made anew, tags are those of data-out. */
export const orwrite: Handler = (disk, command) => {
  const { definition, fields } = command;
  const { bitmaskOperation = BITMASK.SET, expectedGeneration, newGeneration = 0 } = fields;
  if (bitmaskOperation > BITMASK.CHANGE_GENERATION_AND_CLEAR) {
    throw invalidInCdb(byteOf(definition, 'bitmaskOperation'), 2);
  }
  if (expectedGeneration !== undefined && expectedGeneration !== disk.generation) {
    throw new Refusal(GENERATION_DIFFERS);
  }
  const protect = writeProtectOf(disk, command);
  const range = rangeOf(disk, command);
  const sent = receive(disk, command, command.dataOut, range, protect);
  if (range.blocks === 0) return NO_DATA;
  const known = knowledgeOf(disk, command, range.lba);
  if (protect !== 0) requireGoodDataOut(disk, command, range, sent, protect, known);
  const stored = readChecked(disk, command, range, mediumChecks(protect, rulesOf(disk)), 0, known);
  const sets = bitmaskOperation === BITMASK.SET;
  const interval = disk.medium.format.blockSize >> disk.medium.format.intervalExponent;
  for (let i = 0; i < range.blocks; i++) {
    const { data, tuples } = partsOf(disk, sent, i);
    const before = partsOf(disk, stored, i);
    for (let k = 0; k < data.length; k++)
      data[k] = sets ? data[k]! | before.data[k]! : data[k]! & before.data[k]!;
    for (let at = 0, j = 0; protect !== 0 && at < tuples.length; at += TUPLE_BYTES, j++) {
      putU16(tuples, at, crc16T10Dif(0, data.subarray(j * interval, (j + 1) * interval)));
    }
  }
  storeChecked(disk, command, range, sent, protect, known);
  if (!sets) disk.generation = newGeneration;
  return NO_DATA;
};
