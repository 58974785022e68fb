/**
 * What is read from sysfs: one table, one call, one snapshot.
 */
import { native } from '../binding.js';

/**
 * By path, which ends as its pattern does: what a file holds, a link's target (`@`), a folder's names in
 * lines (`/`).
 */
export interface SysfsSnapshot {
  readonly entries: Readonly<Record<string, string>>;
  /** errno by path: what exists and could not be read. */
  readonly errors: Readonly<Record<string, number>>;
}

const SCSI_DEVICE = ['vendor', 'model', 'type', 'state', 'wwid'];

/** `*` is any entry; `@` at the end reads a link, `/` lists a folder. */
const PATTERNS: readonly string[] = [
  ...['dev', 'size', 'removable', 'ro', 'wwid', 'holders/', 'slaves/', 'device@'].map(
    (name) => `block/*/${name}`,
  ),
  ...[
    'format',
    'tag_size',
    'protection_interval_bytes',
    'device_is_integrity_capable',
    'read_verify',
    'write_generate',
  ].map((name) => `block/*/integrity/${name}`),
  ...[
    'logical_block_size',
    'physical_block_size',
    'max_hw_sectors_kb',
    'max_sectors_kb',
    'max_integrity_segments',
    'dma_alignment',
    'stable_writes',
  ].map((name) => `block/*/queue/${name}`),
  ...SCSI_DEVICE.map((name) => `block/*/device/${name}`),
  ...['protection_type', 'protection_mode', 'app_tag_own'].map(
    (name) => `block/*/device/scsi_disk/*/${name}`,
  ),
  ...['partition', 'start', 'size', 'dev', 'holders/'].map((name) => `block/*/*/${name}`),
  ...['dm/name', 'dm/uuid', 'md/level', 'loop/backing_file'].map((name) => `block/*/${name}`),
  ...['proc_name', 'prot_capabilities', 'prot_guard_type', 'sg_prot_tablesize', 'unique_id'].map(
    (name) => `class/scsi_host/*/${name}`,
  ),
  ...['scsi_generic', 'bsg'].flatMap((kind) =>
    ['dev', 'device@', ...SCSI_DEVICE.map((name) => `device/${name}`)].map(
      (name) => `class/${kind}/*/${name}`,
    ),
  ),
];

const ANY_BLOCK_DISK = 'block/*';

const OF_BLOCK_DISKS: readonly string[] = PATTERNS.filter((pattern) =>
  pattern.startsWith(ANY_BLOCK_DISK),
).map((pattern) => pattern.slice(ANY_BLOCK_DISK.length));

/** Reads the disks that the kernel knows. `root` is another folder in tests. Throws ERR_NO_ADDON. */
export function readSnapshot(root = '/sys'): Promise<SysfsSnapshot> {
  return native().sysfsSnapshot(root, PATTERNS);
}

/**
 * Of one block disk, by its kernel name, what lies in its own folder: as quick on a host of a thousand disks as on one of two. Its host and its
 * other nodes are not read. Empty when there is none. Throws ERR_NO_ADDON.
 */
export function readSnapshotOf(name: string, root = '/sys'): Promise<SysfsSnapshot> {
  return native().sysfsSnapshot(
    root,
    OF_BLOCK_DISKS.map((pattern) => `block/${name}${pattern}`),
  );
}
