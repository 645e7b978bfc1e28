/** What scripts set and remember. */
import type { WatchAccess } from '../engine/target.js';

/** `Replay` is the class of scripts. */
export interface PointOptions<Replay> {
  /** Thread group that it is for; null (the default): all. */
  readonly pid?: number | null;
  /** Asked at each hit, with the replay standing there and the task that has arrived selected; false: run on. */
  readonly condition?: (replay: Replay) => boolean;
}

export interface WatchPointOptions<Replay> extends PointOptions<Replay> {
  /** Bytes. Default: the symbol's size, else 8. */
  readonly length?: number;
  /** Default `write`. */
  readonly access?: WatchAccess;
}

/** A breakpoint or watchpoint that is set. */
export interface StopPoint {
  readonly addresses: readonly number[];
  remove(): void;
}

/** A place in the recording that `mark` remembered. */
export interface Mark {
  /** FrameTime of the last frame before it. */
  readonly frame: number;
  /** Gives back what it costs to remember. */
  forget(): void;
}
