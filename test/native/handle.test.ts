import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants as fs, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import {
  type NativeHandle,
  type NativeReadRule,
  type NvmeIoRequest,
  native,
  type PiAttribute,
  type PiVerifyRequest,
  type SgRequest,
  type SgVerifyRequest,
} from '../../src/binding.js';
import { admit, descriptorsOf, makeFifo, untilOpening } from './fifo.js';

const { Handle, ioUringFeatures, alignedOffset } = native();
const { errno } = constants;
const QUEUE_MAX = 64;
/** Bytes that take a read some milliseconds. */
const LONG = 64 * 1024 * 1024;

/** A regular file of `size` bytes that count up, and a handle open on it until the test ends. */
async function openFile(
  t: Test,
  size = 4096,
  flags = fs.O_RDWR,
): Promise<{ handle: NativeHandle; path: string }> {
  const path = join(t.testdir(), 'disk');
  writeFileSync(
    path,
    new Uint8Array(size).map((_, i) => i),
  );
  const handle = new Handle();
  t.teardown(() => handle.close());
  t.same(await handle.open(path, flags), { errno: 0 });
  return { handle, path };
}

const inquiry = (more: Partial<SgRequest> = {}): SgRequest => ({
  cdb: Uint8Array.of(0x12, 0, 0, 0, 36, 0),
  direction: 'from-device',
  data: new Uint8Array(36),
  timeoutMs: 1000,
  ...more,
});

const attribute = (more: Partial<PiAttribute> = {}): PiAttribute => ({
  flags: 7,
  appTag: 0,
  seed: 0n,
  tuples: new Uint8Array(64),
  ...more,
});

const nvmeRead = (more: Partial<NvmeIoRequest> = {}): NvmeIoRequest => ({
  opcode: 'read',
  slba: 0n,
  blocks: 1,
  data: new Uint8Array(512),
  metadata: new Uint8Array(8),
  prchk: 7,
  refTag: 0n,
  appTag: 0,
  appMask: 0,
  timeoutMs: 1000,
  ...more,
});

const RULE: NativeReadRule = {
  interval: 512,
  metadataSize: 8,
  piOffset: 0,
  guard: 0,
  seed: 0n,
  checks: Uint8Array.of(2, 0),
  escape: 'app',
  findingsMax: 10,
};

const sgVerify = (more: Partial<SgVerifyRequest> = {}): SgVerifyRequest => ({
  cdbs: [new Uint8Array(16)],
  bytes: 520,
  timeoutMs: 1000,
  rule: RULE,
  ...more,
});

const piVerify = (more: Partial<PiVerifyRequest> = {}): PiVerifyRequest => ({
  offset: 0n,
  bytes: 512,
  tupleBytes: 8,
  reads: 1,
  flags: 3,
  seed: 0n,
  rule: RULE,
  ...more,
});

/** Every call of a handle, with arguments that are right. */
const calls: Record<string, (handle: NativeHandle) => Promise<{ errno: number }>> = {
  open: (handle) => handle.open('/dev/null', fs.O_RDONLY),
  status: (handle) => handle.status(),
  sgIo: (handle) => handle.sgIo(inquiry()),
  read: (handle) => handle.read(new Uint8Array(512), 0n),
  write: (handle) => handle.write(new Uint8Array(512), 0n),
  readWithPi: (handle) => handle.readWithPi(new Uint8Array(512), 0n, attribute()),
  writeWithPi: (handle) => handle.writeWithPi(new Uint8Array(512), 0n, attribute()),
  sgVerify: (handle) => handle.sgVerify(sgVerify()),
  bsgVerify: (handle) => handle.bsgVerify(sgVerify()),
  verifyWithPi: (handle) => handle.verifyWithPi(piVerify()),
  readThrough: (handle) => handle.readThrough(512, 0n, 1),
  lbmdCapability: (handle) => handle.lbmdCapability(),
  nvmeIo: (handle) => handle.nvmeIo(nvmeRead()),
  nvmeIdentify: (handle) => handle.nvmeIdentify({ structure: 'namespace', timeoutMs: 1000 }),
  lockExclusive: (handle) => handle.lockExclusive(),
  flush: (handle) => handle.flush(),
};

t.test('open', async (t) => {
  const handle = new Handle();
  t.teardown(() => handle.close());
  const folder = t.testdir({ file: '' });
  t.same(await handle.open(join(folder, 'none'), fs.O_RDONLY), { errno: errno.ENOENT });
  t.same(await handle.open(join(folder, 'file', 'below'), fs.O_RDONLY), { errno: errno.ENOTDIR });
  t.same(await handle.open(folder, fs.O_RDWR), { errno: errno.EISDIR });
  t.same(
    await handle.open(folder, fs.O_RDONLY | fs.O_DIRECTORY),
    { errno: 0 },
    'after a failure it may be tried again',
  );
  t.same(await handle.open(folder, fs.O_RDONLY), { errno: errno.EBUSY }, 'but a handle has one node');
  const [fd] = descriptorsOf(folder);
  t.match(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'), /flags:\s+02[0-7]{6}\b/, 'O_CLOEXEC');
});

t.test('status', async (t) => {
  const { handle } = await openFile(t);
  const none = { logicalBlockSize: 0, sizeBytes: 0n };
  t.strictSame(await handle.status(), {
    errno: 0,
    mode: (await handle.status()).mode,
    major: 0,
    minor: 0,
    ...none,
  });
  t.equal((await handle.status()).mode & fs.S_IFMT, fs.S_IFREG);
  const character = new Handle();
  await character.open('/dev/zero', fs.O_RDONLY);
  t.match(await character.status(), { errno: 0, major: 1, minor: 5, ...none }, "Linux's /dev/zero is 1:5");
  await character.close();
});

t.test('read and write', async (t) => {
  const { handle, path } = await openFile(t, 1000);
  const buffer = new Uint8Array(200);
  t.same(await handle.read(buffer.subarray(10, 110), 700n), { errno: 0, bytes: 100 });
  t.same(
    buffer,
    new Uint8Array(200).map((_, i) => (i >= 10 && i < 110 ? 700 + i - 10 : 0)),
    'nothing beside the view is touched',
  );
  buffer.fill(0x51);
  t.same(await handle.read(buffer, 900n), { errno: 0, bytes: 100 }, 'short at the end');
  t.same(buffer.subarray(100), new Uint8Array(100).fill(0x51), 'what did not come leaves what was there');
  t.same(await handle.read(buffer, 5000n), { errno: 0, bytes: 0 }, 'nothing beyond it');
  t.same(await handle.read(new Uint8Array(0), 0n), { errno: 0, bytes: 0 });
  t.same(await handle.write(Uint8Array.of(7, 8, 9), 998n), { errno: 0, bytes: 3 });
  t.same(await handle.flush(), { errno: 0 });
  t.same(readFileSync(path).subarray(998), Buffer.of(7, 8, 9));
  const { handle: readOnly } = await openFile(t, 10, fs.O_RDONLY);
  t.same(await readOnly.write(Uint8Array.of(1), 0n), { errno: errno.EBADF, bytes: 0 });
});

t.test("O_DIRECT, wherever the caller's bytes lie", async (t) => {
  const { handle, path } = await openFile(t, 8192, fs.O_RDWR | fs.O_DIRECT);
  const memory = new ArrayBuffer(8192 + 4096 + 1);
  const buffer = new Uint8Array(memory, alignedOffset(memory, 4096) + 1, 8192);
  t.same(await handle.read(buffer, 0n), { errno: 0, bytes: 8192 });
  t.same(Buffer.from(buffer), readFileSync(path));
  buffer.fill(0x33, 4096);
  t.same(await handle.write(buffer.subarray(4096), 4096n), { errno: 0, bytes: 4096 });
  t.same(readFileSync(path), Buffer.from(buffer));
});

t.test('calls on one handle run in order, all of them at once', async (t) => {
  const { handle } = await openFile(t, 16);
  const answers = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const buffer = new Uint8Array(1);
      const written = handle.write(Uint8Array.of(100 + i), 3n);
      const read = handle.read(buffer, 3n);
      t.same([await written, await read], Array(2).fill({ errno: 0, bytes: 1 }));
      return buffer[0];
    }),
  );
  t.same(
    answers,
    Array.from({ length: 20 }, (_, i) => 100 + i),
  );
});

t.test('what is no SCSI disk', async (t) => {
  const { handle } = await openFile(t);
  t.same(await handle.sgIo(inquiry()), {
    errno: errno.ENOTTY,
    status: 0,
    hostStatus: 0,
    driverStatus: 0,
    resid: 0,
    sense: new Uint8Array(0),
    durationMs: 0,
    overrun: false,
  });
  t.match(await handle.sgIo(inquiry({ direction: 'none', data: null })), { errno: errno.ENOTTY });
  t.match(await handle.sgIo(inquiry({ direction: 'to-device', cdb: new Uint8Array(32) })), {
    errno: errno.ENOTTY,
  });
  const capability = await handle.lbmdCapability();
  // ENOTTY where the kernel knows the ioctl, EINVAL seen before 6.17.
  t.ok([errno.ENOTTY, errno.EINVAL].includes(capability.errno), `lbmdCapability: errno ${capability.errno}`);
  t.match(capability, { flags: 0, interval: 0, size: 0, piSize: 0, storageTagSize: 0 });
});

t.test('what is no NVMe namespace', async (t) => {
  const { handle, path } = await openFile(t);
  const before = readFileSync(path);
  const data = new Uint8Array(512).fill(0x51);
  const metadata = new Uint8Array(8).fill(0x52);
  for (const opcode of ['read', 'write'] as const) {
    const answer = await handle.nvmeIo(nvmeRead({ opcode, data, metadata }));
    t.same(answer, { errno: errno.ENOTTY, status: 0 }, opcode);
  }
  t.same(await handle.nvmeIo(nvmeRead({ metadata: new Uint8Array(0) })), { errno: errno.ENOTTY, status: 0 });
  t.same([data, metadata], [new Uint8Array(512).fill(0x51), new Uint8Array(8).fill(0x52)]);
  t.same(readFileSync(path), before);
  for (const structure of ['namespace', 'nvm-namespace'] as const) {
    t.same(await handle.nvmeIdentify({ structure, timeoutMs: 1000 }), {
      errno: errno.ENOTTY,
      status: 0,
      nsid: 0,
      data: new Uint8Array(4096),
    });
  }
});

t.test('PI where none can go: refused, the buffers as they were', async (t) => {
  const { handle, path } = await openFile(t);
  const kernel = ioUringFeatures();
  const before = readFileSync(path);
  const hasAttribute = kernel.errno === 0 && (kernel.features & 0x10000) !== 0;
  // A regular file has no metadata (EINVAL); a kernel without the attribute would drop it silently (ENOTSUP).
  const refused = { errno: hasAttribute ? errno.EINVAL : kernel.errno || errno.ENOTSUP, bytes: 0 };
  const buffer = new Uint8Array(512).fill(0x51);
  const tuples = new Uint8Array(8).fill(0x52);
  for (let i = 0; i < 10; i++) t.same(await handle.readWithPi(buffer, 0n, attribute({ tuples })), refused);
  t.same(await handle.writeWithPi(buffer, 512n, attribute({ tuples })), refused);
  t.same([buffer, tuples], [new Uint8Array(512).fill(0x51), new Uint8Array(8).fill(0x52)]);
  t.same(readFileSync(path), before);
});

t.test('memory that is transferred away in flight', async (t) => {
  const bytes = (length: number) => new Uint8Array(length).fill(0x51);
  const take = (array: Uint8Array) => structuredClone(array, { transfer: [array.buffer as ArrayBuffer] });
  const { handle, path } = await openFile(t, LONG);
  /** Keeps the handle's thread busy until all that is called beside it is queued. */
  const occupy = () => handle.read(new Uint8Array(LONG), 0n);

  const read = bytes(LONG);
  const reading = handle.read(read, 0n);
  const taken = take(read);
  t.same(await reading, { errno: errno.EFAULT, bytes: 0 });
  t.ok(Buffer.from(taken).equals(bytes(LONG)), 'nothing comes into memory that is no longer the call’s');

  const busy = occupy();
  const written = bytes(512);
  const writing = handle.write(written, 1024n);
  take(written).fill(0x99);
  const cdb = Uint8Array.of(0x12, 0, 0, 0, 36, 0);
  const data = { from: bytes(36), to: bytes(36) };
  const asked = [
    handle.sgIo(inquiry({ cdb, data: data.from })),
    handle.sgIo(inquiry({ cdb, data: data.to, direction: 'to-device' })),
  ];
  for (const array of [cdb, data.from, data.to]) take(array);
  const nvme = { data: bytes(512), kept: bytes(512), metadata: bytes(8) };
  const nvmeAsked = [
    handle.nvmeIo(nvmeRead({ data: nvme.data })),
    handle.nvmeIo(nvmeRead({ data: nvme.kept, metadata: nvme.metadata })),
    handle.nvmeIo(nvmeRead({ opcode: 'write', data: nvme.data, metadata: bytes(8) })),
  ];
  for (const array of [nvme.data, nvme.metadata]) take(array);
  const pi = { buffer: bytes(512), tuples: bytes(8), kept: bytes(512), gone: bytes(8) };
  const withPi = [
    handle.readWithPi(pi.buffer, 0n, attribute()),
    handle.readWithPi(pi.kept, 0n, attribute({ tuples: pi.gone })),
    handle.writeWithPi(bytes(512), 0n, attribute({ tuples: pi.tuples })),
  ];
  for (const array of [pi.buffer, pi.tuples, pi.gone]) take(array);
  await busy;
  t.same(await writing, { errno: 0, bytes: 512 });
  t.same(readFileSync(path).subarray(1024, 1536), Buffer.from(bytes(512)), 'what was there at the call');
  t.match(await asked[0], { errno: errno.EFAULT, status: 0 });
  t.match(await asked[1], { errno: errno.ENOTTY }, 'nothing was to come back');
  t.same(await nvmeAsked[0], { errno: errno.EFAULT, status: 0 });
  t.same(await nvmeAsked[1], { errno: errno.EFAULT, status: 0 });
  t.same(await nvmeAsked[2], { errno: errno.ENOTTY, status: 0 }, 'nothing was to come back');
  t.same(nvme.kept, bytes(512));
  t.same(await withPi[0], { errno: errno.EFAULT, bytes: 0 });
  t.same(await withPi[1], { errno: errno.EFAULT, bytes: 0 });
  t.not((await withPi[2])!.errno, errno.EFAULT);
  t.same(pi.kept, bytes(512));

  await handle.close();

  // What waits at a FIFO keeps its thread for as long as the test likes.
  const fifo = makeFifo(`${path}.fifo`);
  const waiting = new Handle();
  const opening = waiting.open(fifo, fs.O_RDONLY);
  await untilOpening(1);
  const never = bytes(512);
  const cancelled = waiting.read(never, 0n);
  take(never);
  const closing = waiting.close();
  await admit(fifo);
  t.match([await opening, await cancelled], [{ errno: 0 }, { errno: errno.ECANCELED }], 'it never ran');
  await closing;
});

t.test('the lock', async (t) => {
  const { handle, path } = await openFile(t);
  const other = new Handle();
  await other.open(path, fs.O_RDONLY);
  t.same(await handle.lockExclusive(), { errno: 0 });
  t.same(await other.lockExclusive(), { errno: errno.EAGAIN });
  await handle.close();
  t.same(await other.lockExclusive(), { errno: 0 }, 'closing gives it back');
  await other.close();
});

t.test('before open and after close every call answers EBADF', async (t) => {
  for (const [name, call] of Object.entries(calls)) {
    if (name === 'open') continue;
    const handle = new Handle();
    const answer = await call(handle);
    const ring = ioUringFeatures();
    const noRing = name.endsWith('WithPi') && (ring.errno !== 0 || (ring.features & 0x10000) === 0);
    t.match(answer, { errno: noRing ? ring.errno || errno.ENOTSUP : errno.EBADF }, `${name} before open`);
    await handle.close();
  }
  const { handle, path } = await openFile(t);
  const [closed, again] = [handle.close(), handle.close()];
  t.same(await closed, undefined);
  t.same(await again, undefined, 'close is idempotent');
  t.same(await handle.close(), undefined);
  t.same(descriptorsOf(path), []);
  for (const [name, call] of Object.entries(calls))
    t.match(await call(handle), { errno: errno.EBADF }, `${name} after`);
});

t.test('a full queue answers EAGAIN, and serves all that it took', async (t) => {
  const fifo = makeFifo(join(t.testdir(), 'fifo'));
  const handle = new Handle();
  const opened = handle.open(fifo, fs.O_RDONLY);
  await untilOpening(1);
  const waiting = Array.from({ length: QUEUE_MAX }, () => handle.status());
  for (const [name, call] of Object.entries(calls))
    t.match(await call(handle), { errno: errno.EAGAIN }, name);
  await admit(fifo);
  t.same(await opened, { errno: 0 });
  for (const status of await Promise.all(waiting)) t.match(status, { errno: 0 });
  t.match(await handle.status(), { errno: 0 }, 'and goes on');
  await handle.close();
});

t.test('a handle takes as many calls at once as it has threads', async (t) => {
  for (let round = 0; round < 5; round++) {
    const handle = new Handle(128);
    for (let burst = 0; burst < 5; burst++) {
      const calls = await Promise.all(Array.from({ length: 128 }, () => handle.status()));
      const refused = calls.filter((call) => call.errno === errno.EAGAIN);
      t.equal(refused.length, 0, `burst ${burst} on handle ${round}`);
    }
    await handle.close();
  }
});

t.test('a handle with three threads has three calls under way, and answers them as they end', async (t) => {
  const folder = t.testdir({});
  const [first, second] = ['first', 'second'].map((name) => makeFifo(join(folder, name))) as [string, string];
  const handle = new Handle(3);
  const ended: string[] = [];
  const note = async (name: string, call: Promise<{ errno: number }>) => {
    const { errno } = await call;
    ended.push(`${name} ${errno}`);
  };
  const opening = [note('first', handle.open(first, fs.O_RDONLY))];
  await untilOpening(1);
  opening.push(note('second', handle.open(second, fs.O_RDONLY)));
  await untilOpening(2);
  await note('status', handle.status());
  await admit(second);
  await opening[1];
  t.match(await handle.status(), { errno: 0 }, 'open, whatever the first comes to');
  await admit(first);
  await opening[0];
  t.same(ended, [`status ${errno.EBADF}`, 'second 0', `first ${errno.EBUSY}`]);
  await handle.close();
  t.same(descriptorsOf(first), []);
  t.same(descriptorsOf(second), []);
  for (const threads of [0, 129, 1.5, '2', null]) {
    t.throws(() => new Handle(threads as number), /threads/, String(threads));
  }
});

t.test('close waits for every call under way', async (t) => {
  const folder = t.testdir({});
  const fifos = Array.from({ length: 4 }, (_, i) => makeFifo(join(folder, `${i}`)));
  const handle = new Handle(4);
  const opened = fifos.map((fifo) => handle.open(fifo, fs.O_RDONLY));
  await untilOpening(4);
  let closed = false;
  const closing = handle.close().then(() => {
    closed = true;
  });
  for (const fifo of fifos) {
    t.notOk(closed);
    await admit(fifo);
  }
  await closing;
  const answers = await Promise.all(opened);
  t.same(answers.map(({ errno }) => errno).sort(), [0, errno.EBUSY, errno.EBUSY, errno.EBUSY]);
  for (const fifo of fifos) t.same(descriptorsOf(fifo), []);
});

t.test('close waits for the call under way and cancels the queued ones', async (t) => {
  const fifo = makeFifo(join(t.testdir(), 'fifo'));
  const handle = new Handle();
  const order: string[] = [];
  const opened = handle.open(fifo, fs.O_RDONLY);
  await untilOpening(1);
  const cancelled = Object.values(calls).map((call) => call(handle));
  const closed = handle.close().then(() => order.push('closed'));
  t.match(await handle.status(), { errno: errno.EBADF }, 'no more calls');
  order.push('still closing');
  await admit(fifo);
  t.same(await opened, { errno: 0 });
  for (const answer of await Promise.all(cancelled)) t.match(answer, { errno: errno.ECANCELED });
  await closed;
  t.same(order, ['still closing', 'closed']);
  t.same(descriptorsOf(fifo), []);
});

t.test("handles that wait hold up neither each other nor libuv's threads", async (t) => {
  const { handle, path } = await openFile(t);
  const folder = dirname(path);
  const fifos = Array.from({ length: 6 }, (_, i) => makeFifo(join(folder, `fifo${i}`)));
  const handles = fifos.map(() => new Handle());
  const opened = handles.map((handle, i) => handle.open(fifos[i]!, fs.O_RDONLY));
  await untilOpening(fifos.length);
  t.ok((await stat(folder)).isDirectory(), "six handles wait, libuv's four threads do not");
  t.match(await handle.status(), { errno: 0 });
  for (const fifo of fifos) await admit(fifo);
  t.same(await Promise.all(opened), Array(fifos.length).fill({ errno: 0 }));
  await Promise.all(handles.map((handle) => handle.close()));
});

t.test('wrong arguments are named, and the handle lives on', async (t) => {
  const { handle } = await openFile(t);
  const type = 'ERR_INVALID_ARG_TYPE';
  const range = 'ERR_OUT_OF_RANGE';
  const bytes = new Uint8Array(8);
  const shared = new Uint8Array(new SharedArrayBuffer(8));
  const detached = new Uint8Array(8);
  structuredClone(detached, { transfer: [detached.buffer] });
  const wrong: [string, () => unknown, string][] = [
    ['path', () => handle.open(1 as never, 0), type],
    ['path', () => handle.open('/dev/null\0', 0), type],
    ['flags', () => handle.open('/dev/null', -1), range],
    ['flags', () => handle.open('/dev/null', 2 ** 31), range],
    ['flags', () => handle.open('/dev/null', '0' as never), type],
    ['flags', () => handle.open('/dev/null', fs.O_RDWR | fs.O_CREAT), range],
    ['buffer', () => handle.read(null as never, 0n), type],
    ['buffer', () => handle.read(shared, 0n), type],
    ['buffer', () => handle.write(detached, 0n), type],
    ['offset', () => handle.read(bytes, 0 as never), type],
    ['offset', () => handle.read(bytes, -1n), range],
    ['offset', () => handle.read(bytes, 2n ** 63n - 8n), range],
    ['offset', () => handle.write(bytes, 2n ** 64n), range],
    ['pi', () => handle.readWithPi(bytes, 0n, undefined as never), type],
    ['pi.flags', () => handle.readWithPi(bytes, 0n, attribute({ flags: 8 })), range],
    ['pi.appTag', () => handle.readWithPi(bytes, 0n, attribute({ appTag: 65536 })), range],
    ['pi.seed', () => handle.readWithPi(bytes, 0n, attribute({ seed: 2n ** 64n })), range],
    ['pi.seed', () => handle.writeWithPi(bytes, 0n, attribute({ seed: 1 as never })), type],
    ['pi.tuples', () => handle.writeWithPi(bytes, 0n, attribute({ tuples: shared })), type],
    ['request', () => handle.sgIo(null as never), type],
    ['request.cdb', () => handle.sgIo(inquiry({ cdb: new Uint8Array(5) })), range],
    ['request.cdb', () => handle.sgIo(inquiry({ cdb: new Uint8Array(33) })), range],
    ['request.cdb', () => handle.sgIo(inquiry({ cdb: [0x12] as never })), type],
    ['request.direction', () => handle.sgIo(inquiry({ direction: 'both' as never })), range],
    ['request.data', () => handle.sgIo(inquiry({ data: null })), type],
    ['request.data', () => handle.sgIo(inquiry({ data: shared })), type],
    ['request.data', () => handle.sgIo(inquiry({ direction: 'none' })), type],
    ['request.timeoutMs', () => handle.sgIo(inquiry({ timeoutMs: 0 })), range],
    ['request.timeoutMs', () => handle.sgIo(inquiry({ timeoutMs: 2 ** 31 })), range],
    ['request.timeoutMs', () => handle.sgIo(inquiry({ timeoutMs: 0.5 })), range],
    ['request', () => handle.nvmeIo(1 as never), type],
    ['request.opcode', () => handle.nvmeIo(nvmeRead({ opcode: 'format' as never })), range],
    ['request.slba', () => handle.nvmeIo(nvmeRead({ slba: 2n ** 64n })), range],
    ['request.slba', () => handle.nvmeIo(nvmeRead({ slba: 0 as never })), type],
    ['request.blocks', () => handle.nvmeIo(nvmeRead({ blocks: 0 })), range],
    ['request.blocks', () => handle.nvmeIo(nvmeRead({ blocks: 65537 })), range],
    ['request.data', () => handle.nvmeIo(nvmeRead({ data: null as never })), type],
    ['request.data', () => handle.nvmeIo(nvmeRead({ data: detached })), type],
    ['request.metadata', () => handle.nvmeIo(nvmeRead({ metadata: shared })), type],
    ['request.prchk', () => handle.nvmeIo(nvmeRead({ prchk: 8 })), range],
    ['request.refTag', () => handle.nvmeIo(nvmeRead({ refTag: 2n ** 48n })), range],
    ['request.appTag', () => handle.nvmeIo(nvmeRead({ appTag: 65536 })), range],
    ['request.appMask', () => handle.nvmeIo(nvmeRead({ appMask: -1 })), range],
    ['request.timeoutMs', () => handle.nvmeIo(nvmeRead({ timeoutMs: 0 })), range],
    [
      'request.structure',
      () => handle.nvmeIdentify({ structure: 'controller' as never, timeoutMs: 1 }),
      range,
    ],
    ['request.timeoutMs', () => handle.nvmeIdentify({ structure: 'namespace', timeoutMs: 0 }), range],
  ];
  for (const [i, [name, call, code]] of wrong.entries()) {
    t.throws(call, { code, message: new RegExp(`^${name} must be `) }, `${name} (${i})`);
  }
  t.throws(() => (Handle as unknown as () => void)(), TypeError, 'a handle is made with new');
  t.throws(() => handle.status.call({} as never), TypeError, 'a method needs its handle');
  t.throws(() => handle.status.call(Object.create(Handle.prototype)), TypeError);
  t.match(await handle.status(), { errno: 0 });
});

t.test("every order of a handle's, a server's, a worker's and a process's end", async (t) => {
  const lives: [life: string, output: string][] = [
    ['ends with an idle handle open', ''],
    ['ends with a handle that was never opened', ''],
    ['waits for calls that are under way', '16777216\n'],
    ['waits for a close that nobody waits for', 'closed\n'],
    ['exits in the middle of reads', ''],
    ['exits in the middle of a close', ''],
    ['exits in the middle of a snapshot', ''],
    ['dropped handles are closed by the garbage collector', ''],
    ['a dropped handle answers its calls first', ''],
    ['threads end with close', ''],
    ['dropped TCMU servers that are not open are collected', ''],
    ['a TCMU server that nobody holds stays open until it is closed', 'closed\n'],
    ['exits with a TCMU server open', ''],
    ['workers are terminated with a TCMU server open', ''],
    ['workers are terminated in the middle of reads', ''],
    ['workers are terminated in the middle of a close', ''],
    ['workers are terminated in the middle of snapshots', ''],
    ['waits for background jobs', '65535\n'],
    ['ends with background threads idle', ''],
    ['exits in the middle of background jobs', ''],
    ['a background job holds its memory, and no longer', ''],
    ['a background job stops', ''],
    ['workers are terminated in the middle of background jobs', ''],
    ['workers end with an idle handle open', ''],
  ];
  for (const [life, output] of lives) {
    const script = fileURLToPath(new URL('lifecycle.js', import.meta.url));
    const child = spawn(process.execPath, ['--expose-gc', script, life], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '' },
      timeout: 60_000,
    });
    const [stdout, stderr, ended] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'exit'),
    ]);
    t.same({ ended, stdout, stderr }, { ended: [0, null], stdout: output, stderr: '' }, life);
  }
});

t.test('what is verified where it came in fits the bytes', async (t) => {
  const { handle } = await openFile(t);
  const rule = (more: Partial<NativeReadRule>) => ({ rule: { ...RULE, ...more } });
  for (const wrong of [
    { bytes: 0 },
    { bytes: 519 },
    { bytes: 1041 },
    { cdbs: [] },
    { cdbs: [new Uint8Array(16), new Uint8Array(5)] },
    { cdbs: Array<Uint8Array>(1025).fill(new Uint8Array(16)) },
    rule({ interval: 0 }),
    rule({ metadataSize: 7 }),
    rule({ piOffset: 1 }),
    rule({ guard: 9 as 0 }),
    rule({ checks: Uint8Array.of(3) }),
    rule({ seed: -1n }),
  ]) {
    t.throws(() => handle.sgVerify(sgVerify(wrong)), { code: 'ERR_OUT_OF_RANGE' }, Object.keys(wrong).join());
  }
  for (const wrong of [
    { bytes: 511 },
    { tupleBytes: 7 },
    { bytes: 1024 },
    { flags: 8 },
    { reads: 0 },
    { reads: 1025 },
  ]) {
    t.throws(() => handle.verifyWithPi(piVerify(wrong)), { code: 'ERR_OUT_OF_RANGE' });
  }
  const end = 2n ** 63n - 1n - 512n;
  t.throws(() => handle.verifyWithPi(piVerify({ offset: end, reads: 2 })), { code: 'ERR_OUT_OF_RANGE' });
  for (const cdbs of [new Uint8Array(16), [null]] as never[])
    t.throws(() => handle.sgVerify(sgVerify({ cdbs })), { code: 'ERR_INVALID_ARG_TYPE' });
  t.throws(() => handle.sgVerify(sgVerify(rule({ escape: 'none' as 'app' }))), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => handle.readThrough(0, 0n, 1), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => handle.readThrough(512, 0n, 0), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => handle.readThrough(512, end, 2), { code: 'ERR_OUT_OF_RANGE' });
  t.match(await handle.sgVerify(sgVerify()), { errno: errno.ENOTTY, verified: null, reads: 0 });
  t.same(await handle.readThrough(4096, 0n, 1), { errno: 0, bytes: 4096 });
  t.same(await handle.readThrough(512, 0n, 8), { errno: 0, bytes: 4096 });
  t.same(await handle.readThrough(512, 512n, 1024), { errno: 0, bytes: 3584 }, 'the end of the file');
});

t.test('memory that a read of its own cannot have is an answer', async (t) => {
  const script = `
    const { native } = await import(process.argv[1]);
    const handle = new (native().Handle)();
    await handle.open('/dev/zero', 0);
    console.log((await handle.readThrough(0x7ffff000, 0n, 1)).errno);
    await handle.close();`;
  const binding = new URL('../../src/binding.ts', import.meta.url).href;
  const node = [process.execPath, ...process.execArgv, '--input-type=module', '-e', script, binding];
  const limited = ['-c', 'ulimit -v 3000000 && exec "$@"', 'sh', ...node];
  t.equal(execFileSync('sh', limited, { encoding: 'utf8' }), `${errno.ENOMEM}\n`);
});

t.test('threads whose I/O gives way', async (t) => {
  const idleThreads = () =>
    readdirSync('/proc/self/task').filter(
      (id) => execFileSync('ionice', ['-p', id], { encoding: 'utf8' }) === 'idle\n',
    ).length;
  t.equal(idleThreads(), 0);
  const idle = new Handle(2, true);
  const usual = new Handle(2, false);
  await Promise.all([idle, idle, usual, usual].map((handle) => handle.status()));
  t.equal(idleThreads(), 2, 'its own alone');
  await Promise.all([idle.close(), usual.close()]);
  t.throws(() => new Handle(1, 1 as unknown as boolean), { code: 'ERR_INVALID_ARG_TYPE' });
});
