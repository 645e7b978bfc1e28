/** Waits for a target's operation: the polling loop of every front end. */
import { RevenantError } from '../engine/base/errors.js';
import type { DebugStop, DebugTarget } from '../engine/target.js';

/** How long-running work yields to signals, sockets and timers, and learns that it was cancelled. */
export interface Turns {
  /** Yields to the event loop. May throw E_INTERRUPTED, which ends the work, or interrupt a target. */
  turn(): Promise<void>;
  /** Waits for `work` unless it is cancelled. */
  guard<T>(work: Promise<T>): Promise<T>;
}

/** A turn of the event loop. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** For work that cannot be interrupted. */
export const uninterrupted: Turns = { turn: nextTurn, guard: (work) => work };

/**
 * Polls the current operation until it stops, with a turn after each slice. Throws what `turn` and the target throw.
 */
export async function untilStop(
  target: Pick<DebugTarget, 'poll'>,
  turn: () => Promise<void>,
): Promise<DebugStop> {
  for (;;) {
    const stop = target.poll();
    if (stop) return stop;
    await turn();
  }
}

/** As `untilStop`; throws E_INTERRUPTED where the target was interrupted. */
export async function arrival(
  target: Pick<DebugTarget, 'poll'>,
  turn: () => Promise<void>,
): Promise<DebugStop> {
  const stop = await untilStop(target, turn);
  if (stop.kind === 'interrupted') throw new RevenantError('E_INTERRUPTED', 'Interrupted.');
  return stop;
}

/** All tasks that are left are of one process. */
export const isLastProcess = (target: Pick<DebugTarget, 'tasks'>): boolean =>
  new Set(target.tasks().map(({ pid }) => pid)).size === 1;
