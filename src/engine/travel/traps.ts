import { gva, type Gva } from '../base/address.js';
import type { Task } from '../task/task.js';
import { Insn, InstructionDecoder, MAX_INSTRUCTION_LENGTH } from '../x86/decode.js';

/** Lengths of RDTSC and CPUID, and of RDTSCP, TPAUSE and UMWAIT. */
const TRAP_LENGTHS = [2, 3, 4];
const KINDS: readonly number[] = [Insn.rdtsc, Insn.rdtscp, Insn.cpuid, Insn.tpause, Insn.umwait];

/** Beginnings of instructions that trap and end at `end`. */
export function trapsBefore({ space }: Task, end: number): Gva[] {
  const decoder = new InstructionDecoder();
  const code = new Uint8Array(MAX_INSTRUCTION_LENGTH);
  return TRAP_LENGTHS.map((length) => gva(end - length)).filter((start) => {
    const kind = decoder.decode(code, 0, space.read(start, code));
    return KINDS.includes(kind) && decoder.length === end - start;
  });
}
