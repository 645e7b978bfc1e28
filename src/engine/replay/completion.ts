import { Reg, setSigned, getUnsigned } from '../base/registers.js';
import { Insn, type InstructionDecoder } from '../x86/decode.js';
import type { Task } from '../task/task.js';
import type { GuestCore } from './guest-core.js';

/**
 * Completes an instruction that the recorded processor had and this one lacks (#UD, #GP): XSAVEC, XRSTOR of
 * a compacted area, XGETBV(1). Anything else, and what would have faulted on the recorded processor too, is
 * left to be the signal that it is.
 * @returns true if the instruction was executed and rip moved past it
 */
export function completeInstruction(core: GuestCore, task: Task, decoder: InstructionDecoder): boolean {
  const registers = core.registers(task);
  switch (decoder.kind) {
    case Insn.xgetbv:
      if (registers[2 * Reg.rcx] !== 1 || !core.vectors.recordsXgetbv1) return false;
      core.vectors.xgetbv1(registers);
      break;
    case Insn.xsavec:
      if (!core.vectors.recordsXsavec || !core.vectors.saveCompacted(task, registers, decoder)) return false;
      break;
    case Insn.xrstor:
      if (!core.vectors.recordsXsavec || !core.vectors.restoreCompacted(task, registers, decoder))
        return false;
      break;
    default:
      return false;
  }
  setSigned(registers, Reg.rip, getUnsigned(registers, Reg.rip) + decoder.length);
  return true;
}
