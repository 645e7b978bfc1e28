import type { CommandIo } from './output.js';

const TERMINAL_INTERVAL_MS = 100;
const PLAIN_INTERVAL_MS = 10_000;

/**
 * Progress on standard error: one line that is rewritten on a terminal, a plain line now and then
 * elsewhere, nothing when quiet.
 */
export class Progress {
  readonly #terminal: boolean;
  #last: number;
  #shown = false;

  constructor(
    private readonly io: CommandIo,
    private readonly quiet: boolean,
  ) {
    this.#terminal = io.isTerminal(2);
    this.#last = io.now();
  }

  /** Shows `text()` if it is time to. Cheap otherwise. */
  update(text: () => string): void {
    if (this.quiet) return;
    const now = this.io.now();
    if (now - this.#last < (this.#terminal ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS)) return;
    this.#last = now;
    if (this.#terminal) {
      this.io.err(`\r\x1b[K${text()}`);
      this.#shown = true;
    } else {
      this.io.err(`revenant: ${text()}\n`);
    }
  }

  /** Says something that stays, whatever the time, unless quiet. */
  note(text: string): void {
    if (this.quiet) return;
    this.clear();
    this.io.err(`revenant: ${text}\n`);
  }

  /** Removes the line, before other output comes to the terminal and at the end. */
  clear(): void {
    if (!this.#shown) return;
    this.#shown = false;
    this.io.err('\r\x1b[K');
  }
}
