/** Breakpoints whose conditions often do not hold, in loops perhaps: they are tested where the program runs. */
import type { Task } from '../../task/task.js';
import type { TraceFrame } from '../../trace/frame.js';
import type { ReplayStep } from '../plan/step.js';
import type { TickStrategies } from '../ticks/strategies.js';
import type { ReplayContext } from './context.js';
import { watch } from './reach.js';

/** @param task the one that runs; null: that of the next frame */
export function isHot({ core, runner: { stops } }: ReplayContext, task: Task | null): boolean {
  const next = stops && (task ?? core.tasks.get(core.trace.peek(1)?.tid ?? -1));
  return next ? stops.isHot(next) : false;
}

/** In the middle of an interval: goes on by a strategy that tests conditions, where that pays. Precondition: the guest is stopped. */
export function testOnTheWay(
  context: ReplayContext,
  ticks: TickStrategies,
  task: Task,
  frame: TraceFrame,
  step: ReplayStep,
): void {
  const { strategy } = context;
  const next = isHot(context, task) ? ticks.testingFor(strategy) : strategy;
  if (next === strategy || !strategy.settled) return;
  strategy.cancel();
  context.strategy = next;
  watch(context, frame, step);
}
