/**
 * A SCSI logical unit as the one who drives it sees it: a task goes in, its reply comes out.
 */

export interface ScsiTask {
  /** As the initiator sent it. */
  readonly cdb: Uint8Array;
  /** All bytes that the initiator sends; empty without. */
  readonly dataOut: Uint8Array;
  /** Bytes that the initiator takes. */
  readonly dataInMax: number;
}

export interface ScsiTaskReply {
  /** SAM-5 status byte. */
  readonly status: number;
  /** Empty unless CHECK CONDITION; at most 252 bytes. */
  readonly sense: Uint8Array;
  /** At most `dataInMax` bytes. The view is only valid until the next execute(). */
  readonly dataIn: Uint8Array;
  /** Milliseconds after which the reply is to be given; Infinity: never answered. 0 as a rule. */
  readonly afterMs: number;
}

export interface LogicalUnit {
  /** Synchronous; never throws for anything that an initiator can send. */
  execute(task: ScsiTask): ScsiTaskReply;
}
