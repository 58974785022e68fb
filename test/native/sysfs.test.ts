import { execFileSync } from 'node:child_process';
import { constants as os } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { native } from '../../src/binding.js';

const { sysfsSnapshot } = native();
const { errno } = os;

/** Two disks as sysfs shows them: links from block/ into devices/, and from there on. */
const tree = t.testdir({
  block: {
    sdb: t.fixture('symlink', '../devices/host0/sdb'),
    sda: t.fixture('symlink', '../devices/host0/sda'),
  },
  devices: {
    host0: {
      proc_name: 'scsi_debug\n',
      sda: {
        size: '16384\n',
        device: t.fixture('symlink', '..'),
        integrity: { format: 'T10-DIF-TYPE1-CRC\n', tag_size: '2\n' },
        holders: {},
        slaves: { 'dm-1': '', 'dm-0': '' },
      },
      sdb: { size: '  8 8 \t\n\n', integrity: { format: '\n' } },
    },
  },
  // In another order than that of their names, however the file system keeps them.
  many: Object.fromEntries(
    Array.from({ length: 26 }, (_, i) => [String.fromCharCode(122 - ((i * 7) % 26)), '']),
  ),
  odd: {
    exact: 'x'.repeat(65536),
    long: 'x'.repeat(65537),
    latin1: Buffer.from([0x53, 0xe9]),
    loop: t.fixture('symlink', 'loop'),
    nowhere: t.fixture('symlink', 'gone/away'),
  },
});

t.test('files: stars, links on the way, trailing white space', async (t) => {
  t.same(await sysfsSnapshot(tree, ['block/*/size', 'block/*/integrity/*', 'block/*/device/proc_name']), {
    entries: {
      'block/sda/size': '16384',
      'block/sdb/size': '  8 8',
      'block/sda/integrity/format': 'T10-DIF-TYPE1-CRC',
      'block/sda/integrity/tag_size': '2',
      'block/sdb/integrity/format': '',
      'block/sda/device/proc_name': 'scsi_debug',
    },
    errors: {},
  });
});

t.test('links and folders', async (t) => {
  const folders = ['block/', 'block/*/slaves/', 'block/*/holders/', 'many/'];
  t.same(await sysfsSnapshot(tree, [...folders, 'block/*@', 'odd/nowhere@']), {
    entries: {
      'block/sda@': '../devices/host0/sda',
      'block/sdb@': '../devices/host0/sdb',
      'block/': 'sda\nsdb',
      'block/sda/slaves/': 'dm-0\ndm-1',
      'block/sda/holders/': '',
      'many/': Array.from('abcdefghijklmnopqrstuvwxyz').join('\n'),
      'odd/nowhere@': 'gone/away',
    },
    errors: {},
  });
});

t.test('entries come sorted, whatever the order of the patterns', async (t) => {
  const { entries } = await sysfsSnapshot(tree, ['block/sdb/size', 'block/*/size', 'block/*@', 'block/']);
  t.strictSame(Object.keys(entries), Object.keys(entries).sort());
  t.equal(Object.keys(entries).length, 5);
});

t.test('what does not exist is left out', async (t) => {
  const nothing = { entries: {}, errors: {} };
  const patterns = [
    'none',
    'none/*/size',
    'block/*/none',
    'block/sda/size/below',
    'block/sda/size/*',
    'odd/nowhere',
    'none@',
  ];
  t.same(await sysfsSnapshot(tree, patterns), nothing);
  t.same(await sysfsSnapshot(join(tree, 'absent'), ['block/*/size', '*']), nothing);
  t.same(await sysfsSnapshot(tree, []), nothing);
});

t.test('what cannot be read is counted by path', async (t) => {
  execFileSync('mkfifo', [join(tree, 'odd/fifo')]);
  const { entries, errors } = await sysfsSnapshot(tree, [
    'odd/*',
    'odd/loop/*',
    'block/sda',
    'block/sda/size@',
    'odd/latin1',
  ]);
  t.strictSame(errors, {
    'block/sda': errno.EISDIR,
    'block/sda/size@': errno.EINVAL,
    'odd/fifo': errno.EINVAL,
    'odd/long': errno.EFBIG,
    'odd/loop': errno.ELOOP,
    'odd/loop/': errno.ELOOP,
  });
  t.equal(entries['odd/exact']?.length, 65536);
  t.equal(entries['odd/latin1'], 'S\ufffd', 'bytes that are no UTF-8 do no harm');
});

t.test('wrong arguments are named', async (t) => {
  for (const root of [undefined, 1, null, Buffer.from('/sys')]) {
    t.throws(() => sysfsSnapshot(root as never, []), { code: 'ERR_INVALID_ARG_TYPE', message: /^root / });
  }
  t.throws(() => sysfsSnapshot('/sys\0', []), { code: 'ERR_INVALID_ARG_TYPE', message: /null/ });
  for (const patterns of [undefined, 'block', { 0: 'block', length: 1 }, [1], [undefined]]) {
    t.throws(() => sysfsSnapshot(tree, patterns as never), {
      code: 'ERR_INVALID_ARG_TYPE',
      message: /^patterns /,
    });
  }
  for (const pattern of [
    '',
    '/',
    '@',
    '/etc/passwd',
    '../x',
    'block/../../x',
    'block//sda',
    './block',
    'a\0b',
  ]) {
    t.throws(
      () => sysfsSnapshot(tree, [pattern]),
      { code: 'ERR_OUT_OF_RANGE', message: /^patterns / },
      pattern,
    );
  }
});
