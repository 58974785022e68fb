/** The TCMU server on a regular file that looks like a ring; the kernel's own is in test/kernel/tcmu.ts. */
import { readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type NativeTcmuServer, native, type TcmuBatch } from '../../src/binding.js';

const { TcmuServer } = native();
const { errno } = constants;
const MAP_BYTES = 8192;
const RING_AT = 128;
const ENTRY_BYTES = 120;
const DATA_AT = 4096;

/** A mailbox, and one command of 8 bytes of data for each id. */
function ringFile(t: Test, ids: readonly number[], ringBytes = DATA_AT - RING_AT): string {
  const bytes = new Uint8Array(MAP_BYTES).map((_, at) => (at < DATA_AT ? 0 : at % 251));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 2, true);
  view.setUint16(2, 3, true);
  view.setUint32(4, RING_AT, true);
  view.setUint32(8, ringBytes, true);
  view.setUint32(12, ids.length * ENTRY_BYTES, true);
  ids.forEach((id, index) => {
    const at = RING_AT + index * ENTRY_BYTES;
    view.setUint32(at, ENTRY_BYTES | 1, true);
    view.setUint16(at + 4, id, true);
    view.setUint32(at + 8, 1, true);
    view.setBigUint64(at + 24, BigInt(at + 88), true);
    view.setBigUint64(at + 48, BigInt(DATA_AT + index * 8), true);
    view.setBigUint64(at + 56, 8n, true);
    bytes[at + 88] = 0x2a;
  });
  const path = join(t.testdir(), 'ring');
  writeFileSync(path, bytes);
  return path;
}

function openServer(t: Test, path: string): Promise<{ server: NativeTcmuServer; batch: TcmuBatch }> {
  const server = new TcmuServer();
  t.teardown(() => server.close());
  return new Promise((resolve) => {
    t.equal(
      server.open(path, MAP_BYTES, (batch) => resolve({ server, batch })),
      0,
    );
  });
}

t.test('hands commands over and writes replies', async (t) => {
  const path = ringFile(t, [5, 9]);
  const { server, batch } = await openServer(t, path);
  t.match(batch, { errno: 0, aborted: [], commands: [{ id: 5 }, { id: 9, dataBytes: 8 }] });
  t.equal(batch.commands[1]!.cdb[0], 0x2a);
  t.equal(batch.commands[1]!.cdb.length, 10);
  t.same(
    [...server.dataOut(9)],
    Array.from({ length: 8 }, (_, i) => (DATA_AT + 8 + i) % 251),
  );
  t.throws(() => server.dataOut(6), { code: 'ERR_OUT_OF_RANGE' });

  t.equal(server.complete(9, 2, Uint8Array.of(0x70, 0, 5), Uint8Array.of(1, 2, 3)), 0);
  t.equal(server.complete(9, 0, new Uint8Array(0), null), errno.ENOENT, 'once');
  t.equal(server.complete(5, 0, new Uint8Array(0), null), 0);
  const bytes = readFileSync(path);
  t.equal(bytes.readUInt16LE(RING_AT + 4), 9, 'the first reply is in the first entry');
  t.same([...bytes.subarray(RING_AT + 7, RING_AT + 9)], [2, 2], 'its length is valid, its status');
  t.equal(bytes.readUInt32LE(RING_AT + 12), 3);
  t.same([...bytes.subarray(RING_AT + 16, RING_AT + 20)], [0x70, 0, 5, 0]);
  t.same([...bytes.subarray(DATA_AT + 8, DATA_AT + 11)], [1, 2, 3]);
  t.equal(bytes[RING_AT + ENTRY_BYTES + 7], 0, 'no length without data');
  t.equal(bytes.readUInt32LE(64), 2 * ENTRY_BYTES, 'the tail has moved');
  t.equal(server.kick(), 0);

  server.close();
  server.close();
  t.throws(() => server.kick(), /not open/);
  t.throws(() => server.complete(5, 0, new Uint8Array(0), null), /not open/);
  t.equal(
    server.open(path, MAP_BYTES, () => {}),
    0,
    'it can be opened again',
  );
});

t.test('tells of a malformed ring', async (t) => {
  const path = ringFile(t, [5, 5]);
  const { batch } = await openServer(t, path);
  t.match(batch, { errno: errno.EPROTO, commands: [{ id: 5 }] });
});

t.test('what cannot be opened', async (t) => {
  const server = new TcmuServer();
  t.equal(
    server.open(join(t.testdir(), 'none'), MAP_BYTES, () => {}),
    errno.ENOENT,
  );
  t.equal(
    server.open('/dev/null', MAP_BYTES, () => {}),
    errno.ENODEV,
  );
  t.equal(
    server.open(ringFile(t, [], MAP_BYTES), MAP_BYTES, () => {}),
    errno.EPROTO,
  );
  const good = ringFile(t, []);
  t.equal(
    server.open(good, MAP_BYTES, () => {}),
    0,
  );
  t.equal(
    server.open(good, MAP_BYTES, () => {}),
    errno.EBUSY,
  );
  server.close();
});

t.test('wrong arguments are named', async (t) => {
  const { server } = await openServer(t, ringFile(t, [1]));
  const other = new TcmuServer();
  const loosely = (of: NativeTcmuServer) => of as unknown as Record<string, (...args: unknown[]) => unknown>;
  const calls: readonly [RegExp, () => unknown][] = [
    [/path must be a string/, () => loosely(other)['open']!(1, MAP_BYTES, () => {})],
    [/mapBytes must be/, () => loosely(other)['open']!('/x', 0, () => {})],
    [/onCommands must be a function/, () => loosely(other)['open']!('/x', MAP_BYTES, null)],
    [/id must be/, () => server.dataOut(65536)],
    [/id must be/, () => server.complete(-1, 0, new Uint8Array(0), null)],
    [/status must be/, () => server.complete(1, 256, new Uint8Array(0), null)],
    [/sense must be a Uint8Array/, () => loosely(server)['complete']!(1, 0, null, null)],
    [/dataIn must be a Uint8Array/, () => loosely(server)['complete']!(1, 0, new Uint8Array(0), 'x')],
  ];
  for (const [message, call] of calls) t.throws(call, { message });
});
