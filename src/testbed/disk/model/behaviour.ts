/** What T10 leaves open, or real disks do otherwise: each a choice with a name and a default. */
import { IntegrityError } from '../../../errors.js';
import { SENSE, type SenseCodes } from './refusal.js';

/** What there is to choose; the first of each is the default (CHOICES). */
export interface Behaviour {
  /** RDPROTECT, VRPROTECT, WRPROTECT 101b: valid in SBC-3 and SBC-4, reserved on HGST's disks. */
  readonly protect101: 'valid' | 'reserved';
  /** 100b on reads: the guard is checked. SCST checks the application tag instead. */
  readonly protect100: 'guard' | 'app';
  /** Reference tags of data-out with WRPROTECT 010b and 101b: "may" in SBC-4. */
  readonly writeRefMay: 'checked' | 'unchecked';
  /** Application tags of data-out with RWWP 0: "may" in SBC-4. */
  readonly writeAppMay: 'checked' | 'unchecked';
  /** Commands whose expected application tags count: those of 32 bytes alone on HGST's disks. */
  readonly appTagKnownBy: 'cdb-and-mode-page' | 'cdb';
  /** Which of several failed tags the sense names: undefined in SBC-4. */
  readonly firstFailed: 'guard-app-ref' | 'ref-guard-app';
  /** INFORMATION of a protection error: the LBA, by convention alone. */
  readonly information: 'lba' | 'none';
  /** Blocks before the one that fails: sent with a read. */
  readonly readBeforeError: 'sent' | 'not-sent';
  /** The same of a write: stored. */
  readonly writeBeforeError: 'not-stored' | 'stored';
  /** The application tag that a write without protection information stores when ATO is 1. */
  readonly generatedAppTag: 'ffff' | 'zero';
  /** A 10-, 12- or 16-byte command with a protect field on a type 2 disk: LIO says INVALID FIELD IN CDB. */
  readonly type2ShortCdb: 'invalid-opcode' | 'invalid-field';
  /** A 32-byte command on a disk of another type: scsi_debug executes it. */
  readonly longCdbElsewhere: 'invalid-opcode' | 'executed';
  /** A protect field on a disk without protection information: old disks pay no heed. */
  readonly protectUnformatted: 'refused' | 'ignored';
  /** VRPROTECT: the STEC ZeusIOPS pays no heed to it, nor to WRPROTECT of WRITE AND VERIFY. */
  readonly verifyProtect: 'heeded' | 'ignored';
  /** The key of a tag that differs from the one that VERIFY compares it with: HGST's disks say ABORTED COMMAND. */
  readonly compareKey: 'miscompare' | 'aborted-command';
  /** WRITE AND VERIFY with BYTCHK 11b: reserved in SBC-4, as 01b on HGST's disks. */
  readonly writeVerify11: 'reserved' | 'compared';
  /** Tuples of VERIFY's data-out: checked, then compared; HGST's disks only compare. */
  readonly verifyDataOut: 'checked' | 'compared';
  /** What VPD 86h says of checking: the disk does so, or only says so. */
  readonly checking: 'performed' | 'pretended';
  /** What an unmapped block reads as: zeros under FFh, or what a self-encrypting disk makes of an erased one. */
  readonly unmapped: 'zeros' | 'scrambled';
  /** Transfers with a protect field: tuples cross, or plain data comes with GOOD, as from scsi_debug. */
  readonly interleave: 'tuples' | 'stripped';
}

/** Every choice with its values, the default first. Sources: docs/emulated-disk.md. */
export const CHOICES: { readonly [Name in keyof Behaviour]: readonly Behaviour[Name][] } = {
  protect101: ['valid', 'reserved'],
  protect100: ['guard', 'app'],
  writeRefMay: ['checked', 'unchecked'],
  writeAppMay: ['checked', 'unchecked'],
  appTagKnownBy: ['cdb-and-mode-page', 'cdb'],
  firstFailed: ['guard-app-ref', 'ref-guard-app'],
  information: ['lba', 'none'],
  readBeforeError: ['sent', 'not-sent'],
  writeBeforeError: ['not-stored', 'stored'],
  generatedAppTag: ['ffff', 'zero'],
  type2ShortCdb: ['invalid-opcode', 'invalid-field'],
  longCdbElsewhere: ['invalid-opcode', 'executed'],
  protectUnformatted: ['refused', 'ignored'],
  verifyProtect: ['heeded', 'ignored'],
  compareKey: ['miscompare', 'aborted-command'],
  writeVerify11: ['reserved', 'compared'],
  verifyDataOut: ['checked', 'compared'],
  checking: ['performed', 'pretended'],
  unmapped: ['zeros', 'scrambled'],
  interleave: ['tuples', 'stripped'],
};

export const DEFAULT_BEHAVIOUR: Behaviour = Object.fromEntries(
  Object.entries(CHOICES).map(([name, [first]]) => [name, first]),
) as unknown as Behaviour;

/** @throws ERR_USAGE for a name or a value that there is not. */
export function requireBehaviour(chosen: Partial<Behaviour>): Behaviour {
  for (const [name, value] of Object.entries(chosen)) {
    const values: readonly string[] | undefined = Object.hasOwn(CHOICES, name)
      ? CHOICES[name as keyof Behaviour]
      : undefined;
    if (values?.includes(value)) continue;
    const known = values === undefined ? Object.keys(CHOICES) : values;
    throw new IntegrityError('ERR_USAGE', `behaviour ${name}=${value}: it is none of ${known.join(', ')}`);
  }
  return { ...DEFAULT_BEHAVIOUR, ...chosen };
}

export const SHORT_CDB_SENSE: Readonly<Record<Behaviour['type2ShortCdb'], SenseCodes>> = {
  'invalid-opcode': SENSE.INVALID_OPCODE,
  'invalid-field': SENSE.INVALID_FIELD_IN_CDB,
};
