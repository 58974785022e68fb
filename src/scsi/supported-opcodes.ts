/** REPORT SUPPORTED OPERATION CODES data (SPC-5). */
import { ResponseReader, StructureWriter } from './bytes.js';
import { type CommandDefinition, usageMap } from './commands.js';
import { bits, decodeLayout, flag, type Layout, uint } from './layout.js';

const DESCRIPTOR_BYTES = 8;
const TIMEOUTS_BYTES = 12;

/** What the disk says of how long a command takes, in seconds; 0 where it says nothing. */
export interface CommandTimeouts {
  /** NOMINAL COMMAND PROCESSING TIMEOUT: longer, and something may be wrong. */
  readonly nominal: number;
  /** RECOMMENDED COMMAND TIMEOUT: longer, and the initiator should give up. */
  readonly recommended: number;
}

const TIMEOUTS: Layout<CommandTimeouts> = { nominal: uint(4, 4), recommended: uint(8, 4) };

/** A command that the disk has. */
export interface SupportedCommand {
  readonly opcode: number;
  /** Null where the opcode has none. */
  readonly serviceAction: number | null;
  /** Bytes of the CDB. */
  readonly length: number;
  /** CDLP: where its duration limits are: 0 nowhere, 1 and 2 mode pages A and B, 3 T2A, 4 T2B with RWCDLP. */
  readonly durationLimitPage: number;
  /** Null where none came. */
  readonly timeouts: CommandTimeouts | null;
}

/** All commands, as far as they came whole. Throws ERR_MALFORMED_RESPONSE for less than a header. */
export function decodeAllCommands(bytes: Uint8Array): SupportedCommand[] {
  const data = new ResponseReader('REPORT SUPPORTED OPERATION CODES data', bytes);
  const end = Math.min(data.length, 4 + data.u32(0));
  const commands: SupportedCommand[] = [];
  for (let at = 4; at + DESCRIPTOR_BYTES <= end; ) {
    const timeouts = data.bit(at + 5, 1);
    const next = at + DESCRIPTOR_BYTES + (timeouts ? TIMEOUTS_BYTES : 0);
    if (next > end) break;
    commands.push({
      opcode: data.u8(at),
      serviceAction: data.bit(at + 5, 0) ? data.u16(at + 2) : null,
      length: data.u16(at + 6),
      durationLimitPage: data.bits(at + 5, 3, 2),
      timeouts: timeouts ? decodeLayout(TIMEOUTS, data, TIMEOUTS_BYTES, at + DESCRIPTOR_BYTES) : null,
    });
    at = next;
  }
  return commands;
}

/** SERVACTV where the opcode has service actions, CTDP where timeouts follow, all of which say nothing. */
export function encodeAllCommands(commands: readonly CommandDefinition[], timeouts: boolean): Uint8Array {
  const each = DESCRIPTOR_BYTES + (timeouts ? TIMEOUTS_BYTES : 0);
  const data = new StructureWriter('REPORT SUPPORTED OPERATION CODES data', 4 + each * commands.length);
  data.uint(0, 4, 'command data length', each * commands.length);
  for (const [i, { operation, length }] of commands.entries()) {
    const at = 4 + i * each;
    const [opcode, serviceAction] = operation;
    data
      .uint(at, 1, 'opcode', opcode)
      .uint(at + 2, 2, 'service action', serviceAction ?? 0)
      .bit(at + 5, 1, timeouts)
      .bit(at + 5, 0, serviceAction !== undefined)
      .uint(at + 6, 2, 'CDB length', length);
    if (timeouts) data.uint(at + DESCRIPTOR_BYTES, 2, 'descriptor length', TIMEOUTS_BYTES - 2);
  }
  return data.bytes;
}

/** SUPPORT of one command. */
export const SUPPORT = { UNKNOWN: 0b000, NO: 0b001, AS_STANDARD: 0b011, VENDOR: 0b101 } as const;

/** What the disk says of one command. */
export interface CommandSupport {
  /** SUPPORT, one of `SUPPORT` or reserved. */
  readonly support: number;
  /** CDB USAGE DATA: the operation as it is, and a 1 for each bit that is evaluated; null where the disk does not have the command. */
  readonly usage: Uint8Array | null;
  /** CDLP. */
  readonly durationLimitPage: number;
  /** Null where none came. */
  readonly timeouts: CommandTimeouts | null;
}

const HAS_USAGE: readonly number[] = [SUPPORT.AS_STANDARD, SUPPORT.VENDOR];

/** One command. Throws ERR_MALFORMED_RESPONSE for less than its usage data. */
export function decodeOneCommand(bytes: Uint8Array): CommandSupport {
  const data = new ResponseReader('one command of REPORT SUPPORTED OPERATION CODES', bytes);
  const { support, durationLimitPage, hasTimeouts, length } = decodeLayout(ONE_COMMAND, data, 2);
  const usage = HAS_USAGE.includes(support) ? data.slice(4, length) : null;
  const at = 4 + length;
  const timeouts =
    hasTimeouts && usage !== null && at + TIMEOUTS_BYTES <= data.length
      ? decodeLayout(TIMEOUTS, data, TIMEOUTS_BYTES, at)
      : null;
  return { support, usage, durationLimitPage, timeouts };
}

const ONE_COMMAND: Layout<{
  hasTimeouts: boolean;
  durationLimitPage: number;
  support: number;
  length: number;
}> = {
  hasTimeouts: flag(1, 7),
  durationLimitPage: bits(1, 4, 3),
  support: bits(1, 2, 0),
  length: uint(2, 2),
};

/** What is said of one command; null: that it is not supported. */
export function encodeOneCommand(command: CommandDefinition | null, timeouts: boolean): Uint8Array {
  if (command === null) return Uint8Array.of(0, SUPPORT.NO, 0, 0);
  const map = usageMap(command);
  const data = new StructureWriter(
    'one command of REPORT SUPPORTED OPERATION CODES',
    4 + map.length + (timeouts ? TIMEOUTS_BYTES : 0),
  );
  data.bit(1, 7, timeouts).bits(1, 2, 0, 'support', SUPPORT.AS_STANDARD).uint(2, 2, 'CDB size', map.length);
  data.bytes.set(map, 4);
  if (timeouts) data.uint(4 + map.length, 2, 'descriptor length', TIMEOUTS_BYTES - 2);
  return data.bytes;
}
