import { CountedRun } from '../../guest/counted/counted-run.js';
import type { GuestCore } from '../../guest/guest-core.js';
import type { Machine } from '../../kvm/machine.js';
import type { ReplayRunner } from '../run/runner.js';
import { CounterTicks } from './counter.js';
import { BranchStops } from './branch-stops.js';
import { Instrumented } from './instrumented.js';
import { RegisterMatch } from './register-match.js';
import { SingleStep } from './single-step.js';
import type { TickStrategy, TickStrategyName } from './strategy.js';

/** The strategies of one session. */
export class TickStrategies {
  readonly stepper: SingleStep;
  private readonly all: Readonly<Record<Exclude<TickStrategyName, 'counter' | 'mixed'>, TickStrategy>>;
  /** The frame after which breakpoints count instead, or -1. */
  counterLostAt = -1;
  private counter: TickStrategy | null;
  /** As `match`, in copies of the code that test a debugger's conditions. */
  private readonly testing: TickStrategy;
  private readonly machine: Machine;

  constructor(
    core: GuestCore,
    runner: ReplayRunner,
    private readonly chosen: TickStrategyName,
  ) {
    const { machine } = core;
    this.machine = machine;
    this.stepper = new SingleStep(machine, runner);
    const match = new RegisterMatch(machine, runner);
    const branches = new BranchStops(machine, runner, this.stepper);
    const counted = new CountedRun(core);
    const instrumented = new Instrumented(counted, runner, this.stepper, {
      rest: branches,
      uncounted: match,
      counts: true,
    });
    this.testing = new Instrumented(counted, runner, this.stepper, {
      rest: match,
      uncounted: match,
      counts: false,
    });
    this.all = { match, branches, steps: this.stepper, instrumented };
    const { branchCounter } = machine;
    this.counter = branchCounter && new CounterTicks(branchCounter, runner, instrumented);
  }

  /** The fastest that counts. */
  get exact(): TickStrategy {
    return this.counter ?? this.all.instrumented;
  }

  /**
   * @param isWrong a way that was gone to the events ahead was found to be wrong
   * @param isHot a debugger's conditions are to be tested where the program runs
   */
  choose(counting: boolean, isWrong: boolean, isHot: boolean): TickStrategy {
    if (isWrong) return this.counter ?? this.all.branches;
    if (counting) return isHot ? this.all.instrumented : this.exact;
    return isHot ? this.testingFor(this.home) : this.home;
  }

  /** The strategy that goes on for one where conditions are to be tested where the program runs; or itself. */
  testingFor(strategy: TickStrategy): TickStrategy {
    return strategy === this.all.match ? this.testing : strategy;
  }

  /** The one that was chosen. Where the processor does not count, copies of the code do. */
  get home(): TickStrategy {
    const { chosen } = this;
    if (chosen === 'mixed') return this.all.match;
    return chosen === 'counter' ? this.exact : this.all[chosen];
  }

  /** The counter is another program's: neither this session nor a later one on the machine uses it again. */
  loseCounter(frameTime: number): void {
    this.counterLostAt = frameTime;
    this.machine.branchCounter = this.counter = null;
  }
}
