import { wordsToGva, type Gva } from '../base/address.js';
import { Reg, ripOf } from '../base/registers.js';
import { Suppress, type GuestStops } from '../guest/stops/guest-stops.js';
import type { Breakpoint, DebugStop, Watchpoint } from '../target.js';
import type { ReplayCore } from '../replay/state/core.js';
import { Stop, type ReplayRunner } from '../replay/run/runner.js';
import { Goal, type ReplayStep } from '../replay/plan/step.js';
import type { StopListener } from '../replay/run/stop-listener.js';
import type { Task } from '../task/task.js';
import { EventKind, SyscallState, type TraceFrame } from '../trace/frame.js';
import { isExecExit } from '../replay/plan/plan.js';
import type { TravelEvent } from './event.js';
import type { FrameStops } from './frame-stops.js';

/** A frame before which a task executed instructions, or with which it went into a signal handler. */
export interface Moved {
  readonly frameTime: number;
  readonly handler: boolean;
  readonly goal: Goal;
  readonly address: number;
  /** Of the recorded registers. */
  readonly rip: Gva;
}

/** What a run is to stop at, besides the stops of frames. */
export interface RunOrders {
  /** Every instruction of this task is single-stepped, and each ends the run. -1: none. */
  readonly stepTid: number;
  /** This task is where a stop was reported: a breakpoint there is not reported again. -1: none. */
  readonly skipTid: number;
  /** An internal breakpoint, and whether the arrival there is the wanted one. */
  readonly sentinel: { readonly breakpoint: Breakpoint; readonly isIt: (task: Task) => boolean } | null;
  /** Breakpoints, watchpoints and frames do not stop it. */
  readonly blind: boolean;
  /** The frame whose event ends the run before it is performed, if it is found by its address. -1: none. */
  readonly eventOf: number;
  /** While ticks are counted: a task and the count at which the run ends. null: none. */
  readonly ticks: { readonly tid: number; readonly count: number } | null;
}

export const RUN: RunOrders = {
  stepTid: -1,
  skipTid: -1,
  sentinel: null,
  blind: false,
  eventOf: -1,
  ticks: null,
};

/** Decides at every stop of a debugged session, and keeps the one that ended a run. */
export class TravelListener implements StopListener {
  singleStep = false;
  event: TravelEvent | null = null;
  /** An instruction was executed since the orders were set. */
  executed = false;
  /** A task whose last resumption is tracked. */
  followedTid = -1;
  followed: Moved | null = null;
  private orders: RunOrders = RUN;
  private skipTid = -1;
  /** Hit by writes of the frame that is being performed. */
  private written: { watch: Watchpoint; task: Task }[] = [];
  private ranSinceFrame = false;
  /** What was reported last: how often between which frame and the next. */
  private reported = { frameTime: -1, count: 0 };
  /** The replay went back to before what was reported: it is not reported again. */
  private repeated = { frameTime: -1, count: 0 };

  constructor(
    private readonly core: ReplayCore,
    private readonly runner: ReplayRunner,
    private readonly stops: GuestStops,
    private readonly frames: FrameStops,
  ) {
    core.onWrite = (task, start, size) => {
      for (const watch of stops.hitByWrite(task, start, size)) this.written.push({ watch, task });
    };
  }

  /** @param running the task that is inside an interval, if any */
  begin(orders: RunOrders, running: Task | null): void {
    this.orders = orders;
    this.skipTid = this.isAtBreakpoint(orders.skipTid) ? orders.skipTid : -1;
    this.event = null;
    this.executed = false;
    this.runner.watchHits = 0;
    this.written = [];
    this.singleStep = false;
    this.stops.suppress = this.usual;
    if (!running) return;
    this.orderAlone(running);
    // It may have been put somewhere else.
    if (!this.runner.holdsChange) this.stops.lookAgain(running);
  }

  private isAtBreakpoint(tid: number): boolean {
    const task = this.core.tasks.get(tid);
    return task !== undefined && this.stops.breakpointsAt(task, ripOf(this.core.registers(task))).length > 0;
  }

  /** The session jumped by request. */
  wentTo(): void {
    this.reset();
    this.reported = { frameTime: -1, count: 0 };
    this.repeated = { frameTime: -1, count: 0 };
  }

  /** The replay was wrong and continues from an earlier frame. */
  fellBack(): void {
    this.reset();
    if (this.reported.frameTime >= this.repeated.frameTime) this.repeated = { ...this.reported };
    this.reported = { frameTime: -1, count: 0 };
  }

  private reset(): void {
    this.singleStep = false;
    this.stops.suppress = this.usual;
    this.written = [];
    this.runner.watchHits = 0;
    this.ranSinceFrame = false;
    this.frames.reset();
  }

  starts(task: Task): void {
    this.orderAlone(task);
    this.stops.lookAgain(task);
  }

  private orderAlone(task: Task): void {
    const { stepTid } = this.orders;
    this.singleStep = stepTid === task.tid;
    this.stops.suppress = this.singleStep ? Suppress.breakpoints : this.usual;
  }

  /** The orders while nothing is single-stepped. */
  private get usual(): Suppress {
    return this.orders.blind && !this.orders.sentinel ? Suppress.off : Suppress.nothing;
  }

  stopped(stop: Stop, task: Task): boolean {
    if (stop === Stop.guard) return this.stepOnce(Suppress.everything);
    const skipped = this.skipTid === task.tid;
    if (skipped) this.skipTid = -1;
    const hits = this.takeHits(task);
    const watchStop = hits.length > 0 && !this.orders.blind ? this.watchStop(task, hits[0]) : null;
    this.stops.lookAgain(task);
    this.ranSinceFrame = true;
    this.stops.suppress = this.usual;
    if (stop !== Stop.user) this.executed = true;
    if (watchStop) return this.end(watchStop);
    if (stop === Stop.user) return this.arrived(task, skipped);
    if (this.orders.stepTid !== task.tid) return false;
    if (this.end({ kind: 'step', tid: task.tid })) return true;
    return this.stepOnce(Suppress.breakpoints);
  }

  tickLimit({ tid }: Task): number {
    const { ticks } = this.orders;
    return ticks?.tid === tid ? ticks.count : Infinity;
  }

  ticked(task: Task): boolean {
    if (task.ticks !== this.tickLimit(task)) return false;
    this.executed = this.ranSinceFrame = true;
    this.event = { kind: 'arrived' };
    return true;
  }

  ended(): void {
    this.executed = this.ranSinceFrame = true;
    this.skipTid = -1;
    this.stops.suppress = this.usual;
  }

  arriving(frame: TraceFrame, task: Task): boolean {
    const { sentinel, eventOf } = this.orders;
    const isSentinel =
      sentinel?.breakpoint.address === ripOf(this.core.registers(task)) && sentinel.isIt(task);
    if (!isSentinel && frame.frameTime !== eventOf) return false;
    this.event = { kind: 'arrived' };
    return true;
  }

  replayed(frame: TraceFrame, task: Task | null, step: ReplayStep): boolean {
    const sudden = step.goal === Goal.none;
    this.note(frame, step);
    this.ranSinceFrame = false;
    if (frame.tid === this.skipTid && !isBookkeepingFor(frame)) this.skipTid = -1;
    const stop = this.frames.after(frame, task);
    // What an exec writes is the new program, not a change of the old one's variables.
    if (isExecExit(frame)) this.written = [];
    const written = this.written.find((write) => this.isHit(write));
    const stopAtWatch = written && this.watchStop(written.task, written.watch);
    for (const { task: owner } of this.written) this.stops.lookAgain(owner);
    this.written = [];
    if (this.orders.blind) return false;
    if (stopAtWatch) return this.end(stopAtWatch, { frameTime: frame.frameTime, sudden });
    if (stop) return this.end(stop);
    return this.orders.stepTid === frame.tid && isStepFrame(frame)
      ? this.end({ kind: 'step', tid: frame.tid })
      : false;
  }

  preceding(): boolean {
    if (this.orders.blind) return false;
    const stop = this.frames.before();
    return stop !== null && this.end(stop);
  }

  private watchStop(task: Task, watch: Watchpoint): DebugStop {
    const { address, access } = watch;
    const values = this.stops.valuesOf(task, watch);
    return { kind: 'watchpoint', tid: task.tid, address, access, ...(values && { values }) };
  }

  private isHit({ watch, task }: { watch: Watchpoint; task: Task }): boolean {
    const { stops, core } = this;
    const isMeant =
      !stops.isOfChange(task, watch) || stops.changedBy(task, core.registers(task)).includes(watch);
    return isMeant && holds(watch, task.tid);
  }

  /** Tracks the last frame that moved the tracked task. */
  private note(frame: TraceFrame, step: ReplayStep): void {
    if (frame.tid !== this.followedTid) return;
    const handler = frame.kind === EventKind.signalHandler;
    if (!handler && (step.goal === Goal.none || !this.ranSinceFrame)) return;
    const rip = wordsToGva(frame.registers[2 * Reg.rip], frame.registers[2 * Reg.rip + 1]);
    this.followed = { frameTime: frame.frameTime, handler, goal: step.goal, address: step.address, rip };
  }

  private stepOnce(suppress: Suppress): boolean {
    this.stops.suppress = suppress;
    this.singleStep = true;
    return false;
  }

  /** @returns false if it was reported before */
  private end(stop: DebugStop, atFrame?: { frameTime: number; sudden: boolean }): boolean {
    const { frameTime } = this.core.trace;
    if (frameTime < this.repeated.frameTime) return false;
    if (frameTime === this.repeated.frameTime && this.repeated.count > 0) {
      this.repeated.count--;
      return false;
    }
    this.event = { kind: 'stop', stop, atFrame };
    if (this.reported.frameTime !== frameTime) this.reported = { frameTime, count: 0 };
    this.reported.count++;
    return true;
  }

  /** What the last instruction hit: by debug registers and, if it was executed for that, in watched pages. */
  private takeHits(task: Task): Watchpoint[] {
    const { stops, runner } = this;
    const hits = stops.suppress === Suppress.everything ? stops.endAccess(task) : [];
    if (runner.watchHits !== 0) hits.push(...stops.hitBy(runner.watchHits));
    runner.watchHits = 0;
    const others = hits.filter((watch) => !stops.isOfChange(task, watch));
    const changed = stops.changedBy(task, this.core.registers(task));
    return [...others, ...changed].filter((watch) => holds(watch, task.tid));
  }

  private arrived(task: Task, skip: boolean): boolean {
    const address = ripOf(this.core.registers(task));
    const { sentinel, blind } = this.orders;
    for (const breakpoint of this.stops.breakpointsAt(task, address)) {
      if (breakpoint === sentinel?.breakpoint) {
        if (!sentinel.isIt(task)) continue;
        this.event = { kind: 'arrived' };
        return true;
      }
    }
    if (!skip && !blind) {
      const hit = this.stops
        .breakpointsAt(task, address)
        .find((breakpoint) => breakpoint !== sentinel?.breakpoint && holds(breakpoint, task.tid));
      if (hit && this.end({ kind: 'breakpoint', tid: task.tid, address })) return true;
    }
    if (!skip) this.stops.missed();
    return this.stepOnce(Suppress.breakpoints);
  }
}

const holds = ({ condition }: Breakpoint | Watchpoint, tid: number): boolean => condition?.(tid) ?? true;

/** Frames after which a task is past an instruction (or at a handler) without having been stepped there. */
export function isStepFrame(frame: TraceFrame): boolean {
  switch (frame.kind) {
    case EventKind.syscall:
      return frame.syscallState === SyscallState.exiting || isExecExit(frame);
    case EventKind.instructionTrap:
    case EventKind.signalHandler:
    case EventKind.syscallbufFlush:
      return true;
    default:
      return false;
  }
}

/** Frames that do not move the task. */
const isBookkeepingFor = (frame: TraceFrame): boolean =>
  frame.kind === EventKind.sched ||
  frame.kind === EventKind.syscallbufReset ||
  frame.kind === EventKind.growMap;
