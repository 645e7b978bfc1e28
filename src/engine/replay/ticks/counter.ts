import { CounterLostError, type BranchCounter } from '../../kvm/branch-counter.js';
import type { Task } from '../../task/task.js';
import { Stop, type ReplayRunner } from '../run/runner.js';
import { Aim, type TickStrategy } from './strategy.js';

/**
 * The processor counts, at its own speed. It stops late, so a run that must not pass its limit ends that much before,
 * and another strategy goes the rest of the way. Few runs need that: most programs stop at their event by themselves.
 *
 * `run` throws CounterLostError where the processor counts no more: the program is then anywhere, also past the limit.
 */
export class CounterTicks implements TickStrategy {
  readonly name = 'counter';
  readonly counts = true;
  /** A run that the budget cut short: the guest is still in it. */
  private unfinished = false;
  /** A run may end because the counter is due. */
  private armed = false;
  /** A run of the other strategy is unfinished. */
  private inRest = false;
  /** Found where nothing could be done about it. */
  private lost: CounterLostError | null = null;

  /** @param rest counts exactly, however slowly */
  constructor(
    private readonly counter: BranchCounter,
    private readonly runner: Pick<ReplayRunner, 'run' | 'interrupted' | 'holds'>,
    private readonly rest: TickStrategy,
  ) {}

  get settled(): boolean {
    return !this.unfinished && this.rest.settled;
  }

  watch(event: number, hook: number): void {
    this.rest.watch(event, hook);
  }

  run(task: Task, limit: number, budgetMicros: number, aim: number): Stop {
    if (this.lost) throw this.lost;
    if (!this.unfinished && !this.begin(task, limit, aim)) {
      this.disarm();
      const stop = this.rest.run(task, limit, budgetMicros, aim);
      this.inRest = stop === Stop.pending || !this.rest.settled;
      return stop;
    }
    const stop = this.runner.run(task, budgetMicros);
    this.unfinished = stop === Stop.pending && !this.runner.interrupted;
    if (this.unfinished) return stop;
    if (task.ticks >= 0) task.ticks += this.counter.read();
    if (task.ticks > limit) return Stop.overrun;
    // Interrupted where the counter is due, or halted: the next run goes on from here.
    return stop === Stop.pending ? Stop.yielded : stop;
  }

  /** Arms the counter for the next run; false: the other strategy is to go on. */
  private begin(task: Task, limit: number, aim: number): boolean {
    if (this.inRest) return false;
    const left = limit - task.ticks;
    if (aim === Aim.byItself) return this.arm(left + 1);
    // The last tick is never the processor's: it stops anywhere after a branch, not right after it.
    const ahead = left - 1 - this.counter.skid;
    if (ahead > 0) return this.arm(ahead);
    // An exit that was kept ends the run at once.
    return this.runner.holds && this.arm(left + 1);
  }

  private arm(after: number): true {
    this.counter.arm(after === Infinity ? 0 : after);
    this.armed = after !== Infinity;
    return true;
  }

  halted(task: Task): void {
    this.rest.halted?.(task);
    this.inRest = !this.rest.settled;
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
    this.unfinished = this.inRest = false;
    this.disarm();
    this.rest.cancel();
  }

  private disarm(): void {
    if (this.armed) this.counter.disarm();
    this.armed = false;
  }
}
