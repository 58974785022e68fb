/**
 * The journal's bytes: records that each carry their length and a checksum, one after the other. Pure.
 *
 * A record is a magic word, its type, the length of its payload, the payload, and the SHA-256 of all that; numbers big endian. The last
 * may be cut off: its write was never sent. Anything else that is not whole is damage.
 */
import { createHash } from 'node:crypto';
import { IntegrityError } from '../../errors.js';
import { PATHS, type PathName } from '../../words.js';
import type { DiskIdentity } from '../facts.js';

/** 1 knew neither mode pages, nor one digest for many blocks, nor blocks without a digest. It is read as well. */
export const JOURNAL_VERSION = 2;
const KNOWN_VERSIONS: readonly number[] = [1, JOURNAL_VERSION];

/** The disk, and what is saved of it. */
export interface JournalHead {
  readonly version: number;
  /** ISO 8601, for people. */
  readonly made: string;
  /** Which run of the kernel it was made in; older journals do not say. */
  readonly boot?: string | null;
  readonly device: string;
  readonly vendor: string;
  readonly product: string;
  /** VPD 83h name and VPD 80h serial number. */
  readonly identity: string | null;
  readonly serial: string | null;
  readonly blockSize: number;
  readonly diskBlocks: string;
  readonly protectionType: number;
  readonly intervalExponent: number;
  /** The region. */
  readonly lba: string;
  readonly blocks: number;
  /** Paths whose tuples are saved, with bytes a block of each. */
  readonly tuples: readonly { readonly path: PathName; readonly bytesPerBlock: number }[];
}

/** Blocks of the region by their place in it. */
export interface Extent {
  readonly index: number;
  readonly blocks: number;
}

/**
 * In the place of a digest: a block that cannot be read, or one that may hold anything, which is for the testbed's disks alone.
 */
export const WITHOUT_DIGEST = { unreadable: 'unreadable', anything: 'anything' } as const;

/** A command is about to be sent. */
interface Sent {
  /** The last moment at which it may come to the medium, in milliseconds since 1970; older journals do not say. */
  readonly until?: number | undefined;
}

export interface JournalWrite extends Extent, Sent {
  readonly touchesTuples: boolean;
  /** SHA-256 of the data that each block may hold, in hexadecimal digits, or WITHOUT_DIGEST; one alone is for all of the blocks. */
  readonly digests: readonly string[];
}

/** A mode page by its codes; 0 for one without subpage. */
export interface ModePageCode {
  readonly page: number;
  readonly subpage: number;
}

export interface JournalModePage extends ModePageCode, Sent {
  /** The page as it was and as it is sent, from its header on, in hexadecimal digits. */
  readonly was: string;
  readonly sent: string;
}

/** Everything that a journal says. */
export interface JournalContent {
  readonly head: JournalHead;
  readonly data: Uint8Array;
  readonly tuples: ReadonlyMap<PathName, Uint8Array>;
  /** In their order; what is written and restored afterwards. */
  readonly steps: readonly JournalStep[];
}

export type JournalStep =
  | ({ readonly kind: 'writing' } & JournalWrite)
  | ({ readonly kind: 'restored' } & Extent)
  | ({ readonly kind: 'mode page' } & JournalModePage)
  | ({ readonly kind: 'mode page restored' } & ModePageCode)
  /** Of the blocks alone: mode pages are put back all the same. */
  | { readonly kind: 'kept' };

const MAGIC = 0x424c4b4a; // "BLKJ"
const TYPE = {
  head: 1,
  data: 2,
  tuples: 3,
  armed: 4,
  writing: 5,
  restored: 6,
  kept: 7,
  'mode page': 8,
  'mode page restored': 9,
} as const;
type TypeName = keyof typeof TYPE;

const PREFIX_BYTES = 12;
const DIGEST_BYTES = 32;
/** A record holds at most a piece of the region. */
const PAYLOAD_MAX = 64 * 1024 * 1024;

/** @throws ERR_OUT_OF_RANGE for a payload that nobody would read again */
function record(type: TypeName, payload: Uint8Array): Buffer {
  if (payload.length > PAYLOAD_MAX) {
    throw new IntegrityError('ERR_OUT_OF_RANGE', `a journal record of ${payload.length} bytes`);
  }
  const bytes = Buffer.alloc(PREFIX_BYTES + payload.length + DIGEST_BYTES);
  bytes.writeUInt32BE(MAGIC, 0);
  bytes.writeUInt32BE(TYPE[type], 4);
  bytes.writeUInt32BE(payload.length, 8);
  bytes.set(payload, PREFIX_BYTES);
  const digest = createHash('sha256').update(bytes.subarray(0, -DIGEST_BYTES)).digest();
  bytes.set(digest, PREFIX_BYTES + payload.length);
  return bytes;
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value));

/** The records up to the moment from which on blocks may be written. */
export function* savedRecords(
  head: JournalHead,
  data: Uint8Array,
  tuples: ReadonlyMap<PathName, Uint8Array>,
): Generator<Buffer> {
  yield record('head', json(head));
  for (const piece of pieces(data)) yield record('data', piece);
  for (const { path } of head.tuples) {
    for (const piece of pieces(tuples.get(path) as Uint8Array)) yield record('tuples', piece);
  }
  yield record('armed', new Uint8Array(0));
}

export function stepRecord({ kind, ...step }: JournalStep): Buffer {
  return record(kind, json(step));
}

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  const size = PAYLOAD_MAX / 4;
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

interface Raw {
  readonly type: TypeName;
  readonly payload: Buffer;
}

function* records(file: Buffer, bad: Bad): Generator<Raw> {
  for (let at = 0; at < file.length; ) {
    const rest = file.subarray(at);
    if (isCutOff(rest)) return;
    const length = rest.readUInt32BE(8);
    const end = PREFIX_BYTES + length;
    if (rest.readUInt32BE(0) !== MAGIC || length > PAYLOAD_MAX) throw bad(`damaged at byte ${at}`);
    const digest = createHash('sha256').update(rest.subarray(0, end)).digest();
    const number = rest.readUInt32BE(4);
    const type = (Object.keys(TYPE) as TypeName[]).find((name) => TYPE[name] === number);
    const whole = digest.equals(rest.subarray(end, end + DIGEST_BYTES));
    if (!whole || type === undefined) throw bad(`damaged at byte ${at}`);
    yield { type, payload: rest.subarray(PREFIX_BYTES, end) };
    at += end + DIGEST_BYTES;
  }
}

/** Nothing whole is left: the beginning of a record that never came to its end, or room that was never written. */
function isCutOff(rest: Buffer): boolean {
  if (rest.every((byte) => byte === 0)) return true;
  if (rest.length < PREFIX_BYTES) return true;
  const length = rest.readUInt32BE(8);
  return (
    rest.readUInt32BE(0) === MAGIC &&
    length <= PAYLOAD_MAX &&
    rest.length < PREFIX_BYTES + length + DIGEST_BYTES
  );
}

/** @throws ERR_MALFORMED_RESPONSE for a file that is no journal, or one of another version: whoever made it, it is read as hostile. */
export function parseJournal(file: Buffer, name: string): JournalContent {
  const bad = (why: string) =>
    new IntegrityError('ERR_MALFORMED_RESPONSE', `${name} is no journal of this package: ${why}`);
  const all = [...records(file, bad)];
  const [first] = all;
  if (first?.type !== 'head') throw bad('it does not begin with the record of a disk');
  const head = headOf(first.payload, bad);
  const bytesOf = (type: TypeName) =>
    Buffer.concat(all.filter((one) => one.type === type).map(({ payload }) => payload));
  const data = bytesOf('data');
  const tupleBytes = bytesOf('tuples');
  if (!all.some(({ type }) => type === 'armed')) throw bad('what it saves is cut off');
  const tuples = new Map<PathName, Uint8Array>();
  let at = 0;
  for (const { path, bytesPerBlock } of head.tuples) {
    tuples.set(path, tupleBytes.subarray(at, at + bytesPerBlock * head.blocks));
    at += bytesPerBlock * head.blocks;
  }
  if (data.length !== head.blocks * head.blockSize || tupleBytes.length !== at)
    throw bad('what it saved is not as long as the region');
  const steps = all.flatMap(({ type, payload }) => stepOf(type, payload, head, bad));
  return { head, data, tuples, steps };
}

type Bad = (why: string) => IntegrityError;

function parsed(payload: Buffer, bad: Bad): unknown {
  try {
    return JSON.parse(payload.toString());
  } catch {
    throw bad('a record is no JSON');
  }
}

const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) > 0;
const isNumber = (value: unknown) => typeof value === 'string' && /^\d{1,20}$/.test(value);

/** What is used of it is what it must be; a name is compared with the disk's. */
function headOf(payload: Buffer, bad: Bad): JournalHead {
  const head = parsed(payload, bad) as JournalHead | null;
  if (head === null) throw bad('the record of the disk is empty');
  if (!KNOWN_VERSIONS.includes(head.version))
    throw bad(`version ${head.version}, this package knows ${KNOWN_VERSIONS.join(' and ')}`);
  const tuples = Array.isArray(head.tuples) ? head.tuples : [null];
  const sound =
    [head.blocks, head.blockSize].every(isCount) &&
    [head.lba, head.diskBlocks].every(isNumber) &&
    tuples.every((one) => PATHS.includes(one?.path as PathName) && isCount(one?.bytesPerBlock));
  if (!sound) throw bad('the record of the disk makes no sense');
  return head;
}

/** The types of record that are steps, with what each must say. */
const STEPS: Readonly<Record<JournalStep['kind'], (step: never, head: JournalHead) => boolean>> = {
  writing: (step: JournalWrite, head) => isInside(step, head) && hasDigests(step) && isMoment(step),
  restored: isInside,
  'mode page': (step: JournalModePage) =>
    isModePage(step.was, step) && isModePage(step.sent, step) && isMoment(step),
  'mode page restored': () => true,
  kept: () => true,
};

function stepOf(type: TypeName, payload: Buffer, head: JournalHead, bad: Bad): JournalStep[] {
  if (!Object.hasOwn(STEPS, type)) return [];
  const kind = type as JournalStep['kind'];
  const step = { ...(parsed(payload, bad) as object), kind } as JournalStep;
  if (!STEPS[kind](step as never, head)) throw bad('a step that makes no sense');
  return [step];
}

function isInside({ index, blocks }: Extent, head: JournalHead): boolean {
  return Number.isSafeInteger(index) && index >= 0 && isCount(blocks) && index + blocks <= head.blocks;
}

function hasDigests({ digests, blocks }: JournalWrite): boolean {
  return Array.isArray(digests) && (digests.length === blocks || digests.length === 1);
}

function isMoment({ until }: Sent): boolean {
  return until === undefined || (Number.isSafeInteger(until) && until >= 0);
}

/** Bytes of a page that begins with its codes. */
function isModePage(text: unknown, { page, subpage }: ModePageCode): boolean {
  if (typeof text !== 'string' || !/^(?:[0-9a-f]{2}){2,65539}$/.test(text)) return false;
  const [first, second] = Buffer.from(text.slice(0, 4), 'hex');
  const long = (first! & 0x40) !== 0;
  return (first! & 0x3f) === page && (long ? second : 0) === subpage;
}

/** SHA-256 of a block, in hexadecimal digits. */
export function digestOf(block: Uint8Array): string {
  return createHash('sha256').update(block).digest('hex');
}

/** Who the head speaks of. */
export function namesSameDisk(head: JournalHead, { inquiry, identity, serial }: DiskIdentity): boolean {
  return (
    head.vendor === inquiry.vendor &&
    head.product === inquiry.product &&
    head.identity === identity &&
    head.serial === serial
  );
}
