/**
 * sg3_utils on the attached disk: what they print and store is what the model holds.
 */
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EmulatedDisk, encodeCdb, openDevice } from 'blk-integrity';
import type { Test } from 'tap';
import { command } from './command.js';
import { describedAlike } from './sg3-description.js';

/** What each tool must print of a type 1 disk of 65536 blocks. */
const PRINTED: readonly (readonly [readonly string[], readonly RegExp[]])[] = [
  [['sg_inq'], [/Protect=1/, /Vendor identification: BLKINT/, /version=0x06/]],
  [
    ['sg_vpd', '-p', 'ei'],
    [/SPT=7 GRD_CHK=1 APP_CHK=1 REF_CHK=1/, /P_I_I_SUP=1/],
  ],
  [
    ['sg_vpd', '-p', 'bl'],
    [
      /WSNZ\): 1/,
      /compare and write length: 255/,
      /Maximum transfer length: 8192/,
      /Maximum unmap LBA count: 65536/,
    ],
  ],
  [
    ['sg_vpd', '-p', 'lbpv'],
    [/LBPU\): 1/, /LBPRZ\): 1/],
  ],
  [
    ['sg_vpd', '-p', 'sbl'],
    [/Logical block length: 4096/, /T3PS: 1/],
  ],
  [['sg_vpd', '-p', 'sn'], [/Unit serial number: blk-integrity-/]],
  [
    ['sg_readcap', '-l'],
    [/prot_en=1, p_type=0, p_i_exponent=0/, /Number of logical blocks=65536/, /lbpme=1, lbprz=1/],
  ],
  [['sg_modes', '-p', '0xa'], [/8a 0a 00 10 00 80/]],
  [['sg_opcodes'], [/Read\(32\)/, /Write scattered\(16\)/, /Compare and write/]],
];

export async function sg3Utils(t: Test): Promise<void> {
  const disk = await EmulatedDisk.create({ type: 1, blocks: 65536 });
  await using attached = await disk.attach();
  const { sg } = attached;
  for (const [[tool, ...options], patterns] of PRINTED) {
    const printed = await command(tool!, ...options, sg);
    for (const pattern of patterns) t.match(printed, pattern, `${tool} ${options.join(' ')}`);
  }

  {
    await using open = await openDevice(sg);
    await describedAlike(t, open.transport!, sg);
  }

  const file = join(tmpdir(), 'blk-integrity-sg3');
  const stored = async (lba: number, fields: object = {}) => {
    const data = new Uint8Array(520);
    const name = disk.format.type === 2 ? 'READ(32)' : 'READ(16)';
    const cdb = encodeCdb(name, { lba: BigInt(lba), blocks: 1, protect: 3, ...fields });
    await disk.transport().send({ cdb, direction: 'from-device', data });
    return Buffer.from(data).toString('hex');
  };

  const block = Buffer.alloc(520, 0x33);
  block.writeUInt16BE(0xb218, 512);
  block.writeUInt16BE(0x1234, 514);
  block.writeUInt32BE(16, 516);
  await writeFile(file, block);
  await command('sg_write_x', '--normal', '--16', '--lba=16', '--num=1', '--wrprotect=1', `--in=${file}`, sg);
  t.equal(await stored(16), block.toString('hex'), 'sg_write_x: block and tuple');
  t.equal(
    await command(
      'sg_raw',
      '-b',
      '-r',
      '520',
      sg,
      ...hexBytes(encodeCdb('READ(16)', { lba: 16n, blocks: 1, protect: 1 })),
    ).then(() => true),
    true,
    'sg_raw reads it',
  );
  await command(
    'sg_write_same',
    '--16',
    '--lba=100',
    '--num=3',
    '--wrprotect=1',
    '--xferlen=520',
    `--in=${await withRef(file, block, 100)}`,
    sg,
  );
  t.match(await stored(102), /b218123400000066$/, 'sg_write_same: the reference tag counts on');
  await command('sg_verify', '--16', '--lba=100', '--count=3', '--vrprotect=1', sg);
  block.writeUInt16BE(0, 512);
  await writeFile(file, block);
  await t.rejects(
    command('sg_write_x', '--normal', '--16', '--lba=16', '--num=1', '--wrprotect=1', `--in=${file}`, sg),
    { code: 40 },
    'a wrong guard: 40, a protection error',
  );
  await command('sg_write_x', '--normal', '--16', '--lba=16', '--num=1', '--wrprotect=3', `--in=${file}`, sg);
  await t.rejects(command('sg_verify', '--16', '--lba=16', '--count=1', sg), 'and 011b plants it');

  await command('sg_format', '--format', '--fmtpinfo=3', '--pfu=0', '--quick', '--wait', sg);
  await t.rejects(command('sg_readcap', '-l', sg), { code: 6 }, 'UNIT ATTENTION follows a format');
  t.match(await command('sg_readcap', '-l', sg), /prot_en=1, p_type=1/, 'sg_format makes it type 2');
  t.match(await stored(16), /ffffffffffffffff$/, 'tuples are FFh');
  block.writeUInt16BE(0xb218, 512);
  block.writeUInt32BE(0x55, 516);
  await writeFile(file, block);
  await command(
    'sg_write_x',
    ...[
      '--normal',
      '--32',
      '--lba=16',
      '--num=1',
      '--wrprotect=1',
      '--ref-tag=0x55',
      '--app-tag=0x1234',
      `--in=${file}`,
      sg,
    ],
  );
  t.match(await stored(16), /b218123400000055$/, 'WRITE(32) with tags');
  await command('sg_unmap', '--lba=16', '--num=1', '--force', sg);
  t.match(await stored(16), /ffffffffffffffff$/, 'sg_unmap');
  await rm(file);
}

function hexBytes(bytes: Uint8Array): string[] {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0'));
}

async function withRef(file: string, block: Buffer, ref: number): Promise<string> {
  block.writeUInt32BE(ref, 516);
  await writeFile(file, block);
  return file;
}
