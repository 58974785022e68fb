/**
 * Generate and verify from JavaScript: the addon beside the TypeScript that is its oracle, in one run. Figures are medians, and
 * only the ratios travel from machine to machine.
 */
import { randomFillSync } from 'node:crypto';
import { nativeEngine, plainEngine, profileByName } from 'blk-integrity';

const BYTES = 1 << 20;
const ROUNDS = 21;

/** Megabytes a second of data, the median of ROUNDS after one round to warm up. */
function rate(job) {
  job();
  const rates = Array.from({ length: ROUNDS }, () => {
    const start = process.hrtime.bigint();
    job();
    return (BYTES * 1000) / Number(process.hrtime.bigint() - start);
  });
  return rates.sort((a, b) => a - b)[ROUNDS >> 1];
}

const data = randomFillSync(new Uint8Array(BYTES));
const rows = [];
for (const name of ['T10-DIF-TYPE1-CRC', 'T10-DIF-TYPE1-IP']) {
  for (const interval of [512, 4096]) {
    const profile = profileByName(name, { interval });
    for (const layout of ['separate', 'interleaved']) {
      const options = { profile, layout, seed: 0n, type3Ref: 'zero' };
      const made = nativeEngine.generate(data, options);
      const jobs = {
        generate: (engine) => engine.generate(data, options),
        verify: (engine) =>
          layout === 'separate' ? engine.verify(data, made, options) : engine.verify(made, null, options),
      };
      for (const [work, job] of Object.entries(jobs)) {
        const native = rate(() => job(nativeEngine));
        const plain = rate(() => job(plainEngine));
        rows.push({
          work,
          format: name,
          interval,
          layout,
          'native MB/s': Math.round(native),
          'TypeScript MB/s': Math.round(plain),
          ratio: Number((native / plain).toFixed(1)),
        });
      }
    }
  }
}
console.table(rows);
