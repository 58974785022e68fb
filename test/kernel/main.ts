/**
 * Every test that needs a real kernel, in one process: run inside a booted guest, it prints TAP.
 *
 *   main.js [SUITE …] [--cases N] [--seed N] [--target NAME] [--case N]
 *
 * Without suites: all of them. NVMe takes a guest with the namespaces of targets/nvme-namespaces.ts, ublk the newest kernel. The options
 * are those of random I/O: how many cases, the seed that a failure printed, one target and one case of it.
 */
import './guest-only.js';
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import t, { type Test } from 'tap';
import { altering } from './altering.js';
import { badInput } from './bad-input.js';
import { emulatedDisk, emulatedDiskLong } from './emulated-disk.js';
import { injection } from './injection.js';
import { lioFileio } from './lio-fileio.js';
import { nvme } from './nvme.js';
import { owned } from './owned.js';
import { passthrough } from './passthrough.js';
import { randomIo } from './random-io.js';
import { safeguard } from './safeguard.js';
import { scrubbing } from './scrub.js';
import { scsiDebug } from './scsi-debug.js';
import { targetMakers } from './targets/index.js';
import { tcmu } from './tcmu.js';
import { ublk } from './ublk.js';
import { verbs } from './verbs.js';

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
  injection,
  safeguard,
  owned,
  altering,
  passthrough,
  verbs,
  scrub: scrubbing,
  'bad-input': badInput,
  tcmu,
  'emulated-disk': emulatedDisk,
  'emulated-disk-long': emulatedDiskLong,
  nvme,
  ublk,
  'random-io': async (t) =>
    randomIo(t, await targetMakers(), {
      seed: wholeNumber('seed', 0) ?? randomInt(2 ** 32),
      cases: wholeNumber('cases', 1)!,
      target: values.target,
      number: wholeNumber('case', 0),
    }),
};

/** A whole number from `min` on: a word that is none must not pass for no cases at all. */
function wholeNumber(name: 'cases' | 'seed' | 'case', min: number): number | undefined {
  const word = values[name];
  if (word === undefined) return undefined;
  const value = /^\d{1,15}$/.test(word) ? Number(word) : -1;
  if (value < min) throw new Error(`--${name} ${JSON.stringify(word)} must be a whole number from ${min} on`);
  return value;
}

t.setTimeout(0);
for (const name of positionals.length > 0 ? positionals : Object.keys(SUITES)) {
  const suite = SUITES[name];
  if (suite === undefined) throw new Error(`no suite is named ${name}`);
  await t.test(name, { timeout: 0 }, suite);
}
