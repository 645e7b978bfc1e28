import type { Logger } from '../engine/base/log.js';
import { RevenantError } from '../engine/base/errors.js';
import type { CommandIo } from './output.js';

const LEVELS = ['silent', 'error', 'warn', 'info', 'debug', 'trace'];

/** Warnings as plain lines: the default. */
function plainLogger(io: CommandIo): Logger {
  return { debug() {}, info() {}, warn: (_details, message) => io.err(`revenant: warning: ${message}\n`) };
}

/**
 * The logger of a command: pino's JSON lines on standard error from `--verbose` (debug) or
 * REVENANT_LOG=LEVEL on. pino is loaded only then; it takes a tenth of the start-up time.
 */
export async function createLogger(
  io: CommandIo,
  verbose: boolean,
  level: string | undefined,
): Promise<Logger> {
  const wanted = verbose ? 'debug' : level || undefined;
  if (wanted === undefined) return plainLogger(io);
  if (!LEVELS.includes(wanted)) {
    throw new RevenantError(
      'E_USAGE',
      `REVENANT_LOG is "${wanted}"; it must be one of ${LEVELS.join(', ')}.`,
    );
  }
  const { pino } = await import('pino');
  const logger: Logger = pino({ level: wanted, base: null }, { write: (line: string) => io.err(line) });
  return logger;
}
