import { readFileSync } from 'node:fs';
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
    /: INQUIRY {2}12 00 00 00 24 00\n {2}evpd false, page 0, allocationLength 36\nanswer: GOOD\n {2}status 00h, host 00h, driver 00h, [\d.]+ ms\ndata: 36 of 36 bytes taken, residue 0\n {2}00000000 {2}00 00 06 /,
  );
  t.match(stdout, /\|?BLKINT/);
  const refused = await cdb('28 e0 00000000 00 0001 00');
  t.equal(refused.status, 3);
  t.match(
    refused.stdout,
    /^answer: ILLEGAL REQUEST 05h\/24h\/00h: Invalid field in CDB\n.*\nsense: ILLEGAL.*\n {2}invalid: byte 1, bit 7 of the CDB\n {2}70 00 05/m,
  );
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
    [[write, '--out', '-i', 'x'], /refused to send WRITE\(10\) .* with data/],
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
