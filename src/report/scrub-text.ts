/**
 * What a scrub found, for people; and how far it is.
 */
import type { ScrubCounts, ScrubFinding, ScrubProgress, ScrubReport, ScrubTransient } from './model.js';
import { diskText, page } from './text.js';

/** Findings that are printed one by one; the JSON form has more, and tells all while it runs. */
const FINDINGS_SHOWN = 50;

export function scrubText(report: ScrubReport): string {
  return page([
    ...diskText(report.disk),
    '',
    plannedText(report),
    `the ${report.checker} ${report.checker === 'device' ? 'says that it checks' : 'checks'} ${report.checks.join(', ')} by ${report.path}: ${report.by}`,
    ...(report.notSoftware === null ? [] : [`not the software: ${report.notSoftware}`]),
    '',
    ...findingsText(report),
    ...countsText(report),
    `${bytesText(report.bytesPerSecond)}/s, ${durationText(report.seconds)}`,
    ...endText(report),
  ]);
}

function plannedText({ lba, blocks, sample, planned, resumed }: ScrubReport): string {
  const range = `blocks ${lba} to ${lba + blocks - 1}`;
  const part =
    sample === null
      ? ''
      : `: ${planned} blocks of them, a sample of ${sample.percent} % with seed ${sample.seed}`;
  return `${range}${part}${resumed ? ', gone on from a state' : ''}`;
}

function findingsText({ findings, findingsOmitted }: ScrubReport): string[] {
  const count = findings.length + findingsOmitted;
  const more = count - Math.min(findings.length, FINDINGS_SHOWN);
  return [
    count === 0 ? 'no findings' : `${count} ${count === 1 ? 'finding' : 'findings'}`,
    ...findings.slice(0, FINDINGS_SHOWN).map((one) => `  ${scrubFindingText(one)}`),
    ...(more > 0 ? [`  and ${more} more: --json tells each`] : []),
  ];
}

/** One range of blocks that are bad alike. */
export function scrubFindingText(finding: ScrubFinding): string {
  const { lba, blocks, path, text, diagnosis } = finding;
  const where = blocks === 1 ? `LBA ${lba}` : `LBA ${lba} to ${lba + blocks - 1}`;
  const first = blocks === 1 ? '' : 'of the first: ';
  const or = diagnosis?.alsoFits.length ? `; or ${diagnosis.alsoFits.join(', ')}` : '';
  const why = diagnosis === null ? '' : `; ${diagnosis.kind}: ${diagnosis.text}${or}`;
  return `${where} by ${path}: ${first}${text}${why}`;
}

function transientText({ lba, blocks, bad }: ScrubTransient): string {
  const what = bad === null ? '' : `: ${bad} ${bad === 1 ? 'interval' : 'intervals'} bad at first`;
  return `LBA ${lba} to ${lba + blocks - 1}${what}`;
}

/** What each count means, in the order in which they are told. */
const COUNTS: readonly (readonly [keyof ScrubCounts, string])[] = [
  ['ok', 'intervals ok'],
  ['bad', 'intervals bad'],
  ['escaped', 'intervals escaped: nobody checks them'],
  ['unchecked', 'intervals unchecked by the software: it did not see their tuples'],
  ['passed', 'of these passed by who was to check; escaped ones are among them'],
  ['refused', 'blocks refused, in which the software found or saw nothing wrong'],
  ['changing', 'blocks changing: they did not stand still, and nobody judged them'],
  ['unreadable', 'blocks that cannot be read'],
  [
    'transient',
    'TIMES SOMETHING WAS WRONG that was right when it was read again: cable, host adapter or memory, or a write meanwhile',
  ],
];

function countsText({ counts, checked, checker, transients }: ScrubReport): string[] {
  return [
    ...COUNTS.filter(([name]) => counts[name] > 0).map(([name, text]) => `${counts[name]} ${text}`),
    ...transients.slice(0, FINDINGS_SHOWN).map((one) => `  ${transientText(one)}`),
    ...(transients.length > FINDINGS_SHOWN ? ['  and more: --json tells each'] : []),
    ...(checked === 0 ? ['NOTHING WAS CHECKED: no findings is no verdict'] : []),
    ...(checker === 'device'
      ? ['that a disk lets pass what it says that it checks is its word alone: blk-integrity prove tests it']
      : []),
  ];
}

function endText({ ended, reason, code, advice, done, planned, next }: ScrubReport): string[] {
  if (ended === 'finished') return [];
  const how = ended === 'interrupted' ? 'INTERRUPTED' : `FAILED: ${reason} (${code})`;
  const left = next === null ? '' : `, next is LBA ${next}`;
  return [`${how}: ${done} of ${planned} blocks are done${left}`, ...(advice === null ? [] : [advice])];
}

/** One line, without its end. */
export function progressText(progress: ScrubProgress): string {
  const { done, planned, findings, bytesPerSecond, secondsLeft } = progress;
  const percent = planned === 0 ? 100 : (100 * done) / planned;
  const left = secondsLeft === null ? '' : `, ${durationText(secondsLeft)} left`;
  return `${percent.toFixed(1)} %, ${bytesText(bytesPerSecond)}/s${left}, ${findings} findings`;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

function bytesText(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${UNITS[power]}`;
}

/** `3:04:05`, hours and more as they are. */
function durationText(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (value: number) => String(value).padStart(2, '0');
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}
