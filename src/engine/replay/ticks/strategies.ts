import type { Machine } from '../../kvm/machine.js';
import type { Runner } from '../runner.js';
import { BranchStops } from './branch-stops.js';
import { RegisterMatch } from './register-match.js';
import { SingleStep } from './single-step.js';
import type { TickStrategy, TickStrategyName } from './strategy.js';

/** The strategies of one session. */
export class TickStrategies {
  readonly stepper: SingleStep;
  private readonly all: Readonly<Record<TickStrategyName, TickStrategy>>;

  constructor(machine: Machine, runner: Runner) {
    this.stepper = new SingleStep(machine, runner);
    this.all = {
      match: new RegisterMatch(machine, runner),
      branches: new BranchStops(machine, runner, this.stepper),
      steps: this.stepper,
    };
  }

  of(name: TickStrategyName): TickStrategy {
    return this.all[name];
  }
}
