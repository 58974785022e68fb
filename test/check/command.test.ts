import t from 'tap';
import type { SgRequest, SgResult } from '../../src/binding.js';
import { type RawCommand, requireReadOnly, sendCommand } from '../../src/check/command.js';
import { openInProcess } from '../../src/device/in-process.js';
import { commandReportText } from '../../src/report/transfer-text.js';
import { readCdb } from '../../src/scsi/cdb.js';
import { COMMANDS, encodeCdb } from '../../src/scsi/commands.js';
import { EmulatedDisk } from '../../src/testbed/disk/emulated-disk.js';
import { InProcessNode } from '../../src/testbed/disk/in-process.js';
import { checkCondition, GOOD } from '../support/target.js';

/** A disk of which every answer passes through `change`. */
function send(raw: RawCommand, change: (result: SgResult) => SgResult = (result) => result) {
  return sendWith(raw, (sgIo) => async (request) => change(await sgIo(request)));
}

type SgIo = (request: SgRequest) => Promise<SgResult>;

/** One that takes the place of the disk's `sgIo` for the command itself. */
async function sendWith(raw: RawCommand, instead: (sgIo: SgIo) => SgIo, type: 1 | 2 = 1) {
  await using emulated = await EmulatedDisk.create({ blocks: 4096, type });
  const node = new InProcessNode(emulated.unit).open();
  const own: SgIo = (request) => node.sgIo(request);
  let now = own;
  const sgIo: SgIo = (request) => now(request);
  await using disk = await openInProcess('disk', { open: () => ({ sgIo, close: () => node.close() }) });
  now = instead(own);
  return await sendCommand(disk, raw);
}

const once = (first: SgResult) => {
  let answer: SgResult | undefined = first;
  return (result: SgResult) => {
    const given = answer ?? result;
    answer = undefined;
    return given;
  };
};

const READ = readCdb({ size: 16, lba: 8n, blocks: 3, protect: 1 });

t.test('as many bytes as the command itself says', async (t) => {
  for (const [cdb, bytes] of [
    [READ, 3 * 520],
    [readCdb({ size: 6, lba: 8n, blocks: 3 }), 3 * 512],
    [encodeCdb('INQUIRY', { allocationLength: 36 }), 36],
    [encodeCdb('READ CAPACITY(10)', {}), 8],
    [encodeCdb('READ CAPACITY(16)', { allocationLength: 32 }), 32],
    [encodeCdb('TEST UNIT READY', {}), 0],
    [encodeCdb('VERIFY(10)', { lba: 8n, blocks: 1 }), 0],
  ] as const) {
    const { report, data } = await send({ cdb });
    t.match(
      report,
      { outcome: 'good', requested: bytes, residue: 0, sense: null, retries: [] },
      report.command,
    );
    t.equal(data.length, bytes);
  }
  const { report } = await send({ cdb: encodeCdb('INQUIRY', { allocationLength: 36 }), inBytes: 100 });
  t.match(report, { requested: 100, received: 36, residue: 64, untouched: 0 });
  t.match(report, { fields: { allocationLength: 36, evpd: false }, data: /^000006/ });
});

t.test('what came to nothing, told in full', async (t) => {
  const refused = (await send({ cdb: readCdb({ size: 10, lba: 0n, blocks: 1, protect: 7 }) })).report;
  t.match(refused, {
    outcome: 'check-condition',
    status: 2,
    sense: { key: 5, asc: 0x24, ascq: 0, deferred: false, fieldPointer: { inCdb: true, byte: 1, bit: 7 } },
    senseBytes: /^70/,
    received: 0,
  });
  t.same(refused.sense, {
    ...{ key: 5, asc: 0x24, ascq: 0, deferred: false, information: null },
    fieldPointer: { inCdb: true, byte: 1, bit: 7 },
    text: 'ILLEGAL REQUEST 05h/24h/00h: Invalid field in CDB',
  });
  // NOT READY, not in the way that is waited for, with its progress and a part to be replaced.
  const sense = Uint8Array.from([0x70, 0, 2, 0, 0, 0, 0, 10, 0, 0, 0, 0, 4, 4, 7, 0x80, 0x40, 0]);
  const busy = (await send({ cdb: READ }, () => ({ ...checkCondition(2, 4, 4), sense }))).report;
  t.match(busy.sense, { progress: 0.25, replaceableUnit: 7, information: null });
  t.match(commandReportText(busy), /\n {2}progress: 0.25\n {2}replaceableUnit: 7\n {2}70 00 02/);
  t.notMatch(commandReportText(busy), /information|ataStatus/);
  const guard = (await send({ cdb: READ }, () => ({ ...checkCondition(0xb, 0x10, 1), resid: 0 }))).report;
  t.match(guard, { outcome: 'protection', text: /refused by the device/, residue: 0 });
  t.match(guard, { received: 0, data: '' }, 'what the buffer holds then is anything');
  const long = readCdb({ size: 32, lba: 0n, blocks: 1 });
  const tooLong = (
    await send({ cdb: long }, (result) => ({
      ...result,
      status: 0,
      hostStatus: 5,
      driverStatus: 0,
      sense: new Uint8Array(0),
    }))
  ).report;
  t.match(tooLong, {
    outcome: 'command-too-long',
    text: /does not take commands of this length/,
    hostStatus: 5,
  });
  const again = (await send({ cdb: READ }, once(checkCondition(6, 0x29, 0)))).report;
  t.match(again, { outcome: 'good', retries: [/29h/] });
  // Left in the buffer by an earlier command.
  const stale = await send({ cdb: READ }, (result) => ({ ...result, sense: Uint8Array.of(0x7f, 1, 2) }));
  t.match(stale.report, { outcome: 'good', sense: null, senseBytes: '7f0102' });
});

t.test('bytes that did not come are told, whatever the residue says', async (t) => {
  const { report } = await send({ cdb: READ, inBytes: 2000 }, (result) => ({ ...result, resid: 0 }));
  t.match(report, { received: 2000, residue: 0 });
  t.equal(report.untouched, 2000 - 3 * 520);
  const over = await send({ cdb: READ }, () => ({ ...GOOD, resid: 9999 }));
  t.match(over.report, { received: 0, data: '' });
});

t.test('GOOD without all that CDB and format say is no success', async (t) => {
  const short = await send({ cdb: READ }, (result) => ({ ...result, resid: 24 }));
  t.match(short.report, {
    outcome: 'good',
    missing: 24,
    text: 'GOOD, but 24 of 1560 bytes did not come',
    received: 1536,
  });
  // The tuples did not come, and the host adapter does not say so.
  const plain = await sendWith({ cdb: READ }, (sgIo) => async (request) => {
    const data = request.data!.subarray(0, 3 * 512);
    const cdb = readCdb({ size: 16, lba: 8n, blocks: 3 });
    return sgIo({ ...request, cdb, data });
  });
  t.match(plain.report, {
    missing: 24,
    untouched: 24,
    residue: 0,
    text: /but 24 of 1560 bytes did not come/,
  });
  const more = await send({ cdb: READ, inBytes: 2000 });
  t.match(more.report, { text: 'GOOD', missing: 0, residue: 440, received: 1560 });
  const inquiry = await send({ cdb: encodeCdb('INQUIRY', { allocationLength: 255 }) });
  t.match(inquiry.report, { text: 'GOOD', missing: 0, residue: 255 - 74 });
  const failed = await send({ cdb: READ }, () => ({ ...checkCondition(3, 0x11, 0), resid: 1560 }));
  t.match(failed.report, { missing: 0, text: /^MEDIUM ERROR/ });
  for (const inBytes of [0, 512, 1536, 1559]) {
    await t.rejects(send({ cdb: READ, inBytes }), {
      code: 'ERR_BAD_LENGTH',
      message: new RegExp(`READ\\(16\\): room for ${inBytes} bytes, 1560 come`),
    });
  }
  const long = encodeCdb('READ LONG(16)', { lba: 8n, byteLength: 600 });
  t.match((await send({ cdb: long }, () => GOOD)).report, { requested: 600, missing: 600 });
});

t.test('VERIFY with data compares it, and stores nothing', async (t) => {
  const blank = new Uint8Array(1024);
  for (const size of [10, 12, 16, 32]) {
    const tags = size === 32 ? { refTag: 8 } : {};
    const cdb = encodeCdb(`VERIFY(${size})`, { lba: 8n, blocks: 2, byteCheck: 1, ...tags });
    // VERIFY(32) is of type 2 alone.
    const compare = (dataOut: Uint8Array) => sendWith({ cdb, dataOut }, (sgIo) => sgIo, size === 32 ? 2 : 1);
    const same = (await compare(blank)).report;
    t.match(same, { outcome: 'good', compared: 1024, requested: 0, missing: 0, altered: null }, same.command);
    t.match(commandReportText(same), /\ndata: 1024 bytes sent to be compared; nothing of them is stored$/);
    t.notMatch(commandReportText(same), /ALTERED|stays/);
    const other = (await compare(blank.with(700, 1))).report;
    t.match(other, { outcome: 'check-condition', sense: { key: 0xe, asc: 0x1d }, altered: null });
    for (const bytes of [0, 512, 1023, 1040]) {
      const dataOut = new Uint8Array(bytes);
      await t.rejects(send({ cdb, dataOut }), { code: 'ERR_BAD_LENGTH', message: /1024 are needed/ });
    }
    await t.rejects(send({ cdb }), { code: 'ERR_BAD_LENGTH' });
  }
  const one = encodeCdb('VERIFY(16)', { lba: 8n, blocks: 2, byteCheck: 3 });
  t.match((await send({ cdb: one, dataOut: new Uint8Array(512) })).report, {
    outcome: 'good',
    compared: 512,
  });
  const unsent = await send({ cdb: one, dataOut: new Uint8Array(512) }, () => ({ ...GOOD, resid: 12 }));
  t.match(unsent.report, { missing: 12, text: 'GOOD, but 12 of 512 bytes did not go out' });
  await t.rejects(send({ cdb: READ, dataOut: blank }), { code: 'ERR_READ_ONLY' });
});

t.test('only what cannot alter the disk is sent, and as long as it is', async (t) => {
  for (const { name, readOnly } of COMMANDS.filter(({ readOnly }) => readOnly !== true)) {
    const cdb = encodeCdb(name, {});
    if (readOnly === undefined)
      t.throws(() => requireReadOnly(cdb), { code: 'ERR_READ_ONLY', message: name });
    else t.equal(requireReadOnly(cdb).command.name, name);
  }
  const compares = encodeCdb('VERIFY(16)', { byteCheck: 1, blocks: 1 });
  t.equal(requireReadOnly(compares).command.name, 'VERIFY(16)');
  for (const name of ['WRITE AND VERIFY(16)', 'COMPARE AND WRITE']) {
    const cdb = encodeCdb(name, { blocks: 1, ...(name.endsWith('(16)') && { byteCheck: 1 }) });
    const dataOut = new Uint8Array(name === 'COMPARE AND WRITE' ? 1024 : 512);
    await t.rejects(send({ cdb, dataOut }), { code: 'ERR_READ_ONLY', advice: /blk-integrity write/ }, name);
  }
  for (const name of ['FORMAT UNIT', 'MODE SELECT(10)', 'SYNCHRONIZE CACHE(16)']) {
    t.throws(
      () => requireReadOnly(encodeCdb(name, {})),
      { code: 'ERR_READ_ONLY', advice: 'If that is meant: --write.' },
      name,
    );
  }
  const saves = encodeCdb('LOG SENSE', { savePages: true });
  t.throws(() => requireReadOnly(saves), { code: 'ERR_READ_ONLY', advice: /is not sent/ });
  t.throws(() => requireReadOnly(Uint8Array.of(0xc0, 0, 0, 0, 0, 0)), {
    code: 'ERR_READ_ONLY',
    message: /c0 00 .*not known here/,
  });
  t.throws(() => requireReadOnly(READ.subarray(0, 10)), { code: 'ERR_USAGE', message: /16 bytes: 10 are/ });
  t.throws(() => requireReadOnly(Uint8Array.from([...READ, 0])), { code: 'ERR_USAGE' });
  await t.rejects(send({ cdb: encodeCdb('TEST UNIT READY', {}), inBytes: 4 }), { code: 'ERR_USAGE' });
  await t.rejects(send({ cdb: readCdb({ size: 16, lba: 0n, blocks: 4096 }) }), {
    code: 'ERR_OUT_OF_RANGE',
    message: /2097152 bytes: one transfer takes 1048576/,
  });
});
