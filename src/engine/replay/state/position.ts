import { type Gva } from '../../base/address.js';
import { REGISTER_NAMES, getRegister, type RegisterName, ripOf } from '../../base/registers.js';
import { formatVma } from '../../mm/vma.js';
import type { Task } from '../../task/task.js';
import type { ReplayCore } from './core.js';
import { symbolOf } from './symbols.js';

/** The position of a program. Plain data. */
export interface Position {
  /** FrameTime of the last frame replayed. */
  frameTime: number;
  tid: number;
  taskName: string;
  registers: Record<RegisterName, bigint>;
  rip: bigint;
  /** `insert+0x1c`, or null where no symbol covers rip. */
  symbol: string | null;
  /** The mapping of rip as in /proc/PID/maps, or null. */
  mapping: string | null;
}

export function describePosition(core: ReplayCore, task: Task, frameTime: number): Position {
  const words = core.registers(task);
  const registers = {} as Record<RegisterName, bigint>;
  REGISTER_NAMES.forEach((name, slot) => (registers[name] = getRegister(words, slot)));
  const rip = ripOf(words);
  return {
    frameTime,
    tid: task.tid,
    taskName: task.name,
    registers,
    rip: registers.rip,
    symbol: symbolOf(core, task, rip),
    mapping: mappingOf(task, rip),
  };
}

export function mappingOf(task: Task, address: Gva): string | null {
  const vma = address >= 0 ? task.space.vmas.find(address) : null;
  return vma && formatVma(vma);
}
