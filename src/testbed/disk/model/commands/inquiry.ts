/** INQUIRY, READ CAPACITY, REPORT LUNS, GET LBA STATUS: what the disk says of itself (SPC-5, SBC-4). */
import { encodeInquiry } from '../../../../scsi/inquiry.js';
import { encodeReadCapacity10, encodeReadCapacity16 } from '../../../../scsi/read-capacity.js';
import {
  encodeBlockDeviceCharacteristics,
  encodeBlockLimits,
  encodeDeviceIdentification,
  encodeExtendedInquiry,
  encodeLogicalBlockProvisioning,
  encodeSupportedBlockLengths,
  encodeSupportedPages,
  encodeUnitSerialNumber,
} from '../../../../scsi/vpd.js';
import { byteOf, type Handler, TRANSFER_BLOCKS_MAX } from '../command.js';
import { type Disk, readsZeros } from '../disk.js';
import { BLOCK_SIZES } from '../format.js';
import { invalidInCdb } from '../refusal.js';
import { ATOMIC_BLOCKS_MAX } from './write.js';
import { UNMAP_LIMITS } from './write-same.js';

/** MAXIMUM SENSE DATA LENGTH. */
const SENSE_BYTES_MAX = 252;

/** Types 2 and 3 can have more than one interval a block. */
const hasIntervals = ({ supportedTypes, intervalExponentMax }: Disk) =>
  intervalExponentMax > 0 && supportedTypes.some((type) => type > 1);
const SUPPORTS_PROTECTION = (disk: Disk) => disk.supportedTypes.length > 0 && !disk.concealsProtection;

/** By page code. */
const VPD_PAGES: Readonly<Record<number, (disk: Disk) => Uint8Array>> = {
  0: () => encodeSupportedPages(Object.keys(VPD_PAGES).map(Number)),
  128: ({ identity }) => encodeUnitSerialNumber(identity.serial),
  131: ({ identity }) =>
    encodeDeviceIdentification([
      { association: 0, type: 3, bytes: identity.naa },
      { association: 0, type: 1, bytes: Buffer.from(`${identity.vendor.padEnd(8)}${identity.serial}`) },
    ]),
  134: (disk) =>
    encodeExtendedInquiry({
      guardCheck: disk.checks.guard,
      appCheck: disk.checks.app,
      refCheck: disk.checks.ref,
      noPiCheck: disk.noPiCheck,
      multipleIntervals: hasIntervals(disk),
      writeUncorrectable: true,
      simple: true,
      ordered: true,
      headOfQueue: true,
      revertToDefaults: true,
      senseLengthMax: SENSE_BYTES_MAX,
      supportedTypes: disk.supportedTypes,
    }),
  176: ({ thin }) =>
    encodeBlockLimits({
      writeSameNonZero: true,
      compareAndWriteBlocksMax: 255,
      transferBlocksMax: TRANSFER_BLOCKS_MAX,
      unmapBlocksMax: thin ? UNMAP_LIMITS.blocks : 0,
      unmapDescriptorsMax: thin ? UNMAP_LIMITS.descriptors : 0,
      unmapGranularity: 1,
      writeSameBlocksMax: BigInt(TRANSFER_BLOCKS_MAX),
      atomicBlocksMax: ATOMIC_BLOCKS_MAX,
    }),
  177: () => encodeBlockDeviceCharacteristics({ rotationRate: 1, verifyUnmapped: true }),
  178: (disk) =>
    encodeLogicalBlockProvisioning({
      unmap: disk.thin,
      writeSame16: disk.thin,
      writeSame10: disk.thin,
      readZeros: readsZeros(disk) ? 1 : 0,
      provisioningType: disk.thin ? 2 : 0,
    }),
  180: (disk) =>
    encodeSupportedBlockLengths(
      BLOCK_SIZES.map((blockSize) => ({
        blockSize,
        multipleIntervals: blockSize > 512 && hasIntervals(disk),
        guardCheck: disk.checks.guard,
        appCheck: disk.checks.app,
        refCheck: disk.checks.ref,
        noPiCheck: disk.noPiCheck,
        types: [0, ...disk.supportedTypes],
      })),
    ),
};

export const inquiry: Handler = (disk, { definition, fields }) => {
  const { evpd = false, page = 0 } = fields;
  if (!evpd) {
    if (page !== 0) throw invalidInCdb(byteOf(definition, 'page'), 7);
    const { vendor, product, revision } = disk.identity;
    return encodeInquiry({ protect: SUPPORTS_PROTECTION(disk), vendor, product, revision });
  }
  const make = VPD_PAGES[page];
  if (make === undefined) throw invalidInCdb(byteOf(definition, 'page'), 7);
  return make(disk);
};

export const readCapacity10: Handler = ({ medium }) => {
  const { blocks, blockSize } = medium.format;
  return encodeReadCapacity10({ lastLba: blocks - 1 < 0xffffffff ? blocks - 1 : null, blockSize });
};

export const readCapacity16: Handler = (disk) => {
  const { type, blocks, blockSize, intervalExponent } = disk.medium.format;
  const told = type !== 0 && !disk.concealsProtection;
  return encodeReadCapacity16({
    lastLba: BigInt(blocks) - 1n,
    blockSize,
    protectionType: told ? type : 0,
    intervalExponent: told ? intervalExponent : 0,
    basis: 0,
    physicalExponent: 0,
    lowestAlignedLba: 0,
    thinProvisioned: disk.thin,
    unmappedReadZeros: readsZeros(disk),
  });
};

/** One logical unit, number 0. */
export const reportLuns: Handler = (_, { definition, fields }) => {
  const { selectReport = 0 } = fields;
  if (selectReport > 2) throw invalidInCdb(byteOf(definition, 'selectReport'));
  // Well-known logical units: there are none.
  const luns = selectReport === 1 ? 0 : 1;
  const data = new Uint8Array(8 + 8 * luns);
  data[3] = 8 * luns;
  return data;
};
