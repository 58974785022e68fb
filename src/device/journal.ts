/**
 * The journal of a region on its file: complete and on the medium before the first write, and one step ahead of every write after that.
 */
import { constants } from 'node:fs';
import { type FileHandle, link, open, readFile, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { IntegrityError } from '../errors.js';
import type { PathName } from '../words.js';
import type { Disk } from './disk.js';
import {
  type Extent,
  JOURNAL_VERSION,
  type JournalContent,
  type JournalHead,
  type JournalWrite,
  parseJournal,
  savedRecords,
  stepRecord,
} from './journal-format.js';

export class Journal {
  readonly path: string;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  /**
   * A new file, which only its owner may read: it holds the disk's data. It has its name when it is whole and on its medium: a run that
   * ends before that leaves no journal, and has written nothing.
   * Errors: ERR_USAGE for a file that is there already, ERR_IO.
   */
  static async make(
    path: string,
    head: JournalHead,
    data: Uint8Array,
    tuples: ReadonlyMap<PathName, Uint8Array>,
  ): Promise<Journal> {
    const unnamed = `${path}.${process.pid}.new`;
    const file = await open(unnamed, 'wx', 0o600).catch((cause: NodeJS.ErrnoException) => {
      throw journalError(path, cause);
    });
    const journal = new Journal(path, file);
    try {
      for (const record of savedRecords(head, data, tuples)) await journal.#append(record);
      await file.sync();
      // Unlike rename(2) it does not replace another journal.
      await link(unnamed, path);
      await unlink(unnamed);
      await syncFolderOf(path);
      return journal;
    } catch (cause) {
      await file.close();
      await unlink(unnamed).catch(() => {});
      throw journalError(path, cause as NodeJS.ErrnoException);
    }
  }

  /** One that an interrupted run left. Errors: ERR_NO_DEVICE without the file, ERR_MALFORMED_RESPONSE, ERR_PERMISSION for a
   * file that others may write. */
  static async resume(path: string): Promise<{ journal: Journal; content: JournalContent }> {
    const flags = constants.O_RDWR | constants.O_APPEND;
    const file = await open(path, flags).catch((cause: NodeJS.ErrnoException) => {
      throw journalError(path, cause);
    });
    try {
      await requireOwn(file, path);
      const content = parseJournal(await readFile(file), path);
      // Nothing behind a record that was cut off would ever be read.
      await file.truncate(content.length);
      return { journal: new Journal(path, file), content };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Before the blocks are sent: what they may hold from now on. */
  async writing(write: JournalWrite): Promise<void> {
    await this.#append(stepRecord({ kind: 'writing', ...write }));
    await this.#file.datasync();
  }

  /** After the fact, and not synced: to restore twice does no harm. */
  restored(extent: Extent): Promise<void> {
    return this.#append(stepRecord({ kind: 'restored', ...extent }));
  }

  kept(): Promise<void> {
    return this.#append(stepRecord({ kind: 'kept' }));
  }

  /** Nothing is left to be put back: the file goes. */
  async finish(): Promise<void> {
    await this.#file.close();
    await unlink(this.path);
    await syncFolderOf(this.path);
  }

  /** The file stays, for `blk-integrity restore`. */
  async leave(): Promise<void> {
    await this.#file.sync();
    await this.#file.close();
  }

  async #append(record: Uint8Array): Promise<void> {
    await this.#file.writeFile(record);
  }
}

export function headOf(
  { device, facts, blockSize }: Disk,
  region: { readonly lba: bigint; readonly blocks: number },
  tuples: ReadonlyMap<PathName, Uint8Array>,
): JournalHead {
  const { inquiry, identity = null, serial = null, capacity } = facts ?? {};
  return {
    version: JOURNAL_VERSION,
    made: new Date().toISOString(),
    device,
    vendor: inquiry?.vendor ?? '',
    product: inquiry?.product ?? '',
    identity,
    serial,
    blockSize,
    diskBlocks: String(capacity?.blocks ?? 0n),
    protectionType: capacity?.protectionType ?? 0,
    intervalExponent: capacity?.intervalExponent ?? 0,
    lba: String(region.lba),
    blocks: region.blocks,
    tuples: [...tuples].map(([path, bytes]) => ({ path, bytesPerBlock: bytes.length / region.blocks })),
  };
}

/** What a journal says is written to a disk: nobody else may have had a hand in it. */
async function requireOwn(file: FileHandle, path: string): Promise<void> {
  const { uid, mode } = await file.stat();
  if (uid === process.geteuid?.() && (mode & 0o022) === 0) return;
  throw new IntegrityError(
    'ERR_PERMISSION',
    `journal ${path} is not yours alone: owner ${uid}, mode ${(mode & 0o777).toString(8)}`,
    {
      advice: 'Whoever can write it can write the disk: look at it, then chown and chmod 600.',
    },
  );
}

async function syncFolderOf(path: string): Promise<void> {
  const folder = await open(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  await folder.sync();
  await folder.close();
}

function journalError(path: string, cause: NodeJS.ErrnoException): IntegrityError {
  const [code, advice] =
    cause.code === 'EEXIST'
      ? (['ERR_USAGE', `An interrupted run may have left it: blk-integrity restore ${path}`] as const)
      : (['ERR_IO', 'Name another place: --journal FILE.'] as const);
  return new IntegrityError(code, `journal ${path}: ${cause.message}`, { advice, cause });
}
