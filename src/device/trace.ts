/**
 * Every SCSI command to a disk with its answer, as it happens.
 */
import type { NativeHandle } from '../binding.js';
import { cdbFieldsText } from '../scsi/cdb.js';
import { describeOutcome } from '../scsi/outcome.js';
import type { DiskTransport, JudgedCommands, JudgedReply, ScsiCommand, ScsiReply } from './transport.js';

/** One command and what came of it: an answer of the disk's, or an error. */
export interface TracedCommand {
  readonly command: ScsiCommand;
  readonly reply: ScsiReply | null;
  readonly error: unknown;
  /** From the first try to the answer of the last. */
  readonly durationMs: number;
  /** Of the data that it was to move. */
  readonly bytes: number;
}

export type OnCommand = (traced: TracedCommand) => void;

class TracedTransport implements DiskTransport {
  readonly #transport: DiskTransport;
  readonly #onCommand: OnCommand;

  constructor(transport: DiskTransport, onCommand: OnCommand) {
    this.#transport = transport;
    this.#onCommand = onCommand;
  }

  get unitAttentions(): number {
    return this.#transport.unitAttentions;
  }

  writableBy(handle: Pick<NativeHandle, 'sgIo'>): DiskTransport {
    return new TracedTransport(this.#transport.writableBy(handle), this.#onCommand);
  }

  alone<T>(job: () => Promise<T>): Promise<T> {
    return this.#transport.alone(job);
  }

  send(command: ScsiCommand): Promise<ScsiReply> {
    return this.#told(
      command,
      command.data?.length ?? 0,
      () => this.#transport.send(command),
      (reply) => reply,
    );
  }

  /** One at a time: each is told with its own answer. */
  judge({ cdbs, ...reads }: JudgedCommands): Promise<JudgedReply> {
    const [cdb] = cdbs as [Uint8Array];
    return this.#told(
      { cdb, direction: 'from-device', data: null, signal: reads.signal },
      reads.bytes,
      () => this.#transport.judge({ ...reads, cdbs: [cdb] }),
      (reply) => ({ ...reply, retries: [] }),
    );
  }

  async #told<T>(
    command: ScsiCommand,
    bytes: number,
    send: () => Promise<T>,
    replyOf: (reply: T) => ScsiReply,
  ): Promise<T> {
    const start = performance.now();
    const tell = (reply: ScsiReply | null, error: unknown) =>
      this.#onCommand({ command, bytes, reply, error, durationMs: performance.now() - start });
    try {
      const reply = await send();
      tell(replyOf(reply), null);
      return reply;
    } catch (error) {
      tell(null, error);
      throw error;
    }
  }
}

/** The same transport; with `onCommand`, each of its commands and those of its writable descriptors are told. */
export function traced(transport: DiskTransport, onCommand: OnCommand | undefined): DiskTransport {
  return onCommand === undefined ? transport : new TracedTransport(transport, onCommand);
}

const DIRECTIONS: Readonly<Record<ScsiCommand['direction'], string>> = {
  none: 'no data',
  'from-device': 'in',
  'to-device': 'out',
};

/** One line: the command's name and fields, direction and bytes, the answer, how long it took, and what was retried before. */
export function traceText({ command, bytes, reply, error, durationMs }: TracedCommand): string {
  const { cdb, direction } = command;
  const moved = direction === 'none' ? '' : ` ${bytes} bytes`;
  const sent = `${cdbFieldsText(cdb)}, ${DIRECTIONS[direction]}${moved}`;
  const took = `${durationMs.toFixed(1)} ms`;
  if (reply === null) return `${sent}: ${error instanceof Error ? error.message : String(error)}, ${took}`;
  const { outcome, result, retries } = reply;
  const residue = result.resid === 0 ? '' : `, residue ${result.resid}`;
  const again = retries.map((why, i) => `; try ${i + 1}: ${why}`).join('');
  return `${sent}: ${describeOutcome(outcome)}${residue}, ${took}${again}`;
}
