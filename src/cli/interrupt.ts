import { ExitCode, RevenantError } from '../engine/base/errors.js';
import { nextTurn } from '../recording/stops.js';

const interrupted = (): RevenantError => new RevenantError('E_INTERRUPTED', 'Interrupted.');

const SAME_SIGNAL_MS = 500;

/**
 * Reports the first signal that requests termination, once: E_INTERRUPTED for Ctrl-C, E_TERMINATED
 * for SIGTERM and SIGHUP. A second one ends the process immediately. Returns a function that
 * restores the default actions.
 */
export function onSignals(
  tell: (reason: RevenantError) => void,
  signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'],
): () => void {
  let told = -Infinity;
  const listener = (signal: NodeJS.Signals): void => {
    const reason =
      signal === 'SIGINT' ? interrupted() : new RevenantError('E_TERMINATED', `Ended by ${signal}.`);
    const now = performance.now();
    // A signal sent to the process group may arrive a second time from our parent.
    if (now - told < SAME_SIGNAL_MS) return;
    if (told >= 0) process.exit(reason.exitCode);
    told = now;
    tell(reason);
  };
  for (const signal of signals) process.on(signal, listener);
  return () => signals.forEach((signal) => process.off(signal, listener));
}

/**
 * Ctrl-C during long work: on the first one the work stops at the next turn of the event loop and
 * cleans up; a second one ends the process immediately.
 */
export class Interrupt {
  #requested = false;
  readonly #rejects = new Set<(error: RevenantError) => void>();
  readonly #listener = (): void => {
    if (this.#requested) process.exit(ExitCode.interrupted);
    this.#requested = true;
    for (const reject of this.#rejects) reject(interrupted());
  };

  constructor() {
    process.on('SIGINT', this.#listener);
  }

  /** Throws E_INTERRUPTED if Ctrl-C came. */
  check(): void {
    if (this.#requested) throw interrupted();
  }

  /** Waits for `work` or Ctrl-C; after Ctrl-C `work` continues, but its result is ignored. */
  guard<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#rejects.add(reject);
      work.then(resolve, reject).finally(() => this.#rejects.delete(reject));
    });
  }

  /** Yields to signals and sockets, then checks; for synchronous work. */
  async turn(): Promise<void> {
    await nextTurn();
    this.check();
  }

  /** Restores the default action of Ctrl-C. */
  dispose(): void {
    process.off('SIGINT', this.#listener);
  }
}
