import type { CountedStops } from '../../guest/counted/counted-code.js';
import { NO_LIMIT, type CountedRun } from '../../guest/counted/counted-run.js';
import { ALWAYS } from '../../guest/counted/unit.js';
import { Reg, ripOf } from '../../base/registers.js';
import type { Task } from '../../task/task.js';
import { EFLAGS_RESUME, EFLAGS_TRAP } from '../../x86/constants.js';
import { Stop, type ReplayRunner } from '../run/runner.js';
import type { SingleStep } from './single-step.js';
import { Aim, type TickStrategy } from './strategy.js';

/** Runs in one turn; most end at an exit that takes tens of microseconds. */
const RUNS_A_TURN = 128;

const NO_TESTS: CountedStops = new Map();

/** Who goes where copies are of no use, and whether branches are counted. */
export interface InstrumentedParts {
  /** As often as not in the middle of an interval: where code cannot be copied, and to stop anywhere. */
  readonly rest: TickStrategy;
  /** Where ticks are not known. */
  readonly uncounted: TickStrategy;
  /** False: the copies are for what they test on the way. */
  readonly counts: boolean;
}

/**
 * The program executes copies of its code that count conditional branches (guest/counted), at almost its own speed. They
 * end on the branch that reaches the limit; from there on another strategy goes, which can stop anywhere. So do
 * single steps over what is not executed from copies. At a debugger's breakpoints they test the conditions.
 */
export class Instrumented implements TickStrategy {
  readonly name: 'instrumented' | 'match';
  readonly counts: boolean;
  /** A run that the budget cut short: the guest is still in it. */
  private unfinished = false;
  private inStep = false;
  private inRest: TickStrategy | null = null;
  private readonly rest: TickStrategy;
  private watched: ReadonlySet<number> = new Set();
  /** Where copies end, and of what that was made. */
  private stops: CountedStops = NO_TESTS;
  private madeOf: { tests: CountedStops; watched: ReadonlySet<number> } | null = null;

  /** @param counted what one address space has of copies is shared by all who execute them */
  constructor(
    private readonly counted: CountedRun,
    private readonly runner: ReplayRunner,
    private readonly stepper: SingleStep,
    private readonly parts: InstrumentedParts,
  ) {
    this.rest = parts.rest;
    this.counts = parts.counts;
    this.name = parts.counts ? 'instrumented' : 'match';
  }

  get ahead(): number {
    return this.unfinished ? this.counted.executedNow : 0;
  }

  /** A halt leaves the program between two instructions: those of its own that the copy's replace. */
  get settled(): boolean {
    return !this.inStep && this.rest.settled && this.stepper.settled;
  }

  watch(event: number, hook: number): void {
    this.rest.watch(event, hook);
    this.watched = new Set([event, hook].filter((address) => address >= 0));
  }

  run(task: Task, limit: number, budgetMicros: number, aim: number): Stop {
    for (let runs = 0; runs < RUNS_A_TURN; runs++) {
      const before = task.ticks;
      const stop = this.once(task, limit, budgetMicros, aim);
      if (stop === Stop.pending) return stop;
      if (task.ticks === limit && task.ticks !== before && (stop === Stop.step || stop === Stop.served))
        return Stop.ticks;
      if (stop === Stop.step || stop === Stop.served || stop === Stop.odd) continue;
      return stop;
    }
    return Stop.yielded;
  }

  halted(task: Task): void {
    if (this.unfinished) this.end(task);
  }

  cancel(): void {
    this.unfinished = this.inStep = false;
    this.inRest = null;
    this.runner.counted = null;
    this.rest.cancel();
    this.stepper.cancel();
  }

  private once(task: Task, limit: number, budgetMicros: number, aim: number): Stop {
    if (this.inStep) return this.step(task, limit, budgetMicros);
    if (this.unfinished) return this.runCopies(task, budgetMicros, aim);
    const other = this.inRest ?? this.otherFor(task, limit, aim);
    if (this.inStep) return this.step(task, limit, budgetMicros);
    if (!other) {
      this.begin(task, aim === Aim.byItself ? limit - task.ticks : limit - task.ticks - 1);
      return this.runCopies(task, budgetMicros, aim);
    }
    const stop = other.run(task, limit, budgetMicros, aim);
    this.inRest = stop === Stop.pending || !other.settled ? other : null;
    return stop;
  }

  /** Who goes on where copies are of no use. */
  private otherFor(task: Task, limit: number, aim: number): TickStrategy | null {
    const { rest } = this;
    if (!rest.settled) return rest;
    // An exit that was kept is dealt with first: rip may be beyond the instruction that it is of.
    if (this.runner.holds) return null;
    if (!this.counts) {
      this.inStep = this.isPassing();
      return null;
    }
    if (task.ticks < 0) return this.parts.uncounted;
    if (aim !== Aim.byItself && limit - task.ticks <= 1) return rest;
    return null;
  }

  /** On a watched instruction that is to be executed: a copy would only end there. */
  private isPassing(): boolean {
    const { registers } = this.stepper;
    return this.watched.has(ripOf(registers)) && (registers[2 * Reg.eflags] & EFLAGS_RESUME) !== 0;
  }

  private begin(task: Task, branches: number): void {
    const { counted, runner } = this;
    this.unfinished = true;
    const tests = runner.stops?.testsFor(task) ?? NO_TESTS;
    const { watched } = this;
    if (this.madeOf?.tests !== tests || this.madeOf.watched !== watched) {
      this.stops = new Map([...tests, ...[...watched].map((address) => [address, ALWAYS] as const)]);
      this.madeOf = { tests, watched };
    }
    counted.stops = this.stops;
    counted.watched = runner.stops?.valuesFor(task) ?? null;
    runner.counted = counted;
    counted.limit(Math.max(0, Math.min(branches, NO_LIMIT)));
  }

  private runCopies(task: Task, budgetMicros: number, aim: number): Stop {
    const { runner } = this;
    const stop = runner.run(task, budgetMicros);
    if (stop === Stop.pending && !runner.interrupted) return stop;
    this.end(task);
    switch (stop) {
      case Stop.pending: // halted meanwhile
        return Stop.yielded;
      case Stop.odd:
        return this.goAround(task);
      case Stop.overrun:
        // The rest of the way is another's, if there is one.
        return aim === Aim.byItself ? stop : Stop.odd;
      default:
        return stop;
    }
  }

  /** Copies are executed no more; what they counted is the task's. */
  private end(task: Task): void {
    this.unfinished = false;
    this.runner.counted = null;
    if (this.counts && task.ticks >= 0) task.ticks += this.counted.executed;
  }

  private goAround(task: Task): Stop {
    const { registers } = this.stepper;
    const isForeign = this.counted.isForeign(task, ripOf(registers));
    if (isForeign && !(registers[2 * Reg.eflags] & EFLAGS_TRAP)) this.inRest = this.rest;
    else this.inStep = true;
    return Stop.odd;
  }

  private step(task: Task, limit: number, budgetMicros: number): Stop {
    const stop = this.stepper.step(task, limit, budgetMicros);
    this.inStep = stop === Stop.pending || stop === Stop.yielded;
    const isOn = stop === Stop.step || stop === Stop.served;
    return isOn && this.watched.has(ripOf(this.stepper.registers)) ? Stop.breakpoint : stop;
  }
}
