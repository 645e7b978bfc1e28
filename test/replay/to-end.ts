import type { ReplaySession } from '../../src/engine/replay/session.js';

/** Beyond what any sample takes: some hours. */
const MAX_TURNS = 1_000_000;

/**
 * Replays to the end in turns, with the event loop's in between: so vitest's time limits count.
 * @param disturb called after every turn
 * @param budgetMicros of guest time, after which a turn ends
 */
export async function toEnd(
  session: ReplaySession,
  disturb: (session: ReplaySession) => void = () => {},
  budgetMicros = 50_000,
): Promise<void> {
  for (let turn = 0; turn < MAX_TURNS; turn++) {
    if (session.advance(16, budgetMicros) === 'end') return;
    disturb(session);
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error(`not at the end after ${MAX_TURNS} turns; frame ${session.frameTime}`);
}
