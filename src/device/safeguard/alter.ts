/**
 * Commands that alter a disk: what they alter of it, and those for which there is no region. Mode pages and the state of the unit are not
 * put back; the whole medium is altered of the testbed's disks alone.
 */
import { IntegrityError } from '../../errors.js';
import { cdbText } from '../../scsi/cdb.js';
import { type Effect, type EffectFormat, effectOf } from '../../scsi/effect.js';
import { alignedCopy } from '../buffers.js';
import type { Disk } from '../disk.js';
import type { ScsiReply, ScsiTransport } from '../transport.js';
import { holdDisk, sendIdentified } from './hold.js';
import { requireSight } from './idle.js';
import { isOurs } from './ours.js';
import { type Ownership, requireAllowed } from './permission.js';

/** A command as it is sent. */
export interface AlteringCommand {
  readonly cdb: Uint8Array;
  /** Just as long as CDB and format say; without it none. */
  readonly dataOut?: Uint8Array | undefined;
  /** 30 seconds without it. */
  readonly timeoutMs?: number | undefined;
}

const NO_DATA = new Uint8Array(0);

/** A copy, for what is looked at is what is sent. */
export function ownCopy({ cdb, dataOut = NO_DATA, timeoutMs }: AlteringCommand): Required<AlteringCommand> {
  return { cdb: Uint8Array.from(cdb), dataOut: alignedCopy(dataOut), timeoutMs };
}

/** What a command alters of this disk. Errors: those of effectOf; ERR_OUT_OF_RANGE for more data than one command carries. */
export function effectOn(disk: Disk, { cdb, dataOut = NO_DATA }: AlteringCommand): Effect {
  const effect = effectOf(cdb, dataOut, formatOf(disk));
  disk.requireTransfer(dataOut.length, 0);
  return effect;
}

/** Of a physical block of 4096 bytes with logical ones of 512. */
const EXPONENT_512E = 3;

function formatOf(disk: Disk): EffectFormat {
  const { blocks, blockSize, facts, diskProfile } = disk;
  const { lowestAlignedLba = 0, unmappedReadZeros = false } = facts?.capacity ?? {};
  // Bridges keep it back: most disks with blocks of 512 bytes have larger ones inside.
  const least = blockSize === 512 && !isOurs(disk) ? EXPONENT_512E : 0;
  const physicalExponent = Math.max(facts?.capacity?.physicalExponent ?? 0, least);
  const intervalsPerBlock = diskProfile && blockSize / diskProfile.interval;
  return { blocks, blockSize, intervalsPerBlock, physicalExponent, lowestAlignedLba, unmappedReadZeros };
}

/** Sends it once: after a UNIT ATTENTION the disk may be another. To one that was too busy for it again, unless `again` throws. */
export function sendOnce(
  transport: ScsiTransport,
  { cdb, dataOut = NO_DATA, timeoutMs }: AlteringCommand,
  again: () => Promise<void>,
): Promise<ScsiReply> {
  const out =
    dataOut.length > 0
      ? ({ direction: 'to-device', data: dataOut } as const)
      : ({ direction: 'none', data: null } as const);
  return transport.send({
    cdb,
    ...out,
    again,
    ...(timeoutMs !== undefined && { timeoutMs }),
  });
}

/**
 * Sends a command that alters no block of its own while the disk is held: MODE SELECT, START STOP UNIT and the like; on the testbed's disks
 * FORMAT UNIT, after which the disk is to be opened anew. It stays as the command left it.
 * Errors: as effectOn; ERR_USAGE for a command that alters blocks, which takes a region; ERR_NOT_OURS for what nobody could put back on a
 * disk that is not the testbed's; as claimRegion for a disk that may not be written, or is in use.
 */
export async function sendHeld(
  disk: Disk,
  command: AlteringCommand,
  ownership: Ownership = {},
): Promise<ScsiReply> {
  const own = ownCopy(command);
  requireHeldCommand(disk, own, ownership);
  // It may be that very bit that is to be cleared.
  const hold = await holdDisk(disk, { despiteSwp: true });
  try {
    if (!isOurs(disk) && hold.listed) await requireSight(disk.device);
    const { sg } = hold.transports;
    const reply = await sendIdentified(disk, sg, {
      ready: async () => true,
      send: (again) => sendOnce(sg, own, again),
    });
    return reply as ScsiReply;
  } finally {
    await hold.release();
  }
}

/** What can be said against it before the disk is held. */
export function requireHeldCommand(disk: Disk, command: AlteringCommand, ownership: Ownership = {}): Effect {
  const { device } = disk;
  requireAllowed(disk, ownership);
  const effect = effectOn(disk, command);
  const said = `${device}: ${cdbText(command.cdb)}`;
  if (effect.kind === 'blocks') {
    throw new IntegrityError('ERR_USAGE', `${said} alters blocks: it takes a region that is claimed`, {
      disk: device,
      advice: 'Name the blocks that may be altered: --lba A --blocks N.',
    });
  }
  const lasting = isOurs(disk) ? null : lastingPart(effect);
  if (lasting === null) return effect;
  throw new IntegrityError('ERR_NOT_OURS', `${said} ${lasting.what}, and nobody could put that back`, {
    disk: device,
    advice: lasting.advice,
  });
}

function lastingPart(effect: Effect): { readonly what: string; readonly advice: string } | null {
  if (effect.kind === 'whole medium') {
    return {
      what: 'may destroy all that is on the disk',
      advice: 'If that is meant: sg_format, sg_write_buffer, sg_reset_wp.',
    };
  }
  if (effect.kind !== 'mode pages') return null;
  const vendors = effect.pages.some(({ page }) => isVendorPage(page));
  const what =
    (vendors && 'sets a vendor’s own mode page') ||
    (effect.saves && 'saves mode pages for good (SP)') ||
    (effect.resets && 'resets all mode pages (RTD)') ||
    (effect.resizes && 'may change the size of the disk (block descriptor)');
  return what ? { what, advice: 'If that is meant: sdparm, sg_wr_mode, sg_format.' } : null;
}

/** SPC-5, mode page codes: what such a page does is its vendor's business. */
function isVendorPage(page: number): boolean {
  return page === 0x00 || (page >= 0x20 && page <= 0x3e);
}
