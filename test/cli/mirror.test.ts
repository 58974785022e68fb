import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  createReadStream,
  createWriteStream,
  existsSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import t from 'tap';
import { generateCommand } from '../../src/cli/generate.js';
import { parseChoice, parseInteger } from '../../src/cli/options.js';
import { verifyCommand } from '../../src/cli/verify.js';
import { ERROR_CODES, IntegrityError } from '../../src/errors.js';

interface Outcome {
  status: number;
  stdout: Buffer;
  text: string;
  stderr: string;
  error: IntegrityError | null;
}

interface Surroundings {
  stdin?: Iterable<Uint8Array> | Readable;
  isTTY?: boolean;
  signal?: AbortSignal;
}

/** One command line in this process. */
async function run(
  args: string[],
  { stdin = [], isTTY = false, signal }: Surroundings = {},
): Promise<Outcome> {
  const stdout = Object.assign(new PassThrough(), { isTTY });
  const stderr = new PassThrough();
  const outcome = { status: 0, error: null as IntegrityError | null };
  const io = {
    stdin: stdin instanceof Readable ? stdin : Readable.from(stdin, { objectMode: false }),
    stdout,
    stderr,
    signal: signal ?? new AbortController().signal,
    setExitStatus: (status: number) => {
      outcome.status = status;
    },
  };
  const printed = Promise.all([buffer(stdout), buffer(stderr)]);
  const program = new Command().addCommand(generateCommand(io)).addCommand(verifyCommand(io));
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof IntegrityError)) throw error;
    outcome.error = error;
    outcome.status = ERROR_CODES[error.code];
  }
  stdout.end();
  stderr.end();
  const [out, err] = await printed;
  return { ...outcome, stdout: out, text: out.toString(), stderr: err.toString() };
}

const filled = (byte: number, length = 512) => new Uint8Array(length).fill(byte);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bytes = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** Blocks of 5Ah, 33h, 00h, whose CRCs are 7867, b218 and 0000, and their tuples from reference tag 10 on. */
const DATA = Buffer.concat([filled(0x5a), filled(0x33), filled(0)]);
const TUPLES = bytes('7867 0000 0000000a  b218 0000 0000000b  0000 0000 0000000c');
const INTERLEAVED = Buffer.concat(
  [0, 1, 2].flatMap((i) => [DATA.subarray(512 * i, 512 * i + 512), TUPLES.subarray(8 * i, 8 * i + 8)]),
);

t.test('the mirror on files and pipes', async (t) => {
  const folder = t.testdir({ data: DATA, tuples: TUPLES, blocks: INTERLEAVED, empty: '' });
  const file = (name: string) => join(folder, name);
  const put = (name: string, content: Uint8Array) => {
    writeFileSync(file(name), content);
    return file(name);
  };

  t.test('generate', async (t) => {
    t.equal(hex((await run(['generate', file('data'), '--seed', '10'])).stdout), hex(TUPLES), 'from a file');
    t.equal(
      hex((await run(['generate', '--seed', '0x0A'], { stdin: [DATA] })).stdout),
      hex(TUPLES),
      'from stdin',
    );
    t.equal(
      hex((await run(['generate', '-', '--seed=10'], { stdin: [DATA] })).stdout),
      hex(TUPLES),
      'by the name -',
    );
    const blocks = await run(['generate', file('data'), '--seed', '10', '--layout', 'interleaved']);
    t.equal(hex(blocks.stdout), hex(INTERLEAVED));

    const tagged = await run(['generate', '--seed=16', '--app-tag', '0x1234'], { stdin: [filled(0x33)] });
    t.equal(hex(tagged.stdout), 'b218123400000010');
    const crc64 = await run(['generate', '--format', 'EXT-DIF-TYPE1-CRC64'], { stdin: [filled(0)] });
    t.equal(hex(crc64.stdout), '1de60e2868a782e90000000000000000');
    const wide = await run(['generate', '--interval=4096', '--metadata-size=16', '--pi-offset=8'], {
      stdin: [filled(0, 4096)],
    });
    t.equal(hex(wide.stdout), '00'.repeat(16));

    for (const [semantics, ref] of [
      ['6.1', '00000000'],
      ['6.12', '00000000'],
      ['7.1', '00000007'],
      ['current', '00000007'],
    ] as const) {
      const type3 = ['generate', '--format', 'T10-DIF-TYPE3-CRC', '--seed', '7', '--semantics', semantics];
      t.equal(hex((await run(type3, { stdin: [filled(0x5a)] })).stdout), `78670000${ref}`, semantics);
    }
    // The checksum of eight zero bytes, whatever the data: 6.12 sums the metadata alone.
    const behind = ['--format', 'T10-DIF-TYPE1-IP', '--metadata-size', '16', '--pi-offset', '8'];
    const ip = (semantics: string) =>
      run(['generate', ...behind, '--semantics', semantics], { stdin: [filled(1)] });
    t.equal(hex((await ip('6.12')).stdout).slice(16, 20), 'ffff');
    t.equal(hex((await ip('7.1')).stdout).slice(16, 20), 'fefe');
  });

  t.test('generate -o', async (t) => {
    const made = await run(['generate', file('data'), '--seed', '10', '-o', file('out'), '--json']);
    t.same(JSON.parse(made.text), { intervals: 3, bytes: 24 });
    t.equal(hex(readFileSync(file('out'))), hex(TUPLES));
    put('longer', filled(1, 1000));
    t.equal((await run(['generate', file('data'), '--seed', '10', '-o', file('longer')])).text, '');
    t.equal(hex(readFileSync(file('longer'))), hex(TUPLES), 'what was there is gone');

    execFileSync('mkfifo', [file('pipe')]);
    const reader = buffer(createReadStream(file('pipe')));
    await run(['generate', file('data'), '--seed', '10', '-o', file('pipe')]);
    t.equal(hex(await reader), hex(TUPLES), 'to a pipe');
  });

  t.test('generate refuses', async (t) => {
    const refused = async (args: string[], surroundings: Surroundings = {}) => {
      const { status, error, stdout } = await run(['generate', ...args], surroundings);
      t.equal(stdout.length, 0);
      return `${status} ${error?.code} ${error?.message}`;
    };
    t.match(await refused([file('data')], { isTTY: true }), /^2 ERR_USAGE .*stdout is a terminal/);
    t.match(await refused([file('data'), '--json']), /^2 ERR_USAGE --json/);
    symlinkSync('/dev/null', file('link'));
    t.match(
      await refused([file('data'), '-o', '/dev/null']),
      /^2 ERR_USAGE .* neither a regular file nor a pipe/,
    );
    t.match(
      await refused([file('data'), '-o', file('link')]),
      /^2 ERR_USAGE .* neither a regular file nor a pipe/,
    );
    t.match(await refused([file('data'), '-o', folder]), /^2 ERR_USAGE .* neither a regular file nor a pipe/);
    t.match(await refused([file('data'), '-o', file('data')]), /^2 ERR_USAGE .* is being read/);
    t.equal(hex(readFileSync(file('data'))), hex(DATA), 'and the data is as it was');
    t.match(await refused([file('data'), '-o', join(folder, 'no', 'such')]), /^3 ERR_IO cannot write/);

    put('short', filled(1, 700));
    t.match(await refused([file('short'), '-o', file('never')]), /^2 ERR_BAD_LENGTH 700 bytes/);
    t.equal(existsSync(file('never')), false, 'nothing is made of data that does not fit');
    t.match(await refused([], { stdin: [filled(1, 700)] }), /^2 ERR_BAD_LENGTH 700 bytes/);
  });

  t.test('verify', async (t) => {
    const clean = await run(['verify', file('data'), file('tuples'), '--seed', '10']);
    t.equal(clean.text, '3 intervals: 3 checked, 0 escaped, 0 bad\n');
    t.equal(clean.status, 0);
    t.equal((await run(['verify', file('data'), '-', '--seed', '10'], { stdin: [TUPLES] })).status, 0);
    t.equal((await run(['verify', '-', file('tuples'), '--seed', '10'], { stdin: [DATA] })).status, 0);
    t.equal((await run(['verify', file('blocks'), '--layout=interleaved', '--seed', '10'])).status, 0);
    t.equal(
      (await run(['verify', '--layout=interleaved', '--seed', '10'], { stdin: [INTERLEAVED] })).status,
      0,
    );

    const bad = [
      'verify',
      file('data'),
      put('bad', bytes('7867 1111 0000000a  b219 0000 0000000b  ffff ffff ffffffff')),
    ];
    const text = await run([...bad, '--seed', '10', '--app-tag', '0']);
    t.equal(
      text.text,
      'interval 0: app stored 0x1111, computed 0x0000 (data at byte 0, tuple at byte 0)\n' +
        'interval 1: guard stored 0xb219, computed 0xb218 (data at byte 512, tuple at byte 8)\n' +
        '3 intervals: 2 checked, 1 escaped, 2 bad\n' +
        'diagnosis: app-tag, 1 of 2 looked at, from interval 0: only the application tag is another than the one expected\n' +
        'diagnosis: guard-bit-flip, 1 of 2 looked at, from interval 1: one flipped bit in the guard (1: bit 0 of byte 1 of the tuple)\n',
    );
    t.equal(text.status, 1);
    const json = await run([...bad, '--seed', '11', '--json']);
    t.same(JSON.parse(json.text), {
      ok: false,
      intervals: 3,
      checked: 2,
      escaped: 1,
      findings: [
        { interval: 0, check: 'ref', stored: 10, computed: 11, dataOffset: 0, tupleOffset: 0, ref: 11 },
        { interval: 1, check: 'ref', stored: 11, computed: 12, dataOffset: 512, tupleOffset: 8, ref: 12 },
      ],
      diagnosis: [
        {
          kind: 'ref-bit-flip',
          intervals: 1,
          lookedAt: 2,
          first: 0,
          parameters: {},
          flipped: [{ interval: 0, field: 'ref', byte: 7, bit: 0 }],
          alsoFits: ['misdirected'],
          text: 'one flipped bit in the reference tag',
        },
        {
          kind: 'unknown',
          intervals: 1,
          lookedAt: 2,
          first: 1,
          parameters: {},
          flipped: [],
          alsoFits: [],
          text: 'nothing that is known here explains it',
        },
      ],
    });
    t.equal(json.status, 1);
    const nothing = await run(['verify', file('data'), file('tuples'), '--seed', '10', '--json']);
    t.same(JSON.parse(nothing.text), {
      ok: true,
      intervals: 3,
      checked: 3,
      escaped: 0,
      findings: [],
      diagnosis: [],
    });

    const escaped = await run(['verify', file('data'), put('escapes', filled(0xff, 24))]);
    t.equal(escaped.text, '3 intervals: 0 checked, 3 escaped, 0 bad: NOTHING WAS CHECKED\n');
    t.equal(escaped.status, 3, 'an escape is no pass');
    t.equal(escaped.stderr, 'blk-integrity: nothing was checked: 3 of 3 intervals are escaped\n');
    const told = await run(['verify', file('data'), file('escapes'), '--json']);
    t.match(JSON.parse(told.text), { ok: true, intervals: 3, checked: 0, escaped: 3 });
    t.match(told, { status: 3, stderr: /^blk-integrity: nothing was checked/ });
    const inPart = put('in part', bytes('7867 0000 00000000  ffff ffff ffffffff  ffff ffff ffffffff'));
    t.match(await run(['verify', file('data'), inPart]), { status: 0, stderr: '' });
    const nop = await run(['verify', file('data'), file('tuples'), '--format=nop', '--metadata-size=8']);
    t.equal(nop.text, '3 intervals: 0 checked, 0 escaped, 0 bad: NOTHING WAS CHECKED\n');
    t.match(nop, { status: 0, stderr: '' }, 'no tuples, none asked for');
    t.equal(
      (await run(['verify', file('data'), '--format=none', '--json'])).status,
      0,
      'no metadata, none asked for',
    );

    const crc64 = ['--format=EXT-DIF-TYPE1-CRC64', '--seed', '1'];
    const wide = put('crc64', bytes('0de60e2868a782e9 0000 000000000001'));
    const zeros = put('zeros', filled(0));
    t.same(JSON.parse((await run(['verify', zeros, wide, ...crc64, '--json'])).text).findings, [
      {
        interval: 0,
        check: 'guard',
        stored: '0x0de60e2868a782e9',
        computed: '0x1de60e2868a782e9',
        dataOffset: 0,
        tupleOffset: 0,
        ref: 1,
      },
    ]);
    t.match(
      (await run(['verify', zeros, wide, ...crc64])).text,
      'stored 0x0de60e2868a782e9, computed 0x1de6',
    );
    t.match(
      (await run(['verify', zeros, wide, '--format=EXT-DIF-TYPE1-CRC64'])).text,
      'ref stored 0x000000000001, computed 0x000000000000',
    );
  });

  t.test('offsets in one stream of many pieces', async (t) => {
    const blocks = 2500;
    const { stdout } = await run(['generate', '--layout=interleaved'], {
      stdin: [Buffer.alloc(blocks * 512)],
    });
    stdout[2400 * 520]! ^= 1;
    const { text } = await run(['verify', '--layout=interleaved', '--json'], { stdin: [stdout] });
    t.match(JSON.parse(text).findings, [
      { interval: 2400, dataOffset: 2400 * 520, tupleOffset: 2400 * 520 + 512, ref: 2400 },
    ]);
    const type3 = await run(['verify', '--layout=interleaved', '--json', '--format=T10-DIF-TYPE3-CRC'], {
      stdin: [stdout],
    });
    t.match(JSON.parse(type3.text).findings, [{ interval: 2400, ref: null }]);
  });

  t.test('no intervals', async (t) => {
    const verified = await run(['verify', file('empty'), file('empty')]);
    t.equal(verified.text, '0 intervals: 0 checked, 0 escaped, 0 bad: NOTHING WAS CHECKED\n');
    t.equal(verified.status, 0);
    t.same(JSON.parse((await run(['verify', '--layout=interleaved', '--json'])).text), {
      ok: true,
      intervals: 0,
      checked: 0,
      escaped: 0,
      findings: [],
      diagnosis: [],
    });
    const generated = await run(['generate', file('empty')]);
    t.equal(generated.stdout.length, 0);
    t.equal(generated.stderr, `0 intervals in ${file('empty')}\n`);
    t.equal(generated.status, 0);
  });

  t.test('verify refuses', async (t) => {
    const refused = async (...args: string[]) => {
      const { status, error, text } = await run(['verify', ...args], { stdin: [TUPLES] });
      t.equal(text, '', 'nothing is printed');
      return `${status} ${error?.code} ${error?.message}`;
    };
    const data = file('data');
    t.equal(
      await refused(data, put('truncated', TUPLES.subarray(0, 23))),
      '2 ERR_BAD_LENGTH 23 bytes of metadata for 3 intervals of 8: 24 needed',
    );
    t.equal(
      await refused(data, put('oversized', Buffer.concat([TUPLES, TUPLES]))),
      '2 ERR_BAD_LENGTH 48 bytes of metadata for 3 intervals of 8: 24 needed',
    );
    t.match(await refused(data, data), /^2 ERR_BAD_LENGTH 1536 bytes of metadata/);
    t.match(await refused(file('blocks'), file('tuples')), /^2 ERR_BAD_LENGTH 1560 bytes/);
    t.match(await refused(data), /^2 ERR_USAGE the separate layout takes DATA and METADATA/);
    t.match(await refused(file('blocks'), file('tuples'), '--layout=interleaved'), /^2 ERR_USAGE METADATA/);
    t.match(await refused('-', '-'), /^2 ERR_USAGE DATA and METADATA cannot both be stdin/);
    t.match(
      await refused(data, '-', '--format', 'T10'),
      /^2 ERR_UNKNOWN_FORMAT no format is named "T10": .*nop, none$/,
    );
    for (const [option, value] of [
      ['--interval', '520'],
      ['--interval', '0'],
      ['--interval', '-512'],
      ['--seed', '-1'],
      ['--seed', '18446744073709551616'],
      ['--seed', '1e3'],
      ['--seed', ''],
      ['--app-tag', '65536'],
      ['--app-tag', 'all'],
      ['--metadata-size', '4'],
      ['--metadata-size', '9'.repeat(400)],
      ['--pi-offset', '1'],
      ['--layout', 'both'],
      ['--semantics', '2.6'],
    ] as const) {
      t.match(
        await refused(data, file('tuples'), `${option}=${value}`),
        /^2 ERR_(USAGE|OUT_OF_RANGE) /,
        `${option} ${value}`,
      );
    }
    const behind = ['--metadata-size=16', '--pi-offset=8', '--semantics=6.1'];
    t.match(await refused(data, '-', ...behind), /^2 ERR_OUT_OF_RANGE piOffset 8: Linux 6.1/);
    t.match(await refused(data, file('missing')), /^3 ERR_IO cannot read .*missing/);
    t.match(await refused(folder, file('tuples')), /^3 ERR_IO cannot read .*EISDIR/);
  });

  t.test('a pipe that ends too soon or too late', async (t) => {
    const piped = async (tuples: Uint8Array) => {
      const { status, error } = await run(['verify', file('data'), '-', '--seed', '10'], { stdin: [tuples] });
      return `${status} ${error?.message}`;
    };
    t.equal(await piped(TUPLES.subarray(0, 23)), '2 23 bytes of metadata for 3 intervals of 8: 24 needed');
    t.equal(
      await piped(Buffer.concat([TUPLES, filled(0, 9)])),
      '2 25 bytes of metadata for 3 intervals of 8: 24 needed',
    );
    const stream = await run(['verify', '--layout=interleaved', '--seed=10'], {
      stdin: [INTERLEAVED.subarray(0, 1500)],
    });
    t.match(stream.error?.message, '1500 bytes are no whole number of intervals of 512 + 8');
  });

  t.test('many pieces: seeds, interval numbers and crumbs carry on', async (t) => {
    // 3 MiB and one block in crumbs of 1000 bytes, by a seed that wraps on the way.
    const blocks = 6145;
    const data = Buffer.alloc(blocks * 512, 0x5a);
    const expected = Buffer.concat(
      Array.from({ length: blocks }, (_, i) => {
        const tuple = Buffer.from('7867000000000000', 'hex');
        tuple.writeUInt32BE((0xfffff000 + i) % 2 ** 32, 4);
        return tuple;
      }),
    );
    const crumbs = function* () {
      for (let at = 0; at < data.length; at += 1000) yield data.subarray(at, at + 1000);
    };
    const generated = await run(['generate', '--seed', '0xfffff000'], { stdin: crumbs() });
    t.ok(generated.stdout.equals(expected));

    for (const i of [0, 2047, 2048, 6144]) expected[8 * i]! ^= 1;
    const verified = await run(['verify', '-', put('many', expected), '--seed', '0xfffff000', '--json'], {
      stdin: crumbs(),
    });
    t.same(JSON.parse(verified.text), {
      ok: false,
      intervals: blocks,
      checked: blocks,
      escaped: 0,
      findings: [0, 2047, 2048, 6144].map((interval) => ({
        interval,
        check: 'guard',
        stored: 0x7967,
        computed: 0x7867,
        dataOffset: 512 * interval,
        tupleOffset: 8 * interval,
        ref: (0xfffff000 + interval) % 2 ** 32,
      })),
      diagnosis: [
        {
          kind: 'guard-bit-flip',
          intervals: 4,
          lookedAt: 4,
          first: 0,
          parameters: {},
          flipped: [0, 2047, 2048, 6144].map((interval) => ({ interval, field: 'guard', byte: 0, bit: 0 })),
          alsoFits: [],
          text: 'one flipped bit in the guard',
        },
      ],
    });
  });

  t.test('interrupted while it waits for stdin', async (t) => {
    const interrupt = new AbortController();
    const stdin = new PassThrough();
    stdin.write(filled(0x5a));
    setTimeout(() => interrupt.abort(), 20);
    const { status, error } = await run(['verify', '--layout', 'interleaved'], {
      stdin,
      signal: interrupt.signal,
    });
    t.equal(error?.code, 'ERR_ABORTED');
    t.equal(status, 130);
  });

  t.test('a FIFO: waited for, read to its end, and let go by a signal', async (t) => {
    execFileSync('mkfifo', [file('fifo')]);
    const late = run(['generate', file('fifo')]);
    setTimeout(() => createWriteStream(file('fifo')).end(Buffer.alloc(3 * 2 ** 20, 0x5a)), 50);
    t.equal((await late).stdout.length, 3 * 2 ** 11 * 8);

    const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));
    // It sends itself the signal, some time after it has begun to wait for it.
    const signalled = `data:text/javascript,const before = process.listenerCount('SIGINT');
    const t = setInterval(() => {
      if (process.listenerCount('SIGINT') === before) return;
      clearInterval(t);
      setTimeout(() => process.kill(process.pid, 'SIGINT'), 200);
    }, 10);`;
    const interrupted = (...args: string[]) => {
      const options = { timeout: 10_000, killSignal: 'SIGKILL', encoding: 'utf8' } as const;
      const { status, stderr } = spawnSync(process.execPath, ['--import', signalled, main, ...args], options);
      return `${status} ${stderr}`;
    };
    const ended = /^130 blk-integrity: interrupted/;
    t.match(interrupted('verify', file('fifo'), file('tuples')), ended, 'without a writer');
    t.match(interrupted('generate', file('data'), '-o', file('fifo')), ended, 'without a reader');
    const otherEnd = openSync(file('fifo'), 'r+');
    t.match(interrupted('verify', file('fifo'), file('tuples')), ended, 'with a writer that says nothing');
    put('much', filled(1, 2 ** 22));
    t.match(
      interrupted('generate', file('much'), '--layout=interleaved', '-o', file('fifo')),
      ended,
      'with a reader that takes nothing',
    );
    closeSync(otherEnd);
  });

  t.test('given up before a file is opened', async (t) => {
    put('whole', DATA);
    for (const args of [
      ['verify', file('whole'), file('tuples')],
      ['generate', file('whole'), '-o', file('never')],
    ]) {
      const { status, error } = await run(args, { signal: AbortSignal.abort() });
      t.match({ status, error }, { status: 130, error: { code: 'ERR_ABORTED' } }, args[0]!);
    }
    t.equal(existsSync(file('never')), false);
  });

  t.test('the file behind stdin or stdout is known by its inode', async (t) => {
    const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));
    const shell = (line: string) => {
      const { status, stderr } = spawnSync('sh', ['-c', line, process.execPath, main, file('self')], {
        encoding: 'utf8',
        timeout: 10_000,
      });
      return `${status} ${stderr}`;
    };
    put('self', DATA);
    t.match(shell('"$0" "$1" generate - -o "$2" <"$2"'), /^2 .*self is stdin, which is being read/);
    t.match(shell('"$0" "$1" generate "$2" >>"$2"'), /^2 .*stdout is .*self, which is being read/);
    t.equal(hex(readFileSync(file('self'))), hex(DATA));
    t.match(shell('"$0" "$1" generate <"$2" >"$2.tuples"'), /^0 $/);
  });

  t.test('as a process, and without the addon', async (t) => {
    const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));
    const child = (flags: string[], args: string[], input: Uint8Array) => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, main, ...args], { input });
      return { status, stdout: stdout.toString('hex'), text: stdout.toString(), stderr: stderr.toString() };
    };
    const generated = child(['--no-addons'], ['generate', '--seed', '10'], DATA);
    t.match(generated, { status: 0, stdout: hex(TUPLES), stderr: '' });
    const verified = child([], ['verify', '-', file('bad'), '--seed', '10'], DATA);
    t.match(verified, {
      status: 1,
      text: /^interval 1: guard .*\n3 intervals: 2 checked, 1 escaped, 1 bad\ndiagnosis: guard-bit-flip, .*\n$/,
      stderr: '',
    });
    const refused = child([], ['verify', '-', file('tuples'), '--seed', '-1'], DATA);
    t.match(refused, { status: 2, text: '', stderr: /--seed/ });
    for (const verb of ['generate', 'verify']) {
      t.match(child([], [verb, '--help'], filled(0, 0)), {
        status: 0,
        text: /--seed <n>.*default: 0\)/s,
        stderr: '',
      });
    }
  });
});

t.test('numbers and choices', async (t) => {
  t.equal(parseInteger('--lba', '0xFF', { min: 0n, max: 255n }), 255n);
  t.equal(parseInteger('--blocks', '007', { min: 1, max: 7 }), 7);
  for (const text of [
    '-1',
    '+1',
    '1.0',
    '1e3',
    '0x',
    '0b1',
    ' 1',
    '1n',
    'NaN',
    '',
    '8',
    '0',
    '9'.repeat(1000),
  ]) {
    t.throws(
      () => parseInteger('--blocks', text, { min: 1, max: 7 }),
      { code: 'ERR_USAGE', message: /^--blocks ".*from 1 to 7/ },
      text,
    );
  }
  t.equal(parseChoice('--guard', 'ip', ['crc', 'ip']), 'ip');
  t.throws(() => parseChoice('--guard', 'md5', ['crc', 'ip']), {
    code: 'ERR_USAGE',
    message: '--guard "md5" is none of crc, ip',
  });
});
