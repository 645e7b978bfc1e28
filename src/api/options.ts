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
  /** What the recorded program writes to its standard output and error, as the replay passes it for the first time. */
  readonly output?: (stream: 1 | 2, bytes: Uint8Array) => void;
  /** Told what the user should know: a machine is started, a file is not the recorded one. */
  readonly onNote?: (text: string) => void;
  readonly log?: Logger;
  /** When it aborts, what is under way ends with E_INTERRUPTED; the replay can then be used on. */
  readonly signal?: AbortSignal;
}

/** The same for whoever opens recordings. */
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
