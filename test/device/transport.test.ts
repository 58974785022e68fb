import t from 'tap';
import type { NativeHandle, SgRequest, SgResult } from '../../src/binding.js';
import { errnoError } from '../../src/device/errno.js';
import { fetch, SgTransport } from '../../src/device/transport.js';
import type { IntegrityError } from '../../src/errors.js';
import { inquiryCdb, readCdb, writeCdb } from '../../src/scsi/cdb.js';
import { COMMANDS, encodeCdb } from '../../src/scsi/commands.js';
import { describeOutcome } from '../../src/scsi/outcome.js';
import { senseKeyOf } from '../../src/scsi/sense.js';
import { checkCondition, GOOD } from '../support/target.js';

/** A handle that gives these answers, one a command, the last for ever. */
function handle(...answers: SgResult[]): NativeHandle & { requests: SgRequest[] } {
  const requests: SgRequest[] = [];
  const sgIo = async (request: SgRequest) => {
    requests.push(request);
    return answers[Math.min(requests.length, answers.length) - 1]!;
  };
  return { requests, sgIo } as unknown as NativeHandle & { requests: SgRequest[] };
}

/** The same sense, of a command before this one. */
function deferred(result: SgResult): SgResult {
  const sense = result.sense.slice();
  sense[0] = 0x71;
  return { ...result, sense };
}

const READ = {
  cdb: readCdb({ size: 16, lba: 0n, blocks: 1 }),
  direction: 'from-device',
  data: new Uint8Array(512),
} as const;
const WRITE = {
  cdb: writeCdb({ size: 16, lba: 0n, blocks: 1 }),
  direction: 'to-device',
  data: new Uint8Array(512),
} as const;
const NO_DATA = { direction: 'none', data: null } as const;
const RESET = checkCondition(6, 0x29, 0);
const CHANGED = checkCondition(6, 0x2a, 9);

t.test('a transport that may not write sends nothing that could', async (t) => {
  const node = handle(GOOD);
  const transport = new SgTransport(node, '/dev/sdx', false);
  await t.rejects(transport.send(WRITE), { code: 'ERR_READ_ONLY', disk: '/dev/sdx', cdb: WRITE.cdb });
  for (const opcode of [0x04, 0x3b, 0x41, 0x42, 0x55, 0x89, 0x93, 0x9f, 0xc0, 0xff]) {
    await t.rejects(transport.send({ ...WRITE, cdb: Uint8Array.of(opcode, ...new Array(15).fill(0)) }), {
      code: 'ERR_READ_ONLY',
    });
  }
  await t.rejects(transport.send({ ...READ, direction: 'to-device' }), { code: 'ERR_READ_ONLY' });
  t.equal(node.requests.length, 0);
  t.equal((await transport.send(READ)).outcome.kind, 'good');
  t.equal((await new SgTransport(node, '/dev/sdx', true).send(WRITE)).outcome.kind, 'good');
});

t.test('data goes out by it for VERIFY alone, which compares', async (t) => {
  const node = handle(GOOD);
  const transport = new SgTransport(node, '/dev/sdx', false);
  const out = { direction: 'to-device', data: new Uint8Array(512) } as const;
  const compares = COMMANDS.filter(({ comparesOnly }) => comparesOnly).map(({ name }) => name);
  t.same(compares, ['VERIFY(10)', 'VERIFY(32)', 'VERIFY(16)', 'VERIFY(12)']);
  for (const { name, fields, length } of COMMANDS) {
    for (let byteCheck = 0; byteCheck < ('byteCheck' in fields ? 4 : 1); byteCheck++) {
      const cdb = encodeCdb(name, byteCheck === 0 ? {} : { byteCheck });
      const said = `${name} ${byteCheck}`;
      if (compares.includes(name) && [1, 3].includes(byteCheck)) {
        t.equal((await transport.send({ ...out, cdb })).outcome.kind, 'good', said);
        for (const cut of [cdb.subarray(0, length - 1), Uint8Array.from([...cdb, 0])]) {
          await t.rejects(transport.send({ ...out, cdb: cut }), { code: 'ERR_READ_ONLY' }, said);
        }
        await t.rejects(
          transport.send({ direction: 'none', data: null, cdb }),
          { code: 'ERR_READ_ONLY' },
          said,
        );
      } else {
        await t.rejects(transport.send({ ...out, cdb }), { code: 'ERR_READ_ONLY' }, said);
      }
    }
  }
  t.equal(node.requests.length, 8);
  const long = encodeCdb('VERIFY(32)', { byteCheck: 1 });
  for (const [at, byte] of [
    [7, 0x17],
    [9, 0x0b],
    [9, 0x0c],
  ] as const) {
    await t.rejects(transport.send({ ...out, cdb: long.with(at, byte) }), { code: 'ERR_READ_ONLY' });
  }
});

t.test('what was checked is what is sent, whatever becomes of the array meanwhile', async (t) => {
  for (const answers of [
    [{ ...GOOD, status: 0x08 }, GOOD],
    [RESET, GOOD],
  ]) {
    const node = handle(...answers);
    const cdb = READ.cdb.slice();
    const reply = new SgTransport(node, '/dev/sdx', false).send({ ...READ, cdb });
    cdb.set(WRITE.cdb);
    t.equal((await reply).outcome.kind, 'good');
    t.same(
      node.requests.map((request) => request.cdb),
      [READ.cdb, READ.cdb],
    );
  }
});

t.test('UNIT ATTENTION is retried once a condition', async (t) => {
  const node = handle(RESET, CHANGED, GOOD);
  const transport = new SgTransport(node, '/dev/sdx', false);
  const reply = await transport.send(READ);
  t.equal(reply.outcome.kind, 'good');
  t.equal(reply.retries.length, 2);
  t.equal(transport.unitAttentions, 2, 'and counted: a proof made before has lapsed');
  const stuck = await new SgTransport(handle(RESET), '/dev/sdx', false).send(READ);
  t.equal(stuck.outcome.kind, 'unit-attention');
  t.equal(stuck.retries.length, 1);
});

t.test('UNIT ATTENTIONs are many over a day, and end within one command', async (t) => {
  const day = Array.from({ length: 10 }, () => [RESET, GOOD]).flat();
  const transport = new SgTransport(handle(...day), '/dev/sdx', false);
  for (let i = 1; i <= 10; i++) {
    t.equal((await transport.send(READ)).outcome.kind, 'good');
    t.equal(transport.unitAttentions, i);
  }
  const storm = handle(...Array.from({ length: 50 }, (_, ascq) => checkCondition(6, 0x3f, ascq)));
  const reply = await new SgTransport(storm, '/dev/sdx', false).send(READ);
  t.equal(reply.outcome.kind, 'unit-attention');
  t.equal(storm.requests.length, 9, 'eight retries');
});

t.test('a condition that was told before is an answer, whatever was told between', async (t) => {
  const node = handle(RESET, CHANGED, RESET, CHANGED, GOOD);
  const reply = await new SgTransport(node, '/dev/sdx', false).send(READ);
  t.match(reply.outcome, { kind: 'unit-attention', sense: { asc: 0x29 } });
  t.equal(node.requests.length, 3);
});

t.test('what can alter the disk is sent once', async (t) => {
  const busy = { ...GOOD, status: 0x08 };
  const becoming = checkCondition(2, 0x04, 0x01);
  const unknown = Uint8Array.of(0xc0, 0, 0, 0, 0, 0);
  const writes = [WRITE, { ...READ, cdb: unknown }];
  for (const command of [...writes, { cdb: encodeCdb('SYNCHRONIZE CACHE(16)', {}), ...NO_DATA }]) {
    for (const again of [undefined, async () => {}]) {
      const node = handle(RESET, GOOD);
      const transport = new SgTransport(node, '/dev/sdx', true);
      const reply = await transport.send({ ...command, again });
      t.match(reply, { outcome: { kind: 'unit-attention' }, retries: [] }, 'a UNIT ATTENTION is its answer');
      t.equal(node.requests.length, 1);
      t.equal(transport.unitAttentions, 1);
    }
    for (const [answer, kind] of [
      [busy, 'busy'],
      [becoming, 'not-ready'],
    ] as const) {
      const node = handle(answer, GOOD);
      const transport = new SgTransport(node, '/dev/sdx', true);
      t.match(await transport.send(command), { outcome: { kind }, retries: [] }, kind);
      t.equal(node.requests.length, 1);
    }
    let asked = 0;
    const again = async () => {
      asked++;
    };
    const node = handle(busy, becoming, GOOD);
    const reply = await new SgTransport(node, '/dev/sdx', true).send({ ...command, again });
    t.same([reply.outcome.kind, reply.retries.length, asked], ['good', 2, 2]);
    const refusing = handle(busy, GOOD);
    const no = async () => {
      throw new Error('another disk');
    };
    await t.rejects(
      new SgTransport(refusing, '/dev/sdx', true).send({ ...command, again: no }),
      /another disk/,
    );
    t.equal(refusing.requests.length, 1);
  }
});

t.test('BUSY and TASK SET FULL are retried with a pause, and not for ever', async (t) => {
  const busy = { ...GOOD, status: 0x08 };
  const full = { ...GOOD, status: 0x28 };
  const reply = await new SgTransport(handle(busy, full, GOOD), '/dev/sdx', false).send(READ);
  t.same([reply.outcome.kind, reply.retries], ['good', ['BUSY', 'TASK SET FULL']]);
  const node = handle(busy);
  t.equal((await new SgTransport(node, '/dev/sdx', false).send(READ)).outcome.kind, 'busy');
  t.equal(node.requests.length, 4);
});

t.test('a disk that becomes ready is waited for, and one that does not is not', async (t) => {
  const becoming = checkCondition(2, 0x04, 0x01);
  const reply = await new SgTransport(handle(becoming, becoming, GOOD), '/dev/sdx', false).send(READ);
  t.equal(reply.outcome.kind, 'good');
  t.match(reply.retries, [/NOT READY.*becoming ready/, /NOT READY/]);
  for (const ascq of [0x00, 0x02, 0x04]) {
    const node = handle(checkCondition(2, 0x04, ascq), GOOD);
    t.equal((await new SgTransport(node, '/dev/sdx', false).send(READ)).outcome.kind, 'not-ready');
    t.equal(node.requests.length, 1);
  }
  const both = handle({ ...GOOD, status: 0x08 }, becoming, { ...GOOD, status: 0x08 }, GOOD);
  t.equal((await new SgTransport(both, '/dev/sdx', false).send(READ)).retries.length, 3);
});

/** A handle whose commands end when they are told to. */
function patient(): NativeHandle & { end: (() => void)[] } {
  const end: (() => void)[] = [];
  const sgIo = () => new Promise<SgResult>((resolve) => end.push(() => resolve(GOOD)));
  return { end, sgIo } as unknown as NativeHandle & { end: (() => void)[] };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

t.test('as many commands at once as the queue is deep, and the others in their order', async (t) => {
  const node = patient();
  const transport = new SgTransport(node, '/dev/sdx', false, { queueDepth: 3 });
  const done: number[] = [];
  const sent = Array.from({ length: 8 }, (_, i) => transport.send(READ).then(() => done.push(i)));
  await settled();
  t.equal(node.end.length, 3);
  node.end[2]!();
  node.end[0]!();
  await settled();
  t.same(done, [2, 0], 'answered as they end');
  t.equal(node.end.length, 5);
  for (let i = 1; i < 8; i++) {
    node.end[i]?.();
    await settled();
  }
  await Promise.all(sent);
  t.same(done, [2, 0, 1, 3, 4, 5, 6, 7]);
  t.equal(node.end.length, 8);
});

t.test('a caller who gives up before the turn of a command has not sent it', async (t) => {
  const node = patient();
  const transport = new SgTransport(node, '/dev/sdx', false);
  const first = transport.send(READ);
  const { signal, abort } = controller();
  const second = transport.send({ ...READ, signal });
  const third = transport.send(READ);
  await settled();
  abort();
  await t.rejects(second, { name: 'AbortError' });
  node.end[0]!();
  t.equal((await first).outcome.kind, 'good');
  await settled();
  t.equal(node.end.length, 2, 'the third, and not the second');
  node.end[1]!();
  t.equal((await third).outcome.kind, 'good');
  const late = controller();
  const under = transport.send({ ...READ, signal: late.signal });
  await settled();
  late.abort();
  node.end[2]!();
  t.equal((await under).outcome.kind, 'good', 'what was under way has its answer');
});

function controller(): { signal: AbortSignal; abort: () => void } {
  const one = new AbortController();
  return { signal: one.signal, abort: () => one.abort() };
}

t.test('a protection error is an answer, never retried', async (t) => {
  const node = handle(checkCondition(0xb, 0x10, 1), GOOD);
  const { outcome } = await new SgTransport(node, '/dev/sdx', false).send(READ);
  t.match(outcome, { kind: 'protection', checker: 'device', check: 'guard' });
  t.equal(node.requests.length, 1);
});

t.test('sense that cannot be decoded loses no answer', async (t) => {
  for (const [sense, said] of [
    ['7f000102', '7f 00 01 02'],
    ['0b0001', '0b 00 01'],
    ['f0', 'f0'],
    ['7000', '70 00'],
    ['720610', '72 06 10'],
  ] as const) {
    for (const status of [2, 0]) {
      const answer = { ...GOOD, status, driverStatus: 8, sense: Uint8Array.from(Buffer.from(sense, 'hex')) };
      const node = handle(answer, GOOD);
      const { outcome, result } = await new SgTransport(node, '/dev/sdx', false).send(READ);
      t.match(outcome, { kind: 'check-condition', sense: null });
      t.equal(describeOutcome(outcome), `CHECK CONDITION with sense that cannot be decoded: ${said}`);
      t.equal(result.sense, answer.sense);
      t.equal(node.requests.length, 1);
      const inquiry = fetch(new SgTransport(handle(answer), '/dev/sdx', false), inquiryCdb(36), 36);
      const error = await inquiry.catch((cause: unknown) => cause);
      t.match(error, { code: 'ERR_CHECK_CONDITION', message: /cannot be decoded/, sense: answer.sense });
      t.equal(senseKeyOf(error as IntegrityError), null);
    }
  }
});

t.test('an adapter that writes behind the buffer is told of, whatever it answers', async (t) => {
  for (const answer of [GOOD, checkCondition(3, 0x11, 0)]) {
    const sent = new SgTransport(handle({ ...answer, overrun: true }), '/dev/sdx', false).send(READ);
    await t.rejects(sent, { code: 'ERR_TRANSPORT', message: /READ\(16\).*512 bytes/, disk: '/dev/sdx' });
  }
});

t.test('a device that is gone, and a caller that gave up', async (t) => {
  await t.rejects(new SgTransport(handle({ ...GOOD, errno: 19 }), '/dev/sdx', false).send(READ), {
    code: 'ERR_DEVICE_GONE',
    errno: 19,
  });
  await t.rejects(new SgTransport(handle({ ...GOOD, hostStatus: 1 }), '/dev/sdx', false).send(READ), {
    code: 'ERR_DEVICE_GONE',
  });
  await t.rejects(new SgTransport(handle({ ...GOOD, errno: 1 }), '/dev/sdx', false).send(READ), {
    code: 'ERR_PERMISSION',
    advice: /root/,
  });
  const node = handle(GOOD);
  const signal = AbortSignal.abort();
  await t.rejects(new SgTransport(node, '/dev/sdx', false).send({ ...READ, signal }), { name: 'AbortError' });
  t.equal(node.requests.length, 0);
});

t.test('a caller who gives up during a pause is told the reason', async (t) => {
  const node = handle({ ...GOOD, status: 0x08 });
  const giveUp = new AbortController();
  const sent = new SgTransport(node, '/dev/sdx', false).send({ ...READ, signal: giveUp.signal });
  const reason = new Error('enough');
  setTimeout(() => giveUp.abort(reason), 5);
  await sent.then(
    () => t.fail('it was sent again'),
    (error) => t.equal(error, reason),
  );
  t.equal(node.requests.length, 1);
});

t.test('fetch returns what came, and nothing of what did not', async (t) => {
  const cdb = inquiryCdb(36);
  const got = async (result: SgResult) =>
    (await fetch(new SgTransport(handle(result), '/dev/sdx', false), cdb, 36))?.length ?? null;
  t.equal(await got({ ...GOOD, resid: 6 }), 30);
  t.equal(await got({ ...GOOD, resid: 37 }), 0, 'a residue larger than the buffer');
  t.equal(await got({ ...GOOD, resid: -4 }), 36, 'an overrun');
  t.equal(await got(checkCondition(5, 0x24, 0)), null, 'not supported, says the target');
  for (const [result, code] of [
    [checkCondition(2, 0x04, 1), 'ERR_CHECK_CONDITION'],
    [checkCondition(4, 0x44, 0), 'ERR_CHECK_CONDITION'],
    [RESET, 'ERR_CHECK_CONDITION'],
    [deferred(checkCondition(5, 0x24, 0)), 'ERR_CHECK_CONDITION'],
    [{ ...GOOD, status: 2 }, 'ERR_CHECK_CONDITION'],
    [{ ...GOOD, status: 0x18 }, 'ERR_TRANSPORT'],
    [{ ...GOOD, hostStatus: 7 }, 'ERR_TRANSPORT'],
    [{ ...GOOD, hostStatus: 3 }, 'ERR_TIMEOUT'],
  ] as const) {
    await t.rejects(got(result), { code, message: /^INQUIRY/, cdb, sense: result.sense });
  }
});

t.test('an errno becomes a code and advice', async (t) => {
  t.match(errnoError(2, 'open', '/dev/sdx'), {
    code: 'ERR_NO_DEVICE',
    message: '/dev/sdx: open: ENOENT',
    advice: /list/,
    errno: 2,
  });
  t.match(errnoError(16, 'open', '/dev/sdx'), { code: 'ERR_BUSY' });
  t.match(errnoError(121, 'read', '/dev/sdx'), { code: 'ERR_IO', message: /EREMOTEIO/ });
  t.match(errnoError(9999, 'read', '/dev/sdx'), { code: 'ERR_IO', message: /9999/ });
});
