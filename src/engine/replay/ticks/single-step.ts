import type { Gva } from '../../base/address.js';
import { RevenantError } from '../../base/errors.js';
import { EFLAGS_RESUME, Reg, getUnsigned, newRegisters, ripOf } from '../../base/registers.js';
import type { Machine } from '../../kvm/machine.js';
import type { Task } from '../../task/task.js';
import { Insn, InstructionDecoder, MAX_INSTRUCTION_LENGTH, isConditionalBranch } from '../../x86/decode.js';
import { isWild, undoBranch } from '../../x86/wild-branch.js';
import { Stop, type ReplayRunner } from '../run/runner.js';
import type { TickStrategy } from './strategy.js';

const EFLAGS_TRAP = 1 << 8;
/** Steps in one turn: some ten milliseconds at the emulated machine's cost. */
const STEPS_A_TURN = 100;
const STEP_BUDGET_MICROS = 1_000_000;
const STEP_TRIES = 10;

/**
 * One instruction at a time, by the trap flag. The flag stays ours: what the program can see of it (PUSHF,
 * r11 of SYSCALL, eflags of a fault) is put right. An iteration of a repeated string instruction is a step.
 *
 * A branch counts when it retired: not if it raised a fault, and once however many pages were filled for it.
 */
export class SingleStep implements TickStrategy {
  readonly name = 'steps';
  readonly counts = true;
  private event = -1;
  private hook = -1;
  /** A step that the budget cut short: the guest is still in it. */
  private unfinished = false;
  /** Of the instruction being stepped. */
  private branches = 0;
  private kind: number = Insn.other;
  private programFlag = 0;
  private afterMovSs = 0 as Gva;
  /** The registers before the instruction being stepped. */
  private readonly before = newRegisters();
  private readonly code = new Uint8Array(2 * MAX_INSTRUCTION_LENGTH);
  private readonly decoder = new InstructionDecoder();

  constructor(
    private readonly machine: Machine,
    private readonly runner: ReplayRunner,
  ) {}

  get settled(): boolean {
    return !this.unfinished;
  }

  watch(event: number, hook: number): void {
    this.event = event;
    this.hook = hook;
  }

  run(task: Task, limit: number, budgetMicros: number): Stop {
    for (let steps = 0; steps < STEPS_A_TURN; steps++) {
      const before = task.ticks;
      const stop = this.step(task, limit, budgetMicros);
      if (stop !== Stop.step && stop !== Stop.served) return stop;
      if (task.ticks === limit && task.ticks !== before) return Stop.ticks;
      const rip = ripOf(this.machine.context.registers);
      if (rip === this.event || rip === this.hook) return Stop.breakpoint;
    }
    return Stop.yielded;
  }

  /** Executes one instruction: Stop.step or Stop.served, or what it led to. Counts it. */
  step(task: Task, limit: number, budgetMicros: number): Stop {
    const { registers } = this.machine.context;
    if (!this.unfinished) {
      this.look(task, registers);
      if (this.branches > 0 && task.ticks + this.branches > limit) return Stop.overrun;
      this.programFlag = registers[2 * Reg.eflags] & EFLAGS_TRAP;
      this.before.set(registers);
      registers[2 * Reg.eflags] |= EFLAGS_TRAP | EFLAGS_RESUME;
    }
    this.runner.stopAfterService = this.runner.stepping = true;
    const stop = this.runner.run(task, budgetMicros);
    this.runner.stopAfterService = this.runner.stepping = false;
    this.unfinished = stop === Stop.pending || stop === Stop.yielded;
    if (this.unfinished) return stop;
    // The emulator takes such a branch, and traps behind it. Processors fault on it.
    if (stop === Stop.step && isWild(registers)) {
      undoBranch(this.before, registers);
      return this.runner.protectionFault();
    }
    if (stop === Stop.step) this.retire(task, registers);
    else if (this.kind !== Insn.popf) this.restoreFlag(registers);
    if (stop !== Stop.step || this.programFlag === 0) return stop;
    // The program steps itself: this trap is its signal.
    return this.runner.trapSignal();
  }

  /** One step, waited for. */
  stepNow(task: Task): Stop {
    for (let tries = 0; tries < STEP_TRIES; tries++) {
      const stop = this.step(task, Infinity, STEP_BUDGET_MICROS);
      if (stop !== Stop.pending) return stop;
    }
    throw new RevenantError('E_MACHINE_LOST', 'A single step does not end.', 'Run `revenant doctor`.');
  }

  cancel(): void {
    this.event = this.hook = -1;
    this.unfinished = false;
  }

  /** What the next step executes. MOV SS holds the trap off until behind the instruction that follows it. */
  private look(task: Task, registers: Uint32Array): void {
    const rip = ripOf(registers);
    const length = rip < 0 ? 0 : task.space.read(rip, this.code);
    this.branches = isConditionalBranch(this.code, 0, length) ? 1 : 0;
    this.kind = this.decoder.decode(this.code, 0, length);
    if (this.kind !== Insn.movSs) return;
    this.branches = isConditionalBranch(this.code, this.decoder.length, length) ? 1 : 0;
    this.afterMovSs = (rip + this.decoder.length) as Gva;
  }

  private retire(task: Task, registers: Uint32Array): void {
    const stoppedBehindMovSs = this.kind === Insn.movSs && ripOf(registers) === this.afterMovSs;
    if (!stoppedBehindMovSs && task.ticks >= 0) task.ticks += this.branches;
    // These two load the flag: what they loaded is the program's.
    if (this.kind === Insn.popf || isIret(this.code)) return;
    this.restoreFlag(registers);
    if (this.kind !== Insn.pushf || this.programFlag !== 0) return;
    const pushed = (getUnsigned(registers, Reg.rsp) + 1) as Gva;
    const byte = new Uint8Array(1);
    if (task.space.read(pushed, byte) !== 1) return;
    byte[0] &= ~(EFLAGS_TRAP >> 8);
    task.space.write(pushed, byte);
  }

  private restoreFlag(registers: Uint32Array): void {
    const flags = registers[2 * Reg.eflags] & ~EFLAGS_TRAP;
    registers[2 * Reg.eflags] = flags | this.programFlag;
    if (this.programFlag === 0 && registers[2 * Reg.r11] & EFLAGS_TRAP && this.kind === Insn.syscall)
      registers[2 * Reg.r11] &= ~EFLAGS_TRAP;
  }
}

/** IRET, IRETQ: after a REX or operand-size prefix at most. */
function isIret(code: Uint8Array): boolean {
  const prefixed = code[0] === 0x66 || code[0] >>> 4 === 4;
  return code[prefixed ? 1 : 0] === 0xcf;
}
