import { RevenantError } from '../../base/errors.js';
import { ripOf, type RegisterWords } from '../../base/registers.js';
import type { Machine } from '../../kvm/machine.js';
import type { Task } from '../../task/task.js';
import { isConditionalBranch } from '../../x86/decode.js';
import { TrapFlag } from '../../guest/trap-flag.js';
import { Stop, type ReplayRunner } from '../run/runner.js';
import type { TickStrategy } from './strategy.js';

/** Steps in one turn: some ten milliseconds at the emulated machine's cost. */
const STEPS_A_TURN = 100;
const STEP_BUDGET_MICROS = 1_000_000;
const STEP_TRIES = 10;

/**
 * One instruction at a time, by the trap flag. An iteration of a repeated string instruction is a step.
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
  private readonly flag = new TrapFlag();

  constructor(
    private readonly machine: Machine,
    private readonly runner: ReplayRunner,
  ) {}

  get settled(): boolean {
    return !this.unfinished;
  }

  get registers(): RegisterWords {
    return this.machine.context.registers;
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
      this.flag.set(registers);
    }
    this.runner.stopAfterService = this.runner.stepping = true;
    const stop = this.runner.run(task, budgetMicros);
    this.runner.stopAfterService = this.runner.stepping = false;
    this.unfinished = stop === Stop.pending || stop === Stop.yielded;
    if (this.unfinished) return stop;
    if (!this.flag.clear(task, registers, stop === Stop.step)) return this.runner.protectionFault();
    if (stop !== Stop.step) return stop;
    if (task.ticks >= 0 && !this.flag.isBeforeSecond(registers)) task.ticks += this.branches;
    if (!this.flag.isPrograms) return stop;
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

  /** What the next step executes; after MOV SS, which is no branch, what follows it. */
  private look(task: Task, registers: Uint32Array): void {
    const { flag } = this;
    flag.look(task, registers);
    this.branches = isConditionalBranch(flag.code, flag.second, flag.length) ? 1 : 0;
  }
}
