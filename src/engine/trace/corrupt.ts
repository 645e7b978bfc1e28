import { RevenantError } from '../base/errors.js';

const HINT = 'The trace is damaged or was cut off; copy it again from where it was recorded.';

/** The error for bytes that are not what version 85 of the format says. `where` names file and place. */
export function corrupt(where: string, reason: string, cause?: unknown): RevenantError {
  return new RevenantError('E_TRACE_CORRUPT', `${where}: ${reason}.`, HINT, { cause });
}
