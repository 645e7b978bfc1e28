import type { Logger } from '../engine/base/log.js';
import type { EvaluatingContext } from '../expressions/open.js';
import type { TraceOptions } from '../recording/open.js';
import type { MachineOptions } from '../recording/machines.js';

export interface OpenReplayOptions extends MachineOptions, TraceOptions {
  /** Longest time in the guest without reaching the next frame. Default 60. */
  readonly stallLimitSeconds?: number;
  /** The gdb that evaluates expressions with types. Default: `gdb`. */
  readonly gdb?: string;
  /** Folders with checkpoint files of the trace. Default: the one beside it. */
  readonly checkpoints?: readonly string[];
  /** Gets what the recorded program writes to standard output and error when the replay first passes it. */
  readonly output?: (stream: 1 | 2, bytes: Uint8Array) => void;
  /** Gets messages for the user: a machine is started, a file is not the recorded one. */
  readonly onNote?: (text: string) => void;
  readonly log?: Logger;
  /** When it aborts, the current operation ends with E_INTERRUPTED; the replay remains usable. */
  readonly signal?: AbortSignal;
}

/** The options for `openRecording`. */
export function contextOf(folder: string, options: OpenReplayOptions): EvaluatingContext {
  const { machine, cpu, memory, unpacked, files, like, checkpoints, gdb, log, output, onNote } = options;
  const { stallLimitSeconds: stallLimit } = options;
  return {
    folder,
    options: { machine, cpu, memory, unpacked, files, like, checkpoints, stallLimit },
    gdb,
    log,
    output,
    note: onNote,
    warn: onNote,
  };
}
