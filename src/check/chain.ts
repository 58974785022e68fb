/**
 * The chain application → block layer → host adapter → device: who makes tuples, who carries them, who checks. Pure.
 */
import type { DiskFacts } from '../device/facts.js';
import type { Proof } from '../device/proof.js';
import type { ChainLink, ChainReport } from '../report/model.js';
import type { SysfsDisk } from '../sysfs/disks.js';

/** How far protection reaches, in one line: from sysfs alone, so that it needs no permission. */
export function reach(disk: SysfsDisk): { endToEnd: boolean; text: string } {
  const { integrity, scsiDisk, layer } = disk;
  if (layer !== null) {
    const text = integrity.present ? 'passed on to the disks below' : 'not passed on to the disks below';
    return { endToEnd: false, text: `${layer.kind}: ${text}` };
  }
  if (!integrity.present) {
    return scsiDisk?.protectionType
      ? {
          endToEnd: false,
          text: `DIF only: host adapter to disk, type ${scsiDisk.protectionType}; the block layer sees no tuples`,
        }
      : { endToEnd: false, text: 'off' };
  }
  const { readVerify, writeGenerate } = integrity;
  if (!readVerify || !writeGenerate) {
    const off = [...(readVerify ? [] : ['read_verify']), ...(writeGenerate ? [] : ['write_generate'])];
    return { endToEnd: false, text: `in part: ${off.join(' and ')} switched off` };
  }
  if (scsiDisk !== null && !scsiDisk.protectionType) {
    return {
      endToEnd: false,
      text: 'DIX only: block layer to host adapter; the disk is formatted without protection',
    };
  }
  return { endToEnd: true, text: 'on: block layer to disk' };
}

/** The chain of one disk; `facts` and `proof` are null where the disk could not be asked. */
export function chain(disk: SysfsDisk, facts: DiskFacts | null, proof: Proof | null): ChainReport['links'] {
  return [
    application(disk),
    blockLayer(disk),
    hostAdapter(disk),
    device(disk, facts),
    passthrough(proof),
  ].filter((link) => link !== null);
}

function application({ integrity }: SysfsDisk): ChainLink {
  return {
    link: 'application',
    makes: false,
    carries: integrity.present,
    checks: false,
    text: integrity.present
      ? 'may bring its own tuples by io_uring where the kernel takes them (6.14 and later)'
      : 'has no way to bring tuples: the block layer has no integrity profile for this disk',
  };
}

function blockLayer({ integrity }: SysfsDisk): ChainLink {
  const { present, format, interval, writeGenerate, readVerify } = integrity;
  if (!present) {
    const text = `integrity/format is ${format ?? 'missing'}: it neither makes nor checks tuples`;
    return { link: 'block layer', makes: false, carries: false, checks: false, text };
  }
  const text = `${format}, a tuple for ${interval} bytes; write_generate ${Number(writeGenerate)}, read_verify ${Number(readVerify)}`;
  return { link: 'block layer', makes: writeGenerate, carries: true, checks: readVerify, text };
}

function hostAdapter({ host, integrity, scsiDisk }: SysfsDisk): ChainLink | null {
  if (host === null) return null;
  const list = (types: readonly number[]) => types.join(', ') || 'none';
  // Without DIX sd still asks for tuples on the wire (READ_STRIP, WRITE_INSERT): the adapter makes and takes them away.
  const difOnly = !integrity.present && (scsiDisk?.protectionType ?? 0) !== 0;
  const does = difOnly ? 'makes the tuples on the way to the disk and strips them on the way back; ' : '';
  return {
    link: 'host adapter',
    makes: difOnly,
    carries: difOnly || (integrity.present && host.dix.length > 0),
    checks: false,
    text: `${does}host${host.number} ${host.driver ?? ''}: DIF types ${list(host.dif)}; DIX types ${list(host.dix)}; guards ${host.guards.join(', ') || 'none'}; whether it checks it does not say`,
  };
}

function device({ scsiDisk, integrity, kind }: SysfsDisk, facts: DiskFacts | null): ChainLink {
  const { capacity, extended, inquiry } = facts ?? {};
  if (!capacity) {
    const text =
      kind === 'nvme'
        ? 'NVMe namespace: see the format of the block layer'
        : 'does not say how it is formatted';
    return { link: 'device', makes: false, carries: integrity.present, checks: false, text };
  }
  if (capacity.protectionType === 0) {
    const able = inquiry?.protect ? 'it could be (INQUIRY PROTECT 1)' : 'it cannot be (INQUIRY PROTECT 0)';
    return {
      link: 'device',
      makes: false,
      carries: false,
      checks: false,
      text: `formatted without protection; ${able}`,
    };
  }
  const claims = [
    ...(extended?.guardCheck ? ['guards'] : []),
    ...(extended?.appCheck ? ['application tags'] : []),
    ...(extended?.refCheck ? ['reference tags'] : []),
  ];
  return {
    link: 'device',
    makes: true,
    carries: scsiDisk === null || scsiDisk.protectionType !== 0,
    checks: claims.length > 0,
    text: `formatted with type ${capacity.protectionType}, ${2 ** capacity.intervalExponent} tuple${capacity.intervalExponent === 0 ? '' : 's'} a block; says that it checks ${claims.join(', ') || 'nothing'}; sd uses ${scsiDisk?.protectionMode ?? 'nothing'}`,
  };
}

function passthrough(proof: Proof | null): ChainLink | null {
  if (proof === null) return null;
  return {
    link: 'SG_IO',
    makes: false,
    carries: proof.result === 'crosses',
    checks: false,
    text: proof.text,
  };
}
