import { gva, type Gva } from '../../engine/base/address.js';
import { Reg, getSigned, getUnsigned, setSigned } from '../../engine/base/registers.js';
import { E, Errno } from '../base/errno.js';
import { isMemoryLimit, type Kernel } from '../kernel/kernel.js';
import type { Thread, Wait } from '../kernel/process.js';
import { SYSCALL_LENGTH } from '../../engine/x86/constants.js';

/** Offset of the result in a record of the syscall buffer. */
const RECORD_RESULT = 0;
/** Nested handlers that each interrupted a call. */
const MAX_LEFT = 64;

/** The result of a call; Errno becomes a negative number. */
export function attempt(kernel: Kernel, work: () => number | null): number | null {
  try {
    return work();
  } catch (error) {
    if (error instanceof Errno) return -error.errno;
    if (isMemoryLimit(error)) {
      kernel.warnOnce('memory', {}, "the diversion's memory limit is reached");
      return -E.ENOMEM;
    }
    throw error;
  }
}

/** The call returns. */
export function finishCall(kernel: Kernel, thread: Thread, result: number): void {
  const { task } = thread;
  thread.since = null;
  setSigned(kernel.core.registers(task), Reg.rax, result);
  if (thread.record !== 0) {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigInt64(RECORD_RESULT, BigInt(result), true);
    task.space.write(thread.record, bytes);
    thread.record = gva(0);
  }
}

/** Checks whether the thread's wait is over, and then finishes its call. */
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

/** Its stores go to the program's addresses, which may be unmapped. */
function endWait(kernel: Kernel, thread: Thread, wait: Wait): void {
  thread.wait = null;
  attempt(kernel, () => {
    wait.end?.();
    return null;
  });
}

/** A call with a temporary mask has ended without a handler. */
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
  // Not made yet: after the handler.
  if (thread.again >= 0) return leaveCall(kernel, thread);
  if (!wait) return;
  endWait(kernel, thread, wait);
  if (wait.interrupted === 'always' || (wait.interrupted === 'restart' && restarts))
    return leaveCall(kernel, thread);
  finishCall(kernel, thread, -E.EINTR);
}

/**
 * The thread will resume its call: at the instruction, as in the kernel, or, if that does not make
 * a call (rr's library, code that was patched since), after it.
 */
function leaveCall(kernel: Kernel, thread: Thread): void {
  const registers = kernel.core.registers(thread.task);
  const number = callOf(kernel, thread);
  const rip = getUnsigned(registers, Reg.rip);
  setSigned(registers, Reg.rax, number);
  setSigned(registers, Reg.orig_rax, number);
  const isTimed = thread.again >= 0 && thread.since !== null;
  if (!isTimed && thread.record === 0 && isSyscall(thread, gva(rip - SYSCALL_LENGTH))) {
    thread.again = -1;
    thread.since = null;
    setSigned(registers, Reg.rip, rip - SYSCALL_LENGTH);
  } else remember(kernel, thread, null);
}

function isSyscall({ task }: Thread, at: Gva): boolean {
  const code = new Uint8Array(SYSCALL_LENGTH);
  return task.space.read(at, code) === SYSCALL_LENGTH && code[0] === 0x0f && code[1] === 0x05;
}

function callOf(kernel: Kernel, thread: Thread): number {
  return thread.again >= 0 ? thread.again : getSigned(kernel.core.registers(thread.task), Reg.orig_rax);
}

function remember(kernel: Kernel, thread: Thread, wait: Wait | null): void {
  const registers = kernel.core.registers(thread.task);
  const { left, record, since } = thread;
  if (left.length >= MAX_LEFT) left.shift();
  const here = { rip: getUnsigned(registers, Reg.rip), rsp: getUnsigned(registers, Reg.rsp) };
  const { rip, rsp } = thread.stood ?? here;
  left.push({ number: callOf(kernel, thread), rip, rsp, record, since, wait });
  thread.again = -1;
  thread.since = null;
  thread.record = gva(0);
}

/**
 * A debugger sets the thread's instruction pointer, perhaps for an inferior call.
 * @param entering the call's entry was reported, and it will be made
 */
export function putAside(kernel: Kernel, thread: Thread, entering: boolean): void {
  const { wait } = thread;
  const keeps = wait?.interrupted === 'never';
  if (wait || thread.again >= 0 || entering) {
    if (entering) thread.again = getSigned(kernel.core.registers(thread.task), Reg.rax);
    remember(kernel, thread, keeps ? wait : null);
  }
  if (wait && keeps) thread.wait = null;
  else if (wait) endWait(kernel, thread, wait);
  thread.record = gva(0);
  restoreMask(thread);
}

/** The thread's registers were set, by sigreturn or a debugger: those of an interrupted call resume it. */
export function takeUp(kernel: Kernel, thread: Thread): void {
  const registers = kernel.core.registers(thread.task);
  const [rip, rsp] = [getUnsigned(registers, Reg.rip), getUnsigned(registers, Reg.rsp)];
  const numbers = [getSigned(registers, Reg.rax), getSigned(registers, Reg.orig_rax)];
  const { left } = thread;
  const index = left.findLastIndex(
    (call) => call.rip === rip && call.rsp === rsp && numbers.includes(call.number),
  );
  if (index < 0) return;
  const [{ number, record, since, wait }] = left.splice(index);
  thread.record = record;
  thread.since = since;
  if (wait) thread.wait = wait;
  else thread.again = number;
}
