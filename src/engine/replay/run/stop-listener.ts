import type { Task } from '../../task/task.js';
import type { TraceFrame } from '../../trace/frame.js';
import type { Stop } from './runner.js';
import type { ReplayStep } from '../plan/step.js';

/** The debugger of a replay: called wherever the program stops for it. Absent without a debugger. */
export interface StopListener {
  /** The next instruction is to be single-stepped. */
  singleStep: boolean;
  /** Tracee code of this task is about to run from the beginning of an interval, or where it was put back to. */
  starts(task: Task): void;
  /**
   * The program stopped inside an interval: Stop.user, watch or guard, or an instruction was single-stepped.
   * `singleStep` is then false; it is set again to single-step the next instruction, too.
   * @returns true: `advance` returns; false: continue
   */
  stopped(stop: Stop, task: Task): boolean;
  /** While ticks are counted: the task's limit, at which it stops (`ticked`). Infinity: none. */
  tickLimit(task: Task): number;
  /**
   * The task has reached the limit; it is right after the branch.
   * @returns true: `advance` returns
   */
  ticked(task: Task): boolean;
  /** Something ended the run that is the frame's business. */
  ended(): void;
  /**
   * The task is at the event of a frame that is found by its address, which is not performed yet.
   * @returns true: `advance` returns; the next call performs it
   */
  arriving(frame: TraceFrame, task: Task): boolean;
  /**
   * The next frame is about to be read.
   * @returns true: `advance` returns before that
   */
  preceding(): boolean;
  /** A frame was replayed. `task`: its task, or null; still intact if the frame ended it. */
  replayed(frame: TraceFrame, task: Task | null, step: ReplayStep): boolean;
}
