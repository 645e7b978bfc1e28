import { invariant, RevenantError } from '../base/errors.js';
import { CounterLostError } from '../kvm/branch-counter.js';
import { SyscallState, type TraceFrame, EventKind } from '../trace/frame.js';
import type { Task } from '../task/task.js';
import { ReplayCore } from './state/core.js';
import { diverged, type DivergenceCause } from './report/diverge.js';
import { hangs, isCutShort, noTask, requireMappingsTaken } from './report/frame-errors.js';
import { FrameHistory } from './report/history.js';
import { isInCall, performFrame, prepareFrame } from './perform/perform.js';
import type { ReplayContext } from './perform/context.js';
import { isBookkeeping, planStep, type PlanState } from './plan/plan.js';
import { OutputOnce } from './output-once.js';
import { describePosition, type Position } from './state/position.js';
import { reachGoal, type Reach } from './perform/reach.js';
import { isHot, testOnTheWay } from './perform/hot-stops.js';
import { ReplayRunner } from './run/runner.js';
import { writeRseqCpu } from './perform/signals.js';
import { StallWatch } from './stall.js';
import { Action, Goal, ReplayStep } from './plan/step.js';
import { Staging } from './perform/staging.js';
import { TickCheck } from './ticks/check.js';
import { isElidable } from './ticks/elide.js';
import { TickStrategies } from './ticks/strategies.js';
import { ticksSoFar, type TickStrategyName } from './ticks/strategy.js';
import {
  dropCheckpoint,
  restoreCheckpoint,
  takeCheckpoint,
  type Checkpoint,
  type CheckpointPlace,
} from './state/checkpoint.js';
import { ExactRanges } from './ticks/exact-ranges.js';
import type { GuestStops } from '../guest/stops/guest-stops.js';
import type { StopListener } from './run/stop-listener.js';
import type { Inside, Progress, ReplayOptions, ReplayStats } from './session-types.js';
import { endsByRegisters, Timeline } from './timeline.js';
export type { Progress, ReplayOptions, ReplayStats } from './session-types.js';

/** What an exit counts for in the stall limit: its order of magnitude in an emulator. */
const NOMINAL_EXIT_MICROS = 50;

/**
 * A replay of one trace on one machine: frame after frame, plan, run to the event, perform, verify.
 *
 * The session is synchronous and resumable: `advance` returns after a number of frames or a budget
 * of guest time, so that its caller can show progress and be interrupted.
 */
export class ReplaySession {
  /** Tasks, memory and the trace: to inspect and to checkpoint. The runner is private. */
  readonly core: ReplayCore;
  readonly output: OutputOnce;
  private readonly runner: ReplayRunner;
  private readonly history = new FrameHistory();
  private readonly step = new ReplayStep();
  private readonly planState = { started: false, entered: false, skipExecution: false, elidable: false };
  private readonly context: ReplayContext;
  /** The frame being replayed, while its goal is not reached yet. */
  private frame: TraceFrame | null = null;
  private task: Task | null = null;
  private previousTid = 0;
  private readonly ticks: TickStrategies;
  /** After a fall-back the replay comes back to it. */
  private readonly chosen: TickStrategyName;
  private readonly timeline: Timeline;
  private readonly exact = new ExactRanges();
  private readonly staging: Staging | null;
  private readonly tickCheck = new TickCheck();
  private readonly stall: StallWatch;
  private readonly fallBackListeners: ((backTo: number, failedAt: number) => void)[] = [];
  private frames = 0;
  private finished = false;
  /** The guest was left running: nothing but another run or a halt may follow. */
  private running = false;
  /** The current frame's goal is being worked on. */
  private resuming = false;

  private constructor(options: ReplayOptions) {
    this.output = new OutputOnce(options.output);
    this.core = new ReplayCore({ ...options, output: (stream, bytes) => this.output.write(stream, bytes) });
    this.runner = new ReplayRunner(this.core);
    this.chosen = options.tickStrategy ?? (options.verifyTicks ? 'instrumented' : 'mixed');
    this.ticks = new TickStrategies(this.core, this.runner, this.chosen);
    this.context = {
      core: this.core,
      runner: this.runner,
      strategy: this.ticks.home,
      stepper: this.ticks.stepper,
      listener: null,
      nearMiss: null,
      diverge: (cause) => this.diverge(cause),
    };
    this.staging = (options.stageCalls ?? true) ? new Staging(this.core) : null;
    this.stall = new StallWatch(options.stallLimitMicros);
    this.core.memory.reclaimFrom(() => this.timeline.giveUpOldest());
    this.timeline = new Timeline(this.core, this.checkpoint());
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
      softwareInstructions: this.core.machine.completedInstructions,
      tasks: this.core.taskCount,
      pagesInUse: this.core.memory.pagesInUse,
      peakPages: this.core.memory.peakPages,
      stagedCalls: this.staging?.made ?? 0,
      verifiedTicks: this.tickCheck.verified,
      fallbacks: this.timeline.fallbacks,
      counterLostAt: this.ticks.counterLostAt,
    };
  }

  /** Wait status (wait(2)) of the first program's process, or null if the trace does not record its end. */
  get exitStatus(): number | null {
    return this.core.exitStatus;
  }

  /**
   * Replays up to `maxFrames` frames.
   * @param budgetMicros guest time between two exits after which 'pending' is returned @throws
   * RevenantError; a DivergenceError where the replay differs from the recording
   */
  advance(maxFrames: number, budgetMicros: number): Progress {
    try {
      return this.advanceFrames(maxFrames, budgetMicros);
    } catch (error) {
      if (!isCutShort(this.core.trace, error)) throw error;
      this.finished = true;
      return 'end';
    }
  }

  private advanceFrames(maxFrames: number, budgetMicros: number): Progress {
    for (let left = maxFrames; left > 0;) {
      if (this.finished) return 'end';
      const before = this.frames;
      const progress = this.advanceOne(left, budgetMicros);
      if (progress !== 'more') return progress;
      left -= Math.max(1, this.frames - before);
    }
    return 'more';
  }

  /** One frame, or as many as were staged, but no more than `maxFrames`. */
  private advanceOne(maxFrames: number, budgetMicros: number): Progress {
    try {
      if (!this.frame && this.context.listener?.preceding()) return 'stopped';
      if (!this.frame && !this.begin()) {
        this.finished = true;
        return 'end';
      }
      let reach = this.run(maxFrames, budgetMicros);
      for (let left = maxFrames; reach === 'staged'; reach = this.run(left, budgetMicros)) {
        left -= this.catchUp();
        if (!this.frame) return 'more';
      }
      if (reach !== 'reached') return reach === 'stopped' ? reach : 'pending';
      return this.finish() ? 'stopped' : 'more';
    } catch (error) {
      if (!this.fallBack(error)) throw error;
      return 'more';
    }
  }

  /**
   * A register-matched landing may have been at the wrong one of several equal states: goes back before it and
   * counts. Other errors than divergence may have the same cause.
   * @returns false if there is no checkpoint to go back to
   */
  private fallBack(error: unknown): boolean {
    if (error instanceof CounterLostError) return this.goOnWithoutCounter(error);
    if (
      !(error instanceof RevenantError) ||
      (error.code !== 'E_DIVERGED' && error.code !== 'E_TRACE_CORRUPT')
    )
      return false;
    const failedAt = this.frame?.frameTime ?? this.core.trace.frameTime;
    if (!this.timeline.canGoBack(failedAt)) return false;
    this.stop();
    const checkpoint = this.timeline.goBack(failedAt);
    if (!checkpoint) return false;
    this.core.log.debug({ failedAt, to: checkpoint.frameTime, error: error.message }, 'again');
    this.exact.add(checkpoint.frameTime + 1, failedAt);
    this.resumeFrom(checkpoint);
    this.fellBack(checkpoint.frameTime, failedAt);
    return true;
  }

  /** When the counter is found to be lost, the program's position is unknown. */
  private goOnWithoutCounter({ message }: CounterLostError): boolean {
    const failedAt = this.frame?.frameTime ?? this.core.trace.frameTime;
    this.stop();
    const checkpoint = this.timeline.goBackUncounted();
    const { frameTime } = checkpoint;
    this.ticks.loseCounter(frameTime);
    this.context.strategy = this.ticks.home;
    this.core.log.warn({ failedAt, to: frameTime }, `${message} Breakpoints count from there`);
    this.resumeFrom(checkpoint);
    this.fellBack(frameTime, failedAt);
    return true;
  }

  /** Abandons the current run: the core's state is about to be replaced. */
  private stop(): void {
    this.halt();
    this.runner.dropHeld();
    this.context.strategy.cancel();
    this.ticks.stepper.cancel();
  }

  /** Follows the core, which was put back to a checkpoint. */
  private resumeFrom(checkpoint: Checkpoint): void {
    this.history.rewind(checkpoint.frameTime + 1);
    this.frames = checkpoint.frames;
    this.previousTid = checkpoint.previousTid;
    this.output.rewind(checkpoint.written);
    this.frame = this.task = null;
    this.finished = this.resuming = false;
    this.stall.progressed();
    const { inside } = checkpoint;
    if (!inside) return;
    const frame = this.core.trace.advance();
    invariant(frame, 'a checkpoint inside an interval has a frame ahead');
    this.frame = frame;
    this.task = this.core.tasks.get(frame.tid) ?? null;
    this.history.push(frame);
    Object.assign(this.step, inside);
    this.chooseStrategy(frame.frameTime);
  }

  /**
   * Attaches a debugger: its breakpoints and watchpoints are active whenever the program runs, and its listener is
   * called wherever the program stops for them. One at a time.
   * @param listener created with the runner, which has the reasons of stops
   */
  attach<L extends StopListener>(stops: GuestStops, listener: (runner: ReplayRunner) => L): L {
    this.runner.stops = stops;
    return (this.context.listener = listener(this.runner));
  }

  /** Ticks are counted from the next frame or restored checkpoint on, regardless of the strategy. */
  counting = false;

  /** The chosen strategy counts: ticks are exact everywhere. */
  get alwaysCounts(): boolean {
    return this.ticks.home.counts;
  }

  /** `told` is called each time that the replay falls back: to which frame, and which one failed. */
  onFallBack(told: (backTo: number, failedAt: number) => void): void {
    this.fallBackListeners.push(told);
  }

  private fellBack(backTo: number, failedAt: number): void {
    for (const told of this.fallBackListeners) told(backTo, failedAt);
  }

  /** Towards which frame tracee code is running, and how; null between two frames. */
  get inside(): Inside | null {
    const { frame, task, step, context } = this;
    return frame && task && { task, frame, step, strategy: context.strategy.name };
  }

  /** Of the task of `inside`, also while it runs; -1: unknown. */
  get ticksSoFar(): number {
    return this.task ? ticksSoFar(this.context.strategy, this.task) : -1;
  }

  /** Stops the program where its state can be read and checkpointed. False if not yet: advance, then call again. */
  pause(): boolean {
    if (!this.frame) return true;
    const { strategy, stepper } = this.context;
    if (!strategy.settled || !stepper.settled) return false;
    this.halt();
    return this.runner.forgetHeld();
  }

  /** The program's position. Precondition: `pause` was true, or the last progress was not `pending`. */
  checkpoint(): Checkpoint {
    return takeCheckpoint(this.core, this.place());
  }

  private place(): CheckpointPlace {
    const { trace } = this.core;
    const { goal, action, address, signal } = this.step;
    return {
      position: this.frame ? trace.saveBeforeCurrent() : trace.save(),
      inside: this.frame && { goal, action, address, signal },
      frameTime: this.frameTime,
      frames: this.frames,
      previousTid: this.previousTid,
      written: this.output.written,
    };
  }

  /** Restores a checkpoint. */
  restore(checkpoint: Checkpoint): void {
    const isAhead = checkpoint.frameTime > this.frameTime;
    this.stop();
    restoreCheckpoint(this.core, checkpoint);
    // The part between was not replayed: neither reported, nor available for going back.
    if (isAhead) this.history.rewind(0);
    this.timeline.travelled(isAhead ? -1 : checkpoint.frameTime, checkpoint.isFromFile ?? false);
    this.resumeFrom(checkpoint);
  }

  drop(checkpoint: Checkpoint): void {
    dropCheckpoint(this.core, checkpoint);
  }

  /** Parts for a diversion: the program is stopped, and must not run again before the diversion is closed. */
  stand(): { core: ReplayCore; tid: number } {
    this.halt();
    return { core: this.core, tid: this.task?.tid ?? this.previousTid };
  }

  /** Registers, symbol and mapping at the program's position. */
  describe(): Position | null {
    this.halt();
    const task = this.task ?? this.core.tasks.get(this.previousTid) ?? null;
    return task && describePosition(this.core, task, this.frameTime);
  }

  /** Frees guest memory, also in the middle of a run. */
  close(): void {
    try {
      this.halt();
      this.runner.dropHeld();
    } finally {
      this.core.close();
    }
  }

  private halt(): void {
    if (this.running) {
      this.running = false;
      this.runner.hold(this.core.machine.halt(), this.task);
      if (this.task) this.context.strategy.halted?.(this.task);
    }
    this.catchUp();
  }

  private haltStalled(frame: TraceFrame): void {
    try {
      this.halt();
    } catch (cause) {
      throw hangs(frame, this.stall.seconds, cause);
    }
  }

  /** False at the end of the trace. */
  private begin(): boolean {
    this.considerCheckpoint();
    return this.takeFrame();
  }

  /** Takes the next frame and plans it; false at the end of the trace. */
  private takeFrame(): boolean {
    const frame = this.core.trace.advance();
    if (!frame) return false;
    this.frame = frame;
    this.task = this.core.tasks.get(frame.tid) ?? null;
    this.history.push(frame);
    planStep(frame, this.planFor(frame), this.step);
    if (this.step.action === Action.skip || this.step.action === Action.exitExec) return true;
    if (!this.task) throw noTask(frame);
    if (frame.tid !== this.previousTid) writeRseqCpu(this.core, this.task);
    this.previousTid = frame.tid;
    prepareFrame(this.core, this.task, frame, this.step);
    return true;
  }

  private planFor(frame: TraceFrame): PlanState {
    const state = this.planState;
    const task = this.task;
    state.started = this.core.taskCount > 0;
    state.entered = isInCall(this.core, task, frame);
    state.skipExecution = task !== null && task.skipNextExecution;
    // What is only counted passes over the same frames as what is not.
    const counts = this.ticks.home.counts || this.exact.includes(frame.frameTime);
    state.elidable = !counts && isElidable(frame, task, this.core.trace.peek(1));
    if (task) task.skipNextExecution = false;
    if (task && !isBookkeeping(frame)) task.entered = false;
    return state;
  }

  /** Before an interval whose end will be found by registers. */
  private considerCheckpoint(): void {
    this.chooseStrategy(this.core.trace.frameTime + 1);
    this.timeline.consider(this.context.strategy, this.alwaysCounts, this.runner.exits, () => this.place());
  }

  /** The caller's strategy, except where it was wrong. */
  private chooseStrategy(frameTime: number): void {
    const { context } = this;
    const isCounted = this.counting || (this.chosen === 'mixed' && endsByRegisters(this.core, this.frame));
    const wanted = this.ticks.choose(isCounted, this.exact.includes(frameTime), isHot(context, this.task));
    if (wanted === context.strategy || this.ticks.home.counts) return;
    context.strategy.cancel();
    context.strategy = wanted;
  }

  /**
   * Advances over the staged calls that the program has made. If it is past their last frame but has not made all,
   * the next frame is already being replayed.
   * @returns how many frames were replayed by that
   */
  private catchUp(): number {
    const { staging, task } = this;
    if (!staging?.isActive || !task) return 0;
    const { isComplete } = staging;
    const frames = staging.follow(task, this.history);
    if (frames === 0) return 0;
    this.frames += frames;
    this.stall.reached(this.core.recordedSec);
    this.frame = null;
    this.resuming = false;
    if (!isComplete) invariant(this.takeFrame(), 'the frames of staged calls are there');
    return frames;
  }

  /** Runs tracee code up to the event. */
  private run(maxFrames: number, budgetMicros: number): Reach {
    if (this.step.goal === Goal.none) return 'reached';
    invariant(this.frame && this.task, 'a step that runs has a task');
    if (!this.resuming && !this.exact.reachesTo(this.frame.frameTime))
      this.staging?.stage(this.context, this.task, this.frame, this.step, maxFrames);
    if (this.resuming && !this.running)
      testOnTheWay(this.context, this.ticks, this.task, this.frame, this.step);
    this.running = false;
    const [exits, ticks] = [this.runner.exits, this.ticksSoFar];
    const reach = reachGoal(this.context, this.task, this.frame, this.step, budgetMicros, this.resuming);
    this.resuming = reach !== 'reached';
    if (reach === 'reached') this.stall.reached(this.frame.monotonicSec);
    this.running = reach === 'running';
    if (reach === 'reached' || reach === 'stopped' || reach === 'staged') return reach;
    // Every tick is progress up to the frame's: some frames have a few more than the program.
    const hasCounted = this.ticksSoFar > ticks && this.ticksSoFar <= this.frame.ticks;
    if (this.staging?.hasProgressed() || hasCounted) {
      this.stall.progressed();
      return reach;
    }
    const micros = this.running ? budgetMicros : (this.runner.exits - exits) * NOMINAL_EXIT_MICROS;
    if (this.stall.isOverdue(micros, this.frame.monotonicSec)) {
      this.haltStalled(this.frame);
      throw this.diverge({
        summary: `the program has run for ${this.stall.seconds} s without coming nearer to the event`,
        hint: 'If it really computes that long, allow more with --stall-limit SECONDS.',
      });
    }
    return reach;
  }

  /** @returns true if the listener wants control */
  private finish(): boolean {
    const { frame, task } = this;
    invariant(frame, 'a frame is being replayed');
    if (task && !this.tickCheck.agrees(task, frame, this.step, this.context.strategy.counts))
      throw this.diverge({ summary: 'ticks differ from the recorded ones', foundTicks: task.ticks });
    this.resuming = false;
    this.task = performFrame(this.context, this.task, frame, this.step);
    if (this.task) this.previousTid = this.task.tid;
    if (this.core.header.clearFipFdp) this.clearX87Pointers();
    if (this.step.action !== Action.skip) requireMappingsTaken(this.core.trace, frame);
    this.frames++;
    this.frame = null;
    if (frame.kind === EventKind.syscall && frame.syscallState === SyscallState.enteringPtrace && this.task)
      this.task.entered = true;
    return this.context.listener?.replayed(frame, task ?? this.task, this.step) ?? false;
  }

  /**
   * rr zeroes FIP and FDP after every frame: they depend on whether the kernel swapped the state
   * (rr-traces.md 10.6). A task that is off the vCPU had its own zeroed before it was parked.
   */
  private clearX87Pointers(): void {
    if (this.task && this.task === this.core.current) this.core.machine.context.requestClearFip();
  }

  private diverge(cause: DivergenceCause): RevenantError {
    invariant(this.frame, 'divergence outside of a frame');
    return diverged(this.core, this.task, this.frame, this.history, cause);
  }
}
