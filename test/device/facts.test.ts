import t from 'tap';
import type { LbmdCapability } from '../../src/binding.js';
import { kernelProfile } from '../../src/device/facts.js';
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
