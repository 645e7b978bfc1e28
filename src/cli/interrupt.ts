import { ExitCode, RevenantError } from '../engine/base/errors.js';

const interrupted = (): RevenantError => new RevenantError('E_INTERRUPTED', 'Interrupted.');

/**
 * Ctrl-C while something long runs: the first one asks, the work stops at the next turn of the event
 * loop and cleans up; a second one ends the process at once.
 */
export class Interrupt {
  #requested = false;
  #reject: (error: RevenantError) => void = () => {};
  readonly #listener = (): void => {
    if (this.#requested) process.exit(ExitCode.interrupted);
    this.#requested = true;
    this.#reject(interrupted());
  };

  constructor() {
    process.on('SIGINT', this.#listener);
  }

  /** Throws E_INTERRUPTED if Ctrl-C came. */
  check(): void {
    if (this.#requested) throw interrupted();
  }

  /** Waits for `work`, but no longer than until Ctrl-C; what `work` does then goes on unobserved. */
  guard<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      work.then(resolve, reject);
    });
  }

  /** Lets signals and sockets be served, then checks; for work that does not wait by itself. */
  async turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.check();
  }

  /** Gives Ctrl-C its usual meaning back. */
  dispose(): void {
    process.off('SIGINT', this.#listener);
  }
}
