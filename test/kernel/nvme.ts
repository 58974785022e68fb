/**
 * QEMU's NVMe namespaces: what the kernel makes against the mirror, byte for byte by pass-through, and planted faults.
 */
import { randomFillSync } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { release, constants as system } from 'node:os';
import { alignedBuffer, mirrorTuples, type NvmeNamespace, scrub } from 'blk-integrity';
import type { Test } from 'tap';
import type { NvmeIoRequest } from '../../lib/binding.js';
import { findNamespaces, namespaceName, nvmeTargets, openNamespace } from './targets/nvme.js';
import { NAMESPACES } from './targets/nvme-namespaces.js';
import type { Target } from './targets/target.js';

export async function nvme(t: Test): Promise<void> {
  await t.test('what the kernel makes of the formats', formats);
  for (const [number, maker] of (await nvmeTargets()).entries()) {
    await t.test(maker.name, async (t) => {
      await using target = await maker.make();
      await using file = await open(target.disk.device, constants.O_RDWR | constants.O_DIRECT);
      const it: Subject = { t, target, file, blockSize: target.disk.blockSize };
      await tuples(it);
      await faults(it);
      await passthrough(it);
      await scrubbed(it, number === 0);
    });
  }
}

interface Subject {
  readonly t: Test;
  readonly target: Target;
  readonly file: FileHandle;
  readonly blockSize: number;
}

/**
 * What metadata wider than the tuple, the tuple first or last in it, and 64-bit guards take: the first of the kernels that were run
 * (5.10, 6.1, 6.12, 7.3).
 */
const SINCE = { widerFirst: [6, 1], widerLast: [6, 12], crc64: [6, 1] } as const;

function known({ metadataSize, first = false, guard }: NvmeNamespace): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const since = ([wantedMajor, wantedMinor]: readonly [number, number]) =>
    major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
  return (
    (metadataSize === undefined || since(first ? SINCE.widerFirst : SINCE.widerLast)) &&
    (guard !== 'crc64' || since(SINCE.crc64))
  );
}

async function formats(t: Test): Promise<void> {
  const found = await findNamespaces();
  t.equal(found.length, NAMESPACES.length, 'booted with the namespaces of targets/nvme-namespaces.ts');
  for (const { namespace, format } of found) {
    const kind = namespace.pi === 3 ? 'TYPE3' : 'TYPE1';
    const name = namespace.guard === 'crc64' ? `EXT-DIF-${kind}-CRC64` : `T10-DIF-${kind}-CRC`;
    t.equal(format, known(namespace) ? name : 'nop', namespaceName(namespace));
  }
}

async function tuples({ t, target, file, blockSize }: Subject): Promise<void> {
  const { disk } = target;
  t.equal(disk.kernelProfile?.metadataSize, disk.diskProfile?.metadataSize);
  t.equal(disk.kernelProfile?.piOffset, disk.diskProfile?.piOffset);
  const { metadataSize = 0, piOffset = 0, tupleSize = 0 } = disk.kernelProfile ?? {};
  const fresh = await target.readMetadata!(3000n, 3);
  for (let at = piOffset; at < fresh.length; at += metadataSize)
    t.ok(
      fresh.subarray(at, at + tupleSize).every((byte) => byte === 0xff),
      'a block never written is escaped',
    );

  for (const [lba, blocks] of [
    [0n, 1],
    [13n, 9],
    [101n, 64],
  ] as const) {
    const data = randomFillSync(alignedBuffer(blocks * blockSize));
    await file.write(data, 0, data.length, Number(lba) * blockSize);
    const written = await target.readMetadata!(lba, blocks);
    t.equal(
      difference(written, mirrorTuples(disk, lba, { data })),
      null,
      `${blocks} blocks at ${lba} as the mirror has them`,
    );
    t.equal(difference(await readBack(file, lba, blocks, blockSize), data), null);
  }
  const pieces = [3, 1, 4].map((blocks) => randomFillSync(alignedBuffer(blocks * blockSize)));
  const lba = 501n;
  await file.writev(pieces, Number(lba) * blockSize);
  const segments = pieces.map((buffer) => ({ buffer, offset: 0, length: buffer.length }));
  const written = await target.readMetadata!(lba, 8);
  t.equal(difference(written, mirrorTuples(disk, lba, { segments })), null, 'across segments');
}

/** The first byte that differs; null when none does. */
function difference(found: Uint8Array, wanted: Uint8Array): string | null {
  const at = wanted.findIndex((byte, i) => byte !== found[i]);
  if (at === -1) return found.length === wanted.length ? null : `${found.length} bytes, not ${wanted.length}`;
  return `byte ${at}: ${found[at]}, not ${wanted[at]}`;
}

async function readBack(
  file: FileHandle,
  lba: bigint,
  blocks: number,
  blockSize: number,
): Promise<Uint8Array> {
  const data = alignedBuffer(blocks * blockSize);
  await file.read(data, 0, data.length, Number(lba) * blockSize);
  return data;
}

const LBA = 24n;
const BLOCKS = 4;
const BAD = 2;

async function faults({ t, target, file, blockSize }: Subject): Promise<void> {
  const { tupleSize, metadataSize, piOffset, type } = target.disk.kernelProfile!;
  const data = randomFillSync(alignedBuffer(BLOCKS * blockSize));
  await file.write(data, 0, data.length, Number(LBA) * blockSize);
  const metadata = await target.readMetadata!(LBA, BLOCKS);
  const tuple = BAD * metadataSize + piOffset;
  const guardSize = tupleSize === 8 ? 2 : 8;

  /** errno names of reading the blocks one by one. */
  const verdicts = async () => {
    const each = [...Array(BLOCKS).keys()].map((i) =>
      readBack(file, LBA + BigInt(i), 1, blockSize).then(() => 'good', code),
    );
    return await Promise.all(each);
  };
  const expected = (bad: string) => [...Array(BLOCKS).keys()].map((i) => (i === BAD ? bad : 'good'));
  const planted = async (at: number, mask = 0x01) => {
    const changed = metadata.slice();
    changed[at]! ^= mask;
    await target.plant!(LBA, data, changed);
    t.same(await target.readMetadata!(LBA, BLOCKS), changed, 'on the medium as planted');
    return await verdicts();
  };

  t.same(await planted(tuple), expected('EILSEQ'), 'guard, first byte');
  t.same(await planted(tuple + guardSize - 1, 0x80), expected('EILSEQ'), 'guard, last byte');
  t.same(await planted(tuple + guardSize), expected('good'), 'the application tag is not compared');
  t.same(await planted(tuple + tupleSize - 1), expected(type === 3 ? 'good' : 'EILSEQ'), 'reference tag');
  t.same(
    await planted(tuple + guardSize + 2, 0x80),
    expected(type === 3 ? 'good' : 'EILSEQ'),
    'reference tag, first byte',
  );
  if (piOffset > 0)
    t.same(await planted(tuple - 1), expected('EILSEQ'), 'the guard covers what comes before the tuple');
  if (piOffset + tupleSize < metadataSize)
    t.same(await planted(tuple + tupleSize), expected('good'), 'and not what comes after it');

  const other = data.slice(BAD * blockSize, (BAD + 1) * blockSize);
  other[blockSize - 1]! ^= 0x40;
  await target.plant!(LBA, data, metadata);
  await target.plantData!(LBA + BigInt(BAD), other);
  t.same(await target.readMetadata!(LBA, BLOCKS), metadata, 'data changed under its tuple');
  t.same(await verdicts(), expected('EILSEQ'), 'and refused');

  await target.plant!(LBA, data, metadata);
  t.same(await verdicts(), expected('good'), 'put back');
}

/** The software where io_uring takes tuples, else the kernel, finds what is planted and nothing else. */
async function scrubbed({ t, target, file, blockSize }: Subject, first: boolean): Promise<void> {
  const { disk } = target;
  const range = { lba: 800n, blocks: 600 };
  // Up to a boundary of 4096 bytes: of what QEMU has written in part, the rest is zeros without an escape.
  const written = 504;
  const data = randomFillSync(alignedBuffer(written * blockSize));
  await file.write(data, 0, data.length, Number(range.lba) * blockSize);
  const clean = await scrub(disk, { range });
  const software = disk.paths.includes('block-pi');
  t.match(clean, {
    path: software ? 'block-pi' : 'block',
    checker: software ? 'software' : 'kernel',
  });
  t.same(clean.findings, []);
  const { ok, escaped, unchecked, passed } = clean.counts;
  const all = range.blocks;
  const seen = software ? [written, all - written, 0, 0] : [0, 0, all, all];
  t.same([ok, escaped, unchecked, passed], seen, 'what was never written is escaped');

  // The kernel's log does not name who refused, and is waited for: once is enough.
  if (!software && !first) return;
  for (const lba of [803n, 1000n, 1001n, 1299n]) {
    const other = randomFillSync(alignedBuffer(blockSize));
    await target.plantData!(lba, other);
  }
  const { findings, counts } = await scrub(disk, { range });
  t.same(
    findings.map(({ kind, lba, blocks }) => [kind, lba, blocks]),
    [803, 1000, 1299].map((lba) => [software ? 'mismatch' : 'refused', lba, lba === 1000 ? 2 : 1]),
  );
  t.equal(software ? counts.bad : counts.refused, 4);
}

/** Status code type and status code of a completion (NVM Command Set Specification 1.0, figures 16 and 17). */
const STATUS = { good: 0, lbaOutOfRange: 0x080, invalidPi: 0x181, guard: 0x282, app: 0x283, ref: 0x284 };
const STATUS_MASK = 0x7ff;
const EINVAL = { errno: system.errno.EINVAL, status: 0 };

/** The namespace's own checks, asked for tag by tag, and commands that are not sent. */
async function passthrough({ t, target, file, blockSize }: Subject): Promise<void> {
  const { tupleSize, metadataSize, piOffset, type } = target.disk.kernelProfile!;
  const lba = 700n;
  const data = randomFillSync(alignedBuffer(blockSize));
  await file.write(data, 0, data.length, Number(lba) * blockSize);
  const metadata = await target.readMetadata!(lba, 1);
  const handle = await openNamespace(target.disk.device);
  const io = (more: Partial<NvmeIoRequest> = {}) =>
    handle.nvmeIo({
      opcode: 'read',
      slba: lba,
      blocks: 1,
      data: new Uint8Array(blockSize),
      metadata: new Uint8Array(metadataSize),
      prchk: 0,
      refTag: lba,
      appTag: 0,
      appMask: 0,
      timeoutMs: 10_000,
      ...more,
    });
  const status = async (more: Partial<NvmeIoRequest>) => {
    const answer = await io(more);
    return answer.errno === 0 ? answer.status & STATUS_MASK : answer;
  };
  try {
    const read = {
      data: new Uint8Array(blockSize + 2),
      metadata: new Uint8Array(metadataSize + 2).fill(0x51),
    };
    const inner = { data: read.data.subarray(1, -1), metadata: read.metadata.subarray(1, -1) };
    t.same(await io(inner), { errno: 0, status: 0 });
    t.equal(difference(inner.data, data), null, 'data by pass-through');
    t.equal(difference(inner.metadata, metadata), null, 'and metadata');
    t.same([read.data[0], read.data.at(-1), read.metadata[0], read.metadata.at(-1)], [0, 0, 0x51, 0x51]);

    for (const opcode of ['read', 'write'] as const) {
      for (const [what, request] of [
        ['data too short', { data: new Uint8Array(blockSize - 1) }],
        ['data too long', { data: new Uint8Array(2 * blockSize) }],
        ['no data', { data: new Uint8Array(0) }],
        ['metadata too short', { metadata: new Uint8Array(metadataSize - 1) }],
        ['metadata too long', { metadata: new Uint8Array(metadataSize + 1) }],
        ['no metadata', { metadata: new Uint8Array(0) }],
        ['more blocks than buffer', { blocks: 2 }],
      ] as const) {
        t.same(await io({ opcode, ...request }), EINVAL, `${opcode}, ${what}: not sent`);
      }
    }
    t.equal(difference(await target.readMetadata!(lba, 1), metadata), null, 'as it was');
    t.equal(await status({ slba: target.disk.blocks, refTag: target.disk.blocks }), STATUS.lbaOutOfRange);

    const guardSize = tupleSize === 8 ? 2 : 8;
    const tags = type === 3 ? { prchk: 6 } : { prchk: 7 };
    t.equal(await status({ ...tags, appMask: 0xffff }), STATUS.good, 'every tag is right');
    t.equal(await status({ prchk: 2, appTag: 1, appMask: 0xffff }), STATUS.app);
    t.equal(
      await status({ prchk: 2, appTag: 1, appMask: 0xfffe }),
      STATUS.good,
      'but for a bit that is masked out',
    );
    for (const [tag, at, prchk] of [
      ['guard', 0, 4],
      ['app', guardSize, 2],
      ...(type === 3 ? [] : ([['ref', tupleSize - 1, 1]] as const)),
    ] as const) {
      const changed = metadata.slice();
      changed[piOffset + at]! ^= 0x01;
      t.equal(
        await status({ opcode: 'write', data, metadata: changed, prchk, appMask: 0xffff }),
        STATUS[tag],
        `a write, ${tag}`,
      );
      await target.plant!(lba, data, changed);
      t.equal(await status({ prchk, appMask: 0xffff }), STATUS[tag], `a read, ${tag}`);
      t.equal(
        await status({ prchk: 7 - prchk - (type === 3 ? 1 : 0), appMask: 0xffff }),
        STATUS.good,
        'not asked for, not found',
      );
    }
    // Of types 1 and 2 the controller wants the LBA, to all bits that it is given.
    if (type !== 3) t.equal(await status({ prchk: 1, refTag: lba + 2n ** 32n }), STATUS.invalidPi);
  } finally {
    await handle.close();
  }
}

const code = (error: NodeJS.ErrnoException): string => error.code ?? error.message;
