/** The decoders and encoders against sg3_utils, which reads T10's tables on its own: no device takes part. */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import t from 'tap';
import { additionalSenseText } from '../../src/scsi/additional-sense.js';
import { hex } from '../../src/scsi/bytes.js';
import { COMMANDS, encodeCdb } from '../../src/scsi/commands.js';
import { decodeInquiry } from '../../src/scsi/inquiry.js';
import { decodeLbaStatus } from '../../src/scsi/lba-status.js';
import { decodeLogPage, decodeSupportedLogPages } from '../../src/scsi/log-page.js';
import { decodeSense, encodeSense, SENSE_KEY, type Sense, senseText } from '../../src/scsi/sense.js';
import {
  decodeBlockDeviceCharacteristics,
  decodeBlockLimits,
  decodeDeviceIdentification,
  decodeExtendedInquiry,
  decodeLogicalBlockProvisioning,
  decodeSupportedBlockLengths,
  decodeSupportedPages,
  decodeUnitSerialNumber,
  encodeExtendedInquiry,
} from '../../src/scsi/vpd.js';
import { Random } from '../kernel/random.js';
import { INQUIRY_LABELS, INQUIRY_TEXTS, type Labels, told, VPD_LABELS } from '../kernel/sg3-labels.js';
import { installTools } from '../support/install-tools.js';
import { bytes } from './hex.js';

installTools({ '/usr/bin/sg_decode_sense': 'sg3-utils' });

/** What a failure prints, and all that is random here. */
const SEED = randomInt(2 ** 32);
const random = new Random(SEED);
t.comment(`seed ${SEED}`);

/** What `script` prints of each line of hex digits, which it has as $hex. One shell for all: there are thousands. */
function judge(script: string, inputs: readonly Uint8Array[]): string[] {
  const loop = `while read -r hex; do ${script}; printf '\\036'; done`;
  const input = inputs.map((one) => `${hex(one, ' ')}\n`).join('');
  const { stdout } = spawnSync('sh', ['-c', `exec 2>&1; ${loop}`], { input, maxBuffer: 1 << 28 });
  return stdout.toString('latin1').split('\x1e').slice(0, -1);
}

/** In one line, its white space single. SENSE DATA SOURCE is left out: sg3_utils counts it from 0, FreeBSD and SPC-4 from 1. */
const inLine = (text: string) =>
  text
    .replace(/ *Sense data source:.*/g, '')
    .replace(/\s+/g, ' ')
    .trim();

t.test('every additional sense code', async (t) => {
  const inputs: Uint8Array[] = [];
  for (let asc = 0; asc < 0x80; asc++) {
    const assigned = Array.from({ length: 256 }, (_, ascq) => additionalSenseText(asc, ascq) !== null);
    // Those of a range are alike; behind the last of the others one more is asked for.
    const last = assigned.lastIndexOf(true);
    for (let ascq = 0; ascq <= Math.min(last + 1, 0xff); ascq++)
      inputs.push(bytes(`72 00 ${hex([asc, ascq])} 00000000`));
  }
  const answers = judge('sg_decode_sense $hex', inputs);
  t.equal(answers.length, inputs.length);
  t.ok(answers.filter((answer) => answer.includes('Additional sense:')).length > 700);
  const differing = inputs.flatMap((input, i) => {
    const [asc, ascq] = [input[2]!, input[3]!];
    const theirs = plainCode(/Additional sense: (.*)/.exec(answers[i]!)?.[1] ?? null, ascq);
    const ours = plainCode(additionalSenseText(asc, ascq), ascq);
    // An older sg3_utils does not know the newest codes.
    return theirs === ours || theirs === null ? [] : [`${hex([asc, ascq])}: ${ours} / ${theirs}`];
  });
  t.same(differing, []);
});

/** Of 40h the ASCQs below 80h are reserved; sg3_utils names them, and those of 41h and 42h, after obsolete codes. */
function plainCode(text: string | null, ascq: number): string | null {
  if (text === null) return null;
  const obsolete = /^(Ram|Data path|Power-on or self-test) failure \[/.test(text);
  if (obsolete) return null;
  const number = ascq.toString(16);
  return inLine(text)
    .toLowerCase()
    .replace(' (should use 40 nn)', '')
    .replace(`[0x${number}]`, number)
    .replace(`0x${number}`, number)
    .replace('of ', '')
    .replace(', task tag ', ' ')
    .replace(', short', ' short')
    .replace(new RegExp(`\\b0?${number}h$`), number);
}

/** Sense as sg_decode_sense words it: every field that it prints, in its order. */
function inTheirWords(sense: Sense): string {
  const { format, deferred, asc, ascq } = sense;
  const fixed = format === 'fixed';
  const name = senseText({ ...sense, deferred: false }).split(/ 0/)[0]!;
  const code = additionalSenseText(asc, ascq);
  const lines: (string | false | null)[] = [
    `${format} format, ${deferred ? '<<<deferred>>>' : 'current'}; sense key: ${name}`,
    sense.overflow && '<<<sense data overflow (SDAT_OVFL)>>>',
    code === null ? `ASC=${hex([asc])}, ASCQ=${hex([ascq])} (hex)` : `additional sense: ${code}`,
  ];
  if (fixed) {
    const { information } = sense;
    lines.push(
      information !== null && `info fld=0x${information.toString(16)} [${information}]`,
      sense.incorrectLength && 'ILI',
      sense.replaceableUnit !== null && `field replaceable unit code: ${sense.replaceableUnit}`,
      keySpecificWords(
        sense,
        'sense key specific: error in',
        (count) => `0x${hex([count >> 8, count & 0xff])}`,
      ),
    );
    return inLine(lines.filter((line) => typeof line === 'string').join(' ')).toLowerCase();
  }
  const wide = (value: bigint) => `0x${value.toString(16).padStart(16, '0')}`;
  const keySpecific = keySpecificWords(sense, 'field pointer: error in', String);
  const { ataStatus: ata } = sense;
  lines.push(
    sense.information !== null && `descriptor type: information: ${wide(sense.information)}`,
    sense.commandSpecific !== null && `descriptor type: command specific: ${wide(sense.commandSpecific)}`,
    keySpecific && `descriptor type: sense key specific: ${keySpecific}`,
    sense.replaceableUnit !== null &&
      `descriptor type: field replaceable unit code: 0x${sense.replaceableUnit.toString(16)}`,
    sense.incorrectLength && 'descriptor type: block commands: incorrect length indicator (ILI) set',
    ata &&
      `descriptor type: ata status return: extend=${Number(ata.extend)} error=0x${ata.error.toString(16)} count=0x${ata.count.toString(16)} lba=0x${ata.lba.toString(16).padStart(ata.extend ? 12 : 6, '0')} device=0x${ata.device.toString(16)} status=0x${ata.status.toString(16)}`,
  );
  for (const { truncated, sense: of } of sense.forwarded) {
    lines.push(
      'descriptor type: forwarded sense data',
      `fsdt: ${truncated ? 'set' : 'clear'}`,
      'forwarded status: check condition vvvvvvvvvvvvvvvv',
      of && inTheirWords(of),
      '^^^^^^^^^^^^^^^^',
    );
  }
  return inLine(lines.filter((line) => typeof line === 'string').join(' ')).toLowerCase();
}

function keySpecificWords(
  { key, fieldPointer, progress, retryCount, attentionsLost }: Sense,
  errorIn: string,
  count: (n: number) => string,
): string | null {
  if (fieldPointer) {
    const { inCdb, byte, bit } = fieldPointer;
    return `${errorIn} ${inCdb ? 'command' : 'data parameters'}: byte ${byte}${bit === null ? '' : ` bit ${bit}`}`;
  }
  if (progress !== null) return `progress indication: ${(progress * 100).toFixed(2)}%`;
  if (retryCount !== null) return `actual retry count: ${count(retryCount)}`;
  if (key === SENSE_KEY.UNIT_ATTENTION && attentionsLost) {
    return 'unit attention condition queue: overflow flag is 1';
  }
  return null;
}

const CODES = [0x0401, 0x1001, 0x1002, 0x1003, 0x1100, 0x1d00, 0x2400, 0x2901, 0x5d10, 0x0355];
/** Those with sense-key specific data, and some without. */
const KEYS = [0x0, 0x1, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xe];

/** SENSE KEY SPECIFIC, of which both say all there is: progress in quarters, and an overflow that is set. */
function keySpecific(key: number): Uint8Array {
  const sksv = random.pick([0x00, 0x80]);
  if (sksv === 0) return bytes('000000');
  if (key === SENSE_KEY.NO_SENSE || key === SENSE_KEY.NOT_READY)
    return Uint8Array.of(0x80, 64 * random.below(4), 0);
  if (key === SENSE_KEY.UNIT_ATTENTION) return bytes('810000');
  if (key === SENSE_KEY.ILLEGAL_REQUEST) {
    return Uint8Array.of(random.pick([0x80, 0xc0, 0x88, 0xcf, 0x8b]), random.below(256), random.below(256));
  }
  return key < SENSE_KEY.ILLEGAL_REQUEST ? Uint8Array.of(0x80, ...random.bytes(2)) : bytes('000000');
}

function randomFixed(): Uint8Array {
  const key = random.pick(KEYS);
  const code = random.pick(CODES);
  const valid = random.below(2) === 1;
  return Uint8Array.of(
    (valid ? 0xf0 : 0x70) | random.below(2),
    0,
    key | random.pick([0x00, 0x10, 0x20, 0x30]),
    ...(valid ? random.bytes(4) : bytes('00000000')),
    10,
    ...random.bytes(4),
    code >> 8,
    code & 0xff,
    random.pick([0, 0x44]),
    ...keySpecific(key),
  );
}

/** Each descriptor, of which some are taken: in the order in which inTheirWords tells of them. */
function randomDescriptors({ forwards = true, keys = KEYS } = {}): Uint8Array {
  const key = random.pick(keys);
  const code = random.pick(CODES);
  const specific = keySpecific(key);
  const all = [
    [0x00, 0x0a, 0x80, 0, ...random.bytes(8)],
    [0x01, 0x0a, 0, 0, ...random.bytes(8)],
    ...(specific[0] === 0 ? [] : [[0x02, 0x06, 0, 0, ...specific, 0]]),
    [0x03, 0x02, 0, 1 + random.below(255)],
    [0x05, 0x02, 0, 0x20],
    [0x09, 0x0c, random.below(2), ...random.bytes(11)],
    ...(forwards ? [[0x0c, 0x14, random.pick([0x81, 0x01, 0x82]), 0x02, ...randomFixed()]] : []),
  ];
  const taken = all.filter(() => random.below(3) > 0).flat();
  const codes = [random.pick([0x72, 0x73]), key, code >> 8, code & 0xff, random.pick([0x00, 0x80]), 0, 0];
  return Uint8Array.of(...codes, taken.length, ...taken);
}

/** All of it in one descriptor, which both word as the others. */
function directAccess(): Uint8Array {
  const specific = Uint8Array.of(random.pick([0x80, 0xc0, 0x88, 0xcf]), ...random.bytes(2));
  const flags = random.pick([0x00, 0x20, 0x80, 0xa0]);
  const body = [...specific, random.below(256), ...random.bytes(16), ...bytes('0000000000000000')];
  return Uint8Array.of(...bytes('72 05 24 00 000000 20 0d 1e'), flags, 0, ...body);
}

t.test('sense data, every word of it', async (t) => {
  const inputs = Array.from({ length: 600 }, (_, i) => (i % 2 === 0 ? randomFixed() : randomDescriptors()));
  const answers = judge('sg_decode_sense $hex', inputs);
  t.equal(answers.length, inputs.length);
  for (const [i, input] of inputs.entries()) {
    t.equal(inLine(answers[i]!).toLowerCase(), inTheirWords(decodeSense(input)!), hex(input, ' '));
  }
});

/** Of a UNIT ATTENTION sg3_utils takes any byte for the overflow flag; of forwarded sense it reads what there is. */
const CUT_KEYS = KEYS.filter((key) => key !== SENSE_KEY.UNIT_ATTENTION);

/** Both leave out what is not whole, but sg3_utils names a descriptor that is cut. */
const withoutShort = (answer: string) =>
  answer.replace(/ {2}Descriptor type: (?:(?!Descriptor type)[\s\S])*>> descriptor too short[\s\S]*/, '');

t.test('sense data that is cut', async (t) => {
  const inputs = Array.from({ length: 300 }, (_, i) => {
    const whole = i % 2 === 0 ? randomFixed() : randomDescriptors({ forwards: false, keys: CUT_KEYS });
    return whole.subarray(0, 8 + random.below(whole.length - 7));
  });
  const answers = judge('sg_decode_sense $hex', inputs);
  for (const [i, input] of inputs.entries()) {
    const words = inTheirWords(decodeSense(input)!);
    // A code that did not come reads 0.
    const ours =
      input.length > 12 ? words : words.replace('additional sense: no additional sense information', '');
    t.equal(inLine(withoutShort(answers[i]!)).toLowerCase(), inLine(ours), hex(input, ' '));
  }
});

t.test('the sense descriptor of disks', async (t) => {
  const inputs = Array.from({ length: 50 }, directAccess);
  for (const [i, answer] of judge('sg_decode_sense $hex', inputs).entries()) {
    const sense = decodeSense(inputs[i]!)!;
    const { fieldPointer, information, commandSpecific, replaceableUnit } = sense;
    const number = (pattern: RegExp) => {
      const found = pattern.exec(answer)?.[1];
      return found === undefined ? null : BigInt(found);
    };
    t.same(
      {
        byte: number(/byte (\d+)/),
        bit: number(/bit (\d)/),
        inCdb: answer.includes('Error in Command'),
        ili: answer.includes('ILI (incorrect length indication) set'),
        information: number(/Information: (\w+)/),
        commandSpecific: number(/Command specific: (\w+)/),
        replaceableUnit: number(/unit code: (\w+)/) || null,
      },
      {
        byte: BigInt(fieldPointer!.byte),
        bit: fieldPointer!.bit === null ? null : BigInt(fieldPointer!.bit),
        inCdb: fieldPointer!.inCdb,
        ili: sense.incorrectLength,
        information,
        commandSpecific,
        replaceableUnit: replaceableUnit === null ? null : BigInt(replaceableUnit),
      },
      hex(inputs[i]!, ' '),
    );
  }
});

t.test('sense that is encoded here', async (t) => {
  const inputs = Array.from({ length: 100 }, (_, i) => {
    const code = random.pick(CODES);
    return encodeSense({
      descriptor: i % 2 === 1,
      deferred: random.below(2) === 1,
      key: random.pick(KEYS),
      asc: code >> 8,
      ascq: code & 0xff,
      ...(random.below(2) === 1 && { information: BigInt(random.below(2 ** 32)) }),
      ...(random.below(2) === 1 && { replaceableUnit: 1 + random.below(255) }),
    });
  });
  for (const [i, answer] of judge('sg_decode_sense $hex', inputs).entries()) {
    t.equal(inLine(answer).toLowerCase(), inTheirWords(decodeSense(inputs[i]!)!), hex(inputs[i]!, ' '));
  }
});

interface JudgedPage {
  readonly name: string;
  readonly decode: (page: Uint8Array) => object;
  readonly header: string;
  readonly length: number;
  readonly labels: Labels;
}

const PAGES: readonly JudgedPage[] = [
  {
    name: '86h',
    decode: decodeExtendedInquiry,
    header: '00 86 003c',
    length: 60,
    labels: VPD_LABELS['86'],
  },
  {
    name: 'B0h',
    decode: decodeBlockLimits,
    header: '00 b0 003c',
    length: 60,
    labels: VPD_LABELS.b0,
  },
  {
    name: 'B1h',
    decode: decodeBlockDeviceCharacteristics,
    // Rates below 0401h are reserved, and told as that.
    header: '00 b1 003c 1c',
    length: 59,
    labels: VPD_LABELS.b1,
  },
  {
    name: 'B2h',
    decode: decodeLogicalBlockProvisioning,
    header: '00 b2 0004',
    length: 4,
    labels: VPD_LABELS.b2,
  },
  {
    name: 'B4h',
    decode: (page) => {
      const [{ types, ...rest } = { types: [] as readonly number[] }] = decodeSupportedBlockLengths(page);
      return {
        ...rest,
        ...Object.fromEntries([0, 1, 2, 3].map((type) => [`type${type}`, types.includes(type)])),
      };
    },
    header: '00 b4 0008',
    length: 8,
    labels: VPD_LABELS.b4,
  },
];

// Not with --long, in which sg_vpd 1.46 takes P_I_I_SUP for NO_PI_CHK.
t.test('VPD pages of fields, with anything in them', async (t) => {
  for (const { name, decode, header, length, labels } of PAGES) {
    const pages = Array.from({ length: 40 }, () => Uint8Array.of(...bytes(header), ...random.bytes(length)));
    for (const [i, answer] of judge('echo $hex | sg_vpd --inhex=-', pages).entries()) {
      const ours = decode(pages[i]!) as Record<string, bigint | number | boolean>;
      const fields = Object.keys(labels);
      t.same(
        Object.fromEntries(fields.map((field) => [field, told(answer, labels[field]!)])),
        Object.fromEntries(fields.map((field) => [field, BigInt(ours[field]!)])),
        `${name} ${hex(pages[i]!, ' ')}`,
      );
    }
  }
});

t.test('SPT of page 86h', async (t) => {
  const pages = [[1], [1, 2], [2], [1, 3], [3], [2, 3], null, [1, 2, 3]].map((supportedTypes) =>
    encodeExtendedInquiry({ supportedTypes }),
  );
  t.same(
    judge('echo $hex | sg_vpd --inhex=-', pages).map((answer) => told(answer, /SPT=(\d)/)),
    pages.map((_, spt) => BigInt(spt)),
  );
});

t.test('VPD 00h, 80h and 83h', async (t) => {
  const codes = [0x00, 0x80, 0x83, 0x86, 0xb0, 0xb4];
  const supported = bytes(`00 00 0006 ${hex(codes)}`);
  const [list = ''] = judge('echo $hex | sg_vpd --long --inhex=-', [supported]);
  t.same(
    [...list.matchAll(/^\s+0x([0-9a-f]{2})/gm)].map(([, code]) => Number(`0x${code}`)),
    codes,
  );
  t.same(decodeSupportedPages(supported), codes);

  const serial = bytes('00 80 0008 20204142433a2031');
  const [text = ''] = judge('echo $hex | sg_vpd --inhex=-', [serial]);
  t.equal(/Unit serial number: (.*)/.exec(text)?.[1]?.trim(), decodeUnitSerialNumber(serial));

  const types = ['T10 vendor identification', 'EUI-64 based', 'NAA'];
  for (const name of ['5000c50012345679', '5000c500aabbccdd']) {
    const page = bytes(
      `00 83 0024 61 93 0008 ${name} 01 02 0008 0025385b71b0a1c2 02 01 0008 4142434445464748`,
    );
    const [answer = ''] = judge('echo $hex | sg_vpd --inhex=-', [page]);
    const { designators, identity } = decodeDeviceIdentification(page);
    const found = [...answer.matchAll(/designator type: ([^,]*), +code set: (\w+)/g)];
    t.same(
      found.map(([, type, set]) => [types.indexOf(type!) + 1, set]).sort(),
      designators.map(({ type, codeSet }) => [type, ['', 'Binary', 'ASCII'][codeSet]]).sort(),
    );
    t.match(answer, /transport: Serial Attached SCSI/, 'protocol 6');
    t.equal(designators[0]!.protocol, 6);
    t.match(answer, `0x${hex(designators[0]!.bytes)}`);
    t.match(answer, identity!.replace('eui.', '0x'));
  }
});

t.test('standard INQUIRY data', async (t) => {
  const inputs = Array.from({ length: 20 }, () => {
    const text = Buffer.from('Linux   scsi_debug      0191', 'latin1');
    const data = Uint8Array.of(random.pick([0x00, 0x14, 0x20]), 0, 6, 2, 91, random.below(2), 0, 2, ...text);
    return Uint8Array.of(...data, ...new Uint8Array(60));
  });
  for (const [i, answer] of judge('echo $hex | sg_inq --inhex=-', inputs).entries()) {
    const ours = decodeInquiry(inputs[i]!);
    t.same(
      Object.values(INQUIRY_LABELS).map((label) => told(answer, label)),
      [ours.peripheralQualifier, ours.peripheralType, ours.version, Number(ours.protect)].map(BigInt),
    );
    t.same(
      Object.values(INQUIRY_TEXTS).map((label) => label.exec(answer)?.[1]?.trim()),
      [ours.vendor, ours.product, ours.revision],
    );
  }
});

t.test('log pages', async (t) => {
  const all = bytes('00 00 0004 00 0d 10 2f');
  const [codes = ''] = judge('echo $hex | sg_logs --in=-', [all]);
  t.same(
    [...codes.matchAll(/^\s+0x(\w\w) /gm)].map(([, page]) => ({ page: Number(`0x${page}`), subpage: 0 })),
    decodeSupportedLogPages(all),
  );
  const both = bytes('40 ff 0008 00 00 00 ff 0d 00 19 20');
  const [pairs = ''] = judge('echo $hex | sg_logs --in=-', [both]);
  t.same(
    [...pairs.matchAll(/^\s+0x(\w\w)(?:,0x(\w\w))? /gm)].map(([, page, subpage = '00']) => ({
      page: Number(`0x${page}`),
      subpage: Number(`0x${subpage}`),
    })),
    decodeSupportedLogPages(both),
  );
  const temperature = bytes('8d 00 000c 0000 03 02 0025 0001 03 02 0046');
  const [degrees = ''] = judge('echo $hex | sg_logs --in=-', [temperature]);
  t.same(
    [/Current temperature = (\d+)/, /Reference temperature = (\d+)/].map((label) => told(degrees, label)),
    decodeLogPage(temperature).parameters.map(({ bytes: [, value] }) => BigInt(value!)),
  );
});

t.test('GET LBA STATUS data', async (t) => {
  const inputs = Array.from({ length: 20 }, () => {
    const ranges = 1 + random.below(5);
    const body = Array.from({ length: ranges }, () => [
      ...random.bytes(12),
      random.below(5),
      random.below(2),
      0,
      0,
    ]);
    return Uint8Array.of(0, 0, 0, 4 + 16 * ranges, 0, 0, 0, random.below(4) << 1, ...body.flat());
  });
  const answers = judge('echo $hex | sg_get_lba_status --brief --maxlen=128 --inhex=-', inputs);
  for (const [i, answer] of answers.entries()) {
    const ours = decodeLbaStatus(inputs[i]!);
    t.equal(told(answer, /Completion condition=(\d)/), BigInt(ours.completion));
    t.same(
      [...answer.matchAll(/^(0x\w{16}) +(0x\w+) +(\d+) +(\d+)/gm)].map(([, ...numbers]) =>
        numbers.map(BigInt),
      ),
      ours.ranges.map(({ lba, blocks, status, additional }) => [lba, blocks, status, additional].map(BigInt)),
      answer,
    );
  }
});

/** What ours are called there. */
const NAMES: Readonly<Record<string, string>> = {
  'WRITE ATOMIC(32)': 'Atomic write(32)',
  // By its mode, which is 0 here.
  'WRITE BUFFER': 'Write buffer, combined header and data [or multiple modes]',
};

t.test('what each command is called', async (t) => {
  const cdbs = COMMANDS.map(({ name }) => encodeCdb(name, {}));
  for (const [i, answer] of judge('sg_decode_sense --cdb $hex', cdbs).entries()) {
    const { name } = COMMANDS[i]!;
    t.equal(inLine(answer).toLowerCase(), (NAMES[name] ?? name).toLowerCase(), name);
  }
});
