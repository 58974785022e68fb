/**
 * scsi_debug in every combination of type, DIX, block size and guard: clean disks, the mirror's tuples, and the planted fault.
 */
import { randomFillSync } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import {
  alignedBuffer,
  claimRegion,
  createScsiDebug,
  crosscheck,
  type Disk,
  fillDisk,
  mirrorTuples,
  openDevice,
  prove,
  type RangeReport,
  type Verdict,
  writeCheck,
} from 'blk-integrity';
import type { Test } from 'tap';
import { sameBytes } from './same-bytes.js';
import { verdicts, verdictsOf } from './verdicts.js';

interface Combination {
  readonly dif: 0 | 1 | 2 | 3;
  readonly dix: 0 | 1;
  readonly sectorSize: 512 | 4096;
  readonly guard: 'crc' | 'ip';
}

/** Who refuses the planted block on the block layer's own path, where there is a tuple at all. */
type Refuser = 'device' | 'kernel' | 'nobody';

/** scsi_debug checks types 1 and 3 itself; types 2 and 0 it leaves to the kernel (its READ(32) looks for RDPROTECT in the wrong byte). */
function expectedRefuser({ dif, dix }: Combination): Refuser {
  if (dix === 0) return 'nobody';
  return dif === 1 || dif === 3 ? 'device' : 'kernel';
}

const KINDS: readonly (readonly [0 | 1 | 2 | 3, 0 | 1])[] = [
  [1, 1],
  [2, 1],
  [3, 1],
  [0, 1],
  [1, 0],
];

const COMBINATIONS: readonly Combination[] = KINDS.flatMap(([dif, dix]) =>
  ([512, 4096] as const).flatMap((sectorSize) =>
    (['crc', 'ip'] as const).map((guard) => ({ dif, dix, sectorSize, guard })),
  ),
);

/** Small: filling and reading it is most of the time that a combination takes. */
const SIZE_MIB = 1;

export async function scsiDebug(t: Test): Promise<void> {
  for (const combination of COMBINATIONS) {
    const { dif, dix, sectorSize, guard } = combination;
    await t.test(`dif=${dif} dix=${dix} ${sectorSize} bytes ${guard}`, async (t) => {
      await using made = await createScsiDebug({ ...combination, sizeMiB: SIZE_MIB, partitions: 1 });
      await using disk = await openDevice(made.device);
      await paths(t, disk, combination);
      await cleanDisk(t, disk, combination);
      await tuplesOfTheMirror(t, disk);
      await disposeRestores(t, disk);
      await plantedFault(t, disk, combination);
    });
  }
}

async function paths(t: Test, disk: Disk, { dif, dix }: Combination): Promise<void> {
  t.same(disk.disagreements, [], 'kernel and disk describe the disk alike');
  const format = dix === 0 ? 'none' : `T10-DIF-TYPE${dif === 3 ? 3 : 1}`;
  t.match(disk.sysfs.integrity.format, format);
  t.equal(disk.diskProfile?.type ?? 0, dif, 'READ CAPACITY(16) says the type');
  const proof = await disk.proof();
  if (dif === 0) t.equal(proof?.result, 'unformatted');
  else t.equal(proof?.text, 'accepts RDPROTECT, transfers no tuples');
}

async function cleanDisk(t: Test, disk: Disk, { dix }: Combination): Promise<void> {
  const ranges = [{ lba: 0n, blocks: Number(disk.blocks) }];
  const fresh = await crosscheck(disk, { ranges });
  t.same(fresh.findings, [], 'a fresh disk has no findings');
  if (disk.paths.includes('block-pi')) {
    t.same(
      verdicts(fresh.ranges[0]!, 'software', 'block-pi'),
      ['escaped'],
      'and is escaped, which is no pass',
    );
  }
  await fillDisk(disk);
  const {
    findings,
    ranges: [range],
  } = await crosscheck(disk, { ranges });
  t.same(findings, [], 'a filled disk has no findings');
  const ok: Verdict[] = disk.paths.includes('block-pi') ? ['ok'] : ['unchecked'];
  t.same(
    verdictsOf(range!, 'kernel').includes('ok'),
    dix === 1 && disk.paths.includes('block-pi'),
    'the kernel is ok only over tuples that were read',
  );
  if (disk.paths.includes('block-pi')) t.same(verdicts(range!, 'software', 'block-pi'), ok);
  else t.same(verdictsOf(range!, 'software'), ['unchecked']);
}

/** The kernel's tuples for one block, many, segments and a partition; and the mirror's own are accepted. */
async function tuplesOfTheMirror(t: Test, disk: Disk): Promise<void> {
  const one = await writeCheck(disk, { lba: 8n, blocks: 1 });
  t.same(one.findings, [], 'one block');
  const many = await writeCheck(disk, { lba: 1n, blocks: disk.transferBlocksMax + 3 });
  t.same(many.findings, [], 'many blocks, in more than one transfer');
  const exact = disk.paths.includes('block-pi') || disk.profile === null;
  t.equal(many.written.restored, exact ? 'exact' : 'tuples regenerated');
  if (!disk.paths.includes('block-pi')) return;
  await segments(t, disk);
  await partition(t, disk);
}

/** One writev of pieces that are no neighbours in memory becomes one bio of several segments. */
async function segments(t: Test, disk: Disk): Promise<void> {
  const { blockSize } = disk;
  const lengths = [1, 3, 2, 5].map((blocks) => blocks * blockSize);
  const pieces = lengths.map((length) => randomFillSync(alignedBuffer(length)));
  const blocks = lengths.reduce((sum, length) => sum + length, 0) / blockSize;
  const lba = 24n;
  // The safeguard writes one buffer at a time: inside the guest the test writes the pieces itself.
  await using file = await open(disk.device, constants.O_RDWR | constants.O_DIRECT);
  await file.writev(pieces, Number(lba) * blockSize);
  const { tuples } = await disk.read('block-pi', lba, blocks);
  const bioSegments = pieces.map((buffer) => ({ buffer, offset: 0, length: buffer.length }));
  t.same(tuples, mirrorTuples(disk, lba, { segments: bioSegments }), 'across segment boundaries');
}

async function partition(t: Test, disk: Disk): Promise<void> {
  const [part] = disk.sysfs.partitions;
  if (part === undefined) throw new Error('scsi_debug made no partition');
  const { blockSize } = disk;
  const data = randomFillSync(alignedBuffer(7 * blockSize));
  await using file = await open(`/dev/${part.name}`, constants.O_RDWR | constants.O_DIRECT);
  await file.write(data, 0, data.length, 3 * blockSize);
  const lba = (part.startSector512 * 512n) / BigInt(blockSize) + 3n;
  const { tuples } = await disk.read('block-pi', lba, 7);
  t.same(
    tuples,
    mirrorTuples(disk, lba, { data }),
    'on a partition: reference tags count from the start of the disk',
  );
}

async function plantedFault(t: Test, disk: Disk, combination: Combination): Promise<void> {
  const refuser = expectedRefuser(combination);
  const lba = 40n;
  const before = await disk.readMedium(lba, 1);
  const tuplesBefore = disk.paths.includes('block-pi') ? (await disk.read('block-pi', lba, 1)).tuples : null;
  const report = await prove(disk, { lba });
  const range = report.ranges[0] as RangeReport;

  t.equal(report.outcome, refuser === 'nobody' ? 'delivered' : 'caught');
  const refused = (checker: Refuser): Verdict[] => (refuser === checker ? ['guard'] : ['unchecked']);
  t.same(verdicts(range, 'device', 'block'), refused('device'), 'device by block');
  t.same(verdicts(range, 'kernel', 'block'), refused('kernel'), 'kernel by block');
  t.same(verdicts(range, 'device', 'passthrough'), ['unchecked'], 'device by passthrough');
  t.same(verdicts(range, 'kernel', 'passthrough'), ['unchecked'], 'kernel by passthrough');
  if (disk.paths.includes('block-pi')) {
    t.same(verdicts(range, 'software', 'block-pi'), ['guard'], 'software by block-pi');
    t.same(verdicts(range, 'kernel', 'block-pi'), ['unchecked'], 'kernel by block-pi');
    t.same(verdicts(range, 'device', 'block-pi'), refused('device'), 'device by block-pi');
    const mismatch = report.findings.find(({ kind }) => kind === 'mismatch');
    t.match(
      mismatch,
      { lba: Number(lba), check: 'guard', checker: 'software' },
      'the finding names the block and the tag',
    );
    t.not(mismatch?.stored, mismatch?.computed);
  } else {
    t.same(verdictsOf(range, 'software'), ['unchecked'], 'no path reads tuples');
  }
  const noticing = new Set([...(disk.paths.includes('block-pi') ? ['software'] : []), refuser]);
  t.same(
    report.silent,
    ['software', 'kernel', 'hba', 'device'].filter((checker) => !noticing.has(checker)),
    'who stayed silent',
  );
  t.equal(
    range.cells.some(({ checker }) => checker === 'kernel-or-device'),
    false,
    'the log says who refused',
  );

  const after = await disk.readMedium(lba, 1);
  sameBytes(t, after.data, before.data, 'the data is back');
  if (disk.paths.includes('block-pi')) {
    t.same((await disk.read('block-pi', lba, 1)).tuples, tuplesBefore, 'and so is its tuple');
    t.equal(report.restored, 'exact');
  }
}

/** Leaving the scope is enough to have a region put back. */
async function disposeRestores(t: Test, disk: Disk): Promise<void> {
  const before = await disk.readMedium(0n, 4);
  {
    await using region = await claimRegion(disk, { lba: 0n, blocks: 4 });
    await region.write('passthrough', 1n, new Uint8Array(disk.blockSize));
    await region.write('block', 2n, new Uint8Array(disk.blockSize));
  }
  sameBytes(t, (await disk.readMedium(0n, 4)).data, before.data);
}
