/**
 * The disks of a snapshot: nodes, host, integrity, partitions and what is built on them. Nothing here is
 * asked of the disk itself.
 */
import type { SysfsSnapshot } from './snapshot.js';

export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}

/** A device node; its path is `/dev/` and the name. */
export interface DeviceNode extends DeviceNumber {
  readonly name: string;
}

/** /sys/block/DISK/integrity. */
export interface SysfsIntegrity {
  /**
   * The block layer has a profile of protection information for this disk. The rest says nothing when it has
   * not.
   */
  readonly present: boolean;
  /**
   * The kernel's name of the profile. Type 2 disks show TYPE1 here; `none` is no metadata, `nop` metadata
   * without protection.
   */
  readonly format: string;
  /** Bytes of data that one tuple protects; null without integrity and on kernels that do not tell. */
  readonly interval: number | null;
  /** Bytes of a tuple that applications may use; 0 if the disk keeps them to itself. */
  readonly tagSize: number;
  /**
   * The kernel checks what it reads. Linux 6.12 shows 1 for disks without integrity: false here unless
   * `present`.
   */
  readonly readVerify: boolean;
  /** The kernel makes tuples for what it writes. As `readVerify`. */
  readonly writeGenerate: boolean;
  /** The disk itself is formatted with protection and the host carries it (false for DIX type 0). */
  readonly deviceIsIntegrityCapable: boolean;
}

/** /sys/class/scsi_host/hostN. */
export interface SysfsHost {
  readonly number: number;
  /** proc_name: `scsi_debug`, `mpt3sas`. */
  readonly driver: string | null;
  readonly uniqueId: number | null;
  /** Protection types that the host carries to and from the disk, in ascending order. */
  readonly dif: readonly number[];
  /** Protection types whose tuples the host exchanges with memory; 0 is DIX alone. */
  readonly dix: readonly number[];
  /** Guards that it takes from memory. sd prefers IP. */
  readonly guards: readonly ('crc' | 'ip')[];
  readonly sgProtTablesize: number | null;
}

/** /sys/class/scsi_disk/H:C:T:L. */
export interface SysfsScsiDisk {
  /** From 6.1 on 0 when the host does not carry the type that the medium has. */
  readonly protectionType: number | null;
  /** `none`, `dif1`, `dix1`, `dix0` and so on. */
  readonly protectionMode: string | null;
  readonly appTagOwn: boolean;
}

export interface SysfsPartition extends DeviceNode {
  readonly number: number;
  /** In 512-byte sectors from the start of the disk, whatever its block size. */
  readonly startSector512: bigint;
  readonly sectors512: bigint;
  /** Names of the block devices that are built on it: `dm-0`, `md0`. */
  readonly holders: readonly string[];
}

/** What a block device that is no disk of its own is made of. */
export type SysfsLayer =
  /** `uuid` starts with who made it: `LVM-`, `CRYPT-`, `mpath-`. */
  | { readonly kind: 'dm'; readonly name: string; readonly uuid: string }
  | { readonly kind: 'md'; readonly level: string }
  | { readonly kind: 'loop'; readonly backingFile: string };

/** How the queue below a block node is limited. */
export interface SysfsQueue {
  readonly maxHwSectorsKb: number | null;
  readonly maxSectorsKb: number | null;
  readonly maxIntegritySegments: number | null;
  /** A mask: addresses and lengths of direct I/O are multiples of it and 1. */
  readonly dmaAlignment: number | null;
  readonly stableWrites: boolean;
}

/**
 * A whole disk or another block device, or a SCSI device that has no block node. Null is what the kernel does
 * not say.
 */
export interface SysfsDisk {
  /** The block node's name, or the sg node's when there is no block node. */
  readonly name: string;
  /** What carries it: the subsystem of its device, or its layer. */
  readonly kind: 'scsi' | 'nvme' | 'virtio' | SysfsLayer['kind'] | 'other';
  readonly block: DeviceNode | null;
  readonly sg: DeviceNode | null;
  readonly bsg: DeviceNode | null;
  /** `host:channel:target:lun`. */
  readonly hctl: string | null;
  readonly host: SysfsHost | null;
  /** SCSI peripheral device type: 0 disk, 14h host-managed zoned disk. */
  readonly peripheralType: number | null;
  readonly vendor: string | null;
  readonly model: string | null;
  /** `running`, `offline` and so on. */
  readonly state: string | null;
  readonly wwid: string | null;
  /** Bytes; this and the other sizes are 0 without a block node. */
  readonly logicalBlockSize: number;
  readonly physicalBlockSize: number;
  readonly sizeBytes: bigint;
  /** Logical blocks. */
  readonly blocks: bigint;
  readonly readOnly: boolean;
  readonly removable: boolean;
  readonly queue: SysfsQueue;
  readonly integrity: SysfsIntegrity;
  readonly scsiDisk: SysfsScsiDisk | null;
  /** In order of their numbers. */
  readonly partitions: readonly SysfsPartition[];
  /** Names of the block devices that are built on the whole disk. */
  readonly holders: readonly string[];
  /** Names of the block devices that it is built on. */
  readonly slaves: readonly string[];
  readonly layer: SysfsLayer | null;
}

const SECTOR_BYTES = 512n;

const NO_PROTECTION_FORMATS: readonly string[] = ['none', 'nop', 'unsupported'];

/**
 * Bits of scsi_host prot_capabilities (Linux include/scsi/scsi_host.h), and the protection type that each
 * stands for.
 */
const DIF_BITS = [
  [0x01, 1],
  [0x02, 2],
  [0x04, 3],
] as const;
const DIX_BITS = [
  [0x08, 0],
  [0x10, 1],
  [0x20, 2],
  [0x40, 3],
] as const;
const GUARD_BITS = [
  [0x01, 'crc'],
  [0x02, 'ip'],
] as const;

const HCTL = /^\d+:\d+:\d+:\d+$/;

/** By the name of the device that the block node's `device` link leads to. */
const DEVICE_KINDS = [
  [HCTL, 'scsi'],
  [/^nvme/, 'nvme'],
  [/^virtio/, 'virtio'],
] as const;

/**
 * Every whole block device of the snapshot, and the SCSI devices that only have an sg node or a bsg node; by name in
 * natural order.
 */
export function interpret(snapshot: SysfsSnapshot): SysfsDisk[] {
  const tree = new Tree(snapshot.entries);
  const generics = new Map<string, string>();
  for (const sg of tree.children('class/scsi_generic')) {
    const hctl = hctlOf(tree.target(`class/scsi_generic/${sg}/device`));
    if (hctl !== null) generics.set(hctl, sg);
  }
  const disks = tree.children('block').map((name) => {
    const hctl = hctlOf(tree.target(`block/${name}/device`));
    return readDisk(tree, name, hctl, generics.get(hctl ?? '') ?? null);
  });
  const withBlock = new Set(disks.map((disk) => disk.hctl));
  // bsg has nodes for hosts and ports too.
  const bsgs = tree.children('class/bsg').filter((name) => HCTL.test(name));
  for (const hctl of new Set([...generics.keys(), ...bsgs])) {
    if (!withBlock.has(hctl)) disks.push(readDisk(tree, null, hctl, generics.get(hctl) ?? null));
  }
  return disks.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}

export interface FoundDisk {
  readonly disk: SysfsDisk;
  /** Which of the disk's nodes the number belongs to. */
  readonly by: 'block' | 'sg' | 'bsg' | 'partition';
  /** Set when the node is a partition of the disk. */
  readonly partition: SysfsPartition | null;
}

/**
 * The disk that a device node belongs to. Block and character devices are numbered apart, so `type` is
 * needed.
 */
export function findDisk(
  disks: readonly SysfsDisk[],
  type: 'block' | 'character',
  major: number,
  minor: number,
): FoundDisk | null {
  const is = (node: DeviceNumber | null): boolean => node?.major === major && node.minor === minor;
  for (const disk of disks) {
    if (type === 'block') {
      if (is(disk.block)) return { disk, by: 'block', partition: null };
      const partition = disk.partitions.find(is);
      if (partition) return { disk, by: 'partition', partition };
    } else {
      if (is(disk.sg)) return { disk, by: 'sg', partition: null };
      if (is(disk.bsg)) return { disk, by: 'bsg', partition: null };
    }
  }
  return null;
}

/**
 * Every block device that stands, directly or not, on the disk or one of its partitions; nearest first, each
 * once.
 */
export function layersAbove(disks: readonly SysfsDisk[], disk: SysfsDisk): SysfsDisk[] {
  const byName = new Map(disks.map((candidate) => [candidate.name, candidate]));
  const layers = new Set<SysfsDisk>();
  const holdersOf = ({ holders, partitions }: SysfsDisk): string[] => [
    ...holders,
    ...partitions.flatMap((p) => p.holders),
  ];
  const names = holdersOf(disk);
  for (const name of names) {
    const layer = byName.get(name);
    if (!layer || layers.has(layer)) continue;
    layers.add(layer);
    names.push(...holdersOf(layer));
  }
  return [...layers];
}

/** The snapshot's entries by path, and the folders that they imply. */
class Tree {
  readonly #entries: Readonly<Record<string, string>>;
  readonly #children = new Map<string, Set<string>>();

  constructor(entries: Readonly<Record<string, string>>) {
    this.#entries = entries;
    for (const path of Object.keys(entries)) {
      const names = path.replace(/[@/]$/, '').split('/');
      for (let depth = 1; depth < names.length; depth++) {
        const folder = names.slice(0, depth).join('/');
        const children = this.#children.get(folder) ?? new Set();
        this.#children.set(folder, children.add(names[depth]!));
      }
    }
  }

  children(folder: string): string[] {
    return [...(this.#children.get(folder) ?? [])];
  }

  text(path: string): string | null {
    return this.#entries[path]?.trim() || null;
  }

  integer(path: string): number | null {
    const text = this.text(path);
    return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
  }

  bigint(path: string): bigint | null {
    const text = this.text(path);
    return text !== null && /^\d{1,20}$/.test(text) ? BigInt(text) : null;
  }

  flag(path: string): boolean {
    return (this.integer(path) ?? 0) !== 0;
  }

  /** The names in a listed folder. */
  names(path: string): string[] {
    return this.text(`${path}/`)?.split('\n') ?? [];
  }

  /** The last component of a link's target. */
  target(path: string): string | null {
    return this.text(`${path}@`)?.split('/').at(-1) ?? null;
  }

  /**
   * The node whose `dev` file (`major:minor`) lies at `path`. sysfs writes the slashes of a node's name as
   * `!`.
   */
  node(name: string, path: string): DeviceNode | null {
    const [, major, minor] = /^(\d{1,9}):(\d{1,9})$/.exec(this.text(path) ?? '') ?? [];
    if (major === undefined) return null;
    return { name: name.replaceAll('!', '/'), major: Number(major), minor: Number(minor) };
  }
}

function hctlOf(device: string | null): string | null {
  return device !== null && HCTL.test(device) ? device : null;
}

/** The name that a disk goes by, and where sysfs has it. */
function firstNode({ block, sg, hctl }: { block: string | null; sg: string | null; hctl: string | null }) {
  if (block !== null) return [block, `block/${block}`] as const;
  if (sg !== null) return [sg, `class/scsi_generic/${sg}`] as const;
  return [`bsg/${hctl}`, `class/bsg/${hctl}`] as const;
}

function readDisk(tree: Tree, block: string | null, hctl: string | null, sg: string | null): SysfsDisk {
  // Without a block node nothing lies there, and every field below is as if the kernel said nothing.
  const at = `block/${block ?? '-'}`;
  const [name, folder] = firstNode({ block, sg, hctl });
  const device = `${folder}/device`;
  const layer = readLayer(tree, at);
  const carrier = tree.target(device) ?? '';
  const sizeBytes = (tree.bigint(`${at}/size`) ?? 0n) * SECTOR_BYTES;
  const logicalBlockSize = tree.integer(`${at}/queue/logical_block_size`) ?? 0;
  return {
    name,
    kind: layer?.kind ?? DEVICE_KINDS.find(([pattern]) => pattern.test(carrier))?.[1] ?? 'other',
    block: block === null ? null : tree.node(block, `${at}/dev`),
    sg: sg === null ? null : tree.node(sg, `class/scsi_generic/${sg}/dev`),
    bsg: hctl === null ? null : tree.node(`bsg/${hctl}`, `class/bsg/${hctl}/dev`),
    hctl,
    host: hctl === null ? null : readHost(tree, Number.parseInt(hctl, 10)),
    peripheralType: tree.integer(`${device}/type`),
    vendor: tree.text(`${device}/vendor`),
    model: tree.text(`${device}/model`),
    state: tree.text(`${device}/state`),
    wwid: tree.text(`${device}/wwid`) ?? tree.text(`${at}/wwid`),
    logicalBlockSize,
    physicalBlockSize: tree.integer(`${at}/queue/physical_block_size`) ?? 0,
    sizeBytes,
    blocks: logicalBlockSize === 0 ? 0n : sizeBytes / BigInt(logicalBlockSize),
    readOnly: tree.flag(`${at}/ro`),
    removable: tree.flag(`${at}/removable`),
    queue: {
      maxHwSectorsKb: tree.integer(`${at}/queue/max_hw_sectors_kb`),
      maxSectorsKb: tree.integer(`${at}/queue/max_sectors_kb`),
      maxIntegritySegments: tree.integer(`${at}/queue/max_integrity_segments`),
      dmaAlignment: tree.integer(`${at}/queue/dma_alignment`),
      stableWrites: tree.flag(`${at}/queue/stable_writes`),
    },
    integrity: readIntegrity(tree, `${at}/integrity`),
    scsiDisk: readScsiDisk(tree, `${device}/scsi_disk`),
    partitions: readPartitions(tree, at),
    holders: tree.names(`${at}/holders`),
    slaves: tree.names(`${at}/slaves`),
    layer,
  };
}

function readIntegrity(tree: Tree, at: string): SysfsIntegrity {
  const format = tree.text(`${at}/format`) ?? 'none';
  const present = !NO_PROTECTION_FORMATS.includes(format);
  return {
    present,
    format,
    interval: tree.integer(`${at}/protection_interval_bytes`) || null,
    tagSize: tree.integer(`${at}/tag_size`) ?? 0,
    readVerify: present && tree.flag(`${at}/read_verify`),
    writeGenerate: present && tree.flag(`${at}/write_generate`),
    deviceIsIntegrityCapable: tree.flag(`${at}/device_is_integrity_capable`),
  };
}

function readHost(tree: Tree, number: number): SysfsHost {
  const at = `class/scsi_host/host${number}`;
  const capabilities = tree.integer(`${at}/prot_capabilities`) ?? 0;
  const guards = tree.integer(`${at}/prot_guard_type`) ?? 0;
  return {
    number,
    driver: tree.text(`${at}/proc_name`),
    uniqueId: tree.integer(`${at}/unique_id`),
    dif: decodeBits(DIF_BITS, capabilities),
    dix: decodeBits(DIX_BITS, capabilities),
    guards: decodeBits(GUARD_BITS, guards),
    sgProtTablesize: tree.integer(`${at}/sg_prot_tablesize`),
  };
}

function decodeBits<T>(bits: readonly (readonly [bit: number, meaning: T])[], value: number): T[] {
  return bits.filter(([bit]) => value & bit).map(([, meaning]) => meaning);
}

function readScsiDisk(tree: Tree, folder: string): SysfsScsiDisk | null {
  const [entry] = tree.children(folder);
  if (entry === undefined) return null;
  const at = `${folder}/${entry}`;
  return {
    protectionType: tree.integer(`${at}/protection_type`),
    protectionMode: tree.text(`${at}/protection_mode`),
    appTagOwn: tree.flag(`${at}/app_tag_own`),
  };
}

function readPartitions(tree: Tree, disk: string): SysfsPartition[] {
  const partitions: SysfsPartition[] = [];
  for (const name of tree.children(disk)) {
    const at = `${disk}/${name}`;
    const number = tree.integer(`${at}/partition`);
    const node = tree.node(name, `${at}/dev`);
    const startSector512 = tree.bigint(`${at}/start`);
    const sectors512 = tree.bigint(`${at}/size`);
    if (number === null || !node || startSector512 === null || sectors512 === null) continue;
    partitions.push({ ...node, number, startSector512, sectors512, holders: tree.names(`${at}/holders`) });
  }
  return partitions.sort((a, b) => a.number - b.number);
}

function readLayer(tree: Tree, at: string): SysfsLayer | null {
  const name = tree.text(`${at}/dm/name`);
  if (name !== null) return { kind: 'dm', name, uuid: tree.text(`${at}/dm/uuid`) ?? '' };
  const level = tree.text(`${at}/md/level`);
  if (level !== null) return { kind: 'md', level };
  const backingFile = tree.text(`${at}/loop/backing_file`);
  return backingFile === null ? null : { kind: 'loop', backingFile };
}
