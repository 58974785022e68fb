/** A process of its own that attaches a unit, says its nodes, and then waits to be killed. READs of block 100 are never answered. */
import './guest-only.js';
import { attachLogicalUnit } from 'blk-integrity';
import { BLOCK, RamUnit } from './ram-unit.js';

const unit = new RamUnit(2048);
unit.delay = (lba) => (lba === 100 ? Number.POSITIVE_INFINITY : lba === 101 ? 300 : 0);
const attached = await attachLogicalUnit(unit, {
  name: 'orphan',
  sizeBytes: BigInt(2048 * BLOCK),
  blockSize: BLOCK,
  sd: process.argv[2] === 'sd',
});
process.stdout.write(`${JSON.stringify({ sg: attached.sg, hctl: attached.hctl })}\n`);
