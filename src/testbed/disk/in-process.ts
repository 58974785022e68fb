/** The initiator's side of a disk in this process: what SG_IO on a node is to an attached one. */
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import type { SgRequest, SgResult } from '../../binding.js';
import { ERRNO } from '../../device/errno.js';
import type { OpenableNode } from '../../device/in-process.js';
import type { CommandNode } from '../../device/transport.js';
import type { LogicalUnit } from './model/logical-unit.js';
import { requireSgRequest } from './sg-request.js';

/** DID_TIME_OUT: the command's time ran out. */
const DID_TIME_OUT = 0x03;
const DRIVER_SENSE = 0x08;
const CHECK_CONDITION = 0x02;
/** SG_IO's own. */
const SENSE_MAX = 96;
const NO_SENSE = new Uint8Array(0);

const CLOSED: SgResult = {
  errno: ERRNO.EBADF,
  status: 0,
  hostStatus: 0,
  driverStatus: 0,
  resid: 0,
  sense: NO_SENSE,
  durationMs: 0,
  overrun: false,
};

/** The disk as a node of /dev is to a kernel's. */
export class InProcessNode implements OpenableNode {
  readonly #unit: LogicalUnit;

  constructor(unit: LogicalUnit) {
    this.#unit = unit;
  }

  open(): CommandNode {
    return new InProcessHandle(this.#unit);
  }
}

/** A descriptor of it. */
class InProcessHandle implements CommandNode {
  readonly #unit: LogicalUnit;
  readonly #underWay = new Set<Promise<SgResult>>();
  #closed = false;

  constructor(unit: LogicalUnit) {
    this.#unit = unit;
  }

  /** As NativeHandle.sgIo, wrong arguments included. */
  sgIo(request: SgRequest): Promise<SgResult> {
    requireSgRequest(request);
    if (this.#closed) return Promise.resolve(CLOSED);
    const answered = this.#execute(request).finally(() => this.#underWay.delete(answered));
    this.#underWay.add(answered);
    return answered;
  }

  /** When the commands under way are answered. The disk goes on without its initiator. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#underWay);
  }

  /** A command whose answer comes too late was executed all the same. */
  async #execute({ cdb, direction, data, timeoutMs }: SgRequest): Promise<SgResult> {
    const buffer = data ?? new Uint8Array(0);
    const reads = direction === 'from-device';
    const { status, sense, dataIn, afterMs } = this.#unit.execute({
      cdb,
      dataOut: direction === 'to-device' ? buffer : new Uint8Array(0),
      dataInMax: reads ? buffer.length : 0,
    });
    const answer: SgResult = {
      errno: 0,
      status,
      hostStatus: 0,
      driverStatus: status === CHECK_CONDITION ? DRIVER_SENSE : 0,
      resid: reads ? buffer.length - dataIn.length : 0,
      sense: sense.slice(0, SENSE_MAX),
      durationMs: Math.min(afterMs, timeoutMs),
      overrun: false,
    };
    if (afterMs > timeoutMs) {
      await delay(timeoutMs);
      return {
        ...answer,
        status: 0,
        hostStatus: DID_TIME_OUT,
        driverStatus: 0,
        resid: buffer.length,
        sense: NO_SENSE,
      };
    }
    if (reads) buffer.set(dataIn);
    // As from a kernel no answer comes within the same turn of the event loop, so that signals and timers are heard between commands.
    await (afterMs > 0 ? delay(afterMs) : turn());
    return answer;
  }
}
