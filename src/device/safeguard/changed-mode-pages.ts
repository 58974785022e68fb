/**
 * Mode pages that a run has changed, until they are as they were.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { IntegrityError } from '../../errors.js';
import { hex } from '../../scsi/bytes.js';
import { describeOutcome } from '../../scsi/outcome.js';
import type { Disk } from '../disk.js';
import type { DiskTransport } from '../transport.js';
import { requireSameDisk } from './hold.js';
import type { JournalModePage, ModePageCode } from './journal-format.js';
import {
  pageName,
  readModePage,
  requireAttentionsEnd,
  requireChangeable,
  requireKnownPage,
  selectModePage,
  withoutPs,
} from './mode-pages.js';
import { PATIENCE_MS, patiently } from './patience.js';

interface Changed extends ModePageCode {
  readonly was: string;
  /** All that it was set to: it holds one of them, or what it was. In hexadecimal digits. */
  readonly sent: string[];
}

export class ChangedModePages {
  readonly #disk: Disk;
  readonly #transport: DiskTransport;
  readonly #changed = new Map<string, Changed>();

  constructor(disk: Disk, transport: DiskTransport) {
    this.#disk = disk;
    this.#transport = transport;
  }

  get size(): number {
    return this.#changed.size;
  }

  /** From here on the page may hold what is sent. */
  note({ page, subpage, was, sent }: JournalModePage): void {
    const key = pageName({ page, subpage });
    const changed = this.#changed.get(key) ?? { page, subpage, was, sent: [] };
    changed.sent.push(sent);
    this.#changed.set(key, changed);
  }

  forget(code: ModePageCode): void {
    this.#changed.delete(pageName(code));
  }

  /**
   * What it takes to set a page: what it was before this run. Errors: ERR_USAGE for a page that is not changed here, or for bits that the
   * disk does not let be changed; ERR_NO_PATH for one that the disk has not.
   */
  async plan(wanted: Uint8Array): Promise<JournalModePage> {
    const { device } = this.#disk;
    const code = requireKnownPage(device, wanted);
    const sent = withoutPs(wanted);
    const current = await readModePage(device, this.#transport, code);
    await requireChangeable(device, this.#transport, code, current, sent);
    requireAttentionsEnd(device, code, current, sent);
    const was = this.#changed.get(pageName(code))?.was ?? hex(current);
    return { ...code, was, sent: hex(sent) };
  }

  /** What the disk made of a page that it took: parameters may be rounded (SPC-5). What is not known here is not put back. */
  async current(code: ModePageCode): Promise<string> {
    return hex(await patiently(() => readModePage(this.#disk.device, this.#transport, code)));
  }

  /** Puts back each page, and reads it to see. Returns what went wrong. */
  async putBack(onBack: (code: ModePageCode) => Promise<void>): Promise<Error[]> {
    const failures: Error[] = [];
    for (const changed of [...this.#changed.values()]) {
      try {
        await this.#putBackOne(changed);
        await onBack(changed);
        this.forget(changed);
      } catch (error) {
        failures.push(error as Error);
      }
    }
    return failures;
  }

  /** A page that holds neither what was set nor what it was is somebody else's by now. */
  async #putBackOne(changed: Changed): Promise<void> {
    const { device } = this.#disk;
    const was = Uint8Array.from(Buffer.from(changed.was, 'hex'));
    requireKnownPage(device, was);
    let answer = '';
    const refuse = (why: string) =>
      new IntegrityError('ERR_RESTORE', `${device}: mode page ${pageName(changed)} ${why}`, { disk: device });
    for (const pause of [0, ...PATIENCE_MS]) {
      await delay(pause);
      await patiently(() => requireSameDisk(this.#disk, this.#transport));
      const now = await this.current(changed);
      if (now === changed.was) return;
      if (!changed.sent.includes(now)) throw refuse('was set by somebody else and is left');
      await requireChangeable(device, this.#transport, changed, Buffer.from(now, 'hex'), was);
      answer = describeOutcome((await selectModePage(this.#transport, was)).outcome);
    }
    if ((await this.current(changed)) !== changed.was) {
      throw refuse(`is not back: ${answer}`);
    }
  }
}
