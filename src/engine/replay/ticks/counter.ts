import { CounterLostError, type BranchCounter } from '../../kvm/branch-counter.js';
import type { Task } from '../../task/task.js';
import { Stop, type Runner } from '../runner.js';
import type { TickStrategy } from './strategy.js';

/**
 * The processor counts, at its own speed. It stops late, so a run towards a tick count ends that much before it,
 * and another strategy goes the rest of the way.
 *
 * `run` throws CounterLostError where the processor counts no more: the program is then anywhere, also behind the limit.
 */
export class CounterTicks implements TickStrategy {
  readonly name = 'counter';
  readonly counts = true;
  /** A run that the budget cut short: the guest is still in it. */
  private unfinished = false;
  /** A run may end because the counter is due. */
  private armed = false;
  /** Found where nothing could be done about it. */
  private lost: CounterLostError | null = null;

  /** @param rest counts exactly, however slowly */
  constructor(
    private readonly counter: BranchCounter,
    private readonly runner: Pick<Runner, 'run' | 'interrupted'>,
    private readonly rest: TickStrategy,
  ) {}

  get settled(): boolean {
    return !this.unfinished && this.rest.settled;
  }

  watch(event: number, hook: number): void {
    this.rest.watch(event, hook);
  }

  run(task: Task, limit: number, budgetMicros: number): Stop {
    if (this.lost) throw this.lost;
    if (!this.unfinished) {
      // The last tick is never the processor's: it stops anywhere behind a branch, not right behind it.
      const ahead = limit - task.ticks - 1 - this.counter.skid;
      if (!this.rest.settled || ahead <= 0) return this.goRest(task, limit, budgetMicros);
      this.counter.arm(ahead === Infinity ? 0 : ahead);
      this.armed = ahead !== Infinity;
    }
    const stop = this.runner.run(task, budgetMicros);
    this.unfinished = stop === Stop.pending && !this.runner.interrupted;
    if (this.unfinished) return stop;
    if (task.ticks >= 0) task.ticks += this.counter.read();
    if (stop !== Stop.pending) return task.ticks > limit ? Stop.overrun : stop;
    // Interrupted where the counter is due, or halted: the next run goes on from here.
    return task.ticks >= limit ? Stop.overrun : Stop.yielded;
  }

  halted(task: Task): void {
    if (!this.unfinished) return;
    this.unfinished = false;
    if (task.ticks < 0) return;
    try {
      task.ticks += this.counter.read();
    } catch (error) {
      if (!(error instanceof CounterLostError)) throw error;
      task.ticks = -1;
      this.lost = error;
    }
  }

  cancel(): void {
    this.unfinished = false;
    this.disarm();
    this.rest.cancel();
  }

  private goRest(task: Task, limit: number, budgetMicros: number): Stop {
    this.disarm();
    return this.rest.run(task, limit, budgetMicros);
  }

  private disarm(): void {
    if (this.armed) this.counter.disarm();
    this.armed = false;
  }
}
