/** What a disk has done: every command is counted once, as it was answered. */

export interface DiskStats {
  readonly commands: number;
  /** By the command's name, or by its opcode where it has none. */
  readonly byCommand: Readonly<Record<string, number>>;
  /** By SAM-5 status: `00h`, `02h`. */
  readonly byStatus: Readonly<Record<string, number>>;
  /** By `key/asc/ascq`: `0Bh/10h/01h`. */
  readonly bySense: Readonly<Record<string, number>>;
  /** Commands that a fault answered never. */
  readonly unanswered: number;
  readonly blocksRead: number;
  readonly blocksWritten: number;
}

export class Tally {
  #commands = 0;
  #unanswered = 0;
  blocksRead = 0;
  blocksWritten = 0;
  readonly #byCommand = new Map<string, number>();
  readonly #byStatus = new Map<string, number>();
  readonly #bySense = new Map<string, number>();

  count(command: string, status: number, sense: readonly number[] | null, answered: boolean): void {
    this.#commands++;
    if (!answered) this.#unanswered++;
    add(this.#byCommand, command);
    add(this.#byStatus, hexOf(status));
    if (sense !== null) add(this.#bySense, sense.map(hexOf).join('/'));
  }

  snapshot(): DiskStats {
    return {
      commands: this.#commands,
      byCommand: Object.fromEntries(this.#byCommand),
      byStatus: Object.fromEntries(this.#byStatus),
      bySense: Object.fromEntries(this.#bySense),
      unanswered: this.#unanswered,
      blocksRead: this.blocksRead,
      blocksWritten: this.blocksWritten,
    };
  }
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function hexOf(byte: number): string {
  return `${byte.toString(16).toUpperCase().padStart(2, '0')}h`;
}
