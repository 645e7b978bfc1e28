import { invariant, RevenantError } from '../base/errors.js';
import { SyscallState, type TraceFrame, EventKind } from '../trace/frame.js';
import type { Task } from '../task/task.js';
import { ReplayCore, type CoreOptions } from './core.js';
import { diverged, type DivergenceCause } from './diverge.js';
import { FrameHistory } from './history.js';
import { performFrame, prepareFrame, type PerformContext } from './perform.js';
import { isBookkeeping, planStep, type PlanState } from './plan.js';
import { describePosition, type Position } from './position.js';
import { reachGoal } from './reach.js';
import { Runner } from './runner.js';
import { writeRseqCpu } from './signals.js';
import { Action, Goal, ReplayStep } from './step.js';

/** What an exit counts for in the stall limit: its order of magnitude on a processor that emulates another. */
const NOMINAL_EXIT_MICROS = 50;

/** How much slower than the recording a machine may be: an emulated processor is 10 to 50 times, a busy one more. */
const SLOWEST_MACHINE = 200;
/** A recorded interval that counts; longer ones are sleep or damage. */
const MAX_RECORDED_SECONDS = 600;

export interface ReplayOptions extends CoreOptions {
  /**
   * How long the guest may run towards one event before the replay counts as stalled, in microseconds,
   * besides what the recording's own pace allows. Infinity: for ever.
   */
  stallLimitMicros: number;
}

export interface ReplayStats {
  frames: number;
  exits: number;
  pageFaults: number;
  completedInstructions: number;
  tasks: number;
  pagesInUse: number;
  peakPages: number;
}

export type Progress = 'more' | 'pending' | 'end';

/**
 * A replay of one trace on one machine: frame after frame, plan, run to the event, perform, verify.
 *
 * The session is synchronous and resumable: `advance` comes back after a number of frames or a budget of
 * guest time, so that its caller can show progress and be interrupted.
 */
export class ReplaySession {
  private readonly core: ReplayCore;
  private readonly runner: Runner;
  private readonly history = new FrameHistory();
  private readonly step = new ReplayStep();
  private readonly planState = { started: false, entered: false, skipExecution: false, elidable: false };
  private readonly context: PerformContext;
  /** The frame being replayed, while its goal is not reached yet. */
  private frame: TraceFrame | null = null;
  private task: Task | null = null;
  private previousTid = 0;
  private stalledMicros = 0;
  /** The recorder's clock at the last event that the program was run to. */
  private reachedSec = 0;
  private frames = 0;
  private finished = false;
  /** The guest was left running: nothing but another run or a halt may follow. */
  private running = false;
  /** The current frame's goal is being worked on. */
  private resuming = false;

  private constructor(private readonly options: ReplayOptions) {
    this.core = new ReplayCore(options);
    this.runner = new Runner(this.core);
    this.context = { core: this.core, runner: this.runner, diverge: (cause) => this.diverge(cause) };
  }

  static open(options: ReplayOptions): ReplaySession {
    return new ReplaySession(options);
  }

  /** FrameTime of the last frame that was replayed completely. */
  get frameTime(): number {
    return this.frame ? this.frame.frameTime - 1 : this.core.trace.frameTime;
  }

  get stats(): ReplayStats {
    return {
      frames: this.frames,
      exits: this.runner.exits,
      pageFaults: this.runner.pageFaults,
      completedInstructions: this.runner.completed,
      tasks: this.core.taskCount,
      pagesInUse: this.core.memory.pagesInUse,
      peakPages: this.core.memory.peakPages,
    };
  }

  /** Wait status (wait(2)) of the first program's process, or null if the trace does not record its end. */
  get exitStatus(): number | null {
    return this.core.exitStatus;
  }

  /**
   * Replays up to `maxFrames` frames.
   * @param budgetMicros guest time between two exits after which control comes back with 'pending'
   * @throws RevenantError; a DivergenceError where the replay differs from the recording
   */
  advance(maxFrames: number, budgetMicros: number): Progress {
    try {
      return this.advanceFrames(maxFrames, budgetMicros);
    } catch (error) {
      if (!this.isCutShort(error)) throw error;
      this.finished = true;
      return 'end';
    }
  }

  /** The recorder was killed: `events` may have reached the disk before what its last frames need (notes 1.5). */
  private isCutShort(error: unknown): boolean {
    const { trace } = this.core;
    if (!trace.incomplete || !(error instanceof RevenantError) || error.code !== 'E_TRACE_CORRUPT')
      return false;
    return trace.peekMapping() === null || trace.peekTaskEvent() === null;
  }

  private advanceFrames(maxFrames: number, budgetMicros: number): Progress {
    for (let count = 0; count < maxFrames; count++) {
      if (this.finished) return 'end';
      if (!this.frame && !this.begin()) {
        this.finished = true;
        return 'end';
      }
      if (!this.run(budgetMicros)) return 'pending';
      this.finish();
    }
    return this.finished ? 'end' : 'more';
  }

  /** Registers, symbol and mapping where the program stands. */
  describe(): Position | null {
    this.halt();
    const task = this.task ?? this.core.tasks.get(this.previousTid) ?? null;
    return task && describePosition(this.core, task, this.frameTime);
  }

  /** Gives guest memory back, also in the middle of a run. */
  close(): void {
    try {
      this.halt();
    } finally {
      this.core.close();
    }
  }

  private halt(): void {
    if (!this.running) return;
    this.running = false;
    this.core.machine.halt();
  }

  /** Takes the next frame and plans it; false at the end of the trace. */
  private begin(): boolean {
    const frame = this.core.trace.advance();
    if (!frame) return false;
    this.frame = frame;
    this.task = this.core.tasks.get(frame.tid) ?? null;
    this.history.push(frame);
    planStep(frame, this.planFor(frame), this.step);
    if (this.step.action === Action.skip || this.step.action === Action.exitExec) return true;
    if (!this.task) throw this.noTask(frame);
    if (frame.tid !== this.previousTid) writeRseqCpu(this.core, this.task);
    this.previousTid = frame.tid;
    prepareFrame(this.core, this.task, frame, this.step);
    return true;
  }

  private planFor(frame: TraceFrame): PlanState {
    const state = this.planState;
    const task = this.task;
    state.started = this.core.taskCount > 0;
    state.entered = task !== null && task.entered;
    state.skipExecution = task !== null && task.skipNextExecution;
    state.elidable = this.isElidable(frame);
    if (task) task.skipNextExecution = false;
    if (task && !isBookkeeping(frame)) task.entered = false;
    return state;
  }

  /** A reschedule that changes nothing and after which the same task goes on cannot be observed. */
  private isElidable(frame: TraceFrame): boolean {
    if (frame.kind !== EventKind.sched || frame.memWriteCount > 0 || frame.inSyscallbufSyscallHook !== 0n)
      return false;
    return this.task?.rseq == null && this.core.trace.peek(1)?.tid === frame.tid;
  }

  /** Runs tracee code up to the event; false if the budget is used up. */
  private run(budgetMicros: number): boolean {
    if (this.step.goal === Goal.none) return true;
    invariant(this.frame && this.task, 'a step that runs has a task');
    this.running = false;
    const exits = this.runner.exits;
    const reach = reachGoal(this.context, this.task, this.frame, this.step, budgetMicros, this.resuming);
    this.resuming = reach !== 'reached';
    if (reach === 'reached') {
      this.stalledMicros = 0;
      this.reachedSec = this.frame.monotonicSec;
      return true;
    }
    this.running = reach === 'running';
    this.stalledMicros += this.running ? budgetMicros : (this.runner.exits - exits) * NOMINAL_EXIT_MICROS;
    if (this.stalledMicros > this.stallLimit(this.frame)) {
      this.halt();
      const seconds = Math.round(this.stalledMicros / 1e6);
      throw this.diverge({
        summary: `the program has run for ${seconds} s without reaching the event`,
        hint: 'If it really computes that long, allow more with --stall-limit SECONDS.',
      });
    }
    return false;
  }

  /** The limit, plus what the recording took for this interval on a processor that may be much slower. */
  private stallLimit(frame: TraceFrame): number {
    const recorded = Math.min(Math.max(0, frame.monotonicSec - this.reachedSec), MAX_RECORDED_SECONDS);
    return this.options.stallLimitMicros + recorded * 1e6 * SLOWEST_MACHINE;
  }

  private finish(): void {
    const frame = this.frame;
    invariant(frame, 'a frame is being replayed');
    this.task = performFrame(this.context, this.task, frame, this.step);
    if (this.task) this.previousTid = this.task.tid;
    if (this.core.header.clearFipFdp) this.clearX87Pointers();
    this.requireNoMapping(frame);
    this.frames++;
    this.frame = null;
    if (frame.kind !== EventKind.syscall || frame.syscallState !== SyscallState.enteringPtrace) return;
    if (this.task) this.task.entered = true;
  }

  /**
   * rr zeroes FIP and FDP after every frame: they depend on whether the kernel swapped the state (notes
   * 10.6). A task that is off the vCPU had its own zeroed before it was parked.
   */
  private clearX87Pointers(): void {
    if (this.task && this.task === this.core.current) this.core.machine.context.requestClearFip();
  }

  /** A mapping record that nobody took means that the streams do not belong together. */
  private requireNoMapping(frame: TraceFrame): void {
    const record = this.core.trace.nextMapping(frame.frameTime);
    if (!record || this.step.action === Action.skip) return;
    throw new RevenantError(
      'E_TRACE_CORRUPT',
      `Frame ${frame.frameTime} has a mapping record (0x${record.start.toString(16)}) that its event does not use.`,
      'Either the trace is damaged or its rr is newer than Revenant knows.',
    );
  }

  private noTask(frame: TraceFrame): RevenantError {
    return new RevenantError(
      'E_TRACE_CORRUPT',
      `Frame ${frame.frameTime} is of task ${frame.tid}, which does not exist.`,
      'The events do not fit together: the trace is damaged.',
    );
  }

  private diverge(cause: DivergenceCause): RevenantError {
    invariant(this.frame, 'divergence outside of a frame');
    return diverged(this.core, this.task, this.frame, this.history, cause);
  }
}
