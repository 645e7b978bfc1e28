import { Sys } from '../../base/linux.js';
import { gva } from '../../base/address.js';
import { Reg, getUnsigned, setSigned } from '../../base/registers.js';
import type { Task } from '../../task/task.js';
import { SyscallState, type TraceFrame } from '../../trace/frame.js';
import type { ReplayCore } from '../state/core.js';
import { noteAllMapped, noteMappedContents } from './facts/mapped.js';
import { enterPtrace } from './ptrace.js';
import { cloneTask, releaseTaskAreas } from './process.js';

const ENOSYS = -38;

/** Calls with work at their entry: `performEntry`, or an exec, which leaves by another kind of frame. */
const ENTRY_WORK: ReadonlySet<number> = new Set([
  ...[Sys.clone, Sys.fork, Sys.vfork, Sys.execve, Sys.execveat],
  ...[Sys.ptrace, Sys.exit, Sys.exit_group],
]);

export const hasEntryWork = (number: number): boolean => ENTRY_WORK.has(number);

function noteUnmapped(task: Task, { registers }: TraceFrame): void {
  const start = getUnsigned(registers, Reg.rdi);
  const end = gva(start + getUnsigned(registers, Reg.rsi));
  noteMappedContents(task.fds.files.world, task.space, gva(start), end);
}

/** Turns a task that stopped on a system call instruction into one that is in the system call, as rr presents it. */
export function markEntered(core: ReplayCore, task: Task, rip: number): void {
  const registers = core.registers(task);
  registers[2 * Reg.orig_rax] = registers[2 * Reg.rax];
  registers[2 * Reg.orig_rax + 1] = registers[2 * Reg.rax + 1];
  setSigned(registers, Reg.rax, ENOSYS);
  setSigned(registers, Reg.rip, rip);
  core.canonicaliseSyscall(registers);
}

/** Entry work of a system call and the frame's memory writes (rr-traces.md 5.3). */
export function performEntry(core: ReplayCore, task: Task, frame: TraceFrame): void {
  task.syscall = frame.syscallNumber;
  task.syscallSince = frame.monotonicSec;
  if (frame.syscallState !== SyscallState.entering) return;
  switch (frame.syscallNumber) {
    case Sys.clone:
    case Sys.fork:
    case Sys.vfork:
      if (frame.failedDuringPreparation) break;
      return cloneTask(core, task, frame);
    case Sys.ptrace:
      enterPtrace(core, task, frame);
      break;
    case Sys.munmap:
      if (core.notesFiles) noteUnmapped(task, frame);
      break;
    case Sys.execve:
    case Sys.execveat:
      if (core.notesFiles) noteAllMapped(task);
      break;
    case Sys.exit:
      releaseTaskAreas(core, task);
      break;
    case Sys.exit_group:
      if (task.group.tasks.size === 1) releaseTaskAreas(core, task);
      break;
  }
  core.applyMemWrites(frame, task);
}
