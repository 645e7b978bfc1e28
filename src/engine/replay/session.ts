import { invariant, RevenantError } from '../base/errors.js';
import { SyscallState, type TraceFrame, EventKind } from '../trace/frame.js';
import type { Task } from '../task/task.js';
import { ReplayCore, type CoreOptions } from './core.js';
import { diverged, type DivergenceCause } from './diverge.js';
import { FrameHistory } from './history.js';
import { performFrame, prepareFrame, type PerformContext } from './perform.js';
import { isBookkeeping, planStep, type PlanState } from './plan.js';
import { OutputOnce } from './output-once.js';
import { describePosition, type Position } from './position.js';
import { reachGoal } from './reach.js';
import { Runner } from './runner.js';
import { writeRseqCpu } from './signals.js';
import { StallWatch } from './stall.js';
import { Action, Goal, ReplayStep } from './step.js';
import { isElidable } from './ticks/elide.js';
import { TickStrategies } from './ticks/strategies.js';
import type { TickStrategy, TickStrategyName } from './ticks/strategy.js';
import { Timeline, endsByRegisters } from './timeline.js';
import { hasExactTicks } from './verify.js';

/** What an exit counts for in the stall limit: its order of magnitude on a processor that emulates another. */
const NOMINAL_EXIT_MICROS = 50;

export interface ReplayOptions extends CoreOptions {
  /**
   * How long the guest may run towards one event before the replay counts as stalled, in microseconds,
   * besides what the recording's own pace allows. Infinity: for ever.
   */
  stallLimitMicros: number;
  /** Count every tick and compare each frame's, whatever it costs. */
  verifyTicks?: boolean;
  /** How tracee code runs to its events; by default `match`, and `branches` where ticks are verified. */
  tickStrategy?: TickStrategyName;
}

export interface ReplayStats {
  frames: number;
  exits: number;
  pageFaults: number;
  completedInstructions: number;
  tasks: number;
  pagesInUse: number;
  peakPages: number;
  /** Frames whose ticks were counted and agreed. */
  verifiedTicks: number;
  /** How often the replay went back to count ticks exactly. */
  fallbacks: number;
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
  private readonly output: OutputOnce;
  private readonly runner: Runner;
  private readonly history = new FrameHistory();
  private readonly step = new ReplayStep();
  private readonly planState = { started: false, entered: false, skipExecution: false, elidable: false };
  private readonly context: PerformContext;
  /** The frame being replayed, while its goal is not reached yet. */
  private frame: TraceFrame | null = null;
  private task: Task | null = null;
  private previousTid = 0;
  private readonly ticks: TickStrategies;
  /** The strategy that the caller chose; after a fall-back the replay comes back to it. */
  private readonly home: TickStrategy;
  private readonly timeline: Timeline;
  /** While redoing: the frame at which the replay had diverged. */
  private exactUntil = 0;
  private verifiedTicks = 0;
  private readonly stall: StallWatch;
  private frames = 0;
  private finished = false;
  /** The guest was left running: nothing but another run or a halt may follow. */
  private running = false;
  /** The current frame's goal is being worked on. */
  private resuming = false;

  private constructor(options: ReplayOptions) {
    this.output = new OutputOnce(options.output);
    this.core = new ReplayCore({ ...options, output: (stream, bytes) => this.output.write(stream, bytes) });
    this.runner = new Runner(this.core);
    this.ticks = new TickStrategies(options.machine, this.runner);
    this.home = this.ticks.of(options.tickStrategy ?? (options.verifyTicks ? 'branches' : 'match'));
    this.context = {
      core: this.core,
      runner: this.runner,
      strategy: this.home,
      stepper: this.ticks.stepper,
      diverge: (cause) => this.diverge(cause),
    };
    this.timeline = new Timeline(this.core);
    this.stall = new StallWatch(options.stallLimitMicros);
    this.core.memory.reclaim = () => this.timeline.dropOldest();
  }

  static open(options: ReplayOptions): ReplaySession {
    return new ReplaySession(options);
  }

  /** FrameTime of the last frame that was replayed completely. */
  get frameTime(): number {
    return this.frame ? this.frame.frameTime - 1 : this.core.trace.frameTime;
  }

  /** Exits of the vCPU so far. */
  get exits(): number {
    return this.runner.exits;
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
      verifiedTicks: this.verifiedTicks,
      fallbacks: this.timeline.fallbacks,
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
      const progress = this.advanceOne(budgetMicros);
      if (progress !== 'more') return progress;
    }
    return 'more';
  }

  private advanceOne(budgetMicros: number): Progress {
    try {
      if (!this.frame && !this.begin()) {
        this.finished = true;
        return 'end';
      }
      if (!this.run(budgetMicros)) return 'pending';
      this.finish();
      return 'more';
    } catch (error) {
      if (!this.fallBack(error)) throw error;
      return 'more';
    }
  }

  /**
   * A register-matched landing may have been at the wrong one of several equal states: goes back before it
   * and counts. What else may be wrong for the same reason shows as other errors than divergence.
   * @returns false if there is nothing to go back to
   */
  private fallBack(error: unknown): boolean {
    if (
      !(error instanceof RevenantError) ||
      (error.code !== 'E_DIVERGED' && error.code !== 'E_TRACE_CORRUPT')
    )
      return false;
    if (this.timeline.isEmpty) return false;
    const failedAt = this.frame?.frameTime ?? this.core.trace.frameTime;
    this.halt();
    this.context.strategy.cancel();
    const checkpoint = this.timeline.goBack();
    if (!checkpoint) return false;
    this.core.log.debug({ failedAt, to: checkpoint.frameTime, error: error.message }, 'counting ticks again');
    this.history.rewind(checkpoint.frameTime + 1);
    this.frames = checkpoint.frames;
    this.previousTid = checkpoint.previousTid;
    this.output.rewind(checkpoint.written);
    this.frame = this.task = null;
    this.finished = this.resuming = false;
    this.stall.progressed();
    this.exactUntil = Math.max(this.exactUntil, failedAt);
    this.context.strategy = this.ticks.of('branches');
    return true;
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
    this.runner.hold(this.core.machine.halt());
  }

  private haltStalled(frame: TraceFrame): void {
    try {
      this.halt();
    } catch (cause) {
      throw new RevenantError(
        'E_MACHINE_LOST',
        `Frame ${frame.frameTime}, task ${frame.tid}: the program has run for ${this.stall.seconds} s without ` +
          'coming nearer to the event, and the vCPU does not stop.',
        'The machine hangs: end it with `revenant machine stop`, then run the command again.',
        { cause },
      );
    }
  }

  /** Takes the next frame and plans it; false at the end of the trace. */
  private begin(): boolean {
    this.considerCheckpoint();
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
    state.elidable = !this.context.strategy.counts && isElidable(frame, task, this.core.trace.peek(1));
    if (task) task.skipNextExecution = false;
    if (task && !isBookkeeping(frame)) task.entered = false;
    return state;
  }

  /** Before an interval whose end will be found by registers. */
  private considerCheckpoint(): void {
    if (this.exactUntil > 0 && this.core.trace.frameTime >= this.exactUntil) {
      this.exactUntil = 0;
      this.context.strategy.cancel();
      this.context.strategy = this.home;
    }
    if (this.context.strategy.counts || !this.timeline.isDue(this.runner.exits)) return;
    if (!endsByRegisters(this.core)) return;
    this.timeline.add(this.runner.exits, {
      position: this.core.trace.save(),
      frameTime: this.core.trace.frameTime,
      frames: this.frames,
      previousTid: this.previousTid,
      written: this.output.written,
    });
  }

  /** Runs tracee code up to the event; false if the budget is used up. */
  private run(budgetMicros: number): boolean {
    if (this.step.goal === Goal.none) return true;
    invariant(this.frame && this.task, 'a step that runs has a task');
    this.running = false;
    const [exits, ticks] = [this.runner.exits, this.task.ticks];
    const reach = reachGoal(this.context, this.task, this.frame, this.step, budgetMicros, this.resuming);
    this.resuming = reach !== 'reached';
    if (reach === 'reached') {
      this.stall.reached(this.frame.monotonicSec);
      return true;
    }
    this.running = reach === 'running';
    // Counting, the program comes nearer with every tick up to the frame's. Those of frames whose ticks are
    // no program point are a little more than the program's own.
    if (this.context.strategy.counts && this.task.ticks > ticks && this.task.ticks <= this.frame.ticks) {
      this.stall.progressed();
      return false;
    }
    const micros = this.running ? budgetMicros : (this.runner.exits - exits) * NOMINAL_EXIT_MICROS;
    if (this.stall.isOverdue(micros, this.frame.monotonicSec)) {
      this.haltStalled(this.frame);
      throw this.diverge({
        summary: `the program has run for ${this.stall.seconds} s without coming nearer to the event`,
        hint: 'If it really computes that long, allow more with --stall-limit SECONDS.',
      });
    }
    return false;
  }

  private finish(): void {
    const frame = this.frame;
    invariant(frame, 'a frame is being replayed');
    this.checkTicks(frame);
    this.task = performFrame(this.context, this.task, frame, this.step);
    if (this.task) this.previousTid = this.task.tid;
    if (this.core.header.clearFipFdp) this.clearX87Pointers();
    this.requireNoMapping(frame);
    this.frames++;
    this.frame = null;
    if (frame.kind !== EventKind.syscall || frame.syscallState !== SyscallState.enteringPtrace) return;
    if (this.task) this.task.entered = true;
  }

  /** Compares the ticks that were counted with the frame's; from a frame with exact ticks on they are known. */
  private checkTicks(frame: TraceFrame): void {
    const { task, step } = this;
    if (!task || step.action === Action.skip) return;
    if (!hasExactTicks(frame)) {
      if (step.goal !== Goal.none && !this.context.strategy.counts) task.ticks = -1;
      return;
    }
    const known =
      this.context.strategy.counts && task.ticks >= 0 && !task.dying && step.action !== Action.retire;
    if (known && task.ticks !== frame.ticks) {
      throw this.diverge({ summary: 'ticks differ from the recorded ones', foundTicks: task.ticks });
    }
    if (known) this.verifiedTicks++;
    task.ticks = frame.ticks;
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
