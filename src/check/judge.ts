/**
 * What each checker said of a run of blocks that was read by every path. Pure: reads in, verdicts and findings out.
 *
 * GOOD is no verdict by itself: it counts as `ok` only from a checker that is supposed to check, over a tuple that was read and is not
 * escaped. A checker that is supposed to check and passed a bad tuple is `unchecked` there, and a finding.
 */
import { type Answer, type BlocksRead, partOf } from '../device/blocks.js';
import { seedOf } from '../device/protected-range.js';
import { defaultEngine, type VerifyOptions } from '../pi/engine.js';
import type { Profile } from '../pi/profile.js';
import type { Finding } from '../report/model.js';
import { type Checker, PATHS, type PathName, type Verdict } from '../words.js';
import type { Claim, Claims } from './claims.js';
import type { Judgement, Tally } from './tally.js';

/** The same blocks by every path that the disk has. */
export type Reads = Partial<Record<PathName, BlocksRead>>;

export interface Rules {
  readonly blockSize: number;
  readonly claims: Claims;
  /** By which the tuples of each path are judged; null where there are none. */
  readonly profiles: Readonly<Record<PathName, Profile | null>>;
  /** Without it reference tags are those of the LBAs, and any application tag is right. */
  readonly expected?: ExpectedByCommand;
}

/** What a command said of the tags. */
export interface ExpectedByCommand {
  /** How far its reference tags are beyond those of the LBAs. */
  readonly refOffset: bigint;
  readonly appTag: number;
  /** 0: it is not compared. */
  readonly appTagMask: number;
}

/** The software's judgement of a run: how many intervals of it are escaped, and which are bad. */
interface SoftwareView {
  readonly escaped: number;
  readonly bad: readonly BadInterval[];
}

interface BadInterval {
  readonly lba: bigint;
  readonly check: 'guard' | 'app' | 'ref';
  readonly stored: number | bigint;
  readonly computed: number | bigint;
}

type Refusal = Extract<Answer, { kind: 'refused' }>;

/** Tuples and data of `path`; data that a refused read did not deliver comes from the medium by SG_IO. */
export function softwareView(reads: Reads, path: PathName, rules: Rules): SoftwareView | null {
  const read = reads[path];
  const profile = rules.profiles[path];
  const data = read?.data ?? reads.passthrough?.data ?? null;
  if (!read?.tuples || !profile?.guard || data === null) return null;
  const { escaped, findings } = defaultEngine().verify(
    data,
    read.tuples,
    verifyOptions(rules, profile, read.lba),
  );
  const intervalsPerBlock = rules.blockSize / profile.interval;
  const bad = findings.map(({ interval, check, stored, computed }) => ({
    lba: read.lba + BigInt(Math.floor(interval / intervalsPerBlock)),
    check,
    stored,
    computed,
  }));
  return { escaped, bad };
}

/** How the software verifies what was read at `lba`. */
export function verifyOptions(
  { blockSize, expected }: Pick<Rules, 'blockSize' | 'expected'>,
  profile: Profile,
  lba: bigint,
): VerifyOptions {
  const seed = BigInt.asUintN(64, seedOf({ profile, blockSize, lba }) + (expected?.refOffset ?? 0n));
  const { appTag, appTagMask = 0 } = expected ?? {};
  return { profile, layout: 'separate', seed, ...(appTagMask !== 0 && { appTag, appTagMask }) };
}

/** The path's own tuples, else another path's of the same intervals: the block layer's before those that crossed SG_IO. */
function viewFor(path: PathName, reads: Reads, rules: Rules): SoftwareView | null {
  const own = softwareView(reads, path, rules);
  if (own !== null) return own;
  const interval = rules.profiles[path]?.interval;
  for (const other of ['block-pi', 'passthrough'] as const) {
    const fits = interval === undefined || rules.profiles[other]?.interval === interval;
    const view = fits ? softwareView(reads, other, rules) : null;
    if (view !== null) return view;
  }
  return null;
}

/** Judges a run of blocks: verdicts go into the tally, what is wrong is returned. A run with something wrong is one block long. */
export function judge(reads: Reads, rules: Rules, tally: Tally): Finding[] {
  const findings: Finding[] = [];
  for (const path of PATHS) {
    const read = reads[path];
    if (read === undefined) continue;
    const { answer, tuples } = read;
    const profile = rules.profiles[path];
    const intervals = profile === null ? read.blocks : read.blocks * (rules.blockSize / profile.interval);
    const own = softwareView(reads, path, rules);
    const why = tuples === null ? rules.claims.software[path] : 'no data was read to judge the tuples by';
    for (const one of softwareVerdicts(own, intervals, why)) tally.add('software', path, one, one.intervals);
    findings.push(...mismatches(own, path));
    const view = viewFor(path, reads, rules);
    for (const checker of ['kernel', 'hba', 'device'] as const) {
      const claim = rules.claims[checker][path];
      const { verdicts, silence } = hardwareView({ checker, claim, answer, view, intervals });
      for (const one of verdicts) tally.add(checker, path, one, one.intervals);
      if (silence === undefined) continue;
      const text = `the ${checker} stayed silent: ${silence}`;
      findings.push(finding({ kind: 'silent', lba: Number(read.lba), checker, path, text }));
    }
    if (answer.kind === 'refused' && answer.checker === 'kernel-or-device') {
      tally.add('kernel-or-device', path, { verdict: 'protection', why: answer.text }, intervals);
    }
    if (answer.kind !== 'good') findings.push(answerFinding(read, answer, path, view));
  }
  findings.push(...dataDifferences(reads));
  return findings;
}

type Counted = Judgement & { readonly intervals: number };

function softwareVerdicts(view: SoftwareView | null, intervals: number, why: string): Counted[] {
  if (view === null) return [{ verdict: 'unchecked', why, intervals }];
  const { escaped, bad } = view;
  return [
    { verdict: 'ok', intervals: intervals - escaped - bad.length },
    { verdict: 'escaped', intervals: escaped },
    ...bad.map(({ check }) => ({ verdict: check, intervals: 1 })),
  ];
}

function mismatches(view: SoftwareView | null, path: PathName): Finding[] {
  return (view?.bad ?? []).map(({ lba, check, stored, computed }) => ({
    kind: 'mismatch',
    lba: Number(lba),
    checker: 'software',
    path,
    check,
    stored: tag(stored),
    computed: tag(computed),
    text: mismatchText({ check, stored, computed }),
  }));
}

/** What is wrong with an interval, in one line. */
export function mismatchText({ check, stored, computed }: Omit<BadInterval, 'lba'>): string {
  return `${check} tag differs: stored ${tagText(stored)}, computed ${tagText(computed)}`;
}

interface HardwareCase {
  readonly checker: 'kernel' | 'hba' | 'device';
  readonly claim: Claim;
  readonly answer: Answer;
  readonly view: SoftwareView | null;
  readonly intervals: number;
}

interface HardwareView {
  readonly verdicts: readonly Counted[];
  /** What the checker should not have delivered. */
  readonly silence?: string;
}

function hardwareView({ checker, claim, answer, view, intervals }: HardwareCase): HardwareView {
  const all = (verdict: Verdict, why: string): HardwareView => ({ verdicts: [{ verdict, why, intervals }] });
  if (answer.kind === 'failed') return all('error', answer.error.message);
  if (answer.kind === 'refused' && answer.checker === checker) return all(answer.check, answer.text);
  if (typeof claim === 'string') return all('unchecked', claim);
  if (answer.kind === 'refused' && !passedBefore(checker, answer)) return all('unchecked', beforeIt(answer));
  if (view === null) {
    return all(
      'unchecked',
      answer.kind === 'refused'
        ? `delivered a block that the ${answer.checker} refused`
        : 'GOOD, but no path shows the tuples: they may be escaped',
    );
  }
  const missed = view.bad.filter(({ check }) => claim.includes(check));
  const others = view.bad.length - missed.length;
  const verdicts: Counted[] = [
    { verdict: 'ok', intervals: intervals - view.escaped - view.bad.length },
    { verdict: 'escaped', intervals: view.escaped },
    { verdict: 'unchecked', why: `says that it checks ${claim.join(' and ')} tags alone`, intervals: others },
  ];
  const [first] = missed;
  if (first === undefined) return { verdicts };
  const silence = `it delivered a block whose ${first.check} tag is wrong`;
  return {
    verdicts: [...verdicts, { verdict: 'unchecked', why: silence, intervals: missed.length }],
    silence,
  };
}

function beforeIt({ checker }: Refusal): string {
  return checker === 'kernel-or-device'
    ? 'refused, and the kernel log does not say by whom'
    : `refused by the ${checker} before it came so far`;
}

/** Whether a refusal by somebody else means that this checker had passed the block: on a read the device comes first, the kernel last. */
function passedBefore(checker: Checker, refusal: Refusal): boolean {
  return checker !== 'kernel' && refusal.checker === 'kernel';
}

function answerFinding(
  read: BlocksRead,
  answer: Exclude<Answer, { kind: 'good' }>,
  path: PathName,
  view: SoftwareView | null,
): Finding {
  const lba = Number(read.lba);
  if (answer.kind === 'failed') return finding({ kind: 'read-error', lba, path, text: answer.error.message });
  const { checker, check, text, tags } = answer;
  const contradicted =
    view !== null && view.bad.length === 0 ? ', though the software finds nothing wrong' : '';
  const told = { stored: tags ? tag(tags.stored) : null, computed: tags ? tag(tags.computed) : null };
  return finding({
    kind: 'refused',
    lba,
    checker,
    path,
    check,
    ...told,
    text: `${refuser(checker)} refused the block: ${text}${contradicted}`,
  });
}

/** Who refused, in a sentence. */
export function refuser(checker: Checker): string {
  return checker === 'kernel-or-device' ? 'somebody' : `the ${checker}`;
}

/** Blocks of which two paths delivered different data, as findings. */
function dataDifferences(reads: Reads): Finding[] {
  return differingBlocks(reads).map(({ lba, paths }) =>
    finding({
      kind: 'data-differs',
      lba: Number(lba),
      path: paths[1],
      text: `${paths[0]} and ${paths[1]} deliver different data`,
    }),
  );
}

/** The blocks whose data differs between the first path that delivered it and another. */
export function differingBlocks(reads: Reads): { lba: bigint; paths: [PathName, PathName] }[] {
  const [first, ...others] = PATHS.flatMap((path) => {
    const read = reads[path];
    return read?.data ? [{ path, read, data: read.data }] : [];
  });
  if (first === undefined) return [];
  const { blocks } = first.read;
  return others.flatMap(({ path, data }) => {
    if (Buffer.compare(first.data, data) === 0) return [];
    return Array.from({ length: blocks }, (_, i) => i)
      .filter((i) => Buffer.compare(partOf(first.data, blocks, i), partOf(data, blocks, i)) !== 0)
      .map((i) => ({ lba: first.read.lba + BigInt(i), paths: [first.path, path] as [PathName, PathName] }));
  });
}

const NOTHING = { checker: null, path: null, check: null, stored: null, computed: null, lba: null } as const;

/** A finding with null for all that it does not say. */
export function finding(parts: Partial<Finding> & Pick<Finding, 'kind' | 'text'>): Finding {
  return { ...NOTHING, ...parts };
}

/** A tag as JSON takes it: beyond 2^53 a 0x string. */
export function tag(value: number | bigint): number | string {
  return typeof value === 'number' ? value : `0x${value.toString(16).padStart(16, '0')}`;
}

function tagText(value: number | bigint): string {
  return `0x${value.toString(16).padStart(4, '0')}`;
}
