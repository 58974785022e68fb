/**
 * Which commands have a Data-Out buffer. Who only sees CDB and data area, as a TCMU server does, needs to know. (SPC-5, SBC-4: the
 * commands' own clauses; VERIFY and FORMAT UNIT may send nothing, and then have no data at all.)
 */

/** Its commands are told apart by the service action in bytes 8 and 9. */
const VARIABLE_LENGTH = 0x7f;

const SENDING_OPCODES: ReadonlySet<number> = new Set([
  0x04, // FORMAT UNIT
  0x07, // REASSIGN BLOCKS
  0x0a, // WRITE(6)
  0x15, // MODE SELECT(6)
  0x1d, // SEND DIAGNOSTIC
  0x2a, // WRITE(10)
  0x2e, // WRITE AND VERIFY(10)
  0x2f, // VERIFY(10)
  0x3b, // WRITE BUFFER
  0x3f, // WRITE LONG(10)
  0x41, // WRITE SAME(10)
  0x42, // UNMAP
  0x48, // SANITIZE
  0x4c, // LOG SELECT
  0x55, // MODE SELECT(10)
  0x5f, // PERSISTENT RESERVE OUT
  0x83, // EXTENDED COPY and third-party copy OUT
  0x89, // COMPARE AND WRITE
  0x8a, // WRITE(16)
  0x8b, // ORWRITE(16)
  0x8e, // WRITE AND VERIFY(16)
  0x8f, // VERIFY(16)
  0x93, // WRITE SAME(16)
  0x9a, // WRITE STREAM(16)
  0x9c, // WRITE ATOMIC(16)
  0x9f, // SERVICE ACTION OUT(16): WRITE SCATTERED(16), WRITE LONG(16)
  0xa4, // MAINTENANCE OUT
  0xaa, // WRITE(12)
  0xae, // WRITE AND VERIFY(12)
  0xaf, // VERIFY(12)
  0xb5, // SECURITY PROTOCOL OUT
]);

const SENDING_SERVICE_ACTIONS: ReadonlySet<number> = new Set([
  0x000a, // VERIFY(32)
  0x000b, // WRITE(32)
  0x000c, // WRITE AND VERIFY(32)
  0x000d, // WRITE SAME(32)
  0x000e, // ORWRITE(32)
  0x000f, // WRITE ATOMIC(32)
  0x0010, // WRITE STREAM(32)
  0x0011, // WRITE SCATTERED(32)
]);

/** Whether the data of a command, if it has any, goes to the device. An unknown command is taken for one that brings data. */
export function sendsData(cdb: Uint8Array): boolean {
  const [opcode = 0] = cdb;
  if (opcode === VARIABLE_LENGTH) return SENDING_SERVICE_ACTIONS.has(((cdb[8] ?? 0) << 8) | (cdb[9] ?? 0));
  return SENDING_OPCODES.has(opcode);
}
