import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import t from 'tap';
import { parseNamespace } from '../../src/cli/testbed-vm.js';
import type { IntegrityError } from '../../src/errors.js';
import {
  buildFolder,
  privateFolder,
  replaceFile,
  requirePrivate,
  withLock,
} from '../../src/testbed/vm/cache.js';
import { cpioArchive } from '../../src/testbed/vm/cpio.js';
import {
  archives,
  closure,
  downloadSettings,
  packageRecords,
  suitesByVersion,
} from '../../src/testbed/vm/debian-archive.js';
import { chooseKernel, hasPrefix } from '../../src/testbed/vm/debian-kernel.js';
import { booted, type Guest } from '../../src/testbed/vm/guest.js';
import { shellQuote } from '../../src/testbed/vm/guest-init.js';
import { runInVm } from '../../src/testbed/vm/index.js';
import { findKernel } from '../../src/testbed/vm/kernel-source.js';
import { loadOrder } from '../../src/testbed/vm/modules.js';
import {
  keptNamespaceFile,
  type NvmeNamespace,
  nvmeArguments,
  requireNamespaces,
} from '../../src/testbed/vm/nvme.js';
import { passOn, untilTrailer } from '../../src/testbed/vm/output.js';
import { capture } from '../../src/testbed/vm/process.js';
import { qemuArguments } from '../../src/testbed/vm/qemu.js';
import { aptLine } from '../../src/testbed/vm/tools.js';

// The first run downloads a kernel.
t.setTimeout(900_000);

// All temporary files of these runs, and of no others.
const temporary = await mkdtemp(join(tmpdir(), 'vm-test-'));
process.env['TMPDIR'] = temporary;
t.teardown(() => rm(temporary, { recursive: true }));

/** What rejected, as our error. */
async function failure(promise: Promise<unknown>): Promise<IntegrityError> {
  return await promise.then(
    () => {
      throw new Error('no error came');
    },
    (error: IntegrityError) => error,
  );
}

t.test('a version prefix matches component by component', async (t) => {
  for (const prefix of ['6', '6.1', '6.1.192', '6.1.192-2']) t.ok(hasPrefix('6.1.192-2', prefix), prefix);
  for (const prefix of ['6.12', '6.1.19', '6.1.192-2.1', '1', ''])
    t.notOk(hasPrefix('6.1.192-2', prefix), prefix);
  t.ok(hasPrefix('7.3.4-1~bpo13+1', '7.3.4-1'));
});

t.test("apt's words are read", async (t) => {
  // Printed by apt 2.6 on Debian 12, shortened.
  const shown = `Package: linux-image-amd64
Source: linux-signed-amd64 (7.3.4+1~bpo13+1)
Version: 7.3.4-1~bpo13+1
Depends: linux-base-amd64 (= 7.3.4-1~bpo13+1), linux-image-7.3.4+deb13-amd64 (= 7.3.4-1~bpo13+1)
Description: Linux for 64-bit PCs (meta-package)
Size: 1500

Package: linux-image-7.3.4+deb13-amd64
Version: 7.3.4-1~bpo13+1
Depends: dracut | initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool, linux-binary-7.3.4+deb13-amd64 (= 7.3.4-1~bpo13+1)
Size: 1900

Package: linux-base-amd64
Version: 7.3.4-1~bpo13+1
Size: 1228

Package: linux-image-amd64
Version: 6.1.176-1
Depends: linux-image-6.1.0-50-amd64 (= 6.1.176-1)
Size: 1480

Package: linux-image-6.1.0-50-amd64
Version: 6.1.176-1
Depends: kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool
Size: 70305560
`;
  const records = new Map(
    packageRecords(shown).map((record) => [`${record.name}=${record.version}`, record]),
  );
  t.equal(records.size, 5);
  const packages = closure({ name: 'linux-image-amd64', version: '6.1.176-1' }, records);
  t.strictSame(
    packages?.map(({ name, bytes }) => ({ name, bytes })),
    [
      { name: 'linux-image-amd64', bytes: 1480 },
      { name: 'linux-image-6.1.0-50-amd64', bytes: 70305560 },
    ],
    'the meta-package and what it depends on exactly; not kmod or linux-base',
  );
  t.equal(
    closure({ name: 'linux-image-amd64', version: '7.3.4-1~bpo13+1' }, records),
    undefined,
    'linux-binary is not served',
  );
  t.strictSame(
    suitesByVersion(`linux-image-amd64 | 7.3.4-1~bpo13+1 | http://mirror.example.org/debian trixie-backports/main amd64 Packages
linux-image-amd64 | 6.12.117-1 | http://mirror.example.org/debian trixie/main amd64 Packages
linux-image-amd64 | 6.12.117-1 | http://mirror.example.org/debian-security trixie-security/main amd64 Packages
`),
    new Map([
      ['7.3.4-1~bpo13+1', ['trixie-backports']],
      ['6.12.117-1', ['trixie', 'trixie-security']],
    ]),
  );
  t.strictSame(
    archives(`'http://mirror.example.org/debian/dists/bookworm/InRelease' mirror.example.org_debian_dists_bookworm_InRelease 0 
'http://mirror.example.org/debian/dists/bookworm-updates/InRelease' mirror.example.org_debian_dists_bookworm-updates_InRelease 0 
'http://mirror.example.org/debian-security/dists/bookworm-security/InRelease' mirror.example.org_debian-security_dists_bookworm-security_InRelease 0 
'https://node.example.org/node_20.x/dists/nodistro/InRelease' node.example.org_node%5f20.x_dists_nodistro_InRelease 0 
'http://mirror.example.org/debian/dists/bookworm/main/binary-amd64/Packages.xz' mirror.example.org_debian_dists_bookworm_main_binary-amd64_Packages 0 
`),
    {
      archive: ['http://mirror.example.org/debian'],
      security: ['http://mirror.example.org/debian-security'],
    },
  );
});

t.test('a guest that never gets to its root: whether its kernel has said anything', async (t) => {
  const folder = await mkdtemp(join(temporary, 'console-'));
  const never = new Promise<never>(() => {});
  const guest = (ended: Promise<string>) => ({ ready: never, ended }) as unknown as Guest;
  const empty = join(folder, 'empty');
  await writeFile(empty, '');
  const spoken = join(folder, 'spoken');
  await writeFile(spoken, 'Linux version 6.1\n');
  t.match(await booted(guest(never), empty, 30), { silent: true });
  t.match(await booted(guest(never), join(folder, 'none'), 30), { silent: true });
  t.same(await booted(guest(never), spoken, 30), {
    failure: 'did not get to its root in 0.03 s',
    silent: false,
  });
  t.same(await booted(guest(Promise.resolve('no such file')), spoken, 60_000), {
    failure: 'ended before it had its root\nno such file',
    silent: false,
  });
  t.same(await booted({ ...guest(never), ready: Promise.resolve('6.1') } as Guest, empty, 60_000), {
    release: '6.1',
  });
});

t.test('the highest kernel that matches is chosen, and what is served is listed', async (t) => {
  const kernels = ['7.3.4-1~bpo13+1', '6.12.117-1', '6.12.95-1~bpo12+1', '6.1.192-2'].map((version) => ({
    version,
    suites: [`suite of ${version}`],
    packages: [],
    bytes: 0,
  }));
  t.equal(chooseKernel(kernels, 'newest').version, '7.3.4-1~bpo13+1');
  t.equal(chooseKernel(kernels, '6.12').version, '6.12.117-1');
  t.equal(chooseKernel(kernels, '6.12.95').version, '6.12.95-1~bpo12+1');
  const error = await failure(Promise.resolve().then(() => chooseKernel(kernels, '5.4')));
  t.equal(error.code, 'ERR_NO_KERNEL');
  for (const { version, suites } of kernels) t.match(error.message, `${version} (${suites[0]})`);
});

t.test('modules are loaded after what they depend on', async (t) => {
  // Debian's 6.1.0-50-amd64.
  const dependencies = `kernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/virtio/virtio.ko:
kernel/drivers/char/virtio_console.ko: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko kernel/fs/fscache/fscache.ko kernel/fs/netfs/netfs.ko
kernel/drivers/net/dummy-net.ko.xz:
`;
  t.strictSame(
    loadOrder(
      ['virtio_console', '9p', 'overlay', 'dummy_net', 'virtio_pci'],
      dependencies,
      'kernel/fs/overlayfs/overlay.ko\n',
    ),
    {
      files: [
        'kernel/drivers/virtio/virtio.ko',
        'kernel/drivers/virtio/virtio_ring.ko',
        'kernel/drivers/char/virtio_console.ko',
        'kernel/fs/netfs/netfs.ko',
        'kernel/fs/fscache/fscache.ko',
        'kernel/net/9p/9pnet.ko',
        'kernel/fs/9p/9p.ko',
        'kernel/drivers/net/dummy-net.ko.xz',
      ],
      missing: ['virtio_pci'],
    },
  );
});

t.test('one run at a time fills the cache, and an unfinished folder is never there', async (t) => {
  const cache = join(temporary, 'cache');
  const order: string[] = [];
  const first = withLock(cache, undefined, async () => {
    order.push('first begins');
    await delay(300);
    order.push('first ends');
  });
  while (order.length === 0) await delay(10);
  const abort = new AbortController();
  const aborted = failure(withLock(cache, abort.signal, async () => t.fail('the lock was not held')));
  const second = withLock(cache, undefined, async () => order.push('second'));
  abort.abort();
  t.equal((await aborted).name, 'AbortError');
  await Promise.all([first, second]);
  t.strictSame(order, ['first begins', 'first ends', 'second']);

  const folder = join(cache, 'folder');
  const interrupted = buildFolder(folder, async (partial) => {
    await writeFile(join(partial, 'half'), '');
    throw new Error('interrupted');
  });
  t.equal((await failure(interrupted)).message, 'interrupted');
  t.strictSame(await readdir(cache), ['lock']);
  await buildFolder(folder, (partial) => writeFile(join(partial, 'whole'), ''));
  t.strictSame(await readdir(folder), ['whole']);
});

t.test('a cache that is not ours alone is not used', async (t) => {
  const root = await mkdtemp(join(temporary, 'test-'));
  const cache = join(root, 'blk-integrity', 'vm');
  const apt = await privateFolder(cache, 'debian', 'apt');
  for (const path of [cache, join(cache, 'debian'), apt])
    t.equal((await stat(path)).mode & 0o7777, 0o700, path);

  await writeFile(join(root, 'victim'), 'as it was');
  await symlink(join(root, 'victim'), join(apt, 'status'));
  await replaceFile(join(apt, 'status'), 'ours');
  t.equal(await readFile(join(root, 'victim'), 'utf8'), 'as it was', 'a link is replaced');
  t.equal(await readFile(join(apt, 'status'), 'utf8'), 'ours');
  t.strictSame(await readdir(apt), ['status']);

  const refused = async (message: RegExp, promise: Promise<unknown>) =>
    t.match(await failure(promise), { code: 'ERR_TESTBED', message, advice: /XDG_CACHE_HOME/ });
  for (const folder of [join(root, 'blk-integrity'), cache, join(cache, 'debian')]) {
    for (const mode of [0o720, 0o702]) {
      await chmod(folder, mode);
      await refused(/can be written to by others/, requirePrivate(cache, 'debian'));
      await chmod(folder, 0o700);
    }
  }
  const elsewhere = await mkdtemp(join(temporary, 'test-'));
  await symlink(elsewhere, join(cache, 'link'));
  await refused(/vm\/link is no folder/, privateFolder(cache, 'link', 'below'));
  t.strictSame(await readdir(elsewhere), [], 'nothing was made behind the link');
  await mkdir(join(root, 'other'), { mode: 0o700 });
  await symlink(elsewhere, join(root, 'other', 'vm'));
  await refused(
    /is no folder/,
    withLock(join(root, 'other', 'vm'), undefined, async () => t.fail('used')),
  );
  await refused(
    /is no folder/,
    findKernel({
      kernel: 'newest',
      modules: undefined,
      install: true,
      cache: join(root, 'other', 'vm'),
      signal: undefined,
      note: (line) => t.fail(line),
    }),
  );
  if (process.getuid?.() === 0) {
    await chown(cache, 12345, 0);
    await refused(/belongs to user 12345, and this is user 0/, requirePrivate(cache));
  }
});

t.test("of the host's settings for apt none makes a download less authentic", async (t) => {
  // Printed by apt-config dump Acquire of apt 2.6, in part.
  const kept = `Acquire::Check-Valid-Until "false";
Acquire::Retries "3";
Acquire::http::Proxy "http://proxy:3128";
Acquire::http::Proxy::deb.example.org "DIRECT";
Acquire::https::deb.example.org::CAInfo "/etc/ssl/own.pem";
Acquire::https::Timeout "20";`;
  const dropped = `Acquire "";
Acquire::AllowInsecureRepositories "1";
Acquire::AllowWeakRepositories "1";
Acquire::AllowDowngradeToInsecureRepositories "1";
Acquire::https::Verify-Peer "false";
Acquire::https::deb.example.org::Verify-Host "false";
Acquire::IndexTargets::deb::Packages::Optional "0";
Acquire::Languages:: "none";`;
  const settings = downloadSettings(`${dropped}\n${kept}\n`);
  t.strictSame(settings.slice(0, 6), kept.split('\n'));
  t.strictSame(settings.slice(6), [
    'Acquire::AllowInsecureRepositories "false";',
    'Acquire::AllowWeakRepositories "false";',
    'Acquire::AllowDowngradeToInsecureRepositories "false";',
    'APT::Get::AllowUnauthenticated "false";',
    'Acquire::https::Verify-Peer "true";',
    'Acquire::https::Verify-Host "true";',
  ]);
});

t.test('every word comes out of a shell as it went in', async (t) => {
  const word = fc.string({ unit: 'binary' }).filter((value) => !value.includes('\0'));
  await fc.assert(
    fc.asyncProperty(fc.array(word, { minLength: 1, maxLength: 20 }), async (words) => {
      const out = await capture(['sh', '-c', `printf '%s\\0' ${words.map(shellQuote).join(' ')}`]);
      t.equal(out.toString(), words.map((value) => `${value}\0`).join(''));
    }),
    { numRuns: 25, examples: [[['', "'", "a'b''", '$HOME `id` \\', ' \n\t', '*', '-n', '\x81\x88é']]] },
  );
});

t.test('an output ends at its trailer, however it is cut', async (t) => {
  const trailer = Buffer.from('\x01trailer');
  const collect = async (whole: Buffer, chunk: number): Promise<{ output: Buffer; ended: boolean }> => {
    const source = Readable.from(
      Array.from({ length: Math.ceil(whole.length / chunk) }, (_, i) =>
        whole.subarray(i * chunk, (i + 1) * chunk),
      ),
    );
    let ended = false;
    const output = await buffer(
      (async function* () {
        ended = yield* untilTrailer(source, trailer);
      })(),
    );
    return { output, ended };
  };
  const output = Buffer.from('a\x01b\x01trail\x01trai');
  for (let chunk = 1; chunk <= 32; chunk += 1) {
    t.strictSame(
      await collect(Buffer.concat([output, trailer]), chunk),
      { output, ended: true },
      `by ${chunk}`,
    );
    t.strictSame(await collect(output, chunk), { output, ended: false }, `cut short, by ${chunk}`);
  }
});

t.test(
  'an output whose reader has gone is taken to its end; one that cannot be written is an error',
  async (t) => {
    const trailer = Buffer.from('\x01trailer');
    const failing = (code: string) =>
      new Writable({ write: (_chunk, _encoding, done) => done(Object.assign(new Error(code), { code })) });
    const source = () => Readable.from([Buffer.from('one'), Buffer.from('two'), trailer]);
    t.equal(await passOn(source(), trailer, failing('EPIPE')), true);
    t.match(await failure(passOn(source(), trailer, failing('ENOSPC'))), {
      code: 'ERR_IO',
      message: /ENOSPC/,
    });
    t.equal(await passOn(source(), trailer, undefined), true);
  },
);

t.test("QEMU gets no disk and no network, and the host's files read-only", async (t) => {
  const argv = qemuArguments({
    accelerator: 'TCG',
    image: '/boot/vmlinuz',
    initramfs: '/tmp/a,b/initramfs',
    consoleLog: '/tmp/a,b/console.log',
    memoryMiB: 2048,
    cpus: 2,
    nvme: [],
  });
  const after = (option: string): string[] => argv.filter((_, index) => argv[index - 1] === option);
  t.strictSame(after('-fsdev'), ['local,id=host,path=/,security_model=none,readonly=on,multidevs=remap']);
  t.strictSame(after('-initrd'), ['/tmp/a,b/initramfs']);
  t.ok(after('-chardev').includes('file,id=console,path=/tmp/a,,b/console.log'));
  t.ok(argv.includes('-nodefaults'));
  t.notMatch(argv.join(' '), /-drive|-blockdev|-hd[a-d]|-net|-nic|virtio-blk|scsi|nvme/);
});

t.test('NVMe namespaces, as QEMU is told', async (t) => {
  t.strictSame(
    nvmeArguments([
      { namespace: { blockSize: 512, pi: 1 }, path: '/tmp/a,b/1' },
      {
        namespace: { blockSize: 4096, pi: 3, guard: 'crc64', metadataSize: 64, first: true },
        path: '/tmp/2',
      },
      { namespace: { blockSize: 512, pi: 0 }, path: '/tmp/3' },
    ]),
    [
      ...['-device', 'nvme,id=nvme,serial=blk-integrity'],
      ...['-drive', 'if=none,id=ns1,format=raw,cache=unsafe,file=/tmp/a,,b/1'],
      '-device',
      'nvme-ns,bus=nvme,drive=ns1,nsid=1,logical_block_size=512,physical_block_size=512,ms=8,mset=0,pi=1,pil=0,pif=0',
      ...['-drive', 'if=none,id=ns2,format=raw,cache=unsafe,file=/tmp/2'],
      '-device',
      'nvme-ns,bus=nvme,drive=ns2,nsid=2,logical_block_size=4096,physical_block_size=4096,ms=64,mset=0,pi=3,pil=1,pif=2',
      ...['-drive', 'if=none,id=ns3,format=raw,cache=unsafe,file=/tmp/3'],
      '-device',
      'nvme-ns,bus=nvme,drive=ns3,nsid=3,logical_block_size=512,physical_block_size=512,ms=0,mset=0,pi=0,pil=0,pif=0',
    ],
  );
});

t.test('NVMe namespaces that cannot be', async (t) => {
  const right: NvmeNamespace = { blockSize: 512, pi: 1 };
  const wrong: [Record<string, unknown>, RegExp][] = [
    [{ blockSize: 520 }, /512 or 4096 bytes, not 520/],
    [{ pi: 4 }, /types are 0 to 3, not 4/],
    [{ guard: 'ip' }, /crc16 or crc64, not ip/],
    [{ guard: 'toString' }, /crc16 or crc64/],
    [{ metadataSize: 7 }, /bytes of metadata 7 .* from 8 to 255/],
    [{ metadataSize: 256 }, /from 8 to 255/],
    [{ metadataSize: 8, guard: 'crc64' }, /from 16 to 255/],
    [{ metadataSize: 8.5 }, /whole/],
    [{ sizeMiB: 0 }, /MiB 0 .* from 1 to/],
    [{ sizeMiB: Number.NaN }, /whole/],
  ];
  for (const [change, message] of wrong) {
    const nvme = [right, { ...right, ...change } as NvmeNamespace];
    t.match(await failure(runInVm({ command: ['true'], nvme })), { code: 'ERR_OUT_OF_RANGE', message });
  }
  const many = Array<NvmeNamespace>(257).fill(right);
  t.match(await failure(runInVm({ command: ['true'], nvme: many })), {
    code: 'ERR_OUT_OF_RANGE',
    message: /256/,
  });
  requireNamespaces(many.slice(1));
});

t.test('--nvme', async (t) => {
  t.strictSame(parseNamespace('block=4096,pi=3,ms=64,pil=1,guard=crc64,size=0x20'), {
    blockSize: 4096,
    pi: 3,
    metadataSize: 64,
    first: true,
    guard: 'crc64',
    sizeMiB: 32,
  });
  t.strictSame(parseNamespace('pil=0'), { blockSize: 512, pi: 1, first: false });
  t.strictSame(parseNamespace('pi=0,file=/a=b'), { blockSize: 512, pi: 0, file: '/a=b' });
  for (const [text, message] of [
    ['', /"" is no KEY=VALUE/],
    ['pi', /"pi" is no KEY=VALUE/],
    ['pi=1,', /"" is no KEY=VALUE/],
    ['lbaf=1', /"lbaf=1" is no KEY=VALUE/],
    ['constructor=1', /no KEY=VALUE/],
    ['pi=1,pi=2', /pi is given twice/],
    ['pi=4', /--nvme pi "4" is none of 0, 1, 2, 3/],
    ['block=1024', /--nvme block "1024"/],
    ['pil=first', /--nvme pil "first"/],
    ['guard=crc32', /--nvme guard "crc32"/],
    ['ms=-1', /--nvme ms "-1"/],
    ['size=1G', /--nvme size "1G"/],
  ] as const) {
    t.throws(() => parseNamespace(text), { code: 'ERR_USAGE', message }, text);
  }
});

t.test('a file that holds a namespace is made once, and nothing else is taken for one', async (t) => {
  const folder = await mkdtemp(join(temporary, 'test-'));
  const file = join(folder, 'namespace');
  const namespace: NvmeNamespace = { blockSize: 512, pi: 1, sizeMiB: 1, file };
  await keptNamespaceFile(file, namespace);
  t.equal((await stat(file)).size, 2048 * 520);
  await writeFile(file, 'kept', { flag: 'r+' });
  await keptNamespaceFile(file, namespace);
  t.equal((await readFile(file)).toString('latin1', 0, 4), 'kept');
  for (const [path, other, message] of [
    [file, { ...namespace, pi: 0 }, /has 1064960 bytes, and the namespace 1048576/],
    [folder, namespace, /no regular file/],
    ['/dev/null', namespace, /no regular file/],
    [join(file, 'below'), namespace, /ENOTDIR/],
    [join(folder, 'none', 'below'), namespace, /ENOENT/],
  ] as const) {
    t.match(await failure(keptNamespaceFile(path, other)), { code: 'ERR_TESTBED', message }, path);
  }
  const cache = (...namespaces: NvmeNamespace[]) =>
    /cache=\w+/.exec(nvmeArguments(namespaces.map((one) => ({ namespace: one, path: file }))).join())?.[0];
  t.equal(cache(namespace), 'cache=writeback', 'what the guest flushes is on the medium');
  t.equal(cache({ blockSize: 512, pi: 1 }), 'cache=unsafe');
});

t.test('what is missing is told with the line that installs it', async (t) => {
  t.equal(
    aptLine(['qemu-system-x86_64', 'busybox', 'depmod', 'modprobe']).join(' '),
    'apt-get install -y --no-install-recommends qemu-system-x86 busybox-static kmod',
  );
});

t.test('without --install nothing is downloaded, and other kernels are looked for', async (t) => {
  const folder = await mkdtemp(join(temporary, 'test-'));
  const find = (kernel: string, modules?: string): Promise<IntegrityError> =>
    failure(
      findKernel({
        kernel,
        modules,
        install: false,
        cache: folder,
        signal: undefined,
        note: (line) => t.fail(line),
      }),
    );
  const newest = await find('newest');
  t.equal(newest.code, 'ERR_NO_KERNEL');
  t.match(newest.advice, /--install.*linux-image-amd64/);
  t.strictSame(await readdir(folder), []);
  t.equal((await find('6.1', folder)).code, 'ERR_USAGE', '--modules with a kernel of Debian');
  t.equal((await find(join(folder, 'none'))).code, 'ERR_NO_KERNEL');
  await writeFile(join(folder, 'image'), '');
  const noModules = await find(join(folder, 'image'), folder);
  t.match(noModules, { code: 'ERR_NO_KERNEL', message: /holds no modules/ });
});

t.test('in a guest', async (t) => {
  const notes: string[] = [];
  const guest = async (command: readonly string[], nvme: readonly NvmeNamespace[] = []) => {
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const outputs = Promise.all([buffer(stdout), text(stderr)]);
    const result = await runInVm({
      command,
      nvme,
      install: true,
      stdout,
      stderr,
      note: (line) => notes.push(line),
    });
    stdout.end();
    stderr.end();
    return { ...result, outputs: await outputs };
  };

  await t.test('argv, environment, exit status, modules, and files that stay as they were', async (t) => {
    const folder = await mkdtemp(join(temporary, 'test-'));
    const file = join(folder, 'file');
    await writeFile(file, 'host');
    const words = ['', ' ', "'", '"$HOME" `id`', 'two\nlines', '\\', '*', 'é✓', '-c', '--', file];
    const code = `
      const { execFileSync } = require('node:child_process');
      const { appendFileSync, readdirSync, readFileSync, readlinkSync } = require('node:fs');
      const file = process.argv.at(-1);
      appendFileSync(file, ' and guest');
      execFileSync('modprobe', ['scsi_debug', 'dif=1', 'dix=1']);
      console.log(JSON.stringify({
        argv: process.argv.slice(1),
        cwd: process.cwd(),
        environment: process.env,
        uid: process.getuid(),
        file: readFileSync(file, 'utf8'),
        adapters: readdirSync('/sys/bus/pseudo/drivers/scsi_debug').filter((name) => /^adapter/.test(name)),
        blocks: readdirSync('/sys/block'),
        interfaces: readdirSync('/sys/class/net'),
        stdin: readlinkSync('/proc/self/fd/0'),
      }));
      console.error('to stderr');
      process.exitCode = 7;`;
    const { exitStatus, release, accelerator, bootMs, outputs } = await guest([
      process.execPath,
      '-e',
      code,
      '--',
      ...words,
    ]);
    const [stdout, stderr] = outputs;
    const seen = JSON.parse(stdout.toString());
    t.equal(exitStatus, 7);
    t.equal(stderr, 'to stderr\n');
    t.strictSame(seen.argv, words);
    t.equal(seen.cwd, process.cwd());
    t.match(seen.environment, { HOME: homedir(), BLK_INTEGRITY_GUEST: '1', PATH: /(^|:)\/usr\/sbin(:|$)/ });
    t.equal(seen.environment.BLK_INTEGRITY_GUARD_KERNEL, accelerator === 'TCG' ? 'pclmul' : undefined);
    t.equal(seen.uid, 0);
    t.equal(seen.file, 'host and guest');
    t.equal(await readFile(file, 'utf8'), 'host', "the host's file is as it was");
    t.strictSame(seen.adapters, ['adapter0']);
    t.notMatch(seen.blocks.join(' '), /[vs]d[b-z]|vda|nvme/, 'no disk of the host');
    t.strictSame(seen.interfaces, ['lo']);
    t.equal(seen.stdin, '/dev/null');
    t.match(
      notes.at(-1),
      new RegExp(
        `^kernel ${release.replaceAll('+', '\\+')} \\(Debian .*\\), QEMU \\d+\\.\\d+ with (KVM|TCG)$`,
      ),
    );
    t.comment(`booted in ${Math.round(bootMs)} ms`);
  });

  await t.test('NVMe namespaces with protection information, found once the module is loaded', async (t) => {
    const file = join(await mkdtemp(join(temporary, 'test-')), 'kept');
    const before = await readdir(temporary);
    // By NSID: the kernel's numbers are in the order of its scan.
    const script = `ls /sys/block/; modprobe nvme; i=0
      until test -b /dev/nvme0n1 -a -b /dev/nvme0n2 -a -b /dev/nvme0n3; do i=$((i+1)); test $i -lt 300 || exit 1; sleep 0.1; done
      for disk in /sys/block/nvme*; do
        for name in nsid size queue/logical_block_size integrity/format metadata_bytes; do printf '%s ' "$(cat "$disk/$name")"; done
        echo
        test "$(cat "$disk/nsid")" != 3 || echo kept | dd of="/dev/\${disk##*/}" conv=sync,fsync 2>/dev/null
      done | sort`;
    const { exitStatus, outputs } = await guest(
      ['sh', '-c', script],
      [
        { blockSize: 512, pi: 1, sizeMiB: 3 },
        { blockSize: 4096, pi: 3, guard: 'crc64', metadataSize: 64, first: true },
        { blockSize: 512, pi: 0, file },
      ],
    );
    t.equal(exitStatus, 0);
    t.match(
      outputs[0].toString(),
      /^1 6144 512 T10-DIF-TYPE1-CRC 8 \n2 32768 4096 EXT-DIF-TYPE3-CRC64 64 \n3 32768 512 (none|nop) 0 \n$/,
    );
    t.strictSame(await readdir(temporary), before, 'no files are left');
    const kept = await readFile(file);
    t.equal(kept.length, 16 * 1024 * 1024, 'but the one that was named');
    t.equal(kept.toString('latin1', 0, 5), 'kept\n');
  });

  await t.test('5 MB of any bytes arrive whole from a command that a signal ends', async (t) => {
    const folder = await mkdtemp(join(temporary, 'test-'));
    const file = join(folder, 'bytes');
    const bytes = randomBytes(5_000_000);
    await writeFile(file, bytes);
    const command = ['sh', '-c', 'sleep 1000 & cat "$1"; echo last >&2; kill -TERM $$', 'sh', file];
    const { exitStatus, outputs } = await guest(command);
    t.equal(exitStatus, 128 + 15);
    t.ok(outputs[0].equals(bytes), `${outputs[0].length} bytes`);
    t.equal(outputs[1], 'last\n');
  });
});

t.test('cpio reads our archive', async (t) => {
  const archive = cpioArchive([
    { path: 'folder', type: 'folder', mode: 0o755 },
    { path: 'folder/odd', type: 'file', mode: 0o640, data: Buffer.from('12345') },
    { path: 'empty', type: 'file', mode: 0o600 },
    { path: 'console', type: 'characterDevice', mode: 0o600, device: [5, 1] },
  ]);
  const listing = (await capture(['busybox', 'cpio', '-tv'], { input: archive })).toString();
  t.match(listing, /^drwxr-xr-x .* folder$/m);
  t.match(listing, /^-rw-r----- .* 5 .* folder\/odd$/m);
  t.match(listing, /^-rw------- .* 0 .* empty$/m);
  t.match(listing, /^crw------- .* console$/m);
  const odd = await capture(['busybox', 'cpio', '-i', '--to-stdout', 'folder/odd'], { input: archive });
  t.equal(odd.toString(), '12345');
});

/** Whether a QEMU of that run folder runs. */
async function qemuRuns(argument: string): Promise<boolean> {
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    processes.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  return lines.some((line) => line.startsWith('qemu-system') && line.includes(argument));
}

t.test('a guest that takes too long is ended', async (t) => {
  const nvme: NvmeNamespace[] = [{ blockSize: 512, pi: 1 }];
  const error = await failure(runInVm({ command: ['sleep', '1000'], install: true, timeoutMs: 8000, nvme }));
  t.equal(error.code, 'ERR_TIMEOUT');
  const log = /\/\S+\/console.log/.exec(error.advice ?? '')?.[0] ?? '';
  t.match(await readFile(log, 'utf8'), 'Linux version');
  t.strictSame(await readdir(dirname(log)), ['console.log'], 'of its files the log is left');
  t.match(error.message, /\n {2}\[ .*\n/, 'the end of the console');
  t.notOk(await qemuRuns(log));
});

t.test("a panic is told in the kernel's words", async (t) => {
  const error = await failure(
    runInVm({ command: ['sh', '-c', 'echo c >/proc/sysrq-trigger'], install: true }),
  );
  t.equal(error.code, 'ERR_GUEST');
  t.match(error.message, /^Kernel panic - not syncing: sysrq triggered crash$/m);
  t.equal(error.message.split('\n').length, 22);
});

t.test('an abort ends the guest', async (t) => {
  const abort = new AbortController();
  const before = await readdir(temporary);
  const run = failure(runInVm({ command: ['sleep', '1000'], install: true, signal: abort.signal }));
  await delay(1500);
  abort.abort(new Error('enough'));
  t.equal((await run).message, 'enough');
  t.strictSame(await readdir(temporary), before, 'no files are left');
  t.notOk(await qemuRuns(temporary));
});

t.test('an image that is none is told at once', async (t) => {
  const folder = await mkdtemp(join(temporary, 'test-'));
  const image = join(folder, 'image');
  await writeFile(image, 'this is no kernel\n');
  const start = performance.now();
  const error = await failure(runInVm({ command: ['true'], kernel: image, install: true }));
  t.equal(error.code, 'ERR_GUEST');
  t.ok(performance.now() - start < 10_000);
});

t.test('QEMU does not outlive a parent that is killed', async (t) => {
  const folder = await mkdtemp(join(temporary, 'test-'));
  const script = `
    import { runInVm } from ${JSON.stringify(fileURLToPath(new URL('../../src/testbed/vm/index.ts', import.meta.url)))};
    await runInVm({ command: ['sleep', '1000'], install: true });`;
  const parent = spawn(process.execPath, [...process.execArgv, '--input-type=module', '-e', script], {
    stdio: 'inherit',
    env: { ...process.env, TMPDIR: folder },
  });
  const gone = new Promise((resolve) => parent.on('exit', resolve));
  while (!(await qemuRuns(folder))) await delay(100);
  parent.kill('SIGKILL');
  await gone;
  for (let tries = 0; tries < 50 && (await qemuRuns(folder)); tries += 1) await delay(100);
  t.notOk(await qemuRuns(folder));
});
