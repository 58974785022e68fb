/**
 * How a read is carried out: by which path and command, and what that lets anybody check.
 */
import type { Disk } from '../device/disk.js';
import { PROTECT, refTagOf } from '../device/protected-range.js';
import { IntegrityError } from '../errors.js';
import { type ExpectedTags, readCdb, type TransferCdbSize, type TransferForm } from '../scsi/cdb.js';
import type { PathName } from '../words.js';
import { claimsOf } from './claims.js';
import type { Rules } from './judge.js';
import type { BlockRange } from './ranges.js';

/** What a user may say of a read. All of it but the path is of SCSI commands. */
export interface ReadRequest extends BlockRange {
  /** The best that yields tuples without it. */
  readonly path?: PathName | undefined;
  readonly cdbSize?: TransferCdbSize | undefined;
  /** RDPROTECT, 0 to 7. */
  readonly protect?: number | undefined;
  /** Expected of the first interval; that of its LBA without it. */
  readonly refTag?: number | undefined;
  readonly appTag?: number | undefined;
  /** FFFFh with an application tag, else 0. */
  readonly appTagMask?: number | undefined;
  readonly fua?: boolean | undefined;
  readonly dpo?: boolean | undefined;
}

/** How a request is carried out. */
export interface ReadPlan extends BlockRange {
  readonly path: PathName;
  /** Null on the block paths. */
  readonly form: TransferForm | null;
  /** Whether tuples are to come. */
  readonly tuples: boolean;
  readonly rules: Rules;
}

const COMMAND_OPTIONS = ['cdbSize', 'protect', 'refTag', 'appTag', 'appTagMask', 'fua', 'dpo'] as const;
const TAG_OPTIONS = ['refTag', 'appTag', 'appTagMask'] as const;

/**
 * Chooses path and command and refuses what cannot be sent, before any of it is: ERR_USAGE for a field that the command has not,
 * ERR_OUT_OF_RANGE for one that does not fit, ERR_NO_PATH.
 */
export async function planRead(disk: Disk, request: ReadRequest, signal?: AbortSignal): Promise<ReadPlan> {
  const { lba, blocks } = request;
  disk.requireRange(lba, blocks);
  const commanded = COMMAND_OPTIONS.some((name) => request[name] !== undefined);
  if (commanded && request.path !== undefined && request.path !== 'passthrough') {
    const message = `path ${request.path} sends no command of ours: it has no CDB size, RDPROTECT, tags, FUA or DPO`;
    throw new IntegrityError('ERR_USAGE', message, { advice: 'Leave the path out, or say passthrough.' });
  }
  const path = request.path ?? (commanded ? 'passthrough' : await bestPath(disk, signal));
  disk.requirePath(path, path === 'block-pi' ? disk.noBlockPi : null);
  const form = path === 'passthrough' ? await formOf(disk, request, signal) : null;
  const { size, protect = 0 } = form ?? {};
  const proof = await disk.proof(signal, ...(protect === 0 ? [] : [protect, size]));
  const { blockSize, diskProfile, kernelProfile } = disk;
  const rules: Rules = {
    blockSize,
    claims: claimsOf(disk, proof, form === null ? PROTECT.checked : protect),
    profiles: { passthrough: diskProfile, block: kernelProfile, 'block-pi': kernelProfile },
    ...expectedOf(disk, request, form),
  };
  const tuples = path === 'block-pi' || (protect !== 0 && proof?.result === 'crosses');
  return { lba, blocks, path, form, tuples, rules };
}

async function bestPath(disk: Disk, signal?: AbortSignal): Promise<PathName> {
  if (disk.paths.includes('passthrough') && (await bestProtect(disk, undefined, signal)) !== 0)
    return 'passthrough';
  return (['block-pi', 'block', 'passthrough'] as const).find((path) => disk.paths.includes(path)) ?? 'block';
}

/** Checked by the disk where tuples are proved to cross so, else unchecked, else without. */
async function bestProtect(disk: Disk, size: TransferCdbSize | undefined, signal?: AbortSignal) {
  for (const protect of [PROTECT.checked, PROTECT.unchecked]) {
    if (await disk.tuplesCross(protect, signal, size)) return protect;
  }
  return 0;
}

async function formOf(disk: Disk, request: ReadRequest, signal?: AbortSignal): Promise<TransferForm> {
  const { lba, blocks, protect, fua = false, dpo = false } = request;
  const tagged = TAG_OPTIONS.some((name) => request[name] !== undefined);
  const size = request.cdbSize ?? (tagged ? 32 : disk.naturalCdbSize);
  if (tagged && size !== 32) {
    throw new IntegrityError('ERR_USAGE', `READ(${size}) has no tags to expect: READ(32) alone has`);
  }
  const form = { size, fua, dpo, ...(size === 32 && { expected: firstTags(disk, request) }) };
  // What does not fit the first or the last block fits none that is sent.
  for (const at of [lba, lba + BigInt(blocks - 1)]) {
    readCdb({ ...form, protect: protect ?? 0, lba: at, blocks: 1 });
  }
  const carries = size !== 6 && disk.diskProfile !== null;
  const chosen = protect ?? (carries ? await bestProtect(disk, size, signal) : 0);
  // A plain READ(16) is what every disk and host takes.
  if (chosen === 0 && !tagged && request.cdbSize === undefined) return { size: 16, fua, dpo };
  return { ...form, protect: chosen };
}

function firstTags(disk: Disk, { lba, refTag, appTag, appTagMask }: ReadRequest): ExpectedTags {
  return {
    refTag: refTag ?? firstRefTag(disk, lba),
    appTag: appTag ?? 0,
    appTagMask: appTagMask ?? (appTag === undefined ? 0 : 0xffff),
  };
}

/** The reference tag of a block's first interval, as types 1 and 2 count. */
export function firstRefTag({ blockSize, diskProfile }: Disk, lba: bigint): number {
  return refTagOf({ profile: diskProfile ?? { interval: blockSize }, blockSize, lba });
}

/** Only type 2 takes its reference tags from the command (SBC-4). */
function expectedOf(disk: Disk, { lba }: ReadRequest, form: TransferForm | null): Pick<Rules, 'expected'> {
  if (!form?.expected) return {};
  const { refTag, appTag, appTagMask } = form.expected;
  const type2 = disk.diskProfile?.type === 2;
  const refOffset = type2 ? BigInt(refTag) - BigInt(firstRefTag(disk, lba)) : 0n;
  return { expected: { refOffset, appTag, appTagMask } };
}
