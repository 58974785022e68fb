/** A disk in this process is as strict as a node of the kernel's: what it lets through no node refuses. */
import { constants } from 'node:os';
import t from 'tap';
import { native, type SgRequest } from '../../../src/binding.js';
import { claimRegion } from '../../../src/device/safeguard/claim.js';
import { encodeCdb } from '../../../src/scsi/commands.js';
import { EmulatedDisk } from '../../../src/testbed/disk/emulated-disk.js';
import { InProcessNode } from '../../../src/testbed/disk/in-process.js';

const READ: SgRequest = {
  cdb: encodeCdb('READ(16)', { lba: 0n, blocks: 1 }),
  direction: 'from-device',
  data: new Uint8Array(512),
  timeoutMs: 1000,
};

const WRONG: Readonly<Record<string, unknown>> = {
  'no request': null,
  'a CDB of 5 bytes': { ...READ, cdb: new Uint8Array(5) },
  'a CDB of 33 bytes': { ...READ, cdb: new Uint8Array(33) },
  'a CDB that is an array': { ...READ, cdb: [0x88] },
  'a CDB that is a DataView': { ...READ, cdb: new DataView(new ArrayBuffer(16)) },
  'another direction': { ...READ, direction: 'both' },
  'no direction': { ...READ, direction: undefined },
  'no data': { ...READ, data: null },
  'no data to send': { ...READ, direction: 'to-device', data: undefined },
  'shared memory': { ...READ, data: new Uint8Array(new SharedArrayBuffer(512)) },
  'data without a direction': { ...READ, direction: 'none' },
  'no word of data': { ...READ, direction: 'none', data: undefined },
  'no time': { ...READ, timeoutMs: 0 },
  'too much time': { ...READ, timeoutMs: 2 ** 31 },
  'half a millisecond': { ...READ, timeoutMs: 0.5 },
  'time in words': { ...READ, timeoutMs: '1' },
  never: { ...READ, timeoutMs: Number.NaN },
};

t.test('wrong arguments are refused as the addon does, and nothing is executed', async (t) => {
  const emulated = await EmulatedDisk.create();
  const node = new InProcessNode(emulated.unit).open();
  const handle = new (native().Handle)();
  const refusalOf = (send: () => unknown) => {
    try {
      send();
    } catch (error) {
      const { name, code, message } = error as NodeJS.ErrnoException;
      return { name, code, message };
    }
    return null;
  };
  for (const [what, request] of Object.entries(WRONG)) {
    const wanted = refusalOf(() => handle.sgIo(request as SgRequest));
    t.ok(wanted, what);
    t.same(
      refusalOf(() => node.sgIo(request as SgRequest)),
      wanted,
      what,
    );
  }
  t.equal(emulated.stats().commands, 0);
  t.equal((await node.sgIo(READ)).status, 2, 'the first is told of power on');
  await handle.close();
});

t.test('a closed one answers as a closed handle', async (t) => {
  const emulated = await EmulatedDisk.create();
  const node = new InProcessNode(emulated.unit).open();
  const handle = new (native().Handle)();
  await Promise.all([node.close(), handle.close()]);
  const { durationMs: _, ...wanted } = await handle.sgIo(READ);
  t.match(await node.sgIo(READ), wanted);
  t.equal(wanted.errno, constants.errno.EBADF);
  t.throws(() => node.sgIo({ ...READ, timeoutMs: 0 }), { code: 'ERR_OUT_OF_RANGE' }, 'wrong all the same');
});

t.test('a disk that was closed sends nothing more, and can be opened again', async (t) => {
  const emulated = await EmulatedDisk.create({ blocks: 1024 });
  const one = await emulated.open();
  const two = await emulated.open();
  const region = await claimRegion(one, { lba: 8n, blocks: 8 });
  await t.rejects(
    claimRegion(two, { lba: 8n, blocks: 8 }),
    { code: 'ERR_BUSY' },
    'by whichever it was opened',
  );
  t.equal(await region.restore(), 'exact');
  await region[Symbol.asyncDispose]();
  await one.close();
  const test = { cdb: encodeCdb('TEST UNIT READY', {}), direction: 'none', data: null } as const;
  await t.rejects(one.transport!.send(test), { code: 'ERR_CLOSED' });
  t.match(await two.transport!.send(test), { outcome: { kind: 'good' } }, 'the other goes on');
  await using again = await emulated.open();
  t.match(await again.transport!.send(test), { outcome: { kind: 'good' } });
});

t.test('close waits for what is under way', async (t) => {
  const emulated = await EmulatedDisk.create();
  await using disk = await emulated.open();
  emulated.addFault({ kind: 'delay', delayMs: 50, times: 1 });
  const order: string[] = [];
  const data = new Uint8Array(512);
  const sent = disk.transport!.send({ cdb: READ.cdb, direction: 'from-device', data });
  const answered = sent.then(({ outcome }) => order.push(outcome.kind));
  await new Promise((resolve) => setImmediate(resolve));
  await disk.close();
  order.push('closed');
  await answered;
  t.same(order, ['good', 'closed']);
});
