import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { pattern } from '../../src/testbed/fill.js';
import { cli } from '../support/cli.js';

const dir = t.testdir();
const cdb = (...args: string[]) => cli(['cdb', '--testbed', 'disk', ...args]);
const READ = '88 00 0000000000000008 00000001 0000';

t.test('a command and its answer, decoded', async (t) => {
  const { status, stdout, stderr } = await cdb('12', '0', '00', '00', '0x24', '00');
  t.same({ status, stderr }, { status: 0, stderr: '' });
  t.match(
    stdout,
    /: INQUIRY {2}12 00 00 00 24 00\n {2}evpd false, page 0x0, allocationLength 36\nanswer: GOOD\n {2}status 00h, host 00h, driver 00h, [\d.]+ ms\ndata: 36 of 36 bytes taken, residue 0\n {2}peripheralQualifier: 0\n[\s\S]*\n {2}vendor: BLKINT\n[\s\S]*\n {2}revision: 0001\n {2}00000000 {2}00 00 06 /,
  );
  t.match(stdout, /\|?BLKINT/);
  const refused = await cdb('28 e0 00000000 00 0001 00');
  t.equal(refused.status, 3);
  t.match(
    refused.stdout,
    /^answer: ILLEGAL REQUEST 05h\/24h\/00h: Invalid field in CDB\n.*\nsense: ILLEGAL.*\n {2}invalid: byte 1, bit 7 of the CDB\n {2}70 00 05/m,
  );
});

t.test('the answer of each kind, for people and as JSON', async (t) => {
  const pages = await cdb('12 01 00 00 ff 00');
  t.match(pages.stdout, /\n {2}evpd true, page 0x0, .*[\s\S]*\n {2}pages: 0x0, 0x80, 0x83, 0x86, /);
  const mode = await cdb('5a 08 0a 02 00 00 00 01 00 00');
  t.match(
    mode.stdout,
    /\n {2}blockDescriptors: none\n {2}pages: page 0xa, subpage 0x2, savable true, descriptors \(\(last /,
  );
  const commands = await cdb('a3 0c 00 00 00 00 00 00 04 00 00 00');
  t.match(commands.stdout, /\n {2}commands: opcode 0x7f, serviceAction 0x9, length 32, .*, timeouts none\n/);
  const capacity = await cdb('9e 10 00000000 00000000 00000020 0000', '--json');
  t.match(JSON.parse(capacity.stdout), {
    decoded: { blocks: 32768, blockSize: 512, protectionType: 1 },
    notDecoded: null,
  });
  const cut = await cdb('12 00 00 00 12 00');
  t.match(cut, {
    status: 0,
    stdout: /\n {2}cannot be decoded: standard INQUIRY data: byte 16: .*\n {2}00000000 {2}00 00 06/,
  });
  t.match(JSON.parse((await cdb(READ, '--json')).stdout), { decoded: null, notDecoded: null });
  t.match(JSON.parse((await cdb('28 e0 00000000 00 0001 00', '--json')).stdout), { decoded: null });
});

t.test('in any grouping, as JSON and to a file', async (t) => {
  const file = join(dir, 'block');
  const { status, stdout } = await cdb(...READ.split(' '), '-o', file, '--json', '--timeout', '5');
  t.equal(status, 0);
  t.match(JSON.parse(stdout), {
    verb: 'cdb',
    command: 'READ(16)',
    fields: { lba: 8, blocks: 1 },
    data: null,
  });
  t.same(readFileSync(file), Buffer.from(pattern(512, 8)));
  const { bytes, stderr } = await cdb(READ.replaceAll(' ', ''), '-o', '-', '--trace');
  t.same(bytes, Buffer.from(pattern(512, 8)));
  t.match(stderr, /^READ\(16\) lba=8 blocks=1, in 512 bytes: GOOD, [\d.]+ ms\n[^\n]*: READ\(16\) {2}88 00/m);
});

t.test('what is not sent', async (t) => {
  const write = '2a000000000000000100';
  for (const [args, message] of [
    [
      [write],
      /refused to send WRITE\(10\) .*it could alter the disk \(ERR_READ_ONLY\)\n.*blk-integrity write/,
    ],
    [[write, '--out'], /unknown option '--out'/],
    [[write, '-i', 'x'], /refused to send WRITE\(10\) .* with data/],
    [[READ, '-i', 'x'], /refused to send READ\(16\) .* with data/],
    [['c00000000000'], /not known here and might alter/],
    [['12', '00'], /6 to 32 bytes: 2 are given/],
    [['120000'.repeat(11)], /6 to 32 bytes: 33 are given/],
    [['1200000024'], /5 are given/],
    [['12000000240000'], /INQUIRY has 6 bytes: 7 are given/],
    [['12', 'xy'], /"xy" is no bytes in hex/],
    [['123', '00'], /"123" is no bytes in hex/],
    [['000000000000', '--in', '8'], /TEST UNIT READY brings no data/],
    [[READ, '--timeout', '0'], /--timeout/],
    [[READ, '-o', '-', '--json'], /cannot both go to stdout/],
  ] as const) {
    t.match(await cdb(...args), { status: 2, stdout: '', stderr: message }, args.join(' '));
  }
  t.match(await cli(['cdb', '/dev/no-such-disk', READ]), { status: 3, stderr: /ERR_NO_DEVICE/ });
});

const RANGE = ['--write', '--lba', '8', '--blocks', '2'];
const WRITE = '8a 00 0000000000000008 00000002 0000';

function file(name: string, bytes: Uint8Array): string {
  writeFileSync(join(dir, name), bytes);
  return join(dir, name);
}

t.test('--write: what ends GOOD stays, the rest is put back', async (t) => {
  const two = file('two', pattern(1024, 77));
  const { status, stdout, stderr } = await cdb(WRITE, ...RANGE, '-i', two);
  t.same({ status, stderr }, { status: 0, stderr: '' });
  t.match(stdout, /\nALTERED: 1024 bytes sent; what it did to blocks 8 to 9 stays\n$/);
  const same = await cdb(
    '93 00 0000000000000008 00000002 0000',
    ...RANGE,
    '-i',
    file('one', pattern(512, 7)),
    '--json',
    '--trace',
  );
  t.match(JSON.parse(same.stdout), {
    command: 'WRITE SAME(16)',
    outcome: 'good',
    altered: { effect: 'blocks', lba: 8, blocks: 2, sent: 512, kept: true, restored: null },
  });
  t.match(same.stderr, /^WRITE SAME\(16\) lba=8 blocks=2, out 512 bytes: GOOD/m);
  const wrong = await cdb(
    '8a 20 0000000000000008 00000001 0000',
    ...RANGE,
    '-i',
    file('wrong', pattern(520, 7)),
    '--json',
  );
  t.equal(wrong.status, 1);
  t.match(JSON.parse(wrong.stdout), { outcome: 'protection', altered: { kept: false, restored: 'exact' } });
  const miscompared = await cdb('89 00 0000000000000008 00000001 0000', ...RANGE, '-i', two);
  t.match(miscompared, {
    status: 3,
    stdout: /\nNOT KEPT: 1024 bytes sent; the blocks are back: data and tuples as they were\n$/,
  });
});

t.test('VERIFY compares without --write', async (t) => {
  const verify = '8f 02 0000000000000008 00000002 0000';
  const two = file('there', Buffer.concat([pattern(512, 8), pattern(512, 9)]));
  t.match(await cdb(verify, '-i', two), {
    status: 0,
    stdout: /answer: GOOD\n[\s\S]*\ndata: 1024 bytes sent to be compared; nothing of them is stored\n$/,
  });
  const wrong = await cdb(verify, '-i', file('other', pattern(1024, 77)));
  t.match(wrong, { status: 3, stdout: /answer: MISCOMPARE/ });
  t.match(await cdb(verify, '-i', two, '--write'), {
    status: 2,
    stderr: /cannot alter the disk.*\n.*Leave out --write/,
  });
  t.match(await cdb(verify), { status: 2, stderr: /0 bytes, 1024 are needed/ });
});

t.test('--write without a range', async (t) => {
  const page = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0x0a, 0x04, 0x10, 0, 0x80, 0, 0, 0, 0, 0, 0);
  const select = await cdb('55 10 0000000000 0014 00', '--write', '-i', file('page', page), '--json');
  t.match(JSON.parse(select.stdout), {
    outcome: 'good',
    altered: { effect: 'mode pages', lba: null, sent: 20, kept: true },
  });
  const odd = await cdb('55 10 0000000000 0014 00', '--write', '-i', file('odd', page.with(12, 1)));
  t.match(odd, {
    status: 3,
    stdout:
      /invalid: byte 12.* of the parameter list[\s\S]*\nNOT GOOD: 20 bytes sent; whatever it did stays\n$/,
  });
  const format = await cdb('04 00 00 00 00 00', '--write');
  t.match(format, {
    status: 0,
    stdout: /ALTERED: 0 bytes sent; whole medium: it stays, and the disk is another now/,
  });
  t.match(await cdb('35 00 00000000 00 0000 00', '--write'), { status: 0, stdout: /unit: it stays/ });
});

t.test('--write: what is not sent', async (t) => {
  const two = file('two', pattern(1024, 77));
  for (const [args, message] of [
    [[WRITE, ...RANGE], /0 bytes, 1024 are needed/],
    [[WRITE, ...RANGE, '-i', file('short', new Uint8Array(1023))], /1023 bytes, 1024 are needed/],
    [[WRITE, ...RANGE, '-i', file('huge', new Uint8Array(2 ** 21))], /2097152 bytes/],
    [[WRITE, '--write', '-i', two], /alters blocks.*\n.*--lba A --blocks N/],
    [[WRITE, '--write', '--lba', '8', '-i', two], /come together/],
    [[WRITE, '--write', '--lba', '9', '--blocks', '2', '-i', two], /not all in the claimed region/],
    [[WRITE, '--write', '--lba', '0x7ff', '--blocks', '0', '-i', two], /--blocks/],
    [[WRITE, '--lba', '8', '--blocks', '2'], /are for --write/],
    [[WRITE, '--journal', 'x'], /are for --write/],
    [[READ, ...RANGE], /cannot alter the disk[\s\S]*Leave out --write/],
    [[READ, '--write', '--in', '512'], /no data comes in/],
    [['04 00 00 00 00 00', ...RANGE], /is for no blocks of a range/],
    [['c0 00 00 00 00 00', '--write'], /not known here/],
    [['8a 00 00', '0000', '00', '--write'], /WRITE\(16\) has 16 bytes: 6/],
    [['8a c0 0000000000000008 00000002 0000', ...RANGE, '-i', two], /protect field 6 is reserved/],
  ] as const) {
    t.match(await cdb(...args), { status: 2, stdout: '', stderr: message }, args.join(' '));
  }
});
