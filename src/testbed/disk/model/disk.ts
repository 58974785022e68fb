/** The disk as its commands see it: format, mode pages, medium, faults. Nothing here knows how a command arrives. */
import type { CommandDefinition } from '../../../scsi/commands.js';
import type { Behaviour } from './behaviour.js';
import type { FaultSet } from './faults.js';
import type { Format } from './format.js';
import type { Medium } from './medium.js';
import type { ModePages } from './mode-pages.js';
import type { Rules, Tag } from './protection.js';
import type { SenseCodes } from './refusal.js';
import type { Tally } from './stats.js';

/** Who the disk says it is. */
export interface Identity {
  /** 8, 16 and 4 characters at most. */
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
  readonly serial: string;
  /** NAA 3 (locally assigned) or 6, 8 or 16 bytes. */
  readonly naa: Uint8Array;
}

/** What a disk can do, fixed when it is made. */
export interface Abilities {
  readonly identity: Identity;
  readonly behaviour: Behaviour;
  /** GRD_CHK, APP_CHK, REF_CHK. */
  readonly checks: Readonly<Record<Tag, boolean>>;
  /** NO_PI_CHK. */
  readonly noPiCheck: boolean;
  /** Protection types that FORMAT UNIT takes beside 0; empty: INQUIRY says PROTECT 0. */
  readonly supportedTypes: readonly (1 | 2 | 3)[];
  /** P_I_EXPONENT that FORMAT UNIT takes at most. */
  readonly intervalExponentMax: number;
  /** Commands of the table that this disk does not have, by name. */
  readonly lacks: readonly string[];
  /** LBPME: blocks may be unmapped. */
  readonly thin: boolean;
}

export interface Disk extends Abilities {
  readonly medium: Medium;
  readonly modePages: ModePages;
  readonly faults: FaultSet;
  readonly tally: Tally;
  /** UNIT ATTENTIONs that wait, the first to be told first. */
  readonly attentions: SenseCodes[];
  /** MODE SELECT's block descriptor, until FORMAT UNIT makes it so. */
  pendingFormat: Pick<Format, 'blockSize' | 'blocks'> | null;
  /** A host whose block layer would drive the protection itself sees none of it. */
  concealsProtection: boolean;
  /** CURRENT ORWRITE GENERATION. */
  generation: number;
  /** By START STOP UNIT: the medium is not to be had. */
  stopped: boolean;
  supports(command: CommandDefinition): boolean;
}

/** LBPRZ: unmapped blocks read as zeros. */
export function readsZeros({ thin, behaviour }: Pick<Disk, 'thin' | 'behaviour'>): boolean {
  return thin && behaviour.unmapped === 'zeros';
}

export function rulesOf({ medium, modePages, behaviour, checks, noPiCheck }: Disk): Rules {
  return {
    behaviour,
    format: medium.format,
    enabled: checks,
    noPiCheck,
    ato: modePages.get('ato'),
    dpicz: modePages.get('dpicz'),
    rwwp: modePages.get('rwwp'),
  };
}
