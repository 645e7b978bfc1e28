import type { Task } from '../../task/task.js';
import type { TraceFrame } from '../../trace/frame.js';
import type { Stop } from './runner.js';
import type { ReplayStep } from '../plan/step.js';

/** Who debugs a replay: asked wherever the program stands for its sake. Nothing is asked while nobody debugs. */
export interface StopListener {
  /** The next instruction is to be single-stepped. */
  singleStep: boolean;
  /** Tracee code of this task is about to run from the beginning of an interval, or where it was put back to. */
  starts(task: Task): void;
  /**
   * The program stopped inside an interval: Stop.user, watch or guard, or an instruction was single-stepped.
   * `singleStep` is false by now; to execute the next instruction alone, too, it is set again.
   * @returns true: control goes back to who advances the session; false: go on
   */
  stopped(stop: Stop, task: Task): boolean;
  /** Where ticks are counted: how many the task may have before it is to stand (`ticked`). Infinity: any number. */
  tickLimit(task: Task): number;
  /** The task has so many; it stands right behind the branch. @returns true: control goes back */
  ticked(task: Task): boolean;
  /** Something ended the run that is the frame's business. */
  ended(): void;
  /**
   * The task stands where the event of a frame is that is found by its address; nothing of it is performed.
   * @returns true: control goes back to who advances the session; advancing again performs it
   */
  arriving(frame: TraceFrame, task: Task): boolean;
  /** The next frame is about to be taken. @returns true: control goes back, before that */
  preceding(): boolean;
  /** A frame was replayed. `task`: whose it was, or null; still whole when the frame ended it. */
  replayed(frame: TraceFrame, task: Task | null, step: ReplayStep): boolean;
}
