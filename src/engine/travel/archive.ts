import type { Checkpoint } from '../replay/state/checkpoint.js';

/** Checkpoints that lie somewhere to be read: all between two frames, known by the FrameTime of the frame before. */
export interface Archive {
  /** The latest one at or before a frame; 0: none. */
  latest(frameTime: number): number;
  /** For the session to go to and to drop; null: it proved to be no good, and is not named again. */
  load(frameTime: number): Checkpoint | null;
}
