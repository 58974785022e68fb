/** Disks and adapters of the real world that do otherwise than T10 says, by name. Sources: docs/emulated-disk.md. */
import { IntegrityError } from '../../../errors.js';
import type { Behaviour } from './behaviour.js';
import type { Abilities } from './disk.js';

export interface Preset {
  readonly text: string;
  readonly behaviour?: Partial<Behaviour>;
  readonly abilities?: Partial<
    Pick<Abilities, 'supportedTypes' | 'checks' | 'noPiCheck' | 'intervalExponentMax' | 'lacks'>
  >;
}

export const PRESETS: Readonly<Record<string, Preset>> = {
  hgst: {
    text: 'HGST: 101b is reserved, tags are known by 32-byte commands alone, VERIFY only compares and says ABORTED COMMAND; one tuple a block, no type 3',
    behaviour: {
      protect101: 'reserved',
      appTagKnownBy: 'cdb',
      compareKey: 'aborted-command',
      writeVerify11: 'compared',
      verifyDataOut: 'compared',
    },
    abilities: { supportedTypes: [1, 2], intervalExponentMax: 0 },
  },
  seagate: { text: 'Seagate: 101b is valid, no type 3', abilities: { supportedTypes: [1, 2] } },
  stec: {
    text: 'STEC ZeusIOPS: pays no heed to VRPROTECT, nor to WRPROTECT of WRITE AND VERIFY',
    behaviour: { verifyProtect: 'ignored' },
  },
  lio: {
    text: 'LIO: tuples never cross; types 1 and 3',
    behaviour: { interleave: 'stripped' },
    abilities: { supportedTypes: [1, 3] },
  },
  'scsi-debug': {
    text: 'scsi_debug: executes 32-byte commands on all types, and moves no tuple; no application tags, no VERIFY(32), WRITE AND VERIFY, WRITE SAME(32)',
    behaviour: {
      interleave: 'stripped',
      longCdbElsewhere: 'executed',
      protectUnformatted: 'ignored',
      information: 'none',
    },
    abilities: {
      checks: { guard: true, app: false, ref: true },
      lacks: ['VERIFY(32)', 'WRITE SAME(32)', ...[10, 12, 16, 32].map((size) => `WRITE AND VERIFY(${size})`)],
    },
  },
  'scst-100b': {
    text: 'SCST: RDPROTECT 100b checks the application tag instead of the guard',
    behaviour: { protect100: 'app' },
  },
  'self-encrypting': {
    text: 'a self-encrypting disk: erased blocks are scrambled, tuples too',
    behaviour: { unmapped: 'scrambled' },
  },
  silent: {
    text: 'says in VPD 86h that it checks everything, and checks nothing',
    behaviour: { checking: 'pretended' },
  },
};

/** @throws ERR_USAGE for a name that there is not. */
export function presetByName(name: string): Preset {
  const preset = PRESETS[name];
  if (preset !== undefined && Object.hasOwn(PRESETS, name)) return preset;
  throw new IntegrityError(
    'ERR_USAGE',
    `preset ${JSON.stringify(name)}: it is none of ${Object.keys(PRESETS).join(', ')}`,
  );
}
