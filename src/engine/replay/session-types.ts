/** Options and results of a replay session. */
import type { Task } from '../task/task.js';
import type { TraceFrame } from '../trace/frame.js';
import type { ReplayStep } from './plan/step.js';
import type { CoreOptions } from './state/core.js';
import type { TickStrategy, TickStrategyName } from './ticks/strategy.js';

export interface ReplayOptions extends CoreOptions {
  /**
   * How long the guest may run towards one event before the replay counts as stalled, in
   * microseconds, in addition to the allowance for the recording's own pace. Infinity: no limit.
   */
  stallLimitMicros: number;
  /** Count every tick and compare each frame's, however slow. */
  verifyTicks?: boolean;
  /** Plain system calls are staged in ring 0, which completes them without an exit. Default true. */
  stageCalls?: boolean;
  /** How tracee code runs to its events; by default `mixed`, and `instrumented` where ticks are verified. */
  tickStrategy?: TickStrategyName;
}

export interface ReplayStats {
  frames: number;
  exits: number;
  pageFaults: number;
  /** By the engine, at exits: those of the XSAVE family, CPUID. */
  completedInstructions: number;
  /** By the service, without exits: what the processor lacks. */
  softwareInstructions: number;
  tasks: number;
  pagesInUse: number;
  peakPages: number;
  /** System calls that the program made without leaving the guest. */
  stagedCalls: number;
  /** Frames whose ticks were counted and agreed. */
  verifiedTicks: number;
  /** How often the replay went back to count ticks exactly. */
  fallbacks: number;
  /**
   * The frame after which ticks are counted with breakpoints, because another program took the processor's counter; -1:
   * none.
   */
  counterLostAt: number;
}

/**
 * `more`: the requested frames were replayed. `pending`: the budget is used up, call again. `stopped`: the
 * listener wants control.
 */
export type Progress = 'more' | 'pending' | 'end' | 'stopped';

/** A way to the event of a frame. */
export interface Inside {
  readonly task: Task;
  readonly frame: TraceFrame;
  readonly step: ReplayStep;
  readonly strategy: TickStrategy['name'];
}
