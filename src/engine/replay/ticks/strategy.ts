import type { Task } from '../../task/task.js';
import type { Stop } from '../run/runner.js';

/**
 * How tracee code runs to its event.
 *
 * - `mixed`: as `match`, but where only registers would tell the event's place, ticks are counted on the way to it.
 * - `match`: at full speed; asynchronous events are found by a breakpoint and all registers.
 * - `branches`: from one conditional branch to the next, by breakpoints, counting them.
 * - `steps`: one instruction at a time, counting them.
 * - `instrumented`: copies of the code that count as they go, at almost full speed.
 * - `counter`: at full speed, counted by the processor, where it was seen to count exactly.
 */
export const TICK_STRATEGIES = ['mixed', 'match', 'branches', 'steps', 'instrumented', 'counter'] as const;
export type TickStrategyName = (typeof TICK_STRATEGIES)[number];

/**
 * How the way to an event ends, for `TickStrategy.run`: at an address that a strategy may watch for itself, where the
 * event is if ticks and registers agree; or as here.
 */
export const Aim = {
  /** The program stops at the event by itself, or on what is watched. A limit is only not to be passed. */
  byItself: -1,
  /** A limit must not be passed by a single branch. */
  byTicks: -2,
} as const;

export interface TickStrategy {
  readonly name: Exclude<TickStrategyName, 'mixed'>;
  /** `Task.ticks` stays exact if it was, and limits are kept. */
  readonly counts: boolean;
  /** Ticks that an unfinished run has counted so far, about; they are not in `Task.ticks` yet. */
  readonly ahead?: number;
  /** False while a run or step is unfinished: the registers may then not be what the program sees. */
  readonly settled: boolean;
  /** Runs stop (Stop.breakpoint) before executing the instruction at one of these; -1 = none. */
  watch(event: number, hook: number): void;
  /**
   * Runs the task until something happens.
   *
   * With `limit`, a tick count: Stop.ticks right after the branch that reaches it, and Stop.overrun on
   * the branch that would pass it. Stop.yielded: nothing yet, call again. After Stop.pending only another
   * `run` with the same arguments, or a halt of the machine, may follow.
   * @param limit Infinity = none; not below `task.ticks`
   * @param aim an address, or one of Aim: who stops late at a limit may tell Stop.overrun late, and stop on a watched
   *   address below it (Stop.breakpoint)
   */
  run(task: Task, limit: number, budgetMicros: number, aim: number): Stop;
  /** The machine was halted in an unfinished run, which is over: the registers are the program's. */
  halted?(task: Task): void;
  /** Forgets an unfinished run and takes breakpoints away. */
  cancel(): void;
}

/** How many ticks the task is known to have by now, also in an unfinished run; -1: unknown. */
export const ticksSoFar = ({ counts, ahead = 0 }: TickStrategy, { ticks }: Task): number =>
  counts && ticks >= 0 ? ticks + ahead : -1;
