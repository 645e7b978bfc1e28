/** The one error class of the project, and the exit codes that its codes map to. */

/** Exit codes of the command, documented in README.md. */
export const ExitCode = {
  /** The trace replayed to its last frame (or the command did what it was asked). */
  ok: 0,
  /** The replay diverged from the recording, or an expectation of `replay --all` failed. */
  diverged: 1,
  /** The command line is wrong. */
  usage: 2,
  /** The trace is missing, truncated, corrupt, of another version or names files it must not. */
  trace: 3,
  /** No machine here can carry this trace, or the machine could not be started. */
  machine: 4,
  /** The trace needs something that Revenant does not do yet. */
  unsupported: 5,
  /** Guest memory reached its limit (`--memory`). */
  memory: 6,
  /** `ci`: nothing failed, but traces were skipped and `--strict` forbids that. */
  skipped: 7,
  /** `ci`: the manifest is missing or wrong. */
  manifest: 8,
  /** A call in a diversion did not return: it crashed, exited or reached a limit. */
  diversion: 9,
  /** A defect in Revenant. */
  internal: 70,
  /** Interrupted by SIGINT. */
  interrupted: 130,
} as const;

const exitCodeOf = {
  E_USAGE: ExitCode.usage,
  E_MANIFEST: ExitCode.manifest,
  E_TRACE_MISSING: ExitCode.trace,
  E_TRACE_VERSION: ExitCode.trace,
  E_TRACE_CORRUPT: ExitCode.trace,
  E_TRACE_PATH: ExitCode.trace,
  E_CHECKPOINT: ExitCode.trace,
  E_MACHINE_CANNOT: ExitCode.machine,
  E_MACHINE_START: ExitCode.machine,
  E_MACHINE_LOST: ExitCode.machine,
  E_UNSUPPORTED: ExitCode.unsupported,
  E_MEMORY_LIMIT: ExitCode.memory,
  E_DIVERSION: ExitCode.diversion,
  E_DIVERGED: ExitCode.diverged,
  E_INTERRUPTED: ExitCode.interrupted,
  E_INTERNAL: ExitCode.internal,
} as const;

export type ErrorCode = keyof typeof exitCodeOf;

/**
 * Every expected failure. The message is one or more plain sentences that name the thing (trace,
 * frame, task, address), say what was expected and what was found; `hint` says what to do next.
 */
export class RevenantError extends Error {
  override readonly name = 'RevenantError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly hint?: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }

  get exitCode(): number {
    return exitCodeOf[this.code];
  }
}

/** An invariant of ours does not hold: a defect, never a property of the input. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition)
    throw new RevenantError('E_INTERNAL', message, 'This is a defect in Revenant; please report it.');
}
