/**
 * The journal of a region on its file: complete and on the medium before the first write, and one step ahead of every write after that.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, link, open, readFile, stat, unlink } from 'node:fs/promises';
import { IntegrityError } from '../../errors.js';
import type { PathName } from '../../words.js';
import type { Disk } from '../disk.js';
import { syncFolderOf } from '../sync-folder.js';
import {
  type Extent,
  JOURNAL_VERSION,
  type JournalContent,
  type JournalHead,
  type JournalModePage,
  type JournalWrite,
  type ModePageCode,
  parseJournal,
  savedRecords,
  stepRecord,
} from './journal-format.js';
import { bootId, lastMomentOf } from './late-commands.js';

/** Bytes up to which steps are added: what has more than 2 GiB could not be read at once. */
const BYTES_MAX = 2 ** 30;

export class Journal {
  readonly path: string;
  readonly #file: FileHandle;
  #torn: NodeJS.ErrnoException | null = null;

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
    const unnamed = `${path}.${randomBytes(6).toString('hex')}.new`;
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

  /**
   * What an interrupted run left. Nothing is written to it.
   * Errors: ERR_IO without the file, ERR_MALFORMED_RESPONSE, ERR_PERMISSION for a file that others may write.
   */
  static async read(path: string): Promise<JournalContent> {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(
      (cause: NodeJS.ErrnoException) => {
        throw unreadable(path, cause);
      },
    );
    try {
      await requireOwn(file, path);
      const bytes = await readFile(file).catch((cause: NodeJS.ErrnoException) => {
        throw unreadable(path, cause);
      });
      return parseJournal(bytes, path);
    } finally {
      await file.close();
    }
  }

  /** All that it saved is back: the file goes. */
  static async remove(path: string): Promise<void> {
    try {
      await unlink(path);
      await syncFolderOf(path);
    } catch (cause) {
      throw new IntegrityError(
        'ERR_IO',
        `journal ${path} could not be removed: ${(cause as Error).message}`,
        {
          advice: 'Everything is back on the disk: remove it by hand.',
          cause,
        },
      );
    }
  }

  /** Throws ERR_OUT_OF_RANGE for a journal that has become too long for another step. */
  async #requireRoom(): Promise<void> {
    const { size } = await this.#file.stat();
    if (size < BYTES_MAX) return;
    throw new IntegrityError('ERR_OUT_OF_RANGE', `journal ${this.path} has ${size} bytes: no step is added`, {
      advice: 'Put the region back, and claim it anew.',
    });
  }

  /** Before the blocks are sent by a command that may take so long: what they may hold from now on. */
  async writing(writes: readonly JournalWrite[], timeoutMs?: number): Promise<void> {
    await this.#requireRoom();
    const until = lastMomentOf(timeoutMs);
    for (const write of writes) await this.#append(stepRecord({ kind: 'writing', ...write, until }));
    await this.#sync();
  }

  /** Before a mode page is sent. */
  async settingModePage(page: JournalModePage): Promise<void> {
    await this.#requireRoom();
    await this.#append(stepRecord({ kind: 'mode page', ...page, until: lastMomentOf() }));
    await this.#sync();
  }

  /** As restored. */
  modePageRestored({ page, subpage }: ModePageCode): Promise<void> {
    return this.#append(stepRecord({ kind: 'mode page restored', page, subpage }));
  }

  /** After the fact, and not synced: to restore twice does no harm. */
  restored(extent: Extent): Promise<void> {
    return this.#append(stepRecord({ kind: 'restored', ...extent }));
  }

  async kept(): Promise<void> {
    await this.#append(stepRecord({ kind: 'kept' }));
    await this.#sync();
  }

  /** Nothing is left to be put back: the file goes, if it is still this one. */
  async finish(): Promise<void> {
    const own = await this.#file.stat();
    await this.#file.close();
    const there = await stat(this.path).catch(() => null);
    if (there?.ino === own.ino && there.dev === own.dev) await Journal.remove(this.path);
  }

  /** The file stays, for `blk-integrity restore`. What brought this about is the error to tell of. */
  async leave(): Promise<void> {
    await this.#file.sync().catch(() => {});
    await this.#file.close().catch(() => {});
  }

  /** A torn record stays the last: behind it another one would make damage of it. */
  async #append(record: Uint8Array): Promise<void> {
    if (this.#torn !== null) throw journalError(this.path, this.#torn);
    await this.#file.writeFile(record).catch(this.#tear);
  }

  /** What was not synced may be torn as well. */
  #sync(): Promise<void> {
    return this.#file.datasync().catch(this.#tear);
  }

  readonly #tear = (error: NodeJS.ErrnoException): never => {
    this.#torn = error;
    throw error;
  };
}

export async function headOf(
  { device, facts, blockSize }: Disk,
  region: { readonly lba: bigint; readonly blocks: number },
  tuples: ReadonlyMap<PathName, Uint8Array>,
): Promise<JournalHead> {
  const { inquiry, identity = null, serial = null, capacity } = facts ?? {};
  return {
    version: JOURNAL_VERSION,
    made: new Date().toISOString(),
    boot: await bootId(),
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

function unreadable(path: string, cause: NodeJS.ErrnoException): IntegrityError {
  return new IntegrityError('ERR_IO', `journal ${path}: ${cause.message}`, { cause });
}

function journalError(path: string, cause: NodeJS.ErrnoException): IntegrityError {
  const [code, advice] =
    cause.code === 'EEXIST'
      ? (['ERR_USAGE', `An interrupted run may have left it: blk-integrity restore ${path}`] as const)
      : (['ERR_IO', 'Name another place: --journal FILE.'] as const);
  return new IntegrityError(code, `journal ${path}: ${cause.message}`, { advice, cause });
}
