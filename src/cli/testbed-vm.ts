import { Command } from 'commander';
import { IntegrityError } from '../errors.js';
import { type NvmeNamespace, runInVm } from '../testbed/vm/index.js';
import type { CommandIo } from './io.js';
import { parseChoice, parseInteger } from './options.js';

interface VmCommandOptions {
  readonly kernel: string;
  readonly modules?: string;
  readonly install?: boolean;
  readonly timeout: string;
  readonly nvme: readonly string[];
}

type Reader = (name: string, text: string) => Partial<NvmeNamespace>;

const ANY_SIZE = { min: 0, max: 2 ** 31 - 1 };

/** What `--nvme` takes, by QEMU's and nvme-cli's names where they have one. The numbers' ranges are the testbed's to check. */
const NVME_KEYS: Readonly<Record<string, Reader>> = {
  block: (name, text) => ({ blockSize: Number(parseChoice(name, text, ['512', '4096'])) as 512 | 4096 }),
  ms: (name, text) => ({ metadataSize: parseInteger(name, text, ANY_SIZE) }),
  pi: (name, text) => ({ pi: Number(parseChoice(name, text, ['0', '1', '2', '3'])) as NvmeNamespace['pi'] }),
  pil: (name, text) => ({ first: parseChoice(name, text, ['0', '1']) === '1' }),
  guard: (name, text) => ({ guard: parseChoice(name, text, ['crc16', 'crc64']) }),
  size: (name, text) => ({ sizeMiB: parseInteger(name, text, ANY_SIZE) }),
  file: (_, text) => ({ file: text }),
};

/** `block=4096,pi=1,ms=64,pil=1,guard=crc64,size=16,file=PATH`. @throws ERR_USAGE */
export function parseNamespace(text: string): NvmeNamespace {
  const namespace: Partial<NvmeNamespace>[] = [{ blockSize: 512, pi: 1 }];
  const seen = new Set<string>();
  for (const part of text.split(',')) {
    const [, key = '', value = ''] = /^(\w+)=(.*)$/.exec(part) ?? [];
    const read = Object.hasOwn(NVME_KEYS, key) ? NVME_KEYS[key] : undefined;
    if (read === undefined || seen.has(key)) {
      const problem =
        read === undefined ? `${JSON.stringify(part)} is no KEY=VALUE` : `${key} is given twice`;
      throw new IntegrityError('ERR_USAGE', `--nvme ${JSON.stringify(text)}: ${problem}`, {
        advice: `Its keys are ${Object.keys(NVME_KEYS).join(', ')}, as in --nvme block=4096,pi=1,ms=64,pil=1.`,
      });
    }
    seen.add(key);
    namespace.push(read(`--nvme ${key}`, value));
  }
  return Object.assign({}, ...namespace) as NvmeNamespace;
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

/** `testbed vm -- COMMAND`: a command in a VM with a real kernel and the host's files; its exit status is ours. */
export function testbedVmCommand(io: CommandIo): Command {
  return new Command('vm')
    .description(
      'run a command in a VM with a real kernel, which sees the files of this host and can change none',
    )
    .argument('<command...>', 'after --: the command and its arguments')
    .option(
      '--kernel <K>',
      'newest or a version prefix (6.1): a kernel of Debian; host: the kernel of this host; or the path of an image',
      'newest',
    )
    .option(
      '--modules <dir>',
      'modules of that image: what make modules_install filled, or its lib/modules/RELEASE',
    )
    .option('--install', 'allow to install missing tools (as root, by apt) and to download kernels')
    .option('--timeout <seconds>', 'end the VM after so long', '600')
    .option(
      '--nvme <namespace>',
      'an NVMe namespace with metadata, again for another: block=512|4096 (512), pi=0..3 (1), ms=BYTES of metadata (the tuple), ' +
        'pil=1: the tuple first (0: last), guard=crc16|crc64 (crc16), size=MiB (16), file=PATH of the host: what it holds outlives the guest',
      collect,
      [],
    )
    .action(async (command: string[], options: VmCommandOptions) => {
      const { exitStatus } = await runInVm({
        command,
        kernel: options.kernel,
        modules: options.modules,
        install: options.install,
        timeoutMs: parseInteger('--timeout', options.timeout, { min: 1, max: 1_000_000 }) * 1000,
        nvme: options.nvme.map(parseNamespace),
        signal: io.signal,
        stdout: io.stdout,
        stderr: io.stderr,
        note: (message) => io.stderr.write(`blk-integrity: ${message}\n`),
      });
      io.setExitStatus(exitStatus);
    });
}
