import { NO_ADDRESS, type Gva } from '../../base/address.js';
import { Reg, ripOf } from '../../base/registers.js';
import { EFLAGS_RESUME } from '../../x86/constants.js';
import type { Machine } from '../../kvm/machine.js';
import type { Task } from '../../task/task.js';
import { Stop, type ReplayRunner } from '../run/runner.js';
import { CodeMap, type NextStop } from './code-map.js';
import { Flow } from './flow.js';
import { watchByBreakpoints } from './register-match.js';
import type { SingleStep } from './single-step.js';
import type { TickStrategy } from './strategy.js';

const FIRST_STOP = 2;
const SECOND_STOP = 3;
/** Stops in one turn: some ten milliseconds at the emulated machine's exit cost. */
const STOPS_A_TURN = 100;

/**
 * From one instruction whose successor is not known before it executes to the next, by execution
 * breakpoints: straight code, direct jumps and calls run at full speed in between. A conditional branch has
 * two successors, each with one next stop, so two debug registers are enough to know that it was passed
 * exactly once. Three to six times fewer exits than single steps, and no trap flag to hide.
 *
 * A branch counts when control was seen beyond it: not if it raised a fault.
 */
export class BranchStops implements TickStrategy {
  readonly name = 'branches';
  readonly counts = true;
  private readonly map = new CodeMap();
  private readonly here: NextStop = { address: NO_ADDRESS, run: null };
  private readonly first: NextStop = { address: NO_ADDRESS, run: null };
  private readonly second: NextStop = { address: NO_ADDRESS, run: null };
  /** The conditional branch that is being passed, or -1. */
  private branch = -1;
  private event = -1;
  private hook = -1;
  /** A run that the budget cut short: the guest is still in it. */
  private unfinished = false;
  private inStep = false;

  constructor(
    private readonly machine: Machine,
    private readonly runner: ReplayRunner,
    private readonly stepper: SingleStep,
  ) {}

  get settled(): boolean {
    return !this.unfinished && !this.inStep && this.stepper.settled;
  }

  watch(event: number, hook: number): void {
    this.event = event;
    this.hook = hook;
    watchByBreakpoints(this.machine, event, hook);
  }

  run(task: Task, limit: number, budgetMicros: number): Stop {
    for (let stops = 0; stops < STOPS_A_TURN; stops++) {
      const before = task.ticks;
      const stop = this.toNextStop(task, limit, budgetMicros);
      if (stop === Stop.pending) return stop;
      if (stop === Stop.overrun) return this.leave(stop);
      if (task.ticks === limit && task.ticks !== before && stop === Stop.breakpoint)
        return this.leave(Stop.ticks);
      if (stop === Stop.served || stop === Stop.step) continue;
      if (stop === Stop.yielded) return stop;
      if (stop !== Stop.breakpoint || this.isWatched()) return this.leave(stop);
    }
    // What runs next may be another strategy.
    return this.settled ? this.leave(Stop.yielded) : Stop.yielded;
  }

  cancel(): void {
    this.event = this.hook = -1;
    this.unfinished = this.inStep = false;
    this.branch = -1;
    this.stepper.cancel();
    watchByBreakpoints(this.machine, -1, -1);
    this.leave(Stop.breakpoint);
  }

  private isWatched(): boolean {
    const rip = ripOf(this.machine.context.registers);
    return rip === this.event || rip === this.hook;
  }

  private leave(stop: Stop): Stop {
    const { context } = this.machine;
    context.setBreakpoint(FIRST_STOP, null);
    context.setBreakpoint(SECOND_STOP, null);
    return stop;
  }

  private toNextStop(task: Task, limit: number, budgetMicros: number): Stop {
    const { registers } = this.machine.context;
    if (this.inStep) return this.step(task, limit, budgetMicros);
    if (!this.unfinished) {
      const rip = ripOf(registers);
      // Here, before a branch is said to be on its way.
      if (this.runner.stops?.stopsAt(task, rip)) return Stop.user;
      if (rip < 0) this.arm(NO_ADDRESS, NO_ADDRESS);
      else {
        const { address, run } = this.map.next(task.space, rip, this.here);
        if (address !== rip || run === null) this.arm(address, NO_ADDRESS);
        else if (run.flow === Flow.odd) return this.step(task, limit, budgetMicros);
        else if (run.flow !== Flow.conditional)
          this.armBehind(task, this.map.successor(task.space, run, registers));
        else if (task.ticks >= limit) return Stop.overrun;
        else this.armBranch(task, rip, run.target, run.end, task.ticks + 1 === limit);
      }
      registers[2 * Reg.eflags] |= EFLAGS_RESUME;
    }
    this.runner.stopAfterService = true;
    const stop = this.runner.run(task, budgetMicros);
    this.runner.stopAfterService = false;
    this.unfinished = stop === Stop.pending || stop === Stop.yielded;
    if (!this.unfinished) this.passBranch(task, stop);
    return stop;
  }

  private passBranch(task: Task, stop: Stop): void {
    const { branch } = this;
    this.branch = -1;
    if (branch < 0 || task.ticks < 0) return;
    // A debugger's stop on the branch itself comes after a turn of a loop.
    const passed =
      stop === Stop.breakpoint ||
      stop === Stop.user ||
      stop === Stop.watch ||
      ripOf(this.machine.context.registers) !== branch;
    if (passed) task.ticks++;
  }

  private step(task: Task, limit: number, budgetMicros: number): Stop {
    if (!this.inStep) this.leave(Stop.step);
    const before = task.ticks;
    const stop = this.stepper.step(task, limit, budgetMicros);
    this.inStep = stop === Stop.pending || stop === Stop.yielded;
    return stop === Stop.step && task.ticks === limit && before !== limit ? Stop.breakpoint : stop;
  }

  /** To the stops after both successors of the branch, or right to them if it reaches the limit. */
  private armBranch(task: Task, branch: Gva, taken: Gva, fallThrough: Gva, toSuccessors: boolean): void {
    this.branch = branch;
    if (toSuccessors) return this.arm(taken, fallThrough);
    const first = taken < 0 ? taken : this.map.next(task.space, taken, this.first).address;
    const second = this.map.next(task.space, fallThrough, this.second).address;
    this.arm(first, second);
  }

  private armBehind(task: Task, successor: Gva): void {
    const next = successor < 0 ? successor : this.map.next(task.space, successor, this.first).address;
    this.arm(next, NO_ADDRESS);
  }

  private arm(first: Gva, second: Gva): void {
    const { context } = this.machine;
    context.setBreakpoint(FIRST_STOP, first < 0 ? null : first);
    context.setBreakpoint(SECOND_STOP, second < 0 || second === first ? null : second);
  }
}
