import t from 'tap';
import type {
  LbmdCapability,
  NativeHandle,
  NvmeIdentifyRequest,
  NvmeIdentifyResult,
} from '../../src/binding.js';
import { diskProfile, kernelProfile } from '../../src/device/facts.js';
import { learnNamespaceFormat } from '../../src/device/namespace.js';
import type { NamespaceFormat } from '../../src/nvme/identify.js';
import { interpret, type SysfsDisk } from '../../src/sysfs/disks.js';

/** What Linux 7.3 shows of a disk of 4096-byte blocks, and FS_IOC_GETLBMD_CAP's answer as far as it is used. */
function shown(integrity: Readonly<Record<string, string | number>>): SysfsDisk {
  const entries: Record<string, string> = {
    'block/ublkb0/dev': '259:0\n',
    'block/ublkb0/queue/logical_block_size': '4096\n',
  };
  for (const [name, value] of Object.entries(integrity)) {
    entries[`block/ublkb0/integrity/${name}`] = `${value}\n`;
  }
  return interpret({ entries } as unknown as Parameters<typeof interpret>[0])[0]!;
}

const NOTHING = { facts: null, namespace: null };
const lbmd = (size: number, piOffset: number) => ({ errno: 0, size, piOffset }) as LbmdCapability;

t.test('the tuple at the end of wider metadata', async (t) => {
  const disk = shown({ format: 'EXT-DIF-TYPE1-CRC64', protection_interval_bytes: 4096, tag_size: 0 });
  t.same(kernelProfile(disk, NOTHING, lbmd(64, 48)), {
    name: 'EXT-DIF-TYPE1-CRC64',
    type: 1,
    guard: 'crc64',
    interval: 4096,
    tupleSize: 16,
    metadataSize: 64,
    piOffset: 48,
    tagSize: 0,
  });
});

t.test('several intervals a block', async (t) => {
  const disk = shown({ format: 'T10-DIF-TYPE3-IP', protection_interval_bytes: 512, tag_size: 0 });
  t.match(kernelProfile(disk, NOTHING, null), {
    type: 3,
    guard: 'ip',
    interval: 512,
    metadataSize: 8,
    piOffset: 0,
  });
});

t.test('the size of tags that applications may use', async (t) => {
  const tagSize = (format: string, size: number) =>
    kernelProfile(shown({ format, protection_interval_bytes: 512, tag_size: size }), NOTHING, null)?.tagSize;
  t.equal(tagSize('T10-DIF-TYPE1-CRC', 2), 2);
  t.equal(tagSize('T10-DIF-TYPE3-CRC', 6), 6);
  t.equal(tagSize('EXT-DIF-TYPE3-CRC64', 8), 8);
  t.equal(tagSize('EXT-DIF-TYPE3-CRC64', 9), 0, 'more than the tuple holds says nothing');
});

t.test('metadata without tuples is no profile', async (t) => {
  t.equal(
    kernelProfile(shown({ format: 'nop', protection_interval_bytes: 4096 }), NOTHING, lbmd(64, 0)),
    null,
  );
});

t.test('what an NVMe namespace says of its metadata', async (t) => {
  const wide: NamespaceFormat = {
    blockSize: 4096,
    metadataSize: 64,
    extended: false,
    protectionType: 1,
    guard: 'crc64',
    piOffset: 48,
  };
  const told = (change: Partial<NamespaceFormat> = {}) => ({
    facts: null,
    namespace: { ...wide, ...change },
  });
  const disk = shown({ format: 'EXT-DIF-TYPE1-CRC64', protection_interval_bytes: 4096, tag_size: 2 });
  t.match(kernelProfile(disk, told(), null), { metadataSize: 64, piOffset: 48, tagSize: 2 });
  t.match(
    kernelProfile(disk, told(), lbmd(32, 16)),
    { metadataSize: 32, piOffset: 16 },
    "the kernel's word goes first",
  );
  t.match(kernelProfile(disk, told(), lbmd(0, 0)), { metadataSize: 64, piOffset: 48 }, 'if it has one');
  for (const change of [
    { guard: 'crc16' },
    { protectionType: 3 },
    { protectionType: 0, guard: null },
    { guard: null },
  ] as const) {
    t.match(kernelProfile(disk, told(change), null), { metadataSize: 16, piOffset: 0 }, 'formatted anew');
  }

  t.match(diskProfile(told()), {
    name: 'EXT-DIF-TYPE1-CRC64',
    type: 1,
    interval: 4096,
    metadataSize: 64,
    piOffset: 48,
  });
  t.match(diskProfile(told({ protectionType: 2 })), { name: 'EXT-DIF-TYPE1-CRC64', type: 2 });
  t.match(diskProfile(told({ guard: 'crc16', protectionType: 3, piOffset: 0 })), {
    name: 'T10-DIF-TYPE3-CRC',
    type: 3,
    tupleSize: 8,
    piOffset: 0,
  });
  t.equal(diskProfile(told({ protectionType: 0, guard: null })), null);
  t.equal(diskProfile(told({ guard: null })), null, 'a guard that is not known');
});

t.test('a namespace is asked for both of its structures', async (t) => {
  const identify = new Uint8Array(4096);
  identify.set([64, 0, 12, 0], 128);
  identify[29] = 1;
  const nvm = new Uint8Array(4096);
  nvm.set([0x00, 0x01], 12);
  const good = { errno: 0, status: 0, nsid: 1 };
  const learn = (answers: Record<NvmeIdentifyRequest['structure'], NvmeIdentifyResult>) =>
    learnNamespaceFormat({
      nvmeIdentify: async ({ structure }: NvmeIdentifyRequest) => answers[structure],
    } as unknown as NativeHandle);
  const first = { ...good, data: identify };
  const second = { ...good, data: nvm };
  const refused = { ...good, status: 0x4002, data: new Uint8Array(4096) };
  t.match(await learn({ namespace: first, 'nvm-namespace': second }), { guard: 'crc64', piOffset: 48 });
  t.match(await learn({ namespace: first, 'nvm-namespace': refused }), { guard: 'crc16', piOffset: 56 });
  t.equal(
    await learn({ namespace: first, 'nvm-namespace': { ...second, errno: 13 } }),
    null,
    'how wide the guard is stays open',
  );
  t.equal(await learn({ namespace: first, 'nvm-namespace': { ...second, status: 0x0006 } }), null);
  t.equal(await learn({ namespace: refused, 'nvm-namespace': second }), null);
  t.equal(await learn({ namespace: { ...first, errno: 13 }, 'nvm-namespace': second }), null);
  t.equal(
    await learn({ namespace: { ...first, data: new Uint8Array(4096) }, 'nvm-namespace': second }),
    null,
    'no format',
  );
});
