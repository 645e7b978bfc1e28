import { USER_END, wordsToNumber, type Gva } from '../../base/address.js';
import { FcntlDup, Sys } from '../../base/linux.js';
import { Reg, getSigned, getUnsigned, type RegisterWords } from '../../base/registers.js';
import type { Monitor } from '../../task/fd-table.js';
import type { Task } from '../../task/task.js';
import type { SyscallExtra } from '../../trace/frame.js';
import type { ReplayCore } from '../core.js';

/** iovec: 16 bytes, base and length (include/uapi/linux/uio.h); UIO_MAXIOV of them at most. */
const IOVEC_BYTES = 16;
const MAX_IOVECS = 1024;
/** Copy in pieces: a program may write gigabytes at once. */
const CHUNK = 1 << 16;
const PROC_MEM = /^\/proc\/(\d+)(?:\/task\/(\d+))?\/mem$/;
const CLOSE_RANGE_CLOEXEC = 4;

/** A write that has returned. */
interface FinishedCall {
  readonly number: number;
  /** The arguments as the program passed them. */
  readonly registers: RegisterWords;
  readonly result: number;
  readonly extra: SyscallExtra;
}

const DESCRIPTOR_CALLS: ReadonlySet<number> = new Set([
  ...[Sys.close, Sys.close_range, Sys.dup, Sys.dup2, Sys.dup3, Sys.fcntl],
  ...[Sys.pidfd_open, Sys.pidfd_getfd],
]);
const WRITES: ReadonlySet<number> = new Set([
  ...[Sys.write, Sys.pwrite64, Sys.writev, Sys.pwritev, Sys.pwritev2],
]);

/** True for calls that `trackDescriptors` may have work for: those on descriptors that it follows, or that make them. */
export function changesDescriptors(task: Task, number: number, registers: RegisterWords): boolean {
  if (WRITES.has(number)) return task.fds.find(registers[2 * Reg.rdi] | 0) !== null;
  return DESCRIPTOR_CALLS.has(number);
}

/**
 * Follows the descriptors that replay must know, and does what a write to one of them does. Looks at
 * guest memory as it is before the frame's own writes (notes 6.5).
 * @param number of the call that returned with `result`; `registers` hold its arguments
 */
export function trackDescriptors(
  core: ReplayCore,
  task: Task,
  number: number,
  registers: RegisterWords,
  result: number,
  extra: SyscallExtra,
): void {
  const fd = registers[2 * Reg.rdi] | 0;
  switch (number) {
    case Sys.write:
    case Sys.pwrite64:
    case Sys.writev:
    case Sys.pwritev:
    case Sys.pwritev2: {
      const monitor = task.fds.find(fd);
      if (monitor !== null && result > 0) written(core, task, monitor, { number, registers, result, extra });
      return;
    }
    case Sys.close:
      return task.fds.close(fd);
    case Sys.close_range:
      if (result === 0) closeRange(task, registers);
      return;
    case Sys.dup:
    case Sys.dup2:
    case Sys.dup3:
      if (result >= 0) task.fds.duplicate(fd, result);
      return;
    case Sys.pidfd_open:
      if (result >= 0) task.fds.attach(result, { kind: 'process', tid: fd });
      return;
    case Sys.pidfd_getfd:
      if (result >= 0) takeDescriptor(core, task, fd, registers[2 * Reg.rsi] | 0, result);
      return;
    case Sys.fcntl: {
      const command = registers[2 * Reg.rsi];
      const duplicates = command === FcntlDup.dupFd || command === FcntlDup.dupFdCloexec;
      if (duplicates && result >= 0) task.fds.duplicate(fd, result);
      return;
    }
  }
  if (extra.kind !== 'openedFds') return;
  for (const opened of extra.fds) {
    const monitor = monitorFor(opened.path);
    if (monitor) task.fds.attach(opened.fd, monitor);
    else task.fds.close(opened.fd);
  }
}

function monitorFor(path: string): Monitor | null {
  if (path === 'terminal') return { kind: 'stream', stream: 1 };
  const match = PROC_MEM.exec(path);
  return match && { kind: 'memory', tid: Number(match[2] ?? match[1]) };
}

function takeDescriptor(core: ReplayCore, task: Task, pidfd: number, from: number, to: number): void {
  const monitor = task.fds.find(pidfd);
  const source = monitor?.kind === 'process' ? core.tasks.get(monitor.tid) : undefined;
  if (source) task.fds.take(source.fds, from, to);
  else task.fds.close(to);
}

function closeRange(task: Task, registers: RegisterWords): void {
  if (registers[2 * Reg.rdx] & CLOSE_RANGE_CLOEXEC) return;
  task.fds.closeRange(registers[2 * Reg.rdi], registers[2 * Reg.rsi]);
}

interface Piece {
  start: number;
  size: number;
}

/** The parts of the caller's memory that a vectored write of `result` bytes took. */
function vectorsOf(task: Task, { registers, result }: FinishedCall): Piece[] {
  const count = Math.min(getUnsigned(registers, Reg.rdx), MAX_IOVECS);
  const vectors = new Uint8Array(count * IOVEC_BYTES);
  const readable = task.space.read(getUnsigned(registers, Reg.rsi) as Gva, vectors);
  const words = new Uint32Array(vectors.buffer, 0, Math.floor(readable / IOVEC_BYTES) * 4);
  const pieces: Piece[] = [];
  let left = result;
  for (let at = 0; at < words.length && left > 0; at += 4) {
    const size = Math.min(left, wordsToNumber(words[at + 2], words[at + 3]));
    pieces.push({ start: wordsToNumber(words[at], words[at + 1]), size });
    left -= size;
  }
  return pieces;
}

function written(core: ReplayCore, task: Task, monitor: Monitor, call: FinishedCall): void {
  const { number, registers, result } = call;
  const plain = number === Sys.write || number === Sys.pwrite64;
  const pieces = plain ? [{ start: getUnsigned(registers, Reg.rsi), size: result }] : vectorsOf(task, call);
  if (monitor.kind === 'stream') {
    const echo = (bytes: Uint8Array): boolean => {
      core.output(monitor.stream, bytes);
      return true;
    };
    for (const piece of pieces) eachChunk(task, piece, echo);
    return;
  }
  if (monitor.kind === 'memory' && !core.header.quirks.explicitProcMem)
    copyToMemory(core, task, monitor.tid, call, pieces);
}

/** Recorders that do not store writes through /proc/TID/mem leave them to the replay. */
function copyToMemory(core: ReplayCore, task: Task, tid: number, call: FinishedCall, pieces: Piece[]): void {
  const target = memoryOf(core, tid);
  let at = call.extra.kind === 'writeOffset' ? Number(call.extra.offset) : offsetArgument(call);
  if (!target || at < 0 || at >= USER_END) return;
  const store = (bytes: Uint8Array): boolean => {
    const count = target.space.write(at as Gva, bytes);
    at += count;
    return count === bytes.length;
  };
  for (const piece of pieces) eachChunk(task, piece, store);
}

/** pwrite64, pwritev and pwritev2 have the offset in the fourth argument; a plain write's is recorded. */
function offsetArgument(call: FinishedCall): number {
  return call.number === Sys.write || call.number === Sys.writev ? -1 : getSigned(call.registers, Reg.r10);
}

/** /proc/PID/mem of a process whose leader is gone is that of its other threads. */
function memoryOf(core: ReplayCore, tid: number): Task | null {
  const task = core.tasks.get(tid);
  if (task) return task;
  for (const other of core.tasks.values()) if (other.group.tgid === tid) return other;
  return null;
}

/** Calls `use` with the readable bytes of a piece, until it says no. The bytes are only valid meanwhile. */
function eachChunk(task: Task, { start, size }: Piece, use: (bytes: Uint8Array) => boolean): void {
  for (let done = 0; done < size; done += CHUNK) {
    const chunk = new Uint8Array(Math.min(CHUNK, size - done));
    const count = task.space.read((start + done) as Gva, chunk);
    if (!use(chunk.subarray(0, count)) || count < chunk.length) return;
  }
}
