/**
 * The block layer's own tuples for every profile that ublk can have: what it makes against the mirror, byte for byte, and what it
 * finds, byte by byte.
 */
import { randomFillSync, randomInt } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  alignedBuffer,
  type BioVec,
  type Disk,
  defaultEngine,
  mirrorTuples,
  openDevice,
} from 'blk-integrity';
import type { Test } from 'tap';
import { command } from './command.js';
import {
  createUblk,
  cutTuple,
  TRANSFER_BYTES,
  tupleSize,
  UBLK_PROFILES,
  type UblkProfile,
  type UblkTarget,
  ublkName,
} from './targets/ublk.js';

export async function ublk(t: Test): Promise<void> {
  for (const profile of UBLK_PROFILES) {
    await t.test(ublkName(profile), async (t) => {
      await using target = await createUblk(profile);
      const { disk } = target;
      await using file = await open(disk.device, constants.O_RDWR | constants.O_DIRECT);
      const it: Subject = { t, profile, target, disk, file };
      learned(it);
      await whole(it);
      await segments(it);
      await otherBytes(it);
      await readBack(it);
      await planted(it);
      await everyByte(it);
      await escapes(it);
      await switches(it);
    });
  }
  await t.test('what the kernel refuses', refused);
  await t.test('metadata without tuples', without);
  await t.test('tag_size', tagSizes);
  await t.test('reference tags beyond 32 and 48 bits', beyond);
}

interface Subject {
  readonly t: Test;
  readonly profile: UblkProfile;
  readonly target: UblkTarget;
  readonly disk: Disk;
  readonly file: FileHandle;
}

/** What openDevice makes of ioctl and sysfs. */
function learned({ t, profile, disk }: Subject): void {
  const { interval, metadata, piOffset, guard, type } = profile;
  t.match(disk.kernelProfile, {
    type,
    guard,
    interval,
    tupleSize: tupleSize(profile),
    metadataSize: metadata,
    piOffset,
    tagSize: 0,
  });
  t.equal(disk.blockSize, profile.block);
  t.equal(disk.sysfs.queue.dmaAlignment, 3);
}

/** One buffer: one block, some, and more than a command carries; the kernel splits before it makes tuples. */
async function whole(it: Subject): Promise<void> {
  const { t, target, disk, profile } = it;
  const most = TRANSFER_BYTES / profile.block;
  const cut = cutTuple(profile);
  for (const [lba, blocks] of [
    [0n, 1],
    [13n, 9],
    [101n, cut === null ? most + 7 : blockOf(profile, cut) + 1],
  ] as const) {
    const data = await write(it, lba, blocks);
    const expected: Uint8Array[] = [];
    for (let done = 0; done < blocks; done += most) {
      const part = data.subarray(done * profile.block, (done + most) * profile.block);
      expected.push(mirrorTuples(disk, lba + BigInt(done), { data: part }));
    }
    const written = await target.readMetadata(lba, blocks);
    t.equal(
      difference(written, Buffer.concat(expected)),
      null,
      `${blocks} blocks at ${lba} as the mirror has them`,
    );
  }
  if (cut !== null) await shifted(it, cut);
}

function blockOf({ block, interval }: UblkProfile, index: number): number {
  return Math.floor((index * interval) / block);
}

/**
 * Linux 7.3: after a tuple that a page cuts, the metadata behind it is not passed over, and every later tuple of the bio lies too early by as
 * much, for generate and verify alike. So the I/O reads well as it was written, and no other way.
 */
async function shifted(it: Subject, cut: number): Promise<void> {
  const { t, target, disk, profile } = it;
  const { metadata: size, piOffset } = profile;
  const lba = 101n;
  const blocks = blockOf(profile, cut) + 3;
  const data = await write(it, lba, blocks);
  const written = await target.readMetadata(lba, blocks);
  const mirrored = mirrorTuples(disk, lba, { data });
  const behind = cut * size + piOffset + tupleSize(profile);
  t.equal(
    difference(written.subarray(0, behind), mirrored.subarray(0, behind)),
    null,
    'as the mirror up to the cut',
  );
  const guard = profile.guard === 'crc64' ? 8 : 2;
  const at = (cut + 1) * size + piOffset;
  const early = at - (size - piOffset - tupleSize(profile));
  t.equal(
    difference(written.subarray(early, early + guard), mirrored.subarray(at, at + guard)),
    null,
    'the guard behind the cut lies too early',
  );
  const tag = early + tupleSize(profile) - 4;
  t.equal(
    Buffer.from(written).readUInt32BE(tag),
    Number(lba) * (profile.block / 512) + cut + 1,
    'its reference tag is virtual',
  );
  t.equal(await read(it, lba, blocks), 'good', 'read as it was written');
  t.equal(await read(it, lba + BigInt(blocks - 1), 1), 'EILSEQ', 'its last block read alone');
  await target.plant(lba, data, mirrored);
  t.equal(await read(it, lba, blocks), 'EILSEQ', 'good tuples read in one piece');
  t.equal(await read(it, lba + BigInt(blocks - 1), 1), 'good', 'and alone');
}

/** Pieces of memory that are no neighbours, of whole blocks and cut anywhere that dma_alignment (3) allows. */
async function segments({ t, target, disk, file, profile }: Subject): Promise<void> {
  const blocks = 8;
  const bytes = blocks * profile.block;
  const cuts = Array.from({ length: 11 }, () => 4 * randomInt(1, bytes / 4));
  for (const [what, ends] of [
    ['whole blocks', [3, 4].map((block) => block * profile.block)],
    ['cut anywhere', [...new Set(cuts)].sort((a, b) => a - b)],
  ] as const) {
    const lba = 501n;
    const lengths = [...ends, bytes].map((end, i) => end - (ends[i - 1] ?? 0));
    const pieces = lengths.map((length) => randomFillSync(alignedBuffer(length)));
    await file.writev(pieces, Number(lba) * profile.block);
    const bio: BioVec[] = pieces.map((buffer) => ({ buffer, offset: 0, length: buffer.length }));
    const written = await target.readMetadata(lba, blocks);
    t.equal(
      difference(written, mirrorTuples(disk, lba, { segments: bio })),
      null,
      `segments, ${what}: ${lengths}`,
    );

    const back = lengths.map((length) => alignedBuffer(length));
    await file.readv(back, Number(lba) * profile.block);
    t.equal(difference(Buffer.concat(back), Buffer.concat(pieces)), null, `read back, ${what}`);
  }
}

const LBA = 24n;
const BLOCKS = 4;

/** Metadata beside the tuple is zero after a write, whatever was there. */
async function otherBytes(it: Subject): Promise<void> {
  const { t, target, profile } = it;
  const { metadata: size, piOffset } = profile;
  await write(it);
  const metadata = await target.readMetadata(LBA, BLOCKS);
  const other = metadata.filter((_, i) => i % size < piOffset || i % size >= piOffset + tupleSize(profile));
  t.equal(
    other.every((byte) => byte === 0),
    true,
    `${other.length} bytes beside the tuples are zero`,
  );
}

/** The caller's own way to the metadata gives what lies on the medium. */
async function readBack({ t, target, disk }: Subject): Promise<void> {
  const { tuples, answer } = await disk.read('block-pi', LBA, BLOCKS);
  t.equal(answer.kind, 'good');
  t.equal(
    difference(tuples ?? new Uint8Array(0), await target.readMetadata(LBA, BLOCKS)),
    null,
    'as block-pi reads it',
  );
}

/** Our own tuples amid metadata of anything: their guards cover what lies before them, as the kernel has it. */
async function planted(it: Subject): Promise<void> {
  const { t, target, disk, profile } = it;
  const data = randomFillSync(new Uint8Array(BLOCKS * profile.block));
  const metadata = randomFillSync(new Uint8Array((data.length / profile.interval) * profile.metadata));
  defaultEngine().generateInto(data, metadata, {
    profile: disk.kernelProfile!,
    layout: 'separate',
    seed: LBA * BigInt(profile.block / profile.interval),
    type3Ref: 'zero',
  });
  await target.plant(LBA, data, metadata);
  t.equal(await read(it), 'good', "the mirror's tuples are accepted amid any metadata");
}

/** One bit of each byte of the metadata, and of some of the data, is turned: the kernel finds it, or it does not look there. */
async function everyByte(it: Subject): Promise<void> {
  const { t, target, profile } = it;
  const { block, interval, metadata: size } = profile;
  const data = await write(it);
  const metadata = await target.readMetadata(LBA, BLOCKS);
  const wrong: string[] = [];
  const plantAndRead = async (what: string, bytes: Uint8Array, at: number, expected: string) => {
    const bit = 1 << randomInt(8);
    bytes[at]! ^= bit;
    await target.plant(LBA, data, metadata);
    const answer = await read(it);
    if (answer !== expected) wrong.push(`${what}: ${answer}`);
    bytes[at]! ^= bit;
  };
  // The last interval of the third block.
  const index = (3 * block) / interval - 1;
  for (let at = 0; at < size; at++) {
    await plantAndRead(`byte ${at} of the metadata`, metadata, index * size + at, found(profile, at));
  }
  for (const at of [0, 1, interval - 1, ...Array.from({ length: 8 }, () => randomInt(interval))]) {
    await plantAndRead(`byte ${at} of the data`, data, index * interval + at, 'EILSEQ');
  }
  t.same(wrong, [], 'every byte that counts is looked at, and no other');
  await target.plant(LBA, data, metadata);
  t.equal(await read(it), 'good', 'clean again');
}

/** What the read of a block gives whose metadata is wrong in byte `at`. */
function found(profile: UblkProfile, at: number): 'EILSEQ' | 'good' {
  const inTuple = at - profile.piOffset;
  const [app, ref, end] = profile.guard === 'crc64' ? [8, 10, 16] : [2, 4, 8];
  if (inTuple < app) return 'EILSEQ';
  return inTuple >= ref && inTuple < end && profile.type === 1 ? 'EILSEQ' : 'good';
}

/** An application tag of all ones exempts the block, in type 3 with a reference tag of all ones. */
async function escapes(it: Subject): Promise<void> {
  const { t, target, profile } = it;
  const data = await write(it);
  const metadata = await target.readMetadata(LBA, BLOCKS);
  const [app, ref] = profile.guard === 'crc64' ? [8, 10] : [2, 4];
  const tuple = metadata.subarray(profile.piOffset, profile.piOffset + tupleSize(profile));
  data[0]! ^= 1;
  tuple.fill(0xff, app, ref);
  await target.plant(LBA, data, metadata);
  t.equal(await read(it), profile.type === 1 ? 'good' : 'EILSEQ', 'application tag FFFFh');
  tuple.fill(0xff, app);
  await target.plant(LBA, data, metadata);
  t.equal(await read(it), 'good', 'application and reference tag of all ones');
}

/** read_verify and write_generate off. */
async function switches(it: Subject): Promise<void> {
  const { t, target, disk, profile } = it;
  const data = await write(it);
  const metadata = await target.readMetadata(LBA, BLOCKS);
  const set = (name: string, value: 0 | 1) =>
    writeFile(`/sys/block/${disk.sysfs.name}/integrity/${name}`, String(value));
  data[0]! ^= 1;
  await target.plantData(LBA, data);
  await set('read_verify', 0);
  t.equal(await read(it), 'good', 'read_verify 0: nothing is found');
  await set('read_verify', 1);
  t.equal(await read(it), 'EILSEQ', 'read_verify 1: it is');

  await set('write_generate', 0);
  const now = await write(it);
  await using again = await openDevice(disk.device);
  const mirrored = mirrorTuples(again, LBA, { data: now });
  const left = await target.readMetadata(LBA, BLOCKS);
  const wider = profile.metadata > tupleSize(profile);
  t.equal(mirrored.length, wider ? metadata.length : 0);
  t.equal(
    difference(left, wider ? mirrored : metadata),
    null,
    'write_generate 0: as the mirror, or no metadata at all',
  );
  if (wider) {
    // A tag of 0 is the virtual tag of a bio without a seed: that of its first interval is remapped.
    const end = profile.piOffset + tupleSize(profile);
    const first = profile.type === 1 ? Number(LBA) * (profile.block / profile.interval) : 0;
    t.equal(left[end - 1], first, 'the first reference tag is the LBA in type 1');
    left[end - 1] = 0;
    t.equal(
      left.every((byte) => byte === 0),
      true,
      'and all else zero',
    );
  }
  t.equal(await read(it), 'EILSEQ', 'which does not verify');
  await set('write_generate', 1);
}

/** Blocks larger than a page, intervals larger than a block, tuples that are not inside the metadata. */
async function refused(t: Test): Promise<void> {
  const taken = { block: 4096, interval: 4096, metadata: 16, piOffset: 8, guard: 'crc16', type: 1 } as const;
  await (await createUblk(taken))[Symbol.asyncDispose]();
  for (const change of [
    { block: 8192 },
    { block: 8192, interval: 8192 },
    { interval: 8192 },
    { interval: 256 },
    { piOffset: 9 },
    { metadata: 8 },
  ]) {
    await t.rejects(
      createUblk({ ...taken, ...change }),
      /SET_PARAMS: Invalid argument/,
      JSON.stringify(change),
    );
  }
}

/** Metadata that holds no tuples. */
async function without(t: Test): Promise<void> {
  const profile = { block: 4096, interval: 4096, metadata: 64, piOffset: 0, guard: null, type: 3 } as const;
  await using target = await createUblk(profile);
  const { disk } = target;
  await using file = await open(disk.device, constants.O_RDWR | constants.O_DIRECT);
  const it: Subject = { t, profile, target, disk, file };
  t.equal(disk.sysfs.integrity.format, 'nop');
  t.equal(disk.kernelProfile, null);
  await write(it);
  const metadata = await target.readMetadata(LBA, BLOCKS);
  t.equal(
    metadata.every((byte) => byte === 0),
    true,
    'zeros after a write',
  );
  await target.plantData(LBA, randomFillSync(new Uint8Array(profile.block)));
  t.equal(await read(it), 'good', 'and nothing is verified');
}

/** What the driver says of application tags: the kernel takes any size. */
async function tagSizes(t: Test): Promise<void> {
  const profile = { block: 512, interval: 512, metadata: 8, piOffset: 0, guard: 'crc16', type: 3 } as const;
  for (const [tagSize, learnt] of [
    [6, 6],
    [200, 0],
  ] as const) {
    await using target = await createUblk({ ...profile, tagSize });
    t.equal(target.disk.sysfs.integrity.tagSize, tagSize);
    t.equal(target.disk.kernelProfile?.tagSize, learnt);
  }
}

/** A few blocks on either side of where the tag begins again. */
async function beyond(t: Test): Promise<void> {
  const common = { block: 512, interval: 512, piOffset: 0, type: 1 } as const;
  for (const [profile, edge] of [
    [{ ...common, metadata: 8, guard: 'crc16' }, 32n],
    [{ ...common, metadata: 16, guard: 'crc64' }, 32n],
    [{ ...common, metadata: 16, guard: 'crc64' }, 48n],
  ] as const) {
    await t.test(`${ublkName(profile)}, 2^${edge}`, async (t) => {
      const start = 2n ** edge - 2n;
      await using target = await createUblk(profile, start + 8n);
      const data = randomFillSync(new Uint8Array(4 * profile.block));
      const path = join(tmpdir(), 'blk-integrity-beyond');
      await writeFile(path, data);
      // Node's own positions end at 2^53.
      const transfer = [
        `bs=${data.length}`,
        'count=1',
        'status=none',
        `of=${target.disk.device}`,
        `if=${path}`,
      ];
      await command('dd', ...transfer, 'oflag=direct,seek_bytes', `seek=${start * 512n}`);
      await rm(path);
      const written = await target.readMetadata(start, 4);
      t.equal(
        difference(written, mirrorTuples(target.disk, start, { data })),
        null,
        'as the mirror has them',
      );
      const { answer, data: back } = await target.disk.read('block', start, 4);
      t.equal(answer.kind, 'good', 'and verified');
      t.equal(difference(back ?? new Uint8Array(0), data), null);
      const tags = Array.from({ length: 4 }, (_, i) => {
        const end = (i + 1) * profile.metadata;
        return Buffer.from(written.subarray(end - (profile.guard === 'crc64' ? 6 : 4), end)).toString('hex');
      });
      t.same(tags, TAGS[`${profile.guard} ${edge}`]);
    });
  }
}

const TAGS: Readonly<Record<string, readonly string[]>> = {
  'crc16 32': ['fffffffe', 'ffffffff', '00000000', '00000001'],
  'crc64 32': ['0000fffffffe', '0000ffffffff', '000100000000', '000100000001'],
  'crc64 48': ['fffffffffffe', 'ffffffffffff', '000000000000', '000000000001'],
};

/** Random data, written by O_DIRECT in one call. */
async function write({ file, profile }: Subject, lba = LBA, blocks = BLOCKS): Promise<Uint8Array> {
  const data = randomFillSync(alignedBuffer(blocks * profile.block));
  await file.write(data, 0, data.length, Number(lba) * profile.block);
  return data;
}

/** `good`, or the name of the errno. */
async function read({ file, profile }: Subject, lba = LBA, blocks = BLOCKS): Promise<string> {
  const data = alignedBuffer(blocks * profile.block);
  try {
    await file.read(data, 0, data.length, Number(lba) * profile.block);
    return 'good';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

/** Where two runs of bytes differ first, in words; null when they are equal. */
function difference(found: Uint8Array, wanted: Uint8Array): string | null {
  if (Buffer.compare(found, wanted) === 0) return null;
  const at = found.findIndex((byte, i) => byte !== wanted[i]);
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(at, at + 16)).toString('hex');
  return `byte ${at} of ${found.length} (${wanted.length} wanted): ${hex(found)}, wanted ${hex(wanted)}`;
}
