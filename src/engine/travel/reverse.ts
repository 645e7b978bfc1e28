import { gva, type Gva } from '../base/address.js';
import { invariant } from '../base/errors.js';
import type { DebugStop } from '../target.js';
import { Goal } from '../replay/plan/step.js';
import { sameRegisters } from './same-state.js';
import { isSameInterval, type TravelCheckpoint } from './checkpoints.js';
import { Arrivals, isBreakpoint } from './arrivals.js';
import { trapsBefore } from './traps.js';
import { RUN, type Moved } from './listener.js';
import { Trail, isUndone, type Passed } from './trail.js';
import type { Slices } from './navigator.js';
import { MAX_WALK, endBefore, lost, type Search, type Searcher } from './search.js';
import { countsBackwards, type StopEvent } from './event.js';
import { SYSCALL_LENGTH } from '../x86/constants.js';
import { isDelivery, signalStop } from './frame-stops.js';

/** Single steps at the end, if nothing else narrows the search. */
const MAX_LONG_WALK = 200_000;
/** Events in one stretch after which its end is searched first: some tens of milliseconds. */
const MANY_EVENTS = 1_000;
/** Ticks before its end that are searched first, and by how much more each time. */
const FEW_TICKS = 256;
const MORE_TICKS = 4;
/** A start so near (in exits) that walking from it is tried first. */
const NEAR = 48;
/** Checkpoints on the last instructions of a walk, for stepping backwards. */
const TRAIL_STRIDE = 12;
const TRAIL_LENGTH = 120;

/** Stops that leave the program where the frame left it, in both directions. */
const happensAfterFrame = ({ stop }: StopEvent): boolean =>
  ['signal', 'syscall', 'fork', 'vfork', 'clone'].includes(stop.kind);

/** Places of an interval found by counting; null: there is none inside of it, and the program is anywhere. */
export interface TickPlaces {
  /** So many ticks before the next frame where the task's are known. */
  before(frameTime: number, ticks: number): Slices<TravelCheckpoint | null>;
  /** So many before another place. */
  beforePlace(end: TravelCheckpoint, distance: number): Slices<TravelCheckpoint | null>;
}

/**
 * Reverse execution by running forwards from an earlier checkpoint, first to find the events on the
 * way and then to the last of them. Nothing is guessed: a place counts as the predecessor of
 * another only if executing one instruction there led to the other.
 */
export class Reverse {
  private readonly arrivals: Arrivals;
  private readonly trail: Trail;

  /** Goes to places of an interval by counting: the Ticks that are made with this. */
  ticks: TickPlaces | null = null;

  /** @param points what the program stops at */
  constructor(
    private readonly search: Searcher,
    private readonly points: () => readonly unknown[],
  ) {
    this.arrivals = new Arrivals(search);
    this.trail = new Trail(search.navigator);
  }

  private get navigator(): Searcher['navigator'] {
    return this.search.navigator;
  }

  /** To the last breakpoint, watchpoint or frame stop before the present. */
  *toLastStop(tid: number): Slices<DebugStop> {
    const points = this.points();
    const passed = this.knownBefore(points) ?? (yield* this.lastEvent(countsBackwards));
    const last = passed?.at(-1);
    if (!passed || !last) return yield* this.toBeginning(tid);
    const { stop, atFrame } = last.event;
    if (stop.kind === 'exec') return yield* this.beforeExec(stop.tid);
    if (stop.kind === 'watchpoint') yield* this.undo(stop, atFrame);
    this.trail.found(passed, points, this.navigator.keepHere());
    return stop;
  }

  /** Goes to the event before the current one, if it is known; returns the events up to it. */
  private knownBefore(points: readonly unknown[]): readonly Passed[] | null {
    const { navigator } = this;
    const present = navigator.keepHere();
    const known = this.trail.before(present, points);
    const last = known.at(-1);
    if (!last) return null;
    navigator.goTo(last.at);
    // A breakpoint on the instruction whose access was undone: the program is there.
    if (!isUndone(last.event.stop) && this.search.isAt(present)) {
      navigator.goTo(present);
      return null;
    }
    return known;
  }

  /** Goes to the task's last arrival at an address; false if there is none. */
  *toLastArrival(tid: number, address: Gva): Slices<boolean> {
    this.navigator.keepHere();
    const resume = this.navigator.stops.suspend();
    try {
      this.navigator.stops.addBreakpoint({ pid: null, address, condition: (arrived) => arrived === tid });
      return (yield* this.lastEvent(isBreakpoint)) !== null;
    } finally {
      resume();
    }
  }

  /** Goes there. */
  private *lastEvent(wanted: (event: StopEvent) => boolean): Slices<readonly Passed[] | null> {
    const present = this.navigator.keepHere();
    // A report right after a frame is at the current position: it is not an earlier stop.
    const counts = (event: StopEvent): boolean =>
      wanted(event) && !(end === present && happensAfterFrame(event) && this.isRightAfter(present));
    let end = present;
    for (let stride = 1; ;) {
      const start = this.startOf(end, stride);
      if (!start) return null;
      const area = { start, end: endBefore(end, present), counts };
      this.navigator.cache.pin(start);
      this.navigator.cache.pin(end);
      try {
        const passed = yield* this.lastIn(area);
        if (passed) return passed;
      } finally {
        this.navigator.cache.unpin(end);
        this.navigator.cache.unpin(start);
      }
      // To the end of the interval again: twice as far, so that all of it is not gone through once a saved.
      stride = 'frameTime' in area.end && isSameInterval(start, end) ? 2 * stride : 1;
      end = start;
    }
  }

  /** Goes to the last event there; where there are many, in a loop perhaps, the last ticks are searched first. */
  private *lastIn(area: Search): Slices<readonly Passed[] | null> {
    const { search, navigator } = this;
    const { way, isLast } = yield* search.lastOf(area, MANY_EVENTS);
    if (!isLast && navigator.session.inside) return yield* this.lastOfMany(area, navigator.session.frameTime);
    const last = isLast ? way : yield* search.last(area);
    return last && (yield* search.follow(last, area));
  }

  /** Precondition: there are some in the interval after this frame. */
  private *lastOfMany(area: Search, frameTime: number): Slices<readonly Passed[] | null> {
    const { search } = this;
    const { end, counts } = area;
    const last = 'frameTime' in end ? end.frameTime : end.at.checkpoint.frameTime;
    if (last > frameTime + 1 || ('at' in end && last > frameTime)) {
      const later = yield* this.lastIn({ ...area, start: yield* this.toFrame(frameTime + 1) });
      if (later) return later;
    }
    const isHere = 'at' in end && last === frameTime;
    const within = { end: isHere ? end : { frameTime: frameTime + 1 }, counts };
    for (let distance = FEW_TICKS; this.ticks; distance *= MORE_TICKS) {
      const start = isHere
        ? yield* this.ticks.beforePlace(end.at, distance)
        : yield* this.ticks.before(frameTime, distance);
      if (!start) break;
      const way = yield* search.last({ ...within, start });
      if (way) return yield* search.follow(way, within);
    }
    const way = yield* search.last({ ...within, start: yield* this.toFrame(frameTime) });
    return way && (yield* search.follow(way, within));
  }

  /** The checkpoint so many before another, or the last one that is in an earlier interval; null for the beginning. */
  private startOf(end: TravelCheckpoint, stride: number): TravelCheckpoint | null {
    let start = this.navigator.before(end);
    for (let left = stride; left > 1 && start && isSameInterval(start, end); left--)
      start = this.navigator.before(start) ?? start;
    return start;
  }

  private isRightAfter({ checkpoint }: TravelCheckpoint): boolean {
    const { session } = this.navigator;
    return !checkpoint.inside && !session.inside && session.frameTime === checkpoint.frameTime;
  }

  /** The access is undone: before the instruction, or before the frame by which the kernel wrote. */
  private *undo(stop: DebugStop, atFrame: StopEvent['atFrame']): Slices<DebugStop> {
    if (atFrame?.sudden) yield* this.toFrame(atFrame.frameTime - 1);
    else yield* this.step(stop.tid);
    return stop;
  }

  private *beforeExec(tid: number): Slices<DebugStop> {
    yield* this.toFrame(this.navigator.session.frameTime - 1);
    const program = this.search.core.tasks.get(tid)?.group.program;
    if (!program) return yield* this.toBeginning(tid);
    return { kind: 'exec', tid, path: program.file };
  }

  /** To the first program's first instruction. */
  private *toBeginning(tid: number): Slices<DebugStop> {
    const { navigator, search } = this;
    navigator.goTo(navigator.cache.first);
    while (search.core.tasks.size === 0) {
      const event = yield* navigator.forward({ ...RUN, blind: true }, navigator.session.frameTime + 1, true);
      if (event.kind !== 'frame') break;
    }
    navigator.keepHere();
    const first = [...search.core.tasks.keys()][0] ?? tid;
    return { kind: 'history-end', tid: search.core.tasks.has(tid) ? tid : first };
  }

  /** Goes to right after a frame, without stops. */
  *toFrame(frameTime: number): Slices<TravelCheckpoint> {
    const { navigator } = this;
    navigator.goTo(navigator.atFrame(frameTime));
    const event = yield* navigator.forward({ ...RUN, blind: true }, frameTime, true);
    if (event.kind !== 'frame') throw lost(frameTime);
    return navigator.keepHere();
  }

  /**
   * Undoes one instruction of the task; a watchpoint that it hit is its stop. Or goes to the last stop of another task on
   * the way there.
   */
  *stepOrStop(tid: number): Slices<DebugStop> {
    const { navigator } = this;
    const present = navigator.keepHere();
    const stop = yield* this.step(tid);
    const here = navigator.keepHere();
    const { points } = navigator.stops;
    // Others run in other intervals.
    const isNear = here.checkpoint.frameTime === present.checkpoint.frameTime;
    const matters = points.some((point) => !isNear || 'access' in point);
    if (stop.kind !== 'step' || !matters) return stop;
    const counts = (event: StopEvent): boolean =>
      event.stop.kind === 'watchpoint' || (event.stop.kind === 'breakpoint' && event.stop.tid !== tid);
    const last = (yield* this.lastIn({ start: here, end: { at: present }, counts }))?.at(-1)?.event;
    if (last && last.stop.tid !== tid)
      return last.stop.kind === 'watchpoint' ? yield* this.undo(last.stop, last.atFrame) : last.stop;
    navigator.goTo(here);
    return last?.stop ?? stop;
  }

  /** Undoes one instruction of the task. */
  *step(tid: number): Slices<DebugStop> {
    const { navigator } = this;
    const present = navigator.keepHere();
    const resume = navigator.stops.suspend();
    try {
      const found = present.tid === tid ? yield* this.predecessor(present) : false;
      if (found || (yield* this.earlierInterval(tid, present.checkpoint.frameTime)))
        return { kind: 'step', tid };
      return yield* this.toBeginning(tid);
    } finally {
      resume();
    }
  }

  /**
   * Goes to the place one instruction before `end`, which is inside an interval.
   * @returns false if `end` is the beginning of the interval
   */
  private *predecessor(end: TravelCheckpoint): Slices<boolean> {
    const known = this.trail.wayTo(end);
    if (known) return yield* this.stepsAfter(known.from, known.steps - 1, end);
    const start = yield* this.startBefore(end);
    this.navigator.cache.pin(start);
    try {
      return yield* this.predecessorAfter(start, end);
    } finally {
      this.navigator.cache.unpin(start);
    }
  }

  private *predecessorAfter(start: TravelCheckpoint, end: TravelCheckpoint): Slices<boolean> {
    const { search } = this;
    const { frameTime } = end.checkpoint;
    if (!start.checkpoint.inside && (yield* this.beginsAt(start, end))) return false;
    if (end.effort - start.effort < NEAR) {
      const steps = yield* search.walk(start, end, MAX_WALK);
      if (steps > 0) return yield* this.stepsAfter(start, steps - 1, end);
    }
    const near = yield* this.arrivals.before(start, end);
    if (!near) return yield* this.predecessorByTicks(start, end);
    const steps = yield* search.walk(near, end, MAX_WALK);
    if (steps > 0) return yield* this.stepsAfter(near, steps - 1, end);
    const nearer = yield* this.arrivals.beforeByTime(near, end);
    const many = yield* search.walk(nearer, end, MAX_LONG_WALK);
    if (many <= 0) throw lost(frameTime);
    return yield* this.stepsAfter(nearer, many - 1, end);
  }

  /** The same in a loop: from the branch before the last one. */
  private *predecessorByTicks(start: TravelCheckpoint, end: TravelCheckpoint): Slices<boolean> {
    const near = (this.ticks && (yield* this.ticks.beforePlace(end, 1))) ?? start;
    const steps = yield* this.search.walk(near, end, MAX_LONG_WALK);
    if (steps <= 0) throw lost(end.checkpoint.frameTime);
    return yield* this.stepsAfter(near, steps - 1, end);
  }

  /** The last checkpoint of the interval that is really earlier than `end`: a place may have two. */
  private *startBefore(end: TravelCheckpoint): Slices<TravelCheckpoint> {
    const { navigator } = this;
    const { frameTime } = end.checkpoint;
    for (
      let start = navigator.cache.before(end);
      start?.checkpoint.inside;
      start = navigator.cache.before(start)
    ) {
      if (start.checkpoint.frameTime !== frameTime) break;
      navigator.goTo(start);
      if (!this.search.isAt(end)) return start;
    }
    return yield* this.toFrame(frameTime);
  }

  /** Whether the interval that begins at `start` has not executed anything at `end`. */
  private *beginsAt(start: TravelCheckpoint, end: TravelCheckpoint): Slices<boolean> {
    const registers = (saved: TravelCheckpoint) =>
      saved.checkpoint.tasks.find(({ tid }) => tid === end.tid)?.registers;
    const [a, b] = [registers(start), registers(end)];
    if (!a || !b || !sameRegisters(a, b)) return false;
    this.navigator.goTo(start, end);
    yield* this.search.towards({ at: end });
    return !this.navigator.listener.executed;
  }

  /** Takes a checkpoint a number of instructions after another, before `end`. */
  private *stepsAfter(start: TravelCheckpoint, steps: number, end: TravelCheckpoint): Slices<true> {
    const { navigator } = this;
    navigator.goTo(start, end);
    let [from, count] = [start, 0];
    for (let left = steps; left > 0; left--) {
      // Reverse steps will pass here: these checkpoints make them short.
      if (left % TRAIL_STRIDE === 0 && left <= TRAIL_LENGTH && left < steps) {
        const kept = navigator.keepHere();
        this.trail.walked(from, count, kept);
        [from, count] = [kept, 0];
      }
      if (!(yield* this.search.step(end.tid))) throw lost(start.checkpoint.frameTime);
      count++;
    }
    this.trail.walked(from, count, navigator.keepHere());
    return true;
  }

  /** The last instruction of the task before an interval: in the last interval in which it executed any. */
  private *earlierInterval(tid: number, frameTime: number): Slices<boolean> {
    for (let before = frameTime; ;) {
      const moved = yield* this.lastMove(tid, before);
      if (!moved) return false;
      if (yield* this.endOf(moved, tid)) return true;
      before = moved.frameTime - 1;
    }
  }

  /** The last frame up to `frameTime` that moved the task. */
  private *lastMove(tid: number, frameTime: number): Slices<Moved | null> {
    const { navigator } = this;
    const { listener } = navigator;
    let until = frameTime;
    for (let start = navigator.atFrame(frameTime); ; start = navigator.atFrame(until - 1)) {
      navigator.goTo(start);
      listener.followedTid = tid;
      listener.followed = null;
      try {
        yield* navigator.forward({ ...RUN, blind: true }, until, true);
      } finally {
        listener.followedTid = -1;
      }
      if (listener.followed) return listener.followed;
      // The part of an interval before a checkpoint inside of it was not observed.
      until = start.checkpoint.frameTime + (start.checkpoint.inside ? 1 : 0);
      if (until === 0) return null;
    }
  }

  /** Goes before the last instruction that was executed up to the event of a frame; false if there was none. */
  private *endOf(moved: Moved, tid: number): Slices<boolean> {
    const { frameTime, goal } = moved;
    const begin = yield* this.toFrame(frameTime - 1);
    if (moved.handler) return true;
    const event = yield* this.eventOf(moved, begin);
    if (event) return yield* this.predecessor(event);
    if (goal === Goal.fault) return false;
    const task = this.search.core.tasks.get(tid);
    invariant(task, 'the task that moved exists');
    let addresses: Gva[];
    if (goal === Goal.syscall) addresses = [gva(moved.address - SYSCALL_LENGTH)];
    else if (goal === Goal.trap) addresses = trapsBefore(task, moved.address);
    else if (goal === Goal.flush) addresses = [task.preload.breakpointInstruction];
    else addresses = [gva(moved.address)];
    const last = yield* this.arrivals.last(this.lastInside(begin), { frameTime }, addresses);
    if (!last) return false;
    if (goal === Goal.address || goal === Goal.target) return yield* this.predecessor(last);
    this.navigator.goTo(last);
    return true;
  }

  /** Goes to the event of a frame, before it is performed; null if it has no place. */
  private *eventOf(
    { frameTime, goal, rip }: Moved,
    begin: TravelCheckpoint,
  ): Slices<TravelCheckpoint | null> {
    const { navigator } = this;
    if (goal === Goal.fault) return yield* this.arrivals.last(this.lastInside(begin), { frameTime }, [rip]);
    if (goal !== Goal.address && goal !== Goal.target) return null;
    const event = yield* navigator.forward({ ...RUN, blind: true, eventOf: frameTime }, frameTime, true);
    if (event.kind === 'arrived') return navigator.keepHere();
    yield* this.toFrame(frameTime - 1);
    return null;
  }

  /**
   * Undoes a signal that was just delivered, which executes nothing: goes to where it was raised.
   * Null, without moving, if the task is after something else, or the signal is one of `passed`.
   */
  *undoSignal(tid: number, passed: ReadonlySet<number>): Slices<DebugStop | null> {
    const { navigator, search } = this;
    let { frameTime } = navigator.session;
    if (navigator.running || frameTime === 0) return null;
    const present = navigator.keepHere();
    let begin = yield* this.toFrame(frameTime - 1);
    // Its delivery, if no handler runs, executes nothing either.
    if (isDelivery(search.core.trace.peek(1), tid)) begin = yield* this.toFrame(--frameTime - 1);
    const frame = search.core.trace.peek(1);
    const stop = frame?.tid === tid ? signalStop(frame) : null;
    if (!stop || passed.has(stop.signal)) {
      navigator.goTo(present);
      return null;
    }
    const moved = yield* this.lastMove(tid, frameTime);
    navigator.goTo(begin);
    const event = moved?.frameTime === frameTime ? yield* this.eventOf(moved, begin) : null;
    navigator.goTo(event ?? begin);
    return stop;
  }

  /** The last checkpoint of the interval that begins at a checkpoint. */
  private lastInside(begin: TravelCheckpoint): TravelCheckpoint {
    let last = begin;
    for (const saved of this.navigator.cache)
      if (saved.checkpoint.frameTime === begin.checkpoint.frameTime) last = saved;
    return last;
  }
}
