/**
 * ublk: disks in user space with integrity profiles that no other test disk has (Linux 7.0; seen on 7.3). Data and metadata lie in two
 * files, unchecked: what makes and verifies a tuple here is the block layer alone.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type GuardKind, openDevice } from 'blk-integrity';
import { command } from '../command.js';
import type { Target, TargetMaker } from './target.js';

/** In bytes. A block holds one interval or several; the kernel takes blocks of 512 to 4096. */
export interface UblkProfile {
  readonly block: number;
  readonly interval: number;
  /** Beside every interval; at most 255. */
  readonly metadata: number;
  readonly piOffset: number;
  /** Null for metadata without tuples. */
  readonly guard: GuardKind | null;
  /** Type 1 has reference tags that count, type 3 has none. */
  readonly type: 1 | 3;
  /** As the kernel shows it in sysfs; it makes nothing of it. Default 0. */
  readonly tagSize?: number;
}

const GUARDS = {
  crc16: { name: 'CRC-16', size: 8, number: 2 },
  ip: { name: 'IP', size: 8, number: 1 },
  crc64: { name: 'CRC-64', size: 16, number: 4 },
  none: { name: 'no guard', size: 0, number: 0 },
} as const;

/** Bytes of a tuple of this profile. */
export function tupleSize({ guard }: UblkProfile): 0 | 8 | 16 {
  return GUARDS[guard ?? 'none'].size;
}

/** `ublk 4096 + 64 at 56, IP, type 1`, and `4096 of 512` for a block of several intervals. */
export function ublkName({ block, interval, metadata, piOffset, guard, type }: UblkProfile): string {
  const data = block === interval ? `${block}` : `${block} of ${interval}`;
  return `ublk ${data} + ${metadata} at ${piOffset}, ${GUARDS[guard ?? 'none'].name}, type ${type}`;
}

/** The most that one command carries: ublk's max_sectors. */
export const TRANSFER_BYTES: number = 1024 * 1024;

const PAGE = 4096;

/**
 * The first interval of an I/O whose tuple a page of the kernel's buffer cuts, with metadata behind it; null when there is none. Linux 7.3
 * puts what follows in the wrong place (docs/kernels.md).
 */
export function cutTuple(profile: UblkProfile): number | null {
  const { interval, metadata, piOffset } = profile;
  const size = tupleSize(profile);
  if (piOffset + size === metadata) return null;
  for (let i = 0; i < TRANSFER_BYTES / interval; i++) {
    const start = i * metadata + piOffset;
    if (start % PAGE > PAGE - size) return i;
  }
  return null;
}

/** Each guard with the tuple as all of the metadata, and first, in the middle and last in more of it. */
const PLACES = [
  { block: 512, interval: 512, extra: 0, before: 0 },
  { block: 1024, interval: 1024, extra: 8, before: 8 },
  { block: 2048, interval: 2048, extra: 8, before: 0 },
  { block: 4096, interval: 4096, extra: 0, before: 0 },
  { block: 4096, interval: 4096, extra: 48, before: 0 },
  { block: 4096, interval: 4096, extra: 48, before: 24 },
  { block: 4096, interval: 4096, extra: 48, before: 48 },
  { block: 4096, interval: 512, extra: 0, before: 0 },
  { block: 4096, interval: 1024, extra: 16, before: 16 },
  // Nothing is aligned, and the metadata is as long as it can be.
  { block: 512, interval: 512, extra: 5, before: 3 },
  { block: 4096, interval: 4096, extra: 'all', before: 'all' },
] as const;

const METADATA_MAX = 255;

export const UBLK_PROFILES: readonly UblkProfile[] = (['crc16', 'ip', 'crc64'] as const).flatMap((guard) =>
  ([1, 3] as const).flatMap((type) =>
    PLACES.map(({ block, interval, extra, before }) => {
      const most = METADATA_MAX - GUARDS[guard].size;
      return {
        block,
        interval,
        metadata: GUARDS[guard].size + (extra === 'all' ? most : extra),
        piOffset: before === 'all' ? most : before,
        guard,
        type,
      };
    }),
  ),
);

/** A target of which everything can be seen and planted. */
export interface UblkTarget extends Target {
  readonly readMetadata: NonNullable<Target['readMetadata']>;
  readonly plant: NonNullable<Target['plant']>;
  readonly plantData: NonNullable<Target['plantData']>;
}

/** Blocks of a disk of the makers: 2 MiB of the smallest. */
const BLOCKS = 4096n;

/** As a device formats its metadata: every block escaped. Larger metadata, of sparse disks, is zero from here on. */
const FORMATTED_BYTES_MAX = 16 * 1024 * 1024;

const SERVER = fileURLToPath(new URL('../../Release/ublk_disk', import.meta.url));

/** A target of this profile, all blocks escaped. `blocks` cost nothing until they are written. Needs root and the module ublk_drv. */
export async function createUblk(profile: UblkProfile, blocks: bigint = BLOCKS): Promise<UblkTarget> {
  const { block, interval, metadata: size, piOffset, guard, type, tagSize = 0 } = profile;
  await command('modprobe', 'ublk_drv');
  const folder = await mkdtemp(join(tmpdir(), 'blk-integrity-ublk-'));
  const undo: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true })];
  const remove = async (): Promise<void> => {
    const failures: unknown[] = [];
    // One step that fails must not leave the others undone.
    for (const step of undo.splice(0).reverse()) await step().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  };
  try {
    const create = async (name: string): Promise<FileHandle> => {
      const handle = await open(join(folder, name), 'wx+');
      undo.push(() => handle.close());
      return handle;
    };
    const dataFile = await create('data');
    const metadataFile = await create('metadata');
    const bytesPerBlock = (block / interval) * size;
    const metadataBytes = blocks * BigInt(bytesPerBlock);
    // Node's own truncate ends at 2^53.
    await command('truncate', `--size=${blocks * BigInt(block)}`, join(folder, 'data'));
    await command('truncate', `--size=${metadataBytes}`, join(folder, 'metadata'));
    const formatted = Math.min(Number(metadataBytes), FORMATTED_BYTES_MAX);
    await metadataFile.write(new Uint8Array(formatted).fill(0xff));

    const server = spawn(
      SERVER,
      [
        `data=${join(folder, 'data')}`,
        `metadata=${join(folder, 'metadata')}`,
        `block=${block}`,
        `interval=${interval}`,
        `metadata_size=${size}`,
        `pi_offset=${piOffset}`,
        `guard=${GUARDS[guard ?? 'none'].number}`,
        `reference_tags=${type === 1 ? 1 : 0}`,
        `tag_size=${tagSize}`,
      ],
      { stdio: 'pipe' },
    );
    undo.push(() => end(server));
    const disk = await openDevice(await firstLine(server));
    undo.push(() => disk.close());

    const plantData = (lba: bigint, data: Uint8Array) => put(dataFile, data, Number(lba) * block);
    return {
      name: ublkName(profile),
      disk,
      readMetadata: async (lba, count) => {
        const bytes = new Uint8Array(count * bytesPerBlock);
        await metadataFile.read(bytes, 0, bytes.length, Number(lba) * bytesPerBlock);
        return bytes;
      },
      plant: async (lba, data, metadata) => {
        await plantData(lba, data);
        await put(metadataFile, metadata, Number(lba) * bytesPerBlock);
      },
      plantData,
      deviceRule: { checks: [], exempts: 'app' },
      [Symbol.asyncDispose]: remove,
    };
  } catch (error) {
    await remove().catch(() => {});
    throw error;
  }
}

/** Those whose tuples lie where they should in I/O of any size; none before UBLK_F_INTEGRITY. */
export const ublkTargets: readonly TargetMaker[] = UBLK_PROFILES.filter(
  (profile) => Number.parseInt(release(), 10) >= 7 && cutTuple(profile) === null,
).map((profile) => ({ name: ublkName(profile), make: () => createUblk(profile) }));

async function put(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  await file.write(bytes, 0, bytes.length, position);
}

/** The node's name, once the disk is there. */
async function firstLine(server: ChildProcess): Promise<string> {
  const [line] = await Promise.race([
    once(createInterface({ input: server.stdout! }), 'line'),
    once(createInterface({ input: server.stderr! }), 'line').then(([complaint]) => {
      throw new Error(complaint);
    }),
    once(server, 'close').then(() => {
      throw new Error('ublk_disk has made no disk');
    }),
  ]);
  return line;
}

/** The server deletes its device before it exits. */
async function end(server: ChildProcess): Promise<void> {
  const exited =
    server.exitCode === null && server.signalCode === null ? once(server, 'exit') : [server.exitCode];
  server.stdin!.end();
  const [status] = await exited;
  if (status !== 0) throw new Error(`ublk_disk ended with status ${status}`);
}
