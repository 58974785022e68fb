/**
 * Serves a logical unit to a TCMU device: every command of the ring is a task of the unit, and is accounted for.
 */
import { native, type TcmuBatch, type TcmuCommand } from '../../../binding.js';
import { IntegrityError } from '../../../errors.js';
import { commandOf } from '../../../scsi/commands.js';
import type { LogicalUnit } from '../model/logical-unit.js';
import type { UioNode } from './configfs.js';

/** SAM-5. */
const TASK_ABORTED = 0x40;

const NOTHING = new Uint8Array(0);
const TIMER_MAX_MS = 2 ** 31 - 1;
/** How long commands are executed before the event loop goes on. */
const TURN_MS = 20;
/** The kernel fails a command after 10 s (cmd_time_out). */
const GIVEN_UP_MS = 12_000;

export interface UnitStats {
  readonly received: number;
  /** Those that were aborted included. */
  readonly completed: number;
  readonly inFlight: number;
  /** Completed by an abort of the initiator, or since the unit was detached. */
  readonly aborted: number;
  /** Completed commands by SCSI status byte; an aborted one counts as TASK ABORTED (40h). */
  readonly byStatus: Readonly<Record<number, number>>;
  /** 0, or the errno by which the ring can no longer be served. */
  readonly errno: number;
}

export class UnitServer {
  readonly #unit: LogicalUnit;
  readonly #server = new (native().TcmuServer)();
  /** The timers of the commands that wait for their reply, or to be given up. */
  readonly #waiting = new Map<number, NodeJS.Timeout>();
  readonly #byStatus: Record<number, number> = {};
  #received = 0;
  #completed = 0;
  #aborted = 0;
  #leaving = false;
  #errno = 0;
  /** Commands that came and are not executed yet. */
  readonly #queue: TcmuCommand[] = [];
  #scheduled = false;

  constructor(unit: LogicalUnit) {
    this.#unit = unit;
  }

  /** Errors: ERR_TESTBED. */
  open({ path, mapBytes }: UioNode): void {
    const errno = this.#server.open(path, mapBytes, (batch) => this.#take(batch));
    if (errno === 0) return;
    throw new IntegrityError('ERR_TESTBED', `${path} cannot be served`, {
      errno,
      advice: 'It takes root and a /dev where the kernel makes its nodes (devtmpfs).',
    });
  }

  stats(): UnitStats {
    return {
      received: this.#received,
      completed: this.#completed,
      inFlight: this.#waiting.size + this.#queue.length,
      aborted: this.#aborted,
      byStatus: { ...this.#byStatus },
      errno: this.#errno,
    };
  }

  /** From now on no command waits: those that do end in TASK ABORTED. */
  leave(): void {
    this.#leaving = true;
    for (const id of [...this.#waiting.keys(), ...this.#queue.map((command) => command.id)]) this.#abort(id);
    this.#kick();
  }

  /** Errors: ERR_TESTBED when the ring was not served to the end. */
  close(): void {
    this.leave();
    this.#server.close();
    if (this.#errno !== 0) {
      throw new IntegrityError('ERR_TESTBED', 'the ring of the unit could not be served to the end', {
        errno: this.#errno,
      });
    }
  }

  #take({ errno, commands, aborted }: TcmuBatch): void {
    this.#note(errno);
    this.#received += commands.length;
    this.#queue.push(...commands);
    this.#work();
    for (const id of aborted) this.#abort(id);
    this.#kick();
  }

  /** For a turn of the event loop at a time: replies are told of in between, and others have their turn. */
  #work(): void {
    const end = performance.now() + TURN_MS;
    while (this.#queue.length > 0 && performance.now() < end) this.#execute(this.#queue.shift()!);
    if (this.#queue.length === 0 || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#work();
      this.#kick();
    });
  }

  #execute({ id, cdb, dataBytes }: TcmuCommand): void {
    const sends = commandOf(cdb)?.data === 'out';
    const { status, sense, dataIn, afterMs } = this.#unit.execute({
      cdb,
      dataOut: sends ? this.#server.dataOut(id) : NOTHING,
      dataInMax: sends ? 0 : dataBytes,
    });
    if (afterMs === 0) {
      this.#complete(id, status, sense, sends ? null : dataIn);
      return;
    }
    const reply = [status, sense.slice(), sends ? null : dataIn.slice()] as const;
    const answer = () => {
      this.#waiting.delete(id);
      this.#complete(id, ...reply);
      this.#kick();
    };
    // One without an answer keeps its place in the ring until it has one, though the kernel has given it up.
    const timer =
      afterMs === Number.POSITIVE_INFINITY
        ? setTimeout(() => this.#giveUp(id), GIVEN_UP_MS)
        : setTimeout(answer, Math.min(afterMs, TIMER_MAX_MS));
    this.#waiting.set(id, timer.unref());
    if (this.#leaving) this.#abort(id);
  }

  #giveUp(id: number): void {
    this.#abort(id);
    this.#kick();
  }

  /** Does nothing when the command is not waiting: the initiator's abort and our reply may cross. */
  #abort(id: number): void {
    const queued = this.#queue.findIndex((command) => command.id === id);
    if (queued >= 0) this.#queue.splice(queued, 1);
    clearTimeout(this.#waiting.get(id));
    if (!this.#waiting.delete(id) && queued < 0) return;
    this.#aborted++;
    this.#complete(id, TASK_ABORTED, NOTHING, null);
  }

  #complete(id: number, status: number, sense: Uint8Array, dataIn: Uint8Array | null): void {
    this.#completed++;
    this.#byStatus[status] = (this.#byStatus[status] ?? 0) + 1;
    this.#note(this.#server.complete(id, status, sense, dataIn));
  }

  #kick(): void {
    this.#note(this.#server.kick());
  }

  /** The first error is the one to tell of. */
  #note(errno: number): void {
    if (this.#errno === 0) this.#errno = errno;
  }
}
