import type { Machine } from '../../kvm/machine.js';
import type { ReplayRunner } from '../run/runner.js';
import { CounterTicks } from './counter.js';
import { BranchStops } from './branch-stops.js';
import { RegisterMatch } from './register-match.js';
import { SingleStep } from './single-step.js';
import type { TickStrategy, TickStrategyName } from './strategy.js';

/** The strategies of one session. */
export class TickStrategies {
  readonly stepper: SingleStep;
  private readonly all: Readonly<Record<Exclude<TickStrategyName, 'counter'>, TickStrategy>>;
  /** The frame behind which breakpoints count instead, or -1. */
  counterLostAt = -1;
  private counter: TickStrategy | null;

  constructor(
    private readonly machine: Machine,
    runner: ReplayRunner,
  ) {
    this.stepper = new SingleStep(machine, runner);
    this.all = {
      match: new RegisterMatch(machine, runner),
      branches: new BranchStops(machine, runner, this.stepper),
      steps: this.stepper,
    };
    const { branchCounter } = machine;
    this.counter =
      branchCounter && new CounterTicks(branchCounter, runner, machine.context.registers, this.all.branches);
  }

  /** The fastest that counts. */
  get exact(): TickStrategy {
    return this.counter ?? this.all.branches;
  }

  /** Where the processor counts no more, breakpoints do. */
  of(name: TickStrategyName): TickStrategy {
    return name === 'counter' ? this.exact : this.all[name];
  }

  /** The counter is another program's: neither this session nor a later one on the machine uses it again. */
  loseCounter(frameTime: number): void {
    this.counterLostAt = frameTime;
    this.machine.branchCounter = this.counter = null;
  }
}
