import { USER_END, gva } from '../base/address.js';
import type { Task } from '../task/task.js';
import type { MemoryReader } from '../x86/wild-branch.js';

/** A task's memory by 64-bit addresses. */
export const readMemory =
  (task: Task): MemoryReader =>
  (address, into) =>
    address < BigInt(USER_END) ? task.space.read(gva(Number(address)), into) : 0;
