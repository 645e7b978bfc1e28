import { RevenantError } from '../base/errors.js';

const HINT = 'The trace is damaged or was cut off; copy it again from where it was recorded.';

/** The error for bytes that do not conform to version 85 of the format. `where` is file and position. */
export function corrupt(where: string, reason: string, cause?: unknown): RevenantError {
  return new RevenantError('E_TRACE_CORRUPT', `${where}: ${reason}.`, HINT, { cause });
}

/** Adds a sentence (what was being read) to an error about corrupt bytes; other errors stay as they are. */
export function whileReading(error: unknown, sentence: string): unknown {
  if (!(error instanceof RevenantError) || error.code !== 'E_TRACE_CORRUPT') return error;
  return new RevenantError(error.code, `${error.message} ${sentence}`, error.hint, { cause: error });
}
