/**
 * What a command alters, from its CDB, its data-out and the format of the disk (SBC-4, SPC-5). Pure: whoever sends the command can say
 * before what each block may hold after it, and what is not understood here is not sent.
 */
import { IntegrityError } from '../errors.js';
import { deinterleave } from '../pi/interleave.js';
import { decodeWholeCdb, requireKnownBits, transferLength } from './cdb.js';
import type { CdbFields } from './commands.js';
import { decodeFormatList, FORMAT_HEADER_BYTES } from './format-unit.js';
import { decodeModeSelectList, type ModePage } from './mode-page.js';
import { decodeScatteredList, scatteredListBytes } from './scattered.js';
import { decodeWholeUnmapList } from './unmap.js';

/** How a disk is formatted, as far as its commands depend on it. */
export interface EffectFormat {
  readonly blocks: bigint;
  /** Logical block length in bytes, without protection information. */
  readonly blockSize: number;
  /** 2^P_I_EXPONENT; null without protection information. */
  readonly intervalsPerBlock: number | null;
  /** Logical blocks in a physical one, as a power of two, and the first that begins one. */
  readonly physicalExponent: number;
  readonly lowestAlignedLba: number;
  /** LBPRZ: unmapped blocks read as zeros. */
  readonly unmappedReadZeros: boolean;
}

/** What the data of a run of blocks may be. */
export type BlockContent =
  /** One block after the other. */
  | { readonly is: 'data'; readonly data: Uint8Array }
  /** Of one block, which each of them holds. */
  | { readonly is: 'repeated'; readonly data: Uint8Array }
  /** One block after the other, ORed into what is there. */
  | { readonly is: 'ored'; readonly data: Uint8Array }
  /** An unrecovered read error until the block is written again. */
  | { readonly is: 'unreadable' }
  /** Nobody can say; `why` for people. */
  | { readonly is: 'untold'; readonly why: string };

/** Blocks that a command alters. Each of them holds one of `may` afterwards, or what it held before: a command may fail anywhere. */
export interface AlteredBlocks {
  readonly lba: bigint;
  readonly blocks: number;
  readonly may: readonly BlockContent[];
}

export type Effect =
  /**
   * `interleaved`: data-out has tuples, which the disk takes for data where they do not cross. `at`: the LBA that the CDB names, also where
   * no block is altered; null where it names none.
   */
  | {
      readonly kind: 'blocks';
      readonly altered: readonly AlteredBlocks[];
      readonly at: bigint | null;
      readonly interleaved: boolean;
    }
  /**
   * `saves`: the values outlive a reset (SP). `resets`: all pages go back to their defaults (RTD). `resizes`: a block descriptor, which
   * may change what READ CAPACITY says.
   */
  | {
      readonly kind: 'mode pages';
      readonly pages: readonly ModePage[];
      readonly saves: boolean;
      readonly resets: boolean;
      readonly resizes: boolean;
    }
  /** All of it, or more of it than can be said: FORMAT UNIT, other firmware, zones. */
  | { readonly kind: 'whole medium' }
  /** No block: the state of the unit, such as its cache, or nothing at all. */
  | { readonly kind: 'unit' };

interface Call {
  readonly name: string;
  readonly cdbLength: number;
  readonly fields: CdbFields;
  readonly dataOut: Uint8Array;
  readonly format: EffectFormat;
}

interface Row {
  /** Bytes of data-out, by CDB and format; a parameter list says more about its own. */
  readonly bytes: (call: Call) => number;
  readonly effect: (call: Call) => Effect;
}

/** WRPROTECT, VRPROTECT, ORPROTECT: 110b and 111b are reserved (SBC-4). */
const PROTECT_MAX = 0b101;

/**
 * What the command alters. Errors: ERR_READ_ONLY for one of which nothing is known here; ERR_USAGE for a CDB that is not as long as its
 * command, for a bit that is in no field of it, for a reserved protect field, one on a disk without protection, and a parameter list that
 * does not fit; ERR_BAD_LENGTH for data-out that is not as long as CDB and format say; ERR_OUT_OF_RANGE for blocks that are not on the
 * disk.
 */
export function effectOf(cdb: Uint8Array, dataOut: Uint8Array, format: EffectFormat): Effect {
  const { command, fields } = decodeWholeCdb(cdb);
  const { name, length: cdbLength } = command;
  const row = rowOf(name);
  if (row === null) throw new IntegrityError('ERR_READ_ONLY', `what ${name} alters is not known here`);
  requireKnownBits(cdb, command);
  const call = { name, cdbLength, fields, dataOut, format };
  requireProtect(call);
  const bytes = row.bytes(call);
  if (dataOut.length !== bytes) {
    const message = `data-out of ${name}: ${dataOut.length} bytes, ${bytes} are needed`;
    throw new IntegrityError('ERR_BAD_LENGTH', message, {
      advice:
        'The CDB and the format of the disk say how many; with a protect field each interval has its tuple behind it.',
    });
  }
  const effect = row.effect(call);
  if (effect.kind !== 'blocks') return effect;
  for (const run of effect.altered) requireOnDisk(call, run);
  // A disk may take length 0 for more than none.
  if (effect.altered.length === 0 && effect.at !== null) requireOnDisk(call, { lba: effect.at, blocks: 1 });
  return effect;
}

/** Whether the table has the command: with what is read-only it covers all that are known. */
export function hasEffect(name: string): boolean {
  return rowOf(name) !== null;
}

/** Whether what the command alters are blocks of a range. */
export function altersBlocks(name: string): boolean {
  const row = rowOf(name);
  return row !== null && !WITHOUT_BLOCKS.includes(row);
}

function requireProtect({ name, fields: { protect = 0 }, format }: Call): void {
  if (protect > PROTECT_MAX) throw usage(name, `the protect field ${protect} is reserved`);
  if (protect === 0 || format.intervalsPerBlock !== null) return;
  throw usage(name, `the protect field is ${protect}, and the disk is formatted without protection`);
}

function requireOnDisk({ name, format }: Call, { lba, blocks }: Pick<AlteredBlocks, 'lba' | 'blocks'>): void {
  if (lba + BigInt(blocks) <= format.blocks) return;
  const message = `${name}: blocks ${lba} to ${lba + BigInt(blocks) - 1n} are not all on the disk: it has blocks 0 to ${format.blocks - 1n}`;
  throw new IntegrityError('ERR_OUT_OF_RANGE', message);
}

const usage = (name: string, why: string) => new IntegrityError('ERR_USAGE', `${name}: ${why}`);

/** Bytes of so many blocks as they cross with the protect field of the command. */
function wireBytes({ fields: { protect = 0 }, format }: Call, blocks: number): number {
  const { blockSize, intervalsPerBlock } = format;
  return transferLength({ blocks, blockSize, intervalsPerBlock: intervalsPerBlock ?? 1, protect });
}

/** The data of what crosses. A copy where tuples lie in between. */
function dataIn({ fields: { protect = 0 }, format }: Call, wire: Uint8Array): Uint8Array {
  const { blockSize, intervalsPerBlock } = format;
  if (protect === 0 || intervalsPerBlock === null) return wire;
  return deinterleave(wire, blockSize / intervalsPerBlock, 8).data;
}

/** Runs without blocks are none. */
function altering({ fields: { lba, protect = 0 }, dataOut }: Call, runs: readonly AlteredBlocks[]): Effect {
  const altered = runs.filter(({ blocks }) => blocks > 0);
  return { kind: 'blocks', altered, at: lba ?? null, interleaved: protect !== 0 && dataOut.length > 0 };
}

const rangeOf = ({ fields: { lba = 0n, blocks = 0 } }: Call) => ({ lba, blocks });

/**
 * The data of what crosses with tuples, and what it is to a disk that heeds the protect field in WRITE alone, as the STEC ZeusIOPS does: of
 * data-out as if all of it were data, `blocks` from the block `from` on.
 */
function dataOrAsIs(call: Call, wire: Uint8Array, from: number, blocks: number): Uint8Array[] {
  const data = dataIn(call, wire);
  if (data === wire) return [data];
  const { blockSize } = call.format;
  const asIs = call.dataOut.subarray(from * blockSize, (from + blocks) * blockSize);
  return Buffer.compare(asIs, data) === 0 ? [data] : [data, asIs];
}

const asData = (data: Uint8Array): BlockContent => ({ is: 'data', data });

/** What comes is what is stored. */
const WRITE: Row = {
  bytes: (call) => wireBytes(call, rangeOf(call).blocks),
  effect: (call) => altering(call, [{ ...rangeOf(call), may: [asData(dataIn(call, call.dataOut))] }]),
};

const OTHER_WRITE: Row = {
  bytes: WRITE.bytes,
  effect: (call) => {
    const may = dataOrAsIs(call, call.dataOut, 0, rangeOf(call).blocks).map(asData);
    return altering(call, [{ ...rangeOf(call), may }]);
  },
};

/** As an unmapped block reads. */
function unmapped({ blockSize, unmappedReadZeros }: EffectFormat): BlockContent {
  return unmappedReadZeros
    ? { is: 'repeated', data: new Uint8Array(blockSize) }
    : { is: 'untold', why: 'what its unmapped blocks read as is not told (LBPRZ 0)' };
}

/**
 * One block for all. Length 0 is all up to the end of the disk, where WSNZ does not have it refused (SBC-3, SBC-4). With UNMAP the disk may
 * let the blocks go, whatever the block holds.
 */
const WRITE_SAME: Row = {
  bytes: (call) => (call.fields.noDataOut ? 0 : wireBytes(call, 1)),
  effect: (call) => {
    const { format, fields, dataOut } = call;
    const { lba, blocks } = rangeOf(call);
    const data = fields.noDataOut ? [new Uint8Array(format.blockSize)] : dataOrAsIs(call, dataOut, 0, 1);
    const rest = format.blocks > lba ? Number(format.blocks - lba) : 1;
    const may = data.map((one): BlockContent => ({ is: 'repeated', data: one }));
    if (fields.unmap) may.push(unmapped(format));
    return altering(call, [{ lba, blocks: blocks || rest, may }]);
  },
};

const UNMAP: Row = {
  bytes: ({ fields: { parameterListLength = 0 } }) => parameterListLength,
  effect: (call) => {
    const { name, dataOut, format } = call;
    const ranges = dataOut.length === 0 ? [] : decodeWholeUnmapList(dataOut);
    if (ranges === null) throw usage(name, 'its lengths do not fit its list');
    return altering(
      call,
      ranges.map((range) => ({ ...range, may: [unmapped(format)] })),
    );
  },
};

/** Half is compared, half written. */
const COMPARE_AND_WRITE: Row = {
  bytes: (call) => 2 * wireBytes(call, rangeOf(call).blocks),
  effect: (call) => {
    const { blocks } = rangeOf(call);
    const written = call.dataOut.subarray(call.dataOut.length / 2);
    return altering(call, [{ ...rangeOf(call), may: dataOrAsIs(call, written, blocks, blocks).map(asData) }]);
  },
};

const ORWRITE: Row = {
  bytes: WRITE.bytes,
  effect: (call) => {
    const { bitmaskOperation = 0 } = call.fields;
    const may: BlockContent[] =
      bitmaskOperation === 0
        ? dataOrAsIs(call, call.dataOut, 0, rangeOf(call).blocks).map((data) => ({ is: 'ored', data }))
        : [{ is: 'untold', why: 'it changes the ORWRITE generation, which nothing puts back' }];
    return altering(call, [{ ...rangeOf(call), may }]);
  },
};

/**
 * Which part of the data goes where is in the descriptors. BUFFER TRANSFER LENGTH counts the blocks of data, or with what lies before them:
 * targets and programs read it either way, and both come to the same bytes.
 */
const WRITE_SCATTERED: Row = {
  bytes: (call) => {
    const { name, fields } = call;
    const { blocks = 0, dataOffset = 0 } = fields;
    const inAll = scattered(call).reduce((sum, range) => sum + range.blocks, 0);
    if (blocks !== inAll && blocks !== dataOffset + inAll) {
      throw usage(name, `its descriptors are for ${inAll} blocks, the CDB is for ${blocks}`);
    }
    return wireBytes(call, dataOffset + inAll);
  },
  effect: (call) => {
    const { dataOffset = 0 } = call.fields;
    let from = dataOffset;
    const runs = scattered(call).map(({ lba, blocks }): AlteredBlocks => {
      const wire = call.dataOut.subarray(wireBytes(call, from), wireBytes(call, from + blocks));
      const may = dataOrAsIs(call, wire, from, blocks).map(asData);
      from += blocks;
      return { lba, blocks, may };
    });
    return altering(call, runs);
  },
};

function scattered(call: Call): ReturnType<typeof decodeScatteredList> {
  const { ranges = 0, dataOffset = 0 } = call.fields;
  if (ranges === 0) return [];
  const before = wireBytes(call, dataOffset);
  if (before < scatteredListBytes(ranges) || call.dataOut.length < before) {
    throw usage(call.name, `its ${ranges} descriptors do not fit before the data`);
  }
  return decodeScatteredList(call.dataOut, ranges);
}

/**
 * The logical block, and with PBLOCK the physical one; what else lies in the physical block may become unreadable with it. With WR_UNCOR
 * nothing is transferred (SBC-4).
 */
const WRITE_LONG: Row = {
  bytes: ({ fields: { writeUncorrectable, byteLength = 0 } }) => (writeUncorrectable ? 0 : byteLength),
  effect: (call) => {
    const content: BlockContent = call.fields.writeUncorrectable
      ? { is: 'unreadable' }
      : { is: 'untold', why: 'its bytes are as the disk lays them out, error correction and all' };
    return altering(call, [{ ...physicalBlockOf(call), may: [content] }]);
  },
};

function physicalBlockOf({ fields: { lba = 0n }, format }: Call): { lba: bigint; blocks: number } {
  const size = 1n << BigInt(format.physicalExponent);
  const into = (((lba - BigInt(format.lowestAlignedLba)) % size) + size) % size;
  const first = lba > into ? lba - into : 0n;
  const behind = lba - into + size;
  // What is beyond the disk itself stays, to be refused.
  const end = lba < format.blocks && behind > format.blocks ? format.blocks : behind;
  return { lba: first, blocks: Number(end - first) };
}

const MODE_SELECT: Row = {
  bytes: ({ fields: { parameterListLength = 0 } }) => parameterListLength,
  effect: ({ name, cdbLength, fields, dataOut }) => {
    const { pageFormat = false, savePages: saves = false, revertToDefaults: resets = false } = fields;
    const alters = { kind: 'mode pages', saves, resets } as const;
    if (dataOut.length === 0) return { ...alters, pages: [], resizes: false };
    if (!pageFormat) throw usage(name, 'without PF its list is the vendor’s own');
    const list = decodeModeSelectList(dataOut, cdbLength === 6 ? 6 : 10);
    if (list === null) throw usage(name, 'its lengths do not fit its list');
    return { ...alters, pages: list.pages, resizes: list.descriptorBytes > 0 };
  },
};

/** Header, initialization pattern and defects. */
const FORMAT_UNIT: Row = {
  bytes: ({ name, fields: { formatData = false, longList = false }, dataOut }) => {
    if (!formatData) return 0;
    const form = longList ? 'long' : 'short';
    const list = decodeFormatList(form, dataOut);
    if (list === null) throw usage(name, 'its list ends within its header');
    const from = FORMAT_HEADER_BYTES[form];
    const pattern = list.initializationPattern ? dataOut.subarray(from, from + PATTERN_HEADER_BYTES) : null;
    if (pattern !== null && pattern.length < PATTERN_HEADER_BYTES) {
      throw usage(name, 'its list ends within the initialization pattern');
    }
    const patternBytes = pattern === null ? 0 : PATTERN_HEADER_BYTES + ((pattern[2]! << 8) | pattern[3]!);
    return from + patternBytes + list.defectListLength;
  },
  effect: () => WHOLE_MEDIUM,
};

/** Of the initialization pattern descriptor; its last two bytes are the length of the pattern. */
const PATTERN_HEADER_BYTES = 4;

const UNIT: Row = { bytes: () => 0, effect: () => ({ kind: 'unit' }) };
const WHOLE_MEDIUM = { kind: 'whole medium' } as const;

/** Firmware comes so. */
const WRITE_BUFFER: Row = { bytes: MODE_SELECT.bytes, effect: () => WHOLE_MEDIUM };

/** A zone that is finished or reset has other blocks than before (ZBC). */
const ZONE: Row = { bytes: () => 0, effect: () => WHOLE_MEDIUM };

/** A test that takes the unit offline may write to the medium (SPC-5), and a diagnostic page may do anything. */
const SEND_DIAGNOSTIC: Row = {
  bytes: MODE_SELECT.bytes,
  effect: (call) => {
    const { deviceOffline, unitOffline } = call.fields;
    return deviceOffline || unitOffline || call.dataOut.length > 0 ? WHOLE_MEDIUM : UNIT.effect(call);
  },
};

/** It compares; by BYTCHK with nothing, with each block, or with one for all. */
const VERIFY: Row = {
  bytes: (call) => {
    const { name, fields } = call;
    const { blocks } = rangeOf(call);
    const blocksOut = [0, blocks, null, Math.min(1, blocks)][fields.byteCheck ?? 0];
    if (blocksOut == null) throw usage(name, 'BYTCHK 10b is reserved');
    return wireBytes(call, blocksOut);
  },
  effect: UNIT.effect,
};

const WITHOUT_BLOCKS: readonly Row[] = [
  MODE_SELECT,
  FORMAT_UNIT,
  UNIT,
  WRITE_BUFFER,
  ZONE,
  SEND_DIAGNOSTIC,
  VERIFY,
];

/** By name; the sizes of a command have one row. */
const ROWS: Readonly<Record<string, Row>> = {
  WRITE,
  'WRITE ATOMIC': OTHER_WRITE,
  'WRITE STREAM': OTHER_WRITE,
  'WRITE AND VERIFY': OTHER_WRITE,
  'WRITE SAME': WRITE_SAME,
  'WRITE SCATTERED': WRITE_SCATTERED,
  'COMPARE AND WRITE': COMPARE_AND_WRITE,
  ORWRITE,
  'WRITE LONG': WRITE_LONG,
  UNMAP,
  'MODE SELECT': MODE_SELECT,
  'FORMAT UNIT': FORMAT_UNIT,
  'START STOP UNIT': UNIT,
  'PREVENT ALLOW MEDIUM REMOVAL': UNIT,
  'SYNCHRONIZE CACHE': UNIT,
  'REZERO UNIT': UNIT,
  RESERVE: UNIT,
  RELEASE: UNIT,
  'SEND DIAGNOSTIC': SEND_DIAGNOSTIC,
  'WRITE BUFFER': WRITE_BUFFER,
  'OPEN ZONE': UNIT,
  'CLOSE ZONE': UNIT,
  'FINISH ZONE': ZONE,
  'RESET WRITE POINTER': ZONE,
  VERIFY,
};

function rowOf(name: string): Row | null {
  const family = name.replace(/\(\d+\)$/, '');
  return Object.hasOwn(ROWS, family) ? ROWS[family]! : null;
}
