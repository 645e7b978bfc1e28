import { elapsedText } from '../engine/base/quantities.js';
import type { CommandIo } from './output.js';

const TERMINAL_INTERVAL_MS = 100;
const PLAIN_INTERVAL_MS = 10_000;
const TICK_MS = 1000;

/**
 * Progress on standard error: on a terminal one line that is rewritten, otherwise a plain line from time to time,
 * nothing when quiet.
 */
export class Progress {
  readonly #terminal: boolean;
  #last: number;
  #shown = false;
  #ticking: NodeJS.Timeout | null = null;

  constructor(
    private readonly io: CommandIo,
    private readonly quiet: boolean,
  ) {
    this.#terminal = io.isTerminal(2);
    this.#last = io.now();
  }

  /** Shows `text()` if an update is due. Cheap otherwise. */
  update(text: () => string): void {
    if (this.quiet) return;
    const now = this.io.now();
    if (now - this.#last < (this.#terminal ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS)) return;
    this.#last = now;
    if (this.#terminal) {
      this.#stopTicking();
      this.#draw(text());
    } else {
      this.io.err(`revenant: ${text()}\n`);
    }
  }

  /**
   * Shows that something is being waited for, until the next output: on a terminal a line with the
   * elapsed time, which is updated; otherwise one line.
   */
  waiting(text: string): void {
    if (!this.#terminal) return this.note(text);
    if (this.quiet) return;
    this.#stopTicking();
    const begun = this.io.now();
    const draw = (): void => this.#draw(`${text}, ${elapsedText((this.io.now() - begun) / 1000)}`);
    draw();
    this.#ticking = setInterval(draw, TICK_MS).unref();
  }

  /** Prints a permanent line immediately, unless quiet. */
  note(text: string): void {
    if (this.quiet) return;
    this.clear();
    this.io.err(`revenant: ${text}\n`);
  }

  /** Removes the line, before other output to the terminal and at the end. */
  clear(): void {
    this.#stopTicking();
    if (!this.#shown) return;
    this.#shown = false;
    this.io.err('\r\x1b[K');
  }

  #draw(text: string): void {
    this.io.err(`\r\x1b[K${fitText(text, this.io.columns(2))}`);
    this.#shown = true;
  }

  #stopTicking(): void {
    if (this.#ticking) clearInterval(this.#ticking);
    this.#ticking = null;
  }
}

/** A line that does not wrap: a wrapped one could not be rewritten. */
export function fitText(line: string, columns: number): string {
  return line.length < columns ? line : `${line.slice(0, columns - 2)}…`;
}
