import { invariant } from '../../engine/base/errors.js';
import type { StartDiversion } from '../../engine/target.js';
import { TravelTarget } from '../../engine/travel/target.js';
import { policyOf } from '../../recording/divert.js';
import type { ClockMode } from '../../diversion/clock.js';
import { startDiversion } from '../../diversion/start.js';

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
  return (replay) => {
    invariant(replay instanceof TravelTarget, 'a replay that this command opened');
    const { dataBreakpoints, currentTid: tid } = replay;
    return startDiversion({ ...replay.session.stand(), tid, dataBreakpoints }, policy);
  };
}
