import { invariant } from '../../base/errors.js';
import type { Machine } from '../../kvm/machine.js';
import type { Runner } from '../runner.js';
import { CounterTicks } from './counter.js';
import { BranchStops } from './branch-stops.js';
import { RegisterMatch } from './register-match.js';
import { SingleStep } from './single-step.js';
import type { TickStrategy, TickStrategyName } from './strategy.js';

/** The strategies of one session. */
export class TickStrategies {
  readonly stepper: SingleStep;
  /** The fastest that counts. */
  readonly exact: TickStrategy;
  private readonly all: Readonly<Record<Exclude<TickStrategyName, 'counter'>, TickStrategy>>;
  private readonly counter: TickStrategy | null;

  constructor(machine: Machine, runner: Runner) {
    this.stepper = new SingleStep(machine, runner);
    this.all = {
      match: new RegisterMatch(machine, runner),
      branches: new BranchStops(machine, runner, this.stepper),
      steps: this.stepper,
    };
    const { branchCounter } = machine;
    this.counter = branchCounter && new CounterTicks(branchCounter, runner, this.all.branches);
    this.exact = this.counter ?? this.all.branches;
  }

  of(name: TickStrategyName): TickStrategy {
    if (name !== 'counter') return this.all[name];
    invariant(this.counter, 'a machine without a branch counter');
    return this.counter;
  }
}
