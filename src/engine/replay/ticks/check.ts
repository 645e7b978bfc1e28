import type { Task } from '../../task/task.js';
import { EventKind, type TraceFrame } from '../../trace/frame.js';
import { Action, Goal, type ReplayStep } from '../plan/step.js';
import { hasExactTicks } from '../../trace/ticks.js';

/** Compares the ticks that were counted with the recorded ones. */
export class TickCheck {
  /** Frames whose ticks were counted and agreed. */
  verified = 0;
  /** The last of them: after a fall-back frames come again. */
  private last = 0;

  /**
   * The task is at a frame's event. From a frame with exact ticks on its ticks are known.
   * @param counts whether the way there was counted
   * @returns false if they differ; `task.ticks` is then what was counted
   */
  agrees(task: Task, frame: TraceFrame, step: ReplayStep, counts: boolean): boolean {
    if (step.action === Action.skip) return true;
    if (!hasExactTicks(frame)) {
      if (step.goal !== Goal.none && !counts) task.ticks = -1;
      return true;
    }
    // Passed over: the task is somewhere before it, and its ticks are what they were.
    const isPassed = frame.kind === EventKind.sched && step.goal === Goal.none;
    if (isPassed && (counts || step.action !== Action.retire)) return true;
    const known = counts && task.ticks >= 0 && !task.dying && step.action !== Action.retire;
    if (known && task.ticks !== frame.ticks) return false;
    if (known && frame.frameTime > this.last) {
      this.verified++;
      this.last = frame.frameTime;
    }
    task.ticks = frame.ticks;
    return true;
  }
}
