import { invariant } from '../../engine/base/errors.js';
import type { StartDiversion } from '../../engine/target.js';
import { TravelTarget } from '../../engine/travel/target.js';
import { policyOf, startForDebugger } from '../../recording/divert.js';
import type { ClockMode } from '../../diversion/base/clock.js';
import type { DiversionPolicy } from '../../diversion/base/policy.js';

export interface DiversionOptions {
  allowWrites?: string[];
  allowNet?: boolean;
  clock?: ClockMode;
  timeLimit?: number;
  /** rr's diversions refuse kill(2). */
  asRr?: boolean;
}

/** How debuggers get diversions of the replays that this command opens. */
export function diversions(options: DiversionOptions): StartDiversion {
  const { timeLimit: seconds } = options;
  const policy: DiversionPolicy = {
    ...policyOf(seconds === undefined ? options : { ...options, limits: { seconds } }),
    ownKill: options.asRr ? 'refused' : 'done',
  };
  return (replay, say) => {
    invariant(replay instanceof TravelTarget, 'a replay that this command opened');
    const { dataBreakpoints, currentTid: tid } = replay;
    return startForDebugger({ ...replay.session.stand(), tid, dataBreakpoints }, policy, say);
  };
}
