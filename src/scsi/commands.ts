/**
 * The SCSI commands of a disk as one table: what each is called, how its CDB is laid out and what it can do (SPC-5, SBC-4). Encoding,
 * decoding, CDB usage data and what counts as a write all come from here.
 */
import { IntegrityError } from '../errors.js';
import { requireWithin } from './bytes.js';

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
  /** DLD2 to DLD0: the duration limit descriptor that holds for the command, 1 to 7; 0 for none. */
  readonly durationLimit?: number;
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
  /** COR_DIS. */
  readonly correctionDisabled?: boolean;
  /** PBLOCK: the physical block, with all logical blocks in it. */
  readonly physicalBlock?: boolean;
  /** CORRCT: the bytes come after the disk has corrected them. */
  readonly corrected?: boolean;
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
  /** RTD: all mode pages go back to their defaults. */
  readonly revertToDefaults?: boolean;
  /** PARAMETER POINTER: the log parameter to begin with. */
  readonly parameterPointer?: number;
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
  /** SCAN LENGTH: logical blocks to look at, 0 for no limit. */
  readonly scanLength?: number;
  /** ELEMENT IDENTIFIER: of a physical element, 0 for all. */
  readonly elementId?: number;
  /** PREVENT. */
  readonly prevent?: number;
  /** SELF-TEST CODE. */
  readonly selfTestCode?: number;
  /** SELFTEST: the default self-test. */
  readonly selfTest?: boolean;
  readonly deviceOffline?: boolean;
  readonly unitOffline?: boolean;
  /** MODE of WRITE BUFFER, and MODE SPECIFIC. */
  readonly bufferMode?: number;
  readonly modeSpecific?: number;
  readonly bufferId?: number;
  readonly bufferOffset?: number;
  /** ZONE COUNT, from the zone of the LBA on. */
  readonly zones?: number;
  /** ALL: the LBA counts for nothing. */
  readonly allZones?: boolean;
  /** PARTIAL: only zones that fit are counted. */
  readonly partial?: boolean;
  /** PARAMETER DATA FORMAT. */
  readonly parameterFormat?: number;
  /** REPD: with timeouts. */
  readonly extendedData?: boolean;
}

export type FieldName = keyof CdbFields;

/** Bits `high` to `low` of one byte, as T10's tables number them. */
export interface BitRun {
  readonly at: number;
  readonly high: number;
  readonly low: number;
}

export interface FieldPlace {
  /** The field's bits, the most significant first. */
  readonly runs: readonly BitRun[];
  /** What the value 0 stands for, where that is another number. */
  readonly zeroMeans?: number;
}

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
  /** Data that goes out is compared with the medium and never stored (SBC-4, VERIFY with BYTCHK). */
  readonly comparesOnly?: true;
}

const bits = (at: number, high: number, low: number = high): FieldPlace => ({ runs: [{ at, high, low }] });
/** Whole bytes, big-endian. */
const bytes = (at: number, count: number): FieldPlace => ({
  runs: Array.from({ length: count }, (_, i) => ({ at: at + i, high: 7, low: 0 })),
});
const joined = (...places: readonly FieldPlace[]): FieldPlace => ({
  runs: places.flatMap(({ runs }) => runs),
});

type Fields = CommandDefinition['fields'];

/** PROTECT, DPO and FUA share a byte: the second of most CDBs, byte 10 of the long ones. */
const protect = (at: number): Fields => ({ protect: bits(at, 7, 5) });
const cache = (at: number): Fields => ({ dpo: bits(at, 4), fua: bits(at, 3) });
const byteCheck = (at: number): Fields => ({ dpo: bits(at, 4), byteCheck: bits(at, 2, 1) });
/** DLD2 lies apart from DLD1 and DLD0 in a CDB of 16 bytes. */
const durationLimit16 = (at: number): Fields => ({ durationLimit: joined(bits(at, 0), bits(14, 7, 6)) });
const DURATION_LIMIT_32: Fields = { durationLimit: bits(11, 2, 0) };

/** LBA, length and group of the CDBs of one size. */
const RANGE_6: Fields = {
  lba: joined(bits(1, 4, 0), bytes(2, 2)),
  blocks: { ...bytes(4, 1), zeroMeans: 256 },
};
const RANGE_10: Fields = { lba: bytes(2, 4), group: bits(6, 5, 0), blocks: bytes(7, 2) };
const RANGE_12: Fields = { lba: bytes(2, 4), blocks: bytes(6, 4), group: bits(10, 5, 0) };
const RANGE_16: Fields = { lba: bytes(2, 8), blocks: bytes(10, 4), group: bits(14, 5, 0) };
const RANGE_32: Fields = { group: bits(6, 5, 0), lba: bytes(12, 8), blocks: bytes(28, 4) };
const TAGS: Fields = { refTag: bytes(20, 4), appTag: bytes(24, 2), appTagMask: bytes(26, 2) };

const READ: Fields = { ...protect(1), ...cache(1), rarc: bits(1, 2) };
const READ_LONG: Fields = { ...protect(10), ...cache(10), rarc: bits(10, 2) };
const WRITE: Fields = { ...protect(1), ...cache(1) };
const WRITE_LONG: Fields = { ...protect(10), ...cache(10) };
const VERIFY: Fields = { ...protect(1), ...byteCheck(1) };
const VERIFY_LONG: Fields = { ...protect(10), ...byteCheck(10) };
const MARKS: Fields = {
  correctionDisabled: bits(1, 7),
  writeUncorrectable: bits(1, 6),
  physicalBlock: bits(1, 5),
};
const ZONES: Fields = { lba: bytes(2, 8), zones: bytes(12, 2), allZones: bits(14, 0) };
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

const comparing = (command: CommandDefinition): CommandDefinition => ({ ...command, comparesOnly: true });

export const COMMANDS: readonly CommandDefinition[] = [
  row('TEST UNIT READY', [0x00], 6, 'none', {}, true),
  // SBC-1; obsolete.
  row('REZERO UNIT', [0x01], 6, 'none', {}),
  row('REQUEST SENSE', [0x03], 6, 'in', { descriptorSense: bits(1, 0), allocationLength: bytes(4, 1) }, true),
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
  row(
    'INQUIRY',
    [0x12],
    6,
    'in',
    { evpd: bits(1, 0), page: bytes(2, 1), allocationLength: bytes(3, 2) },
    true,
  ),
  row('MODE SELECT(6)', [0x15], 6, 'out', {
    pageFormat: bits(1, 4),
    revertToDefaults: bits(1, 1),
    savePages: bits(1, 0),
    parameterListLength: bytes(4, 1),
  }),
  // SPC-2: for this initiator itself and for the whole unit; obsolete, as the longer ones are.
  row('RESERVE(6)', [0x16], 6, 'none', {}),
  row('RELEASE(6)', [0x17], 6, 'none', {}),
  row(
    'MODE SENSE(6)',
    [0x1a],
    6,
    'in',
    {
      disableBlockDescriptors: bits(1, 3),
      pageControl: bits(2, 7, 6),
      page: bits(2, 5, 0),
      subpage: bytes(3, 1),
      allocationLength: bytes(4, 1),
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
  row('SEND DIAGNOSTIC', [0x1d], 6, 'out', {
    selfTestCode: bits(1, 7, 5),
    pageFormat: bits(1, 4),
    selfTest: bits(1, 2),
    deviceOffline: bits(1, 1),
    unitOffline: bits(1, 0),
    parameterListLength: bytes(3, 2),
  }),
  row('PREVENT ALLOW MEDIUM REMOVAL', [0x1e], 6, 'none', { prevent: bits(4, 1, 0) }),
  row('READ CAPACITY(10)', [0x25], 10, 'in', {}, true),
  row('READ(10)', [0x28], 10, 'in', { ...READ, ...RANGE_10 }, true),
  row('WRITE(10)', [0x2a], 10, 'out', { ...WRITE, ...RANGE_10 }),
  row('WRITE AND VERIFY(10)', [0x2e], 10, 'out', { ...VERIFY, ...RANGE_10 }),
  comparing(row('VERIFY(10)', [0x2f], 10, 'out', { ...VERIFY, ...RANGE_10 }, NO_DATA_OUT)),
  row('PRE-FETCH(10)', [0x34], 10, 'none', { immediate: bits(1, 1), ...RANGE_10 }, true),
  row('SYNCHRONIZE CACHE(10)', [0x35], 10, 'none', { immediate: bits(1, 1), ...RANGE_10 }),
  row('WRITE BUFFER', [0x3b], 10, 'out', {
    modeSpecific: bits(1, 7, 5),
    bufferMode: bits(1, 4, 0),
    bufferId: bytes(2, 1),
    bufferOffset: bytes(3, 3),
    parameterListLength: bytes(6, 3),
  }),
  // SBC-3; the two READ LONG are obsolete since SBC-4, and so is all of WRITE LONG but WR_UNCOR.
  row(
    'READ LONG(10)',
    [0x3e],
    10,
    'in',
    { physicalBlock: bits(1, 2), corrected: bits(1, 1), lba: bytes(2, 4), byteLength: bytes(7, 2) },
    true,
  ),
  row('WRITE LONG(10)', [0x3f], 10, 'out', {
    ...MARKS,
    lba: bytes(2, 4),
    byteLength: bytes(7, 2),
  }),
  row('WRITE SAME(10)', [0x41], 10, 'out', { ...SAME, ...RANGE_10 }),
  row('UNMAP', [0x42], 10, 'out', {
    anchor: bits(1, 0),
    group: bits(6, 5, 0),
    parameterListLength: bytes(7, 2),
  }),
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
      subpage: bytes(3, 1),
      parameterPointer: bytes(5, 2),
      allocationLength: bytes(7, 2),
    },
    { ifClear: [1, 0x01] },
  ),
  row('MODE SELECT(10)', [0x55], 10, 'out', {
    pageFormat: bits(1, 4),
    revertToDefaults: bits(1, 1),
    savePages: bits(1, 0),
    parameterListLength: bytes(7, 2),
  }),
  row('RESERVE(10)', [0x56], 10, 'none', {}),
  row('RELEASE(10)', [0x57], 10, 'none', {}),
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
      subpage: bytes(3, 1),
      allocationLength: bytes(7, 2),
    },
    true,
  ),
  row(
    'READ(32)',
    [0x7f, 0x0009],
    32,
    'in',
    { ...READ_LONG, ...DURATION_LIMIT_32, ...RANGE_32, ...TAGS },
    true,
  ),
  comparing(
    row(
      'VERIFY(32)',
      [0x7f, 0x000a],
      32,
      'out',
      { ...VERIFY_LONG, ...RANGE_32, ...TAGS },
      { ifClear: [10, 0x06] },
    ),
  ),
  row('WRITE(32)', [0x7f, 0x000b], 32, 'out', { ...WRITE_LONG, ...DURATION_LIMIT_32, ...RANGE_32, ...TAGS }),
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
    expectedGeneration: bytes(20, 4),
    newGeneration: bytes(24, 4),
  }),
  row('WRITE ATOMIC(32)', [0x7f, 0x000f], 32, 'out', {
    boundary: bytes(4, 2),
    ...WRITE_LONG,
    ...RANGE_32,
    ...TAGS,
  }),
  row('WRITE STREAM(32)', [0x7f, 0x0010], 32, 'out', {
    streamId: bytes(4, 2),
    ...WRITE_LONG,
    ...RANGE_32,
    ...TAGS,
  }),
  row('WRITE SCATTERED(32)', [0x7f, 0x0011], 32, 'out', {
    ...WRITE_LONG,
    group: bits(6, 5, 0),
    dataOffset: bytes(12, 2),
    ranges: bytes(16, 2),
    blocks: bytes(28, 4),
  }),
  row(
    'GET LBA STATUS(32)',
    [0x7f, 0x0012],
    32,
    'in',
    {
      reportType: bytes(10, 1),
      lba: bytes(12, 8),
      scanLength: bytes(20, 4),
      elementId: bytes(24, 4),
      allocationLength: bytes(28, 4),
    },
    true,
  ),
  row('READ(16)', [0x88], 16, 'in', { ...READ, ...durationLimit16(1), ...RANGE_16 }, true),
  row('COMPARE AND WRITE', [0x89], 16, 'out', {
    ...WRITE,
    lba: bytes(2, 8),
    blocks: bytes(13, 1),
    group: bits(14, 5, 0),
  }),
  row('WRITE(16)', [0x8a], 16, 'out', { ...WRITE, ...durationLimit16(1), ...RANGE_16 }),
  row('ORWRITE(16)', [0x8b], 16, 'out', { ...WRITE, ...RANGE_16 }),
  row('WRITE AND VERIFY(16)', [0x8e], 16, 'out', { ...VERIFY, ...RANGE_16 }),
  comparing(row('VERIFY(16)', [0x8f], 16, 'out', { ...VERIFY, ...RANGE_16 }, NO_DATA_OUT)),
  row('PRE-FETCH(16)', [0x90], 16, 'none', { immediate: bits(1, 1), ...RANGE_16 }, true),
  row('SYNCHRONIZE CACHE(16)', [0x91], 16, 'none', { immediate: bits(1, 1), ...RANGE_16 }),
  row('WRITE SAME(16)', [0x93], 16, 'out', { ...SAME, noDataOut: bits(1, 0), ...RANGE_16 }),
  // ZBC.
  row('CLOSE ZONE', [0x94, 0x01], 16, 'none', ZONES),
  row('FINISH ZONE', [0x94, 0x02], 16, 'none', ZONES),
  row('OPEN ZONE', [0x94, 0x03], 16, 'none', ZONES),
  row('RESET WRITE POINTER', [0x94, 0x04], 16, 'none', ZONES),
  row(
    'REPORT ZONES',
    [0x95, 0x00],
    16,
    'in',
    {
      lba: bytes(2, 8),
      allocationLength: bytes(10, 4),
      partial: bits(14, 7),
      reportingOptions: bits(14, 5, 0),
    },
    true,
  ),
  row(
    'REPORT REALMS',
    [0x95, 0x06],
    16,
    'in',
    { lba: bytes(2, 8), allocationLength: bytes(10, 4), reportingOptions: bits(14, 5, 0) },
    true,
  ),
  row('WRITE STREAM(16)', [0x9a], 16, 'out', {
    ...WRITE,
    lba: bytes(2, 8),
    streamId: bytes(10, 2),
    blocks: bytes(12, 2),
    group: bits(14, 5, 0),
  }),
  row('WRITE ATOMIC(16)', [0x9c], 16, 'out', {
    ...WRITE,
    lba: bytes(2, 8),
    boundary: bytes(10, 2),
    blocks: bytes(12, 2),
    group: bits(14, 5, 0),
  }),
  row('READ CAPACITY(16)', [0x9e, 0x10], 16, 'in', { allocationLength: bytes(10, 4) }, true),
  row(
    'READ LONG(16)',
    [0x9e, 0x11],
    16,
    'in',
    { lba: bytes(2, 8), byteLength: bytes(12, 2), physicalBlock: bits(14, 1), corrected: bits(14, 0) },
    true,
  ),
  row(
    'GET LBA STATUS(16)',
    [0x9e, 0x12],
    16,
    'in',
    { lba: bytes(2, 8), allocationLength: bytes(10, 4), reportType: bytes(14, 1) },
    true,
  ),
  row(
    'GET STREAM STATUS',
    [0x9e, 0x16],
    16,
    'in',
    { streamId: bytes(4, 2), allocationLength: bytes(10, 4) },
    true,
  ),
  row('WRITE LONG(16)', [0x9f, 0x11], 16, 'out', {
    ...MARKS,
    lba: bytes(2, 8),
    byteLength: bytes(12, 2),
  }),
  row('WRITE SCATTERED(16)', [0x9f, 0x12], 16, 'out', {
    protect: bits(2, 7, 5),
    dpo: bits(2, 4),
    fua: bits(2, 3),
    ...durationLimit16(2),
    dataOffset: bytes(4, 2),
    ranges: bytes(8, 2),
    blocks: bytes(10, 4),
    group: bits(14, 5, 0),
  }),
  row('REPORT LUNS', [0xa0], 12, 'in', { selectReport: bytes(2, 1), allocationLength: bytes(6, 4) }, true),
  row(
    'REPORT TARGET PORT GROUPS',
    [0xa3, 0x0a],
    12,
    'in',
    { parameterFormat: bits(1, 7, 5), allocationLength: bytes(6, 4) },
    true,
  ),
  row(
    'REPORT SUPPORTED OPERATION CODES',
    [0xa3, 0x0c],
    12,
    'in',
    {
      returnTimeouts: bits(2, 7),
      reportingOptions: bits(2, 2, 0),
      requestedOpcode: bytes(3, 1),
      requestedServiceAction: bytes(4, 2),
      allocationLength: bytes(6, 4),
    },
    true,
  ),
  row(
    'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS',
    [0xa3, 0x0d],
    12,
    'in',
    { extendedData: bits(2, 7), allocationLength: bytes(6, 4) },
    true,
  ),
  row('READ(12)', [0xa8], 12, 'in', { ...READ, ...RANGE_12 }, true),
  row('WRITE(12)', [0xaa], 12, 'out', { ...WRITE, ...RANGE_12 }),
  row('WRITE AND VERIFY(12)', [0xae], 12, 'out', { ...VERIFY, ...RANGE_12 }),
  comparing(row('VERIFY(12)', [0xaf], 12, 'out', { ...VERIFY, ...RANGE_12 }, NO_DATA_OUT)),
];

const VARIABLE_LENGTH = 0x7f;
const ADDITIONAL_LENGTH_AT = 7;

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

/** Bytes of the CDB of one command, as its ADDITIONAL CDB LENGTH says (SPC-5, "variable length CDB"). */
const additionalLength = ({ length }: CommandDefinition): number => length - 8;

/** Only a variable-length CDB says how long it is. */
function saysItsLength(command: CommandDefinition, cdb: Uint8Array): boolean {
  const [opcode] = command.operation;
  return opcode !== VARIABLE_LENGTH || cdb[ADDITIONAL_LENGTH_AT] === additionalLength(command);
}

export interface DecodedCdb {
  readonly command: CommandDefinition;
  /** Every field that the command has. */
  readonly fields: CdbFields;
}

/**
 * What a CDB says. Null when its operation is not known here, when it is shorter than the command, or when its ADDITIONAL CDB LENGTH is
 * another. A READ(6) or WRITE(6) of length 0 has 256 blocks.
 */
export function decodeCdb(cdb: Uint8Array): DecodedCdb | null {
  const command = commandOf(cdb);
  if (command === null || cdb.length < command.length || !saysItsLength(command, cdb)) return null;
  const fields: Record<string, bigint | number | boolean> = {};
  for (const name in command.fields) fields[name] = readField(cdb, name, command.fields[name as FieldName]!);
  return { command, fields: fields as CdbFields };
}

const widthOf = ({ high, low }: BitRun): number => high - low + 1;
const maskOf = (run: BitRun): number => (1 << widthOf(run)) - 1;
const partOf = (cdb: Uint8Array, run: BitRun): number => (cdb[run.at]! >> run.low) & maskOf(run);

/** LBAs are bigints, single bits booleans. */
function readField(
  cdb: Uint8Array,
  name: string,
  { runs, zeroMeans = 0 }: FieldPlace,
): bigint | number | boolean {
  let value = 0;
  for (const run of runs) value = value * (maskOf(run) + 1) + partOf(cdb, run);
  const [{ high, low }] = runs as [BitRun];
  if (runs.length === 1 && high === low) return value === 1;
  if (name !== 'lba') return value || zeroMeans;
  // Bigints are slow, and few LBAs need them from the first byte on.
  return value <= Number.MAX_SAFE_INTEGER
    ? BigInt(value)
    : runs.reduce((sum, run) => (sum << BigInt(widthOf(run))) | BigInt(partOf(cdb, run)), 0n);
}

/**
 * The CDB of a command. Bits of fields that are left out are 0.
 *
 * @throws ERR_USAGE for a command or a field that there is not, such as a tag in a command that has none; ERR_OUT_OF_RANGE naming the
 * field that does not fit.
 */
export function encodeCdb(name: string, fields: CdbFields): Uint8Array {
  const command = byName.get(name);
  if (command === undefined)
    throw new IntegrityError('ERR_USAGE', `no command ${JSON.stringify(name)} is known`);
  const cdb = new Uint8Array(command.length);
  putOperation(cdb, command);
  for (const [field, value] of Object.entries(fields)) {
    const place = Object.hasOwn(command.fields, field) ? command.fields[field as FieldName] : undefined;
    if (place === undefined) throw new IntegrityError('ERR_USAGE', `${name} has no field ${field}`);
    putField(cdb, name, field, place, value);
  }
  return cdb;
}

/** The opcode, and the service action beside what already shares its byte. */
function putOperation(cdb: Uint8Array, command: CommandDefinition): void {
  const [opcode, serviceAction = 0] = command.operation;
  cdb[0] = opcode;
  if (opcode !== VARIABLE_LENGTH) {
    cdb[1] = cdb[1]! | serviceAction;
    return;
  }
  cdb[ADDITIONAL_LENGTH_AT] = additionalLength(command);
  cdb[8] = serviceAction >> 8;
  cdb[9] = serviceAction & 0xff;
}

function putField(
  cdb: Uint8Array,
  name: string,
  field: string,
  { runs, zeroMeans }: FieldPlace,
  value: bigint | number | boolean,
): void {
  const width = runs.reduce((sum, run) => sum + widthOf(run), 0);
  const least = zeroMeans === undefined ? 0n : 1n;
  const most = zeroMeans === undefined ? (1n << BigInt(width)) - 1n : BigInt(zeroMeans);
  // What zeroMeans is one more than fits, and leaves 0.
  let rest = requireWithin(name, field, value, [least, most]);
  for (const run of [...runs].reverse()) {
    cdb[run.at] = cdb[run.at]! | ((Number(rest & 0xffn) & maskOf(run)) << run.low);
    rest >>= BigInt(widthOf(run));
  }
}

/**
 * CDB USAGE DATA (SPC-5, REPORT SUPPORTED OPERATION CODES): the operation as it is, and a 1 for each bit that the command evaluates. Of
 * the control byte none is.
 */
export function usageMap(command: CommandDefinition): Uint8Array {
  const map = new Uint8Array(command.length);
  for (const { runs } of Object.values(command.fields)) {
    for (const run of runs) map[run.at] = map[run.at]! | (maskOf(run) << run.low);
  }
  putOperation(map, command);
  return map;
}
