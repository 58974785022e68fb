/**
 * `read`, `write` and `cdb` on disks of this kernel: one whose tuples cross SG_IO, and one whose do not.
 */
import { randomFillSync } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createScsiDebug, EmulatedDisk } from 'blk-integrity';
import type { Test } from 'tap';
import { cli } from './cli.js';
import { command } from './command.js';
import { sameBytes } from './same-bytes.js';

const SCSI_DEBUG_OPTS = '/sys/bus/pseudo/drivers/scsi_debug/opts';
/** scsi_debug's medium errors, with opts bit 1. */
const MEDIUM_ERROR_LBA = 0x1234;

export async function verbs(t: Test): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'verbs-'));
  for (const type of [1, 2] as const) {
    await t.test(`an emulated disk of type ${type}`, (t) => emulated(t, dir, type));
  }
  await t.test('scsi_debug', (t) => scsiDebug(t, dir));
  await rm(dir, { recursive: true });
}

/** The verb's exit status and the object that it prints. */
async function json(...args: string[]) {
  const { status, stdout, stderr } = await cli(...args, '--json');
  if (stdout === '') throw new Error(`${args.join(' ')}: ${stderr}`);
  return { status, stderr, report: JSON.parse(stdout) };
}

async function emulated(t: Test, dir: string, type: 1 | 2): Promise<void> {
  await using disk = await EmulatedDisk.create({ type, blocks: 8192 });
  await using attached = await disk.attach();
  const { sg } = attached;
  const [input, data, tuples] = ['in', 'data', 'tuples'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  // More than one transfer.
  const bytes = randomFillSync(Buffer.alloc(700 * 512));
  await writeFile(input, bytes);
  const range = ['--lba', '1000', '--blocks', '700'];
  const size = type === 2 ? 32 : 16;

  t.match(await json('write', sg, ...range, '-i', input), {
    status: 0,
    report: {
      path: 'passthrough',
      command: { name: `WRITE(${size})`, protect: 1 },
      tuples: 'software',
      kept: true,
    },
  });
  const read = await json('read', sg, ...range, '-o', data, '--tuples', tuples, '--trace');
  t.match(read, { status: 0, report: { delivered: 700, checked: 700, findings: [] } });
  t.match(
    read.stderr,
    new RegExp(`^READ\\(${size}\\) protect=1 lba=1000 blocks=\\d+.*, in \\d+ bytes: GOOD, `, 'm'),
  );
  sameBytes(t, await readFile(data), bytes);
  t.match(await cli('verify', '--seed', '1000', data, tuples), {
    status: 0,
    stdout: /700 checked, 0 escaped, 0 bad/,
  });

  const { id } = disk.addFault({ kind: 'guard', on: 'read', lba: 1003n, blocks: 1n });
  const bad = await json('read', sg, '--lba', '1000', '--blocks', '8');
  t.match(bad, {
    status: 1,
    report: {
      results: [
        { lba: 1000, blocks: 3, hardware: 'GOOD', software: { ok: 3 }, comparable: 'checked' },
        { lba: 1003, blocks: 1, hardware: 'refused by the device: guard', software: { guard: 1 } },
        { lba: 1004, blocks: 4, hardware: 'GOOD', software: { ok: 4 } },
      ],
    },
  });
  disk.removeFault(id);
  t.match(await cli('write', sg, '--lba', '1000', '--blocks', '700', '-i', input, '--tuples', input), {
    status: 2,
    stderr: /ERR_BAD_LENGTH/,
  });

  for (const cdb of ['12 01 83 00 60 00', '88 00 00 00 00 00 00 00 03 e8 00 00 00 02 00 00']) {
    await cli('cdb', sg, cdb, '-o', data);
    // sg_raw stops at what the command asks for, too.
    await command('sg_raw', '--request=1024', `--outfile=${tuples}`, sg, ...cdb.split(' '));
    sameBytes(t, await readFile(data), await readFile(tuples), `sg_raw: ${cdb}`);
  }

  const short = await json('cdb', sg, '28 20 00000000 00 0001 00');
  t.match(
    short,
    type === 2 ? { status: 3, report: { sense: { asc: 0x20 } } } : { status: 0, report: { received: 520 } },
  );
  t.match(await json('cdb', sg, '12 00 00 00 24 00'), {
    status: 0,
    report: { command: 'INQUIRY', residue: 0 },
  });
}

async function scsiDebug(t: Test, dir: string): Promise<void> {
  await using made = await createScsiDebug({ sizeMiB: 4 });
  const { device } = made;
  const [input, data] = [join(dir, 'in'), join(dir, 'data')];
  const bytes = randomFillSync(Buffer.alloc(600 * 512));
  await writeFile(input, bytes);
  const range = ['--lba', '64', '--blocks', '600'];

  const written = await json('write', device, ...range, '-i', input);
  t.match(written, { status: 0, report: { kept: true, findings: [] } });
  t.match(written.report.path, /^block(-pi)?$/, 'whoever makes the tuples');
  const read = await json('read', device, ...range, '-o', data);
  t.match(read, {
    status: 0,
    report: { path: written.report.path, command: null, delivered: 600, findings: [] },
  });
  sameBytes(t, await readFile(data), bytes);
  const [result] = read.report.results;
  t.equal(result.comparable, read.report.path === 'block-pi' ? 'checked' : 'no PI transferred');
  for (const size of ['6', '10', '12', '16']) {
    await cli('read', device, ...range, '--cdb-size', size, '--protect', '0', '-o', data);
    sameBytes(t, await readFile(data), bytes, `READ(${size})`);
  }

  t.match(await json('read', device, '--lba', '64', '--protect', '1'), {
    status: 3,
    report: {
      tuples: [],
      results: [{ hardware: /8 bytes were not transferred/, comparable: 'no PI transferred' }],
    },
  });
  t.match(await cli('write', device, '--lba', '64', '--blocks', '600', '-i', input, '--protect', '1'), {
    status: 3,
    stderr: /ERR_NO_PATH/,
  });
  t.match(await json('cdb', device, '9e 10 0000000000000000 00000020 00 00'), {
    status: 0,
    report: { command: 'READ CAPACITY(16)', requested: 32 },
  });
  t.match(await cli('cdb', device, '2a 00 00000000 00 0001 00'), { status: 2, stderr: /ERR_READ_ONLY/ });

  await writeFile(SCSI_DEBUG_OPTS, '2');
  const failed = await json(
    'read',
    device,
    '--lba',
    String(MEDIUM_ERROR_LBA - 4),
    '--blocks',
    '5',
    '--protect',
    '0',
  );
  await writeFile(SCSI_DEBUG_OPTS, '0');
  t.match(failed, {
    status: 3,
    report: { delivered: 4, findings: [{ kind: 'read-error', lba: MEDIUM_ERROR_LBA }] },
  });
}
