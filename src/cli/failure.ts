import type { RevenantError } from '../engine/base/errors.js';
import { asFailure } from '../engine/base/system-errors.js';
import type { CommandIo } from './output.js';
import { OutputClosed } from '../engine/base/system-errors.js';
import { printableLines } from './printable.js';
import { hang } from './table.js';

export interface FailureOptions {
  json: boolean;
  verbose: boolean;
}

/** JSON has no bigint: hexadecimal strings, as in all other output. */
export const jsonValue = (_key: string, value: unknown): unknown =>
  typeof value !== 'bigint' ? value : value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;

/** Prints an error and returns its exit code. */
export async function reportFailure(
  io: CommandIo,
  failure: unknown,
  options: FailureOptions,
): Promise<number> {
  if (failure instanceof OutputClosed) return OutputClosed.exitCode;
  const error = asFailure(failure);
  const report = error.code === 'E_DIVERGED' ? await divergence(error) : null;
  if (options.json) {
    const { code, message, hint } = error;
    try {
      io.out(`${JSON.stringify({ error: { code, message, hint, report: report?.document } })}\n`);
    } catch {
      // Writing standard output failed, possibly again; the text below reports the error.
    }
  }
  io.err(report?.text ?? sentences(error, io.columns(2)));
  if (options.verbose) io.err(stackOf(error));
  return error.exitCode;
}

/** The report of a divergence, as text and for JSON; null where the error has none. */
async function divergence(error: RevenantError): Promise<{ text: string; document: unknown } | null> {
  const { DivergenceError, formatReport, reportDocument } = await import('../engine/replay/report/report.js');
  if (!(error instanceof DivergenceError)) return null;
  return { text: `revenant: ${formatReport(error.report)}`, document: reportDocument(error.report) };
}

const sentences = (error: RevenantError, width: number): string =>
  [error.message, ...(error.hint ? [error.hint] : [])]
    .map((text) => `${hang('revenant: ', printableLines(text), width)}\n`)
    .join('');

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `caused by ${error.cause.stack ?? ''}\n` : '';
  return `${error.stack ?? ''}\n${cause}`;
}
