/** REPORT SUPPORTED OPERATION CODES data (SPC-5). */
import { type CommandDefinition, usageMap } from './commands.js';

const DESCRIPTOR_BYTES = 8;
const TIMEOUTS_BYTES = 12;

/** SERVACTV where the opcode has service actions, CTDP where timeouts follow. */
export function encodeAllCommands(commands: readonly CommandDefinition[], timeouts: boolean): Uint8Array {
  const each = DESCRIPTOR_BYTES + (timeouts ? TIMEOUTS_BYTES : 0);
  const data = new Uint8Array(4 + each * commands.length);
  const view = new DataView(data.buffer);
  view.setUint32(0, each * commands.length);
  for (const [i, { operation, length }] of commands.entries()) {
    const at = 4 + i * each;
    const [opcode, serviceAction] = operation;
    data[at] = opcode;
    view.setUint16(at + 2, serviceAction ?? 0);
    data[at + 5] = (timeouts ? 0x02 : 0) | (serviceAction === undefined ? 0 : 0x01);
    view.setUint16(at + 6, length);
    if (timeouts) view.setUint16(at + DESCRIPTOR_BYTES, TIMEOUTS_BYTES - 2);
  }
  return data;
}

/** SUPPORT of one command. */
const SUPPORT = { NO: 0b001, AS_STANDARD: 0b011 } as const;

/** What is said of one command; null: that it is not supported. */
export function encodeOneCommand(command: CommandDefinition | null, timeouts: boolean): Uint8Array {
  if (command === null) return Uint8Array.of(0, SUPPORT.NO, 0, 0);
  const map = usageMap(command);
  const data = new Uint8Array(4 + map.length + (timeouts ? TIMEOUTS_BYTES : 0));
  const view = new DataView(data.buffer);
  data[1] = (timeouts ? 0x80 : 0) | SUPPORT.AS_STANDARD;
  view.setUint16(2, map.length);
  data.set(map, 4);
  if (timeouts) view.setUint16(4 + map.length, TIMEOUTS_BYTES - 2);
  return data;
}
