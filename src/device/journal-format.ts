/**
 * The journal's bytes: records that each carry their length and a checksum, one after the other. Pure.
 *
 * A record is a magic word, its type, the length of its payload, the payload, and the SHA-256 of all that; numbers big endian. The last
 * may be cut off: its write was never sent. Anything else that is not whole is damage.
 */
import { createHash } from 'node:crypto';
import { IntegrityError } from '../errors.js';
import { PATHS, type PathName } from '../words.js';
import type { DiskIdentity } from './facts.js';

export const JOURNAL_VERSION = 1;

/** The disk, and what is saved of it. */
export interface JournalHead {
  readonly version: number;
  /** ISO 8601, for people. */
  readonly made: string;
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

export interface JournalWrite extends Extent {
  readonly touchesTuples: boolean;
  /** SHA-256 of the data that is sent to each block, in hexadecimal digits. */
  readonly digests: readonly string[];
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
  | { readonly kind: 'kept' };

const MAGIC = 0x424c4b4a; // "BLKJ"
const TYPE = { head: 1, data: 2, tuples: 3, armed: 4, writing: 5, restored: 6, kept: 7 } as const;
type TypeName = keyof typeof TYPE;

const PREFIX_BYTES = 12;
const DIGEST_BYTES = 32;
/** A record holds at most a piece of the region. */
const PAYLOAD_MAX = 64 * 1024 * 1024;

function record(type: TypeName, payload: Uint8Array): Buffer {
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
  const head = parsed(payload, bad) as JournalHead;
  if (head.version !== JOURNAL_VERSION)
    throw bad(`version ${head.version}, this package knows ${JOURNAL_VERSION}`);
  const tuples = Array.isArray(head.tuples) ? head.tuples : [null];
  const sound =
    [head.blocks, head.blockSize].every(isCount) &&
    [head.lba, head.diskBlocks].every(isNumber) &&
    tuples.every((one) => PATHS.includes(one?.path as PathName) && isCount(one?.bytesPerBlock));
  if (!sound) throw bad('the record of the disk makes no sense');
  return head;
}

function stepOf(type: TypeName, payload: Buffer, head: JournalHead, bad: Bad): JournalStep[] {
  if (type !== 'writing' && type !== 'restored' && type !== 'kept') return [];
  const step = { ...(parsed(payload, bad) as object), kind: type } as JournalStep;
  if (step.kind === 'kept') return [step];
  const { index, blocks } = step;
  const inside =
    Number.isSafeInteger(index) && index >= 0 && isCount(blocks) && index + blocks <= head.blocks;
  const told = step.kind === 'restored' || (Array.isArray(step.digests) && step.digests.length === blocks);
  if (!inside || !told) throw bad('a step that does not fit the region');
  return [step];
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
