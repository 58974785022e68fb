/**
 * Tuples as they were read, one by one, beside what the software makes of their data.
 */
import type { BlocksRead } from '../device/blocks.js';
import { defaultEngine } from '../pi/engine.js';
import type { Profile } from '../pi/profile.js';
import { isEscaped, readTuple, type Tuple, viewOf } from '../pi/tuple.js';
import type { IntervalReport, TupleReport } from '../report/model.js';
import type { PathName } from '../words.js';
import { type Rules, tag, verifyOptions } from './judge.js';

/** Every interval of what was read by `path`; none where no data or no tuples came. */
export function intervalsOf(read: BlocksRead, path: PathName, rules: Rules): IntervalReport[] {
  const { data, tuples } = read;
  const profile = rules.profiles[path];
  if (data === null || tuples === null || !profile?.guard) return [];
  const options = verifyOptions(rules, profile, read.lba);
  const engine = defaultEngine();
  const { layout, seed, appTag } = options;
  const made = engine.generate(data, { profile, layout, seed, type3Ref: 'seed' });
  const bad = new Map(engine.verify(data, tuples, options).findings.map((one) => [one.interval, one.check]));
  const perBlock = rules.blockSize / profile.interval;
  return Array.from({ length: data.length / profile.interval }, (_, i) => {
    const [stored, computed] = [tupleOf(tuples, profile, i), tupleOf(made, profile, i)];
    const escaped = isEscaped(profile, profile.tupleSize as 8 | 16, stored);
    return {
      lba: Number(read.lba) + Math.floor(i / perBlock),
      interval: i % perBlock,
      verdict: bad.get(i) ?? (escaped ? 'escaped' : 'ok'),
      stored: reported(stored),
      computed: {
        ...reported(computed),
        app: appTag ?? null,
        ref: profile.type === 3 ? null : computed.ref,
      },
    };
  });
}

function tupleOf(metadata: Uint8Array, { metadataSize, piOffset, tupleSize }: Profile, index: number): Tuple {
  return readTuple(viewOf(metadata), index * metadataSize + piOffset, tupleSize as 8 | 16);
}

function reported({ guard, app, ref }: Tuple): TupleReport {
  return { guard: tag(guard), app, ref };
}
