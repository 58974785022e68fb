/** The disk model: a logical unit that takes CDBs and answers as a T10 disk does. In memory or in a file, without any system call else. */

import { hex } from '../../../scsi/bytes.js';
import {
  type CommandDefinition,
  commandOf,
  commandsOfOpcode,
  decodeCdb,
  usageMap,
} from '../../../scsi/commands.js';
import { encodeSense } from '../../../scsi/sense.js';
import type { Command, Handler } from './command.js';
import { handlerOf, isSupported, needsMedium, reportsAttention } from './commands/index.js';
import type { Abilities, Disk } from './disk.js';
import { FaultSet, type Strikable, type Stroke } from './faults.js';
import type { LogicalUnit, ScsiTask, ScsiTaskReply } from './logical-unit.js';
import { type Medium, MediumError } from './medium.js';
import { ModePages, type SavedPages } from './mode-pages.js';
import { invalidInCdb, Refusal, SENSE } from './refusal.js';
import { Tally } from './stats.js';
import { struckBy } from './strokes.js';

const STATUS = { GOOD: 0x00, CHECK_CONDITION: 0x02, BUSY: 0x08, TASK_SET_FULL: 0x28 } as const;
const NOTHING = new Uint8Array(0);
/** UNIT ATTENTION of the fault: power on, reset, or bus device reset occurred. */
const RESET_OCCURRED = [0x6, 0x29, 0x00] as const;

export interface ModelParts extends Abilities {
  readonly medium: Medium;
  readonly savedPages?: SavedPages;
  /** MODE SELECT has saved pages. */
  readonly onSave?: (pages: SavedPages) => void;
  readonly randomSeed: number;
}

export class DiskModel implements LogicalUnit {
  readonly disk: Disk;

  constructor({ medium, savedPages, onSave, randomSeed, ...abilities }: ModelParts) {
    this.disk = {
      ...abilities,
      medium,
      modePages: new ModePages(() => medium.format.blocks - 1, savedPages, onSave),
      faults: new FaultSet(randomSeed),
      tally: new Tally(),
      attentions: [SENSE.POWER_ON],
      pendingFormat: null,
      concealsProtection: false,
      generation: 0,
      stopped: false,
      supports: (command) => isSupported(command, abilities),
    };
  }

  execute(task: ScsiTask): ScsiTaskReply {
    const { disk } = this;
    const definition = commandOf(task.cdb);
    const name = definition?.name ?? `opcode ${hex(task.cdb.subarray(0, 1)) || 'none'}h`;
    let strokes: readonly Stroke[] = [];
    const answer = (
      reply: Omit<ScsiTaskReply, 'afterMs'>,
      codes: readonly number[] | null,
    ): ScsiTaskReply => {
      const delay = struckBy(strokes, 'delay')?.fault.delayMs ?? 0;
      const afterMs = struckBy(strokes, 'silence') ? Number.POSITIVE_INFINITY : delay;
      disk.tally.count(name, reply.status, codes, afterMs !== Number.POSITIVE_INFINITY);
      return { ...reply, afterMs };
    };
    try {
      const { command, handler } = this.#accept(task, definition);
      strokes = disk.faults.strike('command', strikable(command));
      const early = EARLY.find(([kind]) => struckBy(strokes, kind));
      if (early) return answer({ status: early[1], sense: NOTHING, dataIn: NOTHING }, null);
      if (struckBy(strokes, 'unit-attention')) {
        if (reportsAttention(command.definition)) throw new Refusal(RESET_OCCURRED);
        disk.attentions.push(RESET_OCCURRED);
      }
      const made = handler(disk, { ...command, strokes });
      const room = Math.min(task.dataInMax, command.fields.allocationLength ?? made.length);
      return answer({ status: STATUS.GOOD, sense: NOTHING, dataIn: made.subarray(0, room) }, null);
    } catch (error) {
      const { codes, details } = refusalOf(error);
      const [key, asc, ascq] = codes;
      const { information, fieldPointer, dataIn = NOTHING } = details;
      const sense = encodeSense({
        descriptor: disk.modePages.get('descriptorSense'),
        key,
        asc,
        ascq,
        ...(information !== undefined && { information }),
        ...(fieldPointer && { fieldPointer }),
      });
      return answer(
        { status: STATUS.CHECK_CONDITION, sense, dataIn: dataIn.subarray(0, task.dataInMax) },
        codes,
      );
    }
  }

  /** What is refused before a command is looked at: unknown operations, reserved bits, and what a UNIT ATTENTION has to say. */
  #accept(
    { cdb, dataOut, dataInMax }: ScsiTask,
    definition: CommandDefinition | null,
  ): { command: Omit<Command, 'strokes'>; handler: Handler } {
    const { disk } = this;
    const handler = definition !== null && disk.supports(definition) ? handlerOf(definition) : undefined;
    if (definition === null || reportsAttention(definition)) {
      const attention = disk.attentions.shift();
      if (attention) throw new Refusal(attention);
    }
    if (definition === null || handler === undefined) {
      const known = commandsOfOpcode(cdb[0] ?? -1).some((one) => disk.supports(one));
      // Of a known operation an unknown service action; one that is known and not for this disk is no operation of it.
      throw known && definition === null
        ? invalidInCdb(cdb[0] === 0x7f ? 8 : 1)
        : new Refusal(SENSE.INVALID_OPCODE);
    }
    const decoded = decodeCdb(cdb);
    // Its ADDITIONAL CDB LENGTH is wrong where it is not cut short.
    if (decoded === null) throw invalidInCdb(cdb.length < definition.length ? 0 : 7);
    refuseReservedBits(cdb, usage(definition));
    if (disk.stopped && needsMedium(definition)) throw new Refusal(SENSE.INITIALIZING_REQUIRED);
    return { command: { definition, fields: decoded.fields, dataOut, dataInMax }, handler };
  }
}

/** What a medium cannot do is an error of the medium; anything else is a fault of ours, and the disk goes on. */
function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof MediumError)
    return new Refusal(error.writing ? SENSE.WRITE_ERROR : SENSE.UNRECOVERED_READ);
  return new Refusal(SENSE.INTERNAL_FAILURE);
}

/** Statuses that faults give before anything is done. */
const EARLY = [
  ['busy', STATUS.BUSY],
  ['task-set-full', STATUS.TASK_SET_FULL],
] as const;

const maps = new Map<CommandDefinition, Uint8Array>();

function usage(definition: CommandDefinition): Uint8Array {
  let map = maps.get(definition);
  if (map === undefined) {
    map = usageMap(definition);
    maps.set(definition, map);
  }
  return map;
}

function refuseReservedBits(cdb: Uint8Array, map: Uint8Array): void {
  for (let at = 0; at < map.length; at++) {
    const reserved = cdb[at]! & ~map[at]!;
    if (reserved !== 0) throw invalidInCdb(at, 31 - Math.clz32(reserved));
  }
}

/** Blocks of a command, where its CDB has them. A length that a command takes for bytes counts none. */
function strikable({ definition, fields }: Omit<Command, 'strokes'>): Strikable {
  const { lba, blocks } = fields;
  const range = lba === undefined || blocks === undefined ? null : { lba: Number(lba), blocks };
  if (range === null) return { access: 'other', range };
  return { access: definition.data === 'in' || isComparing(definition) ? 'read' : 'write', range };
}

function isComparing({ name }: CommandDefinition): boolean {
  return name.startsWith('VERIFY') || name.startsWith('PRE-FETCH');
}
