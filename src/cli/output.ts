import fs from 'node:fs';
import tty from 'node:tty';
import { OutputClosed, unwritable } from '../engine/base/system-errors.js';

/** Output and clock of a command; an argument, so that tests can replace it. */
export interface CommandIo {
  /** Text to standard output, unchanged (no newline added). Throws OutputClosed, E_OUTPUT. */
  out(text: string): void;
  /** Text to standard error, unchanged: messages, which are dropped if they cannot be written. Does not throw. */
  err(text: string): void;
  /** Bytes to standard output (1) or standard error (2), exactly these and all of them. Throws OutputClosed, E_OUTPUT. */
  bytes(fd: 1 | 2, bytes: Uint8Array): void;
  isTerminal(fd: 1 | 2): boolean;
  /** Characters of a line there; Infinity where lines may have any length. */
  columns(fd: 1 | 2): number;
  /** Milliseconds since the command began, by a monotonic clock. */
  now(): number;
}

const waiter = new Int32Array(new SharedArrayBuffer(4));

/**
 * Writes all of `bytes`, waiting while a pipe or terminal is full: the output of a replayed program
 * must be complete and in order, however slow the reader is. Throws OutputClosed on EPIPE, else
 * E_OUTPUT.
 */
export function writeAll(fd: number, bytes: Uint8Array): void {
  let done = 0;
  while (done < bytes.length) {
    try {
      done += fs.writeSync(fd, bytes, done, bytes.length - done);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EPIPE') throw new OutputClosed();
      if (code !== 'EAGAIN') throw unwritable(fd === 1 ? 'standard output' : 'standard error', error);
      // Another holder of the pipe or terminal made it non-blocking; it will drain.
      Atomics.wait(waiter, 0, 0, 2);
    }
  }
}

function message(text: string): void {
  try {
    writeAll(2, Buffer.from(text));
  } catch {
    // A full disk or a closed pipe must not end a successful command; results are not written here.
  }
}

/** Width of terminals that do not report one. */
const USUAL_COLUMNS = 80;

/** The width of the terminal; otherwise COLUMNS, else none. */
function columnsOf(fd: 1 | 2): number {
  const said = Number(process.env.COLUMNS);
  if (!tty.isatty(fd)) return said > 0 ? said : Infinity;
  let own = -1;
  try {
    // A separate descriptor: the stream would make ours non-blocking for every holder.
    own = fs.openSync(`/proc/self/fd/${fd}`, fs.constants.O_WRONLY | fs.constants.O_NOCTTY);
    const stream = new tty.WriteStream(own);
    const { columns } = stream;
    stream.destroy();
    if (columns > 0) return columns;
  } catch {
    if (own >= 0) fs.closeSync(own);
  }
  return said > 0 ? said : USUAL_COLUMNS;
}

/** The process's own streams and clock. */
export const processIo: CommandIo = {
  out: (text) => writeAll(1, Buffer.from(text)),
  err: message,
  bytes: writeAll,
  // Not process.stdout.isTTY: making that stream turns the descriptor non-blocking for every holder.
  isTerminal: (fd) => tty.isatty(fd),
  columns: columnsOf,
  now: () => performance.now(),
};
