import { RevenantError, invariant } from '../base/errors.js';
import type { ReplayCore } from '../replay/state/core.js';
import { TraceReader } from '../trace/reader.js';
import { tickStart, type TickStart } from '../trace/ticks.js';
import type { TravelCheckpoint } from './checkpoints.js';
import { Finder } from './finder.js';
import { RUN } from './listener.js';
import { Interrupted, type Slices } from './navigator.js';
import type { Reverse } from './reverse.js';
import { lost, type Searcher } from './search.js';

/** A replay that loses the processor's counter on the way, or falls back, starts again. */
const MAX_ATTEMPTS = 3;

/**
 * Ticks inside of intervals. A replay that matches registers does not count them: the part from the
 * last frame at which a task's ticks are known is replayed again, counting. Checkpoints on it make
 * the next count shorter.
 */
export class Ticks extends Finder {
  constructor(search: Searcher, reverse: Reverse) {
    super(search, reverse);
    reverse.ticks = this;
  }

  /** Ticks of the task that runs at the session's position; null if they would have to be counted. */
  known(): number | null {
    const { running, session, current } = this.navigator;
    invariant(running, 'a task runs');
    if (session.alwaysCounts) return running.ticks;
    return current?.counted ? ticksAt(current, running.tid) : null;
  }

  /** Counts those of the task that runs at the session's position, to which it always returns. */
  *count(): Slices<void> {
    const { navigator, search } = this;
    if (!navigator.running || this.known() !== null) return;
    const present = navigator.keepHere();
    const start = startAfter(this.search.core, present.checkpoint.frameTime);
    try {
      yield* this.counting(start, present, function* () {
        yield* search.towards({ at: present }, { blind: true });
        const { running } = navigator;
        const copy = present.checkpoint.tasks.find(({ tid }) => tid === present.tid);
        if (!running || !copy || running.ticks < 0) throw lost(navigator.session.frameTime);
        copy.ticks = running.ticks;
        present.counted = true;
      });
    } finally {
      navigator.goTo(present);
    }
  }

  /**
   * Goes to the first place after a frame at which the task that runs there has this tick count: right after the
   * branch, or right after the frame if it has them already.
   * @throws RevenantError E_USAGE if it has more there, or never has this count
   */
  *seek(frameTime: number, ticks: number): Slices<void> {
    const { navigator, search } = this;
    const start = startAfter(search.core, frameTime);
    const { tid, firm, known, next } = start;
    if (ticks < known.ticks || (next && ticks > next.ticks)) throw outside(frameTime, ticks, start);
    yield* this.counting(start, ticks, function* () {
      if (navigator.session.frameTime < firm) yield* search.towards({ frameTime: firm }, { blind: true });
      const now = search.core.tasks.get(tid)?.ticks ?? -1;
      if (now > ticks) throw outside(frameTime, ticks, { ...start, known: { frame: firm, ticks: now } });
      if (now === ticks) return;
      const event = yield* navigator.forward({ ...RUN, blind: true, ticks: { tid, count: ticks } });
      if (event.kind === 'interrupted') throw new Interrupted();
      if (event.kind !== 'arrived') throw outside(frameTime, ticks, start);
      navigator.keepHere();
    });
    // On without counting.
    navigator.goTo(navigator.keepHere());
  }

  /**
   * Goes to the place in the interval after a frame from which so many ticks lead to the next frame where the task's are known.
   * @returns null, and goes anywhere, if that is no place inside of the interval
   */
  *before(frameTime: number, ticks: number): Slices<TravelCheckpoint | null> {
    const { known, next } = startAfter(this.search.core, frameTime);
    const wanted = (next?.ticks ?? 0) - ticks;
    if (wanted <= known.ticks) return null;
    try {
      yield* this.seek(frameTime, wanted);
    } catch (error) {
      if (error instanceof RevenantError && error.code === 'E_USAGE') return null;
      throw error;
    }
    const place = this.navigator.keepHere();
    return place.checkpoint.inside && place.checkpoint.frameTime === frameTime ? place : null;
  }

  /**
   * Goes to the place in the interval of another one from which so many ticks of the task that runs there lead to it.
   * @returns null, and goes anywhere, if that is no place inside of the interval
   */
  *beforePlace(end: TravelCheckpoint, distance: number): Slices<TravelCheckpoint | null> {
    const { navigator, search } = this;
    const { frameTime } = end.checkpoint;
    navigator.goTo(end);
    yield* this.count();
    const wanted = ticksAt(end, end.tid) - distance;
    const start = startAfter(search.core, frameTime);
    if (start.tid !== end.tid || wanted < start.known.ticks) return null;
    let place: TravelCheckpoint | null = null;
    const goThere = function* (): Slices<void> {
      place = null;
      if (navigator.session.frameTime < frameTime) yield* search.towards({ frameTime }, { blind: true });
      const now = search.core.tasks.get(end.tid)?.ticks ?? Infinity;
      if (now > wanted) return;
      if (now < wanted) {
        const orders = { ...RUN, blind: true, ticks: { tid: end.tid, count: wanted } };
        const event = yield* navigator.forward(orders, frameTime + 1, true);
        if (event.kind === 'interrupted') throw new Interrupted();
        if (event.kind !== 'arrived') throw lost(frameTime);
      }
      if (navigator.session.inside) place = navigator.keepHere();
    };
    yield* this.counting(start, end, goThere, wanted);
    return place;
  }

  /**
   * Does `work` with ticks counted, from a checkpoint at which those of the task are known.
   * @param end a checkpoint, or ticks of the task, that the start must not be after
   * @param most ticks that it must not have more of, if it is in the interval of a checkpoint
   */
  private *counting(
    start: TickStart,
    end: TravelCheckpoint | number,
    work: () => Slices<void>,
    most = Infinity,
  ): Slices<void> {
    const { navigator } = this;
    const { session, stops } = navigator;
    const resume = stops.suspend();
    try {
      for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
        const from = this.lastCounted(start, end, most) ?? (yield* this.reverse.toFrame(start.known.frame));
        const { fallbacks } = session.stats;
        session.counting = true;
        navigator.goTo(from, typeof end === 'number' ? null : end);
        yield* work();
        if (session.stats.fallbacks === fallbacks) return;
        session.counting = false;
      }
    } finally {
      session.counting = false;
      resume();
    }
    throw lost(start.firm);
  }

  /** The last checkpoint after the frame where ticks are known, and before `end`, up to which they were counted. */
  private lastCounted(
    { tid, known, next }: TickStart,
    end: TravelCheckpoint | number,
    most: number,
  ): TravelCheckpoint | null {
    const beyond = next?.frame ?? Infinity;
    let last: TravelCheckpoint | null = null;
    for (const saved of this.navigator.cache) {
      if (saved === end) break;
      const { frameTime } = saved.checkpoint;
      if (!saved.counted || frameTime < known.frame) continue;
      if (typeof end !== 'number') {
        const isNear = frameTime === end.checkpoint.frameTime;
        if (!isNear || ticksAt(saved, tid) <= most) last = saved;
      } else if (frameTime < beyond && ticksAt(saved, tid) < end) last = saved;
    }
    return last;
  }
}

function ticksAt({ checkpoint }: TravelCheckpoint, tid: number): number {
  return checkpoint.tasks.find((task) => task.tid === tid)?.ticks ?? Infinity;
}

function outside(frame: number, ticks: number, { tid, known, next }: TickStart): RevenantError {
  const most = next ? ` to ${next.ticks}, until frame ${next.frame}` : ' or more';
  return new RevenantError(
    'E_USAGE',
    `After frame ${frame} task ${tid} does not reach ${ticks} ticks: it has ${known.ticks}${most}.`,
  );
}

/** Throws E_USAGE at the end of the recording, where no task runs any more. */
export function startAfter({ trace }: ReplayCore, frameTime: number): TickStart {
  const reader = TraceReader.open(trace.directory);
  try {
    const start = tickStart(reader, frameTime);
    if (start) return start;
  } finally {
    reader.close();
  }
  throw new RevenantError('E_USAGE', `No task runs after frame ${frameTime}: the recording ends there.`);
}
