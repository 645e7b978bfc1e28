import type { DebugStop } from '../target.js';
import type { TravelCheckpoint } from './checkpoints.js';
import type { StopEvent } from './event.js';
import type { Navigator } from './navigator.js';

/** An event and the program's position at it. */
export interface Passed {
  readonly at: TravelCheckpoint;
  readonly event: StopEvent;
}

/**
 * What is known about the last way, for repeated reverse execution: consecutive events, and the
 * number of instructions from a place to the program's position.
 */
export class Trail {
  private events: readonly Passed[] = [];
  /** The set of stops when they were found. */
  private points: readonly unknown[] = [];
  /** After the last of `events` that counts, and not after the next one: the program's position. */
  private position: TravelCheckpoint | null = null;
  private readonly walks = new WeakMap<
    TravelCheckpoint,
    { readonly from: TravelCheckpoint; readonly steps: number }
  >();

  constructor(private readonly navigator: Navigator) {}

  /**
   * The program is at (or, if an access was undone, before) the last of these, in order of history, consecutive.
   */
  found(events: readonly Passed[], points: readonly unknown[], position: TravelCheckpoint): void {
    this.events = events;
    this.points = points;
    this.position = position;
  }

  /** The events before the last one that was found, if the program is there and has the same stops. */
  before(position: TravelCheckpoint, points: readonly unknown[]): readonly Passed[] {
    if (position !== this.position || !isSame(points, this.points)) return [];
    const { cache } = this.navigator;
    const known = this.events.slice(0, -1);
    return known.slice(known.findLastIndex(({ at }) => !cache.has(at)) + 1);
  }

  walked(from: TravelCheckpoint, steps: number, to: TravelCheckpoint): void {
    if (steps > 0) this.walks.set(to, { from, steps });
  }

  /** A place that is a known number of single steps before `to`; null if unknown. */
  wayTo(to: TravelCheckpoint): { readonly from: TravelCheckpoint; readonly steps: number } | null {
    const walk = this.walks.get(to);
    return walk && this.navigator.cache.has(walk.from) ? walk : null;
  }
}

const isSame = (left: readonly unknown[], right: readonly unknown[]): boolean =>
  left.length === right.length && left.every((each, index) => each === right[index]);

/** Stops after which, going back, the program is not where it stopped. */
export const isUndone = ({ kind }: DebugStop): boolean => kind === 'watchpoint' || kind === 'exec';
