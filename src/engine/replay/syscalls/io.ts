import { USER_END, wordsToNumber, gva } from '../../base/address.js';
import { FD_CLOEXEC, F_SETFD, FcntlDup, OpenFlag, Sys } from '../../base/linux.js';
import { Reg, getSigned, getUnsigned, type RegisterWords } from '../../base/registers.js';
import type { Monitor } from '../../task/fd-table.js';
import type { Task } from '../../task/task.js';
import type { SyscallExtra } from '../../trace/frame.js';
import type { ReplayCore } from '../state/core.js';
import { syscallName } from '../../base/syscalls.js';
import { openedOutput, taskOf } from './output-paths.js';

/** iovec: 16 bytes, base and length (include/uapi/linux/uio.h); UIO_MAXIOV of them at most. */
const IOVEC_BYTES = 16;
const MAX_IOVECS = 1024;
/** MAX_RW_COUNT (include/linux/fs.h): no call writes more. */
const MAX_WRITE = 0x7fff_f000;
/** struct msghdr: the vectors and their number at 16 and 24. struct mmsghdr: how much was sent follows it. */
const MSGHDR_BYTES = 56;
const MMSGHDR_BYTES = 64;
/** Copy in pieces: a program may write gigabytes at once. */
const CHUNK = 1 << 16;
const PROC_MEM = /^\/proc\/(\d+)(?:\/task\/(\d+))?\/mem$/;
const PROC_FD = /^\/proc\/(\d+)(?:\/task\/(\d+))?\/fd\/?$/;
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
  ...[Sys.pidfd_open, Sys.pidfd_getfd, Sys.creat, Sys.openat2],
]);
/** Calls that write, by the argument that is the descriptor. */
const WRITES: ReadonlyMap<number, number> = new Map([
  ...[Sys.write, Sys.pwrite64, Sys.writev, Sys.pwritev, Sys.pwritev2].map(
    (number) => [number, Reg.rdi] as const,
  ),
  ...[Sys.sendto, Sys.sendmsg, Sys.sendmmsg, Sys.sendfile].map((number) => [number, Reg.rdi] as const),
  [Sys.splice, Reg.rdx],
  [Sys.copy_file_range, Reg.rdx],
]);
/** Of those, the ones whose bytes the kernel copies from another file: they are not in a recording. */
const FROM_FILES: ReadonlySet<number> = new Set([Sys.sendfile, Sys.splice, Sys.copy_file_range]);

/**
 * True for calls that `trackDescriptors` may have to handle: those on descriptors that it tracks, or that make them.
 */
export function changesDescriptors(task: Task, number: number, registers: RegisterWords): boolean {
  const output = WRITES.get(number);
  if (output !== undefined) return task.fds.find(registers[2 * output] | 0) !== null;
  // Files opened for reading are not output.
  if (number === Sys.open) return (registers[2 * Reg.rsi] & OpenFlag.accessMode) !== 0;
  if (number === Sys.openat) return (registers[2 * Reg.rdx] & OpenFlag.accessMode) !== 0;
  return DESCRIPTOR_CALLS.has(number);
}

/**
 * Tracks the descriptors that replay must know, and performs writes to them. Reads guest memory as it is before the
 * frame's own writes (rr-traces.md 6.5).
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
  const output = WRITES.get(number);
  if (output !== undefined) {
    const monitor = task.fds.find(registers[2 * output] | 0);
    if (monitor !== null && result > 0) written(core, task, monitor, { number, registers, result, extra });
    return;
  }
  switch (number) {
    case Sys.close:
      return task.fds.close(fd);
    case Sys.close_range:
      if (result === 0) closeRange(task, registers);
      return;
    case Sys.dup:
    case Sys.dup2:
    case Sys.dup3:
      if (result >= 0) task.fds.duplicate(fd, result, number === Sys.dup3 && closes(registers[2 * Reg.rdx]));
      return;
    case Sys.open:
    case Sys.creat:
    case Sys.openat:
    case Sys.openat2:
      if (result >= 0) opened(core, task, { number, registers, result, extra });
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
      if (duplicates && result >= 0) task.fds.duplicate(fd, result, command === FcntlDup.dupFdCloexec);
      if (command === F_SETFD && result === 0)
        task.fds.setCloseOnExec(fd, (registers[2 * Reg.rdx] & FD_CLOEXEC) !== 0);
      return;
    }
  }
  adopt(task, extra);
}

const closes = (flags: number): boolean => (flags & OpenFlag.closeOnExec) !== 0;

/** Descriptors that the recorder itself follows. */
function adopt(task: Task, extra: SyscallExtra): void {
  if (extra.kind !== 'openedFds') return;
  for (const file of extra.fds) {
    const monitor = monitorFor(file.path);
    if (monitor) task.fds.attach(file.fd, monitor);
    else task.fds.close(file.fd);
  }
}

function opened(core: ReplayCore, task: Task, { number, registers, result, extra }: FinishedCall): void {
  task.fds.close(result);
  adopt(task, extra);
  const output = openedOutput(core, task, number, registers);
  if (!output) return;
  const isFramed = task.fds.find(result) !== null;
  task.fds.attach(result, isFramed ? { kind: 'stream', stream: output.stream } : output);
}

function monitorFor(path: string): Monitor | null {
  if (path === 'terminal') return { kind: 'stream', stream: 1 };
  const folder = PROC_FD.exec(path);
  if (folder) return { kind: 'descriptors', tid: Number(folder[2] ?? folder[1]) };
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
  const [first, last] = [registers[2 * Reg.rdi], registers[2 * Reg.rsi]];
  if ((registers[2 * Reg.rdx] & CLOSE_RANGE_CLOEXEC) === 0) return task.fds.closeRange(first, last);
  for (const fd of task.fds.monitored.keys())
    if (fd >= first && fd <= last) task.fds.setCloseOnExec(fd, true);
}

interface Piece {
  start: number;
  size: number;
}

/** The parts of the caller's memory that a vectored write of `result` bytes with `length` vectors at `at` took. */
function vectorsOf(task: Task, at: number, length: number, result: number): Piece[] {
  const count = Math.min(length, MAX_IOVECS);
  const vectors = new Uint8Array(count * IOVEC_BYTES);
  const readable = task.space.read(gva(at), vectors);
  const words = new Uint32Array(vectors.buffer, 0, Math.floor(readable / IOVEC_BYTES) * 4);
  const pieces: Piece[] = [];
  let left = result;
  for (let word = 0; word < words.length && left > 0; word += 4) {
    const size = Math.min(left, wordsToNumber(words[word + 2], words[word + 3]));
    pieces.push({ start: wordsToNumber(words[word], words[word + 1]), size });
    left -= size;
  }
  return pieces;
}

/** The parts of the caller's memory that a write took. */
function piecesOf(task: Task, { number, registers, result }: FinishedCall): Piece[] {
  const pointer = getUnsigned(registers, Reg.rsi);
  switch (number) {
    case Sys.write:
    case Sys.pwrite64:
    case Sys.sendto:
      return [{ start: pointer, size: result }];
    case Sys.sendmsg:
      return messageOf(task, pointer, result);
    case Sys.sendmmsg: {
      const pieces: Piece[] = [];
      let left = MAX_WRITE;
      for (let index = 0; index < Math.min(result, MAX_IOVECS) && left > 0; index++) {
        // The sent sizes are among the frame's writes, which are applied later: the last message may be incomplete.
        const message = messageOf(task, pointer + index * MMSGHDR_BYTES, left);
        for (const { size } of message) left -= size;
        pieces.push(...message);
      }
      return pieces;
    }
    default:
      return vectorsOf(task, pointer, getUnsigned(registers, Reg.rdx), result);
  }
}

/** The vectors of a struct msghdr. */
function messageOf(task: Task, at: number, size: number): Piece[] {
  const header = new Uint8Array(MSGHDR_BYTES);
  if (task.space.read(gva(at), header) < header.length) return [];
  const words = new Uint32Array(header.buffer);
  return vectorsOf(task, wordsToNumber(words[4], words[5]), wordsToNumber(words[6], words[7]), size);
}

/** Report output that cannot be shown. */
function warnOfUnrecorded(
  core: ReplayCore,
  task: Task,
  stream: 1 | 2,
  { number, result }: FinishedCall,
): void {
  const name = syscallName(number, core.header.rrcallBase);
  core.warnOnce(
    `unrecorded ${name}`,
    `Task ${task.tid} wrote ${result} bytes to standard ${stream === 1 ? 'output' : 'error'} by ${name}, which are not in the recording: neither these nor further such writes are shown.`,
  );
}

function written(core: ReplayCore, task: Task, monitor: Monitor, call: FinishedCall): void {
  if (FROM_FILES.has(call.number)) {
    if (monitor.kind === 'stream') warnOfUnrecorded(core, task, monitor.stream, call);
    return;
  }
  const pieces = piecesOf(task, call);
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
  const target = taskOf(core, tid);
  let at = call.extra.kind === 'writeOffset' ? Number(call.extra.offset) : offsetArgument(call);
  if (!target || at < 0 || at >= USER_END) return;
  const store = (bytes: Uint8Array): boolean => {
    const count = target.space.write(gva(at), bytes);
    at += count;
    return count === bytes.length;
  };
  for (const piece of pieces) eachChunk(task, piece, store);
}

/** pwrite64, pwritev and pwritev2 have the offset in the fourth argument; a plain write's is recorded. */
function offsetArgument(call: FinishedCall): number {
  return call.number === Sys.write || call.number === Sys.writev ? -1 : getSigned(call.registers, Reg.r10);
}

/**
 * Calls `use` with the readable bytes of a piece, until it returns false. The bytes are valid only during the call.
 */
function eachChunk(task: Task, { start, size }: Piece, use: (bytes: Uint8Array) => boolean): void {
  for (let done = 0; done < size; done += CHUNK) {
    const chunk = new Uint8Array(Math.min(CHUNK, size - done));
    const count = task.space.read(gva(start + done), chunk);
    if (!use(chunk.subarray(0, count)) || count < chunk.length) return;
  }
}
