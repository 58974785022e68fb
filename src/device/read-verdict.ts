/**
 * A READ with tuples that is judged where its bytes come in: they go no further, and only what they came to does.
 */
import type { NativeHandle, NativeReadVerdict, SgVerifyResult } from '../binding.js';
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

/** Bad intervals that one verdict names. */
export const BAD_NAMED_MAX = 256;

/** A node that may be able to judge by itself. */
export type JudgingNode = Pick<NativeHandle, 'sgIo'> & Partial<Pick<NativeHandle, 'sgVerify'>>;

export interface InterleavedRead {
  readonly cdb: Uint8Array;
  readonly bytes: number;
  readonly profile: Profile;
  /** Reference tag of the first interval. */
  readonly seed: bigint;
  readonly timeoutMs: number;
}

export type JudgedResult = Omit<SgVerifyResult, 'verified'> & { readonly verdict: ReadVerdict | null };

/** By the node itself where it can, else of bytes that are brought here. No verdict unless the whole of it came. */
export async function judgedRead(node: JudgingNode, read: InterleavedRead): Promise<JudgedResult> {
  const { cdb, bytes, profile, seed, timeoutMs } = read;
  const rule = nativeReadRule(profile, seed, BAD_NAMED_MAX);
  if (rule !== null && node.sgVerify) {
    const { verified, ...result } = await node.sgVerify({ cdb, bytes, timeoutMs, rule });
    return { ...result, verdict: verdictOf(verified) };
  }
  const data = alignedBuffer(bytes);
  poison(data);
  const result = await node.sgIo({ cdb, direction: 'from-device', data, timeoutMs });
  const { errno, status, hostStatus, driverStatus, resid, overrun } = result;
  const whole = [errno, status, hostStatus, driverStatus, resid].every((one) => one === 0) && !overrun;
  // What ends too early leaves the last tuple untouched.
  if (!whole || isPoison(data, bytes - profile.tupleSize, bytes)) return { ...result, verdict: null };
  const options = { profile, layout: 'interleaved', seed, findingsMax: BAD_NAMED_MAX } as const;
  const { checked, escaped, bad, findings } = defaultEngine().verify(data, null, options);
  return {
    ...result,
    verdict: { checked, escaped, bad, badIntervals: findings.map(({ interval }) => interval) },
  };
}

export function verdictOf(verified: NativeReadVerdict | null): ReadVerdict | null {
  return verified && { ...verified, badIntervals: [...verified.badIntervals] };
}
