/**
 * The disk, as a report names it.
 */
import { release } from 'node:os';
import type { Disk } from '../device/disk.js';
import type { DiskSummary } from '../report/model.js';

export async function summarise(disk: Disk, signal?: AbortSignal): Promise<DiskSummary> {
  const { facts, sysfs, profile } = disk;
  const proof = await disk.proof(signal);
  return {
    device: disk.device,
    sg: sysfs.sg === null ? null : `/dev/${sysfs.sg.name}`,
    identity: facts?.identity ?? null,
    vendor: facts?.inquiry.vendor ?? sysfs.vendor ?? '',
    product: facts?.inquiry.product ?? sysfs.model ?? '',
    blocks: Number(disk.blocks),
    blockSize: disk.blockSize,
    format: sysfs.integrity.format ?? 'none',
    protectionType: disk.diskProfile?.type ?? 0,
    interval: profile?.interval ?? null,
    paths: disk.paths,
    noBlockPi: disk.noBlockPi,
    passthroughTuples: proof?.text ?? 'takes no SCSI commands',
    kernel: release(),
  };
}
