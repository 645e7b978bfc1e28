/** What has to be done for one frame. Plain data: `plan` makes it, `perform` does it. */

/** How far tracee code runs before the frame's effects are applied. */
export const Goal = {
  /** Nothing runs. */
  none: 0,
  /** To the system call instruction that ends at `address`. */
  syscall: 1,
  /** To the first arrival at `address`, by a breakpoint. */
  address: 2,
  /** To the next instruction that traps (RDTSC, CPUID...), which ends at `address`. */
  trap: 3,
  /** To the fault that raises the frame's signal. */
  fault: 4,
  /** To the point in the preload library where the recorded number of buffered calls is committed. */
  flush: 5,
  /** To the frame's ticks and registers: an asynchronous event, at `address`. */
  target: 6,
} as const;
export type Goal = (typeof Goal)[keyof typeof Goal];

/** What is done at the event. */
export const Action = {
  /** Before the first program exists: only the cursors move. */
  skip: 0,
  enterSyscall: 1,
  /** restart_syscall entered: state comes from the frame. */
  restartSyscall: 2,
  exitSyscall: 3,
  exitExec: 4,
  /** Stopped on a system call that the recorder replaced: not executed. */
  patchSyscall: 5,
  /** Mapping records and memory writes, registers unchanged. */
  patchMemory: 6,
  /** Registers come from the frame. */
  trap: 7,
  /** Arrival of an asynchronous event. */
  arrive: 8,
  faultSignal: 9,
  deliverSignal: 10,
  enterHandler: 11,
  growMap: 12,
  flushBuffer: 13,
  resetBuffer: 14,
  abortCommit: 15,
  exitTask: 16,
  /** Nothing: the task was killed inside the buffer code and only exits from here on (rr-traces.md 7.6, step 5). */
  retire: 17,
} as const;
export type Action = (typeof Action)[keyof typeof Action];

/** Invariant: reused for every frame; valid until the next `plan`. */
export class ReplayStep {
  goal: Goal = Goal.none;
  action: Action = Action.skip;
  /** Meaning depends on `goal`; -1 = none. */
  address = -1;
  /** For Goal.fault: the signal number. */
  signal = 0;
}
