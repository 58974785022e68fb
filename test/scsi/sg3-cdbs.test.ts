/**
 * CDBs that other programs build: sg3_utils and ddpt are told the fields by their own options, a stand-in for a disk takes the CDB, and
 * it must decode to these fields and no other. The same fields must encode to its bytes.
 */
import { randomInt } from 'node:crypto';
import t from 'tap';
import { hex } from '../../src/scsi/bytes.js';
import {
  type CdbFields,
  COMMANDS,
  commandOf,
  decodeCdb,
  encodeCdb,
  type FieldName,
} from '../../src/scsi/commands.js';
import { encodeInquiry } from '../../src/scsi/inquiry.js';
import { encodeReadCapacity10, encodeReadCapacity16 } from '../../src/scsi/read-capacity.js';
import { encodeSense, SENSE_KEY } from '../../src/scsi/sense.js';
import { Random } from '../kernel/random.js';
import { installTools } from '../support/install-tools.js';
import { SgRelay, type TaskTaker } from '../support/sg-relay.js';
import { bytes } from './hex.js';

installTools({ '/usr/bin/sg_raw': 'sg3-utils', '/usr/bin/ddpt': 'ddpt' });

/** CDBs of each program. */
const TIMES = Number(process.env['SG3_CDBS'] ?? 8);
const SEED = randomInt(2 ** 32);
const random = new Random(SEED);
t.comment(`seed ${SEED}`);

type Value = bigint | number | boolean;

/** How a program is told of a field, and which values it takes. */
interface Option {
  /** Null: the field is part of what another option says. */
  readonly say: ((value: Value, all: Readonly<Record<string, Value>>) => string) | null;
  readonly least?: bigint;
  readonly most?: bigint;
}

const number = (prefix: string, most?: number | bigint, least = 0): Option => ({
  say: (value) => `${prefix}0x${value.toString(16)}`,
  least: BigInt(least),
  ...(most !== undefined && { most: BigInt(most) }),
});
/** One that hexadecimal digits would confuse. */
const decimal = (prefix: string, most: number, least = 0): Option => ({
  say: (value) => `${prefix}${value}`,
  least: BigInt(least),
  most: BigInt(most),
});
const flag = (text: string): Option => ({ say: (value) => (value ? text : '') });
const said: Option = { say: null };

interface Program {
  readonly name: string;
  /** What it is told whatever the fields; an argument each. */
  readonly line: string;
  readonly options: Partial<Record<FieldName, Option>>;
  /** Fields that the program itself sets. */
  readonly fixed?: CdbFields;
}

/** They take LBAs for signed numbers. */
const LBA_MAX = 2n ** 63n - 1n;
const lba = number('--lba=', LBA_MAX);
const lba10 = number('--lba=');
const group = number('--grpnum=', 31);
const protect = number('--wrprotect=');
const cache = { dpo: flag('--dpo'), fua: flag('--fua') };
const tags = {
  refTag: number('--ref-tag='),
  appTag: number('--app-tag='),
  appTagMask: number('--tag-mask='),
};
/** Of a few blocks: they are sent. */
const some = number('--num=', 8, 1);
const writeX = { lba, blocks: some, protect, group, ...cache };
const WRITE_X = 'sg_write_x --bs=512 --in=/dev/zero';
const unmapAnchor = {
  unmap: { say: (unmap, { anchor }) => `--unmap=${Number(unmap) + 2 * Number(anchor)}` },
  anchor: said,
} satisfies Program['options'];

const duration = (size: number): Program['options'] =>
  size === 16 ? { durationLimit: decimal('cdl=', 7) } : {};

/** Flags of ddpt: a list after `pt`. */
const flagList = (option: string, ...flags: FieldName[]): Option => ({
  say: (_, all) => [`${option}=pt`, ...flags.filter((one) => all[one])].join(),
});
const ddptRead = (size: number): Program => ({
  name: `READ(${size})`,
  line: `ddpt if=/dev/null of=. bs=512 cdbsz=${size}`,
  options: {
    lba: number('skip=', size === 16 ? 2n ** 62n : undefined),
    blocks: decimal('count=', 8, 1),
    dpo: flagList('iflag', 'dpo', 'fua', 'rarc'),
    fua: said,
    rarc: said,
    protect: number('protect=', 7),
    ...duration(size),
  },
});
const ddptWrite = (size: number): Program => ({
  name: `WRITE(${size})`,
  line: `ddpt of=/dev/null if=/dev/zero bs=512 cdbsz=${size}`,
  options: {
    lba: number('seek=', size === 16 ? 2n ** 62n : undefined),
    blocks: decimal('count=', 8, 1),
    dpo: flagList('oflag', 'dpo', 'fua'),
    fua: said,
    protect: number('protect=0,', 7),
    ...duration(size),
  },
});

const PROGRAMS: readonly Program[] = [
  {
    name: 'READ(6)',
    line: 'ddpt if=/dev/null iflag=pt of=. bs=512 bpt=256 cdbsz=6',
    options: { lba: number('skip=', 0x1ffeff), blocks: decimal('count=', 256, 1) },
  },
  {
    name: 'WRITE(6)',
    line: 'ddpt of=/dev/null oflag=pt if=/dev/zero bs=512 bpt=256 cdbsz=6',
    options: { lba: number('seek=', 0x1ffeff), blocks: decimal('count=', 256, 1) },
  },
  ...[10, 12, 16].flatMap((size) => [ddptRead(size), ddptWrite(size)]),
  {
    name: 'READ(10)',
    line: 'sg_read if=/dev/null bs=512 cdbsz=10 bpt=512',
    options: {
      lba: number('skip=', 0x7fffffff),
      blocks: decimal('count=', 512, 1),
      dpo: flag('dpo=1'),
      fua: flag('fua=1'),
    },
  },
  {
    name: 'WRITE(16)',
    line: `${WRITE_X} --16 --normal`,
    options: { ...writeX, durationLimit: number('--dld=') },
  },
  {
    name: 'WRITE(32)',
    line: `${WRITE_X} --32 --normal`,
    options: { ...writeX, ...tags, durationLimit: number('--dld=') },
  },
  {
    name: 'WRITE ATOMIC(16)',
    line: `${WRITE_X} --16`,
    options: { ...writeX, boundary: number('--atomic=') },
  },
  {
    name: 'WRITE ATOMIC(32)',
    line: `${WRITE_X} --32`,
    options: { ...writeX, ...tags, boundary: number('--atomic=') },
  },
  {
    name: 'WRITE STREAM(16)',
    line: `${WRITE_X} --16`,
    options: { ...writeX, streamId: number('--stream=') },
  },
  {
    name: 'WRITE STREAM(32)',
    line: `${WRITE_X} --32`,
    options: { ...writeX, ...tags, streamId: number('--stream=') },
  },
  { name: 'ORWRITE(16)', line: `${WRITE_X} --16 --or`, options: writeX },
  {
    name: 'ORWRITE(32)',
    line: `${WRITE_X} --32 --or`,
    options: {
      ...writeX,
      bitmaskOperation: {
        say: (operation, { previousGeneration }) => `--bmop=${operation},${previousGeneration}`,
      },
      previousGeneration: said,
      expectedGeneration: {
        say: (expected, { newGeneration }) => `--generation=${expected},${newGeneration}`,
      },
      newGeneration: said,
    },
  },
  {
    name: 'WRITE SAME(16)',
    line: `${WRITE_X} --16`,
    options: {
      lba,
      protect,
      group,
      blocks: number('--num=', 0x7fffffff),
      ...unmapAnchor,
      noDataOut: { say: (none) => `--same=${Number(none)}` },
    },
  },
  {
    name: 'WRITE SAME(32)',
    line: `${WRITE_X} --32`,
    options: {
      lba,
      protect,
      group,
      ...tags,
      blocks: number('--num=', 0x7fffffff),
      ...unmapAnchor,
      noDataOut: { say: (none) => `--same=${Number(none)}` },
    },
  },
  {
    name: 'WRITE SCATTERED(16)',
    line: `${WRITE_X} --16 --scattered=2 --lba=8,20`,
    options: {
      blocks: { say: (sum) => `--num=1,${Number(sum) - 1}`, least: 2n, most: 8n },
      protect,
      group,
      ...cache,
      durationLimit: number('--dld='),
    },
    fixed: { dataOffset: 1, ranges: 2 },
  },
  {
    name: 'WRITE SCATTERED(32)',
    line: `${WRITE_X} --32 --scattered=2 --lba=8,20`,
    options: {
      blocks: { say: (sum) => `--num=1,${Number(sum) - 1}`, least: 2n, most: 8n },
      protect,
      group,
      ...cache,
    },
    fixed: { dataOffset: 1, ranges: 2 },
  },
  {
    name: 'WRITE SAME(10)',
    line: 'sg_write_same --10 --in=/dev/zero --xferlen=520',
    options: {
      // An end beyond 32 bits makes it take WRITE SAME(16).
      lba: number('--lba=', 2 ** 32 - 2 ** 16),
      blocks: number('--num='),
      protect,
      group,
      unmap: flag('--unmap'),
      anchor: flag('--anchor'),
    },
  },
  {
    name: 'WRITE AND VERIFY(10)',
    line: 'sg_write_verify --ilen=4096 --in=/dev/zero',
    options: {
      lba: lba10,
      blocks: some,
      protect,
      group: number('--group=', 31),
      dpo: flag('--dpo'),
      byteCheck: number('--bytchk='),
    },
  },
  {
    name: 'WRITE AND VERIFY(16)',
    line: 'sg_write_verify --16 --ilen=4096 --in=/dev/zero',
    options: {
      lba,
      blocks: some,
      protect,
      group: number('--group=', 31),
      dpo: flag('--dpo'),
      byteCheck: number('--bytchk='),
    },
  },
  {
    name: 'VERIFY(10)',
    line: 'sg_verify --bpc=0xffff',
    options: {
      lba: number('--lba=', 0x7fffffff),
      blocks: number('--count=', undefined, 1),
      protect: number('--vrprotect='),
      dpo: flag('--dpo'),
    },
  },
  {
    name: 'VERIFY(10)',
    line: 'sg_verify --ndo=4096 --in=/dev/zero',
    options: {
      lba: number('--lba=', 0x7fffffff),
      blocks: number('--count=', 8, 1),
      protect: number('--vrprotect='),
      byteCheck: number('--ebytchk=', 3, 1),
    },
  },
  {
    name: 'VERIFY(16)',
    line: 'sg_verify --16 --bpc=0x7fffffff',
    options: {
      lba: number('--lba=', 2n ** 62n),
      blocks: number('--count=', 0x7fffffff, 1),
      protect: number('--vrprotect='),
      dpo: flag('--dpo'),
      group: number('--group=', 31),
    },
  },
  {
    name: 'VERIFY(16)',
    line: 'sg_verify --16 --ndo=4096 --in=/dev/zero',
    options: {
      lba: number('--lba=', 2n ** 62n),
      blocks: number('--count=', 8, 1),
      protect: number('--vrprotect='),
      byteCheck: number('--ebytchk=', 3, 1),
    },
  },
  {
    name: 'COMPARE AND WRITE',
    line: 'sg_compare_and_write --xferlen=4096 --in=/dev/zero',
    options: { lba, blocks: number('--num=', 255, 1), protect, group, ...cache },
  },
  {
    name: 'READ LONG(10)',
    line: 'sg_read_long',
    options: {
      lba: lba10,
      byteLength: number('--xfer_len=', 9999, 1),
      corrected: flag('--correct'),
      physicalBlock: flag('--pblock'),
    },
  },
  {
    name: 'READ LONG(16)',
    line: 'sg_read_long --16',
    options: {
      lba,
      byteLength: number('--xfer_len=', 9999, 1),
      corrected: flag('--correct'),
      physicalBlock: flag('--pblock'),
    },
  },
  {
    name: 'WRITE LONG(10)',
    line: 'sg_write_long',
    options: {
      lba: lba10,
      byteLength: number('--xfer_len=', 9999, 1),
      correctionDisabled: flag('--cor_dis'),
      physicalBlock: flag('--pblock'),
    },
  },
  {
    name: 'WRITE LONG(16)',
    line: 'sg_write_long --16 --wr_uncor --xfer_len=0',
    options: { lba, correctionDisabled: flag('--cor_dis'), physicalBlock: flag('--pblock') },
    fixed: { writeUncorrectable: true },
  },
  {
    name: 'SYNCHRONIZE CACHE(10)',
    line: 'sg_sync',
    options: {
      lba: lba10,
      blocks: number('--count='),
      group: number('--group=', 31),
      immediate: flag('--immed'),
    },
  },
  {
    name: 'SYNCHRONIZE CACHE(16)',
    line: 'sg_sync --16',
    options: {
      lba,
      blocks: number('--count=', 0x7fffffff),
      group: number('--group=', 31),
      immediate: flag('--immed'),
    },
  },
  {
    name: 'PRE-FETCH(10)',
    line: 'sg_seek --pre-fetch --10',
    options: { lba: lba10, blocks: number('--num-blocks='), group, immediate: flag('--immed') },
  },
  {
    name: 'PRE-FETCH(16)',
    line: 'sg_seek --pre-fetch',
    options: { lba, blocks: number('--num-blocks=', 0x7fffffff), group, immediate: flag('--immed') },
  },
  {
    name: 'UNMAP',
    line: 'sg_unmap --lba=8,20 --num=3,1 --force',
    options: { anchor: flag('--anchor'), group: decimal('--grpnum=', 31) },
    fixed: { parameterListLength: 8 + 2 * 16 },
  },
  {
    name: 'GET LBA STATUS(16)',
    line: 'sg_get_lba_status --16',
    options: { lba, allocationLength: number('--maxlen=', 65536, 24), reportType: number('--report-type=') },
  },
  {
    name: 'GET LBA STATUS(32)',
    line: 'sg_get_lba_status --32',
    options: {
      lba,
      allocationLength: number('--maxlen=', 65536, 24),
      reportType: number('--report-type='),
      scanLength: number('--scan-len='),
      elementId: number('--element-id='),
    },
  },
  {
    name: 'REPORT SUPPORTED OPERATION CODES',
    line: 'sg_opcodes --no-inquiry',
    options: {
      requestedOpcode: {
        say: (opcode, { requestedServiceAction }) => `--opcode=${opcode},${requestedServiceAction}`,
      },
      requestedServiceAction: said,
      returnTimeouts: flag('--rctd'),
    },
    fixed: { reportingOptions: 2, allocationLength: 8192 },
  },
  {
    name: 'INQUIRY',
    line: 'sg_vpd --force',
    options: { page: number('--page='), allocationLength: number('--maxlen=', 49280, 4) },
    fixed: { evpd: true },
  },
  {
    name: 'INQUIRY',
    // 1.46 aborts above that length.
    line: 'sg_inq --raw',
    options: { allocationLength: number('--maxlen=', 49152, 36) },
  },
  { name: 'READ CAPACITY(10)', line: 'sg_readcap', options: {} },
  { name: 'READ CAPACITY(16)', line: 'sg_readcap --16', options: {}, fixed: { allocationLength: 32 } },
  {
    name: 'REQUEST SENSE',
    line: 'sg_requests',
    options: { descriptorSense: flag('--desc'), allocationLength: number('--maxlen=', 255, 1) },
  },
  { name: 'TEST UNIT READY', line: 'sg_turs', options: {} },
  {
    name: 'REPORT LUNS',
    line: 'sg_luns',
    options: { selectReport: number('--select='), allocationLength: number('--maxlen=', 65536, 16) },
  },
  {
    name: 'START STOP UNIT',
    line: 'sg_start',
    options: {
      powerCondition: number('--pc=', undefined, 1),
      powerConditionModifier: number('--mod='),
      immediate: flag('--immed'),
      noFlush: flag('--noflush'),
    },
  },
  {
    name: 'START STOP UNIT',
    line: 'sg_start --start',
    options: { loadEject: flag('--loej'), immediate: flag('--immed') },
    fixed: { start: true },
  },
  { name: 'PREVENT ALLOW MEDIUM REMOVAL', line: 'sg_prevent', options: { prevent: number('--prevent=') } },
  {
    name: 'MODE SENSE(10)',
    line: 'sg_modes',
    options: {
      page: { say: (page, { subpage }) => `--page=${page},${subpage}` },
      subpage: said,
      pageControl: number('--control='),
      disableBlockDescriptors: flag('--dbd'),
      longLba: flag('--llbaa'),
      allocationLength: number('--maxlen=', 65535, 8),
    },
  },
  {
    name: 'MODE SENSE(6)',
    line: 'sg_modes --six',
    options: {
      page: { say: (page, { subpage }) => `--page=${page},${subpage}` },
      subpage: said,
      pageControl: number('--control='),
      disableBlockDescriptors: flag('--dbd'),
      allocationLength: number('--maxlen=', 255, 8),
    },
  },
  {
    name: 'LOG SENSE',
    line: 'sg_logs --no_inq',
    options: {
      page: { say: (page, { subpage }) => `--page=${page},${subpage}` },
      subpage: said,
      pageControl: number('--control='),
      savePages: flag('--sp'),
      parameterPointer: number('--paramp='),
      allocationLength: number('--maxlen=', 65535, 4),
    },
  },
  {
    name: 'MODE SELECT(10)',
    line: 'sg_wr_mode --page=a --contents=0 --rtd',
    options: { savePages: flag('--save') },
    fixed: { revertToDefaults: true, parameterListLength: 0 },
  },
  {
    name: 'MODE SELECT(6)',
    line: 'sg_wr_mode --six --page=a --contents=0 --rtd',
    options: { savePages: flag('--save') },
    fixed: { revertToDefaults: true, parameterListLength: 0 },
  },
  {
    name: 'FORMAT UNIT',
    line: 'sg_format --format --quick --early',
    options: {
      formatProtection: number('--fmtpinfo='),
      fastFormat: number('--ffmt='),
      completeList: { say: (complete) => `--cmplst=${Number(complete)}` },
      longList: flag('--pie=1'),
    },
    fixed: { formatData: true },
  },
  ...(
    [
      ['CLOSE ZONE', 'sg_zone --close'],
      ['FINISH ZONE', 'sg_zone --finish'],
      ['OPEN ZONE', 'sg_zone --open'],
      ['RESET WRITE POINTER', 'sg_reset_wp'],
    ] as const
  ).map(([name, line]) => ({
    name,
    line,
    options: { lba: number('--zone=', LBA_MAX), zones: number('--count=', 0x7fff), allZones: flag('--all') },
  })),
  {
    name: 'REPORT ZONES',
    line: 'sg_rep_zones',
    options: {
      lba: number('--start=', LBA_MAX),
      allocationLength: number('--maxlen=', 65536, 64),
      partial: flag('--partial'),
      reportingOptions: number('--report='),
    },
  },
  {
    name: 'SEND DIAGNOSTIC',
    line: 'sg_senddiag',
    options: { selfTestCode: number('--selftest=', 7, 1), pageFormat: flag('--pf') },
    fixed: { parameterListLength: 0 },
  },
  {
    name: 'SEND DIAGNOSTIC',
    line: 'sg_senddiag --test',
    options: { deviceOffline: flag('--doff'), unitOffline: flag('--uoff') },
    fixed: { selfTest: true },
  },
  {
    name: 'WRITE BUFFER',
    line: 'sg_write_buffer --in=/dev/zero',
    options: {
      bufferMode: number('--mode='),
      modeSpecific: number('--specific='),
      bufferId: number('--id='),
      bufferOffset: number('--offset='),
      parameterListLength: number('--length=', 4096, 1),
    },
  },
  {
    name: 'GET STREAM STATUS',
    line: 'sg_stream_ctl --get',
    options: { streamId: number('--id='), allocationLength: number('--maxlen=', 65536, 8) },
  },
  {
    name: 'REPORT TARGET PORT GROUPS',
    line: 'sg_rtpg',
    options: { parameterFormat: { say: (format) => (format === 0 ? '' : '--extended'), most: 1n } },
    fixed: { allocationLength: 1024 },
  },
  {
    name: 'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS',
    line: 'sg_opcodes --no-inquiry --tmf',
    options: {},
    fixed: { allocationLength: 4 },
  },
  {
    name: 'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS',
    line: 'sg_opcodes --no-inquiry --tmf --repd',
    options: {},
    fixed: { extendedData: true, allocationLength: 16 },
  },
];

/**
 * Fields, and whole commands, that none of these programs has an option for. A list of MODE SELECT needs mode pages to begin with, and
 * FORMAT UNIT's a disk: test/testbed/disk/sg3-utils.test.ts.
 */
const UNSAID: Readonly<Record<string, readonly string[]>> = {
  'REZERO UNIT': ['everything'],
  'RESERVE(6)': ['everything'],
  'RELEASE(6)': ['everything'],
  'RESERVE(10)': ['everything'],
  'RELEASE(10)': ['everything'],
  'REPORT REALMS': ['everything'],
  'FORMAT UNIT': ['defectListFormat'],
  'READ(10)': ['group'],
  'WRITE(10)': ['group'],
  'VERIFY(10)': ['group'],
  'WRITE LONG(10)': ['writeUncorrectable'],
  'MODE SELECT(10)': ['pageFormat'],
  'MODE SELECT(6)': ['pageFormat'],
  'READ(32)': ['everything'],
  'VERIFY(32)': ['everything'],
  'WRITE AND VERIFY(32)': ['everything'],
  'READ(16)': ['group'],
  'WRITE LONG(16)': ['byteLength'],
  'READ(12)': ['group'],
  'WRITE(12)': ['group'],
  'WRITE AND VERIFY(12)': ['everything'],
  'VERIFY(12)': ['everything'],
};

/** Answers what the programs ask of a disk before their command, and refuses all else. */
const STAND_IN: TaskTaker = {
  execute({ cdb, dataInMax }) {
    const { command, fields } = decodeCdb(cdb) ?? {};
    const answer = ANSWERS[`${command?.name ?? ''} ${fields?.page ?? 0}`];
    if (answer === undefined || fields?.evpd === true)
      return { status: 2, sense: REFUSED, dataIn: bytes(''), afterMs: 0 };
    return { status: 0, sense: bytes(''), dataIn: answer.subarray(0, dataInMax), afterMs: 0 };
  },
};
const REFUSED = encodeSense({ descriptor: false, key: SENSE_KEY.ILLEGAL_REQUEST, asc: 0x20, ascq: 0 });
const CAPACITY = {
  lastLba: LBA_MAX - 1n,
  blockSize: 512,
  protectionType: 1,
  intervalExponent: 0,
  basis: 0,
  physicalExponent: 0,
  lowestAlignedLba: 0,
  thinProvisioned: true,
  unmappedReadZeros: true,
} as const;
/** By command and page. */
const ANSWERS: Readonly<Record<string, Uint8Array>> = {
  'INQUIRY 0': encodeInquiry({ protect: true, vendor: 'vendor', product: 'product', revision: '1' }),
  'READ CAPACITY(10) 0': encodeReadCapacity10({ lastLba: null, blockSize: 512 }),
  'READ CAPACITY(16) 0': encodeReadCapacity16(CAPACITY),
  'MODE SENSE(10) 1': bytes('001a 00 00 0000 0008 00000000 00000200 81 0a 00000000000000000000'),
};

/** Every field of the command, 0. */
const zerosOf = (name: string): CdbFields => decodeCdb(encodeCdb(name, {}))!.fields;

/** One that the program takes: an edge or any. */
function randomValue(name: string, field: FieldName, { least = 0n, most }: Option): Value {
  const { runs } = COMMANDS.find((command) => command.name === name)!.fields[field]!;
  const width = runs.reduce((sum, { high, low }) => sum + high - low + 1, 0);
  const end = most ?? (1n << BigInt(width)) - 1n;
  const any = BigInt(`0x${hex(random.bytes(8))}`) % (end - least + 1n);
  const value = random.pick([least, end, least + any, least + any, least + any]);
  if (width === 1) return value === 1n;
  return field === 'lba' ? value : Number(value);
}

t.test('CDBs of other programs', async (t) => {
  const relay = await SgRelay.listen(STAND_IN);
  t.teardown(() => relay.close());
  for (const { name, line, options, fixed = {} } of PROGRAMS) {
    const fields = Object.entries(options) as [FieldName, Option][];
    for (let i = 0; i < TIMES; i++) {
      const values = Object.fromEntries(
        fields.map(([field, option]) => [field, randomValue(name, field, option)]),
      );
      const words = fields.flatMap(([field, { say }]) => say?.(values[field]!, values) || []);
      const whole = [...line.split(' '), ...words].join(' ');
      const { text, tasks } = await relay.run(/^(ddpt|sg_read) /.test(line) ? whole : `${whole} /dev/null`);
      const sent = tasks.findLast(({ cdb }) => commandOf(cdb)?.name === name)?.cdb;
      const expected = { ...zerosOf(name), ...fixed, ...values };
      if (sent === undefined) {
        t.fail(`${whole}\n${text}`);
        continue;
      }
      t.same(decodeCdb(sent)?.fields, expected, whole);
      t.equal(hex(sent), hex(encodeCdb(name, expected)), whole);
    }
  }
});

t.test('what they cannot say', async (t) => {
  const unsaid = COMMANDS.flatMap(({ name, fields }) => {
    const rows = PROGRAMS.filter((program) => program.name === name);
    const sayable = rows.flatMap(({ options, fixed = {} }) => [
      ...Object.keys(options),
      ...Object.keys(fixed),
    ]);
    const left = Object.keys(fields).filter((field) => !sayable.includes(field));
    return rows.length === 0 ? [[name, ['everything']]] : left.length === 0 ? [] : [[name, left]];
  });
  t.same(Object.fromEntries(unsaid), UNSAID);
});
