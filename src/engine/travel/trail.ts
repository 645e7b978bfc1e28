import type { DebugStop } from '../target.js';
import type { TravelCheckpoint } from './checkpoints.js';
import type { StopEvent } from './event.js';
import type { Navigator } from './navigator.js';

/** An event and where the program stood at it. */
export interface Passed {
  readonly at: TravelCheckpoint;
  readonly event: StopEvent;
}

/**
 * What is known of the way that was just gone, for who goes back again: events that follow each other without another in
 * between, and so many instructions that lead from a place to where the program stands.
 */
export class Trail {
  private events: readonly Passed[] = [];
  /** What the program was stopped at when they were found. */
  private points: readonly unknown[] = [];
  /** Behind the last of `events` that counts, and not behind the next one: where the program stands. */
  private standing: TravelCheckpoint | null = null;
  private readonly walks = new WeakMap<
    TravelCheckpoint,
    { readonly from: TravelCheckpoint; readonly steps: number }
  >();

  constructor(private readonly mover: Navigator) {}

  /**
   * The program stands at (or, where an access was undone, before) the last of these, in the order of history, each the
   * next one that counts behind the one before.
   */
  found(events: readonly Passed[], points: readonly unknown[], standing: TravelCheckpoint): void {
    this.events = events;
    this.points = points;
    this.standing = standing;
  }

  /** The events before the last one that was found, if the program stands there and stops at the same as then. */
  before(standing: TravelCheckpoint, points: readonly unknown[]): readonly Passed[] {
    if (standing !== this.standing || !isSame(points, this.points)) return [];
    const { stopovers } = this.mover;
    const known = this.events.slice(0, -1);
    return known.slice(known.findLastIndex(({ at }) => !stopovers.has(at)) + 1);
  }

  walked(from: TravelCheckpoint, steps: number, to: TravelCheckpoint): void {
    if (steps > 0) this.walks.set(to, { from, steps });
  }

  /** A place from which so many single steps lead to `to`; null where none is known. */
  wayTo(to: TravelCheckpoint): { readonly from: TravelCheckpoint; readonly steps: number } | null {
    const walk = this.walks.get(to);
    return walk && this.mover.stopovers.has(walk.from) ? walk : null;
  }
}

const isSame = (left: readonly unknown[], right: readonly unknown[]): boolean =>
  left.length === right.length && left.every((each, index) => each === right[index]);

/** Stops behind which, going back, the program is taken somewhere else than where it stopped. */
export const isUndone = ({ kind }: DebugStop): boolean => kind === 'watchpoint' || kind === 'exec';
