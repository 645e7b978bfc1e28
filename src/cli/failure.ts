import { ExitCode, RevenantError } from '../engine/base/errors.js';
import { DivergenceError, formatReport } from '../engine/replay/report.js';
import type { CommandIo } from './output.js';
import { OutputClosed } from './output.js';
import { printableLines } from './printable.js';

export interface FailureOptions {
  json: boolean;
  verbose: boolean;
}

/** What a failed command says with --json, on standard output. */
function failureDocument(error: RevenantError): object {
  const report = 'report' in error ? { report: error.report } : {};
  return { error: { code: error.code, message: error.message, hint: error.hint, ...report } };
}

/** bigint has no JSON form: hexadecimal strings, as everywhere in our output. */
export const jsonValue = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? `0x${value.toString(16)}` : value;

/** Prints what went wrong and returns the exit code. */
export function reportFailure(io: CommandIo, failure: unknown, options: FailureOptions): number {
  if (failure instanceof OutputClosed) return OutputClosed.exitCode;
  const error = failure instanceof RevenantError ? failure : internal(failure);
  if (options.json) io.out(`${JSON.stringify(failureDocument(error), jsonValue)}\n`);
  io.err(`revenant: ${explain(error)}`);
  if (options.verbose) io.err(stackOf(error));
  return error.exitCode;
}

/** With the report of a divergence, which says all that message and hint do. */
function explain(error: RevenantError): string {
  if (error instanceof DivergenceError) return formatReport(error.report);
  const hint = error.hint ? `revenant: ${printableLines(error.hint)}\n` : '';
  return `${printableLines(error.message)}\n${hint}`;
}

function internal(failure: unknown): RevenantError {
  const message = failure instanceof Error ? failure.message : String(failure);
  return new RevenantError(
    'E_INTERNAL',
    `Internal error: ${message}`,
    `This is a defect in Revenant (exit code ${ExitCode.internal}); --verbose shows where.`,
    { cause: failure },
  );
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `caused by ${error.cause.stack ?? ''}\n` : '';
  return `${error.stack ?? ''}\n${cause}`;
}
