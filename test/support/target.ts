/**
 * A stand-in for what lies behind SG_IO: blocks, tuples, and one of the ways in which targets answer a READ with RDPROTECT.
 */
import type { SgResult } from '../../src/binding.js';
import type { ScsiCommand, ScsiReply, ScsiTransport } from '../../src/device/transport.js';
import { classify } from '../../src/scsi/outcome.js';

export type Manner =
  /** Tuples behind each interval. */
  | 'interleaves'
  /** scsi_debug: plain data, residue for the rest, the rest of the buffer untouched. */
  | 'plain with residue'
  /** LIO: plain data, residue 0, zeros behind it. */
  | 'plain, zeroed, residue 0'
  /** Plain data, and ones behind it. */
  | 'plain, ones, residue 0'
  /** The medium on and on, whatever lies behind the blocks that were asked for. */
  | 'plain and on'
  /** 05/24/00. */
  | 'refuses'
  /** Escaped tuples between data that is not what a plain read delivers. */
  | 'interleaves other data'
  /** The right data, and tuples that are nobody's. */
  | 'interleaves rubbish'
  /** The right data, and tuples of zeros. */
  | 'interleaves zeros';

export const GOOD: SgResult = {
  errno: 0,
  status: 0,
  hostStatus: 0,
  driverStatus: 0,
  resid: 0,
  sense: new Uint8Array(0),
  durationMs: 0,
  overrun: false,
};

/** CHECK CONDITION with fixed sense. */
export function checkCondition(key: number, asc: number, ascq: number): SgResult {
  const sense = new Uint8Array(18);
  sense.set([0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq]);
  return { ...GOOD, status: 2, driverStatus: 8, sense };
}

export interface TargetOptions {
  readonly manner: Manner;
  readonly blockSize: number;
  readonly interval: number;
  /** The whole medium. */
  readonly data: Uint8Array;
  readonly tuples: Uint8Array;
  /** The medium with what lies behind it, for a target that sends on. */
  readonly beyond?: Uint8Array;
  /** The first block from which RDPROTECT is refused. */
  readonly refuseFrom?: number;
  /** Called before each command. */
  readonly onCommand?: (cdb: Uint8Array) => void;
}

export class Target implements ScsiTransport {
  unitAttentions = 0;
  readonly sent: Uint8Array[] = [];
  readonly #options: TargetOptions;

  constructor(options: TargetOptions) {
    this.#options = options;
  }

  async send({ cdb, data }: ScsiCommand): Promise<ScsiReply> {
    this.sent.push(cdb);
    this.#options.onCommand?.(cdb);
    const result = this.#read(cdb, data!);
    return { outcome: classify(result), result, retries: [] };
  }

  #read(cdb: Uint8Array, buffer: Uint8Array): SgResult {
    const { manner, blockSize, interval, data, tuples } = this.#options;
    const view = new DataView(cdb.buffer, cdb.byteOffset, cdb.length);
    const long = cdb[0] === 0x7f;
    const protect = cdb[long ? 10 : 1]! >> 5;
    const lba = Number(view.getBigUint64(long ? 12 : 2));
    const blocks = view.getUint32(long ? 28 : 10);
    const plain = data.subarray(lba * blockSize, (lba + blocks) * blockSize);
    if (protect === 0) {
      buffer.set(plain);
      return GOOD;
    }
    if (manner === 'refuses' || lba >= (this.#options.refuseFrom ?? Number.POSITIVE_INFINITY))
      return checkCondition(5, 0x24, 0);
    if (manner.startsWith('plain')) {
      buffer.set(plain);
      const { beyond = data } = this.#options;
      if (manner === 'plain and on') buffer.set(beyond.subarray(lba * blockSize).subarray(0, buffer.length));
      if (manner.includes('zeroed')) buffer.fill(0x00, plain.length);
      if (manner.includes('ones')) buffer.fill(0xff, plain.length);
      return { ...GOOD, resid: manner.includes('with residue') ? buffer.length - plain.length : 0 };
    }
    const perBlock = blockSize / interval;
    for (let i = 0; i < blocks * perBlock; i++) {
      const at = i * (interval + 8);
      const tuple = tuples.slice((lba * perBlock + i) * 8, (lba * perBlock + i + 1) * 8);
      if (manner === 'interleaves rubbish') tuple[1]! ^= 0x01;
      if (manner === 'interleaves zeros') tuple.fill(0);
      if (manner === 'interleaves other data') tuple.fill(0xff);
      buffer.set(plain.subarray(i * interval, (i + 1) * interval), at);
      if (manner === 'interleaves other data') buffer[at]! ^= 0x01;
      buffer.set(tuple, at + interval);
    }
    return GOOD;
  }
}
