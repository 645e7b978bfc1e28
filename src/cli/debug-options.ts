/** Shared by commands that debug a recording. */
import type { Logger } from '../engine/base/log.js';
import type { OpenSessionContext } from '../debugger/open.js';
import type { ClockMode } from '../diversion/base/clock.js';
import { diversionStarter } from '../recording/divert.js';
import type { StartPlace } from '../recording/start-place.js';
import type { CommandIo } from './output.js';
import { recordingOptions, warner, type ReplayCommandOptions } from './recordings.js';

/** Permissions and limits of diversions. */
export interface DiversionOptions {
  readonly allowWrites?: string[];
  readonly allowNet?: boolean;
  readonly clock?: ClockMode;
  readonly timeLimit?: number;
}

export interface DebugOptions extends ReplayCommandOptions, Omit<StartPlace, 'goto'>, DiversionOptions {
  /** See `SessionOptions.asRr`. */
  readonly asRr?: boolean;
}

/** For `openSession`, except its progress callbacks. */
export function debugContext(
  folder: string,
  options: DebugOptions,
  io: CommandIo,
  log: Logger,
): OpenSessionContext {
  const { timeLimit: seconds, asRr } = options;
  return {
    folder,
    options: recordingOptions(options),
    start: options,
    divert: diversionStarter({
      ...options,
      // rr's diversions refuse kill(2).
      ownKill: asRr ? 'refused' : 'done',
      limits: seconds === undefined ? {} : { seconds },
    }),
    asRr,
    log,
    warn: warner(io),
    output: (fd, bytes) => io.bytes(fd, bytes),
  };
}
