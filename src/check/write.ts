/**
 * `write`: blocks by one path, with tuples of the caller's, the software's, the kernel's or the disk's own. All of it is written, or the
 * range is put back.
 */
import { type Answer, partOf } from '../device/blocks.js';
import type { Disk } from '../device/disk.js';
import { PROTECT, protectedForm } from '../device/protected-range.js';
import { type ClaimOptions, claimRegion, requireClaimable } from '../device/safeguard/claim.js';
import { IntegrityError } from '../errors.js';
import { metadataLength } from '../pi/layout.js';
import type { Finding, WriteVerbReport } from '../report/model.js';
import type { PathName } from '../words.js';
import { finding } from './judge.js';
import { tuplesBy } from './mirror.js';
import type { BlockRange } from './ranges.js';
import { commandForm } from './read.js';
import { summarise } from './summary.js';
import { comparedBy, compareWritten } from './write-check.js';

/** What a user may say of a write, beside its bytes. */
export interface WriteRequest extends BlockRange {
  /** The best that carries tuples without it. */
  readonly path?: PathName | undefined;
  /** WRPROTECT: 1, checked by the disk; 3, not; 0, data alone. The first where tuples are proved to cross. */
  readonly protect?: number | undefined;
  /** Whether the caller brings the tuples. */
  readonly tuples: boolean;
  /** Of the tuples that the software makes for SG_IO. */
  readonly appTag?: number | undefined;
}

/** How a request is carried out. */
export interface WritePlan extends BlockRange {
  readonly path: PathName;
  /** WRPROTECT by SG_IO; 0 on the block paths. */
  readonly protect: number;
  readonly madeBy: WriteVerbReport['tuples'];
  readonly appTag: number | undefined;
}

/** The values of WRPROTECT that are written. */
const WRITTEN_PROTECT: readonly number[] = [0, PROTECT.checked, PROTECT.unchecked];

/**
 * Chooses path and command and refuses what they do not take: ERR_USAGE, ERR_OUT_OF_RANGE, ERR_NO_PATH. That tuples are taken by the disk
 * is the safeguard's to prove.
 */
export async function planWrite(
  disk: Disk,
  request: WriteRequest,
  options: ClaimOptions = {},
): Promise<WritePlan> {
  const { signal } = options;
  const { lba, blocks, protect: asked, tuples, appTag } = request;
  requireClaimable(disk, request, options);
  if (asked !== undefined) requireProtect(asked, request);
  const path = request.path ?? (await bestPath(disk, request, signal));
  disk.requirePath(path, path === 'block-pi' ? disk.noBlockPi : null);
  if (tuples && path === 'block') {
    throw new IntegrityError('ERR_USAGE', 'path block takes no tuples: the kernel makes them');
  }
  if (tuples && disk.profileBy(path) === null) {
    throw new IntegrityError('ERR_NO_PATH', `${disk.device} is formatted without protection: no tuples`, {
      disk: disk.device,
    });
  }
  const protect = path === 'passthrough' ? (asked ?? (await bestProtect(disk, tuples, signal))) : 0;
  const madeBy = makerOf(disk, path, protect, tuples);
  if (appTag !== undefined && (madeBy !== 'software' || path !== 'passthrough')) {
    throw new IntegrityError(
      'ERR_USAGE',
      'an application tag is for tuples that the software makes for SG_IO',
    );
  }
  return { lba, blocks, path, protect, madeBy, appTag };
}

function requireProtect(protect: number, { path, tuples }: WriteRequest): void {
  if (path !== undefined && path !== 'passthrough') {
    throw new IntegrityError('ERR_USAGE', `path ${path} sends no command of ours: it has no WRPROTECT`);
  }
  if (!WRITTEN_PROTECT.includes(protect)) {
    const message = `WRPROTECT ${protect} is not written: 0, 1 (checked) and 3 (unchecked) are`;
    throw new IntegrityError('ERR_USAGE', message);
  }
  if (protect === 0 && tuples) {
    throw new IntegrityError('ERR_USAGE', 'a WRITE with WRPROTECT 0 takes no tuples');
  }
}

/** One that takes the caller's tuples, or to which the software's can be given; else whoever makes them. */
async function bestPath(disk: Disk, request: WriteRequest, signal?: AbortSignal): Promise<PathName> {
  const { protect, tuples } = request;
  const crosses = disk.paths.includes('passthrough') && (await disk.tuplesCross(PROTECT.checked, signal));
  if (protect !== undefined || crosses) return 'passthrough';
  const others: readonly PathName[] = tuples ? ['block-pi'] : ['block-pi', 'block'];
  return others.find((path) => disk.paths.includes(path)) ?? 'passthrough';
}

async function bestProtect(disk: Disk, tuples: boolean, signal?: AbortSignal): Promise<number> {
  return tuples || (await disk.tuplesCross(PROTECT.checked, signal)) ? PROTECT.checked : 0;
}

function makerOf(disk: Disk, path: PathName, protect: number, tuples: boolean): WritePlan['madeBy'] {
  if (tuples) return 'caller';
  if (path === 'block') return disk.kernelProfile === null ? 'none' : 'kernel';
  if (path === 'block-pi' || protect !== 0) return 'software';
  return disk.diskProfile === null ? 'none' : 'disk';
}

/** What is written: the data of the whole range and, where the caller makes them, its tuples. */
export interface WriteContent {
  readonly data: Uint8Array;
  readonly tuples: Uint8Array | null;
}

/**
 * Writes what was planned, in transfers, and reads each again. Where one is refused, fails, or is not what was written, the whole range is
 * put back. Errors: as claimRegion; ERR_BAD_LENGTH before anything is sent.
 */
export async function writeBlocks(
  disk: Disk,
  plan: WritePlan,
  content: WriteContent,
  options: ClaimOptions = {},
): Promise<WriteVerbReport> {
  const { signal } = options;
  const { lba, blocks, path, protect, madeBy } = plan;
  requireLengths(disk, plan, content);
  const checked = protect !== PROTECT.unchecked;
  const summary = await summarise(disk, signal);
  const findings: Finding[] = [];
  await using region = await claimRegion(disk, { lba, blocks }, options);
  for (let at = 0; at < blocks && findings.length === 0; at += disk.transferBlocksMax) {
    signal?.throwIfAborted();
    const run = runOf(disk, plan, content, at, Math.min(disk.transferBlocksMax, blocks - at));
    const answer = await region.write(path, run.lba, run.data, run.tuples ?? undefined, { checked });
    findings.push(
      ...(answer.kind === 'good'
        ? await compareWritten(disk, path, run.lba, run)
        : [answerFinding(answer, path, run.lba)]),
    );
  }
  const kept = findings.length === 0;
  if (kept) await region.keep();
  const restored = kept ? null : await region.restore();
  const { diskProfile: profile, blockSize } = disk;
  const form =
    protect === 0 || profile === null
      ? { size: 16 as const }
      : protectedForm({ profile, blockSize, lba }, protect);
  return {
    verb: 'write',
    disk: summary,
    lba: Number(lba),
    blocks,
    path,
    command: path === 'passthrough' ? commandForm('WRITE', form) : null,
    tuples: madeBy,
    compared: tuplesCompared(disk, plan) ? 'data and tuples' : 'data',
    kept,
    restored,
    findings,
  };
}

function requireLengths(disk: Disk, { blocks, path }: WritePlan, { data, tuples }: WriteContent): void {
  const wrong = (what: string, bytes: number, wanted: number) =>
    new IntegrityError('ERR_BAD_LENGTH', `${what}: ${bytes} bytes for ${blocks} blocks: ${wanted} needed`, {
      disk: disk.device,
    });
  const wanted = blocks * disk.blockSize;
  if (data.length !== wanted) throw wrong('data', data.length, wanted);
  const profile = disk.profileBy(path);
  if (tuples === null || profile === null) return;
  const metadata = metadataLength(profile, wanted);
  if (tuples.length !== metadata) throw wrong('tuples', tuples.length, metadata);
}

interface WriteRun extends WriteContent {
  readonly lba: bigint;
}

/** A part of the content, under tuples of the software's where it makes them. */
function runOf(disk: Disk, plan: WritePlan, content: WriteContent, at: number, blocks: number): WriteRun {
  const part = (bytes: Uint8Array) => partOf(bytes, plan.blocks, at, blocks);
  const lba = plan.lba + BigInt(at);
  const data = part(content.data);
  if (plan.madeBy !== 'software') return { lba, data, tuples: content.tuples && part(content.tuples) };
  return { lba, data, tuples: tuplesBy(plan.path, disk, lba, data, plan.appTag) };
}

function tuplesCompared(disk: Disk, { path, madeBy }: WritePlan): boolean {
  return (madeBy === 'caller' || madeBy === 'software') && comparedBy(disk, path) !== null;
}

function answerFinding(answer: Exclude<Answer, { kind: 'good' }>, path: PathName, lba: bigint): Finding {
  const at = { lba: Number(lba), path };
  if (answer.kind === 'failed') return finding({ ...at, kind: 'write-error', text: answer.error.message });
  const { checker, check, text } = answer;
  return finding({
    ...at,
    kind: 'refused',
    checker,
    check,
    text: `the ${checker} refused the write: ${text}`,
  });
}
