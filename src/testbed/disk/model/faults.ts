/** Faults on demand: which commands and blocks they strike, how often, and what they do. */
import { IntegrityError } from '../../../errors.js';

/**
 * Where a fault sits. `medium` lies between the medium and the device's check, `wire` between its check and the initiator: a read that is
 * spoilt on the medium is refused, one that is spoilt on the wire is delivered.
 */
export type FaultPlace = 'medium' | 'wire';

export interface FaultKind {
  /** Commands that it strikes. */
  readonly strikes: 'reads' | 'writes' | 'either' | 'any';
  /** Whether it has a place. */
  readonly placed: boolean;
  readonly text: string;
}

export type FaultKindName =
  | 'guard'
  | 'app'
  | 'ref'
  | 'data'
  | 'shift-pi'
  | 'torn'
  | 'stale'
  | 'misdirected'
  | 'unchecked'
  | 'wrong-information'
  | 'strip-pi'
  | 'medium-error'
  | 'write-error'
  | 'busy'
  | 'task-set-full'
  | 'unit-attention'
  | 'delay'
  | 'silence';

/** Every kind, and what it is. */
export const FAULT_KINDS: Readonly<Record<FaultKindName, FaultKind>> = {
  guard: { strikes: 'either', placed: true, text: 'one bit of the guard flips' },
  app: { strikes: 'either', placed: true, text: 'one bit of the application tag flips' },
  ref: { strikes: 'either', placed: true, text: 'one bit of the reference tag flips' },
  data: { strikes: 'either', placed: true, text: 'one bit of the data flips under its tuple' },
  'shift-pi': { strikes: 'either', placed: true, text: 'each block comes with the tuple of the one before' },
  torn: { strikes: 'writes', placed: false, text: 'the second half of the blocks is not stored, with GOOD' },
  stale: {
    strikes: 'writes',
    placed: false,
    text: 'nothing is stored, with GOOD: the old block under its old tuple',
  },
  misdirected: {
    strikes: 'either',
    placed: false,
    text: 'the blocks `distance` further are read or written',
  },
  unchecked: { strikes: 'either', placed: false, text: 'the disk says that it checks, and does not' },
  'wrong-information': { strikes: 'either', placed: false, text: 'INFORMATION is `distance` too high' },
  'strip-pi': {
    strikes: 'either',
    placed: false,
    text: 'plain data crosses where tuples were asked for, with GOOD',
  },
  'medium-error': { strikes: 'reads', placed: false, text: '03/11/00 unrecovered read error' },
  'write-error': { strikes: 'writes', placed: false, text: '03/0C/00 write error' },
  busy: { strikes: 'any', placed: false, text: 'BUSY' },
  'task-set-full': { strikes: 'any', placed: false, text: 'TASK SET FULL' },
  'unit-attention': {
    strikes: 'any',
    placed: false,
    text: '06/29/00 power on, reset, or bus device reset occurred',
  },
  delay: { strikes: 'any', placed: false, text: 'the answer comes `delayMs` later' },
  silence: { strikes: 'any', placed: false, text: 'no answer ever comes' },
};

export interface FaultSpec {
  readonly kind: FaultKindName;
  /** The first block that it strikes. Default 0. */
  readonly lba?: bigint;
  /** Default: all to the end. */
  readonly blocks?: bigint;
  /** Reads or writes alone, where the kind leaves it open. Default both, and other commands where it strikes any. */
  readonly on?: 'read' | 'write';
  /** Default `medium`. */
  readonly place?: FaultPlace;
  /** Of so many commands that it could strike, one is struck, by a seeded choice. Default 1: each. */
  readonly oneIn?: number;
  /** It strikes so many times and is gone. Default: without end. */
  readonly times?: number;
  /** Blocks, of `misdirected` and `wrong-information`. Default 1. */
  readonly distance?: bigint;
  /** Of `delay`. Default 1000. */
  readonly delayMs?: number;
}

/** One that is there: with a number by which it is taken back. */
export interface Fault extends Required<Omit<FaultSpec, 'on' | 'times' | 'blocks'>> {
  readonly id: number;
  readonly on: 'read' | 'write' | null;
  readonly blocks: bigint | null;
  /** Null: without end. */
  readonly times: number | null;
  /** How often it has struck. */
  readonly struck: number;
}

/** A command as faults look at it, or what it does to blocks: one that reads and writes is struck in each. */
export interface Strikable {
  readonly access: 'read' | 'write' | 'other';
  /** Without blocks: null. */
  readonly range: { readonly lba: number; readonly blocks: number } | null;
}

/** Of a whole command, or of a phase of it. */
export type StrikeOf = 'command' | 'phase';

/** One stroke: of this fault, at this block. */
export interface Stroke {
  readonly fault: Fault;
  readonly lba: number;
}

const U64_MAX = 2n ** 64n - 1n;

export class FaultSet {
  readonly #faults: (Fault & { struck: number })[] = [];
  #nextId = 1;
  #random: number;

  constructor(randomSeed: number) {
    this.#random = (Math.imul(randomSeed, 0x9e3779b1) + 0x12345678) | 0 || 1;
  }

  list(): readonly Fault[] {
    return this.#faults.map((fault) => ({ ...fault }));
  }

  /** @throws ERR_USAGE, ERR_OUT_OF_RANGE */
  add(spec: FaultSpec): Fault {
    const { kind, on = null, place = 'medium', lba = 0n, blocks = null } = spec;
    const { oneIn = 1, times = null, distance = 1n, delayMs = 1000 } = spec;
    const known: FaultKind | undefined = Object.hasOwn(FAULT_KINDS, kind) ? FAULT_KINDS[kind] : undefined;
    if (known === undefined) {
      throw new IntegrityError(
        'ERR_USAGE',
        `fault ${kind}: it is none of ${Object.keys(FAULT_KINDS).join(', ')}`,
      );
    }
    if (on !== null && (known.strikes === 'reads' || known.strikes === 'writes')) {
      throw new IntegrityError('ERR_USAGE', `fault ${kind} strikes ${known.strikes}: leave out on=${on}`);
    }
    if (spec.place !== undefined && !known.placed) {
      throw new IntegrityError('ERR_USAGE', `fault ${kind} has no place: leave out place=${spec.place}`);
    }
    requireOneOf('on', on, ['read', 'write', null]);
    requireOneOf('place', place, ['medium', 'wire']);
    requireWithin('lba', lba, 0n, U64_MAX);
    if (blocks !== null) requireWithin('blocks', blocks, 1n, U64_MAX);
    requireWithin('oneIn', oneIn, 1, 2 ** 32);
    if (times !== null) requireWithin('times', times, 1, Number.MAX_SAFE_INTEGER);
    requireWithin('distance', distance, -U64_MAX, U64_MAX);
    requireWithin('delayMs', delayMs, 0, 3_600_000);
    const fault = {
      id: this.#nextId++,
      kind,
      on,
      place,
      lba,
      blocks,
      oneIn,
      times,
      distance,
      delayMs,
      struck: 0,
    };
    this.#faults.push(fault);
    return { ...fault };
  }

  /** Whether there was one of that number. */
  remove(id: number): boolean {
    const at = this.#faults.findIndex((fault) => fault.id === id);
    if (at < 0) return false;
    this.#faults.splice(at, 1);
    return true;
  }

  clear(): void {
    this.#faults.length = 0;
  }

  /** Those that strike, each once, at a block. They count as struck. */
  strike(of: StrikeOf, struck: Strikable): Stroke[] {
    if (this.#faults.length === 0) return [];
    const strokes: Stroke[] = [];
    for (const fault of [...this.#faults]) {
      const { strikes } = FAULT_KINDS[fault.kind];
      if ((strikes === 'any') !== (of === 'command')) continue;
      const lba = reach(fault, struck);
      if (lba === null || (fault.oneIn > 1 && this.#below(fault.oneIn) !== 0)) continue;
      fault.struck++;
      strokes.push({ fault: { ...fault }, lba });
      if (fault.times !== null && fault.struck >= fault.times) this.remove(fault.id);
    }
    return strokes;
  }

  /** A whole number from 0 to `n` - 1, by xorshift32. */
  #below(n: number): number {
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x;
    return Math.floor(((x >>> 0) * n) / 2 ** 32);
  }
}

/** The first block of the command that the fault strikes; null where it strikes none. */
function reach({ kind, on, lba, blocks }: Fault, { access, range }: Strikable): number | null {
  const { strikes } = FAULT_KINDS[kind];
  if (strikes !== 'any') {
    if (access === 'other' || (strikes !== 'either' && strikes !== `${access}s`)) return null;
  }
  if (on !== null && on !== access) return null;
  // A fault of the whole disk strikes commands without blocks too.
  const whole = lba === 0n && blocks === null;
  if (range === null) return strikes === 'any' && whole ? 0 : null;
  const from = lba > BigInt(range.lba) ? lba : BigInt(range.lba);
  const to = BigInt(range.lba + range.blocks);
  const inside = from < to && (blocks === null || from < lba + blocks);
  return inside ? Number(from) : null;
}

function requireOneOf<T>(name: string, value: T, choices: readonly T[]): void {
  if (choices.includes(value)) return;
  throw new IntegrityError('ERR_USAGE', `${name} ${value}: it is none of ${choices.join(', ')}`);
}

function requireWithin<T extends number | bigint>(name: string, value: T, min: T, max: T): void {
  // A bigint is not taken for a number, nor the other way round: they do not mix later.
  const whole = typeof value === typeof min && (typeof value === 'bigint' || Number.isSafeInteger(value));
  if (whole && value >= min && value <= max) return;
  throw new IntegrityError(
    'ERR_OUT_OF_RANGE',
    `${name} ${value} must be a whole ${typeof min} from ${min} to ${max}`,
  );
}
