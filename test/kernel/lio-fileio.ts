/**
 * LIO's fileio disks: their tuples lie in a file, so they can be compared and planted on every kernel.
 */
import { randomFillSync } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import {
  alignedBuffer,
  claimRegion,
  createLioFileio,
  crosscheck,
  type Disk,
  fillDisk,
  type LioFileioDisk,
  mirrorTuples,
  openDevice,
  prove,
} from 'blk-integrity';
import type { Test } from 'tap';
import { verdicts } from './verdicts.js';

const LBA = 16n;
const BLOCKS = 8;
const TUPLE = 8;

export async function lioFileio(t: Test): Promise<void> {
  for (const type of [1, 3] as const) {
    await t.test(`pi_prot_type ${type}`, async (t) => {
      await using made = await createLioFileio({ type, sizeMiB: 2 });
      await using disk = await openDevice(made.device);
      t.same(
        (await made.readTuples(LBA, BLOCKS)).every((byte) => byte === 0xff),
        true,
        'all escaped after formatting',
      );

      // Zeros say nothing of type 3: a zero block's tuple may be zero too.
      await fillDisk(disk);
      t.equal((await disk.proof())?.text, 'accepts RDPROTECT, transfers no tuples');

      const data = randomFillSync(new Uint8Array(BLOCKS * disk.blockSize));
      await using region = await claimRegion(disk, { lba: LBA, blocks: BLOCKS });
      t.same(await region.write('block', LBA, data), { kind: 'good' });
      const written = await made.readTuples(LBA, BLOCKS);
      t.same(
        written,
        mirrorTuples(disk, LBA, { data }),
        "the kernel's tuples in the file equal the mirror's, byte for byte",
      );
      await segments(t, disk, made);
      t.same((await check(disk)).findings, [], 'a clean disk has no findings');
      await t.rejects(
        prove(disk, { lba: LBA }),
        { code: 'ERR_CANNOT_PLANT' },
        'a plain write cannot plant a fault here',
      );

      await faults(t, disk, made, type, written);
      region.keep();
    });
  }
}

/** Pieces that are no neighbours in memory, in one bio; the test writes them itself, since the safeguard sends one buffer. */
async function segments(t: Test, disk: Disk, made: LioFileioDisk): Promise<void> {
  const lengths = [3, 1, 4].map((blocks) => blocks * disk.blockSize);
  const pieces = lengths.map((length) => randomFillSync(alignedBuffer(length)));
  const lba = 1000n;
  await using file = await open(disk.device, constants.O_RDWR | constants.O_DIRECT);
  await file.writev(pieces, Number(lba) * disk.blockSize);
  const bioSegments = pieces.map((buffer) => ({ buffer, offset: 0, length: buffer.length }));
  t.same(
    await made.readTuples(lba, 8),
    mirrorTuples(disk, lba, { segments: bioSegments }),
    'across segment boundaries',
  );
}

/** Which byte of the tuple is planted wrong, and who must find it by which name. Type 3 has no reference tag to check. */
const FAULTS = [
  { tag: 'guard', byte: 0, types: [1, 3] },
  { tag: 'ref', byte: 7, types: [1] },
] as const;

async function faults(
  t: Test,
  disk: Disk,
  made: LioFileioDisk,
  type: 1 | 3,
  written: Uint8Array,
): Promise<void> {
  for (const { tag, byte } of FAULTS.filter(({ types }) => (types as readonly number[]).includes(type))) {
    const bad = LBA + 3n;
    const tuple = written.slice(3 * TUPLE, 4 * TUPLE);
    tuple[byte]! ^= 0x01;
    await made.plantTuples(bad, tuple);
    for (const [verify, checker] of [
      [true, 'device'],
      [false, 'kernel'],
    ] as const) {
      await made.setVerify(verify);
      const { findings, range } = await check(disk);
      t.same(
        verdicts(range, checker, 'block').filter((verdict) => verdict === tag),
        [tag],
        `${tag} fault caught by the ${checker}`,
      );
      const refused = findings.filter(({ kind, path }) => kind === 'refused' && path === 'block');
      t.match(refused, [{ lba: Number(bad), check: tag, checker }], 'at its LBA, and there alone');
    }
    await made.setVerify(true);
    await made.plantTuples(LBA, written);
    t.same((await check(disk)).findings, [], 'clean again');
  }
}

async function check(disk: Disk) {
  const { findings, ranges } = await crosscheck(disk, { ranges: [{ lba: LBA, blocks: BLOCKS }] });
  return { findings, range: ranges[0]! };
}
