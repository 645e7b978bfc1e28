import type { Checkpoint } from '../replay/state/checkpoint.js';

/** Stored checkpoints: all between two frames, identified by the FrameTime of the frame before. */
export interface Archive {
  /** The latest one at or before a frame; 0: none. */
  latest(frameTime: number): number;
  /** For the session to restore and to drop; null: it is unusable, and will not be returned again. */
  load(frameTime: number): Checkpoint | null;
}
