/**
 * Who refused a block of the block paths: errno is EILSEQ whoever it was, the kernel's log has the words.
 */
import type { Check } from '../words.js';

/** One record of /dev/kmsg. */
export interface KernelLogRecord {
  /** syslog facility: 0 is the kernel; whoever may write to the log writes with another. */
  readonly facility: number;
  /** syslog level: 0 emergency to 7 debug. */
  readonly level: number;
  readonly seq: number;
  /** Microseconds of the kernel's own clock. */
  readonly usec: number;
  readonly text: string;
}

/**
 * Reads one record: `priority,sequence,microseconds,flags[,...];text`, and further lines of key=value that
 * are left out (Linux Documentation/ABI/testing/dev-kmsg). Null for anything else.
 */
export function parseKmsgRecord(record: string): KernelLogRecord | null {
  const [, priority, seq, usec, text] =
    /^(\d{1,9}),(\d{1,15}),(\d{1,15}),[^;\n]*;([^\n]*)/.exec(record) ?? [];
  if (text === undefined) return null;
  const facility = Number(priority) >> 3;
  return {
    facility,
    level: Number(priority) & 7,
    seq: Number(seq),
    usec: Number(usec),
    text: text.trimEnd(),
  };
}

const KERNEL = 0;

/** One refusal of a read or write, as the log tells it. */
export interface Refusal {
  /**
   * `kernel`: the block layer's own verify. `kernel-or-device`: the log says that the request failed, not who
   * refused it.
   */
  readonly checker: 'kernel' | 'device' | 'hba' | 'kernel-or-device';
  readonly check: Check;
  /** Where, in `unit`; null when the log has lost that line. */
  readonly sector: bigint | null;
  /**
   * `sector512`: 512-byte sectors from the start of the disk, where the failed rest of the request starts. It
   * is the refused block only if the device named it; scsi_debug does not.
   * `seed`: the kernel's virtual reference tag of the refused interval: the 512-byte sector where the bio
   * starts, plus one an *interval*. So with 4096-byte intervals, and I/O that starts at LBA L, interval i has
   * 8L + i.
   */
  readonly unit: 'sector512' | 'seed';
  /** The tag in the tuple and the one that the kernel made, where the line has them. */
  readonly stored: bigint | null;
  readonly computed: bigint | null;
  /** What the log said, in its words. */
  readonly text: string;
  /** The record that told it. */
  readonly seq: number;
  readonly usec: number;
}

export interface LoggedDisk {
  /** `sda`. */
  readonly diskName: string;
  /** `host:channel:target:lun`: without it any disk of that name. */
  readonly hctl?: string | null;
}

/** block/t10-pi.c, in the words of 3.10 and of later kernels. */
const GUARD_ERROR =
  /^(\S+): guard tag error (?:at|on) sector (\d+) \(rcvd ([0-9a-f]+), (?:want|data) ([0-9a-f]+)\)$/;
const REF_ERROR = /^(\S+): ref tag error (?:at location|on sector) (\d+) \(rcvd (\d+)\)$/;

/**
 * The block layer on a request that its driver failed with BLK_STS_PROTECTION; older kernels put the
 * function's name before it.
 */
const REQUEST_ERROR = /^(?:blk_update_request: )?protection error, dev (\S+), sector (\d+)\b/;

/** What sd says of one command, and the three lines of it that tell who refused. */
const SD_LINE = /^sd (\d+:\d+:\d+:\d+): \[(\S+)\] (?:tag#(\d+) )?(.*)$/;
const SD_FIELDS = [
  [/^(?:FAILED )?Result: hostbyte=(\S+)/, 'hostByte'],
  [/^Sense Key : (.+?) \[/, 'senseKey'],
  [/^Add\. Sense: (.+)$/, 'additionalSense'],
] as const;

/** The kernel's texts for ASC 10h. */
const CHECKS: ReadonlyMap<string, Check> = new Map([
  ['Logical block guard check failed', 'guard'],
  ['Logical block application tag check failed', 'app'],
  ['Logical block reference tag check failed', 'ref'],
  ['Logical block protection error on recover buffered data', 'protection'],
  ['Logical block protection method error', 'protection'],
]);

type SdField = (typeof SD_FIELDS)[number][1];

/** A failed command, as far as its lines have come. */
interface FailedCommand {
  readonly fields: Partial<Record<SdField, string>>;
  readonly last: KernelLogRecord;
}

/**
 * The refusals of one disk among `records` (in order), in order. The kernel limits the rate of these lines,
 * so a refusal may be told in part or not at all: no refusal here is no proof that there was none.
 */
export function explainRefusals(records: readonly KernelLogRecord[], disk: LoggedDisk): Refusal[] {
  const refusals: Refusal[] = [];
  // By tag: the lines of two commands may be mixed.
  const failed = new Map<string, FailedCommand>();
  const settle = (tag: string, sector: bigint | null, record?: KernelLogRecord): void => {
    const command = failed.get(tag);
    const refusal = command && commandRefusal(command, sector, record ?? command.last);
    if (refusal) refusals.push(refusal);
    failed.delete(tag);
  };
  for (const record of records.filter(({ facility }) => facility === KERNEL)) {
    const line = sdLine(record.text, disk);
    const request = REQUEST_ERROR.exec(record.text);
    if (line) {
      if (failed.get(line.tag)?.fields[line.field] !== undefined) settle(line.tag, null);
      const fields = { ...failed.get(line.tag)?.fields, [line.field]: line.value };
      failed.set(line.tag, { fields, last: record });
    } else if (request?.[1] === disk.diskName) {
      const sector = BigInt(request[2]!);
      // The nearest: a request is logged right after its command.
      const tag = [...failed.keys()].findLast((key) => isProtection(failed.get(key)!));
      if (tag === undefined) refusals.push(requestRefusal(record, sector));
      else settle(tag, sector, record);
    } else {
      const refusal = verifyRefusal(record, disk);
      if (refusal) refusals.push(refusal);
    }
  }
  for (const tag of failed.keys()) settle(tag, null);
  return refusals.sort((a, b) => a.seq - b.seq);
}

function sdLine(text: string, disk: LoggedDisk): { tag: string; field: SdField; value: string } | null {
  const [, hctl, name, tag = '', rest] = SD_LINE.exec(text) ?? [];
  if (rest === undefined || name !== disk.diskName || (disk.hctl ?? hctl) !== hctl) return null;
  for (const [pattern, field] of SD_FIELDS) {
    const value = pattern.exec(rest)?.[1];
    if (value !== undefined) return { tag, field, value };
  }
  return null;
}

function isProtection({ fields }: FailedCommand): boolean {
  return CHECKS.has(fields.additionalSense ?? '');
}

/** Null when the command failed for another reason than protection. */
function commandRefusal(
  { fields }: FailedCommand,
  sector: bigint | null,
  { seq, usec }: KernelLogRecord,
): Refusal | null {
  const { hostByte, senseKey, additionalSense = '' } = fields;
  const check = CHECKS.get(additionalSense);
  if (check === undefined) return null;
  // As in scsi/outcome.ts: an adapter's own check is ILLEGAL REQUEST, and not with DID_OK.
  const byHba = senseKey === 'Illegal Request' && hostByte !== 'DID_OK';
  const checker = senseKey === undefined ? 'kernel-or-device' : byHba ? 'hba' : 'device';
  const text = senseKey === undefined ? additionalSense : `${senseKey}: ${additionalSense}`;
  return { checker, check, sector, unit: 'sector512', stored: null, computed: null, text, seq, usec };
}

/** The request's line alone, without those of its command. */
function requestRefusal({ text, seq, usec }: KernelLogRecord, sector: bigint): Refusal {
  const nothing = { stored: null, computed: null };
  return {
    checker: 'kernel-or-device',
    check: 'protection',
    sector,
    unit: 'sector512',
    ...nothing,
    text,
    seq,
    usec,
  };
}

function verifyRefusal({ text, seq, usec }: KernelLogRecord, disk: LoggedDisk): Refusal | null {
  const guard = GUARD_ERROR.exec(text);
  const [, name, sector, stored, computed] = guard ?? REF_ERROR.exec(text) ?? [];
  if (name !== disk.diskName || sector === undefined || stored === undefined) return null;
  const tags = guard
    ? { stored: BigInt(`0x${stored}`), computed: BigInt(`0x${computed}`) }
    : { stored: BigInt(stored), computed: null };
  return {
    checker: 'kernel',
    check: guard ? 'guard' : 'ref',
    sector: BigInt(sector),
    unit: 'seed',
    ...tags,
    text,
    seq,
    usec,
  };
}
