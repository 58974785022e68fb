import fc from 'fast-check';
import t from 'tap';
import { FINDINGS_LISTED_MAX, NO_FINDINGS, ScrubFindings } from '../../src/check/scrub-findings.js';
import type { ScrubFinding } from '../../src/report/model.js';

const mismatch = (lba: number, check: 'guard' | 'ref'): ScrubFinding => ({
  kind: 'mismatch',
  lba,
  blocks: 1,
  intervals: 1,
  checker: 'software',
  path: 'passthrough',
  check,
  stored: 1,
  computed: 2,
  text: `${check} tag differs`,
  diagnosis: null,
});

t.test('wherever it is cut and gone on with: the same findings, listed and omitted', async (t) => {
  const step = fc.record({
    gap: fc.integer({ min: 0, max: 2 }),
    check: fc.constantFrom('guard' as const, 'ref' as const),
  });
  const cases = {
    before: fc.constantFrom(0, FINDINGS_LISTED_MAX - 10),
    steps: fc.array(step, { maxLength: 40, size: 'max' }),
    cuts: fc.array(fc.nat(40), { maxLength: 5 }),
  };
  let omitted = 0;
  const property = fc.property(fc.record(cases), ({ before, steps, cuts }) => {
    const run = (cut: (at: number) => boolean) => {
      let findings = new ScrubFindings(undefined, NO_FINDINGS);
      let lba = 0;
      for (; lba < 2 * before; lba += 2) findings.add(mismatch(lba, 'guard'));
      for (const [at, { gap, check }] of steps.entries()) {
        lba += gap;
        findings.add(mismatch(lba, check));
        if (!cut(at)) continue;
        const left = JSON.parse(JSON.stringify(findings.soFar()));
        findings.close();
        findings = new ScrubFindings(undefined, left);
      }
      return { count: findings.count, ...findings.list() };
    };
    const whole = run(() => false);
    omitted += whole.findingsOmitted;
    t.same(
      run((at) => cuts.includes(at)),
      whole,
    );
    t.equal(whole.findings.length + whole.findingsOmitted, whole.count);
    t.ok(whole.findings.length <= FINDINGS_LISTED_MAX);
  });
  fc.assert(property, { numRuns: 100 });
  t.ok(omitted > 0, 'more than are listed are among them');
});
