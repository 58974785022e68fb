/**
 * The two scripts that run as process 1 of the guest. `init` runs in the initramfs under busybox and makes the root: the host's
 * own file system read-only over 9p, below a writable layer in memory. `command` runs in that root and runs the command.
 */

export interface GuestJob {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string>>;
  /** The host's folder of the kernel's modules (…/lib/modules/RELEASE), if the kernel has any. */
  readonly modulesFolder: string | undefined;
  /** Where the guest looks for modules, links resolved: /lib/modules or /usr/lib/modules. */
  readonly modulesRoot: string;
  /** Ends both outputs; no part of any output. */
  readonly trailer: string;
}

/** Ports of the virtio-serial device, by number. */
export const PORT = { stdout: 1, stderr: 2, control: 3 } as const;

export const MOUNT_TAG = 'host';

/** One word that a POSIX shell reads back exactly, whatever bytes it holds. */
export const shellQuote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** Where the guest keeps what runs it. */
const RUN = '/run/blk-integrity';

/**
 * cache=loose: the guest trusts what it has read once, which is right while nobody else writes (the share is read-only, and
 * overlayfs wants its lower layer to stand still anyway). Larger messages than 128 KiB start no program sooner and slow the reading
 * of folders, since each reply has a buffer of that size.
 */
const NINE_P_OPTIONS = 'ro,trans=virtio,version=9p2000.L,msize=131072,cache=loose';

export function initScript({ modulesFolder, modulesRoot }: GuestJob): string {
  const bindModules =
    modulesFolder === undefined
      ? ''
      : `modules=/root${shellQuote(modulesRoot)}/$(uname -r)
mkdir -p "$modules"
mount --bind /lower${shellQuote(modulesFolder)} "$modules"
`;
  return `#!/busybox sh
set -e
trap '/busybox reboot -f' EXIT
PATH=/bin
/busybox mkdir -p /bin /proc /lower /upper /root
/busybox --install -s /bin
for module in /modules/*; do test ! -e "$module" || insmod "$module"; done
mount -t 9p -o ${NINE_P_OPTIONS} ${MOUNT_TAG} /lower
mount -t tmpfs -o mode=755 tmpfs /upper
mkdir /upper/data /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /root
${bindModules}mount -t proc proc /root/proc
mount -t sysfs sysfs /root/sys
mount -t devtmpfs devtmpfs /root/dev
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts devpts /root/dev/pts
mount -t tmpfs tmpfs /root/dev/shm
ln -sf /proc/self/fd /root/dev/fd
for stream in stdin:0 stdout:1 stderr:2; do ln -sf "/proc/self/fd/\${stream#*:}" "/root/dev/\${stream%:*}"; done
test ! -d /root/sys/kernel/config || mount -t configfs configfs /root/sys/kernel/config
test ! -d /root/sys/kernel/debug || mount -t debugfs debugfs /root/sys/kernel/debug
# The host's database tells of the host's disks.
rm -rf /root/run/udev
hostname blk-integrity
ifconfig lo 127.0.0.1 up
mkdir -p /root${RUN}
cp /busybox /command /root${RUN}
mkfifo /root${RUN}/stdout /root${RUN}/stderr
exec switch_root -c /dev/console /root ${RUN}/command
`;
}

/**
 * The command's outputs are pipes, as a program expects; `cat` carries them to the host. When the command has ended, what it
 * left running is killed, so that the pipes end too.
 */
export function commandScript({ argv, cwd, environment, trailer }: GuestJob): string {
  const variables = Object.entries(environment).map(
    ([name, value]) => `export ${name}=${shellQuote(value)}\n`,
  );
  return `#!/bin/sh
busybox=${RUN}/busybox
set -- /dev/vport*p${PORT.control}
until test -c "$1"; do $busybox sleep 0.1; set -- /dev/vport*p${PORT.control}; done
device=\${1%${PORT.control}}
exec 7>"\${device}${PORT.control}" 8>"\${device}${PORT.stdout}" 9>"\${device}${PORT.stderr}"
echo "ready $($busybox uname -r)" >&7
$busybox cat <${RUN}/stdout >&8 7>&- 9>&- & stdout=$!
$busybox cat <${RUN}/stderr >&9 7>&- 8>&- & stderr=$!
# QEMU emulates AVX2 byte by byte: the guard kernel that takes it is five times slower there than this one.
$busybox grep -q 'QEMU TCG CPU' /proc/cpuinfo && export BLK_INTEGRITY_GUARD_KERNEL=pclmul
${variables.join('')}( cd ${shellQuote(cwd)} && exec ${argv.map(shellQuote).join(' ')} ) </dev/null >${RUN}/stdout 2>${RUN}/stderr 7>&- 8>&- 9>&-
status=$?
for process in /proc/[0-9]*; do
  case \${process#/proc/} in
    1 | "$stdout" | "$stderr") ;;
    *) kill -9 "\${process#/proc/}" ;;
  esac
done 2>/dev/null
wait "$stdout" "$stderr"
printf %s ${shellQuote(trailer)} >&8
printf %s ${shellQuote(trailer)} >&9
echo "exit $status" >&7
while :; do $busybox sleep 3600; done
`;
}
