/**
 * What scsi_debug says of itself under many options: what sg3_utils prints of it, what the decoders say, and what it was told to be.
 */
import {
  type BlockLimits,
  type ControlModePage,
  decodeBlockLimits,
  decodeControlModePage,
  decodeLogicalBlockProvisioning,
  decodeModeSense,
  decodeReadCapacity16,
  encodeCdb,
  inquiryCdb,
  type LogicalBlockProvisioning,
  type ModeData,
  type ReadCapacity16,
  readCapacity16Cdb,
  type ScsiTransport,
} from 'blk-integrity';
import type { Test } from 'tap';
import { fetch } from '../../../lib/device/transport.js';
import { describedAlike } from '../sg3-description.js';
import { Driver, type DriverOptions } from './driver.js';

/** What the options come to. */
interface Told {
  readonly capacity?: Partial<ReadCapacity16>;
  readonly limits?: Partial<BlockLimits>;
  readonly provisioning?: Partial<LogicalBlockProvisioning>;
  readonly control?: Partial<ControlModePage>;
  readonly mode?: Partial<ModeData>;
}

const GIB = 1n << 30n;

const SETS: readonly (readonly [options: DriverOptions, told: Told, since?: 'atomic'])[] = [
  [{}, { capacity: { protectionType: 0, blockSize: 512, blocks: 8192n }, control: { appTagOwner: true } }],
  [
    { dif: 1, dix: 1, physblk_exp: 3, lowest_aligned: 1, opt_blks: 64 },
    {
      capacity: { protectionType: 1, physicalExponent: 3, lowestAlignedLba: 1 },
      limits: { transferBlocksOptimal: 64, transferGranularity: 8 },
    },
  ],
  [
    { dif: 2, dix: 1, sector_size: 4096, ato: 0, dsense: 1 },
    {
      capacity: { protectionType: 2, blockSize: 4096, blocks: 1024n },
      control: { appTagOwner: false, descriptorSense: true },
    },
  ],
  [
    { dif: 3, dix: 0, wp: 1, removable: 1, virtual_gb: 4000 },
    { capacity: { protectionType: 3, blocks: (4000n * GIB) / 512n }, mode: { writeProtected: true } },
  ],
  [
    {
      ...{ lbpu: 1, lbpws: 1, lbpws10: 1, lbprz: 1, write_same_length: 4096 },
      ...{ unmap_max_blocks: 1000, unmap_max_desc: 7, unmap_granularity: 16, unmap_alignment: 4 },
    },
    {
      capacity: { thinProvisioned: true, unmappedReadZeros: true },
      limits: {
        ...{ unmapBlocksMax: 1000, unmapDescriptorsMax: 7, unmapGranularity: 16 },
        ...{ unmapAligned: true, unmapAlignment: 4, writeSameBlocksMax: 4096n },
      },
      provisioning: { unmap: true, writeSame16: true, writeSame10: true, readZeros: 1 },
    },
  ],
  [
    { lbpws: 1, lbprz: 2 },
    { provisioning: { unmap: false, writeSame16: true, writeSame10: false, readZeros: 2 } },
  ],
  [
    {
      ...{ atomic_wr: 1, atomic_wr_max_length: 64, atomic_wr_align: 4, atomic_wr_gran: 8 },
      ...{ atomic_wr_max_length_bndry: 32, atomic_wr_max_bndry: 16 },
    },
    {
      limits: {
        ...{ atomicBlocksMax: 64, atomicAlignment: 4, atomicGranularity: 8 },
        ...{ atomicBlocksWithBoundaryMax: 32, atomicBoundaryMax: 16 },
      },
    },
    'atomic',
  ],
];

export async function described(t: Test): Promise<void> {
  for (const [options, told, since] of SETS) {
    await using driver = await Driver.load({ ...options, no_uld: 1 });
    if (since === 'atomic' && !(await driver.has('atomic_wr'))) continue;
    await using disk = await driver.open();
    const name = Object.entries(options).map(([key, value]) => `${key}=${value}`);
    await t.test(name.join(' ') || 'no options', async (t) => {
      t.match(await saidBy(disk), told, 'what it was told to be');
      await describedAlike(t, disk, driver.sg);
    });
  }
}

async function saidBy(disk: ScsiTransport): Promise<Told> {
  const bytes = 252;
  const vpd = async (page: number) => (await fetch(disk, inquiryCdb(bytes, page), bytes))!;
  const modeSense = encodeCdb('MODE SENSE(10)', { page: 0x0a, allocationLength: bytes });
  const mode = (await fetch(disk, modeSense, bytes))!;
  return {
    capacity: decodeReadCapacity16((await fetch(disk, readCapacity16Cdb(), 32))!),
    limits: decodeBlockLimits(await vpd(0xb0)),
    provisioning: decodeLogicalBlockProvisioning(await vpd(0xb2)),
    control: decodeControlModePage(mode),
    mode: decodeModeSense(mode, 10),
  };
}
