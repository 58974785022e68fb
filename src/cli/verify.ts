import { Command } from 'commander';
import { IntegrityError } from '../errors.js';
import { type Diagnosis, diagnose, FLIPPED_MAX } from '../pi/diagnose.js';
import { defaultEngine, type Finding, type VerifyOptions, type VerifyResult } from '../pi/engine.js';
import { countIntervals, requireMetadataLength, strideOf } from '../pi/layout.js';
import type { Profile } from '../pi/profile.js';
import { type ByteSource, deliver, openSource } from './bytes.js';
import type { CommandIo } from './io.js';
import { addMirrorOptions, type MirrorOptions, mirrorOf, seedAfter } from './mirror.js';

/** `verify`: the software's verdict on data and metadata from files or pipes. */
export function verifyCommand(io: CommandIo): Command {
  const command = new Command('verify')
    .description('compare the protection information of a file or pipe with what its data gives')
    .argument('[data]', 'a file, or - for stdin; interleaved, with the metadata in it', '-')
    .argument('[metadata]', 'a file, or - for stdin: the metadata of the separate layout');
  return addMirrorOptions(command).action(
    (data: string, metadata: string | undefined, options: MirrorOptions) =>
      verify([data, metadata], options, io),
  );
}

async function verify(
  [dataName, metadataName]: readonly [string, string | undefined],
  options: MirrorOptions,
  io: CommandIo,
): Promise<void> {
  const { profile, semantics } = mirrorOf(options);
  const { layout, seed, appTag } = options;
  const job: VerifyOptions = { profile, layout, seed, appTag, ipGuardCovers: semantics.ipGuardCovers };
  requireNames(job, dataName, metadataName);

  using data = await openSource(dataName, io);
  using metadata = metadataName === undefined ? null : await openSource(metadataName, io);
  requireSizes(job, data, metadata);
  const form = options.json ? jsonForm : textForm(profile);
  await deliver(written(judged(data, metadata, job), profile, form, io), null, io);
}

/** The first pieces with findings are diagnosed, those of a stream without end as well as of a file. */
const DIAGNOSED_MAX = 16;

interface Judged extends VerifyResult {
  readonly diagnoses: readonly Diagnosis[];
}

/** The verdicts piece by piece, with seed and interval numbers carried on from one to the next. */
async function* judged(
  data: ByteSource,
  metadata: ByteSource | null,
  job: VerifyOptions,
): AsyncGenerator<Judged> {
  const { profile, layout } = job;
  const engine = defaultEngine();
  let start = 0;
  let diagnosed = 0;
  for await (const piece of data.pieces(strideOf(profile, layout))) {
    const end = countIntervals(profile, layout, data.position);
    const tuples = metadata && (await metadata.read((end - start) * profile.metadataSize));
    if (metadata) requireMetadataLength(profile, end, metadata.position);
    const options = { ...job, seed: seedAfter(job.seed, start), startInterval: start };
    const result = engine.verify(piece, tuples, options);
    const explained = !result.ok && diagnosed++ < DIAGNOSED_MAX;
    const diagnoses = explained ? diagnose(piece, tuples, options, result.findings) : [];
    yield { ...result, findings: result.findings.map((found) => inStream(found, start, job)), diagnoses };
    start = end;
  }
  // One byte too many is enough to know; a pipe may never end.
  await metadata?.read(1);
  if (metadata) requireMetadataLength(profile, start, metadata.position);
}

/** A finding of a piece, with its offsets from the start of the streams, of which so many intervals came before. */
function inStream(finding: Finding, before: number, { profile, layout }: VerifyOptions): Finding {
  const stride = strideOf(profile, layout);
  return {
    ...finding,
    dataOffset: finding.dataOffset + before * stride,
    tupleOffset: finding.tupleOffset + before * (layout === 'separate' ? profile.metadataSize : stride),
  };
}

/** The text of findings as they come, and then of the totals. Bad intervals set the exit status at once. */
async function* written(
  results: AsyncIterable<Judged>,
  profile: Profile,
  form: Form,
  io: CommandIo,
): AsyncGenerator<string> {
  const totals = { intervals: 0, checked: 0, escaped: 0, bad: 0 };
  const diagnoses: Diagnosis[] = [];
  for await (const result of results) {
    if (!result.ok) io.setExitStatus(1);
    yield result.findings.map((finding, i) => form.finding(finding, totals.bad + i)).join('');
    for (const key of ['intervals', 'checked', 'escaped', 'bad'] as const) totals[key] += result[key];
    diagnoses.push(...result.diagnoses);
  }
  if (profile.tupleSize > 0) tellUnchecked(totals, io);
  yield form.totals(totals, merged(diagnoses));
}

/** Neither a pass nor a finding. Of no intervals, and of a profile without tuples, nobody expects more. */
function tellUnchecked({ intervals, checked, escaped }: Totals, io: CommandIo): void {
  if (intervals === 0 || checked > 0) return;
  io.setExitStatus(3);
  io.stderr.write(`blk-integrity: nothing was checked: ${escaped} of ${intervals} intervals are escaped\n`);
}

/** Those of the same kind and parameters in several pieces are one; the unknown comes last. */
function merged(diagnoses: readonly Diagnosis[]): Diagnosis[] {
  const byWhat = new Map<string, Diagnosis>();
  const lookedAt = diagnoses.reduce((sum, { intervals }) => sum + intervals, 0);
  for (const diagnosis of diagnoses) {
    const what = JSON.stringify([diagnosis.kind, diagnosis.parameters]);
    const before = byWhat.get(what) ?? { ...diagnosis, intervals: 0, flipped: [] };
    const flipped = [...before.flipped, ...diagnosis.flipped].slice(0, FLIPPED_MAX);
    byWhat.set(what, { ...before, intervals: before.intervals + diagnosis.intervals, lookedAt, flipped });
  }
  const rank = ({ kind }: Diagnosis) => (kind === 'unknown' ? 1 : 0);
  return [...byWhat.values()].sort(
    (a, b) => rank(a) - rank(b) || b.intervals - a.intervals || a.first - b.first,
  );
}

type Totals = Pick<VerifyResult, 'intervals' | 'checked' | 'escaped' | 'bad'>;

interface Form {
  finding(finding: Finding, index: number): string;
  totals(totals: Totals, diagnoses: readonly Diagnosis[]): string;
}

const jsonForm: Form = {
  finding: ({ interval, check, stored, computed, dataOffset, tupleOffset, ref }, index) => {
    const values = { stored: jsonValue(stored), computed: jsonValue(computed) };
    const fields = { interval, check, ...values, dataOffset, tupleOffset, ref };
    return `${index === 0 ? '{"findings":[' : ','}${JSON.stringify(fields)}`;
  },
  totals: ({ bad, ...counts }, diagnosis) => {
    const rest = JSON.stringify({ ok: bad === 0, ...counts, diagnosis }).slice(1);
    return `${bad === 0 ? '{"findings":[' : ''}],${rest}\n`;
  },
};

const jsonValue = (value: number | bigint) => (typeof value === 'bigint' ? hex(value, 16) : value);

function textForm({ tupleSize, guard }: Profile): Form {
  const digits = { guard: guard === 'crc64' ? 16 : 4, app: 4, ref: tupleSize === 16 ? 12 : 8 };
  return {
    finding: ({ interval, check, stored, computed, dataOffset, tupleOffset }) => {
      const values = `stored ${hex(stored, digits[check])}, computed ${hex(computed, digits[check])}`;
      return `interval ${interval}: ${check} ${values} (data at byte ${dataOffset}, tuple at byte ${tupleOffset})\n`;
    },
    totals: ({ intervals, checked, escaped, bad }, diagnoses) => {
      const counts = `${intervals} intervals: ${checked} checked, ${escaped} escaped, ${bad} bad`;
      return `${counts}${checked === 0 ? ': NOTHING WAS CHECKED' : ''}\n${diagnoses.map(diagnosisText).join('')}`;
    },
  };
}

function diagnosisText({ kind, intervals, lookedAt, first, flipped, alsoFits, text }: Diagnosis): string {
  const where = flipped.map(({ interval, field, byte, bit }) =>
    byte === null
      ? `${interval}: bit ${bit} of a byte of ${field}`
      : `${interval}: bit ${bit} of byte ${byte} of ${field === 'data' ? 'the data' : 'the tuple'}`,
  );
  const bits = where.length === 0 ? '' : ` (${where.join(', ')}${where.length < intervals ? ', …' : ''})`;
  const also = alsoFits.length === 0 ? '' : `; or ${alsoFits.join(' or ')}`;
  return `diagnosis: ${kind}, ${intervals} of ${lookedAt} looked at, from interval ${first}: ${text}${bits}${also}\n`;
}

function hex(value: number | bigint, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}

function requireNames({ layout, profile }: VerifyOptions, data: string, metadata: string | undefined): void {
  if (layout === 'separate' && metadata === undefined && profile.metadataSize > 0) {
    throw new IntegrityError('ERR_USAGE', 'the separate layout takes DATA and METADATA: only one is given', {
      advice: 'Name the file with the metadata too, or give --layout interleaved.',
    });
  }
  if (layout === 'interleaved' && metadata !== undefined) {
    throw new IntegrityError('ERR_USAGE', `METADATA ${metadata}: interleaved, the metadata lies within DATA`);
  }
  if (data === '-' && metadata === '-') {
    throw new IntegrityError('ERR_USAGE', 'DATA and METADATA cannot both be stdin');
  }
}

/** Regular files are measured before anything is printed. */
function requireSizes(
  { profile, layout }: VerifyOptions,
  data: ByteSource,
  metadata: ByteSource | null,
): void {
  if (data.size === null) return;
  const intervals = countIntervals(profile, layout, data.size);
  if (metadata?.size != null) requireMetadataLength(profile, intervals, metadata.size);
}
