/**
 * LIO's fileio disks: the tuples lie in a file, on every kernel, and either the disk or the kernel checks them.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { alignedBuffer, createLioFileio, type LioFileioOptions, openDevice } from 'blk-integrity';
import { Undo } from '../undo.js';
import type { DeviceRule, Target, TargetMaker } from './target.js';

const SIZE_MIB = 8;

type Combination = Required<Pick<LioFileioOptions, 'blockSize'>> & {
  readonly type: 1 | 3;
  /** pi_prot_verify. */
  readonly verify: boolean;
};

const COMBINATIONS: readonly Combination[] = ([1, 3] as const).flatMap((type) =>
  ([512, 4096] as const).flatMap((blockSize) => [false, true].map((verify) => ({ type, blockSize, verify }))),
);

export const lioTargets: readonly TargetMaker[] = COMBINATIONS.map((combination) => {
  const { type, blockSize, verify } = combination;
  const name = `LIO fileio type ${type}, ${blockSize} bytes, ${verify ? 'the disk checks' : 'the disk does not check'}`;
  return { name, make: () => makeTarget(name, combination) };
});

function deviceRule({ type, verify }: Combination): DeviceRule {
  if (!verify) return { checks: [], exempts: 'app' };
  return { checks: type === 1 ? ['guard', 'ref'] : ['guard'], exempts: 'app' };
}

function makeTarget(name: string, combination: Combination): Promise<Target> {
  return Undo.around(async (undo) => {
    const made = undo.use(await createLioFileio({ ...combination, sizeMiB: SIZE_MIB }));
    await made.setVerify(combination.verify);
    const disk = undo.use(await openDevice(made.device));
    const file = undo.use(await open(disk.device, constants.O_RDWR | constants.O_DIRECT));
    const plant = async (lba: bigint, data: Uint8Array, metadata: Uint8Array) => {
      const buffer = alignedBuffer(data.length);
      buffer.set(data);
      await file.write(buffer, 0, buffer.length, Number(lba) * disk.blockSize);
      await made.plantTuples(lba, metadata);
    };
    return {
      name,
      disk,
      readMetadata: made.readTuples,
      plant,
      plantData: async (lba, data) =>
        plant(lba, data, await made.readTuples(lba, data.length / disk.blockSize)),
      deviceRule: deviceRule(combination),
      [Symbol.asyncDispose]: () => undo[Symbol.asyncDispose](),
    };
  });
}
