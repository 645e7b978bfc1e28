/** Breakpoints, watchpoints and marks of scripts. */
import type { WatchAccess } from '../engine/target.js';

/** `Replay` is the API's class. */
export interface PointOptions<Replay> {
  /** Only for this thread group; null (the default): all. */
  readonly pid?: number | null;
  /** Evaluated at each hit, with the replay stopped there and the arriving task selected; false: continue. */
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
  /** Releases the checkpoint behind the mark. */
  forget(): void;
}
