import t from 'tap';
import type { SgVerifyRequest, SgVerifyResult } from '../../src/binding.js';
import { judgingThrough } from '../../src/device/command-node.js';
import { checkCondition, GOOD } from '../support/target.js';

const EINVAL = 22;
const REQUEST = { cdbs: [], bytes: 520, timeoutMs: 1, rule: {} } as unknown as SgVerifyRequest;

/** Writes down what is called. */
function node(name: string, calls: string[], answer: Partial<SgVerifyResult> = {}) {
  return {
    sgIo: async () => {
      calls.push(`${name} sgIo`);
      return GOOD;
    },
    sgVerify: async () => {
      calls.push(`${name} sgVerify`);
      return { ...GOOD, verified: null, reads: 0, clean: true, ...answer };
    },
    close: async () => {
      calls.push(`${name} close`);
    },
  };
}

t.test('what is judged goes through one node, everything else through the other', async (t) => {
  const calls: string[] = [];
  const through = judgingThrough(node('bsg', calls), node('sg', calls));
  await through.sgVerify(REQUEST);
  await through.sgIo({ cdb: new Uint8Array(6), direction: 'none', data: null, timeoutMs: 1 });
  await through.close();
  t.same(calls, ['bsg sgVerify', 'sg sgIo', 'bsg close', 'sg close']);
});

t.test(
  'what the node does not take goes through the other; what the disk answered is the answer',
  async (t) => {
    const calls: string[] = [];
    const sg = node('sg', calls, { reads: 3 });
    const refusing = judgingThrough(node('bsg', calls, { errno: EINVAL, reads: 2 }), sg);
    t.match(await refusing.sgVerify(REQUEST), { errno: 0, reads: 3 });
    t.same(calls, ['bsg sgVerify', 'sg sgVerify']);
    calls.length = 0;
    const refused = judgingThrough(node('bsg', calls, checkCondition(0x06, 0x29, 0x00)), sg);
    t.match(await refused.sgVerify(REQUEST), { status: 2, reads: 0 });
    t.same(calls, ['bsg sgVerify']);
    calls.length = 0;
    const overrun = judgingThrough(node('bsg', calls, { errno: EINVAL, overrun: true }), sg);
    t.match(await overrun.sgVerify(REQUEST), { overrun: true });
    t.same(calls, ['bsg sgVerify'], 'nothing more is sent');
  },
);
