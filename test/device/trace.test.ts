import t from 'tap';
import type { NativeHandle, SgResult } from '../../src/binding.js';
import { type TracedCommand, traced, traceText } from '../../src/device/trace.js';
import { SgTransport } from '../../src/device/transport.js';
import { readCdb, writeCdb } from '../../src/scsi/cdb.js';
import { checkCondition, GOOD } from '../support/target.js';

/** A node that gives these answers, one a command. */
const node = (...answers: SgResult[]): Pick<NativeHandle, 'sgIo'> => ({
  sgIo: async () => answers.shift()!,
});

const data = new Uint8Array(1040);
const READ = {
  cdb: readCdb({
    size: 32,
    lba: 7n,
    blocks: 2,
    protect: 1,
    expected: { refTag: 0xabc, appTag: 0, appTagMask: 0 },
  }),
  direction: 'from-device',
  data,
} as const;

function tracing(...answers: SgResult[]) {
  const lines: string[] = [];
  const onCommand = (one: TracedCommand) => {
    lines.push(traceText(one).replace(/\d+\.\d ms/, 'N ms'));
  };
  return { lines, transport: traced(new SgTransport(node(...answers), '/dev/sdx', false), onCommand) };
}

t.test('a command, its answer and what was retried is one line', async (t) => {
  const { lines, transport } = tracing(checkCondition(6, 0x29, 0), { ...GOOD, resid: 16 });
  await transport.send(READ);
  t.same(lines, [
    'READ(32) protect=1 lba=7 blocks=2 refTag=0xabc, in 1040 bytes: GOOD, residue 16, N ms; try 1: UNIT ATTENTION 06h/29h/00h: Power on, reset, or bus device reset occurred',
  ]);
  t.equal(transport.unitAttentions, 1);
});

t.test('so is one that ends in an error, or was not sent', async (t) => {
  const { lines, transport } = tracing({ ...GOOD, errno: 19 });
  await t.rejects(transport.send(READ), { code: 'ERR_DEVICE_GONE' });
  t.match(lines[0], /^READ\(32\).*: \/dev\/sdx: .*the device is gone: ENODEV.*, N ms$/);
  await t.rejects(transport.send({ ...READ, direction: 'to-device' }), { code: 'ERR_READ_ONLY' });
  t.match(lines[1], /out 1040 bytes: .*could alter the medium/);
});

t.test('commands of the writable descriptors are told too; unknown ones by their bytes', async (t) => {
  const { lines, transport } = tracing();
  const writable = transport.writableBy(node(GOOD, checkCondition(5, 0x20, 0)));
  await writable.send({ cdb: writeCdb({ size: 10, lba: 0n, blocks: 1 }), direction: 'to-device', data });
  await writable.send({ cdb: Uint8Array.of(0xc0, 1, 2, 3, 4, 5), direction: 'none', data: null });
  t.same(lines, [
    'WRITE(10) lba=0 blocks=1, out 1040 bytes: GOOD, N ms',
    'command c0 01 02 03 04 05, no data: ILLEGAL REQUEST 05h/20h/00h: Invalid command operation code, N ms',
  ]);
});

t.test('without anybody to tell it is the transport itself', async (t) => {
  const transport = new SgTransport(node(GOOD), '/dev/sdx', false);
  t.equal(traced(transport, undefined), transport);
});
