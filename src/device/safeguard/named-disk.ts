/**
 * Which disk of the host has the names of another run's, or of an owner's word: it must be the only one.
 */
import { readFile } from 'node:fs/promises';
import { IntegrityError } from '../../errors.js';
import { decodeUnitSerialNumber } from '../../scsi/vpd.js';
import { interpret, type SysfsDisk } from '../../sysfs/disks.js';
import { readSnapshot } from '../../sysfs/snapshot.js';
import { type Disk, type OpenDiskOptions, openDevice } from '../disk.js';
import type { Listed } from './idle.js';
import { type JournalHead, namesSameDisk } from './journal-format.js';

/** WWN, serial number, or the node that the disk had then. */
export const nameOf = ({ identity, serial, device }: JournalHead): string => identity ?? serial ?? device;

/** The disks of the host, and how they are opened. */
export interface Host {
  readonly disks: readonly SysfsDisk[];
  readonly open: (device: string, options: OpenDiskOptions) => Promise<Disk>;
}

/**
 * Names move: each disk of the host is asked. One that cannot be is another one; the first path of a disk that has several stands for all.
 * Errors: ERR_NO_DEVICE; ERR_NOT_OURS, naming both, where two disks have these names.
 */
export async function findNamed(head: JournalHead, signal?: AbortSignal, host?: Host): Promise<Disk> {
  const { disks, open } = host ?? { disks: interpret(await readSnapshot()), open: openDevice };
  let found: { readonly disk: Disk; readonly sysfs: SysfsDisk } | null = null;
  for (const sysfs of disks) {
    if (sysfs.hctl === null) continue;
    const disk = await open(`/dev/${sysfs.name}`, signal ? { signal } : {}).catch(() => null);
    if (disk === null) continue;
    const named = disk.facts !== null && namesSameDisk(head, disk.facts);
    if (named && found === null) {
      found = { disk, sysfs };
      continue;
    }
    await disk.close();
    if (!named || found === null || isOtherPath(found.sysfs, sysfs)) continue;
    await found.disk.close();
    throw ambiguous(nameOf(head), found.sysfs, sysfs);
  }
  if (found !== null) return found.disk;
  throw new IntegrityError('ERR_NO_DEVICE', `no disk of this host is ${nameOf(head)} (then ${head.device})`, {
    advice: 'Connect it, or run this on the host that has it.',
  });
}

/** The kernel's name of both (VPD 83h) is one. */
function isOtherPath(a: SysfsDisk, b: SysfsDisk): boolean {
  return a.wwid !== null && a.wwid === b.wwid;
}

/**
 * Throws ERR_NOT_OURS, naming both, where another disk has the same names as this one, so that a journal could not tell them apart: the same
 * serial number, and neither has a name in VPD 83h, by which paths of one disk are known. The kernel asked for the serial number when it
 * found the disk, if at all: no other disk is opened for this. `sys` is another folder in tests.
 */
export async function requireSoleName(disk: Disk, { sysfs, disks }: Listed, sys = '/sys'): Promise<void> {
  const { wwid, vendor, model, hctl } = sysfs;
  const serial = disk.facts?.serial ?? null;
  if (wwid !== null || serial === null) return;
  const alike = disks.filter(
    (one) =>
      one.hctl !== null &&
      one.hctl !== hctl &&
      one.wwid === null &&
      one.vendor === vendor &&
      one.model === model,
  );
  for (const other of alike) {
    if ((await listedSerial(other, sys)) === serial) throw ambiguous(serial, sysfs, other);
  }
}

/** VPD 80h as the kernel has kept it; null where it has not. */
async function listedSerial({ hctl }: SysfsDisk, sys: string): Promise<string | null> {
  const page = await readFile(`${sys}/class/scsi_device/${hctl}/device/vpd_pg80`).catch(() => null);
  try {
    return page && decodeUnitSerialNumber(page);
  } catch {
    return null;
  }
}

function ambiguous(name: string, a: SysfsDisk, b: SysfsDisk): IntegrityError {
  const disk = `/dev/${a.name}`;
  return new IntegrityError(
    'ERR_NOT_OURS',
    `${disk} and /dev/${b.name} are both ${name}: nothing is written`,
    {
      disk,
      advice: 'Disconnect the one that is not meant.',
    },
  );
}
