/**
 * `read`: blocks by one path, by a command of the user's choice, and what software and hardware say of them.
 */
import type { Answer, BlocksRead, ProtectedBlocks } from '../device/blocks.js';
import type { Disk } from '../device/disk.js';
import { isErrnoOfBlock } from '../device/errno.js';
import {
  type Cell,
  type CommandForm,
  type Comparable,
  DATA_SHOWN_MAX,
  type Finding,
  type IntervalReport,
  type ReadReport,
  type ReadResult,
} from '../report/model.js';
import { hex } from '../scsi/bytes.js';
import { TRANSFER_BLOCKS_MAX, type TransferForm } from '../scsi/cdb.js';
import { SENSE_KEY, senseKeyOf } from '../scsi/sense.js';
import type { Verdict } from '../words.js';
import { ahead } from './ahead.js';
import type { Claim } from './claims.js';
import { checkedIn } from './crosscheck.js';
import { intervalsOf } from './intervals.js';
import { judge, type Reads } from './judge.js';
import { firstRefTag, type ReadPlan } from './read-plan.js';
import { runsBetween, slice, suspectBlocks } from './runs.js';
import { summarise } from './summary.js';
import { Tally } from './tally.js';

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Takes the blocks in order, up to the first that is not delivered. Without it the report has the beginning of the data. */
  readonly onBlocks?: (blocks: ProtectedBlocks & { readonly data: Uint8Array }) => Promise<void>;
}

/** Intervals that a report lists. */
const TUPLES_LISTED_MAX = 65_536;

/** Reads what was planned, in transfers. Throws when the disk is gone or the signal aborts; what was refused or failed is reported. */
export async function readBlocks(
  disk: Disk,
  plan: ReadPlan,
  { signal, onBlocks }: ReadOptions = {},
): Promise<ReadReport> {
  const { path, rules } = plan;
  const log = new ReadLog(plan);
  const shown: Uint8Array[] = [];
  let delivering = true;
  let delivered = 0;
  for await (const read of transfers(disk, plan, signal)) {
    log.add(read);
    // Of blocks that are to come with tuples, neither comes alone.
    delivering &&= read.data !== null && (read.tuples !== null || !plan.tuples);
    if (!delivering) continue;
    const data = read.data as Uint8Array;
    if (onBlocks) await onBlocks({ ...read, data });
    else if (delivered * rules.blockSize < DATA_SHOWN_MAX) shown.push(data);
    delivered += read.blocks;
  }
  return {
    verb: 'read',
    disk: await summarise(disk, signal),
    lba: Number(plan.lba),
    blocks: plan.blocks,
    path,
    command: plan.form && commandForm('READ', plan.form),
    delivered,
    ...log.report(),
    data: onBlocks ? null : hex(Buffer.concat(shown).subarray(0, DATA_SHOWN_MAX)),
  };
}

export function commandForm(verb: 'READ' | 'WRITE', form: TransferForm): CommandForm {
  const { size, protect = 0, fua = false, dpo = false, expected = null } = form;
  return { name: `${verb}(${size})`, protect, fua, dpo, expected };
}

/**
 * The range in transfers, as many under way at once as the disk is opened for. One in which a block is bad comes again block by block, so that every bad block is found; after one that
 * failed altogether nothing more is sent.
 */
async function* transfers(disk: Disk, plan: ReadPlan, signal?: AbortSignal): AsyncGenerator<BlocksRead> {
  const { size } = plan.form ?? {};
  const most = Math.min(disk.transferBlocksMax, size === undefined ? Infinity : TRANSFER_BLOCKS_MAX[size]);
  const runs = ahead(partsOf(plan.blocks, most), disk.queueDepth, async ({ at, blocks }) => {
    return { at, blocks, read: await readOne(disk, plan, at, blocks, signal) };
  });
  for await (const { at, blocks, read } of runs) {
    const singly = blocks > 1 && isOfBlock(read.answer);
    if (!singly) yield read;
    if (!singly && read.answer.kind === 'failed' && !isOfBlock(read.answer)) return;
    if (singly) for (let i = 0; i < blocks; i++) yield await readOne(disk, plan, at + i, 1, signal);
  }
}

function* partsOf(blocks: number, most: number): Generator<{ readonly at: number; readonly blocks: number }> {
  for (let at = 0; at < blocks; at += most) yield { at, blocks: Math.min(most, blocks - at) };
}

/** One transfer, `at` blocks from the beginning: by 32 bytes with the reference tag carried on. */
function readOne(
  disk: Disk,
  { path, form, lba: first }: ReadPlan,
  at: number,
  blocks: number,
  signal?: AbortSignal,
): Promise<BlocksRead> {
  const lba = first + BigInt(at);
  if (form === null) return disk.read(path, lba, blocks, signal);
  const { expected } = form;
  if (!expected) return disk.readAs(form, lba, blocks, signal);
  const refTag = (expected.refTag + firstRefTag(disk, BigInt(at))) % 2 ** 32;
  return disk.readAs({ ...form, expected: { ...expected, refTag } }, lba, blocks, signal);
}

/** Whether an answer is about a block that is bad, so that others of the same transfer may be good. */
export function isOfBlock(answer: Answer): boolean {
  if (answer.kind !== 'failed') return answer.kind === 'refused';
  const { code, errno } = answer.error;
  if (code === 'ERR_CHECK_CONDITION') return senseKeyOf(answer.error) === SENSE_KEY.MEDIUM_ERROR;
  return code === 'ERR_IO' && (errno === undefined || isErrnoOfBlock(errno));
}

/** Collects what is said of the transfers. */
class ReadLog {
  readonly #plan: ReadPlan;
  readonly #results: ReadResult[] = [];
  readonly #tuples: IntervalReport[] = [];
  readonly #findings: Finding[] = [];
  #omitted = 0;
  #checked = 0;

  constructor(plan: ReadPlan) {
    this.#plan = plan;
  }

  add(read: BlocksRead): void {
    const { path, rules } = this.#plan;
    const reads: Reads = { [path]: read };
    const failed = read.answer.kind === 'failed';
    const suspects = failed ? [] : suspectBlocks(reads, rules);
    const runs = [
      ...runsBetween(read.lba, read.blocks, suspects),
      ...suspects.map((lba) => ({ lba, blocks: 1 })),
    ].sort((a, b) => (a.lba < b.lba ? -1 : 1));
    for (const run of runs) this.#judge(slice(reads, run.lba, run.blocks)[path] as BlocksRead);
    const listed = intervalsOf(read, path, rules);
    const room = TUPLES_LISTED_MAX - this.#tuples.length;
    this.#tuples.push(...listed.slice(0, room));
    this.#omitted += Math.max(0, listed.length - room);
  }

  #judge(run: BlocksRead): void {
    const { path, rules } = this.#plan;
    const tally = new Tally();
    this.#findings.push(...judge({ [path]: run }, rules, tally));
    const cells = tally.cells();
    this.#checked += checkedIn({ cells });
    const result = resultOf(run, cells, rules.claims.device[path]);
    const last = this.#results.at(-1);
    if (last === undefined || !joins(last, result)) this.#results.push(result);
    else this.#results[this.#results.length - 1] = joined(last, result);
  }

  report(): Pick<ReadReport, 'results' | 'tuples' | 'tuplesOmitted' | 'checked' | 'findings'> {
    return {
      results: this.#results,
      tuples: this.#tuples,
      tuplesOmitted: this.#omitted,
      checked: this.#checked,
      findings: this.#findings,
    };
  }
}

const BAD = ['guard', 'app', 'ref'] as const;

/** The three columns: what the hardware answered, what the software found, and whether the two can be compared. */
function resultOf(run: BlocksRead, cells: readonly Cell[], claim: Claim): ReadResult {
  const { lba, blocks, answer } = run;
  const software = cells.find(({ checker }) => checker === 'software');
  const counts = software?.counts ?? {};
  const [comparable, why] = comparison(answer, counts, software?.why ?? [], claim);
  return { lba: Number(lba), blocks, hardware: answerText(answer), software: counts, comparable, why };
}

/** Where tuples come with the data, the device is who checks them: `claim` is what it is supposed to check. */
function comparison(
  answer: Answer,
  software: Cell['counts'],
  softwareWhy: readonly string[],
  claim: Claim,
): [Comparable, string] {
  if (answer.kind === 'failed') return ['no PI transferred', 'the read failed'];
  if (software.unchecked) return ['no PI transferred', softwareWhy.join(', ')];
  if (answer.kind === 'refused') return ['checked', 'refused; read again unchecked for the software'];
  if (!software.ok && software.escaped) return ['escaped', 'the tags say that nobody is to check them'];
  if (typeof claim === 'string') return ['unchecked', claim];
  const bad = BAD.filter((check) => software[check]);
  const outside = bad.length > 0 && !bad.some((check) => claim.includes(check));
  return [outside ? 'unchecked' : 'checked', `the device is to check ${claim.join(', ')}`];
}

function answerText(answer: Answer): string {
  if (answer.kind === 'failed') return answer.error.message;
  // Its finding has the sense.
  return answer.kind === 'good' ? 'GOOD' : `refused by the ${answer.checker}: ${answer.check}`;
}

/** What is wrong stands alone. */
function joins(a: ReadResult, b: ReadResult): boolean {
  const well = ({ software }: ReadResult) => !BAD.some((check) => software[check]);
  return (
    well(a) &&
    well(b) &&
    a.lba + a.blocks === b.lba &&
    a.hardware === b.hardware &&
    a.comparable === b.comparable &&
    a.why === b.why
  );
}

function joined(a: ReadResult, b: ReadResult): ReadResult {
  const software: Partial<Record<Verdict, number>> = { ...a.software };
  for (const [verdict, count] of Object.entries(b.software) as [Verdict, number][])
    software[verdict] = (software[verdict] ?? 0) + count;
  return { ...a, blocks: a.blocks + b.blocks, software };
}
