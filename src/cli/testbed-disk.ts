/** `testbed disk create|list|fault|stats|remove`: emulated T10 disks in the kernel that runs. */
import { Command } from 'commander';
import { IntegrityError } from '../errors.js';
import { printableJson } from '../report/printable.js';
import { table } from '../report/table.js';
import type { EmulatedDiskOptions } from '../testbed/disk/emulated-disk.js';
import { type Behaviour, CHOICES } from '../testbed/disk/model/behaviour.js';
import { FAULT_KINDS, type Fault, type FaultKindName, type FaultSpec } from '../testbed/disk/model/faults.js';
import { BLOCK_SIZES } from '../testbed/disk/model/format.js';
import { PRESETS } from '../testbed/disk/model/presets.js';
import { askDisk, type ServedDisk, servedDisks, startDisk } from '../testbed/disk/service.js';
import type { CommandIo } from './io.js';
import { BLOCK_COUNT, LBA, parseChoice, parseInteger } from './options.js';

interface CreateOptions {
  readonly name: string;
  readonly type?: string;
  readonly block?: string;
  readonly size?: string;
  readonly intervalExponent?: string;
  readonly fill?: boolean;
  readonly types?: string;
  readonly checks?: string;
  readonly piCheck: boolean;
  readonly thick?: boolean;
  readonly preset?: string;
  readonly behaviour?: readonly string[];
  readonly file?: string;
  readonly serial?: string;
  readonly seed?: string;
  readonly json?: boolean;
}

interface FaultOptions {
  readonly kind?: string;
  readonly lba?: string;
  readonly blocks?: string;
  readonly on?: string;
  readonly place?: string;
  readonly oneIn?: string;
  readonly times?: string;
  readonly distance?: string;
  readonly delay?: string;
  readonly remove?: string;
  readonly clear?: boolean;
  readonly json?: boolean;
}

interface JsonOption {
  readonly json?: boolean;
}

const UNITS = { '': 1n, K: 2n ** 10n, M: 2n ** 20n, G: 2n ** 30n, T: 2n ** 40n } as const;
const BYTES_MAX = 2n ** 50n;
const BLOCKS = BLOCK_SIZES.map(String);

/** `64M`, `1G`: powers of 1024, as bytes. */
function parseSize(text: string): bigint {
  const [, digits, unit = ''] = /^(\d{1,18})([KMGT]?)$/i.exec(text) ?? [];
  const bytes = digits === undefined ? 0n : BigInt(digits) * UNITS[unit.toUpperCase() as keyof typeof UNITS];
  if (bytes > 0n && bytes <= BYTES_MAX) return bytes;
  throw new IntegrityError(
    'ERR_USAGE',
    `--size ${JSON.stringify(text)} is no size: bytes, or with K, M, G or T`,
  );
}

function parseBehaviour(words: readonly string[]): Partial<Behaviour> {
  const pairs = words.map((word) => {
    const [name = '', value = '', ...rest] = word.split('=');
    if (Object.hasOwn(CHOICES, name) && rest.length === 0) return [name, value] as const;
    throw new IntegrityError(
      'ERR_USAGE',
      `--behaviour ${word}: NAME=VALUE with a name of ${Object.keys(CHOICES).join(', ')}`,
    );
  });
  return Object.fromEntries(pairs) as Partial<Behaviour>;
}

export function testbedDiskCommand(io: CommandIo): Command {
  const create = new Command('create')
    .description('make a disk and print its sg node (root; modules target_core_user, tcm_loop, sg)')
    .option('--name <name>', 'how it is called by the other verbs', 'disk')
    .option('--type <n>', 'protection type, 0 to 3 (1); with 0 it has a block node too')
    .option('--block <bytes>', '512, 1024, 2048 or 4096 (512)')
    .option('--size <bytes>', 'K, M, G and T are powers of 1024 (64M); only what is written takes memory')
    .option('--interval-exponent <n>', '2^n tuples a block (0), types 2 and 3')
    .option('--fill', 'write every block once, so that all have a tuple; a fresh disk is escaped all over')
    .option('--types <list>', 'protection types that it can be formatted with: SPT (1,2,3)')
    .option('--checks <list>', 'GRD_CHK, APP_CHK, REF_CHK of VPD 86h (guard,app,ref); none for none')
    .option('--no-pi-check', 'NO_PI_CHK: where no tuples are transferred, none are checked')
    .option('--thick', 'no thin provisioning')
    .option('--preset <name>', `a real disk's deviations: ${Object.keys(PRESETS).join(', ')}`)
    .option('--behaviour <name=value...>', 'what T10 leaves open: docs/emulated-disk.md')
    .option(
      '--file <path>',
      'keep data and tuples in this file, which knows its own type and size afterwards',
    )
    .option('--serial <text>', 'the end of its serial number')
    .option('--seed <n>', 'by which faults with --one-in choose')
    .option('--json', 'one JSON object')
    .action(async (options: CreateOptions) => {
      const made = await startDisk(options.name, diskOptions(options), { fills: options.fill ?? false });
      io.stdout.write(options.json ? `${printableJson(made)}\n` : `${made.sg}\n`);
    });
  const list = new Command('list')
    .description('the emulated disks of this host')
    .option('--json', 'one JSON object')
    .action(async ({ json }: JsonOption) => {
      const disks = await servedDisks();
      io.stdout.write(json ? `${printableJson({ disks })}\n` : linesOf(disks));
    });
  const fault = new Command('fault')
    .description('plant a fault, or list those that are there')
    .argument('<name>')
    .option('--kind <kind>', `one of ${Object.keys(FAULT_KINDS).join(', ')}`)
    .option('--lba <n>', 'the first block that it strikes')
    .option('--blocks <n>', 'how many; without it, all to the end')
    .option('--on <access>', 'read or write')
    .option('--place <place>', 'medium: behind the check of the disk; wire: before it')
    .option('--one-in <n>', 'one in so many commands, by chance')
    .option('--times <n>', 'so often, then no more')
    .option('--distance <n>', 'blocks, of misdirected and wrong-information; may be negative')
    .option('--delay <ms>', 'of delay')
    .option('--remove <id>', 'take one back')
    .option('--clear', 'take all back')
    .option('--json', 'one JSON object')
    .action(async (name: string, options: FaultOptions) => {
      if (options.kind !== undefined) await askDisk(name, 'add-fault', specOf(options.kind, options));
      if (options.remove !== undefined) {
        await askDisk(
          name,
          'remove-fault',
          parseInteger('--remove', options.remove, { min: 1, max: 2 ** 31 }),
        );
      }
      if (options.clear) await askDisk(name, 'clear-faults', null);
      const faults = await askDisk(name, 'faults', null);
      io.stdout.write(
        options.json
          ? `${printableJson({ faults: faults.map(faultJson) })}\n`
          : faults.map(faultLine).join(''),
      );
    });
  const stats = new Command('stats')
    .description('what a disk has been asked and has answered')
    .argument('<name>')
    .option('--json', 'one JSON object')
    .action(async (name: string, { json }: JsonOption) => {
      const { disk, ring } = await askDisk(name, 'stats', null);
      if (json) {
        io.stdout.write(`${printableJson({ disk, ring })}\n`);
        return;
      }
      const counts = [disk.byCommand, disk.byStatus, disk.bySense].flatMap(Object.entries);
      const rows = [['commands', String(disk.commands)], ...counts.map(([what, n]) => [what, String(n)])];
      io.stdout.write(`${table(rows).join('\n')}\n`);
    });
  const remove = new Command('remove')
    .description('take a disk away')
    .argument('<name>')
    .action(async (name: string) => {
      await askDisk(name, 'remove', null);
    });
  const command = new Command('disk').description('an emulated T10 disk whose tuples cross SG_IO');
  for (const verb of [create, list, fault, stats, remove]) command.addCommand(verb);
  return command;
}

const TAGS = ['guard', 'app', 'ref'] as const;

/** What is not named is left to the library, or to the file. */
function diskOptions(options: CreateOptions): EmulatedDiskOptions {
  const { type, block, size, intervalExponent, types, checks, seed } = options;
  const blockSize = block === undefined ? undefined : Number(parseChoice('--block', block, BLOCKS));
  const number = (name: string, text: string, max: number) => parseInteger(name, text, { min: 0, max });
  return {
    thin: !options.thick,
    ...(!options.piCheck && { noPiCheck: true }),
    behaviour: parseBehaviour(options.behaviour ?? []),
    ...(type !== undefined && { type: number('--type', type, 3) as 0 | 1 | 2 | 3 }),
    ...(blockSize !== undefined && { blockSize }),
    ...(size !== undefined && { blocks: Number(parseSize(size) / BigInt(blockSize ?? 512)) }),
    ...(intervalExponent !== undefined && {
      intervalExponent: number('--interval-exponent', intervalExponent, 3),
    }),
    ...(types !== undefined && {
      supportedTypes: listed('--types', types, ['1', '2', '3']).map((one) => Number(one) as 1 | 2 | 3),
    }),
    ...(checks !== undefined && { checks: checksOf(listed('--checks', checks, TAGS)) }),
    ...(options.preset !== undefined && { preset: options.preset }),
    ...(options.file !== undefined && { file: options.file }),
    ...(options.serial !== undefined && { serial: options.serial }),
    ...(seed !== undefined && { randomSeed: number('--seed', seed, 2 ** 32 - 1) }),
  };
}

/** `a,b`, or `none`. */
function listed<const T extends string>(name: string, text: string, choices: readonly T[]): T[] {
  return text === 'none' ? [] : text.split(',').map((one) => parseChoice(name, one, choices));
}

function checksOf(tags: readonly (typeof TAGS)[number][]): Record<(typeof TAGS)[number], boolean> {
  return { guard: tags.includes('guard'), app: tags.includes('app'), ref: tags.includes('ref') };
}

function specOf(kind: string, options: FaultOptions): FaultSpec {
  const { lba, blocks, on, place, oneIn, times, distance, delay } = options;
  const kinds = Object.keys(FAULT_KINDS) as FaultKindName[];
  const count = { min: 1, max: Number.MAX_SAFE_INTEGER };
  return {
    kind: parseChoice('--kind', kind, kinds),
    ...(lba !== undefined && { lba: parseInteger('--lba', lba, LBA) }),
    ...(blocks !== undefined && { blocks: parseInteger('--blocks', blocks, BLOCK_COUNT) }),
    ...(on !== undefined && { on: parseChoice('--on', on, ['read', 'write']) }),
    ...(place !== undefined && { place: parseChoice('--place', place, ['medium', 'wire']) }),
    ...(oneIn !== undefined && { oneIn: parseInteger('--one-in', oneIn, { min: 1, max: 2 ** 32 }) }),
    ...(times !== undefined && { times: parseInteger('--times', times, count) }),
    ...(distance !== undefined && { distance: parseDistance(distance) }),
    ...(delay !== undefined && { delayMs: parseInteger('--delay', delay, { min: 0, max: 3_600_000 }) }),
  };
}

function parseDistance(text: string): bigint {
  const negative = text.startsWith('-');
  const value = parseInteger('--distance', negative ? text.slice(1) : text, LBA);
  return negative ? -value : value;
}

function linesOf(disks: readonly ServedDisk[]): string {
  if (disks.length === 0) return '';
  const rows = disks.map(({ name, sg, block, format, serial, pid }) => [
    name,
    sg,
    block ?? '-',
    `type ${format.type}`,
    `${format.blocks} blocks of ${format.blockSize}`,
    serial,
    `process ${pid}`,
  ]);
  return `${table(rows).join('\n')}\n`;
}

/** Numbers in JSON are plain numbers. */
function faultJson({ lba, blocks, distance, ...fault }: Fault): object {
  return {
    ...fault,
    lba: Number(lba),
    blocks: blocks === null ? null : Number(blocks),
    distance: Number(distance),
  };
}

function faultLine({ id, kind, lba, blocks, on, place, oneIn, times, struck }: Fault): string {
  const range = blocks === null ? `from LBA ${lba}` : `LBA ${lba}, ${blocks} blocks`;
  const where = FAULT_KINDS[kind].placed ? `, ${place}` : '';
  const rate = oneIn === 1 ? '' : `, one in ${oneIn}`;
  const left = times === null ? '' : `, ${times - struck} left`;
  return `${id}: ${kind} ${range}${on === null ? '' : `, on ${on}`}${where}${rate}${left}; struck ${struck}\n`;
}
