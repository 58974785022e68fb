import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { tuplesFor } from '../../src/device/protected-range.js';
import { profileByName } from '../../src/pi/profile.js';
import { pattern } from '../../src/testbed/fill.js';
import { cli } from '../support/cli.js';

const dir = t.testdir();
const [DATA, TUPLES, BOTH, WRONG] = ['data', 'tuples', 'both', 'wrong'].map((name) => join(dir, name)) as [
  string,
  string,
  string,
  string,
];
const data = pattern(1024, 77);
const profile = profileByName('T10-DIF-TYPE1-CRC');
const tuples = tuplesFor({ profile, blockSize: 512, lba: 8n }, data);
writeFileSync(DATA, data);
writeFileSync(TUPLES, tuples);
writeFileSync(
  WRONG,
  tuples.map((byte, i) => (i === 1 ? byte ^ 1 : byte)),
);
const interleaved = [0, 1].flatMap((i) => [
  data.subarray(i * 512, (i + 1) * 512),
  tuples.subarray(i * 8, (i + 1) * 8),
]);
writeFileSync(BOTH, Buffer.concat(interleaved));

const RANGE = ['--lba', '8', '--blocks', '2'];
const write = (...args: string[]) => cli(['write', '--testbed', 'disk', ...RANGE, ...args]);

t.test('a file, with tuples, with both in one, or from stdin', async (t) => {
  for (const [args, made] of [
    [['-i', DATA], 'software'],
    [['-i', DATA, '--tuples', TUPLES], 'caller'],
    [['-i', BOTH, '--layout', 'interleaved'], 'caller'],
  ] as const) {
    const { status, stdout, stderr } = await write(...args, '--json', '--trace');
    t.equal(status, 0);
    t.match(JSON.parse(stdout), { verb: 'write', lba: 8, blocks: 2, tuples: made, kept: true, findings: [] });
    t.match(stderr, /^WRITE\(16\) protect=1 lba=8 blocks=2, out 1040 bytes: GOOD/m);
  }
  const piped = await cli(['write', '--testbed', 'disk', ...RANGE, '-i', '-'], { stdin: [data] });
  t.match(piped, {
    status: 0,
    stdout:
      /^blocks 8 to 9 by passthrough: WRITE\(16\) protect=1; tuples made by the software\nno findings\nWRITTEN, and read again: data and tuples/m,
  });
});

t.test('refused by the disk: exit status 1, and nothing is written', async (t) => {
  const { status, stdout } = await write('-i', DATA, '--tuples', WRONG);
  t.equal(status, 1);
  t.match(stdout, /the device refused the write: .*guard check failed/);
  t.match(stdout, /\nNOT WRITTEN: the blocks are back: data and tuples as they were\n$/);
  t.match(await write('-i', DATA, '--tuples', WRONG, '--protect', '3'), { status: 0, stdout: /WRITTEN/ });
});

t.test('what cannot be is said, and its exit status', async (t) => {
  const longer = await cli(['write', '--testbed', 'disk', ...RANGE, '-i', '-'], { stdin: [data, tuples] });
  t.match(longer, { status: 2, stderr: /stdin: more than 1024 bytes: 1024 needed \(ERR_BAD_LENGTH\)/ });
  const shorter = await cli(['write', '--testbed', 'disk', ...RANGE, '-i', '-'], { stdin: [tuples] });
  t.match(shorter, { status: 2, stderr: /stdin: 16 bytes: 1024 needed/ });
  for (const [args, status, message] of [
    [['-i', TUPLES], 2, /16 bytes: 1024 needed/],
    [['-i', DATA, '--tuples', DATA], 2, /1024 bytes: 16 needed/],
    [['-i', DATA, '--layout', 'interleaved'], 2, /1024 bytes: 1040 needed/],
    [['-i', BOTH, '--layout', 'interleaved', '--tuples', TUPLES], 2, /no --tuples/],
    [['-i', '-', '--tuples', '-'], 2, /both be stdin/],
    [['-i', DATA, '--protect', '2'], 2, /WRPROTECT 2/],
    [['-i', DATA, '--path', 'block'], 3, /ERR_NO_PATH/],
    [['-i', join(dir, 'none')], 3, /ENOENT/],
    [[], 2, /--input/],
  ] as const) {
    t.match(await write(...args), { status, stdout: '', stderr: message }, args.join(' '));
  }
  t.match(await cli(['write', '--testbed', 'disk', '-i', DATA, '--lba', '0']), {
    status: 2,
    stderr: /--blocks/,
  });
});
