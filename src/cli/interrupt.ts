import { ExitCode, RevenantError } from '../engine/base/errors.js';

/**
 * Ctrl-C while something long runs: the first one asks, the work stops at the next turn of the event
 * loop and cleans up; a second one ends the process at once.
 */
export class Interrupt {
  #requested = false;
  readonly #listener = (): void => {
    if (this.#requested) process.exit(ExitCode.interrupted);
    this.#requested = true;
  };

  constructor() {
    process.on('SIGINT', this.#listener);
  }

  /** Throws E_INTERRUPTED if Ctrl-C came. */
  check(): void {
    if (this.#requested) throw new RevenantError('E_INTERRUPTED', 'Interrupted.');
  }

  /** Gives Ctrl-C its usual meaning back. */
  dispose(): void {
    process.off('SIGINT', this.#listener);
  }
}

/** Lets signals and sockets be served; the loop that calls it runs on afterwards. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
