import { offsetBy, gva } from '../base/address.js';
import { Reg, getUnsigned, newRegisters, ripOf, type RegisterWords } from '../base/registers.js';
import type { Task } from '../task/task.js';
import { EFLAGS_RESUME, EFLAGS_TRAP } from '../x86/constants.js';
import { Insn, InstructionDecoder, MAX_INSTRUCTION_LENGTH } from '../x86/decode.js';
import { isWild, undoBranch } from '../x86/wild-branch.js';

const HIGH_BYTE_OF_TRAP = EFLAGS_TRAP >> 8;

/**
 * Single-steps with the trap flag, hiding it from the program: the flag is corrected where the
 * program can see it (PUSHF, r11 of SYSCALL, eflags of a fault), and the program's own value (POPF,
 * IRET) is kept.
 *
 * MOV SS delays the trap until after the next instruction, so that a step may be two instructions.
 */
export class TrapFlag {
  /** The code at the instruction being stepped, and how much of it could be read. */
  readonly code = new Uint8Array(2 * MAX_INSTRUCTION_LENGTH);
  length = 0;
  /** What the instruction is. */
  kind: number = Insn.other;
  /** Offset in `code` of the instruction that runs together with MOV SS; 0: none. */
  second = 0;
  /** The program's own flag, before the instruction: the trap is its signal. */
  private programFlag = 0;
  private secondKind: number = Insn.other;
  private readonly before = newRegisters();
  private readonly decoder = new InstructionDecoder();

  /** Whether the program steps itself. */
  get isPrograms(): boolean {
    return this.programFlag !== 0;
  }

  /** Decodes the instruction that the next step executes. */
  look(task: Task, registers: RegisterWords): void {
    const rip = ripOf(registers);
    this.length = rip < 0 ? 0 : task.space.read(rip, this.code);
    this.kind = this.decoder.decode(this.code, 0, this.length);
    this.second = 0;
    this.secondKind = Insn.other;
    if (this.kind !== Insn.movSs) return;
    this.second = this.decoder.length;
    this.secondKind = this.decoder.decode(this.code, this.second, this.length);
  }

  /** After `decode`: the next entry executes one instruction, even at a breakpoint. */
  set(registers: RegisterWords): void {
    this.programFlag = registers[2 * Reg.eflags] & EFLAGS_TRAP;
    this.before.set(registers);
    registers[2 * Reg.eflags] |= EFLAGS_TRAP | EFLAGS_RESUME;
  }

  /** Whether MOV SS was executed and what follows it was not. */
  isBeforeSecond(registers: RegisterWords): boolean {
    return this.second > 0 && ripOf(registers) === offsetBy(ripOf(this.before), this.second);
  }

  /**
   * Removes the flag from everything that the program can see, wherever the step ended.
   * @param stepped it ended with the step's trap
   * @returns false if the instruction was a branch to a non-canonical address, which is undone: processors raise #GP
   * at it, the emulator takes it and traps at the target
   */
  clear(task: Task, registers: RegisterWords, stepped: boolean): boolean {
    if (stepped && isWild(registers)) {
      undoBranch(this.before, registers);
      return false;
    }
    // A data breakpoint may be reported without the step.
    const executed = stepped || ripOf(registers) !== ripOf(this.before);
    const kind = this.second > 0 && !this.isBeforeSecond(registers) ? this.secondKind : this.kind;
    if (executed && (kind === Insn.popf || kind === Insn.iret)) return true;
    registers[2 * Reg.eflags] = (registers[2 * Reg.eflags] & ~EFLAGS_TRAP) | this.programFlag;
    if (this.programFlag !== 0) return true;
    if (kind === Insn.syscall) registers[2 * Reg.r11] &= ~EFLAGS_TRAP;
    if (executed && kind === Insn.pushf) this.clearPushed(task, registers);
    return true;
  }

  private clearPushed(task: Task, registers: RegisterWords): void {
    const at = offsetBy(gva(getUnsigned(registers, Reg.rsp)), 1);
    const byte = new Uint8Array(1);
    if (task.space.read(at, byte) === 1) task.space.write(at, Uint8Array.of(byte[0] & ~HIGH_BYTE_OF_TRAP));
  }
}
