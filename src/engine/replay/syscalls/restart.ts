/**
 * System calls that a signal interrupted. If no handler runs, the kernel restarts them as the task
 * returns to user code (arch/x86/kernel/signal.c, arch_do_signal_or_restart), which is after a
 * ptracer's stop. rr performs this itself before it writes the signal's frame, but not if it may
 * then schedule another task, as at a stop.
 */
import { RESTART_BLOCK, RESTART_RESULTS, Sys } from '../../base/linux.js';
import { Reg, getSigned, getUnsigned, setSigned } from '../../base/registers.js';
import type { Task } from '../../task/task.js';
import type { ReplayCore } from '../state/core.js';
import { SYSCALL_LENGTH } from '../../x86/constants.js';

/** Whether the task is after a call that it will restart, unless a frame says otherwise. */
export function isInterrupted(core: ReplayCore, task: Task): boolean {
  const registers = core.registers(task);
  return (
    task.syscall >= 0 &&
    getSigned(registers, Reg.orig_rax) >= 0 &&
    RESTART_RESULTS.includes(getSigned(registers, Reg.rax))
  );
}

/** Back on the instruction of an interrupted call. */
export function restartCall(core: ReplayCore, task: Task): void {
  const registers = core.registers(task);
  const block = getSigned(registers, Reg.rax) === RESTART_BLOCK;
  setSigned(registers, Reg.rax, block ? Sys.restart_syscall : getSigned(registers, Reg.orig_rax));
  setSigned(registers, Reg.rip, getUnsigned(registers, Reg.rip) - SYSCALL_LENGTH);
  task.syscall = -1;
}
