// One life of a handle, by the name in argv, in a process of its own: handle.test.ts looks at how that process ends.
import assert from 'node:assert/strict';
import { ftruncateSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const addon = createRequire(import.meta.url)('node-gyp-build')(
  fileURLToPath(new URL('../..', import.meta.url)),
);

const LONG = 16 * 1024 * 1024;
const threads = () => readdirSync('/proc/self/task').length;
const descriptors = () => readdirSync('/proc/self/fd').length;

/** A handle from which one long read takes milliseconds. */
async function openEndless() {
  const handle = new addon.Handle();
  assert.deepEqual(await handle.open('/dev/zero', 0), { errno: 0 });
  return handle;
}

/** A server of an empty ring in a file that always has an event more. */
function openServer() {
  const folder = mkdtempSync(join(tmpdir(), 'blk-integrity-ring-'));
  const path = join(folder, 'ring');
  const fd = openSync(path, 'w');
  ftruncateSync(fd, 2 ** 40);
  writeSync(fd, Uint8Array.of(2, 0, 3, 0, 128, 0, 0, 0, 0, 2, 0, 0));
  const server = new addon.TcmuServer();
  assert.equal(
    server.open(path, 8192, () => {}),
    0,
  );
  rmSync(folder, { recursive: true });
  return server;
}

/** A background job that takes tens of milliseconds, in memory that nobody else holds. */
function startJob(memory = addon.pinnedMemory(1024 * 520 * 64)) {
  const blocks = new Uint8Array(memory, 0, 1024 * 520 * 64);
  const rule = { checks: Uint8Array.of(2, 0), escape: 'app', escapeCovers: 'interval', findingsMax: 1e9 };
  const place = { dataStride: 520, interval: 512, metadataStart: 512, metadataStride: 520, piOffset: 0 };
  const job = { data: blocks, metadata: blocks, ...place, ...rule, appTag: -1, appTagMask: 0xffff };
  const plan = addon.verifyPlan({
    ...job,
    intervals: 0,
    guard: 0,
    seed: 0,
    appTags: new Uint32Array(0),
  });
  return addon.startVerify(plan, 0n, blocks);
}

/** Collects garbage until `done` says so; finalizers run from the event loop. */
async function collectUntil(done) {
  for (let i = 0; i < 500 && !done(); i++) {
    globalThis.gc();
    await sleep(10);
  }
}

/** Runs `life` in a worker and terminates it `delayMs` after it said that it is busy. */
async function terminateWorker(life, delayMs) {
  const worker = new Worker(new URL(import.meta.url), { workerData: life });
  await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  await sleep(delayMs);
  await worker.terminate();
}

const LIVES = {
  async 'ends with an idle handle open'() {
    globalThis.kept = await openEndless();
  },

  async 'ends with a handle that was never opened'() {
    globalThis.kept = new addon.Handle();
  },

  async 'waits for calls that are under way'() {
    const handle = await openEndless();
    handle.read(new Uint8Array(LONG), 0n).then(({ bytes }) => console.log(bytes));
  },

  async 'waits for a close that nobody waits for'() {
    const handle = await openEndless();
    handle.read(new Uint8Array(LONG), 0n);
    handle.close().then(() => console.log('closed'));
  },

  async 'exits in the middle of reads'() {
    const handle = await openEndless();
    for (let i = 0; i < 20; i++) handle.read(new Uint8Array(LONG), 0n);
    process.exit(0);
  },

  async 'exits in the middle of a close'() {
    const handle = await openEndless();
    for (let i = 0; i < 20; i++) handle.read(new Uint8Array(LONG), 0n);
    handle.close();
    process.exit(0);
  },

  async 'exits in the middle of a snapshot'() {
    addon.sysfsSnapshot('/sys', ['class/*/*/uevent', 'kernel/*']);
    process.exit(0);
  },

  async 'dropped handles are closed by the garbage collector'() {
    const before = { threads: threads(), descriptors: descriptors() };
    await (async () => {
      for (let i = 0; i < 50; i++) await openEndless();
    })();
    assert.ok(threads() > before.threads && descriptors() > before.descriptors);
    await collectUntil(() => threads() === before.threads && descriptors() === before.descriptors);
    assert.deepEqual({ threads: threads(), descriptors: descriptors() }, before);
  },

  async 'a dropped handle answers its calls first'() {
    const answers = [];
    await (async () => {
      const handle = await openEndless();
      for (let i = 0; i < 5; i++)
        handle.read(new Uint8Array(LONG).fill(1), 0n).then((answer) => answers.push(answer));
    })();
    await collectUntil(() => answers.length === 5);
    assert.deepEqual(answers, Array(5).fill({ errno: 0, bytes: LONG }));
  },

  async 'dropped TCMU servers that are not open are collected'() {
    let collected = 0;
    const registry = new FinalizationRegistry(() => collected++);
    (() => {
      for (let i = 0; i < 20; i++) registry.register(new addon.TcmuServer(), i);
      const closed = openServer();
      closed.close();
      registry.register(closed, 20);
    })();
    await collectUntil(() => collected === 21);
    assert.equal(collected, 21);
  },

  async 'a TCMU server that nobody holds stays open until it is closed'() {
    const before = threads();
    const server = openServer();
    setTimeout(() => {
      assert.ok(threads() > before);
      server.close();
      assert.equal(threads(), before);
      console.log('closed');
    }, 200);
  },

  async 'exits with a TCMU server open'() {
    openServer();
    await sleep(20);
    process.exit(0);
  },

  async 'workers are terminated with a TCMU server open'() {
    for (const delayMs of [0, 1, 5, 20, 50]) await terminateWorker('serving', delayMs);
  },

  async 'threads end with close'() {
    const before = threads();
    for (let i = 0; i < 20; i++) await (await openEndless()).close();
    assert.equal(threads(), before);
  },

  async 'workers are terminated in the middle of reads'() {
    for (const delayMs of [0, 1, 5, 20, 50]) await terminateWorker('busy', delayMs);
  },

  async 'workers are terminated in the middle of a close'() {
    for (const delayMs of [0, 1, 5, 20, 50]) await terminateWorker('closing', delayMs);
  },

  async 'workers are terminated in the middle of snapshots'() {
    for (const delayMs of [0, 1, 5, 20, 50]) await terminateWorker('snapshots', delayMs);
  },

  async 'waits for background jobs'() {
    startJob().done.then(({ bad }) => console.log(bad));
  },

  async 'ends with background threads idle'() {
    await startJob().done;
  },

  async 'exits in the middle of background jobs'() {
    for (let i = 0; i < 20; i++) startJob();
    process.exit(0);
  },

  async 'a background job holds its memory, and no longer'() {
    // Far more than the arenas of malloc, and hardly any of it is touched.
    const bytes = 2 ** 30;
    const mapped = () => Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[0]) * 4096;
    const before = mapped();
    const verdicts = Array.from({ length: 4 }, () => startJob(addon.pinnedMemory(bytes)).done);
    assert.ok(mapped() > before + 3.5 * bytes);
    for (let i = 0; i < 20; i++) globalThis.gc();
    for (const { bad } of await Promise.all(verdicts)) assert.equal(bad, 1024 * 64 - 1);
    await collectUntil(() => mapped() < before + 2 * bytes);
    assert.ok(mapped() < before + 2 * bytes);
  },

  async 'a background job stops'() {
    const jobs = Array.from({ length: 20 }, () => startJob());
    for (const { stop } of jobs) stop();
    assert.deepEqual(await Promise.all(jobs.map(({ done }) => done)), Array(20).fill(null));
    for (const { stop } of jobs) stop();
  },

  async 'workers are terminated in the middle of background jobs'() {
    for (const delayMs of [0, 1, 5, 20, 50]) await terminateWorker('jobs', delayMs);
  },

  async 'workers end with an idle handle open'() {
    const worker = new Worker(new URL(import.meta.url), { workerData: 'idle' });
    const code = await new Promise((resolve) => worker.once('exit', resolve));
    assert.equal(code, 0);
  },
};

const WORKERS = {
  async idle() {
    globalThis.kept = await openEndless();
  },
  async busy() {
    const handles = await Promise.all([openEndless(), openEndless()]);
    for (const handle of handles) for (let i = 0; i < 10; i++) handle.read(new Uint8Array(LONG / 4), 0n);
    parentPort.postMessage('busy');
  },
  async closing() {
    const handle = await openEndless();
    for (let i = 0; i < 10; i++) handle.read(new Uint8Array(LONG / 4), 0n);
    handle.close();
    parentPort.postMessage('closing');
  },
  async serving() {
    openServer();
    parentPort.postMessage('serving');
  },
  async jobs() {
    for (let i = 0; i < 20; i++) startJob();
    parentPort.postMessage('jobs');
  },
  async snapshots() {
    for (let i = 0; i < 4; i++) addon.sysfsSnapshot('/sys', ['class/*/*/uevent', 'kernel/*']);
    parentPort.postMessage('snapshots');
  },
};

if (isMainThread) await LIVES[process.argv[2]]();
else await WORKERS[workerData]();
