/** What stands between a logical unit and whatever drives it: a SCSI command in, an answer out (SAM-5). */

export interface ScsiTask {
  /** As the initiator sent it. */
  readonly cdb: Uint8Array;
  /** All bytes that the initiator sends; empty without. */
  readonly dataOut: Uint8Array;
  /** Bytes that the initiator takes. */
  readonly dataInMax: number;
}

export interface ScsiTaskReply {
  readonly status: number;
  /** Empty unless CHECK CONDITION; at most 252 bytes. */
  readonly sense: Uint8Array;
  /** At most `dataInMax` bytes; a view that is only valid until the next command. */
  readonly dataIn: Uint8Array;
  /** Milliseconds after which the answer is to be given; Infinity: never. 0 as a rule. */
  readonly afterMs: number;
}

export interface LogicalUnit {
  /** Never throws for anything that an initiator can send. */
  execute(task: ScsiTask): ScsiTaskReply;
}
