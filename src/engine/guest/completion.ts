import { Reg, setSigned, getUnsigned, type RegisterWords } from '../base/registers.js';
import type { CpuidEntry } from '../kvm/control.js';
import { cpuidResult, findEntry } from '../kvm/cpuid.js';
import { Insn, isUmipProtected, slotOf, type InstructionDecoder } from '../x86/decode.js';
import type { Task } from '../task/task.js';
import type { GuestCore } from './guest-core.js';
import { answerUmip } from './umip.js';
import type { VectorState } from './vector-state.js';

/**
 * 'done': executed, and rip moved past it. 'refused': the exception is the signal that it is. 'unwritable': a
 * SIGSEGV for a store to the decoder's effective address.
 */
export type Completion = 'done' | 'refused' | 'unwritable';

/**
 * Completes an instruction that the recorded processor had and this one lacks or would execute otherwise (#UD, #GP):
 * XSAVEC, XRSTOR of a compacted area, XGETBV(1), RDPKRU, WRPKRU, RDPID; XGETBV and the whole XSAVE family where components of extended state lie
 * elsewhere here, or not in the processor; CPUID where that is so or its results are others here; what the recording kernel answered under
 * CR4.UMIP. Anything else, and what would have faulted on the recorded processor too, is left to be the signal that it is.
 */
export function completeInstruction(core: GuestCore, task: Task, decoder: InstructionDecoder): Completion {
  const registers = core.registers(task);
  if (isUmipProtected(decoder.kind)) {
    const { umipAnswers = 'nothing' } = core.machine.config;
    const outcome = answerUmip(task.space, registers, decoder, umipAnswers);
    if (outcome !== 'answered') return outcome;
  } else if (!complete(core, task, decoder, registers)) {
    return 'refused';
  }
  setSigned(registers, Reg.rip, getUnsigned(registers, Reg.rip) + decoder.length);
  return 'done';
}

function complete(
  { vectors, machine }: GuestCore,
  task: Task,
  decoder: InstructionDecoder,
  registers: RegisterWords,
): boolean {
  switch (decoder.kind) {
    case Insn.cpuid:
      if (!machine.config.cpuidInSoftware) return false;
      answerCpuid(machine.config.cpuid, registers);
      return true;
    case Insn.rdpid:
      if (!announces(machine.config.cpuid, 7, 'ecx', RDPID)) return false;
      setSigned(registers, slotOf[decoder.immediate], machine.config.cpuNumber ?? 0);
      return true;
    case Insn.xgetbv:
      return vectors.xgetbv(registers);
    case Insn.rdpkru:
      return vectors.rdpkru(registers);
    case Insn.wrpkru:
      return vectors.wrpkru(registers);
    default:
      if (!isRecorded(vectors, decoder.kind)) return false;
      return decoder.kind === Insn.xrstor
        ? vectors.restore(task, registers, decoder)
        : vectors.store(task, registers, decoder);
  }
}

/** Bits of CPUID. */
const [RDPID, WAITPKG, RDTSCP] = [22, 5, 27];

const announces = (
  entries: readonly CpuidEntry[],
  leaf: number,
  register: 'ecx' | 'edx',
  bit: number,
): boolean => ((findEntry(entries, leaf)?.[register] ?? 0) >>> bit) % 2 !== 0;

/** Whether RDTSCP, TPAUSE or UMWAIT would have trapped (CR4.TSD) where it was recorded: here it may be missing. */
export function trapsAsRecorded(entries: readonly CpuidEntry[], kind: Insn): boolean {
  if (kind === Insn.rdtscp) return announces(entries, 0x8000_0001, 'edx', RDTSCP);
  return (kind === Insn.tpause || kind === Insn.umwait) && announces(entries, 7, 'ecx', WAITPKG);
}

/** Whether the recorded processor had this instruction of the XSAVE family, and this one has not. */
export function isRecorded(vectors: VectorState, kind: Insn): boolean {
  switch (kind) {
    case Insn.xgetbv:
    case Insn.xsave:
      return vectors.differs;
    case Insn.xsaveopt:
      return vectors.differs && vectors.recordsXsaveopt;
    case Insn.xsavec:
      return vectors.recordsXsavec;
    case Insn.xrstor:
      return vectors.differs || vectors.recordsXsavec;
    default:
      return false;
  }
}

/** What the recorded processor answers, into the registers; rip stays. */
export function answerCpuid(entries: readonly CpuidEntry[], registers: RegisterWords): void {
  const { eax, ebx, ecx, edx } = cpuidResult(entries, registers[2 * Reg.rax], registers[2 * Reg.rcx]);
  for (const [slot, value] of [
    [Reg.rax, eax],
    [Reg.rbx, ebx],
    [Reg.rcx, ecx],
    [Reg.rdx, edx],
  ]) {
    registers[2 * slot] = value;
    registers[2 * slot + 1] = 0;
  }
}
