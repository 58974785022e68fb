/**
 * READs with tuples that are judged where their bytes come in: they go no further, and only what they came to does.
 */
import type { NativeHandle, NativeRunVerdict, SgVerifyResult } from '../binding.js';
import { defaultEngine } from '../pi/engine.js';
import { nativeReadRule } from '../pi/native.js';
import type { Profile } from '../pi/profile.js';
import { alignedBuffer, isPoison, poison } from './buffers.js';

/** The software's verdict on blocks of which every tuple came, in intervals. */
export interface ReadVerdict {
  readonly checked: number;
  readonly escaped: number;
  readonly bad: number;
  /** Numbers of the first bad ones, from 0, in order: all of them, unless there are more than {@link BAD_NAMED_MAX}. */
  readonly badIntervals: readonly number[];
}

/** Of the first blocks of those that were asked for: of one transfer, or of several that are clean. Null when not all of one came. */
export interface BlocksJudged {
  readonly blocks: number;
  readonly verdict: ReadVerdict | null;
  /** Whether something was wrong with what was read last: with all of it, or, behind blocks that are clean, with the transfer that follows them. */
  readonly wrong: boolean;
}

/** Transfers side by side, of so many blocks each. */
export interface TransferRun {
  readonly lba: bigint;
  readonly blocks: number;
  readonly count: number;
}

/** What a run came to is of one transfer at least, if only that it has no verdict. */
export function blocksJudged(
  { blocks }: TransferRun,
  { reads, verified, clean }: NativeRunVerdict,
): BlocksJudged {
  return {
    blocks: blocks * Math.max(1, reads),
    verdict: verified && { ...verified, badIntervals: [...verified.badIntervals] },
    wrong: !clean,
  };
}

/** Bad intervals that one verdict names. */
export const BAD_NAMED_MAX = 256;

/** A node that may be able to judge by itself. */
export type JudgingNode = Pick<NativeHandle, 'sgIo'> & Partial<Pick<NativeHandle, 'sgVerify'>>;

export interface InterleavedReads {
  /** READs of neighbouring blocks. */
  readonly cdbs: readonly Uint8Array[];
  /** Of each. */
  readonly bytes: number;
  readonly profile: Profile;
  /** Reference tag of the first interval of all. */
  readonly seed: bigint;
  readonly timeoutMs: number;
}

/**
 * By the node itself where it can: all of them, as long as they are clean. Elsewhere the first alone, of bytes that are brought here.
 */
export async function judgedReads(node: JudgingNode, reads: InterleavedReads): Promise<SgVerifyResult> {
  const { cdbs, bytes, profile, seed, timeoutMs } = reads;
  const rule = nativeReadRule(profile, seed, BAD_NAMED_MAX);
  if (rule !== null && node.sgVerify) return node.sgVerify({ cdbs, bytes, timeoutMs, rule });
  const [cdb] = cdbs;
  const data = alignedBuffer(bytes);
  poison(data);
  const result = await node.sgIo({ cdb: cdb!, direction: 'from-device', data, timeoutMs });
  const { errno, status, hostStatus, driverStatus, resid, overrun } = result;
  const whole = [errno, status, hostStatus, driverStatus, resid].every((one) => one === 0) && !overrun;
  // What ends too early leaves the last tuple untouched.
  if (!whole || isPoison(data, bytes - profile.tupleSize, bytes))
    return { ...result, verified: null, reads: 0, clean: false };
  const options = { profile, layout: 'interleaved', seed, findingsMax: BAD_NAMED_MAX } as const;
  const { checked, escaped, bad, findings } = defaultEngine().verify(data, null, options);
  const badIntervals = Uint32Array.from(findings, ({ interval }) => interval);
  return { ...result, verified: { checked, escaped, bad, badIntervals }, reads: 1, clean: bad === 0 };
}
