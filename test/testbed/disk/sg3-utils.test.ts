/** sg3_utils drive the emulated disk, as they would one on a wire: they build the CDBs and read the answers, knowing nothing of ours. */
import { writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { hex } from '../../../src/scsi/bytes.js';
import { type CdbFields, COMMANDS, decodeCdb, encodeCdb, usageMap } from '../../../src/scsi/commands.js';
import { encodeFormatList } from '../../../src/scsi/format-unit.js';
import { decodeModeSense, encodeModeSelectList } from '../../../src/scsi/mode-page.js';
import { encodeScatteredList } from '../../../src/scsi/scattered.js';
import { decodeSense, senseText } from '../../../src/scsi/sense.js';
import { decodeAllCommands } from '../../../src/scsi/supported-opcodes.js';
import { encodeUnmapList } from '../../../src/scsi/unmap.js';
import type { EmulatedDisk, EmulatedDiskOptions } from '../../../src/testbed/disk/emulated-disk.js';
import type { ScsiTask } from '../../../src/testbed/disk/model/logical-unit.js';
import { bytes } from '../../scsi/hex.js';
import { installTools } from '../../support/install-tools.js';
import { SgRelay } from '../../support/sg-relay.js';
import { ask, GOOD, plain, ready, send, wire } from './drive.js';

installTools({ '/usr/bin/sg_raw': 'sg3-utils' });

async function driven(
  t: Test,
  options: EmulatedDiskOptions = {},
): Promise<{ disk: EmulatedDisk; relay: SgRelay }> {
  const disk = await ready(options);
  const relay = await SgRelay.listen(disk.unit);
  t.teardown(() => relay.close());
  return { disk, relay };
}

const numbers = (text: string, ...labels: RegExp[]) => labels.map((label) => Number(label.exec(text)?.[1]));

t.test('READ CAPACITY of every format', async (t) => {
  for (const format of [
    { type: 0, blockSize: 512, intervalExponent: 0 },
    { type: 1, blockSize: 4096, intervalExponent: 0 },
    { type: 2, blockSize: 4096, intervalExponent: 3 },
    { type: 3, blockSize: 2048, intervalExponent: 1 },
  ] as const) {
    t.test(JSON.stringify(format), async (t) => {
      const { relay } = await driven(t, { ...format, blocks: 5000 });
      const short = await relay.run('sg_readcap /dev/null');
      const size = [/Last LBA=(\d+)/, /Logical block length=(\d+)/];
      t.same(numbers(short.text, ...size), [4999, format.blockSize]);
      const long = await relay.run('sg_readcap --16 /dev/null');
      t.same(numbers(long.text, ...size, /prot_en=(\d)/, /p_i_exponent=(\d)/, /lbpme=(\d)/, /lbprz=(\d)/), [
        4999,
        format.blockSize,
        Number(format.type > 0),
        format.intervalExponent,
        1,
        1,
      ]);
      t.equal(
        /\[type (\d) protection\]/.exec(long.text)?.[1],
        format.type === 0 ? undefined : `${format.type}`,
      );
    });
  }
});

t.test('INQUIRY and its pages', async (t) => {
  const { relay } = await driven(t, { type: 1, serial: 'abc' });
  const { status, text } = await relay.run('sg_inq /dev/null');
  t.equal(status, 0);
  t.match(text, /Protect=1/);
  t.match(text, /Unit serial number: blk-integrity-abc/);
  for (const [page, said] of [
    ['0x83', /designator type: NAA, {2}code set: Binary/],
    ['0x83', /designator type: T10 vendor identification, {2}code set: ASCII/],
    ['0x86', /SPT=7 GRD_CHK=1 APP_CHK=1 REF_CHK=1/],
    ['0x86', /RTD_SUP=1/],
    ['0xb0', /Maximum transfer length: 8192 blocks/],
    ['0xb1', /VBULS=1/],
    ['0xb2', /\(LBPRZ\): 1/],
    ['0xb4', /Logical block length: 4096\s+P_I_I_SUP: 1/],
  ] as const) {
    const answer = await relay.run(`sg_vpd --page=${page} /dev/null`);
    t.equal(answer.status, 0, page);
    t.match(answer.text, said, page);
  }
});

/** The pages that sg_modes prints in hex. */
function printedPages(text: string): string[] {
  return text
    .split('>> ')
    .slice(1)
    .map((page) =>
      [...page.matchAll(/^ [0-9a-f]{2} {5}((?: ?[0-9a-f]{2} ?)+)$/gm)].map(([, row]) => row).join(''),
    )
    .map((digits) => digits.replace(/\s/g, ''));
}

t.test('MODE SENSE', async (t) => {
  const { disk, relay } = await driven(t, { type: 2 });
  const all = { page: 0x3f, subpage: 0xff };
  for (const [options, name, fields] of [
    ['-a -a', 'MODE SENSE(10)', all],
    ['-a -a --llbaa --control=1', 'MODE SENSE(10)', { ...all, longLba: true, pageControl: 1 }],
    ['-a -a --six --control=2', 'MODE SENSE(6)', { ...all, pageControl: 2 }],
    [
      '--page=10,2 --dbd --control=3',
      'MODE SENSE(10)',
      { page: 10, subpage: 2, disableBlockDescriptors: true, pageControl: 3 },
    ],
  ] as const) {
    const { status, text, tasks } = await relay.run(`sg_modes ${options} /dev/null`);
    t.equal(status, 0, options);
    const { allocationLength, ...sent } = decodeCdb(tasks.at(-1)!.cdb)!.fields;
    t.match(decodeCdb(tasks.at(-1)!.cdb), { command: { name } });
    t.match(sent, fields, options);
    const data = ask(disk, name, { allocationLength: allocationLength!, ...fields }).dataIn;
    const ours = decodeModeSense(data, name === 'MODE SENSE(6)' ? 6 : 10);
    t.same(
      printedPages(text),
      ours.pages.map(({ bytes }) => hex(bytes)),
      options,
    );
    t.same(numbers(text, /WP=(\d)/, /DpoFua=(\d)/), [Number(ours.writeProtected), Number(ours.dpoFua)]);
  }
});

t.test('REPORT SUPPORTED OPERATION CODES', async (t) => {
  const { disk, relay } = await driven(t);
  const { text } = await relay.run('sg_opcodes --mask --unsorted /dev/null');
  const rows = [
    ...text.matchAll(/^ ([0-9a-f]{2})(?: +([0-9a-f]+))? +(\d+) +0,0 .*\n +cdb usage: ([0-9a-f ]+)$/gm),
  ].map(([, opcode, action, size, usage]) => ({
    opcode: Number(`0x${opcode}`),
    serviceAction: action === undefined ? null : Number(`0x${action}`),
    length: Number(size),
    usage: usage!.trim(),
  }));
  const data = ask(disk, 'REPORT SUPPORTED OPERATION CODES', { allocationLength: 8192 }).dataIn;
  t.same(
    rows,
    decodeAllCommands(data).map(({ opcode, serviceAction, length }) => {
      const command = COMMANDS.find(
        ({ operation: [code, action = null] }) => code === opcode && action === serviceAction,
      )!;
      return { opcode, serviceAction, length, usage: hex(usageMap(command), ' ') };
    }),
  );
  t.ok(rows.length > 50);
  for (const { opcode, serviceAction, usage } of rows) {
    const operation = serviceAction === null ? opcode : `${opcode},${serviceAction}`;
    const one = await relay.run(`sg_opcodes --no-inquiry --opcode=${operation} /dev/null`);
    t.match(one.text, `Usage data: ${usage}`, `${operation}`);
    t.match(one.text, /conforming to SCSI standard/, `${operation}`);
  }
  const without = await relay.run('sg_opcodes --no-inquiry --opcode=0x4d /dev/null');
  t.match(without.text, /NOT supported/);
  const timeouts = await relay.run('sg_opcodes --no-inquiry --opcode=0x88 --rctd /dev/null');
  t.match(timeouts.text, /no nominal timeout, no recommended timeout/);
});

t.test('refusals, read by others', async (t) => {
  const { disk, relay } = await driven(t, { type: 2 });
  const reserved = encodeCdb('READ(10)', { lba: 0n, blocks: 1 });
  reserved[6] = 0x80;
  const long = encodeCdb('READ(32)', { lba: 0n, blocks: 1 });
  long[7] = 0x17;
  const refused: [string, Uint8Array, RegExp][] = [
    ['a reserved bit', reserved, /Error in Command: byte 6 bit 7/],
    ['a wrong ADDITIONAL CDB LENGTH', long, /Error in Command: byte 7\s/],
    ['no such command', bytes('ff 00 00 00 00 00'), /Invalid command operation code/],
    [
      'behind the end',
      encodeCdb('READ(16)', { lba: 2n ** 40n, blocks: 1 }),
      /Logical block address out of range/,
    ],
    [
      'RDPROTECT in a short command',
      encodeCdb('READ(10)', { lba: 0n, blocks: 1, protect: 1 }),
      /Invalid command operation code/,
    ],
    ['an unreadable block', encodeCdb('READ(16)', { lba: 5n, blocks: 8 }), /0x7 /],
  ];
  t.match(await relay.run('sg_write_long --16 --lba=7 --wr_uncor --xfer_len=0 /dev/null'), { status: 0 });
  for (const format of ['fixed', 'descriptor']) {
    for (const [name, cdb, said] of refused) {
      const { text } = await relay.run(`sg_raw --cmdset=1 --request=4096 /dev/null ${hex(cdb, ' ')}`);
      const sense = decodeSense(disk.unit.execute({ cdb, dataOut: bytes(''), dataInMax: 4096 }).sense)!;
      t.equal(sense.format, format);
      t.match(text.replace('0x0000000000000007', '0x7 '), said, `${name}, ${format}`);
      const words = senseText(sense).split(': ')[1]!;
      t.match(text.toLowerCase(), words.toLowerCase(), `${name}: ${words}`);
    }
    const control = '8a,0a,4,10,0,80,0,0,0,0,0,0';
    const { status, text, tasks } = await relay.run(
      `sg_wr_mode --page=a --contents=${control} --save /dev/null`,
    );
    t.equal(status, 0, text);
    const page = Uint8Array.from(control.split(','), (digits) => Number.parseInt(digits, 16));
    const { dataOut } = taskOf(tasks, 'MODE SELECT(10)');
    // The block descriptor that was sensed is sent along.
    const list = encodeModeSelectList([page], 10, { blocks: 4096n, blockSize: 512 });
    t.same(Buffer.from(dataOut), Buffer.from(list));
  }
  t.match(await relay.run('sg_wr_mode --page=a --contents=0 --save --rtd /dev/null'), { status: 0 });
  t.match(send(disk, reserved).sense, '05h/24h/00h');
});

/** Two blocks the other way round, with the reference tags that those of `wire` have; no application tag. */
const SCATTERED = [17n, 16n].map((lba, i) => ({ lba, blocks: 1, refTag: 16 + i, appTag: 0, appTagMask: 0 }));

/** What data-out begins with. */
const LISTS: Readonly<Record<string, Uint8Array>> = {
  UNMAP: encodeUnmapList([{ lba: 16n, blocks: 2 }]),
};

/** The last command of this name. */
function taskOf(tasks: readonly ScsiTask[], name: string): ScsiTask {
  const found = tasks.findLast(({ cdb }) => decodeCdb(cdb)?.command.name === name);
  if (found === undefined)
    throw new Error(`${name} was not sent, but ${tasks.map(({ cdb }) => hex(cdb)).join()}`);
  return found;
}

t.test('commands that write', async (t) => {
  const { disk, relay } = await driven(t, { type: 2 });
  const dir = t.testdir();
  const [two, one, other] = [wire(16, 2), wire(16, 1), wire(16, 2, undefined, { fill: 9 })];
  await writeFile(`${dir}/two`, two);
  await writeFile(`${dir}/one`, one);
  await writeFile(`${dir}/plain`, plain(two));
  await writeFile(`${dir}/swap`, Buffer.concat([plain(two), plain(other)]));
  await writeFile(`${dir}/scattered`, Buffer.concat([encodeScatteredList(SCATTERED, 512), plain(two)]));
  await writeFile(`${dir}/scattered-32`, Buffer.concat([encodeScatteredList(SCATTERED, 520), two]));
  const range = { lba: 16n, blocks: 2 };
  const read = () => Buffer.from(ask(disk, 'READ(16)', range).dataIn);
  const tags = '--ref-tag=16 --app-tag=0 --tag-mask=0xffff --wrprotect=1';
  const at = '--lba=16 --num=2';
  const runs: [line: string, name: string, fields: CdbFields, then: Uint8Array][] = [
    [
      `sg_write_x --32 --normal ${at} ${tags} --bs=520 --in=${dir}/two`,
      'WRITE(32)',
      { ...range, protect: 1, refTag: 16, appTag: 0, appTagMask: 0xffff },
      plain(two),
    ],
    [`sg_verify --lba=16 --count=2 --dpo`, 'VERIFY(10)', { ...range, dpo: true }, plain(two)],
    [
      `sg_verify --16 --lba=16 --count=2 --ndo=1024 --in=${dir}/plain`,
      'VERIFY(16)',
      { ...range, byteCheck: 1 },
      plain(two),
    ],
    [
      `sg_compare_and_write --lba=16 --num=2 --xferlen=2048 --in=${dir}/swap`,
      'COMPARE AND WRITE',
      range,
      plain(other),
    ],
    [
      `sg_write_verify --16 --lba=16 --num=2 --bytchk=1 --ilen=1024 --in=${dir}/plain`,
      'WRITE AND VERIFY(16)',
      { ...range, byteCheck: 1 },
      plain(two),
    ],
    [
      `sg_write_x --32 --stream=5 ${at} ${tags} --bs=520 --in=${dir}/two`,
      'WRITE STREAM(32)',
      { ...range, streamId: 5, refTag: 16 },
      plain(two),
    ],
    [
      `sg_write_x --32 --atomic=0 ${at} ${tags} --bs=520 --in=${dir}/two`,
      'WRITE ATOMIC(32)',
      { ...range, boundary: 0, refTag: 16 },
      plain(two),
    ],
    [
      `sg_write_x --32 --same=0 ${at} ${tags} --bs=520 --in=${dir}/one`,
      'WRITE SAME(32)',
      { ...range, refTag: 16 },
      Buffer.concat([plain(one), plain(one)]),
    ],
    [
      `sg_write_x --16 --combined=1 --scattered=2 --dld=3 --bs=512 --in=${dir}/scattered`,
      'WRITE SCATTERED(16)',
      { dataOffset: 1, ranges: 2, durationLimit: 3 },
      Buffer.concat([plain(two).subarray(512), plain(two).subarray(0, 512)]),
    ],
    [
      `sg_write_x --32 --combined=1 --scattered=2 --wrprotect=1 --bs=520 --in=${dir}/scattered-32`,
      'WRITE SCATTERED(32)',
      { dataOffset: 1, ranges: 2, protect: 1 },
      Buffer.concat([plain(two).subarray(512), plain(two).subarray(0, 512)]),
    ],
    [
      `sg_write_x --16 --normal ${at} --dld=7 --bs=512 --in=${dir}/plain`,
      'WRITE(16)',
      { ...range, durationLimit: 7 },
      plain(two),
    ],
    [`sg_sync --16 --lba=16 --count=2`, 'SYNCHRONIZE CACHE(16)', range, plain(two)],
    [
      'sg_write_same --16 --lba=17 --num=1 --ndob --unmap',
      'WRITE SAME(16)',
      { lba: 17n, blocks: 1, noDataOut: true, unmap: true },
      Buffer.concat([plain(two).subarray(0, 512), Buffer.alloc(512)]),
    ],
    [`sg_unmap --lba=16 --num=2 --force`, 'UNMAP', { parameterListLength: 24 }, Buffer.alloc(1024)],
  ];
  for (const [line, name, fields, then] of runs) {
    const { status, text, tasks } = await relay.run(`${line} /dev/null`);
    t.equal(status, 0, `${line}\n${text}`);
    const sent = taskOf(tasks, name);
    t.match(decodeCdb(sent.cdb), { fields }, `${name} was sent`);
    const list = LISTS[name];
    if (list !== undefined)
      t.same(Buffer.from(sent.dataOut.subarray(0, list.length)), Buffer.from(list), name);
    t.same(read(), Buffer.from(then), `${name}: what lies there`);
  }
  const { text } = await relay.run('sg_get_lba_status --lba=16 --maxlen=24 /dev/null');
  t.match(text, /LBA: 0x0+10 {2}blocks: .*deallocated/);
});

t.test('FORMAT UNIT', async (t) => {
  const { disk, relay } = await driven(t, { type: 0, blockSize: 4096 });
  for (const [options, fields, parameters, capacity] of [
    ['--fmtpinfo=2', { formatProtection: 2, longList: false }, {}, /prot_en=1, p_type=0, p_i_exponent=0/],
    ['--fmtpinfo=3', { formatProtection: 3, longList: false }, {}, /prot_en=1, p_type=1, p_i_exponent=0/],
    [
      '--fmtpinfo=3 --pie=3',
      { formatProtection: 3, longList: true },
      { intervalExponent: 3 },
      /prot_en=1, p_type=1, p_i_exponent=3/,
    ],
    [
      '--fmtpinfo=3 --pfu=1 --pie=1 --dcrt',
      { formatProtection: 3, longList: true },
      { fieldUsage: 1, intervalExponent: 1, optionsValid: true, disableCertification: true },
      /prot_en=1, p_type=2, p_i_exponent=1/,
    ],
    ['--fmtpinfo=0', { formatProtection: 0, longList: false }, {}, /prot_en=0/],
  ] as const) {
    const { status, text, tasks } = await relay.run(
      `sg_format --format --quick --early ${options} /dev/null`,
    );
    t.equal(status, 0, `${options}\n${text}`);
    const { cdb, dataOut } = taskOf(tasks, 'FORMAT UNIT');
    t.match(decodeCdb(cdb), { fields: { ...fields, formatData: true } }, options);
    const form = fields.longList ? 'long' : 'short';
    const list = { immediate: true, ...parameters };
    t.same(Buffer.from(dataOut), Buffer.from(encodeFormatList(form, list)), `${options}: the list`);
    t.match(ask(disk, 'TEST UNIT READY', {}), { sense: '06h/2Ah/09h' });
    t.match(ask(disk, 'TEST UNIT READY', {}), GOOD);
    t.match((await relay.run('sg_readcap --16 /dev/null')).text, capacity, options);
  }
});

t.test('programs that ask for more than a disk has', async (t) => {
  const { relay } = await driven(t);
  for (const [line, name] of [
    ['sg_logs --page=0x2f,3 --paramp=7 --no_inq', 'LOG SENSE'],
    ['sg_read_long --lba=8 --xfer_len=520', 'READ LONG(10)'],
  ] as const) {
    const { status, text, tasks } = await relay.run(`${line} /dev/null`);
    t.equal(status, 9, `invalid opcode: ${text}`);
    t.match(decodeCdb(tasks.at(-1)!.cdb), { command: { name } });
  }
  const { tasks } = await relay.run('sg_logs --page=0x2f,3 --paramp=7 --no_inq /dev/null');
  t.match(decodeCdb(tasks.at(-1)!.cdb), { fields: { page: 0x2f, subpage: 3, parameterPointer: 7 } });
});
