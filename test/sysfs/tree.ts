import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Files by path; a path that ends in `@` is a symbolic link to its content, one that ends in `/` an empty
 * folder.
 */
export type Files = Readonly<Record<string, string>>;

/** Writes a small sysfs below `root`. */
export function writeTree(root: string, files: Files): void {
  for (const [path, content] of Object.entries(files)) {
    const at = join(root, path.replace(/[@/]$/, ''));
    mkdirSync(path.endsWith('/') ? at : dirname(at), { recursive: true });
    if (path.endsWith('@')) symlinkSync(content, at);
    else if (!path.endsWith('/')) writeFileSync(at, `${content}\n`);
  }
}

/** Every entry of `part`, below `folder`. */
export function below(folder: string, part: Files): Files {
  return Object.fromEntries(Object.entries(part).map(([path, content]) => [`${folder}/${path}`, content]));
}

export interface ScsiDiskParts {
  readonly name: string;
  readonly minor: number;
  readonly hctl: string;
  /** 512-byte sectors. */
  readonly size: number;
  readonly blockSize?: number;
  readonly wwid?: string;
  readonly vendor: string;
  readonly model: string;
  readonly integrity: Files;
  readonly scsiDisk: Files;
}

/** A disk with sd, sg and bsg bound, as Linux lays it out: the nodes' `device` links meet in one folder. */
export function scsiDisk(parts: ScsiDiskParts): Files {
  const { name, minor, hctl, size, blockSize = 512, wwid = '', vendor, model } = parts;
  const sg = `sg${minor / 16}`;
  return {
    ...below(`block/${name}`, {
      dev: `8:${minor}`,
      size: String(size),
      removable: '0',
      ro: '0',
      'holders/': '',
      'slaves/': '',
      'device@': `../../devices/${hctl}`,
      'queue/logical_block_size': String(blockSize),
      'queue/physical_block_size': String(blockSize),
      'queue/max_hw_sectors_kb': '2147483647',
      'queue/max_sectors_kb': '1280',
      'queue/max_integrity_segments': '65535',
      'queue/dma_alignment': '511',
      'queue/stable_writes': '1',
      ...below('integrity', parts.integrity),
    }),
    ...below(`devices/${hctl}`, {
      vendor: vendor.padEnd(8),
      model: model.padEnd(16),
      type: '0',
      state: 'running',
      wwid,
      ...below(`scsi_disk/${hctl}`, parts.scsiDisk),
    }),
    ...genericNodes(sg, minor / 16, hctl),
  };
}

/** The sg and bsg nodes of a SCSI device. */
export function genericNodes(sg: string, minor: number, hctl: string): Files {
  return {
    [`class/scsi_generic/${sg}/dev`]: `21:${minor}`,
    [`class/scsi_generic/${sg}/device@`]: `../../../devices/${hctl}`,
    [`class/bsg/${hctl}/dev`]: `248:${minor}`,
  };
}

export function scsiHost(number: number, driver: string, capabilities: number, guard: number): Files {
  return below(`class/scsi_host/host${number}`, {
    proc_name: driver,
    prot_capabilities: String(capabilities),
    prot_guard_type: String(guard),
    sg_prot_tablesize: '65535',
    unique_id: String(number + 1),
  });
}

export function integrity(format: string, tagSize: number, interval: number, capable: 0 | 1): Files {
  return {
    format,
    tag_size: String(tagSize),
    protection_interval_bytes: String(interval),
    device_is_integrity_capable: String(capable),
    // Linux 6.12 shows 1 on every disk.
    read_verify: '1',
    write_generate: '1',
  };
}
