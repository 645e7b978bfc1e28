/** Shared by commands that open recordings. */
import type { Place } from '../recording/place.js';
import type { RecordingOptions } from '../recording/open.js';
import type { TicksOption } from '../recording/ticks-options.js';
import { cacheFolder } from './cache-folder.js';
import type { CommandIo } from './output.js';
import { printable } from './printable.js';

/** Options of the command line. */
export interface ReplayCommandOptions extends Omit<RecordingOptions, 'cache' | 'checkpoints' | 'stallLimit'> {
  /** Replaces the default folders; false: none are used. */
  readonly checkpoints?: string | false;
  /** Seconds the guest may run without reaching the next frame. */
  readonly stallLimit: number;
  readonly goto?: Place;
  readonly verifyTicks?: boolean;
  /** How the program runs to its events. */
  readonly ticks?: TicksOption;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** The options for `openRecording`, with the user's cache. */
export const recordingOptions = (options: ReplayCommandOptions): RecordingOptions => ({
  ...options,
  cache: cacheFolder(process.env),
});

/** Prints warnings about a trace. */
export const warner =
  (io: CommandIo) =>
  (text: string): void =>
    io.err(`revenant: warning: ${printable(text)}\n`);
