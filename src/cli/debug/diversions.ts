import { invariant } from '../../engine/base/errors.js';
import type { StartDiversion } from '../../engine/target.js';
import { TravelTarget } from '../../engine/travel/target.js';
import { policyOf, startForDebugger } from '../../recording/divert.js';
import type { ClockMode } from '../../diversion/base/clock.js';

export interface DiversionOptions {
  allowWrites?: string[];
  allowNet?: boolean;
  clock?: ClockMode;
  timeLimit?: number;
}

/** How debuggers get diversions of the replays that this command opens. */
export function diversions(options: DiversionOptions): StartDiversion {
  const { timeLimit: seconds } = options;
  const policy = policyOf(seconds === undefined ? options : { ...options, limits: { seconds } });
  return (replay, say) => {
    invariant(replay instanceof TravelTarget, 'a replay that this command opened');
    const { dataBreakpoints, currentTid: tid } = replay;
    return startForDebugger({ ...replay.session.stand(), tid, dataBreakpoints }, policy, say);
  };
}
