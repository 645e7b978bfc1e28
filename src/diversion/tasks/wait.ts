import type { Gva } from '../../engine/base/address.js';
import { Reg, getSigned, getUnsigned, setSigned } from '../../engine/base/registers.js';
import { E, Errno } from '../errno.js';
import { isMemoryLimit, type Kernel } from '../kernel.js';
import type { Thread, Wait } from '../process.js';

const SYSCALL_LENGTH = 2;
/** Offset of the result in a record of the syscall buffer. */
const RECORD_RESULT = 0;

/** The result of what a call does; Errno becomes a negative number. */
export function attempt(kernel: Kernel, work: () => number | null): number | null {
  try {
    return work();
  } catch (error) {
    if (error instanceof Errno) return -error.errno;
    if (isMemoryLimit(error)) {
      kernel.sayOnce('memory', {}, "the diversion's memory limit is reached");
      return -E.ENOMEM;
    }
    throw error;
  }
}

/** The call returns. */
export function finishCall(kernel: Kernel, thread: Thread, result: number): void {
  const { task } = thread;
  setSigned(kernel.core.registers(task), Reg.rax, result);
  if (thread.record !== 0) {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigInt64(RECORD_RESULT, BigInt(result), true);
    task.space.write(thread.record, bytes);
    thread.record = 0 as Gva;
  }
}

/** Looks whether what the thread waits for has happened, and finishes its call then. */
export function pollWait(kernel: Kernel, thread: Thread): boolean {
  const { wait } = thread;
  if (!wait) return true;
  let result = attempt(kernel, wait.poll);
  if (result === null && wait.deadline !== undefined && kernel.clock.monotonic >= wait.deadline)
    result = wait.timedOut ?? 0;
  if (result === null) return false;
  endWait(kernel, thread, wait);
  finishCall(kernel, thread, result);
  restoreMask(thread);
  return true;
}

/** What it stores then goes to where the program said, which may be nowhere. */
function endWait(kernel: Kernel, thread: Thread, wait: Wait): void {
  thread.wait = null;
  attempt(kernel, () => {
    wait.end?.();
    return null;
  });
}

/** A call that had another mask put in force is over without a handler having run. */
export function restoreMask(thread: Thread): void {
  if (thread.savedMask === null) return;
  thread.task.signalMask = thread.savedMask;
  thread.savedMask = null;
}

/**
 * A handler is about to run: the call that the thread waits in returns EINTR after it, or starts over.
 * @param restarts the action has SA_RESTART
 */
export function cancelWait(kernel: Kernel, thread: Thread, restarts: boolean): void {
  const { wait } = thread;
  if (!wait) return;
  endWait(kernel, thread, wait);
  if (wait.interrupted === 'always' || (wait.interrupted === 'restart' && restarts))
    return restartCall(kernel, thread);
  finishCall(kernel, thread, -E.EINTR);
}

/** Back on the system call instruction. */
export function restartCall(kernel: Kernel, thread: Thread): void {
  const registers = kernel.core.registers(thread.task);
  setSigned(registers, Reg.rax, getSigned(registers, Reg.orig_rax));
  setSigned(registers, Reg.rip, getUnsigned(registers, Reg.rip) - SYSCALL_LENGTH);
}

/** The thread is given other registers: the call that it was in is forgotten. */
export function dropWait(kernel: Kernel, thread: Thread): void {
  if (thread.wait) endWait(kernel, thread, thread.wait);
  restoreMask(thread);
}
