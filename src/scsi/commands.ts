/**
 * The SCSI commands of a disk as one table: what each is called, how its CDB is laid out and what it can do (SPC-5, SBC-4). Encoding,
 * decoding, CDB usage data and what counts as a write all come from here.
 */
import { IntegrityError } from '../errors.js';

/** The fields of CDBs, by one name each in all commands. */
export interface CdbFields {
  readonly lba?: bigint;
  /** Logical blocks: TRANSFER LENGTH, VERIFICATION LENGTH, NUMBER OF LOGICAL BLOCKS. */
  readonly blocks?: number;
  /** RDPROTECT, WRPROTECT, VRPROTECT, ORPROTECT. */
  readonly protect?: number;
  /** BYTCHK. */
  readonly byteCheck?: number;
  readonly dpo?: boolean;
  readonly fua?: boolean;
  readonly rarc?: boolean;
  /** GROUP NUMBER. */
  readonly group?: number;
  /** EXPECTED INITIAL LOGICAL BLOCK REFERENCE TAG. */
  readonly refTag?: number;
  /** EXPECTED LOGICAL BLOCK APPLICATION TAG, and its mask. */
  readonly appTag?: number;
  readonly appTagMask?: number;
  readonly unmap?: boolean;
  readonly anchor?: boolean;
  /** NDOB. */
  readonly noDataOut?: boolean;
  /** ATOMIC BOUNDARY, in blocks. */
  readonly boundary?: number;
  /** STR_ID. */
  readonly streamId?: number;
  /** LOGICAL BLOCK DATA OFFSET, in blocks with their protection information. */
  readonly dataOffset?: number;
  /** NUMBER OF LBA RANGE DESCRIPTORS. */
  readonly ranges?: number;
  /** BMOP. */
  readonly bitmaskOperation?: number;
  readonly previousGeneration?: number;
  readonly expectedGeneration?: number;
  readonly newGeneration?: number;
  /** WR_UNCOR. */
  readonly writeUncorrectable?: boolean;
  /** BYTE TRANSFER LENGTH. */
  readonly byteLength?: number;
  /** IMMED. */
  readonly immediate?: boolean;
  readonly evpd?: boolean;
  readonly page?: number;
  readonly subpage?: number;
  /** PC. */
  readonly pageControl?: number;
  /** DBD. */
  readonly disableBlockDescriptors?: boolean;
  /** LLBAA. */
  readonly longLba?: boolean;
  /** PF. */
  readonly pageFormat?: boolean;
  /** SP. */
  readonly savePages?: boolean;
  readonly parameterListLength?: number;
  readonly allocationLength?: number;
  /** FMTPINFO. */
  readonly formatProtection?: number;
  readonly longList?: boolean;
  readonly formatData?: boolean;
  readonly completeList?: boolean;
  readonly defectListFormat?: number;
  /** FFMT. */
  readonly fastFormat?: number;
  /** RCTD. */
  readonly returnTimeouts?: boolean;
  readonly reportingOptions?: number;
  readonly requestedOpcode?: number;
  readonly requestedServiceAction?: number;
  /** DESC. */
  readonly descriptorSense?: boolean;
  readonly selectReport?: number;
  readonly start?: boolean;
  readonly loadEject?: boolean;
  readonly noFlush?: boolean;
  readonly powerCondition?: number;
  readonly powerConditionModifier?: number;
  readonly reportType?: number;
  /** PREVENT. */
  readonly prevent?: number;
}

export type FieldName = keyof CdbFields;

/** Whole bytes from `at` on, big-endian; or bits `high` to `low` of one byte. */
export type FieldPlace =
  | readonly [at: number, bytes: number]
  | { readonly at: number; readonly high: number; readonly low: number };

/** Opcode, and the service action where the opcode has them. */
export type Operation = readonly [opcode: number, serviceAction?: number];

export interface CommandDefinition {
  readonly name: string;
  readonly operation: Operation;
  /** Bytes of the CDB. */
  readonly length: number;
  readonly fields: Readonly<Partial<Record<FieldName, FieldPlace>>>;
  readonly data: 'none' | 'in' | 'out';
  /** It cannot alter the medium, provided that these bits are clear where given. What has none counts as a write. */
  readonly readOnly?: true | { readonly ifClear: readonly [at: number, mask: number] };
}

const bits = (at: number, high: number, low: number = high): FieldPlace => ({ at, high, low });

type Fields = CommandDefinition['fields'];

/** PROTECT, DPO and FUA share a byte: the second of most CDBs, byte 10 of the long ones. */
const protect = (at: number): Fields => ({ protect: bits(at, 7, 5) });
const cache = (at: number): Fields => ({ dpo: bits(at, 4), fua: bits(at, 3) });
const byteCheck = (at: number): Fields => ({ dpo: bits(at, 4), byteCheck: bits(at, 2, 1) });

/** LBA, length and group of the CDBs of one size. */
const RANGE_6: Fields = { lba: [1, 3], blocks: [4, 1] };
const RANGE_10: Fields = { lba: [2, 4], group: bits(6, 5, 0), blocks: [7, 2] };
const RANGE_12: Fields = { lba: [2, 4], blocks: [6, 4], group: bits(10, 5, 0) };
const RANGE_16: Fields = { lba: [2, 8], blocks: [10, 4], group: bits(14, 5, 0) };
const RANGE_32: Fields = { group: bits(6, 5, 0), lba: [12, 8], blocks: [28, 4] };
const TAGS: Fields = { refTag: [20, 4], appTag: [24, 2], appTagMask: [26, 2] };

const READ: Fields = { ...protect(1), ...cache(1), rarc: bits(1, 2) };
const READ_LONG: Fields = { ...protect(10), ...cache(10), rarc: bits(10, 2) };
const WRITE: Fields = { ...protect(1), ...cache(1) };
const WRITE_LONG: Fields = { ...protect(10), ...cache(10) };
const VERIFY: Fields = { ...protect(1), ...byteCheck(1) };
const VERIFY_LONG: Fields = { ...protect(10), ...byteCheck(10) };
const SAME: Fields = { ...protect(1), anchor: bits(1, 4), unmap: bits(1, 3) };

/** BYTCHK 00b: VERIFY compares with nothing of ours, so no data goes out. */
const NO_DATA_OUT = { ifClear: [1, 0x06] } as const;

function row(
  name: string,
  operation: Operation,
  length: number,
  data: CommandDefinition['data'],
  fields: Fields,
  readOnly?: CommandDefinition['readOnly'],
): CommandDefinition {
  return { name, operation, length, data, fields, ...(readOnly !== undefined && { readOnly }) };
}

export const COMMANDS: readonly CommandDefinition[] = [
  row('TEST UNIT READY', [0x00], 6, 'none', {}, true),
  row('REQUEST SENSE', [0x03], 6, 'in', { descriptorSense: bits(1, 0), allocationLength: [4, 1] }, true),
  row('FORMAT UNIT', [0x04], 6, 'out', {
    formatProtection: bits(1, 7, 6),
    longList: bits(1, 5),
    formatData: bits(1, 4),
    completeList: bits(1, 3),
    defectListFormat: bits(1, 2, 0),
    fastFormat: bits(4, 1, 0),
  }),
  row('READ(6)', [0x08], 6, 'in', RANGE_6, true),
  row('WRITE(6)', [0x0a], 6, 'out', RANGE_6),
  row('INQUIRY', [0x12], 6, 'in', { evpd: bits(1, 0), page: [2, 1], allocationLength: [3, 2] }, true),
  row('MODE SELECT(6)', [0x15], 6, 'out', {
    pageFormat: bits(1, 4),
    savePages: bits(1, 0),
    parameterListLength: [4, 1],
  }),
  row(
    'MODE SENSE(6)',
    [0x1a],
    6,
    'in',
    {
      disableBlockDescriptors: bits(1, 3),
      pageControl: bits(2, 7, 6),
      page: bits(2, 5, 0),
      subpage: [3, 1],
      allocationLength: [4, 1],
    },
    true,
  ),
  row('START STOP UNIT', [0x1b], 6, 'none', {
    immediate: bits(1, 0),
    powerConditionModifier: bits(3, 3, 0),
    powerCondition: bits(4, 7, 4),
    noFlush: bits(4, 2),
    loadEject: bits(4, 1),
    start: bits(4, 0),
  }),
  row('PREVENT ALLOW MEDIUM REMOVAL', [0x1e], 6, 'none', { prevent: bits(4, 1, 0) }),
  row('READ CAPACITY(10)', [0x25], 10, 'in', {}, true),
  row('READ(10)', [0x28], 10, 'in', { ...READ, ...RANGE_10 }, true),
  row('WRITE(10)', [0x2a], 10, 'out', { ...WRITE, ...RANGE_10 }),
  row('WRITE AND VERIFY(10)', [0x2e], 10, 'out', { ...VERIFY, ...RANGE_10 }),
  row('VERIFY(10)', [0x2f], 10, 'out', { ...VERIFY, ...RANGE_10 }, NO_DATA_OUT),
  row('PRE-FETCH(10)', [0x34], 10, 'none', { immediate: bits(1, 1), ...RANGE_10 }, true),
  row('SYNCHRONIZE CACHE(10)', [0x35], 10, 'none', { immediate: bits(1, 1), ...RANGE_10 }),
  row('WRITE LONG(10)', [0x3f], 10, 'out', {
    writeUncorrectable: bits(1, 6),
    lba: [2, 4],
    byteLength: [7, 2],
  }),
  row('WRITE SAME(10)', [0x41], 10, 'out', { ...SAME, ...RANGE_10 }),
  row('UNMAP', [0x42], 10, 'out', { anchor: bits(1, 0), group: bits(6, 5, 0), parameterListLength: [7, 2] }),
  // SP saves the log parameters to the disk's own reserved area.
  row(
    'LOG SENSE',
    [0x4d],
    10,
    'in',
    {
      savePages: bits(1, 0),
      pageControl: bits(2, 7, 6),
      page: bits(2, 5, 0),
      subpage: [3, 1],
      allocationLength: [7, 2],
    },
    { ifClear: [1, 0x01] },
  ),
  row('MODE SELECT(10)', [0x55], 10, 'out', {
    pageFormat: bits(1, 4),
    savePages: bits(1, 0),
    parameterListLength: [7, 2],
  }),
  row(
    'MODE SENSE(10)',
    [0x5a],
    10,
    'in',
    {
      longLba: bits(1, 4),
      disableBlockDescriptors: bits(1, 3),
      pageControl: bits(2, 7, 6),
      page: bits(2, 5, 0),
      subpage: [3, 1],
      allocationLength: [7, 2],
    },
    true,
  ),
  row('READ(32)', [0x7f, 0x0009], 32, 'in', { ...READ_LONG, ...RANGE_32, ...TAGS }, true),
  row(
    'VERIFY(32)',
    [0x7f, 0x000a],
    32,
    'out',
    { ...VERIFY_LONG, ...RANGE_32, ...TAGS },
    { ifClear: [10, 0x06] },
  ),
  row('WRITE(32)', [0x7f, 0x000b], 32, 'out', { ...WRITE_LONG, ...RANGE_32, ...TAGS }),
  row('WRITE AND VERIFY(32)', [0x7f, 0x000c], 32, 'out', { ...VERIFY_LONG, ...RANGE_32, ...TAGS }),
  row('WRITE SAME(32)', [0x7f, 0x000d], 32, 'out', {
    ...protect(10),
    anchor: bits(10, 4),
    unmap: bits(10, 3),
    noDataOut: bits(10, 0),
    ...RANGE_32,
    ...TAGS,
  }),
  row('ORWRITE(32)', [0x7f, 0x000e], 32, 'out', {
    bitmaskOperation: bits(2, 2, 0),
    previousGeneration: bits(3, 3, 0),
    ...WRITE_LONG,
    ...RANGE_32,
    expectedGeneration: [20, 4],
    newGeneration: [24, 4],
  }),
  row('WRITE ATOMIC(32)', [0x7f, 0x000f], 32, 'out', {
    boundary: [4, 2],
    ...WRITE_LONG,
    ...RANGE_32,
    ...TAGS,
  }),
  row('WRITE STREAM(32)', [0x7f, 0x0010], 32, 'out', {
    streamId: [4, 2],
    ...WRITE_LONG,
    ...RANGE_32,
    ...TAGS,
  }),
  row('WRITE SCATTERED(32)', [0x7f, 0x0011], 32, 'out', {
    ...WRITE_LONG,
    group: bits(6, 5, 0),
    dataOffset: [12, 2],
    ranges: [16, 2],
    blocks: [28, 4],
  }),
  row(
    'GET LBA STATUS(32)',
    [0x7f, 0x0012],
    32,
    'in',
    { reportType: [10, 1], lba: [12, 8], allocationLength: [28, 4] },
    true,
  ),
  row('READ(16)', [0x88], 16, 'in', { ...READ, ...RANGE_16 }, true),
  row('COMPARE AND WRITE', [0x89], 16, 'out', {
    ...WRITE,
    lba: [2, 8],
    blocks: [13, 1],
    group: bits(14, 5, 0),
  }),
  row('WRITE(16)', [0x8a], 16, 'out', { ...WRITE, ...RANGE_16 }),
  row('ORWRITE(16)', [0x8b], 16, 'out', { ...WRITE, ...RANGE_16 }),
  row('WRITE AND VERIFY(16)', [0x8e], 16, 'out', { ...VERIFY, ...RANGE_16 }),
  row('VERIFY(16)', [0x8f], 16, 'out', { ...VERIFY, ...RANGE_16 }, NO_DATA_OUT),
  row('PRE-FETCH(16)', [0x90], 16, 'none', { immediate: bits(1, 1), ...RANGE_16 }, true),
  row('SYNCHRONIZE CACHE(16)', [0x91], 16, 'none', { immediate: bits(1, 1), ...RANGE_16 }),
  row('WRITE SAME(16)', [0x93], 16, 'out', { ...SAME, noDataOut: bits(1, 0), ...RANGE_16 }),
  row('WRITE STREAM(16)', [0x9a], 16, 'out', {
    ...WRITE,
    lba: [2, 8],
    streamId: [10, 2],
    blocks: [12, 2],
    group: bits(14, 5, 0),
  }),
  row('WRITE ATOMIC(16)', [0x9c], 16, 'out', {
    ...WRITE,
    lba: [2, 8],
    boundary: [10, 2],
    blocks: [12, 2],
    group: bits(14, 5, 0),
  }),
  row('READ CAPACITY(16)', [0x9e, 0x10], 16, 'in', { allocationLength: [10, 4] }, true),
  row(
    'GET LBA STATUS(16)',
    [0x9e, 0x12],
    16,
    'in',
    { lba: [2, 8], allocationLength: [10, 4], reportType: [14, 1] },
    true,
  ),
  row('WRITE LONG(16)', [0x9f, 0x11], 16, 'out', {
    writeUncorrectable: bits(1, 6),
    lba: [2, 8],
    byteLength: [12, 2],
  }),
  row('WRITE SCATTERED(16)', [0x9f, 0x12], 16, 'out', {
    protect: bits(2, 7, 5),
    dpo: bits(2, 4),
    fua: bits(2, 3),
    dataOffset: [4, 2],
    ranges: [8, 2],
    blocks: [10, 4],
    group: bits(14, 5, 0),
  }),
  row('REPORT LUNS', [0xa0], 12, 'in', { selectReport: [2, 1], allocationLength: [6, 4] }, true),
  row(
    'REPORT SUPPORTED OPERATION CODES',
    [0xa3, 0x0c],
    12,
    'in',
    {
      returnTimeouts: bits(2, 7),
      reportingOptions: bits(2, 2, 0),
      requestedOpcode: [3, 1],
      requestedServiceAction: [4, 2],
      allocationLength: [6, 4],
    },
    true,
  ),
  row('READ(12)', [0xa8], 12, 'in', { ...READ, ...RANGE_12 }, true),
  row('WRITE(12)', [0xaa], 12, 'out', { ...WRITE, ...RANGE_12 }),
  row('WRITE AND VERIFY(12)', [0xae], 12, 'out', { ...VERIFY, ...RANGE_12 }),
  row('VERIFY(12)', [0xaf], 12, 'out', { ...VERIFY, ...RANGE_12 }, NO_DATA_OUT),
];

const VARIABLE_LENGTH = 0x7f;

const byOpcode = new Map<number, CommandDefinition[]>();
for (const command of COMMANDS) {
  const [opcode] = command.operation;
  byOpcode.set(opcode, [...(byOpcode.get(opcode) ?? []), command]);
}
const byName = new Map(COMMANDS.map((command) => [command.name, command]));

/** The command that this CDB is, by opcode and service action alone; null when it is none that is known here. */
export function commandOf(cdb: Uint8Array): CommandDefinition | null {
  const candidates = byOpcode.get(cdb[0] ?? -1) ?? [];
  const action = serviceActionOf(cdb);
  return candidates.find(({ operation: [, wanted] }) => wanted === undefined || wanted === action) ?? null;
}

/** The commands of one opcode: several where it has service actions. */
export function commandsOfOpcode(opcode: number): readonly CommandDefinition[] {
  return byOpcode.get(opcode) ?? [];
}

/** SPC-5: bytes 8 and 9 of a variable-length CDB, bits 4:0 of byte 1 elsewhere. */
function serviceActionOf(cdb: Uint8Array): number | undefined {
  if (cdb[0] !== VARIABLE_LENGTH) return cdb[1] === undefined ? undefined : cdb[1] & 0x1f;
  const [high, low] = cdb.subarray(8, 10);
  return high === undefined || low === undefined ? undefined : (high << 8) | low;
}

export interface DecodedCdb {
  readonly command: CommandDefinition;
  /** Every field that the command has. */
  readonly fields: CdbFields;
}

/**
 * What a CDB says. Null when its operation is not known here or it is shorter than the command. A READ(6) or WRITE(6) of length 0 has
 * 256 blocks.
 */
export function decodeCdb(cdb: Uint8Array): DecodedCdb | null {
  const command = commandOf(cdb);
  if (command === null || cdb.length < command.length) return null;
  const fields: Record<string, bigint | number | boolean> = {};
  for (const name in command.fields) {
    const place = command.fields[name as FieldName]!;
    fields[name] = Array.isArray(place)
      ? readBytes(cdb, place as readonly [number, number], name)
      : readBits(cdb, place as Exclude<FieldPlace, readonly [number, number]>);
  }
  if (command.length === 6 && 'blocks' in fields) {
    // 21 bits: the three above them are reserved.
    fields['lba'] = BigInt.asUintN(21, fields['lba'] as bigint);
    if (fields['blocks'] === 0) fields['blocks'] = 256;
  }
  return { command, fields: fields as CdbFields };
}

function readBytes(cdb: Uint8Array, [at, bytes]: readonly [number, number], name: string): bigint | number {
  let value = 0;
  for (let i = at; i < at + Math.min(bytes, 4); i++) value = value * 256 + cdb[i]!;
  if (name !== 'lba') return value;
  if (bytes <= 4) return BigInt(value);
  let low = 0;
  for (let i = at + 4; i < at + 8; i++) low = low * 256 + cdb[i]!;
  return value === 0 ? BigInt(low) : (BigInt(value) << 32n) | BigInt(low);
}

function readBits(
  cdb: Uint8Array,
  { at, high, low }: Exclude<FieldPlace, readonly [number, number]>,
): number | boolean {
  const value = (cdb[at]! >> low) & ((1 << (high - low + 1)) - 1);
  return high === low ? value === 1 : value;
}

/**
 * The CDB of a command. Fields that are left out are 0.
 *
 * @throws ERR_USAGE for a command or a field that there is not; ERR_OUT_OF_RANGE naming the field that does not fit.
 */
export function encodeCdb(name: string, fields: CdbFields): Uint8Array {
  const command = byName.get(name);
  if (command === undefined)
    throw new IntegrityError('ERR_USAGE', `no command ${JSON.stringify(name)} is known`);
  const cdb = new Uint8Array(command.length);
  putOperation(cdb, command.operation);
  for (const [field, value] of Object.entries(fields)) {
    const place = command.fields[field as FieldName];
    if (place === undefined) throw new IntegrityError('ERR_USAGE', `${name} has no field ${field}`);
    putField(cdb, command, field, place, value as bigint | number | boolean);
  }
  return cdb;
}

function putOperation(cdb: Uint8Array, [opcode, serviceAction]: Operation): void {
  cdb[0] = opcode;
  if (serviceAction === undefined) return;
  if (opcode !== VARIABLE_LENGTH) {
    cdb[1] = serviceAction;
    return;
  }
  // ADDITIONAL CDB LENGTH counts the bytes after itself.
  cdb[7] = cdb.length - 8;
  cdb[8] = serviceAction >> 8;
  cdb[9] = serviceAction & 0xff;
}

function putField(
  cdb: Uint8Array,
  { name, length }: CommandDefinition,
  field: string,
  place: FieldPlace,
  value: bigint | number | boolean,
): void {
  const width = widthOf(place);
  const bitsOf6 = length === 6 && field === 'lba' ? 21 : width;
  // A length of 256 blocks is written 0 in a 6-byte command.
  const plain = length === 6 && field === 'blocks' && name.endsWith('(6)') && value === 256 ? 0 : value;
  const limit = 1n << BigInt(bitsOf6);
  const whole = typeof plain === 'bigint' || typeof plain === 'boolean' || Number.isSafeInteger(plain);
  if (!whole || BigInt(plain) < 0n || BigInt(plain) >= limit) {
    throw new IntegrityError(
      'ERR_OUT_OF_RANGE',
      `${field} is ${String(value)}: it must be 0 to ${limit - 1n} in ${name}`,
    );
  }
  let rest = BigInt(plain);
  if (Array.isArray(place)) {
    const [at, bytes] = place as readonly [number, number];
    for (let i = at + bytes - 1; i >= at; i--) {
      cdb[i] = cdb[i]! | Number(rest & 0xffn);
      rest >>= 8n;
    }
    return;
  }
  const { at, low } = place as Exclude<FieldPlace, readonly [number, number]>;
  cdb[at] = cdb[at]! | (Number(rest) << low);
}

function widthOf(place: FieldPlace): number {
  if (Array.isArray(place)) return 8 * (place as readonly [number, number])[1];
  const { high, low } = place as Exclude<FieldPlace, readonly [number, number]>;
  return high - low + 1;
}

/**
 * CDB USAGE DATA (SPC-5, REPORT SUPPORTED OPERATION CODES): the operation as it is, and a 1 for each bit that the command evaluates. Of
 * the control byte none is.
 */
export function usageMap(command: CommandDefinition): Uint8Array {
  const map = new Uint8Array(command.length);
  for (const place of Object.values(command.fields)) {
    if (Array.isArray(place)) {
      const [at, bytes] = place as readonly [number, number];
      map.fill(0xff, at, at + bytes);
    } else {
      const { at, high, low } = place as Exclude<FieldPlace, readonly [number, number]>;
      map[at] = map[at]! | (((1 << (high - low + 1)) - 1) << low);
    }
  }
  if (command.length === 6 && 'blocks' in command.fields) map[1] = 0x1f;
  putOperationOver(map, command.operation);
  return map;
}

function putOperationOver(map: Uint8Array, operation: Operation): void {
  const [opcode, serviceAction] = operation;
  if (opcode !== VARIABLE_LENGTH && serviceAction !== undefined) {
    map[0] = opcode;
    map[1] = map[1]! | serviceAction;
    return;
  }
  putOperation(map, operation);
}
