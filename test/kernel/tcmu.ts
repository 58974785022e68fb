/**
 * A logical unit of this process as a real /dev/sgN: bytes, sense, order, and every way to an end.
 */
import { spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { access, open, readdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  type AttachedUnit,
  type AttachOptions,
  alignedBuffer,
  attachLogicalUnit,
  readCdb,
  removeStaleUnits,
  writeCdb,
} from 'blk-integrity';
import type { Test } from 'tap';
import { type NativeHandle, native, type SgResult } from '../../lib/binding.js';
import { BLOCK, RamUnit } from './ram-unit.js';

const BLOCKS = 2048;
const PROTECTED = BLOCK + 8;
const DID_TIME_OUT = 3;
const DID_NO_CONNECT = 1;
const CHECK_CONDITION = 2;
const TASK_ABORTED = 0x40;

export async function tcmu(t: Test): Promise<void> {
  await t.test('bytes and sense', bytesAndSense);
  await t.test('through sd', throughSd);
  await t.test('several units, and one that fails', severalUnits);
  await t.test('out of order', outOfOrder);
  await t.test('a load', load);
  await t.test('what is never answered', neverAnswered);
  await t.test('detached with commands in flight', detachedInFlight);
  await t.test('the process is killed', killed);
  t.same(await leftovers(), [], 'nothing is left in configfs');
}

function attach(unit: RamUnit, options: Partial<AttachOptions> = {}): Promise<AttachedUnit> {
  return attachLogicalUnit(unit, {
    name: 'ram',
    sizeBytes: BigInt(BLOCKS * BLOCK),
    blockSize: BLOCK,
    sd: false,
    ...options,
  });
}

async function openSg(path: string): Promise<NativeHandle & AsyncDisposable> {
  const handle = new (native().Handle)();
  const { errno } = await handle.open(path, constants.O_RDWR);
  if (errno !== 0) throw new Error(`${path}: errno ${errno}`);
  return Object.assign(handle, { [Symbol.asyncDispose]: () => handle.close() });
}

function send(sg: NativeHandle, cdb: Uint8Array, data: Uint8Array | null, out = false, timeoutMs = 30_000) {
  const direction = data === null ? 'none' : out ? 'to-device' : 'from-device';
  return sg.sgIo({ cdb, direction, data, timeoutMs });
}

function read(sg: NativeHandle, lba: number, timeoutMs?: number): Promise<SgResult> {
  return send(sg, readCdb({ size: 10, lba: BigInt(lba), blocks: 1 }), alignedBuffer(BLOCK), false, timeoutMs);
}

async function bytesAndSense(t: Test): Promise<void> {
  const unit = new RamUnit(BLOCKS);
  randomFillSync(unit.medium);
  let raised = 0;
  await using attached = await attach(unit, {
    onAttached: () => {
      unit.protect = true;
      raised++;
    },
  });
  t.equal(raised, 1);
  t.equal(attached.block, null);
  await t.rejects(access(`/sys/bus/scsi/devices/${attached.hctl}/driver`), 'sd is off');
  await using sg = await openSg(attached.sg);

  const capacity = new Uint8Array(32);
  await send(sg, Uint8Array.of(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0), capacity);
  t.equal(capacity[12], 1, 'PROT_EN since sd is off');

  for (const size of [10, 16, 32] as const) {
    for (const blocks of [1, 2, 128]) {
      const lba = 1000;
      const bytes = blocks * PROTECTED;
      const command = { size, lba: BigInt(lba), blocks, protect: 1 };
      const on = unit.medium.subarray(lba * PROTECTED, lba * PROTECTED + bytes);
      const buffer = alignedBuffer(bytes);
      const answer = await send(sg, readCdb(command), buffer);
      t.match(answer, { errno: 0, status: 0, resid: 0 }, `READ(${size}) of ${blocks}`);
      t.ok(Buffer.from(buffer).equals(on), 'brings exactly the bytes');
      const data = randomFillSync(alignedBuffer(bytes));
      t.match(
        await send(sg, writeCdb(command), data, true),
        { errno: 0, status: 0, resid: 0 },
        `WRITE(${size})`,
      );
      t.ok(Buffer.from(data).equals(on), 'brings exactly the bytes');
    }
  }

  const two = readCdb({ size: 16, lba: 8n, blocks: 2, protect: 1 });
  const short = alignedBuffer(700);
  t.match(await send(sg, two, short), { status: 0, resid: 0 }, 'a short buffer is filled');
  t.ok(Buffer.from(short).equals(unit.medium.subarray(8 * PROTECTED, 8 * PROTECTED + 700)));
  const long = alignedBuffer(2048);
  t.match(await send(sg, two, long), { status: 0, resid: 2048 - 1040 }, 'resid of a long one');
  t.ok(
    long.subarray(1040).every((byte) => byte === 0),
    'and its rest is not touched',
  );

  const beyond = await send(sg, readCdb({ size: 10, lba: BigInt(BLOCKS), blocks: 1 }), alignedBuffer(BLOCK));
  t.match(beyond, { status: CHECK_CONDITION, hostStatus: 0 });
  t.equal(beyond.sense[2]! & 0xf, 5);
  t.equal(beyond.sense[12], 0x21);
  t.match(await send(sg, Uint8Array.of(0xd0, 0, 0, 0, 0, 0, 0, 0, 0, 0), null), { status: CHECK_CONDITION });

  const stats = attached.stats();
  t.equal(stats.received, stats.completed);
  t.equal(stats.byStatus[0]! + stats.byStatus[CHECK_CONDITION]!, stats.completed);
  t.equal(stats.inFlight, 0);
}

async function throughSd(t: Test): Promise<void> {
  const unit = new RamUnit(BLOCKS);
  await using attached = await attach(unit, { sd: true });
  await using file = await open(attached.block!, constants.O_RDWR | constants.O_DIRECT);
  const data = randomFillSync(alignedBuffer(64 * 1024));
  await file.write(data, 0, data.length, 4096);
  const back = alignedBuffer(data.length);
  await file.read(back, 0, back.length, 4096);
  t.ok(Buffer.from(back).equals(data));
  t.ok(
    Buffer.from(unit.medium.subarray(8 * PROTECTED, 8 * PROTECTED + BLOCK)).equals(data.subarray(0, BLOCK)),
  );
}

async function severalUnits(t: Test): Promise<void> {
  const units = Array.from({ length: 3 }, () => new RamUnit(BLOCKS));
  units.forEach((unit, index) => {
    unit.medium.fill(index + 1);
  });
  const attached = await Promise.all(units.map((unit) => attach(unit)));
  t.equal(new Set(attached.map(({ sg }) => sg)).size, 3);
  for (const [index, { sg: path }] of attached.entries()) {
    await using sg = await openSg(path);
    const buffer = alignedBuffer(BLOCK);
    await send(sg, readCdb({ size: 10, lba: 0n, blocks: 1 }), buffer);
    t.equal(buffer[0], index + 1, `${path} is its own unit`);
  }
  await Promise.all(attached.map((unit) => unit[Symbol.asyncDispose]()));
  await attached[0]![Symbol.asyncDispose]();

  const onAttached = () => {
    throw new Error('no');
  };
  await t.rejects(attach(new RamUnit(BLOCKS), { onAttached }), { code: 'ERR_TESTBED', message: /no$/ });
  await t.rejects(attach(new RamUnit(BLOCKS), { name: 'a,b' }), { code: 'ERR_OUT_OF_RANGE' });
  await t.rejects(attach(new RamUnit(BLOCKS), { blockSize: 0 }), { code: 'ERR_TESTBED' });
  t.same(await leftovers(), [], 'nothing is left');
}

async function outOfOrder(t: Test): Promise<void> {
  const unit = new RamUnit(BLOCKS);
  for (let lba = 0; lba < BLOCKS; lba++) unit.medium.fill(lba % 251, lba * PROTECTED, (lba + 1) * PROTECTED);
  unit.delay = (lba) => 200 - lba;
  await using attached = await attach(unit);
  const handles = await Promise.all(Array.from({ length: 8 }, () => openSg(attached.sg)));
  const order: number[] = [];
  let wrong = 0;
  await Promise.all(
    handles.map(async (sg, index) => {
      for (let round = 0; round < 4; round++) {
        const lba = index * 20 + round;
        const buffer = alignedBuffer(BLOCK);
        const { status } = await send(sg, readCdb({ size: 10, lba: BigInt(lba), blocks: 1 }), buffer);
        if (status !== 0 || !buffer.every((byte) => byte === lba % 251)) wrong++;
        order.push(lba);
      }
    }),
  );
  t.equal(wrong, 0, 'each brings its own bytes');
  t.equal(order.length, 32);
  t.ok(order.indexOf(140) < order.indexOf(0), 'the later ones were answered first');
  await Promise.all(handles.map((sg) => sg.close()));
}

async function load(t: Test): Promise<void> {
  const unit = new RamUnit(BLOCKS);
  await using attached = await attach(unit);
  const handles = await Promise.all(Array.from({ length: 32 }, () => openSg(attached.sg)));
  const before = attached.stats().received;
  const begin = performance.now();
  const each = 150;
  let wrong = 0;
  await Promise.all(
    handles.map(async (sg, index) => {
      const data = randomFillSync(alignedBuffer(8 * PROTECTED));
      const back = alignedBuffer(data.length);
      for (let round = 0; round < each / 2; round++) {
        const command = { size: 32, lba: BigInt(index * 8), blocks: 8, protect: 1 } as const;
        await send(sg, writeCdb(command), data, true);
        await send(sg, readCdb(command), back);
        if (!Buffer.from(back).equals(data)) wrong++;
      }
    }),
  );
  const seconds = (performance.now() - begin) / 1000;
  t.comment(
    `${Math.round((each * 32) / seconds)} commands of 8 blocks a second, ${handles.length} at a time`,
  );
  t.equal(wrong, 0);
  t.equal(attached.stats().received - before, each * 32);
  t.equal(attached.stats().inFlight, 0);
  await Promise.all(handles.map((sg) => sg.close()));
}

/** Block 100 is never answered. */
function withSilence(): RamUnit {
  const unit = new RamUnit(BLOCKS);
  unit.delay = (lba) => (lba === 100 ? Number.POSITIVE_INFINITY : 0);
  return unit;
}

async function neverAnswered(t: Test): Promise<void> {
  const attached = await attach(withSilence());
  await using sg = await openSg(attached.sg);
  const begin = performance.now();
  const answer = await read(sg, 100, 1000);
  const elapsed = performance.now() - begin;
  t.comment(`timed out after ${Math.round(elapsed)} ms: ${JSON.stringify({ ...answer, sense: undefined })}`);
  t.equal(answer.hostStatus, DID_TIME_OUT);
  t.ok(elapsed < 5000, 'as the initiator wanted it');
  t.match(await read(sg, 1), { status: 0, hostStatus: 0 }, 'the next command is served');
  t.match(attached.stats(), { inFlight: 0, aborted: 1 });

  // Nobody aborts this one in time: the kernel's own limit.
  const late = performance.now();
  const failed = await read(sg, 100, 60_000);
  t.comment(`the kernel failed it after ${Math.round(performance.now() - late)} ms`);
  t.equal(failed.status, CHECK_CONDITION);
  t.equal(failed.sense[2]! & 0xf, 2, 'NOT READY');
  const leave = performance.now();
  await attached[Symbol.asyncDispose]();
  t.ok(performance.now() - leave < 3000, 'detaching does not wait');
}

async function detachedInFlight(t: Test): Promise<void> {
  for (const sd of [false, true]) {
    const attached = await attach(withSilence(), { sd });
    const handles = await Promise.all(Array.from({ length: 4 }, () => openSg(attached.sg)));
    const answers = handles.map((sg) => read(sg, 100));
    while (attached.stats().inFlight < 4) await delay(10);
    const begin = performance.now();
    const detached = attached[Symbol.asyncDispose]();
    const statuses = (await Promise.all(answers)).map(({ status, hostStatus }) => ({ status, hostStatus }));
    await Promise.all(handles.map((sg) => sg.close()));
    await detached;
    const elapsed = Math.round(performance.now() - begin);
    t.comment(`detached in ${elapsed} ms ${sd ? 'with' : 'without'} sd: ${JSON.stringify(statuses)}`);
    t.ok(elapsed < 5000);
    t.ok(
      statuses.every(({ status, hostStatus }) => status === TASK_ABORTED || hostStatus === DID_NO_CONNECT),
    );
    t.match(attached.stats(), { inFlight: 0, aborted: 4 });
  }
}

async function killed(t: Test): Promise<void> {
  for (const { sd, abort } of [
    { sd: 'sd', abort: false },
    { sd: 'no-sd', abort: false },
    { sd: 'sd', abort: true },
  ]) {
    const program = fileURLToPath(new URL('./tcmu-orphan.js', import.meta.url));
    const child = spawn(process.execPath, [program, sd], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
    const { sg: path, hctl } = JSON.parse(line) as { sg: string; hctl: string };
    const handles = await Promise.all(Array.from({ length: 4 }, () => openSg(path)));
    t.same(await removeStaleUnits(), [], 'a living one is left alone');
    // 100 is never answered; the reply to 101 overwrites an entry of it.
    const answers = handles.map((sg) => read(sg, 100));
    await using probe = await openSg(path);
    t.match(await read(probe, 101), { status: 0 });
    child.kill('SIGKILL');
    await once(child, 'exit');
    const unheard = read(probe, 1, abort ? 500 : 30_000);
    // An abort that waits for the ring as well.
    if (abort) await delay(2500);
    const begin = performance.now();
    t.same(await removeStaleUnits(), ['orphan']);
    const elapsed = Math.round(performance.now() - begin);
    const ends = [...(await Promise.all(answers)), await unheard];
    t.comment(
      `${sd}${abort ? ', aborting' : ''}: removed in ${elapsed} ms: ${ends.map(({ status, hostStatus }) => `${status}/${hostStatus}`)}`,
    );
    t.ok(elapsed < 5000, 'in bounded time');
    t.ok(
      ends.every(({ status, hostStatus }) => status !== 0 || hostStatus !== 0),
      'what was under way has failed',
    );
    await t.rejects(access(`/sys/bus/scsi/devices/${hctl}`));
    t.same(await removeStaleUnits(), []);
    await Promise.all(handles.map((sg) => sg.close()));
  }
}

async function leftovers(): Promise<string[]> {
  const target = '/sys/kernel/config/target';
  const cores = await readdir(`${target}/core`);
  const ports = await readdir(`${target}/loopback`);
  return [
    ...cores.filter((name) => name.startsWith('user_')),
    ...ports.filter((name) => name.startsWith('naa.')),
  ];
}
