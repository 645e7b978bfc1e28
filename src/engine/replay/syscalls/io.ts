import { wordsToNumber, type Gva } from '../../base/address.js';
import { FcntlDup, Sys } from '../../base/linux.js';
import { Reg, getSigned, getUnsigned } from '../../base/registers.js';
import type { Task } from '../../task/task.js';
import type { TraceFrame } from '../../trace/frame.js';
import type { ReplayCore } from '../core.js';

/** iovec: 16 bytes, base and length (include/uapi/linux/uio.h); UIO_MAXIOV of them at most. */
const IOVEC_BYTES = 16;
const MAX_IOVECS = 1024;
/** Echo in pieces: a program may write gigabytes at once. */
const ECHO_CHUNK = 1 << 16;

/**
 * What the program wrote to a descriptor that leads to the recorded terminal, as it is in guest memory
 * before the frame's own writes (notes 6.5). Descriptors that are duplicated or closed are followed.
 */
export function trackDescriptors(core: ReplayCore, task: Task, frame: TraceFrame): void {
  const registers = frame.registers;
  const fd = registers[2 * Reg.rdi] | 0;
  const result = getSigned(registers, Reg.rax);
  switch (frame.syscallNumber) {
    case Sys.write:
    case Sys.pwrite64:
      return echoBuffer(core, task, fd, getUnsigned(registers, Reg.rsi), result);
    case Sys.writev:
    case Sys.pwritev:
    case Sys.pwritev2:
      return echoVector(core, task, fd, frame, result);
    case Sys.close:
      return task.fds.close(fd);
    case Sys.dup:
      return task.fds.duplicate(fd, result);
    case Sys.dup2:
    case Sys.dup3:
      return task.fds.duplicate(fd, result);
    case Sys.fcntl: {
      const command = registers[2 * Reg.rsi];
      if (command === FcntlDup.dupFd || command === FcntlDup.dupFdCloexec) task.fds.duplicate(fd, result);
      return;
    }
  }
  if (frame.extra.kind === 'openedFds') {
    for (const opened of frame.extra.fds) {
      if (opened.path === 'terminal') task.fds.attach(opened.fd, 1);
      else task.fds.close(opened.fd);
    }
  }
}

function echoVector(core: ReplayCore, task: Task, fd: number, frame: TraceFrame, result: number): void {
  if (result <= 0 || task.fds.streamOf(fd) === null) return;
  const count = Math.min(getUnsigned(frame.registers, Reg.rdx), MAX_IOVECS);
  const vectors = new Uint8Array(count * IOVEC_BYTES);
  const readable = task.space.read(getUnsigned(frame.registers, Reg.rsi) as Gva, vectors);
  const words = new Uint32Array(vectors.buffer, 0, Math.floor(readable / IOVEC_BYTES) * 4);
  let left = result;
  for (let at = 0; at < words.length && left > 0; at += 4) {
    const size = Math.min(left, wordsToNumber(words[at + 2], words[at + 3]));
    echoBuffer(core, task, fd, wordsToNumber(words[at], words[at + 1]), size);
    left -= size;
  }
}

function echoBuffer(core: ReplayCore, task: Task, fd: number, start: number, size: number): void {
  const stream = task.fds.streamOf(fd);
  if (stream === null) return;
  for (let done = 0; done < size; done += ECHO_CHUNK) {
    const chunk = new Uint8Array(Math.min(ECHO_CHUNK, size - done));
    const count = task.space.read((start + done) as Gva, chunk);
    core.output(stream, chunk.subarray(0, count));
    if (count < chunk.length) return;
  }
}
