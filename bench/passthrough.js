/**
 * READ(16) of 4 KiB by SG_IO on scsi_debug without delay: 1, 8 and 32 commands in flight, beside sg_dd, sgp_dd and fio's sg engine in the
 * same run. Needs root and a kernel with scsi_debug:
 *
 *   blk-integrity testbed vm --install -- node bench/passthrough.js
 *
 * Figures are medians of ROUNDS; only the ratios travel from machine to machine.
 */
import { execFileSync } from 'node:child_process';
import { createScsiDebug, openDevice } from 'blk-integrity';

const ROUNDS = 3;
const SECONDS = 2;
const BLOCKS = 8;
const DEPTHS = [1, 8, 32];
/** The whole disk, its process's start included. */
const DD_COMMANDS = 4096;

const run = (program, ...args) =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

async function ours(device, queueDepth) {
  const disk = await openDevice(device, { queueDepth });
  try {
    const end = performance.now() + SECONDS * 1000;
    const places = Number(disk.blocks) / BLOCKS;
    let commands = 0;
    const start = performance.now();
    await Promise.all(
      Array.from({ length: queueDepth }, async () => {
        while (performance.now() < end) {
          const lba = BigInt((commands++ % places) * BLOCKS);
          const { answer } = await disk.readAs({ size: 16 }, lba, BLOCKS);
          if (answer.kind !== 'good') throw answer.error;
        }
      }),
    );
    return (commands * 1000) / (performance.now() - start);
  } finally {
    await disk.close();
  }
}

function dd(program, device, ...options) {
  const args = [`if=${device}`, 'of=/dev/null', 'bs=512', `bpt=${BLOCKS}`, `count=${DD_COMMANDS * BLOCKS}`];
  const start = performance.now();
  run(program, ...args, ...options);
  return (DD_COMMANDS * 1000) / (performance.now() - start);
}

/** On an sg node its engine sends the commands of a queue by write(2), for which the node must be open for writing. */
function fio(device, iodepth) {
  const said = run(
    'fio',
    ...['--name=sg', '--ioengine=sg', `--filename=${device}`, `--iodepth=${iodepth}`, '--rw=read'],
    ...[`--bs=${BLOCKS * 512}`, '--time_based', `--runtime=${SECONDS}`, '--size=16m'],
    ...['--thread', '--allow_file_create=0', '--output-format=json'],
  );
  return JSON.parse(said.slice(said.indexOf('{'))).jobs[0].read.iops;
}

/** An sg descriptor takes no more commands at once, and they have one. */
const SG_QUEUE = 16;

/** By depth; null where a peer has no such thing. */
const PEERS = {
  sg_dd: (device, depth) => (depth === 1 ? dd('sg_dd', device) : null),
  sgp_dd: (device, depth) => (depth <= SG_QUEUE ? dd('sgp_dd', device, `thr=${depth}`) : null),
  'fio --ioengine=sg': (device, depth) => (depth <= SG_QUEUE ? fio(device, depth) : null),
};

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

const made = await createScsiDebug({ sizeMiB: 16, dif: 0, dix: 0 });
const disk = await openDevice(made.device);
const sg = `/dev/${disk.sysfs.sg.name}`;
await disk.close();
const rows = [];
for (const depth of DEPTHS) {
  const jobs = { 'blk-integrity': ours, ...PEERS };
  const medians = {};
  for (const [name, job] of Object.entries(jobs)) {
    const rates = [];
    for (let round = 0; round < ROUNDS; round++) rates.push(await job(sg, depth));
    medians[name] = rates.includes(null) ? null : median(rates);
  }
  for (const [name, rate] of Object.entries(medians)) {
    if (rate === null) continue;
    const ratio = Number((medians['blk-integrity'] / rate).toFixed(2));
    rows.push({ 'in flight': depth, what: name, 'commands/s': Math.round(rate), 'ours to it': ratio });
  }
}
await made[Symbol.asyncDispose]();
console.table(rows);
console.log(JSON.stringify(rows));
