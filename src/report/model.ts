/**
 * The result model: what the jobs in check/ fill and what every report prints. Its JSON form is the documented output of
 * `--json`: numbers are plain numbers, bytes and names are strings.
 */
import type { ErrorCode } from '../errors.js';
import type { Check, Checker, PathName, Verdict } from '../words.js';

/** Bytes of data that a report holds. */
export const DATA_SHOWN_MAX = 4096;

/** Verdicts of one checker on one path, counted in intervals. */
export interface Cell {
  readonly checker: Checker;
  readonly path: PathName;
  readonly counts: Partial<Record<Verdict, number>>;
  /** Why intervals are unchecked or in error, each reason once. */
  readonly why: readonly string[];
}

/** The matrix of one range of blocks. */
export interface RangeReport {
  readonly lba: number;
  readonly blocks: number;
  readonly intervals: number;
  /** Blocks whose bytes did not stand still between reads: judged by nobody. */
  readonly changing: number;
  readonly cells: readonly Cell[];
}

export type FindingKind =
  /** A tag of the tuple differs from what the software made of the data. */
  | 'mismatch'
  /** A checker refused the block. */
  | 'refused'
  /** A checker that should have refused the block delivered it as good. */
  | 'silent'
  /** Two paths delivered different data for the same block. */
  | 'data-differs'
  /** A read failed for another reason than protection. */
  | 'read-error'
  /** Tuples that a write left differ from those that the mirror makes, or were not accepted. */
  | 'write-differs'
  /** A write failed for another reason than protection. */
  | 'write-error'
  /** The kernel and the disk describe the disk differently. */
  | 'facts';

export interface Finding {
  readonly kind: FindingKind;
  /** The block, or null when the finding is of the whole disk. */
  readonly lba: number | null;
  readonly checker: Checker | null;
  readonly path: PathName | null;
  readonly check: Check | null;
  /** The tag in the tuple, and the one that the software made: for a mismatch. CRC-64 guards are 0x strings. */
  readonly stored: number | string | null;
  readonly computed: number | string | null;
  readonly text: string;
}

/** The disk that a report is of. */
export interface DiskSummary {
  readonly device: string;
  readonly sg: string | null;
  readonly identity: string | null;
  readonly vendor: string;
  readonly product: string;
  readonly blocks: number;
  readonly blockSize: number;
  readonly format: string;
  readonly protectionType: number;
  readonly interval: number | null;
  readonly paths: readonly PathName[];
  /** What the proof said of tuples over SG_IO. */
  readonly passthroughTuples: string;
  /** Why there is no path block-pi; null when there is. */
  readonly noBlockPi: string | null;
  readonly kernel: string;
}

/** What `crosscheck --write` did. */
export interface WriteReport {
  readonly lba: number;
  readonly blocks: number;
  /** The paths that wrote, and whether the tuples that they left could be read and compared. */
  readonly paths: readonly { readonly path: PathName; readonly tuplesCompared: boolean }[];
  readonly restored: 'exact' | 'tuples regenerated';
}

export interface CrosscheckReport {
  readonly verb: 'crosscheck';
  readonly disk: DiskSummary;
  /** How the ranges were chosen, when the user did not. */
  readonly note: string | null;
  readonly ranges: readonly RangeReport[];
  /** Intervals that somebody judged: the software, or a hardware checker over a tuple that was read. 0: nothing was checked. */
  readonly checked: number;
  /** Null unless `--write` was given and the disk read well enough for it. */
  readonly written: WriteReport | null;
  readonly findings: readonly Finding[];
}

/** The three fields of a tuple. A CRC-64 guard is a 0x string. */
export interface TupleReport {
  readonly guard: number | string;
  readonly app: number;
  readonly ref: number;
}

/** One interval that was read. */
export interface IntervalReport {
  readonly lba: number;
  /** Which of the block's intervals, from 0. */
  readonly interval: number;
  readonly verdict: Verdict;
  readonly stored: TupleReport;
  /** What the software made; null for a tag that it has nothing to make of. */
  readonly computed: { readonly [Tag in keyof TupleReport]: TupleReport[Tag] | null };
}

/** Why what the hardware answered and what the software found may be held against each other, or not. */
export type Comparable = 'checked' | 'escaped' | 'unchecked' | 'no PI transferred';

/** A run of blocks that were answered and found alike. */
export interface ReadResult {
  readonly lba: number;
  readonly blocks: number;
  /** What the hardware answered. */
  readonly hardware: string;
  /** What the software found, in intervals. */
  readonly software: Cell['counts'];
  readonly comparable: Comparable;
  readonly why: string;
}

/** A SCSI READ or WRITE as it was sent. */
export interface CommandForm {
  readonly name: string;
  readonly protect: number;
  readonly fua: boolean;
  readonly dpo: boolean;
  /** Of a 32-byte command: what the first block is expected to have. */
  readonly expected: {
    readonly refTag: number;
    readonly appTag: number;
    readonly appTagMask: number;
  } | null;
}

export interface ReadReport {
  readonly verb: 'read';
  readonly disk: DiskSummary;
  readonly lba: number;
  readonly blocks: number;
  readonly path: PathName;
  /** Null on the block paths. */
  readonly command: CommandForm | null;
  /** Blocks from the first on whose data came: the length of what the files hold. */
  readonly delivered: number;
  readonly results: readonly ReadResult[];
  /** The first 65536 intervals whose tuples came. */
  readonly tuples: readonly IntervalReport[];
  /** Intervals whose tuples came and are not listed. */
  readonly tuplesOmitted: number;
  /** Intervals that somebody judged; 0: nothing was checked. */
  readonly checked: number;
  readonly findings: readonly Finding[];
  /** The first {@link DATA_SHOWN_MAX} bytes of the data, as hex; null when it goes to a file. */
  readonly data: string | null;
}

export interface WriteVerbReport {
  readonly verb: 'write';
  readonly disk: DiskSummary;
  readonly lba: number;
  readonly blocks: number;
  readonly path: PathName;
  /** Null on the block paths. */
  readonly command: CommandForm | null;
  /** Who made the tuples; `none`: there are none. */
  readonly tuples: 'caller' | 'software' | 'kernel' | 'disk' | 'none';
  /** What of the range was read again and was as it was written. */
  readonly compared: 'data and tuples' | 'data';
  /** All of it stays, or none: then the range was put back. */
  readonly kept: boolean;
  /** How it was put back; null when it is kept. */
  readonly restored: 'exact' | 'tuples regenerated' | null;
  readonly findings: readonly Finding[];
}

export interface SenseReport {
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  /** It is of an earlier command. */
  readonly deferred: boolean;
  /** Of a medium or protection error the LBA; beyond 2^53 a 0x string. */
  readonly information: number | string | null;
  readonly fieldPointer: {
    readonly inCdb: boolean;
    readonly byte: number;
    readonly bit: number | null;
  } | null;
  readonly text: string;
  /** The rest is only there where the sense says it. How far an operation under way has come, from 0 to 1. */
  readonly progress?: number;
  readonly retryCount?: number;
  readonly replaceableUnit?: number;
  readonly commandSpecific?: number | string;
  /** ILI. */
  readonly incorrectLength?: true;
  /** SDAT_OVFL: there was more sense. */
  readonly overflow?: true;
  /** More unit attentions came than the disk could keep. */
  readonly attentionsLost?: true;
  /** The registers of an ATA disk behind a translation. */
  readonly ataStatus?: DecodedObject;
  /** Sense of other devices, as this, with where it is from. */
  readonly forwarded?: readonly DecodedObject[];
  /** Descriptors that are not read here. */
  readonly others?: readonly DecodedObject[];
}

/** What a decoder made of an answer: an integer beyond 2^53 is a 0x string, bytes are hex. */
export type Decoded = null | boolean | number | string | readonly Decoded[] | DecodedObject;
export interface DecodedObject {
  readonly [name: string]: Decoded;
}

export interface CommandReport {
  readonly verb: 'cdb';
  readonly device: string;
  readonly cdb: string;
  readonly command: string;
  readonly fields: Readonly<Record<string, number | string | boolean>>;
  /** What it came to: `good`, `protection`, `check-condition`, `busy`, `timeout`, `command-too-long` and so on. */
  readonly outcome: string;
  readonly text: string;
  readonly status: number;
  readonly hostStatus: number;
  readonly driverStatus: number;
  readonly sense: SenseReport | null;
  readonly senseBytes: string;
  /** What was retried before this answer. */
  readonly retries: readonly string[];
  /** Bytes that were asked for, that came by the driver's word, none after any answer but GOOD, and its residue. */
  readonly requested: number;
  readonly received: number;
  readonly residue: number;
  /** Of those that came, how many at the end are what was in the buffer before: none, or as many as a tuple has at least. */
  readonly untouched: number;
  /**
   * Bytes that CDB and format say and that did not cross, after GOOD: residue and untouched ones. 0 where an ALLOCATION LENGTH only says
   * how many there is room for.
   */
  readonly missing: number;
  /** Bytes that went out to be compared with the medium, which stores none of them. */
  readonly compared: number;
  readonly durationMs: number;
  /** The first {@link DATA_SHOWN_MAX} bytes that came, as hex; null when they go to a file. */
  readonly data: string | null;
  /** What the data says that came with GOOD; null where there is none, or no decoder for it. */
  readonly decoded: DecodedObject | null;
  /** Why a decoder could not read it; null where it could, or there is none. */
  readonly notDecoded: string | null;
  /** Of a command that can alter the disk; null for any other. */
  readonly altered: AlteredReport | null;
}

/** What became of a command that can alter the disk. */
export interface AlteredReport {
  /** What such a command alters: `unit` is neither blocks nor mode pages. After `whole medium` the disk is to be opened anew. */
  readonly effect: 'blocks' | 'mode pages' | 'whole medium' | 'unit';
  /** The range that was named, in which its blocks lie; null for a command that alters no blocks of a range. */
  readonly lba: number | null;
  readonly blocks: number | null;
  /** Bytes of data that went out. */
  readonly sent: number;
  /** What it did stays; else the blocks are back, and `restored` says how. */
  readonly kept: boolean;
  readonly restored: 'exact' | 'tuples regenerated' | null;
}

export interface ProveReport {
  readonly verb: 'prove';
  readonly disk: DiskSummary;
  /** The planted fault: one block whose data changed under its tuple. */
  readonly fault: { readonly lba: number; readonly byte: number; readonly was: number; readonly now: number };
  /** By which an application reads: `block`, or `passthrough` where the disk has no block node. */
  readonly path: 'block' | 'passthrough';
  /** `caught`: a read by that path was refused. `delivered`: it returned wrong data with success. */
  readonly outcome: 'caught' | 'delivered' | 'vacuous';
  readonly why: string | null;
  readonly ranges: readonly RangeReport[];
  readonly findings: readonly Finding[];
  /** `checker by path`. */
  readonly noticed: readonly string[];
  /** Checkers that noticed nothing by any path. */
  readonly silent: readonly Checker[];
  /** How the region is now: `exact` as it was, or its data as it was under tuples made anew. */
  readonly restored: 'exact' | 'tuples regenerated';
}

/** Adjacent intervals that are bad alike. */
export interface ScrubFinding {
  readonly kind: Extract<FindingKind, 'mismatch' | 'refused' | 'read-error' | 'data-differs'>;
  readonly lba: number;
  readonly blocks: number;
  /** Bad intervals of these blocks; null where no tuples were looked at. */
  readonly intervals: number | null;
  readonly checker: Checker | null;
  readonly path: PathName;
  readonly check: Check | null;
  /** Of the first interval. CRC-64 guards are 0x strings. */
  readonly stored: number | string | null;
  readonly computed: number | string | null;
  readonly text: string;
  /** What explains a mismatch, by the bytes around it; null where nothing was looked for. */
  readonly diagnosis: {
    readonly kind: string;
    readonly text: string;
    /** What explains it just as well. */
    readonly alsoFits: readonly string[];
  } | null;
}

/** What became of the intervals of the blocks that were done, and of blocks of which no interval could be judged. */
export interface ScrubCounts {
  /** Intervals whose tuple the software compared: right, and wrong. */
  readonly ok: number;
  readonly bad: number;
  /** Intervals whose tuple says that nobody is to check it. */
  readonly escaped: number;
  /** Intervals whose tuple the software did not see. */
  readonly unchecked: number;
  /** Of these, what was let pass by the kernel or the device, where one of them was to check. */
  readonly passed: number;
  /** Blocks that somebody refused though the software found, or saw, nothing wrong; they are among the counts above. */
  readonly refused: number;
  /** Blocks that did not stand still, and such that could not be read: they are in no other count. */
  readonly changing: number;
  readonly unreadable: number;
  /** Times that something was wrong with a transfer, of which nothing was found when it was looked at again. */
  readonly transient: number;
}

export interface ScrubReport {
  readonly verb: 'scrub';
  readonly disk: DiskSummary;
  readonly lba: number;
  readonly blocks: number;
  /** Null for all of it. */
  readonly sample: { readonly percent: number; readonly seed: number } | null;
  /** Who checked what, by which path and command. */
  readonly checker: 'software' | 'kernel' | 'device';
  readonly path: PathName;
  readonly checks: readonly Check[];
  readonly by: string;
  /** Why it was not the software; null when it was. */
  readonly notSoftware: string | null;
  /** `failed`: nothing more could be sent, and `reason` says why. */
  readonly ended: 'finished' | 'interrupted' | 'failed';
  readonly reason: string | null;
  /** Of what `reason` says, and what to do about it; null where there is none. */
  readonly code: ErrorCode | null;
  readonly advice: string | null;
  /** Whether it went on from a state, whose counts and findings are in it. */
  readonly resumed: boolean;
  /** Blocks that were to be looked at, and that were. */
  readonly planned: number;
  readonly done: number;
  /** Where it goes on; null when it has finished. */
  readonly next: number | null;
  readonly counts: ScrubCounts;
  /** Intervals that somebody judged. 0: nothing was checked. */
  readonly checked: number;
  /** In order of LBAs, at most 1000. */
  readonly findings: readonly ScrubFinding[];
  /** Findings that are not listed. */
  readonly findingsOmitted: number;
  /** Of this run alone, the first 1000 of the `transient` ones. */
  readonly transients: readonly ScrubTransient[];
  /** Of this run alone. */
  readonly seconds: number;
  readonly bytesPerSecond: number;
}

/** A transfer with which something was wrong that was right when it was read again. */
export interface ScrubTransient {
  readonly lba: number;
  readonly blocks: number;
  /** Intervals that the software found bad at first; null where that is not known: it failed, was refused, came short, or ended a job of several. */
  readonly bad: number | null;
}

/** How far a scrub is: a line of `scrub --json` while it runs. */
export interface ScrubProgress {
  readonly planned: number;
  readonly done: number;
  readonly findings: number;
  /** Bytes of data a second, of this run. */
  readonly bytesPerSecond: number;
  /** Null until there is a rate. */
  readonly secondsLeft: number | null;
}

/** What `restore` did. */
export interface RestoreReport {
  readonly verb: 'restore';
  readonly journal: string;
  readonly device: string;
  /** The region of the journal. */
  readonly lba: number;
  readonly blocks: number;
  /** Blocks that may have been written, and are back. */
  readonly writtenBlocks: number;
  /** `untouched`: there was nothing to put back. */
  readonly outcome: 'exact' | 'tuples regenerated' | 'untouched';
}

/** One station of the way from application to medium. */
export interface ChainLink {
  readonly link: 'application' | 'block layer' | 'host adapter' | 'device' | 'SG_IO';
  /** Makes tuples for what is written. */
  readonly makes: boolean;
  /** Passes tuples on. */
  readonly carries: boolean;
  /** Compares tuples with data, or says that it does. */
  readonly checks: boolean;
  readonly text: string;
}

export interface ChainReport {
  readonly verb: 'show';
  readonly disk: DiskSummary;
  readonly endToEnd: boolean;
  readonly reach: string;
  readonly links: readonly ChainLink[];
  /** Partitions and devices that stand on the disk. */
  readonly above: readonly string[];
  /** Where kernel and disk describe the disk differently. */
  readonly disagreements: readonly string[];
}

export interface ListReport {
  readonly verb: 'list';
  readonly disks: readonly {
    readonly device: string;
    readonly sg: string | null;
    readonly vendor: string;
    readonly model: string;
    readonly blocks: number;
    readonly blockSize: number;
    readonly format: string;
    readonly protectionType: number;
    readonly endToEnd: boolean;
    readonly reach: string;
  }[];
}
