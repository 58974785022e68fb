/**
 * The nodes by which one disk is reached: its own, a partition's, and that of a dm-linear device over it.
 */
import { constants } from 'node:fs';
import { access, type FileHandle, open, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Disk } from 'blk-integrity';
import { waitFor } from '../../lib/testbed/wait.js';
import { command } from './command.js';
import { createDmLinear } from './dm-linear.js';
import { Undo } from './undo.js';

export interface WayIn {
  readonly name: 'disk' | 'partition' | 'dm-linear';
  /** Opened for O_DIRECT. */
  readonly file: FileHandle;
  /** The disk's block that is its block 0. */
  readonly start: bigint;
  readonly blocks: number;
  /** A mask: addresses and lengths of memory are multiples of it and 1. Null on kernels that do not tell. */
  readonly dmaAlignment: number | null;
}

export interface WaysIn extends AsyncDisposable {
  readonly all: readonly WayIn[];
}

/** Odd, so that nothing fits by chance. */
const PARTITION_START = 7;
const LINEAR_START = 11;

const PARTITION_NUMBER = '1';
const APPEAR_MS = 5000;

export function openWaysIn(disk: Disk): Promise<WaysIn> {
  return Undo.around(async (undo) => {
    const blocks = Number(disk.blocks);
    const sectors = disk.blockSize / 512;
    const openWay = async (name: WayIn['name'], node: string, start: number, queueOf = disk.device) => {
      await appeared(node);
      const file = undo.use(await open(node, constants.O_RDWR | constants.O_DIRECT));
      const dmaAlignment = await dmaAlignmentOf(queueOf);
      return { name, file, start: BigInt(start), blocks: blocks - start, dmaAlignment };
    };
    const whole = await openWay('disk', disk.device, 0);

    const length = (blocks - PARTITION_START) * sectors;
    await command('addpart', disk.device, PARTITION_NUMBER, `${PARTITION_START * sectors}`, `${length}`);
    undo.push(() => command('delpart', disk.device, PARTITION_NUMBER));
    // A disk whose name ends in a digit has a p before the number.
    const p = /\d$/.test(disk.device) ? 'p' : '';
    const partition = await openWay('partition', `${disk.device}${p}${PARTITION_NUMBER}`, PARTITION_START);

    const mapped = (blocks - LINEAR_START) * sectors;
    const linear = undo.use(await createDmLinear(disk.device, LINEAR_START * sectors, mapped));
    const all = [whole, partition, await openWay('dm-linear', linear.device, LINEAR_START, linear.device)];
    return { all, [Symbol.asyncDispose]: () => undo[Symbol.asyncDispose]() };
  });
}

async function dmaAlignmentOf(device: string): Promise<number | null> {
  const file = `/sys/block/${basename(device)}/queue/dma_alignment`;
  return readFile(file, 'utf8').then(Number, () => null);
}

async function appeared(node: string): Promise<void> {
  const there = () =>
    access(node).then(
      () => true,
      () => false,
    );
  if ((await waitFor(there, APPEAR_MS)) === null) throw new Error(`${node} did not appear`);
}
