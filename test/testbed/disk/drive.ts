/** Drives a disk model as an initiator does, one command after the other. */

import { crc16T10Dif } from '../../../src/pi/guard.js';
import { type CdbFields, encodeCdb } from '../../../src/scsi/commands.js';
import { decodeSense } from '../../../src/scsi/sense.js';
import { EmulatedDisk, type EmulatedDiskOptions } from '../../../src/testbed/disk/emulated-disk.js';

export interface Answered {
  readonly status: number;
  /** `0Bh/10h/01h`; empty without sense. */
  readonly sense: string;
  readonly information: bigint | null;
  readonly pointer: { readonly inCdb: boolean; readonly byte: number; readonly bit: number | null } | null;
  readonly dataIn: Uint8Array;
}

const NONE = new Uint8Array(0);

export function send(
  disk: EmulatedDisk,
  cdb: Uint8Array,
  dataOut: Uint8Array = NONE,
  dataInMax = 1 << 20,
): Answered {
  const { status, sense, dataIn } = disk.unit.execute({ cdb, dataOut, dataInMax });
  const decoded = decodeSense(sense);
  const byte = (value: number) => `${value.toString(16).toUpperCase().padStart(2, '0')}h`;
  return {
    status,
    sense: decoded === null ? '' : [decoded.key, decoded.asc, decoded.ascq].map(byte).join('/'),
    information: decoded?.information ?? null,
    pointer: decoded?.fieldPointer ?? null,
    dataIn: dataIn.slice(),
  };
}

export function ask(disk: EmulatedDisk, name: string, fields: CdbFields, dataOut?: Uint8Array): Answered {
  return send(disk, encodeCdb(name, fields), dataOut);
}

/** A disk that has told of its power on already. */
export async function ready(options: EmulatedDiskOptions = {}): Promise<EmulatedDisk> {
  const disk = await EmulatedDisk.create({ blocks: 4096, randomSeed: 1, ...options });
  ask(disk, 'TEST UNIT READY', {});
  return disk;
}

export interface TupleFields {
  readonly guard?: number;
  readonly app?: number;
  readonly ref?: number;
}

/** Data of no two blocks alike, and its blocks as they cross with tuples; `change` spoils a tuple. */
export function wire(
  first: number,
  blocks: number,
  change: (index: number) => TupleFields = () => ({}),
  { blockSize = 512, interval = 512, fill = 0 } = {},
): Uint8Array {
  const perBlock = blockSize / interval;
  const bytes = new Uint8Array(blocks * (blockSize + 8 * perBlock));
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < blocks * perBlock; i++) {
    const at = i * (interval + 8);
    const data = bytes.subarray(at, at + interval);
    for (let k = 0; k < interval; k++) data[k] = (k * 7 + (first + i) * 13 + fill) & 0xff;
    const { guard = crc16T10Dif(0, data), app = 0, ref = (first + i) % 2 ** 32 } = change(i);
    view.setUint16(at + interval, guard);
    view.setUint16(at + interval + 2, app);
    view.setUint32(at + interval + 4, ref);
  }
  return bytes;
}

/** The data alone of what `wire` makes. */
export function plain(bytes: Uint8Array, interval = 512): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += interval + 8) parts.push(bytes.subarray(at, at + interval));
  return Buffer.concat(parts);
}

export const GOOD = { status: 0, sense: '' } as const;
export const check = (sense: string) => ({ status: 2, sense });
