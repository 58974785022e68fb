import { readdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { findDisk, interpret, layersAbove, type SysfsDisk } from '../../src/sysfs/disks.js';
import { readSnapshot, readSnapshotOf } from '../../src/sysfs/snapshot.js';
import { below, type Files, genericNodes, integrity, scsiDisk, scsiHost, writeTree } from './tree.js';

/** What the package makes of a machine, its sysfs read like a real one. */
async function machine(t: Test, files: Files): Promise<SysfsDisk[]> {
  const root = t.testdir();
  writeTree(root, files);
  const snapshot = await readSnapshot(root);
  t.same(snapshot.errors, {}, 'everything could be read');
  return interpret(snapshot);
}

const debug = {
  name: 'sda',
  minor: 0,
  hctl: '0:0:0:0',
  size: 32768,
  wwid: 'naa.33333330000007d0',
  vendor: 'Linux',
  model: 'scsi_debug',
};

const protection = (type: number, mode: string) => ({
  protection_type: String(type),
  protection_mode: mode,
  app_tag_own: '1',
});

t.test('scsi_debug dif=1 dix=1', async (t) => {
  const [disk, ...others] = await machine(t, {
    ...scsiHost(0, 'scsi_debug', 17, 1),
    ...scsiDisk({
      ...debug,
      integrity: integrity('T10-DIF-TYPE1-CRC', 2, 512, 1),
      scsiDisk: protection(1, 'dix1'),
    }),
  });
  t.same(others, []);
  t.same(disk, {
    name: 'sda',
    kind: 'scsi',
    block: { name: 'sda', major: 8, minor: 0 },
    sg: { name: 'sg0', major: 21, minor: 0 },
    bsg: { name: 'bsg/0:0:0:0', major: 248, minor: 0 },
    hctl: '0:0:0:0',
    host: {
      number: 0,
      driver: 'scsi_debug',
      uniqueId: 1,
      dif: [1],
      dix: [1],
      guards: ['crc'],
      sgProtTablesize: 65535,
    },
    peripheralType: 0,
    vendor: 'Linux',
    model: 'scsi_debug',
    state: 'running',
    wwid: 'naa.33333330000007d0',
    logicalBlockSize: 512,
    physicalBlockSize: 512,
    sizeBytes: 16777216n,
    blocks: 32768n,
    readOnly: false,
    removable: false,
    queue: {
      maxHwSectorsKb: 2147483647,
      maxSectorsKb: 1280,
      maxIntegritySegments: 65535,
      dmaAlignment: 511,
      stableWrites: true,
    },
    integrity: {
      present: true,
      format: 'T10-DIF-TYPE1-CRC',
      interval: 512,
      tagSize: 2,
      readVerify: true,
      writeGenerate: true,
      deviceIsIntegrityCapable: true,
    },
    scsiDisk: { protectionType: 1, protectionMode: 'dix1', appTagOwn: true },
    partitions: [],
    holders: [],
    slaves: [],
    layer: null,
  });
});

t.test('scsi_debug dif=2 dix=1 shows TYPE1, and its type beside it', async (t) => {
  const [disk] = await machine(t, {
    ...scsiHost(0, 'scsi_debug', 34, 1),
    ...scsiDisk({
      ...debug,
      integrity: integrity('T10-DIF-TYPE1-CRC', 2, 512, 1),
      scsiDisk: protection(2, 'dix2'),
    }),
  });
  t.match(disk, {
    host: { dif: [2], dix: [2] },
    integrity: { present: true, format: 'T10-DIF-TYPE1-CRC' },
    scsiDisk: { protectionType: 2, protectionMode: 'dix2' },
  });
});

t.test('scsi_debug dif=1 dix=0: read_verify 1 means nothing without a format', async (t) => {
  const [disk] = await machine(t, {
    ...scsiHost(0, 'scsi_debug', 1, 1),
    ...scsiDisk({ ...debug, integrity: integrity('none', 0, 0, 0), scsiDisk: protection(1, 'dif1') }),
  });
  t.match(disk, {
    host: { dif: [1], dix: [] },
    integrity: { present: false, format: 'none', interval: null, readVerify: false, writeGenerate: false },
    scsiDisk: { protectionType: 1, protectionMode: 'dif1' },
  });
});

t.test('scsi_debug dif=0 dix=1 at 4096 bytes with IP guards', async (t) => {
  const [disk] = await machine(t, {
    ...scsiHost(0, 'scsi_debug', 8, 2),
    ...scsiDisk({
      ...debug,
      blockSize: 4096,
      integrity: integrity('T10-DIF-TYPE1-IP', 0, 4096, 0),
      scsiDisk: protection(0, 'dix0'),
    }),
  });
  t.match(disk, {
    host: { dif: [], dix: [0], guards: ['ip'] },
    logicalBlockSize: 4096,
    sizeBytes: 16777216n,
    blocks: 4096n,
    integrity: { present: true, interval: 4096, tagSize: 0, deviceIsIntegrityCapable: false },
  });
});

t.test('LIO behind tcm_loop, an enclosure without a block node, and the order of names', async (t) => {
  const lio = {
    hctl: '2:0:1:0',
    size: 32768,
    vendor: 'LIO-ORG',
    model: 'FILEIO',
    scsiDisk: protection(3, 'dix3'),
  };
  const type3 = integrity('T10-DIF-TYPE3-CRC', 6, 512, 1);
  const disks = await machine(t, {
    ...scsiHost(2, 'tcm_loopback', 119, 1),
    ...scsiDisk({ ...lio, name: 'sdb', minor: 16, integrity: type3 }),
    ...genericNodes('sg10', 10, '2:0:2:0'),
    'devices/2:0:2:0/type': '13',
    'devices/2:0:2:0/vendor': 'ACME',
    ...genericNodes('sg9', 9, '2:0:3:0'),
    'devices/2:0:3:0/type': '0',
  });
  t.same(
    disks.map(({ name }) => name),
    ['sdb', 'sg9', 'sg10'],
  );
  t.match(disks[0], {
    host: { number: 2, driver: 'tcm_loopback', dif: [1, 2, 3], dix: [1, 2, 3] },
    integrity: { format: 'T10-DIF-TYPE3-CRC', tagSize: 6 },
  });
  t.match(disks[2], {
    kind: 'scsi',
    block: null,
    sg: { name: 'sg10', major: 21, minor: 10 },
    hctl: '2:0:2:0',
    host: { driver: 'tcm_loopback' },
    peripheralType: 13,
    vendor: 'ACME',
    blocks: 0n,
    integrity: { present: false, format: 'none' },
    scsiDisk: null,
  });
});

t.test('NVMe with protection information, virtio and zram', async (t) => {
  const disks = await machine(t, {
    ...below('block/nvme0n1', {
      dev: '259:0',
      size: '131072',
      'device@': '../../devices/nvme0',
      wwid: 'nvme.8086-1234',
      'queue/logical_block_size': '4096',
      ...below('integrity', integrity('EXT-DIF-TYPE1-CRC64', 2, 4096, 1)),
    }),
    'devices/nvme0/model': 'QEMU NVMe Ctrl                          ',
    'devices/nvme0/state': 'live',
    ...below('block/vda', {
      dev: '254:0',
      size: '8',
      'device@': '../../devices/virtio1',
      'queue/logical_block_size': '512',
    }),
    'devices/virtio1/vendor': '0x1af4',
    ...below('block/zram0', { dev: '253:0', size: '0', 'queue/logical_block_size': '4096' }),
  });
  t.match(disks[0], {
    name: 'nvme0n1',
    kind: 'nvme',
    hctl: null,
    host: null,
    sg: null,
    model: 'QEMU NVMe Ctrl',
    wwid: 'nvme.8086-1234',
    blocks: 16384n,
    integrity: { present: true, format: 'EXT-DIF-TYPE1-CRC64', interval: 4096 },
  });
  t.match(disks[1], {
    name: 'vda',
    kind: 'virtio',
    sizeBytes: 4096n,
    integrity: { present: false, format: 'none' },
  });
  t.match(disks[2], { name: 'zram0', kind: 'other', blocks: 0n });
});

const PARTITIONED: Files = {
  ...scsiHost(0, 'mpt3sas', 7, 1),
  ...scsiDisk({
    ...debug,
    integrity: integrity('T10-DIF-TYPE1-CRC', 2, 512, 1),
    scsiDisk: protection(1, 'dix1'),
  }),
  ...below('block/sda/sda10', { partition: '10', start: '20480', size: '2048', dev: '8:10', 'holders/': '' }),
  ...below('block/sda/sda2', {
    partition: '2',
    start: '2048',
    size: '4096',
    dev: '8:2',
    'holders/dm-0/': '',
  }),
  ...below('block/sda/sda1', { partition: '1', start: '8', size: '2040', dev: '8:1', 'holders/': '' }),
  ...below('block/dm-0', {
    dev: '252:0',
    size: '4096',
    'dm/name': 'vg-root',
    'dm/uuid': 'LVM-abc',
    'slaves/sda2/': '',
    'holders/dm-1/': '',
    'holders/md0/': '',
  }),
  ...below('block/dm-1', {
    dev: '252:1',
    size: '4096',
    'dm/name': 'crypt',
    'dm/uuid': 'CRYPT-x',
    'holders/md0/': '',
  }),
  ...below('block/md0', { dev: '9:0', size: '4096', 'md/level': 'raid1', 'slaves/dm-0/': '' }),
  ...below('block/loop0', { dev: '7:0', size: '8', 'loop/backing_file': '/srv/disk image' }),
  ...below('block/cciss!c0d0', { dev: '104:0', size: '8' }),
};

t.test('partitions and what is built on them', async (t) => {
  const disks = await machine(t, PARTITIONED);
  const by = (name: string) => disks.find((disk) => disk.name === name)!;
  t.same(by('sda').partitions, [
    { name: 'sda1', major: 8, minor: 1, number: 1, startSector512: 8n, sectors512: 2040n, holders: [] },
    {
      name: 'sda2',
      major: 8,
      minor: 2,
      number: 2,
      startSector512: 2048n,
      sectors512: 4096n,
      holders: ['dm-0'],
    },
    {
      name: 'sda10',
      major: 8,
      minor: 10,
      number: 10,
      startSector512: 20480n,
      sectors512: 2048n,
      holders: [],
    },
  ]);
  t.match(by('dm-0'), {
    kind: 'dm',
    layer: { kind: 'dm', name: 'vg-root', uuid: 'LVM-abc' },
    slaves: ['sda2'],
  });
  t.match(by('md0'), { kind: 'md', layer: { kind: 'md', level: 'raid1' } });
  t.match(by('loop0'), { kind: 'loop', layer: { kind: 'loop', backingFile: '/srv/disk image' } });
  t.match(by('cciss!c0d0').block, { name: 'cciss/c0d0' });
  const above = (name: string) => layersAbove(disks, by(name)).map((layer) => layer.name);
  t.same(above('sda'), ['dm-0', 'dm-1', 'md0'], 'each once');
  t.same(above('dm-1'), ['md0']);
  t.same(above('md0'), []);
});

t.test('from a device number to its disk', async (t) => {
  const disks = await machine(t, PARTITIONED);
  const find = (type: 'block' | 'character', major: number, minor: number) => {
    const found = findDisk(disks, type, major, minor);
    return found && [found.disk.name, found.by, found.partition?.name ?? null];
  };
  t.same(find('block', 8, 0), ['sda', 'block', null]);
  t.same(find('block', 8, 10), ['sda', 'partition', 'sda10']);
  t.same(find('character', 21, 0), ['sda', 'sg', null]);
  t.same(find('character', 248, 0), ['sda', 'bsg', null]);
  t.same(find('block', 248, 0), null, 'a block device may have the number of a character device');
  t.same(find('character', 8, 0), null);
  t.same(find('block', 8, 3), null);
});

t.test('files that hold something else count as absent', async (t) => {
  const [disk] = await machine(t, {
    ...below('block/sda', {
      dev: '8',
      size: '-1',
      ro: 'yes',
      'device@': '../../devices/nowhere',
      'queue/logical_block_size': '512 bytes',
      'queue/dma_alignment': '99999999999999999999',
      'sda1/partition': 'one',
    }),
    'class/scsi_generic/sg0/dev': '21:0',
  });
  t.match(disk, {
    kind: 'other',
    block: null,
    sg: null,
    sizeBytes: 0n,
    blocks: 0n,
    readOnly: false,
    queue: { dmaAlignment: null },
    partitions: [],
  });
});

t.test('one disk by itself', async (t) => {
  const parts = {
    ...debug,
    integrity: integrity('T10-DIF-TYPE1-CRC', 2, 512, 1),
    scsiDisk: protection(1, 'dix1'),
  };
  const odd = 'md_a$$b$&!';
  const files = {
    ...scsiHost(0, 'scsi_debug', 17, 1),
    ...scsiDisk(parts),
    ...scsiDisk({ ...parts, name: 'sdaa', minor: 16, hctl: '0:0:1:0' }),
    ...below(`block/${odd}`, { dev: '9:127', size: '64' }),
  };
  const disk = (await machine(t, files)).find(({ name }) => name === 'sda');
  const root = t.testdir();
  writeTree(root, files);
  const alone = await readSnapshotOf('sda', root);
  const besides = { host: null, sg: null, bsg: null };
  t.same(
    interpret(alone).map((found) => ({ ...found, ...besides })),
    [{ ...disk, ...besides }],
  );
  t.ok(Object.keys(alone.entries).every((path) => path.startsWith('block/sda/')));
  t.same(interpret(await readSnapshotOf('sdb', root)), [], 'there is none');
  t.match(interpret(await readSnapshotOf(odd, root)), [{ name: odd, sizeBytes: 32_768n }]);
});

t.test('layers that hold each other do not go round for ever', async (t) => {
  const disks = await machine(t, {
    ...below('block/dm-0', { dev: '252:0', 'dm/name': 'a', 'holders/dm-1/': '' }),
    ...below('block/dm-1', { dev: '252:1', 'dm/name': 'b', 'holders/dm-0/': '', 'holders/dm-9/': '' }),
  });
  t.same(
    layersAbove(disks, disks[0]!).map(({ name }) => name),
    ['dm-1', 'dm-0'],
  );
});

t.test('this host', async (t) => {
  const blocks = interpret(await readSnapshot()).filter(({ block }) => block !== null);
  t.same(blocks.map(({ name }) => name).sort(), readdirSync('/sys/block').sort());
});
