/** Writes the archive format that the kernel unpacks as its initramfs: cpio "newc" (Linux Documentation/driver-api/early-userspace/buffer-format.rst). */

const FILE_TYPE = { folder: 0o040000, file: 0o100000, characterDevice: 0o020000 } as const;

export interface CpioEntry {
  /** Relative to the root, without a leading slash. Parents come before what they hold. */
  readonly path: string;
  readonly type: keyof typeof FILE_TYPE;
  /** Permission bits. */
  readonly mode: number;
  /** Contents of a file. */
  readonly data?: Uint8Array;
  /** Major and minor number of a device. */
  readonly device?: readonly [major: number, minor: number];
}

/** Header and data are each padded to a multiple of four bytes. */
const padding = (length: number): Buffer => Buffer.alloc(-length & 3);

function member(
  inode: number,
  name: string,
  mode: number,
  data: Uint8Array,
  device: readonly [number, number],
): Buffer {
  const nameBytes = Buffer.from(`${name}\0`);
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, device[0], device[1], nameBytes.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  return Buffer.concat([
    header,
    nameBytes,
    padding(header.length + nameBytes.length),
    data,
    padding(data.length),
  ]);
}

/** The entries as one archive, all owned by root, dated 1970: the same entries give the same bytes. */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const none = new Uint8Array();
  return Buffer.concat([
    ...entries.map(({ path, type, mode, data = none, device = [0, 0] }, index) =>
      member(index + 1, path, FILE_TYPE[type] | mode, data, device),
    ),
    member(0, 'TRAILER!!!', 0, none, [0, 0]),
  ]);
}
