/**
 * Debian's kernels, read and downloaded by a private apt: its sources, lists and status lie in our cache, and the host's are left
 * alone. The mirrors are those of the host's own sources; the signatures are checked by apt against Debian's own keyring.
 */
import { mkdir, readdir, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { IntegrityError } from '../../errors.js';
import { firstThatExists, privateFolder, replaceFile } from './cache.js';
import { type Argv, run } from './process.js';

/** A package and the exact version of it. */
export interface PackageVersion {
  readonly name: string;
  readonly version: string;
}

/** One kernel that the mirror serves. */
export interface DebianKernel {
  /** Version of linux-image-amd64, such as 6.1.176-1. */
  readonly version: string;
  readonly suites: readonly string[];
  /** The packages that make it up. */
  readonly packages: readonly PackageVersion[];
  /** Their size, packed, in bytes. */
  readonly bytes: number;
}

/** One record of `apt-cache show`, as far as it is used. */
export interface PackageRecord extends PackageVersion {
  /** Its Depends of an exact version. */
  readonly exactly: readonly PackageVersion[];
  /** The package file, in bytes. */
  readonly bytes: number;
}

const META_PACKAGE = 'linux-image-amd64';
const SUITES = {
  archive: ['bullseye', 'bookworm', 'bookworm-backports', 'trixie', 'trixie-backports', 'sid'],
  security: ['bookworm-security', 'trixie-security'],
} as const;
const KEYRINGS = ['gpg', 'pgp'].map((suffix) => `/usr/share/keyrings/debian-archive-keyring.${suffix}`);

/** Names that Debian's suites go by in a sources list. */
const DEBIAN_SUITE = /^(bullseye|bookworm|trixie|forky|sid|(old)*stable|testing|unstable)(-\w+)*$/;

/** The base URIs of Debian's archive and of its security archive among what `apt-get update --print-uris` prints. */
export function archives(printedUris: string): Record<keyof typeof SUITES, string[]> {
  const sources = [...printedUris.matchAll(/^'(.+)\/dists\/(.+)\/InRelease'/gm)].map(
    ([, uri = '', suite = '']) => ({ uri, suite }),
  );
  const debian = sources.filter(({ suite }) => DEBIAN_SUITE.test(suite));
  const uris = (security: boolean): string[] => [
    ...new Set(debian.filter(({ suite }) => suite.endsWith('-security') === security).map(({ uri }) => uri)),
  ];
  return { archive: uris(false), security: uris(true) };
}

/** The records that `apt-cache show` prints, in its order: of one package, the highest version first. */
export function packageRecords(shown: string): PackageRecord[] {
  return shown
    .split(/\n{2,}/)
    .map((record) => {
      const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(record)?.[1] ?? '';
      const exactly = [...field('Depends').matchAll(/(?:^|, )([^ ,|]+) \(= ([^)]+)\)(?=,|$)/g)];
      return {
        name: field('Package'),
        version: field('Version'),
        exactly: exactly.map(([, name = '', version = '']) => ({ name, version })),
        bytes: Number(field('Size')),
      };
    })
    .filter(({ name }) => name !== '');
}

/** Suites by version, of what `apt-cache madison` prints: `package | version | URI SUITE/COMPONENT ARCHITECTURE Packages`. */
export function suitesByVersion(madison: string): Map<string, string[]> {
  const suites = new Map<string, string[]>();
  for (const line of madison.split('\n')) {
    const [, version = '', source = ''] = line.split('|').map((column) => column.trim());
    const suite = source.split(' ')[1]?.split('/')[0];
    if (suite !== undefined) suites.set(version, [...(suites.get(version) ?? []), suite]);
  }
  return suites;
}

const label = ({ name, version }: PackageVersion): string => `${name}=${version}`;

/** `root` and all that its exact dependencies lead to; undefined when one of them is not served. */
export function closure(
  root: PackageVersion,
  records: ReadonlyMap<string, PackageRecord>,
): PackageRecord[] | undefined {
  const found = new Map<string, PackageRecord>();
  const visit = (wanted: PackageVersion): boolean => {
    if (found.has(label(wanted))) return true;
    const record = records.get(label(wanted));
    if (record === undefined) return false;
    found.set(label(wanted), record);
    return record.exactly.every(visit);
  };
  return visit(root) ? [...found.values()] : undefined;
}

/** How the host reaches its mirrors, and how old it lets their lists be. */
const DOWNLOAD_SETTING =
  /^Acquire::(Retries|ForceIPv[46]|Check-Valid-Until|Check-Date|https?::(\S+::)?(Proxy(::\S+)?|Proxy-?Auto-?Detect|Timeout|CAInfo|CAPath|SslCert|SslKey)) "/i;

/** Whatever the host allows itself. */
const AUTHENTICATION = [
  ...[
    'Acquire::AllowInsecureRepositories',
    'Acquire::AllowWeakRepositories',
    'Acquire::AllowDowngradeToInsecureRepositories',
    'APT::Get::AllowUnauthenticated',
  ].map((name) => `${name} "false";`),
  ...['Verify-Peer', 'Verify-Host'].map((name) => `Acquire::https::${name} "true";`),
];

/** Settings for downloads, of what `apt-config dump Acquire` prints on the host: nothing of it makes a download less authentic. */
export function downloadSettings(dump: string): string[] {
  return [...dump.split('\n').filter((line) => DOWNLOAD_SETTING.test(line)), ...AUTHENTICATION];
}

/** Below the cache. */
const STATE_FOLDER = ['debian', 'apt'] as const;

export class DebianArchive {
  readonly #cache: string;
  /** Where the private apt keeps its state. */
  readonly #folder: string;
  readonly #signal: AbortSignal | undefined;

  /** Only to be used with the lock of the cache held. */
  constructor(cache: string, signal: AbortSignal | undefined) {
    this.#cache = cache;
    this.#folder = join(cache, ...STATE_FOLDER);
    this.#signal = signal;
  }

  /** One of the host's programs, as the host has it configured. */
  #host(...argv: Argv): Promise<string> {
    return run(argv, { signal: this.#signal });
  }

  /** One of apt's programs, as configured here. */
  #apt(argv: Argv, cwd?: string): Promise<string> {
    return run(argv, {
      signal: this.#signal,
      cwd,
      environment: { APT_CONFIG: join(this.#folder, 'apt.conf') },
    });
  }

  /** Of the host's settings only those of downloads hold: hooks would run on the host's behalf. */
  async #configure(): Promise<void> {
    const keyring = await firstThatExists(KEYRINGS);
    if (keyring === undefined) {
      throw new IntegrityError('ERR_NO_KERNEL', "Debian's archive keyring is not installed", {
        advice: 'Run `apt-get install debian-archive-keyring`, or use --kernel host or an image of your own.',
      });
    }
    const found = archives(await this.#host('apt-get', 'update', '--print-uris'));
    if (found.archive.length === 0) {
      throw new IntegrityError('ERR_NO_KERNEL', 'apt on this host has no source with a suite of Debian', {
        advice: 'Use --kernel host, or --kernel IMAGE --modules DIR.',
      });
    }
    const inFolder = (name: string): string => JSON.stringify(join(this.#folder, name));
    const settings = [
      ...downloadSettings(await this.#host('apt-config', 'dump', 'Acquire')),
      'Acquire::Languages "none";',
      'APT::Architecture "amd64";',
      'APT::Architectures { "amd64"; };',
      // The account _apt cannot reach a folder of the user's.
      'APT::Sandbox::User "root";',
      'Dir::Etc::main "/dev/null";',
      ...['parts', 'sourceparts', 'preferences', 'preferencesparts'].map(
        (key) => `Dir::Etc::${key} ${inFolder('none')};`,
      ),
      `Dir::Etc::sourcelist ${inFolder('sources.list')};`,
      `Dir::State ${inFolder('')};`,
      `Dir::State::lists ${inFolder('lists')};`,
      `Dir::State::status ${inFolder('status')};`,
      `Dir::Cache ${inFolder('cache')};`,
      'Dir::Cache::pkgcache "";',
      'Dir::Cache::srcpkgcache "";',
    ];
    const sources = (['archive', 'security'] as const).flatMap((kind) =>
      found[kind].flatMap((uri) =>
        SUITES[kind].map((suite) => `deb [arch=amd64 signed-by=${keyring}] ${uri} ${suite} main`),
      ),
    );
    for (const names of [['none'], ['lists', 'partial'], ['cache', 'archives', 'partial']]) {
      await privateFolder(this.#cache, ...STATE_FOLDER, ...names);
    }
    await replaceFile(join(this.#folder, 'apt.conf'), `${settings.join('\n')}\n`);
    await replaceFile(join(this.#folder, 'sources.list'), `${sources.join('\n')}\n`);
    await replaceFile(join(this.#folder, 'status'), '');
  }

  /** Reads the lists anew. A suite that the mirror does not have, or that is not signed as it should, is passed over. */
  async kernels(): Promise<DebianKernel[]> {
    await this.#configure();
    const complaint = await this.#apt(['apt-get', 'update']).then(
      () => '',
      (error: Error) => {
        this.#signal?.throwIfAborted();
        return error.message;
      },
    );
    const records = new Map<string, PackageRecord>();
    const show = async (names: readonly string[]): Promise<void> => {
      // Exits 100 when none of the names is served.
      const shown = await this.#apt(['apt-cache', 'show', ...names]).catch(() => '');
      this.#signal?.throwIfAborted();
      const read = packageRecords(shown).filter((record) => !records.has(label(record)));
      for (const record of read) records.set(label(record), record);
      const next = read.flatMap(({ exactly }) => exactly).filter((wanted) => !records.has(label(wanted)));
      if (next.length > 0) await show([...new Set(next.map(({ name }) => name))]);
    };
    await show([META_PACKAGE]);
    const suites = suitesByVersion(await this.#apt(['apt-cache', 'madison', META_PACKAGE]));
    const kernels = [...records.values()]
      .filter(({ name }) => name === META_PACKAGE)
      .flatMap((root) => {
        const packages = closure(root, records);
        if (packages === undefined) return [];
        return {
          version: root.version,
          suites: suites.get(root.version) ?? [],
          packages: packages.map(({ name, version }) => ({ name, version })),
          bytes: packages.reduce((sum, { bytes }) => sum + bytes, 0),
        };
      });
    if (kernels.length === 0) {
      throw new IntegrityError('ERR_NO_KERNEL', `no kernel of Debian could be found\n${complaint}`);
    }
    return kernels;
  }

  /**
   * Downloads and unpacks a kernel into `folder`, installing nothing: afterwards `vmlinuz` and `lib/modules/RELEASE`, with the
   * index that depmod makes, lie there.
   */
  async unpack(kernel: DebianKernel, folder: string): Promise<void> {
    const packed = join(folder, 'packed');
    const unpacked = join(folder, 'unpacked');
    await mkdir(packed);
    await this.#apt(['apt-get', 'download', ...kernel.packages.map(label)], packed);
    for (const file of await readdir(packed)) {
      await this.#host('dpkg-deb', '-x', join(packed, file), unpacked);
    }
    // 7.x keeps both below /usr/lib/modules, earlier kernels have /boot and /lib/modules.
    await mkdir(join(folder, 'lib/modules'), { recursive: true });
    for (const modules of ['lib/modules', 'usr/lib/modules']) {
      for (const release of await readdir(join(unpacked, modules)).catch(() => [])) {
        await rename(join(unpacked, modules, release), join(folder, 'lib/modules', release));
      }
    }
    const releases = await readdir(join(folder, 'lib/modules'));
    const release = releases[0];
    if (release === undefined || releases.length > 1) {
      throw new IntegrityError(
        'ERR_NO_KERNEL',
        `Debian's ${kernel.packages.map(label).join(', ')} hold modules of ${releases.length} kernels, not of one`,
      );
    }
    const places = [
      join(unpacked, `boot/vmlinuz-${release}`),
      join(folder, 'lib/modules', release, 'vmlinuz'),
    ];
    await rename((await firstThatExists(places)) ?? places[0]!, join(folder, 'vmlinuz'));
    await rm(packed, { recursive: true });
    await rm(unpacked, { recursive: true });
    // Where kmod is built for /usr/lib/modules it looks there.
    await mkdir(join(folder, 'usr'));
    await symlink('../lib', join(folder, 'usr/lib'));
    await this.#host('depmod', '-b', folder, release);
  }
}
