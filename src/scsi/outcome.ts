/**
 * Who refused? What one SCSI command came to, from the ioctl's errno, the statuses and the sense.
 */
import type { SgResult } from '../binding.js';
import type { Check } from '../words.js';
import { hex } from './bytes.js';
import { readableSense, SENSE_KEY, type Sense, senseText } from './sense.js';

export type ScsiOutcome =
  /** The command was carried out. `sense` holds a RECOVERED ERROR when one came with it. */
  | { readonly kind: 'good'; readonly sense: Sense | null }
  /**
   * Protection information was compared and differed. `lba` is the block that the sense names, if it names
   * one.
   */
  | {
      readonly kind: 'protection';
      readonly checker: 'device' | 'hba';
      readonly check: Check;
      readonly lba: bigint | null;
      readonly sense: Sense;
    }
  | { readonly kind: 'unit-attention'; readonly sense: Sense }
  | { readonly kind: 'not-ready'; readonly sense: Sense }
  /** Any other CHECK CONDITION; `sense` is null when none came, or when it cannot be decoded: then `undecoded` has its bytes. */
  | { readonly kind: 'check-condition'; readonly sense: Sense | null; readonly undecoded?: Uint8Array }
  | { readonly kind: 'busy' }
  | { readonly kind: 'task-set-full' }
  | { readonly kind: 'reservation-conflict' }
  /** Another SCSI status. */
  | { readonly kind: 'status'; readonly status: number }
  /** The CDB is longer than the host adapter's driver takes. */
  | { readonly kind: 'command-too-long' }
  | { readonly kind: 'timeout' }
  /** The host adapter or its driver failed: `name` is the DID_* or DRIVER_* name, or its number. */
  | { readonly kind: 'transport'; readonly name: string }
  /** The device is not there any more. `name` is the errno's or the DID_* name. */
  | { readonly kind: 'gone'; readonly name: string }
  | { readonly kind: 'ioctl-error'; readonly errno: number };

const STATUS = {
  GOOD: 0x00,
  CHECK_CONDITION: 0x02,
  CONDITION_MET: 0x04,
  BUSY: 0x08,
  RESERVATION_CONFLICT: 0x18,
  TASK_SET_FULL: 0x28,
} as const;

/** Statuses that have no outcome of their own (SAM-5). */
const STATUS_NAMES: Readonly<Record<number, string>> = { 48: 'ACA ACTIVE', 64: 'TASK ABORTED' };

const HOST_STATUS_NAMES = [
  'DID_OK',
  'DID_NO_CONNECT',
  'DID_BUS_BUSY',
  'DID_TIME_OUT',
  'DID_BAD_TARGET',
  'DID_ABORT',
  'DID_PARITY',
  'DID_ERROR',
  'DID_RESET',
  'DID_BAD_INTR',
  'DID_PASSTHROUGH',
  'DID_SOFT_ERROR',
  'DID_IMM_RETRY',
  'DID_REQUEUE',
  'DID_TRANSPORT_DISRUPTED',
  'DID_TRANSPORT_FAILFAST',
  'DID_TARGET_FAILURE',
  'DID_NEXUS_FAILURE',
  'DID_ALLOC_FAILURE',
  'DID_MEDIUM_ERROR',
  'DID_TRANSPORT_MARGINAL',
] as const;

/** The low four bits of the driver byte; newer kernels only ever show DRIVER_SENSE. */
const DRIVER_STATUS_NAMES = [
  'DRIVER_OK',
  'DRIVER_BUSY',
  'DRIVER_SOFT',
  'DRIVER_MEDIA',
  'DRIVER_ERROR',
  'DRIVER_INVALID',
  'DRIVER_TIMEOUT',
  'DRIVER_HARD',
  'DRIVER_SENSE',
] as const;

const ASC_PROTECTION = 0x10;

const CHECKS: Readonly<Record<number, Check>> = { 1: 'guard', 2: 'app', 3: 'ref' };

type Answer = Pick<SgResult, 'errno' | 'status' | 'hostStatus' | 'driverStatus' | 'sense'>;

/** The answer with its bytes read and its numbers named: what the rules below look at. */
interface Facts {
  readonly errno: number;
  readonly status: number;
  readonly host: string;
  readonly driver: string;
  readonly sense: Sense | null;
  readonly undecoded: Uint8Array | null;
}

interface ProtectionRule {
  readonly key: number;
  /** Holds only with this host status. */
  readonly host?: string;
  /** Holds only when the ASCQ names a tag: ASC 10h with this key has other meanings too. */
  readonly tagNamed?: true;
  readonly checker: 'device' | 'hba';
}

/**
 * Who speaks through ASC 10h; the first that holds. A host adapter's driver that makes up sense for its own
 * check says ILLEGAL REQUEST and DID_ABORT (mpt3sas, mpi3mr, lpfc, qla2xxx, scsi_debug); without DID_ABORT
 * the sense came over the wire.
 */
const PROTECTION_RULES: readonly ProtectionRule[] = [
  { key: SENSE_KEY.ABORTED_COMMAND, checker: 'device' },
  { key: SENSE_KEY.ILLEGAL_REQUEST, host: 'DID_ABORT', checker: 'hba' },
  { key: SENSE_KEY.ILLEGAL_REQUEST, checker: 'device' },
  // VERIFY found tuples that differ from those sent to compare with (SBC-4).
  { key: SENSE_KEY.MISCOMPARE, tagNamed: true, checker: 'device' },
  // An NVMe namespace behind a SCSI translation. 03h/10h/00h is an ID CRC or ECC error of the medium.
  { key: SENSE_KEY.MEDIUM_ERROR, tagNamed: true, checker: 'device' },
];

/** Keys that mean one thing whatever their additional sense code. */
const BY_KEY: Readonly<Record<number, (sense: Sense) => ScsiOutcome>> = {
  [SENSE_KEY.RECOVERED_ERROR]: (sense) => ({ kind: 'good', sense }),
  [SENSE_KEY.NOT_READY]: (sense) => ({ kind: 'not-ready', sense }),
  [SENSE_KEY.UNIT_ATTENTION]: (sense) => ({ kind: 'unit-attention', sense }),
};

/** Host and driver statuses that mean one thing whatever came with them. */
const BY_HOST: Readonly<Record<string, ScsiOutcome>> = {
  DID_NO_CONNECT: { kind: 'gone', name: 'DID_NO_CONNECT' },
  DID_BAD_TARGET: { kind: 'gone', name: 'DID_BAD_TARGET' },
  DID_TIME_OUT: { kind: 'timeout' },
};

const BY_ERRNO: Readonly<Record<number, ScsiOutcome>> = {
  6: { kind: 'gone', name: 'ENXIO' },
  19: { kind: 'gone', name: 'ENODEV' },
};

/** Only the target says these, and it has not begun the command: whatever the host's driver adds (scsi_debug: DID_ABORT to TASK SET FULL). */
const UNACCEPTED: Readonly<Record<number, ScsiOutcome>> = {
  [STATUS.BUSY]: { kind: 'busy' },
  [STATUS.TASK_SET_FULL]: { kind: 'task-set-full' },
  [STATUS.RESERVATION_CONFLICT]: { kind: 'reservation-conflict' },
};

const BY_STATUS: Readonly<Record<number, ScsiOutcome>> = {
  [STATUS.GOOD]: { kind: 'good', sense: null },
  [STATUS.CONDITION_MET]: { kind: 'good', sense: null },
  [STATUS.CHECK_CONDITION]: { kind: 'check-condition', sense: null },
};

/** From what says most to what says least; the first that answers is the outcome. */
const RULES: readonly ((facts: Facts) => ScsiOutcome | undefined)[] = [
  ({ errno }) => (errno === 0 ? undefined : (BY_ERRNO[errno] ?? { kind: 'ioctl-error', errno })),
  ({ host }) => BY_HOST[host],
  ({ status }) => UNACCEPTED[status],
  // NO SENSE that no CHECK CONDITION brought says nothing: then the host status may.
  (facts) =>
    facts.sense && (facts.status === STATUS.CHECK_CONDITION || facts.sense.key !== SENSE_KEY.NO_SENSE)
      ? senseOutcome(facts.sense, facts)
      : undefined,
  ({ undecoded }) => (undecoded ? { kind: 'check-condition', sense: null, undecoded } : undefined),
  // scsi_dispatch_cmd refuses a CDB longer than the host's max_cmd_len before it is sent (Linux 6.1
  // drivers/scsi/scsi_lib.c).
  ({ host, status, sense }) =>
    host === 'DID_ABORT' && status === STATUS.GOOD && sense === null
      ? { kind: 'command-too-long' }
      : undefined,
  ({ host }) => (host === 'DID_OK' ? undefined : { kind: 'transport', name: host }),
  ({ driver }) => (driver === 'DRIVER_TIMEOUT' ? { kind: 'timeout' } : undefined),
  ({ driver }) =>
    driver === 'DRIVER_OK' || driver === 'DRIVER_SENSE' ? undefined : { kind: 'transport', name: driver },
];

const NO_SENSE = new Uint8Array(0);

/** Never throws: sense that cannot be decoded is a CHECK CONDITION of its own. */
export function classify(answer: Answer): ScsiOutcome {
  const driver = answer.driverStatus & 0x0f;
  // Sense that no status announced is what an earlier command left in the buffer. It may come beside any status (SAM-5), but BUSY is BUSY.
  const announced =
    answer.status === STATUS.CHECK_CONDITION ||
    (answer.status === STATUS.GOOD && DRIVER_STATUS_NAMES[driver] === 'DRIVER_SENSE');
  const bytes = announced && answer.errno === 0 ? answer.sense : NO_SENSE;
  const sense = readableSense(bytes);
  const facts: Facts = {
    errno: answer.errno,
    status: answer.status,
    host: HOST_STATUS_NAMES[answer.hostStatus] ?? `host status ${answer.hostStatus}`,
    driver: DRIVER_STATUS_NAMES[driver] ?? `driver status ${driver}`,
    sense,
    // A vendor's own (response code 7Fh), of a code that there is not, or cut off before its key (SPC-5).
    undecoded: sense === null && bytes.some((byte) => byte !== 0) ? bytes : null,
  };
  for (const rule of RULES) {
    const outcome = rule(facts);
    if (outcome) return outcome;
  }
  return BY_STATUS[facts.status] ?? { kind: 'status', status: facts.status };
}

function senseOutcome(sense: Sense, { host }: Facts): ScsiOutcome {
  if (sense.deferred) return { kind: 'check-condition', sense };
  if (sense.asc === ASC_PROTECTION) {
    const named = CHECKS[sense.ascq];
    const rule = PROTECTION_RULES.find(
      ({ key, host: wanted, tagNamed }) =>
        key === sense.key && (wanted === undefined || wanted === host) && (!tagNamed || named !== undefined),
    );
    if (rule) {
      const { checker } = rule;
      return { kind: 'protection', checker, check: named ?? 'protection', lba: sense.information, sense };
    }
  }
  return BY_KEY[sense.key]?.(sense) ?? { kind: 'check-condition', sense };
}

/** The outcome in one line for people. */
export function describeOutcome(outcome: ScsiOutcome): string {
  switch (outcome.kind) {
    case 'good':
      return outcome.sense ? senseText(outcome.sense) : 'GOOD';
    case 'protection': {
      const at = outcome.lba === null ? '' : ` at LBA ${outcome.lba}`;
      return `refused by the ${outcome.checker}${at}: ${senseText(outcome.sense)}`;
    }
    case 'unit-attention':
    case 'not-ready':
      return senseText(outcome.sense);
    case 'check-condition':
      if (outcome.sense) return senseText(outcome.sense);
      return outcome.undecoded
        ? `CHECK CONDITION with sense that cannot be decoded: ${hex(outcome.undecoded, ' ')}`
        : 'CHECK CONDITION without sense';
    case 'busy':
      return 'BUSY';
    case 'task-set-full':
      return 'TASK SET FULL';
    case 'reservation-conflict':
      return 'RESERVATION CONFLICT: another initiator has reserved the disk';
    case 'status':
      return STATUS_NAMES[outcome.status] ?? `SCSI status ${outcome.status.toString(16).padStart(2, '0')}h`;
    case 'command-too-long':
      return `the host adapter's driver does not take commands of this length (DID_ABORT without sense)`;
    case 'timeout':
      return 'the command timed out';
    case 'transport':
      return `the host adapter failed: ${outcome.name}`;
    case 'gone':
      return `the device is gone: ${outcome.name}`;
    case 'ioctl-error':
      return `SG_IO failed with errno ${outcome.errno}`;
  }
}
