import type { RevenantError } from '../../base/errors.js';
import type { Unraised } from '../../x86/unraised.js';
import type { DivergenceCause } from '../report/diverge.js';
import type { ReplayRunner } from '../run/runner.js';
import type { StopListener } from '../run/stop-listener.js';
import type { ReplayCore } from '../state/core.js';
import type { SingleStep } from '../ticks/single-step.js';
import type { TickStrategy } from '../ticks/strategy.js';

/** State that a session and the steps of its frames share, including its mutable parts. */
export interface ReplayContext {
  readonly core: ReplayCore;
  readonly runner: ReplayRunner;
  /** How tracee code runs at present. */
  strategy: TickStrategy;
  readonly stepper: SingleStep;
  listener: StopListener | null;
  /** Where all but vector registers were a frame's, last; for the report of a divergence. */
  nearMiss: { frameTime: number; differing: string[] } | null;
  /** How this machine may leave out the fault that is run to; set where that begins. */
  unraised?: Unraised;
  /** Makes the error that ends a replay which differs from the recording. */
  readonly diverge: (cause: DivergenceCause) => RevenantError;
}
