/**
 * Every test that needs a real kernel, in one process: run inside a booted guest, it prints TAP.
 *
 *   main.js [SUITE …] [--cases N] [--seed N] [--target NAME] [--case N]
 *
 * Without suites: all of them. NVMe takes a guest with the namespaces of targets/nvme-namespaces.ts, ublk the newest kernel. The options
 * are those of random I/O: how many cases, the seed that a failure printed, one target and one case of it.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import t, { type Test } from 'tap';
import { badInput } from './bad-input.js';
import { lioFileio } from './lio-fileio.js';
import { nvme } from './nvme.js';
import { randomIo } from './random-io.js';
import { safeguard } from './safeguard.js';
import { scsiDebug } from './scsi-debug.js';
import { targetMakers } from './targets/index.js';
import { ublk } from './ublk.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cases: { type: 'string', default: '200' },
    seed: { type: 'string' },
    target: { type: 'string' },
    case: { type: 'string' },
  },
});

const SUITES: Readonly<Record<string, (t: Test) => Promise<void>>> = {
  'scsi-debug': scsiDebug,
  'lio-fileio': lioFileio,
  safeguard,
  'bad-input': badInput,
  nvme,
  ublk,
  'random-io': async (t) =>
    randomIo(t, await targetMakers(), {
      seed: Number(values.seed ?? randomInt(2 ** 32)),
      cases: Number(values.cases),
      target: values.target,
      number: values.case === undefined ? undefined : Number(values.case),
    }),
};

t.setTimeout(0);
for (const name of positionals.length > 0 ? positionals : Object.keys(SUITES)) {
  const suite = SUITES[name];
  if (suite === undefined) throw new Error(`no suite is named ${name}`);
  await t.test(name, { timeout: 0 }, suite);
}
