import { type Gva } from '../base/address.js';
import { invariant } from '../base/errors.js';
import { ripOf } from '../base/registers.js';
import type { TravelCheckpoint } from './checkpoints.js';
import { Code } from './code.js';
import type { StopEvent } from './event.js';
import type { Slices } from './navigator.js';
import { SliceOver, type End, type Searcher } from './search.js';

/** Guest time of one slice if only time can narrow the search. */
const SLICE_MICROS = 200;
/** Calls and jumps followed backwards from a return. */
const MAX_RETURNS = 4;
/** Arrivals at the places before an instruction after which it is taken to be in a loop. */
const MANY_ARRIVALS = 200;

export const isBreakpoint = ({ stop }: StopEvent): boolean => stop.kind === 'breakpoint';

/** Finds places shortly before others by where control may have come from. */
export class Arrivals {
  private readonly code: Code;

  constructor(private readonly search: Searcher) {
    this.code = new Code(search.core);
  }

  private get navigator(): Searcher['navigator'] {
    return this.search.navigator;
  }

  /**
   * A checkpoint between start and end near the end, found by the places from which control may have come; null if these
   * are passed often.
   */
  *before(start: TravelCheckpoint, end: TravelCheckpoint): Slices<TravelCheckpoint | null> {
    const task = end.checkpoint.tasks.find(({ tid }) => tid === end.tid);
    invariant(task, 'a checkpoint inside an interval has a task that runs');
    const { addresses, entry } = this.code.originsOf(task, ripOf(task.registers), task.registers);
    let near = start;
    for (const places of [entry >= 0 ? [entry] : [], [...addresses]]) {
      if (places.length === 0) continue;
      const { place, isLast } = yield* this.lastOf(near, { at: end }, places, MANY_ARRIVALS);
      if (!isLast) return null;
      near = place ?? near;
    }
    for (let returns = 0; returns < MAX_RETURNS && near !== start; returns++) {
      const caller = near.checkpoint.tasks.find(({ tid }) => tid === end.tid);
      if (!caller) break;
      if (returns === 0 && !this.code.isCall(caller, ripOf(caller.registers))) break;
      const exits = this.code.exitsOf(caller, ripOf(caller.registers), caller.registers);
      if (exits.size === 0) break;
      const { place: nearer, isLast } = yield* this.lastOf(near, { at: end }, exits, MANY_ARRIVALS);
      if (!isLast) return null;
      if (!nearer || nearer === near) break;
      near = nearer;
    }
    return near;
  }

  /** A checkpoint of the last arrival at one of these addresses; null if there is none. */
  *last(start: TravelCheckpoint, end: End, addresses: Iterable<Gva>): Slices<TravelCheckpoint | null> {
    return (yield* this.lastOf(start, end, addresses, Infinity)).place;
  }

  /** The same; after a number of arrivals the search ends, and `isLast` is false. */
  private *lastOf(
    start: TravelCheckpoint,
    end: End,
    addresses: Iterable<Gva>,
    most: number,
  ): Slices<{ place: TravelCheckpoint | null; isLast: boolean }> {
    const { search, navigator } = this;
    const area = { start, end, counts: isBreakpoint };
    return yield* search.withBreakpoints(addresses, function* () {
      const { way, isLast } = yield* search.lastOf(area, most);
      if (!way || !isLast) return { place: null, isLast };
      if (way.count === 0) return { place: way.from, isLast };
      yield* search.follow(way, area);
      return { place: navigator.keepHere(), isLast };
    });
  }

  /** Where no symbols help: slices of time, the last of which ends at `end`. */
  *beforeByTime(start: TravelCheckpoint, end: TravelCheckpoint): Slices<TravelCheckpoint> {
    const { navigator } = this;
    navigator.goTo(start, end);
    let near = start;
    let [slice, before] = [SLICE_MICROS, -1];
    for (;;) {
      navigator.slice = slice;
      try {
        yield* this.search.towards({ at: end });
        return near;
      } catch (error) {
        if (!(error instanceof SliceOver)) throw error;
        // A page fault at the end of the slice will be repeated: without more time it would not terminate.
        const rip = ripOf(navigator.registers());
        slice = rip === before ? 2 * slice : SLICE_MICROS;
        before = rip;
        near = navigator.keepHere();
        yield null;
      } finally {
        navigator.slice = 0;
      }
    }
  }
}
