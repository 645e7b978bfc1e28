/** The one error class of the project, and the exit codes that its codes map to. */

/**
 * The meaning of each exit code; a code has one meaning only. `--help` is made from this table, and docs/usage.md's is
 * compared with it.
 */
export const EXITS = {
  ok: { code: 0, meaning: 'replayed to the last frame; or done, for other commands' },
  diverged: {
    code: 1,
    meaning: 'the replay diverged from the recording, or a trace of `--all` or `ci` is not as expected',
  },
  usage: { code: 2, meaning: 'the command line is wrong, or an expression on it' },
  trace: {
    code: 3,
    meaning: 'the trace is missing, damaged, of another version than 85, or names files it must not',
  },
  machine: {
    code: 4,
    meaning: 'no machine here can replay this trace, none could be started, or it was lost',
  },
  unsupported: { code: 5, meaning: 'the trace needs something that Revenant does not support yet' },
  memory: { code: 6, meaning: 'guest memory reached its limit (`--memory`)' },
  skipped: { code: 7, meaning: '`ci --strict`: nothing failed, but traces were skipped' },
  manifest: { code: 8, meaning: '`ci`: the manifest is missing or wrong' },
  diversion: { code: 9, meaning: 'a call in a diversion did not return' },
  unjudged: {
    code: 10,
    meaning: '`--all`, `ci`: nothing differed, but some traces have no verdict (the reason is printed)',
  },
  debugger: {
    code: 11,
    meaning:
      'gdb cannot be started; `gdb`: it ended with 1 or by a signal (other statuses of its are passed on)',
  },
  queue: { code: 69, meaning: '`--queue`, `--store`: it cannot be reached, or refuses' },
  internal: { code: 70, meaning: 'a defect in Revenant' },
  system: {
    code: 71,
    meaning: 'a system limit was reached: open files, processes, memory, temporary files',
  },
  output: {
    code: 74,
    meaning: 'output, a report or another requested file could not be written',
  },
  busy: { code: 75, meaning: '`machine stop`: a machine is in use; `--force` stops it anyway' },
  interrupted: { code: 130, meaning: 'interrupted by Ctrl-C' },
  outputClosed: { code: 141, meaning: 'standard output was closed by its reader (EPIPE)' },
  terminated: { code: 143, meaning: 'ended by SIGTERM or SIGHUP' },
} as const;

/** Exit codes of the command by name. */
export const ExitCode = Object.fromEntries(Object.entries(EXITS).map(([name, { code }]) => [name, code])) as {
  readonly [Name in keyof typeof EXITS]: (typeof EXITS)[Name]['code'];
};

const exitCodeOf = {
  E_USAGE: ExitCode.usage,
  E_EXPRESSION: ExitCode.usage,
  E_MANIFEST: ExitCode.manifest,
  E_TRACE_MISSING: ExitCode.trace,
  E_TRACE_VERSION: ExitCode.trace,
  E_TRACE_CORRUPT: ExitCode.trace,
  E_TRACE_PATH: ExitCode.trace,
  E_CHECKPOINT: ExitCode.trace,
  E_MACHINE_CANNOT: ExitCode.machine,
  E_MACHINE_START: ExitCode.machine,
  E_MACHINE_LOST: ExitCode.machine,
  E_MACHINE_BUSY: ExitCode.busy,
  E_UNSUPPORTED: ExitCode.unsupported,
  E_MEMORY_LIMIT: ExitCode.memory,
  E_DIVERSION: ExitCode.diversion,
  E_DIVERGED: ExitCode.diverged,
  E_DEBUGGER: ExitCode.debugger,
  E_QUEUE: ExitCode.queue,
  E_SYSTEM: ExitCode.system,
  E_OUTPUT: ExitCode.output,
  E_INTERRUPTED: ExitCode.interrupted,
  E_TERMINATED: ExitCode.terminated,
  E_INTERNAL: ExitCode.internal,
} as const;

export type ErrorCode = keyof typeof exitCodeOf;

/**
 * Every expected failure. The message is one or more plain sentences that name the object (trace,
 * frame, task, address), what was expected and what was found; `hint` says what to do next.
 */
export class RevenantError extends Error {
  override readonly name = 'RevenantError';
  /** What the program did is more than this kind of machine can do: another may go on. */
  readonly elsewhere: boolean;

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly hint?: string,
    options?: { cause?: unknown; elsewhere?: boolean },
  ) {
    super(message, options);
    this.elsewhere = options?.elsewhere ?? false;
  }

  get exitCode(): number {
    return exitCodeOf[this.code];
  }
}

/** A broken invariant: a bug, never a property of the input. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition)
    throw new RevenantError('E_INTERNAL', message, 'This is a defect in Revenant; please report it.');
}
