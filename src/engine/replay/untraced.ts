import { Sys } from '../base/linux.js';
import { Reg, getSigned, setSigned } from '../base/registers.js';
import type { Task } from '../task/task.js';
import type { ReplayCore } from './core.js';
import { adviseRegisters, mprotect } from './syscalls/memory.js';
import { performCloned } from './cloned-data.js';

/**
 * A system call of the preload library that leaves no frame but whose effect is needed (notes 7.4): the
 * result does not matter, the library replaces it by the recorded one.
 */
export function performUntraced(core: ReplayCore, task: Task, rip: number): void {
  const registers = core.registers(task);
  const number = getSigned(registers, Reg.rax);
  let result = performCloned(core, task, number);
  if (result === null) {
    switch (number) {
      case Sys.mprotect:
        result = mprotect(task.space, registers);
        break;
      case Sys.madvise:
        result = adviseRegisters(task.space, registers);
        break;
      default:
        core.log.warn({ tid: task.tid, number, rip: rip.toString(16) }, 'unexpected untraced system call');
        result = 0;
    }
  }
  setSigned(registers, Reg.rax, result);
  core.canonicaliseSyscall(registers);
}
