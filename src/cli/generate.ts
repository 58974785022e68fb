import { Command } from 'commander';
import { defaultEngine, type GenerateOptions } from '../pi/engine.js';
import { countIntervals } from '../pi/layout.js';
import { printable } from '../report/printable.js';
import { type ByteSource, deliver, openOutput, openSource } from './bytes.js';
import type { CommandIo } from './io.js';
import { addMirrorOptions, type MirrorOptions, mirrorOf, seedAfter } from './mirror.js';
import { requireBinaryStdout } from './output.js';

interface GenerateVerbOptions extends MirrorOptions {
  readonly output?: string;
}

/** `generate`: the metadata of a file or pipe, or its blocks with their metadata. */
export function generateCommand(io: CommandIo): Command {
  const command = new Command('generate')
    .description('make the protection information of a file or pipe')
    .argument('[data]', 'a file, or - for stdin', '-')
    .option('-o, --output <file>', 'write to a regular file or pipe (default: stdout)');
  return addMirrorOptions(command).action((data: string, options: GenerateVerbOptions) =>
    generate(data, options, io),
  );
}

async function generate(name: string, options: GenerateVerbOptions, io: CommandIo): Promise<void> {
  const job = generateJob(options);
  if (options.output === undefined || options.output === '-')
    requireBinaryStdout('the metadata', options, io);

  using source = await openSource(name, io);
  if (source.size !== null) countIntervals(job.profile, 'separate', source.size);
  const output = await openOutput(options.output, [source], io);
  const made = { intervals: 0, bytes: 0 };
  await deliver(generated(source, job, made), output, io);
  if (made.intervals === 0) io.stderr.write(`0 intervals in ${printable(source.name)}\n`);
  if (options.json) io.stdout.write(`${JSON.stringify(made)}\n`);
}

/** Piece by piece, with the seed carried on from one to the next. */
async function* generated(
  source: ByteSource,
  job: GenerateOptions,
  made: { intervals: number; bytes: number },
): AsyncGenerator<Uint8Array> {
  const engine = defaultEngine();
  for await (const data of source.pieces(job.profile.interval)) {
    const intervals = countIntervals(job.profile, 'separate', source.position);
    const bytes = engine.generate(data, { ...job, seed: seedAfter(job.seed, made.intervals) });
    made.intervals = intervals;
    made.bytes += bytes.length;
    yield bytes;
  }
}

function generateJob(options: GenerateVerbOptions): GenerateOptions {
  const { profile, semantics } = mirrorOf(options);
  return {
    profile,
    layout: options.layout,
    seed: options.seed,
    appTag: options.appTag,
    type3Ref: semantics.type3Ref,
    ipGuardCovers: semantics.ipGuardCovers,
  };
}
