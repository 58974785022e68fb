/**
 * `cdb`: one command as the user wrote it, and all that is to be said of its answer.
 */

import { alignedBuffer, alignedCopy, isPoison, poison } from '../device/buffers.js';
import type { Disk } from '../device/disk.js';
import { effectOn } from '../device/safeguard/alter.js';
import type { ScsiReply } from '../device/transport.js';
import { IntegrityError } from '../errors.js';
import { type CommandReport, DATA_SHOWN_MAX, type SenseReport } from '../report/model.js';
import { decodeAnswer, plain, plainSense } from '../scsi/answers.js';
import { hex } from '../scsi/bytes.js';
import { cdbText, decodeWholeCdb, isComparingCdb, isReadOnlyCdb, transferLength } from '../scsi/cdb.js';
import { type CdbFields, type CommandDefinition, commandOf, type DecodedCdb } from '../scsi/commands.js';
import { altersBlocks, hasEffect } from '../scsi/effect.js';
import { describeOutcome } from '../scsi/outcome.js';
import type { Sense } from '../scsi/sense.js';

export interface RawCommand {
  readonly cdb: Uint8Array;
  /** Of a command that compares it with the medium: just as long as CDB and format say. */
  readonly dataOut?: Uint8Array | undefined;
  /** Bytes to take in; what the command itself says without it. */
  readonly inBytes?: number | undefined;
  readonly timeoutMs?: number | undefined;
}

/** What came in, and the report, which has the beginning of it. */
export interface CommandResult {
  readonly report: CommandReport;
  readonly data: Uint8Array;
}

/**
 * What a CDB says. Throws ERR_READ_ONLY for one that could alter the medium, and for one that is not known here, which might; ERR_USAGE
 * for one that is not as long as its command.
 */
export function requireReadOnly(cdb: Uint8Array): DecodedCdb {
  const command = commandOf(cdb);
  if (command === null || !(isReadOnlyCdb(cdb) || isComparingCdb(cdb))) {
    const why = command === null ? 'it is not known here and might' : 'it could';
    throw new IntegrityError('ERR_READ_ONLY', `refused to send ${cdbText(cdb)}: ${why} alter the disk`, {
      cdb,
      advice: adviceFor(command),
    });
  }
  return decodeWholeCdb(cdb);
}

function adviceFor(command: CommandDefinition | null): string {
  if (command === null) return 'Only commands that are known here are sent.';
  const { name } = command;
  if (!hasEffect(name)) return 'Nothing here knows what this form of it alters: it is not sent.';
  if (!altersBlocks(name)) return 'If that is meant: --write.';
  return 'If that is meant: --write, with the blocks in --lba and --blocks; plain blocks are written with `blk-integrity write`.';
}

/** Sends the command. Whatever the disk answers is reported. Errors: as requireReadOnly; ERR_OUT_OF_RANGE, ERR_BAD_LENGTH, ERR_NO_PATH, ERR_DEVICE_GONE. */
export async function sendCommand(
  disk: Disk,
  { cdb, dataOut, inBytes, timeoutMs }: RawCommand,
  signal?: AbortSignal,
): Promise<CommandResult> {
  const decoded = requireReadOnly(cdb);
  const { device, transport } = disk;
  if (transport === null) {
    throw new IntegrityError('ERR_NO_PATH', `${device} takes no SCSI commands`, { disk: device });
  }
  const { bytes, due } = bytesIn(disk, decoded, inBytes);
  const data = alignedBuffer(bytes);
  poison(data);
  const out = dataOut !== undefined || isComparingCdb(cdb) ? comparedData(disk, cdb, dataOut) : NOTHING;
  const direction =
    (bytes > 0 && ({ direction: 'from-device', data } as const)) ||
    (out.length > 0 ? ({ direction: 'to-device', data: out } as const) : NO_DATA);
  const start = performance.now();
  const reply = await transport.send({ cdb, ...direction, ...(timeoutMs && { timeoutMs }), signal });
  const durationMs = Math.round((performance.now() - start) * 10) / 10;
  // tcm_loop answers CHECK CONDITION with residue 0, over whatever a bounce buffer held.
  const taken = reply.outcome.kind === 'good' ? bytes - Math.min(Math.max(reply.result.resid, 0), bytes) : 0;
  const received = data.subarray(0, taken);
  const answered = reportOf(device, decoded, cdb, reply, received);
  const came = received.length - answered.untouched;
  const isGood = reply.outcome.kind === 'good';
  const unsent = Math.min(Math.max(reply.result.resid, 0), out.length);
  const missing = isGood ? Math.max(due - came, 0) + unsent : 0;
  const text = crossedText(answered.text, missing, due + out.length, out.length > 0 ? 'go out' : 'come');
  const crossed = { text, missing, requested: bytes, compared: out.length };
  const report = { ...answered, ...crossed, durationMs, altered: null };
  return { report, data: received };
}

const NOTHING = new Uint8Array(0);

/** What the medium is to be compared with. Errors: those of effectOn. */
function comparedData(disk: Disk, cdb: Uint8Array, dataOut: Uint8Array = NOTHING): Uint8Array {
  if (!isComparingCdb(cdb)) {
    const message = `refused to send ${cdbText(cdb)} with data: it compares none`;
    throw new IntegrityError('ERR_READ_ONLY', message, { disk: disk.device, cdb });
  }
  effectOn(disk, { cdb, dataOut });
  return alignedCopy(dataOut);
}

const NO_DATA = { direction: 'none', data: null } as const;

/** The answer of a command whose bytes are to cross all of them. */
export function crossedText(text: string, missing: number, due: number, verb: 'come' | 'go out'): string {
  return missing === 0 ? text : `${text}, but ${missing} of ${due} bytes did not ${verb}`;
}

/** What was answered, and what came. */
export function reportOf(
  device: string,
  decoded: DecodedCdb,
  cdb: Uint8Array,
  { outcome, result, retries }: ScsiReply,
  received: Uint8Array,
): Omit<CommandReport, 'missing' | 'requested' | 'compared' | 'durationMs' | 'altered'> {
  const { command, fields } = decoded;
  const untouched = untouchedAtEnd(received);
  const { status, hostStatus, driverStatus, resid, sense } = result;
  return {
    verb: 'cdb',
    device,
    cdb: hex(cdb),
    command: command.name,
    fields: plain(fields) as CommandReport['fields'],
    outcome: outcome.kind,
    text: describeOutcome(outcome),
    status,
    hostStatus,
    driverStatus,
    sense: 'sense' in outcome && outcome.sense ? senseReport(outcome.sense) : null,
    senseBytes: hex(sense),
    retries,
    received: received.length,
    residue: resid,
    untouched,
    data: hex(received.subarray(0, DATA_SHOWN_MAX)),
    ...decodedOf(decoded, received.subarray(0, received.length - untouched)),
  };
}

const senseReport = (sense: Sense) =>
  ({ information: null, fieldPointer: null, ...plainSense(sense) }) as unknown as SenseReport;

type Told = Pick<CommandReport, 'decoded' | 'notDecoded'>;

const NOTHING_DECODED: Told = { decoded: null, notDecoded: null };

/** What a device returns need not make sense: then its bytes are all there is to be told. */
function decodedOf(decoded: DecodedCdb, received: Uint8Array): Told {
  if (received.length === 0) return NOTHING_DECODED;
  try {
    return { ...NOTHING_DECODED, decoded: decodeAnswer(decoded, received) };
  } catch (error) {
    if (!(error instanceof IntegrityError)) throw error;
    return { ...NOTHING_DECODED, notDecoded: error.message };
  }
}

/** Fewer bytes than a tuple may be alike by chance. */
const UNTOUCHED_LEAST = 8;

/** What a device did not send leaves the poison, whatever its residue says. */
function untouchedAtEnd(received: Uint8Array): number {
  let touched = received.length;
  while (touched > 0 && isPoison(received, touched - 1, touched)) touched--;
  const untouched = received.length - touched;
  return untouched < UNTOUCHED_LEAST ? 0 : untouched;
}

/**
 * Bytes to take in, and how many of them are due: all that the CDB and the format of the disk say, or none where an ALLOCATION LENGTH only
 * says how many there is room for.
 */
function bytesIn(
  disk: Disk,
  { command, fields }: DecodedCdb,
  asked: number | undefined,
): { readonly bytes: number; readonly due: number } {
  const { name } = command;
  if (command.data !== 'in') {
    if (asked === undefined) return { bytes: 0, due: 0 };
    throw new IntegrityError('ERR_USAGE', `${name} brings no data in`);
  }
  const { blocks = 0, allocationLength } = fields;
  const due = allocationLength === undefined ? ownBytes(disk, fields) : 0;
  const bytes = asked ?? allocationLength ?? due;
  if (bytes < due) {
    const message = `${disk.device}: ${name}: room for ${bytes} bytes, ${due} come by its CDB and the format of the disk`;
    throw new IntegrityError('ERR_BAD_LENGTH', message, { disk: disk.device, advice: 'Leave out --in.' });
  }
  disk.requireTransfer(bytes, blocks);
  return { bytes, due };
}

const READ_CAPACITY_10_BYTES = 8;

/** As many as the command's own fields and the disk's format say: of READ, READ LONG and READ CAPACITY(10). */
function ownBytes({ blockSize, diskProfile }: Disk, fields: CdbFields): number {
  const { blocks, protect = 0, byteLength } = fields;
  if (blocks === undefined) return byteLength ?? READ_CAPACITY_10_BYTES;
  const intervalsPerBlock = diskProfile === null ? 1 : blockSize / diskProfile.interval;
  return transferLength({ blocks, blockSize, intervalsPerBlock, protect });
}
