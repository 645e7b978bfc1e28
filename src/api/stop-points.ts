/** Breakpoints, watchpoints and marks of scripts. */
import type { WatchAccess } from '../engine/target.js';
import type { TestedRegister } from './predicates.js';

/** `Replay` is the API's class. */
export interface PointOptions<Replay> {
  /** Only for this thread group; null (the default): all. */
  readonly pid?: number | null;
  /** Evaluated at each hit, with the replay stopped there and the arriving task selected; false: continue. */
  readonly condition?: (replay: Replay) => boolean;
}

export interface BreakPointOptions<Replay> extends PointOptions<Replay> {
  /** Only where these have these values. Tested where the program runs: arrivals with others cost next to nothing. */
  readonly registers?: Readonly<Partial<Record<TestedRegister, bigint | number>>>;
}

export interface WatchPointOptions<Replay> extends PointOptions<Replay> {
  /** Bytes. Default: the symbol's size, else 8. */
  readonly length?: number;
  /** Default `write`. */
  readonly access?: WatchAccess;
  /**
   * Only writes that change the integer to this (of 1, 2, 4 or 8 bytes). Tested where the program runs: others cost next
   * to nothing.
   */
  readonly value?: bigint | number;
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
