import { E, fail, Errno } from '../base/errno.js';
import { Open } from '../files/node.js';
import type { OpenFile } from '../files/open-file.js';
import type { Wait } from '../kernel/process.js';
import { Sig, Code, userSignal } from '../kernel/pending.js';
import { send } from '../signals/send.js';
import type { Call, Outcome } from './dispatch.js';

/** What the kernel transfers at most in one call (MAX_RW_COUNT). */
export const MAX_COUNT = 0x7fff_f000;
const CHUNK = 1 << 18;

interface Piece {
  readonly at: number;
  readonly size: number;
}

export const fileOf = (call: Call, index = 0): OpenFile =>
  call.thread.process.descriptors.get(call.args[index] | 0);

export const nonblocking = (file: OpenFile): boolean => (file.flags & Open.nonblock) !== 0;

function waitFor(file: OpenFile, what: string, poll: () => number | null): Wait {
  return { poll, interrupted: 'restart', what: `${what} ${file.path}`, outside: file.isOutside };
}

/** Does it now, or later where the file would block and may; `dontWait`: this call may not. */
export function now(file: OpenFile, what: string, attempt: () => number | null, dontWait = false): Outcome {
  const result = attempt();
  if (result !== null) return result;
  if (dontWait || nonblocking(file)) fail(E.EAGAIN);
  return waitFor(file, what, attempt);
}

/** Reads into the pieces, one after the other; as much as there is. */
export function readPieces(call: Call, file: OpenFile, pieces: readonly Piece[], dontWait = false): Outcome {
  if (!file.canRead) fail(E.EBADF);
  return now(file, 'reading', () => transfer(call, pieces, (bytes) => file.read(bytes), true), dontWait);
}

export function writePieces(call: Call, file: OpenFile, pieces: readonly Piece[]): Outcome {
  if (!file.canWrite) fail(E.EBADF);
  let written = 0;
  const total = pieces.reduce((sum, { size }) => sum + size, 0);
  const attempt = (): number | null => {
    try {
      const count = transfer(call, skip(pieces, written), (bytes) => file.write(bytes), false);
      if (count === null) return nonblocking(file) && written > 0 ? written : null;
      written += count;
      // A blocking write to a pipe returns when all of it is written.
      return written < total && count > 0 && !nonblocking(file) ? null : written;
    } catch (error) {
      if (error instanceof Errno && error.errno === E.EPIPE) brokenPipe(call);
      throw error;
    }
  };
  const first = attempt();
  if (first !== null) return first;
  if (nonblocking(file)) return written > 0 ? written : fail(E.EAGAIN);
  return waitFor(file, 'writing', attempt);
}

export function brokenPipe({ kernel, thread }: Call): void {
  const { process } = thread;
  send(kernel, process, userSignal(Sig.PIPE, Code.user, process.pid, process.credentials.uid), thread);
}

/** The pieces without their first `done` bytes. */
function skip(pieces: readonly Piece[], done: number): Piece[] {
  let left = done;
  const rest: Piece[] = [];
  for (const { at, size } of pieces) {
    const passed = Math.min(left, size);
    left -= passed;
    if (size > passed) rest.push({ at: at + passed, size: size - passed });
  }
  return rest;
}

/** null: nothing could be transferred yet. */
export function transfer(
  call: Call,
  pieces: readonly Piece[],
  move: (bytes: Uint8Array) => number | null,
  reading: boolean,
): number | null {
  let done = 0;
  for (const piece of pieces) {
    const size = Math.min(piece.size, MAX_COUNT - done);
    for (let offset = 0; offset < size;) {
      const count = Math.min(CHUNK, size - offset);
      const bytes = reading ? new Uint8Array(count) : call.memory.bytes(piece.at + offset, count);
      const moved = guarded(done, () => move(bytes));
      if (moved === null) return done > 0 ? done : null;
      if (reading && moved > 0) call.memory.write(piece.at + offset, bytes.subarray(0, moved));
      done += moved;
      offset += moved;
      if (moved < count) return done;
    }
  }
  return done;
}

/** A failure after the first bytes is reported by the next call. */
function guarded(done: number, move: () => number | null): number | null {
  try {
    return move();
  } catch (error) {
    if (done > 0 && error instanceof Errno) return null;
    throw error;
  }
}
