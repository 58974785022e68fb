/**
 * `cdb --write`: one command that alters the disk, through the safeguard. What it did to blocks stays when it ended GOOD, and is put back
 * otherwise.
 */

import type { Disk } from '../device/disk.js';
import { type AlteringCommand, effectOn, requireHeldCommand, sendHeld } from '../device/safeguard/alter.js';
import { type ClaimOptions, claimRegion } from '../device/safeguard/claim.js';
import type { RegionRange } from '../device/safeguard/saved-region.js';
import type { ScsiReply } from '../device/transport.js';
import { IntegrityError } from '../errors.js';
import type { CommandReport } from '../report/model.js';
import { cdbText, decodeWholeCdb, isComparingCdb, isReadOnlyCdb } from '../scsi/cdb.js';
import type { Effect } from '../scsi/effect.js';
import { crossedText, reportOf } from './command.js';

/**
 * What the command alters. Throws ERR_USAGE for one that cannot alter the disk, for one that alters blocks without a range, and for a range
 * beside one that alters none.
 */
function requireAltering(
  disk: Disk,
  command: AlteringCommand,
  range: RegionRange | null,
  claim: ClaimOptions,
): Effect {
  const { device } = disk;
  const refuse = (what: string, advice: string) =>
    new IntegrityError('ERR_USAGE', `${device}: ${cdbText(command.cdb)} ${what}`, { disk: device, advice });
  if (isReadOnlyCdb(command.cdb) || isComparingCdb(command.cdb))
    throw refuse('cannot alter the disk', 'Leave out --write.');
  if (range === null) return requireHeldCommand(disk, command, claim);
  const effect = effectOn(disk, command);
  if (effect.kind === 'blocks') return effect;
  throw refuse('is for no blocks of a range', 'Leave out --lba and --blocks.');
}

/**
 * Sends it, once. With a range it alters blocks, all of them in there; without one anything but blocks, and that stays.
 * Errors: ERR_USAGE for a range that is missing or too many; those of claimRegion and Region.command, or of sendHeld.
 */
export async function sendAltering(
  disk: Disk,
  command: AlteringCommand,
  range: RegionRange | null,
  claim: ClaimOptions = {},
): Promise<CommandReport> {
  const { kind } = requireAltering(disk, command, range, claim);
  const { reply, restored } =
    range === null
      ? { reply: await sendHeld(disk, command, claim), restored: null }
      : await sendInRegion(disk, command, range, claim);
  const { cdb, dataOut } = command;
  const sent = dataOut?.length ?? 0;
  const answered = reportOf(disk.device, decodeWholeCdb(cdb), cdb, reply, new Uint8Array(0));
  const missing = reply.outcome.kind === 'good' ? Math.min(Math.max(reply.result.resid, 0), sent) : 0;
  return {
    ...answered,
    text: crossedText(answered.text, missing, sent, 'go out'),
    missing,
    requested: 0,
    compared: 0,
    durationMs: reply.result.durationMs,
    altered: {
      effect: kind,
      lba: range && Number(range.lba),
      blocks: range?.blocks ?? null,
      sent,
      kept: restored === null && reply.outcome.kind === 'good',
      restored,
    },
  };
}

async function sendInRegion(
  disk: Disk,
  command: AlteringCommand,
  range: RegionRange,
  claim: ClaimOptions,
): Promise<{ reply: ScsiReply; restored: 'exact' | 'tuples regenerated' | null }> {
  await using region = await claimRegion(disk, range, claim);
  const reply = await region.command(command);
  const { outcome, result } = reply;
  if (outcome.kind !== 'good' || result.resid !== 0) return { reply, restored: await region.restore() };
  await region.keep();
  return { reply, restored: null };
}
