/** System errors (Node's, with `code` and `syscall`) as text, and which of them mean exhausted resources. */
import { ExitCode, RevenantError } from './errors.js';

type SystemError = NodeJS.ErrnoException & { code: string };

/** Whether this is a refusal of the system's: of an open, a write, a spawn, a connection. */
export const isSystemError = (error: unknown): error is SystemError =>
  error instanceof Error &&
  typeof (error as SystemError).code === 'string' &&
  /^E[A-Z0-9]+$/.test((error as SystemError).code) &&
  ((error as SystemError).syscall !== undefined || (error as SystemError).errno !== undefined);

/** `no space left on device`, of a message such as `ENOSPC: no space left on device, write`. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const match = /^E[A-Z0-9]+: ([^,]+)(?:,|$)/.exec(error.message);
  return match ? match[1] : error.message;
}

const TOO_LITTLE: Record<string, [what: string, hint: string]> = {
  EMFILE: ['This process may not have enough files open', 'Raise the limit: `ulimit -n 1024` is plenty.'],
  ENFILE: ['This system has too many files open', 'Close other programs, or raise fs.file-max.'],
  ENOMEM: ['There is not enough memory', 'Check `ulimit -v`, limits of the container, and free memory.'],
  EAGAIN: [
    'This user may not have more processes or threads',
    'Raise the limit (`ulimit -u`, pids of the container), or end other programs.',
  ],
  ENOSPC: ['There is no space left', 'Make room there.'],
  EDQUOT: ["This user's disk quota is used up", 'Make room there.'],
  EROFS: ['A folder that must be written is read-only', 'TMPDIR names another folder for temporary files.'],
  EACCES: ['A file may not be used by this user', 'Check its owner and mode.'],
  EPERM: ['The system does not permit an operation', 'Check limits of the container.'],
  EIO: ['A device does not work', 'The kernel log (dmesg) may say more.'],
};

/** A system error without further context: E_SYSTEM. */
export function systemFailure(error: SystemError): RevenantError {
  const [what, hint] = TOO_LITTLE[error.code] ?? ['The system refuses an operation', undefined];
  return new RevenantError('E_SYSTEM', `${what}: ${error.message}.`, hint, { cause: error });
}

/**
 * A requested file that cannot be written: E_OUTPUT.
 * @param what `the report report.html`
 */
export const unwritable = (what: string, error: unknown): RevenantError =>
  new RevenantError('E_OUTPUT', `Cannot write ${what}: ${reasonOf(error)}.`, undefined, { cause: error });

/** Converts anything thrown to the one error class: system errors are E_SYSTEM, unexpected ones E_INTERNAL. */
export function asFailure(thrown: unknown): RevenantError {
  if (thrown instanceof RevenantError) return thrown;
  if (isSystemError(thrown)) return systemFailure(thrown);
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  if (thrown instanceof RangeError && /out of memory|allocat/i.test(message)) {
    const [what, hint] = TOO_LITTLE.ENOMEM;
    return new RevenantError('E_SYSTEM', `${what}: ${message}.`, hint, { cause: thrown });
  }
  return new RevenantError(
    'E_INTERNAL',
    `Internal error: ${message}`,
    `This is a defect in Revenant (exit code ${ExitCode.internal}); --verbose shows where.`,
    { cause: thrown },
  );
}

/** The reader of our output pipe has closed it. Ends the command silently, as SIGPIPE would. */
export class OutputClosed extends Error {
  /** What a shell reports of a program that died of SIGPIPE. */
  static readonly exitCode = ExitCode.outputClosed;
}
