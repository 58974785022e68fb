/** VERIFY, COMPARE AND WRITE and ORWRITE: what is compared with the medium (SBC-4). */

import { crc16T10Dif } from '../../../../pi/guard.js';
import {
  byteOf,
  type Handler,
  knowledgeOf,
  NO_DATA,
  partsOf,
  phaseOf,
  protectOf,
  rangeOf,
  requireLength,
  unstruck,
  wholly,
  wireBytesOf,
} from '../command.js';
import { type Disk, rulesOf } from '../disk.js';
import { TUPLE_BYTES } from '../format.js';
import { CHECK_FAILED, comparedTags, dataOutChecks, mediumChecks, putU16, sameTags } from '../protection.js';
import { invalidInCdb, Refusal, SENSE, type SenseCodes } from '../refusal.js';
import { badBlock, comparisonFailed, crossing, readChecked } from './read.js';
import { receive, requireGoodTuples, storeChecked, writeProtectOf } from './write.js';

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
  const phase = phaseOf(disk, command, 'read', range);
  const stored = readChecked(disk, phase, range, checks, 0, known, byteCheck === 0);
  if (byteCheck === 0) return NO_DATA;
  const part = { lba: range.lba, blocks: blocksOut(range.blocks) };
  const sent = receive(disk, unstruck(command), dataOut, part, protect);
  requireGoodTuples(disk, phase, range, sent, protect, known, dataOutChecks(protect, rules, 'verify'));
  const compared = crossing(disk, phase, protect) === 0 ? [] : comparedTags(protect, rules);
  const repeats = byteCheck === 0b11;
  // One block stands for all, its tuples as WRITE SAME has them: reference tags count on, all ones stay.
  const countsOn =
    repeats && disk.medium.format.type !== 3 && partsOf(disk, sent, 0).tuples.some((byte) => byte !== 0xff);
  for (let i = 0; i < range.blocks; i++) {
    const medium = partsOf(disk, stored, i);
    const wanted = partsOf(disk, sent, repeats ? 0 : i);
    if (Buffer.compare(medium.data, wanted.data) !== 0) throw new Refusal(SENSE.MISCOMPARE);
    const differs = compared.find((tag) => {
      const ahead = countsOn && tag === 'ref' ? i << disk.medium.format.intervalExponent : 0;
      return !sameTags(tag, medium.tuples, wanted.tuples, ahead);
    });
    if (differs) throw badBlock(disk, phase, comparisonFailed(disk, CHECK_FAILED[differs]), range.lba + i);
  }
  return NO_DATA;
};

/** Half of data-out is compared, the other half written when it was the same; INFORMATION is the offset of the first byte that differs. */
export const compareAndWrite: Handler = (disk, command) => {
  const protect = writeProtectOf(disk, command);
  const range = rangeOf(disk, command);
  const { dataOut } = command;
  const half = range.blocks * wireBytesOf(disk, protect);
  requireLength(dataOut, 2 * half);
  if (range.blocks === 0) return NO_DATA;
  const known = knowledgeOf(disk, command, range.lba);
  const writing = wholly(phaseOf(disk, command, 'write', range));
  const wanted = receive(disk, unstruck(command), dataOut.subarray(0, half), range, protect);
  requireGoodTuples(disk, writing, range, wanted, protect, known);
  const written = receive(disk, writing, dataOut.subarray(half), range, protect);
  const reading = phaseOf(disk, command, 'read', range);
  const stored = readChecked(disk, reading, range, mediumChecks(protect, rulesOf(disk)), 0, known);
  for (let i = 0; i < range.blocks; i++) {
    const medium = partsOf(disk, stored, i).data;
    const compare = partsOf(disk, wanted, i).data;
    const at = medium.findIndex((byte, k) => byte !== compare[k]);
    if (at < 0) continue;
    const information = BigInt(i * wireBytesOf(disk, protect) + onWire(disk, at, protect));
    throw new Refusal(SENSE.MISCOMPARE, { information });
  }
  storeChecked(disk, writing, range, written, protect, known, 'whole');
  return NO_DATA;
};

/** Where byte `at` of a block's data lies in what crosses: behind the tuples of the intervals before it. */
function onWire({ medium }: Disk, at: number, protect: number): number {
  const { blockSize, intervalExponent } = medium.format;
  const before = Math.floor(at / (blockSize >> intervalExponent));
  return at + (protect === 0 ? 0 : before * TUPLE_BYTES);
}

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
  const writing = phaseOf(disk, command, 'write', range);
  const sent = receive(disk, writing, command.dataOut, range, protect);
  if (range.blocks === 0) return NO_DATA;
  const known = knowledgeOf(disk, command, range.lba);
  requireGoodTuples(disk, writing, range, sent, protect, known);
  const reading = phaseOf(disk, command, 'read', range);
  const stored = readChecked(disk, reading, range, mediumChecks(protect, rulesOf(disk)), 0, known);
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
  storeChecked(disk, writing, range, sent, protect, known, 'whole');
  if (!sets) disk.generation = newGeneration;
  return NO_DATA;
};
