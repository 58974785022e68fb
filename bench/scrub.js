/**
 * Scrub of a whole scsi_debug disk beside fio's sequential read of it in the same kernel: io_uring with tuples where the kernel has that, else reads
 * through the block layer, whose kernel checks them. fio's are reads through the block layer: the same bytes, and the kernel's check with them. Needs
 * root and a kernel with scsi_debug:
 *
 *   blk-integrity testbed vm --install --kernel newest -- node bench/scrub.js
 *
 * Figures are the best of ROUNDS, in turns; only the ratios travel from machine to machine.
 */
import { execFileSync } from 'node:child_process';
import { createScsiDebug, openDevice, scrub } from 'blk-integrity';

const ROUNDS = 5;
const QUEUE_DEPTH = 8;
const TRANSFER = 256 * 1024;
const SIZE_MIB = 128;

/** MiB a second of one scrub of the whole disk. */
async function ours(device) {
  const disk = await openDevice(device, { queueDepth: QUEUE_DEPTH });
  try {
    const { bytesPerSecond, ended, path, checker } = await scrub(disk);
    if (ended !== 'finished') throw new Error(ended);
    return { rate: bytesPerSecond / 2 ** 20, path, checker };
  } finally {
    await disk.close();
  }
}

/** The same disk from its beginning to its end, with the same transfers under way. */
function fio(device, engine, bs) {
  const said = execFileSync(
    'fio',
    ['--name=seq', `--filename=${device}`, '--rw=read', '--direct=1', '--thread', '--readonly'].concat(
      [`--ioengine=${engine}`, `--bs=${bs}`, `--iodepth=${QUEUE_DEPTH}`, `--size=${SIZE_MIB}m`],
      ['--allow_file_create=0', '--output-format=json'],
    ),
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
  );
  return JSON.parse(said.slice(said.indexOf('{'))).jobs[0].read.bw_bytes / 2 ** 20;
}

const rows = [];
for (const [what, options] of [
  ['scsi_debug type 1', { dif: 1 }],
  ['scsi_debug type 3', { dif: 3 }],
  ['scsi_debug type 1, 4096', { dif: 1, sectorSize: 4096 }],
]) {
  const made = await createScsiDebug({ ...options, sizeMiB: SIZE_MIB });
  execFileSync('dd', ['if=/dev/urandom', `of=${made.device}`, 'bs=1M', `count=${SIZE_MIB}`, 'oflag=direct'], {
    stdio: 'ignore',
  });
  const best = { ours: { rate: 0 }, fio: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const one = await ours(made.device);
    if (one.rate > best.ours.rate) best.ours = one;
    best.fio = Math.max(best.fio, fio(made.device, 'io_uring', TRANSFER));
  }
  await made[Symbol.asyncDispose]();
  const { rate, path, checker } = best.ours;
  rows.push({
    what,
    path,
    checker,
    'scrub MiB/s': Math.round(rate),
    'fio MiB/s': Math.round(best.fio),
    'ours to it': Number((rate / best.fio).toFixed(2)),
  });
}
console.table(rows);
console.log(JSON.stringify(rows));
