import { gva, type Gva } from '../../base/address.js';
import type { Machine } from '../../kvm/machine.js';
import type { Task } from '../../task/task.js';
import type { ReplayRunner, Stop } from '../run/runner.js';
import type { TickStrategy } from './strategy.js';

/** Debug registers: two for what the caller watches, two for stops of the strategy's own. */
export const EVENT_BREAKPOINT = 0;
export const HOOK_BREAKPOINT = 1;

const orNull = (address: number): Gva | null => (address < 0 ? null : gva(address));

export function watchByBreakpoints(machine: Machine, event: number, hook: number): void {
  machine.context.setBreakpoint(EVENT_BREAKPOINT, orNull(event));
  machine.context.setBreakpoint(HOOK_BREAKPOINT, orNull(hook));
}

/** The guest's own speed; who watches an address compares registers at each arrival. */
export class RegisterMatch implements TickStrategy {
  readonly name = 'match';
  readonly counts = false;
  /** A halt leaves the program between two instructions. */
  readonly settled = true;

  constructor(
    private readonly machine: Machine,
    private readonly runner: ReplayRunner,
  ) {}

  watch(event: number, hook: number): void {
    watchByBreakpoints(this.machine, event, hook);
  }

  run(task: Task, _limit: number, budgetMicros: number): Stop {
    return this.runner.run(task, budgetMicros);
  }

  cancel(): void {
    watchByBreakpoints(this.machine, -1, -1);
  }
}
