/** The argument vector of QEMU for one guest. */
import { MOUNT_TAG, PORT } from './guest-init.js';
import { type NamespaceFile, nvmeArguments } from './nvme.js';
import { optionValue } from './qemu-option.js';

export type Accelerator = 'KVM' | 'TCG';

export const QEMU = 'qemu-system-x86_64';

/** File descriptors that QEMU inherits, one stream socket a port. */
export const CHANNEL_FD = { stdout: 3, stderr: 4, control: 5 } as const;

/**
 * Emulated processors take turns on one thread: on threads of their own, QEMU 7.2 was seen to run instructions that the kernel
 * had already patched away (`Oops: int3` in sched_clock_cpu at boot), and the gain was within the noise.
 */
const ACCELERATION: Record<Accelerator, readonly string[]> = {
  KVM: ['-accel', 'kvm', '-cpu', 'host'],
  TCG: ['-accel', 'tcg,thread=single', '-cpu', 'max'],
};

export interface Machine {
  readonly accelerator: Accelerator;
  readonly image: string;
  readonly initramfs: string;
  /** The file that takes the kernel's console. */
  readonly consoleLog: string;
  readonly memoryMiB: number;
  readonly cpus: number;
  readonly nvme: readonly NamespaceFile[];
}

/**
 * A panic restarts at once, which ends QEMU. The rest spares an emulated machine what it is slow at or trips over on a busy host:
 * mitigations for secrets that it does not hold, and tests of its clocks against each other.
 */
const KERNEL_PARAMETERS = ['console=ttyS0', 'panic=-1', 'mitigations=off', 'tsc=reliable', 'no_timer_check'];

/**
 * No disk but the namespaces asked for, no network, no display: the guest sees the host's files, read-only, and three byte
 * streams. It ends instead of restarting.
 */
export function qemuArguments(machine: Machine): string[] {
  const channels = (['stdout', 'stderr', 'control'] as const).flatMap((name) => [
    '-chardev',
    `socket,id=${name},fd=${CHANNEL_FD[name]}`,
    '-device',
    `virtserialport,chardev=${name},nr=${PORT[name]}`,
  ]);
  return [
    '-nodefaults',
    '-no-user-config',
    '-no-reboot',
    ...['-display', 'none'],
    ...['-machine', 'pc'],
    // The firmware then leaves disks alone: SeaBIOS 1.16 under TCG was seen to stop in its NVMe driver, every other time on a busy host.
    ...['-boot', 'strict=on'],
    ...ACCELERATION[machine.accelerator],
    ...['-smp', String(machine.cpus)],
    ...['-m', String(machine.memoryMiB)],
    ...['-kernel', machine.image],
    ...['-initrd', machine.initramfs],
    ...['-append', KERNEL_PARAMETERS.join(' ')],
    ...['-chardev', `file,id=console,path=${optionValue(machine.consoleLog)}`],
    ...['-serial', 'chardev:console'],
    ...['-fsdev', `local,id=${MOUNT_TAG},path=/,security_model=none,readonly=on,multidevs=remap`],
    ...['-device', `virtio-9p-pci,fsdev=${MOUNT_TAG},mount_tag=${MOUNT_TAG}`],
    ...['-device', 'virtio-serial-pci'],
    ...channels,
    ...nvmeArguments(machine.nvme),
  ];
}
