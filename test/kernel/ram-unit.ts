/**
 * A logical unit in memory: what sd and the initiators of these tests need, and no rule of protection. With protection its blocks carry
 * eight bytes that it stores as they come.
 */
import type { LogicalUnit, ScsiTask, ScsiTaskReply } from 'blk-integrity';

export const BLOCK = 512;
const TUPLE = 8;

/** Caching mode page with WCE: sd sends SYNCHRONIZE CACHE when it leaves. */
const CACHING = [0x08, 18, 0x04, ...new Array<number>(17).fill(0)];

const NOTHING = new Uint8Array(0);

/** The fields of a READ or WRITE, by opcode or service action: its size of CDB, LBA, blocks and the byte of the protect field. */
interface Layout {
  readonly write: boolean;
  readonly lbaAt: number;
  readonly lbaBytes: 4 | 8;
  readonly blocksAt: number;
  readonly blocksBytes: 2 | 4;
  readonly protectAt: number;
}

const TEN = { lbaAt: 2, lbaBytes: 4, blocksAt: 7, blocksBytes: 2, protectAt: 1 } as const;
const SIXTEEN = { lbaAt: 2, lbaBytes: 8, blocksAt: 10, blocksBytes: 4, protectAt: 1 } as const;
const THIRTY_TWO = { lbaAt: 12, lbaBytes: 8, blocksAt: 28, blocksBytes: 4, protectAt: 10 } as const;

/** By opcode, and for 7Fh by 7F0000h and the service action. */
const TRANSFERS: Readonly<Record<number, Layout>> = {
  40: { write: false, ...TEN },
  42: { write: true, ...TEN },
  136: { write: false, ...SIXTEEN },
  138: { write: true, ...SIXTEEN },
  8323081: { write: false, ...THIRTY_TWO },
  8323083: { write: true, ...THIRTY_TWO },
};

export class RamUnit implements LogicalUnit {
  readonly blocks: number;
  /** Data and tuple of each block, one after the other. */
  readonly medium: Uint8Array;
  /** Whether INQUIRY and READ CAPACITY(16) tell of protection. */
  protect = false;
  /** How long READ and WRITE commands take, by their LBA. */
  delay: (lba: number) => number = () => 0;

  constructor(blocks: number) {
    this.blocks = blocks;
    this.medium = new Uint8Array(blocks * (BLOCK + TUPLE));
  }

  execute({ cdb, dataOut, dataInMax }: ScsiTask): ScsiTaskReply {
    const opcode = cdb[0]!;
    const view = new DataView(cdb.buffer, cdb.byteOffset, cdb.byteLength);
    const transfer = TRANSFERS[opcode === 0x7f ? 0x7f0000 | view.getUint16(8) : opcode];
    if (transfer !== undefined) return this.#transfer(transfer, view, dataOut, dataInMax);
    switch (opcode) {
      case 0x00: // TEST UNIT READY
      case 0x1b: // START STOP UNIT
      case 0x35: // SYNCHRONIZE CACHE(10)
        return good();
      case 0x12:
        return (cdb[1]! & 1) === 0 ? good(this.#inquiry(), dataInMax) : this.#page(cdb[2]!, dataInMax);
      case 0x25: {
        const data = new Uint8Array(8);
        new DataView(data.buffer).setUint32(0, this.blocks - 1);
        new DataView(data.buffer).setUint32(4, BLOCK);
        return good(data, dataInMax);
      }
      case 0x9e: {
        if ((cdb[1]! & 0x1f) !== 0x10) return invalid(0x24);
        const data = new Uint8Array(32);
        new DataView(data.buffer).setBigUint64(0, BigInt(this.blocks - 1));
        new DataView(data.buffer).setUint32(8, BLOCK);
        data[12] = this.protect ? 1 : 0;
        return good(data, dataInMax);
      }
      case 0x1a: // MODE SENSE(6)
        return good(Uint8Array.of(3 + CACHING.length, 0, 0, 0, ...CACHING), dataInMax);
      case 0x5a: // MODE SENSE(10)
        return good(Uint8Array.of(0, 6 + CACHING.length, 0, 0, 0, 0, 0, 0, ...CACHING), dataInMax);
      default:
        return invalid(0x20);
    }
  }

  #transfer(layout: Layout, cdb: DataView, dataOut: Uint8Array, dataInMax: number): ScsiTaskReply {
    const { lbaAt, lbaBytes, blocksAt, blocksBytes, protectAt, write } = layout;
    const lba = lbaBytes === 8 ? Number(cdb.getBigUint64(lbaAt)) : cdb.getUint32(lbaAt);
    const blocks = blocksBytes === 4 ? cdb.getUint32(blocksAt) : cdb.getUint16(blocksAt);
    if (lba + blocks > this.blocks) return invalid(0x21);
    const bytes = cdb.getUint8(protectAt) >> 5 === 0 ? BLOCK : BLOCK + TUPLE;
    const data = write ? dataOut : new Uint8Array(blocks * bytes);
    for (let i = 0; i < blocks; i++) {
      const at = (lba + i) * (BLOCK + TUPLE);
      if (write) this.medium.set(dataOut.subarray(i * bytes, (i + 1) * bytes), at);
      else data.set(this.medium.subarray(at, at + bytes), i * bytes);
    }
    return { ...(write ? good() : good(data, dataInMax)), afterMs: this.delay(lba) };
  }

  #inquiry(): Uint8Array {
    const data = new Uint8Array(36);
    data.set([0, 0, 6, 2, 31, this.protect ? 1 : 0, 0, 2]);
    data.set(new TextEncoder().encode('blkinteg'), 8);
    data.set(new TextEncoder().encode('RAM unit        '), 16);
    data.set(new TextEncoder().encode('0001'), 32);
    return data;
  }

  #page(page: number, dataInMax: number): ScsiTaskReply {
    const text = (word: string) => [...new TextEncoder().encode(word)];
    const pages: Readonly<Record<number, number[]>> = {
      0: [0x00, 0x80, 0x83],
      128: text('ram-unit'),
      131: [2, 1, 0, 16, ...text('blkintegram-unit')],
    };
    const content = pages[page];
    return content === undefined
      ? invalid(0x24)
      : good(Uint8Array.of(0, page, 0, content.length, ...content), dataInMax);
  }
}

function good(data: Uint8Array = NOTHING, max = 0): ScsiTaskReply {
  return { status: 0, sense: NOTHING, dataIn: data.subarray(0, max), afterMs: 0 };
}

/** CHECK CONDITION, ILLEGAL REQUEST with this additional sense code, fixed format. */
function invalid(code: number): ScsiTaskReply {
  const sense = new Uint8Array(18);
  sense.set([0x70, 0, 5, 0, 0, 0, 0, 10]);
  sense[12] = code;
  return { status: 2, sense, dataIn: NOTHING, afterMs: 0 };
}
