/**
 * SCSI commands over one open node: who refused, what to retry, and a lock on everything that could alter the medium.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { NativeHandle, SgRequest, SgResult, SgVerifyResult } from '../binding.js';
import { type ErrorCode, IntegrityError } from '../errors.js';
import { cdbText, isComparingCdb, isReadOnlyCdb } from '../scsi/cdb.js';
import { classify, describeOutcome, type ScsiOutcome } from '../scsi/outcome.js';
import { SENSE_KEY } from '../scsi/sense.js';
import { ERRNO, errnoError } from './errno.js';
import { Gate } from './gate.js';
import { type InterleavedReads, type JudgingNode, judgedReads } from './read-verdict.js';
import { Slots } from './slots.js';

/** Milliseconds that one command may take: the kernel's own default for a disk. */
export const COMMAND_TIMEOUT_MS = 30_000;

interface Patience {
  /** The command was not begun: it may be sent again, a write too. */
  readonly applies: (outcome: ScsiOutcome) => boolean;
  /** Milliseconds to wait before each further try. */
  readonly pauses: readonly number[];
}

/** LOGICAL UNIT IS IN PROCESS OF BECOMING READY, and the same of its paths and its space (SPC-5, ASC 04h). */
const BECOMING_READY: readonly number[] = [0x01, 0x0a, 0x14];

const PATIENCE: readonly Patience[] = [
  { applies: ({ kind }) => kind === 'busy' || kind === 'task-set-full', pauses: [20, 100, 500] },
  {
    applies: (outcome) =>
      outcome.kind === 'not-ready' &&
      outcome.sense.asc === 0x04 &&
      BECOMING_READY.includes(outcome.sense.ascq),
    pauses: [100, 300, 1000, 2000, 4000],
  },
];

/** scsi_cmd_allowed (Linux 6.1 drivers/scsi/scsi_ioctl.c): no 32-byte CDB is in its list, and an sg node opened for writing does not ask it. */
const FILTERED =
  'Without CAP_SYS_RAWIO the kernel lets only some commands through, none of 32 bytes: run as root, or as one who may write the /dev/sgN node.';

/** A storm of different UNIT ATTENTIONs in answer to one command ends somewhere. */
export const UNIT_ATTENTIONS_MAX = 8;

/**
 * What can alter the disk is sent once: after a UNIT ATTENTION the disk may be another, and what was right to send before it is not after.
 * Then whatever comes is the answer.
 */
export interface ScsiCommand {
  readonly cdb: Uint8Array;
  readonly direction: SgRequest['direction'];
  readonly data: Uint8Array | null;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** With it what can alter the disk is sent again to a target that was too busy for it, or not ready yet, unless this throws. */
  readonly again?: (() => Promise<void>) | undefined;
}

export interface ScsiReply {
  readonly outcome: ScsiOutcome;
  readonly result: SgResult;
  /** What was retried before this answer, in words. */
  readonly retries: readonly string[];
}

/** Whatever takes SCSI commands: a node of this kernel, or a stand-in. */
export interface ScsiTransport {
  /** How many UNIT ATTENTIONs were seen: what was proved of the disk before one has lapsed. */
  readonly unitAttentions: number;
  /** Sends one command. Answers whatever the target said; throws when the device is gone or the caller gave up. */
  send(command: ScsiCommand): Promise<ScsiReply>;
}

/** READs that are judged where they come in. */
export interface JudgedCommands extends Omit<InterleavedReads, 'timeoutMs'> {
  readonly signal?: AbortSignal | undefined;
}

/** Of the last one that was sent, and the verdict on those that were clean. */
export interface JudgedReply {
  readonly outcome: ScsiOutcome;
  readonly result: SgVerifyResult;
}

/** The transport of an open disk. */
export interface DiskTransport extends ScsiTransport {
  /**
   * Sends READs, each once, whose bytes are judged where they come in: the first, and then as many of the others as it pleases, as long as all
   * are clean. Throws as {@link ScsiTransport.send}.
   */
  judge(commands: JudgedCommands): Promise<JudgedReply>;
  /** The same disk, writable, by another descriptor. The disk tells a condition once, whoever asks: each counts for both. */
  writableBy(handle: Pick<NativeHandle, 'sgIo'>): DiskTransport;
  /**
   * While the job lasts only writable transports of the disk send anything: no UNIT ATTENTION that is for them goes to another. The job
   * must not wait for a transport that is not writable.
   */
  alone<T>(job: () => Promise<T>): Promise<T>;
}

/** What carries CDBs: an open node of this kernel, or a disk in this process. */
export type CommandNode = JudgingNode & Pick<NativeHandle, 'close'>;

/** What transports of one disk share: each UNIT ATTENTION counts for all of them. */
class Seen {
  unitAttentions = 0;
  readonly gate: Gate = new Gate();
}

export interface TransportOptions {
  /** Commands under way at once, 1 without it: as many as the node has threads. The others wait. */
  readonly queueDepth?: number | undefined;
  readonly seen?: Seen;
}

/** SG_IO on an open node. A transport that is not `writable` sends only commands that cannot alter the medium. */
export class SgTransport implements DiskTransport {
  readonly #handle: JudgingNode;
  readonly #disk: string;
  readonly #writable: boolean;
  readonly #seen: Seen;
  readonly #slots: Slots;

  constructor(
    handle: JudgingNode,
    disk: string,
    writable: boolean,
    { queueDepth = 1, seen = new Seen() }: TransportOptions = {},
  ) {
    this.#handle = handle;
    this.#disk = disk;
    this.#writable = writable;
    this.#seen = seen;
    this.#slots = new Slots(queueDepth);
  }

  get unitAttentions(): number {
    return this.#seen.unitAttentions;
  }

  writableBy(handle: Pick<NativeHandle, 'sgIo'>): SgTransport {
    return new SgTransport(handle, this.#disk, true, { seen: this.#seen });
  }

  alone<T>(job: () => Promise<T>): Promise<T> {
    return this.#seen.gate.alone(job);
  }

  /** In its turn, and not while somebody is alone with the disk. */
  #inTurn<T>(send: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    return this.#slots.use(() => (this.#writable ? send() : this.#seen.gate.pass(send)), signal);
  }

  async judge({ signal, ...given }: JudgedCommands): Promise<JudgedReply> {
    const { bytes } = given;
    // What is checked is what is sent: the caller's arrays may change while it waits for its turn.
    const cdbs = Array.from(given.cdbs, (cdb) => Uint8Array.from(cdb));
    const reads = { ...given, cdbs };
    const altering = cdbs.find((cdb) => !isReadOnlyCdb(cdb));
    if (altering) throw this.#altering(altering);
    signal?.throwIfAborted();
    const timeoutMs = COMMAND_TIMEOUT_MS;
    const result = await this.#inTurn(() => judgedReads(this.#handle, { ...reads, timeoutMs }), signal);
    const last = cdbs[Math.min(result.reads, cdbs.length - 1)]!;
    return { result, outcome: this.#outcomeOf(result, last, bytes) };
  }

  #altering(cdb: Uint8Array): IntegrityError {
    return new IntegrityError(
      'ERR_READ_ONLY',
      `${this.#disk}: refused to send ${cdbText(cdb)}: it could alter the medium`,
      {
        disk: this.#disk,
        cdb,
      },
    );
  }

  /** Throws when more came than was asked for and when the device is gone. A UNIT ATTENTION is counted. */
  #outcomeOf(result: Omit<SgResult, 'durationMs'>, cdb: Uint8Array, bytes: number | undefined): ScsiOutcome {
    if (result.overrun) {
      const message = `${cdbText(cdb)}: more came than the ${bytes} bytes that were asked for: memory behind them was written to`;
      throw new IntegrityError('ERR_TRANSPORT', `${this.#disk}: ${message}`, {
        disk: this.#disk,
        cdb,
        advice: 'The host adapter or its driver is at fault: send nothing more through it.',
      });
    }
    const outcome = classify(result);
    if (outcome.kind === 'gone' || outcome.kind === 'ioctl-error') {
      throw errnoError(
        result.errno || ERRNO.ENODEV,
        `${cdbText(cdb)}: ${describeOutcome(outcome)}`,
        this.#disk,
        { cdb, ...(result.errno === ERRNO.EPERM && { advice: FILTERED }) },
      );
    }
    if (outcome.kind === 'unit-attention') this.#seen.unitAttentions++;
    return outcome;
  }

  async send(command: ScsiCommand): Promise<ScsiReply> {
    const { direction, data, timeoutMs = COMMAND_TIMEOUT_MS, signal, again } = command;
    // What is checked is what is sent: the caller's array may change between two tries.
    const cdb = Uint8Array.from(command.cdb);
    const alters = direction === 'to-device' ? !isComparingCdb(cdb) : !isReadOnlyCdb(cdb);
    if (!this.#writable && alters) throw this.#altering(cdb);
    const retries: string[] = [];
    const tries = new Map<Patience, number>();
    const attentions = new Set<string>();
    for (;;) {
      signal?.throwIfAborted();
      const result = await this.#inTurn(() => this.#handle.sgIo({ cdb, direction, data, timeoutMs }), signal);
      const outcome = this.#outcomeOf(result, cdb, data?.length);
      if (outcome.kind === 'unit-attention') {
        const condition = describeOutcome(outcome);
        // Once a condition: the same one twice is an answer, not an event.
        if (!alters && !attentions.has(condition) && attentions.size < UNIT_ATTENTIONS_MAX) {
          attentions.add(condition);
          retries.push(condition);
          continue;
        }
      }
      const patience = PATIENCE.find(({ applies }) => applies(outcome));
      const tried = (patience && tries.get(patience)) ?? 0;
      const pause = patience?.pauses[tried];
      if (patience && pause !== undefined && (!alters || again)) {
        tries.set(patience, tried + 1);
        retries.push(describeOutcome(outcome));
        await delay(pause, undefined, signal ? { signal } : {}).catch((error: unknown) => {
          // The reason itself, not the timer's error of it.
          signal?.throwIfAborted();
          throw error;
        });
        await again?.();
        continue;
      }
      return { outcome, result, retries };
    }
  }
}

/**
 * Sends a command that returns up to `length` bytes and returns those that came, or null when the target answered that it
 * does not support this: ILLEGAL REQUEST. That nobody answered says nothing of what the target supports: every other outcome
 * throws ERR_CHECK_CONDITION, ERR_TIMEOUT or ERR_TRANSPORT.
 */
export async function fetch(
  transport: ScsiTransport,
  cdb: Uint8Array,
  length: number,
  signal?: AbortSignal,
): Promise<Uint8Array | null> {
  const data = new Uint8Array(length);
  const transfer =
    length === 0
      ? ({ direction: 'none', data: null } as const)
      : ({ direction: 'from-device', data } as const);
  const { outcome, result } = await transport.send({ cdb, ...transfer, signal });
  if (isUnsupported(outcome)) return null;
  if (outcome.kind !== 'good') {
    throw new IntegrityError(errorCode(outcome), `${cdbText(cdb)}: ${describeOutcome(outcome)}`, {
      cdb,
      sense: result.sense,
    });
  }
  // A negative residue is a device's overrun: the buffer is full all the same.
  return data.subarray(0, length - Math.min(Math.max(result.resid, 0), length));
}

/** A deferred error is that of an earlier command. */
function isUnsupported(outcome: ScsiOutcome): boolean {
  if (outcome.kind !== 'check-condition' || outcome.sense === null) return false;
  return outcome.sense.key === SENSE_KEY.ILLEGAL_REQUEST && !outcome.sense.deferred;
}

function errorCode(outcome: ScsiOutcome): ErrorCode {
  if (outcome.kind === 'timeout') return 'ERR_TIMEOUT';
  // The outcomes with a place for sense are those of CHECK CONDITION.
  return 'sense' in outcome ? 'ERR_CHECK_CONDITION' : 'ERR_TRANSPORT';
}
