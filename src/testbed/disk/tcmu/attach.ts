/**
 * Attaches a logical unit to this kernel's SCSI stack, behind TCMU and tcm_loop: a real /dev/sgN that this package and every other tool
 * can drive. The commands are served by this process, on its event loop: a call that blocks it on the unit's own node
 * (execFileSync, readSync) waits for itself.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { IntegrityError } from '../../../errors.js';
import { addPort, removePort, unlessMissing } from '../../loopback.js';
import { loadModule } from '../../modules.js';
import { Undo } from '../../undo.js';
import { waitFor } from '../../wait.js';
import type { LogicalUnit } from '../model/logical-unit.js';
import { createTcmuStore, removeStaleUnits } from './configfs.js';
import { releaseFromSd, waitForSd } from './sd.js';
import { UnitServer, type UnitStats } from './serve.js';

const APPEAR_MS = 20_000;

export interface AttachOptions {
  /** How {@link removeStaleUnits} names the unit: up to 32 letters, digits, '-', '_', '.'. */
  readonly name: string;
  readonly sizeBytes: bigint;
  readonly blockSize: number;
  /**
   * Whether sd drives the unit. tcm_loop advertises DIX, and TCMU does not carry its tuples: with sd on a unit that has PROTECT=1 every
   * block-layer read fails. So a unit with protection says PROTECT=0 and PROT_EN=0 until `onAttached`, and sd is taken off before that.
   */
  readonly sd: boolean;
  /** Called once when the unit has its node, and no sd without `sd`. From here on it may say PROTECT=1. */
  readonly onAttached?: () => void;
}

/** A unit with nodes of its own. The process stays alive until it is detached, with `await using` or by hand. */
export interface AttachedUnit extends AsyncDisposable {
  /** Its sg node. */
  readonly sg: string;
  /** Its block node; null without sd. */
  readonly block: string | null;
  /** host:channel:target:lun. */
  readonly hctl: string;
  stats(): UnitStats;
}

/**
 * Units that a dead process left are removed first. Detaching ends what is under way in TASK ABORTED.
 * Errors: ERR_OUT_OF_RANGE, ERR_TESTBED, ERR_MISSING_TOOL.
 */
export async function attachLogicalUnit(unit: LogicalUnit, options: AttachOptions): Promise<AttachedUnit> {
  if (!/^[\w.-]{1,32}$/.test(options.name)) {
    throw new IntegrityError(
      'ERR_OUT_OF_RANGE',
      `name must be 1 to 32 letters, digits, '-', '_', '.', not ${JSON.stringify(options.name)}`,
    );
  }
  // sd is loaded in any case: udev would load it later, and it would take the unit then.
  for (const module of ['sd_mod', 'sg', 'target_core_user', 'tcm_loop']) await loadModule(module);
  const undo = new Undo();
  try {
    await removeStaleUnits();
    const id = randomBytes(5).toString('hex');
    const { folder, uio } = await createTcmuStore(id, options, undo);
    const server = new UnitServer(unit);
    server.open(uio);
    undo.push(async () => server.close());
    undo.push(() => {
      server.leave();
      return removePort(id);
    });
    const hctl = await addPort(id, folder);
    const sg = await nodeOf(hctl, 'scsi_generic');
    await waitForSd(hctl);
    const block = options.sd ? await nodeOf(hctl, 'block') : null;
    if (!options.sd) await releaseFromSd(hctl);
    options.onAttached?.();
    return { sg, block, hctl, stats: () => server.stats(), [Symbol.asyncDispose]: () => undo.run() };
  } catch (cause) {
    await undo.run().catch(() => {});
    if (cause instanceof IntegrityError) throw cause;
    throw new IntegrityError('ERR_TESTBED', `the unit could not be attached: ${(cause as Error).message}`, {
      cause,
      advice: 'It takes root, configfs on /sys/kernel/config and the modules target_core_user and tcm_loop.',
    });
  }
}

/**
 * The node that a class of devices (`scsi_generic`, `block`) has for the SCSI device, once it can be opened: a block node is there a moment
 * earlier, and answers ENXIO.
 */
async function nodeOf(hctl: string, deviceClass: string): Promise<string> {
  const node = await waitFor(async () => {
    const [name] = (await readdir(`/sys/bus/scsi/devices/${hctl}/${deviceClass}`).catch(unlessMissing)) ?? [];
    if (name === undefined) return null;
    const path = `/dev/${name}`;
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => null);
    await file?.close();
    return file === null ? null : path;
  }, APPEAR_MS);
  if (node !== null) return node;
  throw new IntegrityError('ERR_TESTBED', `SCSI device ${hctl} did not get a node of ${deviceClass}`, {
    advice: 'See dmesg: the unit must answer INQUIRY as a disk.',
  });
}
