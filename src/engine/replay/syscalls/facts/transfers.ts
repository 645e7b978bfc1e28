/** The bytes that calls moved through descriptors: offsets, contents, what is left in pipes and counters. */
import { Sys } from '../../../base/linux.js';
import type { RecordedFile } from '../../../task/recorded-files.js';
import type { ReturnedCall } from './call-memory.js';

const O_APPEND = 0o2000;

export const DATA: ReadonlySet<number> = new Set([
  ...[Sys.read, Sys.pread64, Sys.readv, Sys.preadv],
  ...[Sys.write, Sys.pwrite64, Sys.writev, Sys.pwritev, Sys.pwritev2],
]);

/** read, write and their kin. */
export function noteData(call: ReturnedCall, seconds: number): void {
  const { number, result } = call;
  const isRead = ([Sys.read, Sys.pread64, Sys.readv, Sys.preadv] as number[]).includes(number);
  const isVector = ([Sys.readv, Sys.preadv, Sys.writev, Sys.pwritev, Sys.pwritev2] as number[]).includes(
    number,
  );
  const { files } = call.task.fds;
  const file = files.find(call.int(0));
  if (!file) return;
  const bytes = isVector
    ? call.vector(call.pointer(1), call.long(2), result)
    : call.bytes(call.pointer(1), result);
  const wanted = isVector ? result : call.long(2);
  transferred(call, file, { isRead, bytes, offset: offsetOf(call), wanted, seconds });
}

/** Null: the description's own. */
function offsetOf(call: ReturnedCall): number | null {
  const hasOffset = ([Sys.pread64, Sys.preadv, Sys.pwrite64, Sys.pwritev, Sys.pwritev2] as number[]).includes(
    call.number,
  );
  return hasOffset && call.long(3) >= 0 ? call.long(3) : null;
}

interface Transfer {
  readonly isRead: boolean;
  readonly bytes: Uint8Array;
  readonly offset: number | null;
  /** Bytes that the program requested; a file returns fewer only at its end. */
  readonly wanted: number;
  readonly seconds: number;
}

/** What became of the bytes that went through a descriptor. */
export function transferred(call: ReturnedCall, file: RecordedFile, transfer: Transfer): void {
  const { world } = call.task.fds.files;
  const { isRead, bytes, seconds } = transfer;
  switch (file.kind) {
    case 'file':
      return throughFile(call, file, transfer);
    case 'pipe':
      return isRead ? world.take(file.path, call.result) : world.send(file.path, bytes);
    case 'pair': {
      const end = file.state.end ?? 0;
      if (isRead) world.take(`${file.path}>${1 - end}`, call.result);
      else world.send(`${file.path}>${end}`, bytes);
      return;
    }
    case 'eventfd': {
      if (bytes.length < 8) return;
      const value = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
      const count = (file.state.count ?? 0n) + (isRead ? -value : value);
      return world.change(file.id, {
        state: { ...file.state, count: BigInt.asUintN(64, count < 0n ? 0n : count) },
      });
    }
    case 'signalfd':
      if (isRead) takeSignals(call, bytes);
      return;
    case 'timerfd':
      if (isRead) world.change(file.id, { state: { ...file.state, ...afterExpiry(file, seconds) } });
      return;
    default:
  }
}

/** struct signalfd_siginfo begins with the signal's number. */
function takeSignals({ task }: ReturnedCall, bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const { signals } = task.fds.files.world;
  for (let at = 0; at + 128 <= bytes.length; at += 128)
    signals.taken(task.group.tgid, task.tid, view.getUint32(at, true));
}

/** A timer that was read has expired: sets its next time, or none. */
function afterExpiry({ state }: RecordedFile, seconds: number): RecordedFile['state'] {
  const { interval = 0n, first = 0n, armedAt = 0, isAbsolute } = state;
  if (interval === 0n || first === 0n) return { first: 0n };
  // Those of other clocks than the recorder's cannot be placed: the next is an interval from now.
  const since = isAbsolute ? 0n : BigInt(Math.round((seconds - armedAt) * 1e9)) - first;
  const late = since > 0n ? since % interval : 0n;
  return { first: interval - late, isAbsolute: false, armedAt: seconds };
}

function throughFile(
  call: ReturnedCall,
  file: RecordedFile,
  { isRead, bytes, offset, wanted }: Transfer,
): void {
  const { files } = call.task.fds;
  const { world } = files;
  const content = file.state.content;
  const isAppended = !isRead && (file.flags & O_APPEND) !== 0;
  const end = content === undefined ? null : (world.contents.get(content)?.size ?? null);
  const at = isAppended && end !== null ? end : (offset ?? file.offset);
  if (offset === null) files.seek(call.int(0), () => at + call.result);
  if (content === undefined || isSpecial(file.path)) return;
  world.edit(content, (known) => {
    if (!isRead) return isAppended && end === null ? void (known.isWritten = true) : known.write(at, bytes);
    known.saw(at, bytes);
    if (call.result < wanted && known.size === null && at + call.result > 0) known.size = at + call.result;
  });
}

const isSpecial = (path: string): boolean => /^\/dev\//.test(path) && !path.startsWith('/dev/shm/');
