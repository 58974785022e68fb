import t from 'tap';
import { interpret } from '../../src/sysfs/disks.js';
import { parseMountinfo, parseSwaps, usesOf } from '../../src/sysfs/mounts.js';
import { below } from './tree.js';

const MOUNTINFO = `\
22 27 0:21 / /proc rw,nosuid - proc proc rw
27 1 252:0 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw,errors=remount-ro
28 27 8:1 / /srv/my\\040data rw - vfat /dev/sda1 rw
29 27 0:45 /sub /mnt/btrfs rw - btrfs /dev/sdb rw,subvol=/sub
30 27 8:32 / /mnt/a\\134b rw master:1 propagate_from:2 - ext4 /dev/root rw
`;

const SWAPS = `\
Filename				Type		Size		Used		Priority
/dev/sda2                               partition	1048572		0		-2
/swap\\040file                          file		524284		0		-3
`;

const entries = {
  ...below('block/sda', { dev: '8:0', 'holders/': '' }),
  ...below('block/sda/sda1', { partition: '1', start: '8', size: '8', dev: '8:1' }),
  ...below('block/sda/sda2', { partition: '2', start: '16', size: '8', dev: '8:2' }),
  ...below('block/sda/sda3', { partition: '3', start: '24', size: '8', dev: '8:3', 'holders/': 'dm-0' }),
  ...below('block/dm-0', { dev: '252:0', 'dm/name': 'vg-root' }),
  ...below('block/sdb', { dev: '8:16' }),
  ...below('block/sdc', { dev: '8:32' }),
  ...below('block/sdd', { dev: '8:48', 'holders/': 'md0\ndm-7' }),
  ...below('block/sde', { dev: '8:64' }),
};

t.test('mountinfo and swaps', async (t) => {
  t.same(parseMountinfo(MOUNTINFO), [
    { major: 0, minor: 21, mountPoint: '/proc', fsType: 'proc', source: 'proc' },
    { major: 252, minor: 0, mountPoint: '/', fsType: 'ext4', source: '/dev/mapper/vg-root' },
    { major: 8, minor: 1, mountPoint: '/srv/my data', fsType: 'vfat', source: '/dev/sda1' },
    { major: 0, minor: 45, mountPoint: '/mnt/btrfs', fsType: 'btrfs', source: '/dev/sdb' },
    { major: 8, minor: 32, mountPoint: '/mnt/a\\b', fsType: 'ext4', source: '/dev/root' },
  ]);
  t.same(parseMountinfo('\n22 27 8:1\nnonsense - more\n1 2 x:y / / rw - ext4 /dev/sda rw\n'), []);
  t.same(parseSwaps(SWAPS), ['/dev/sda2', '/swap file']);
  t.same(parseSwaps('Filename\t\t\t\tType\n'), []);
  t.same(parseSwaps(''), []);
});

t.test('what uses a disk', async (t) => {
  const disks = interpret({ entries, errors: {} });
  const tables = { mounts: parseMountinfo(MOUNTINFO), swaps: parseSwaps(SWAPS) };
  const uses = (name: string) => usesOf(disks, disks.find((disk) => disk.name === name)!, tables);
  t.same(uses('sda'), [
    { name: 'sda1', how: 'mounted', by: '/srv/my data' },
    { name: 'sda2', how: 'swap', by: '/dev/sda2' },
    { name: 'sda3', how: 'held', by: 'dm-0' },
    { name: 'dm-0', how: 'mounted', by: '/' },
  ]);
  t.same(uses('sdb'), [{ name: 'sdb', how: 'mounted', by: '/mnt/btrfs' }], 'by its source alone');
  t.same(uses('sdc'), [{ name: 'sdc', how: 'mounted', by: '/mnt/a\\b' }], 'by its number alone');
  t.same(uses('sdd'), [
    { name: 'sdd', how: 'held', by: 'md0' },
    { name: 'sdd', how: 'held', by: 'dm-7' },
  ]);
  t.same(uses('sde'), []);
});
