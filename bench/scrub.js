/**
 * Scrub of whole disks beside fio's sequential read of the same disk in the same kernel, with the same transfers, as many under way. Needs root
 * and a kernel with scsi_debug, NVMe and TCMU; what is not there is named, and not measured. Without names all of TARGETS:
 *
 *   blk-integrity testbed vm --install --nvme size=384 --nvme block=4096,size=384 -- node bench/scrub.js [NAME…]
 *
 * Figures are medians over ROUNDS, in turns, of each and of ours to fio's; only the ratios travel from machine to machine. One scrub before them
 * does not count: V8 compiles during it, which is nothing in a scrub of hours. Where processors are
 * emulated they take turns on one thread, and what waits for another, or spins, costs up to a tenth of a second: one alone tells more
 * (sh -c 'echo 0 > /sys/devices/system/cpu/cpu1/online; node bench/scrub.js').
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createScsiDebug, IntegrityError, interpret, openDevice, readSnapshot, scrub } from 'blk-integrity';
import { NVME_SERIAL } from '../lib/testbed/vm/nvme.js';

const ROUNDS = 5;
const QUEUE_DEPTH = 8;
const SIZE_MIB = 384;

/** A disk of this machine that is not there. */
class Missing extends Error {}

const run = (program, ...args) =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** Full of what does not look alike anywhere; the kernel makes the tuples. */
function fill(device, mib) {
  run('dd', 'if=/dev/urandom', `of=${device}`, 'bs=1M', `count=${mib}`, 'oflag=direct');
}

const scsiDebug = (options) => async () => {
  const made = await createScsiDebug({ ...options, sizeMiB: SIZE_MIB });
  fill(made.device, SIZE_MIB);
  return { device: made.device, remove: () => made[Symbol.asyncDispose]() };
};

const SCAN_MS = 2000;

/** A namespace of the testbed's own controller, with tuples alone as metadata: nobody else's is written. */
const nvme = (blockSize) => async () => {
  try {
    run('modprobe', 'nvme');
  } catch ({ message }) {
    throw new Missing(message.trim());
  }
  await delay(SCAN_MS);
  const found = interpret(await readSnapshot()).find(
    ({ kind, name, logicalBlockSize, integrity }) =>
      kind === 'nvme' &&
      logicalBlockSize === blockSize &&
      integrity.format === 'T10-DIF-TYPE1-CRC' &&
      readFileSync(`/sys/block/${name}/device/serial`, 'utf8').trim() === NVME_SERIAL,
  );
  if (found === undefined) throw new Missing(`no testbed vm --nvme block=${blockSize},size=${SIZE_MIB}`);
  const device = `/dev/${found.name}`;
  fill(device, Number(found.blocks) * (blockSize / 2 ** 20));
  return { device, remove: async () => {} };
};

const MEMORY_UNIT = fileURLToPath(new URL('./memory-unit.js', import.meta.url));

/** The unit of memory-unit.js, of which each READ takes so long. */
const memoryUnit = (readMs) => async () => {
  const program = [MEMORY_UNIT, SIZE_MIB, readMs];
  const child = spawn(process.execPath, program, { stdio: ['pipe', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  const said = await Promise.race([once(child.stdout.setEncoding('utf8'), 'data'), exit]);
  if (child.exitCode !== null) throw new Missing('TCMU or tcm_loop is not there');
  const remove = async () => {
    child.stdin.end();
    await exit;
  };
  return { device: said[0].trim(), remove };
};

const TARGETS = {
  'scsi_debug type 1, 512': scsiDebug({ dif: 1 }),
  'scsi_debug type 3, 512': scsiDebug({ dif: 3 }),
  'scsi_debug type 1, 4096': scsiDebug({ dif: 1, sectorSize: 4096 }),
  'scsi_debug type 1, 512, without DIX': scsiDebug({ dif: 1, dix: 0 }),
  'NVMe type 1, 512': nvme(512),
  'NVMe type 1, 4096': nvme(4096),
  'memory behind TCMU, type 1, 512': memoryUnit(0),
  'memory behind TCMU, 60 ms a READ': memoryUnit(60),
};

/** fio's arguments for the same path. Its sg engine sends the commands of a queue by write(2), for which the node must be open for writing. */
const throughBlockLayer = ({ device }) => [
  '--ioengine=io_uring',
  '--direct=1',
  '--readonly',
  `--filename=${device}`,
];
const PEERS = {
  'block-pi': throughBlockLayer,
  block: throughBlockLayer,
  passthrough: ({ device, sysfs }) => [
    '--ioengine=sg',
    `--filename=${sysfs.sg ? `/dev/${sysfs.sg.name}` : device}`,
  ],
};

/** MiB a second of one scrub of the whole disk, and how it was read. */
async function ours(device) {
  const disk = await openDevice(device, { queueDepth: QUEUE_DEPTH });
  try {
    const { bytesPerSecond, ended, path, by, findings } = await scrub(disk);
    if (ended !== 'finished' || findings.length > 0) throw new Error(`${ended}, ${findings.length} findings`);
    return { rate: bytesPerSecond / 2 ** 20, path, by, disk };
  } finally {
    await disk.close();
  }
}

const isFioHere = spawnSync('fio', ['--version']).status === 0;

/** The same of fio, from the beginning of the disk to its end; null where it is not installed. */
function fio({ path, disk }) {
  if (!isFioHere) return null;
  const { blocks, blockSize, transferBlocksMax } = disk;
  const said = run(
    'fio',
    ...['--name=seq', '--rw=read', '--thread', '--allow_file_create=0', '--output-format=json'],
    ...[`--iodepth=${QUEUE_DEPTH}`, `--bs=${transferBlocksMax * blockSize}`],
    ...[`--size=${Number(blocks) * blockSize}`, ...PEERS[path](disk)],
  );
  const { error, read } = JSON.parse(said.slice(said.indexOf('{'))).jobs[0];
  if (error !== 0) throw new Error(`fio: errno ${error}`);
  return { rate: read.bw_bytes / 2 ** 20, by: PEERS[path](disk)[0] };
}

/** Of each the rounds, in turns, after a scrub that is not one of them. */
async function measure(device) {
  await ours(device);
  const rounds = [];
  for (let round = 0; round < ROUNDS; round++) {
    const one = await ours(device);
    rounds.push({ ours: one, fio: fio(one) });
  }
  return rounds;
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

function besideFio(rounds) {
  const [{ fio }] = rounds;
  if (fio === null) return { 'beside it': 'fio is not installed: not compared' };
  return {
    'beside it': `fio ${fio.by}`,
    'its MiB/s': Math.round(median(rounds.map(({ fio }) => fio.rate))),
    ratio: Number(median(rounds.map(({ ours, fio }) => ours.rate / fio.rate)).toFixed(2)),
  };
}

const rows = [];
for (const name of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(TARGETS)) {
  if (!(name in TARGETS)) throw new Error(`${name}: one of ${Object.keys(TARGETS).join('; ')}`);
  let target;
  try {
    target = await TARGETS[name]();
  } catch (error) {
    if (!(error instanceof Missing || error instanceof IntegrityError)) throw error;
    console.log(`${name}: not measured: ${error.message}`);
    continue;
  }
  try {
    const rounds = await measure(target.device);
    const [{ ours: one }] = rounds;
    rows.push({
      disk: name,
      path: `${one.path}: ${one.by}`,
      'scrub MiB/s': Math.round(median(rounds.map(({ ours }) => ours.rate))),
      ...besideFio(rounds),
    });
    // At once: whoever ends it has what it came to.
    console.log(JSON.stringify(rows.at(-1)));
  } finally {
    await target.remove();
  }
}
console.log(`Linux ${release()}, Node ${process.version}; medians of ${ROUNDS} rounds`);
console.table(rows);
