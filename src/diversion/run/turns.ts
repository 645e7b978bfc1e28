import { TimerFd } from '../files/pipe.js';
import type { Kernel } from '../kernel/kernel.js';
import type { Thread } from '../kernel/process.js';
import { hasSignal } from '../tasks/deliver.js';
import { pollWait } from '../tasks/wait.js';

/**
 * How long the user's current thread runs before others get a turn, and their turns: in system
 * calls, because time would differ between runs.
 */
const FOCUS_TURN = 4000;
const OTHER_TURN = 400;

/** Selects the next thread. The user's current thread runs as long as it can, the others in turn while it waits. */
export class Turns {
  private current: Thread | null = null;
  private left = 0;
  private last = 0;
  /** Incremented by everything that may change memory that a thread polls. */
  progress = 0;

  constructor(private readonly kernel: Kernel) {}

  /** @param only no other thread runs unless this one waits (single steps) */
  next(focus: Thread | null, only: boolean): Thread | null {
    const runnable = [...this.kernel.threads.values()].filter((thread) => this.canRun(thread));
    if (only && focus && runnable.includes(focus)) return focus;
    const { current } = this;
    if (current && this.left > 0 && !this.kernel.yielded && runnable.includes(current)) return current;
    this.kernel.yielded = false;
    const chosen = this.choose(runnable, focus, current);
    this.current = chosen;
    this.left = chosen === focus ? FOCUS_TURN : OTHER_TURN;
    return chosen;
  }

  /** A run begins: the user's current thread comes first, even before one whose turn is not over. */
  begin(focus: Thread | null): void {
    if (focus && this.current !== focus) this.current = null;
  }

  /** The current thread has made a call. */
  spend(): void {
    this.left--;
  }

  end(): void {
    this.left = 0;
  }

  private choose(runnable: Thread[], focus: Thread | null, current: Thread | null): Thread | null {
    if (runnable.length <= 1) return runnable[0] ?? null;
    if (focus && current !== focus && runnable.includes(focus)) return focus;
    const others = runnable.filter((thread) => thread !== focus);
    const index = others.findIndex((thread) => thread.tid > this.last);
    const chosen = others[index < 0 ? 0 : index];
    this.last = chosen.tid;
    return chosen;
  }

  /** Another thread could run, now or later. */
  othersWant(thread: Thread): boolean {
    const others = [...this.kernel.threads.values()].filter((other) => other !== thread);
    return this.nextDeadline() !== null || others.some((other) => this.canRun(other));
  }

  private canRun(thread: Thread): boolean {
    if (thread.dead || thread.stopped) return false;
    if (thread.spin?.seen === this.progress && !hasSignal(thread)) return false;
    return pollWait(this.kernel, thread) || (hasSignal(thread) && thread.wait?.interrupted !== 'never');
  }

  /** When something that is waited for is due, in nanoseconds of the monotonic clock; null: never. */
  nextDeadline(): bigint | null {
    let next: bigint | null = null;
    const consider = (at: bigint | undefined): void => {
      if (at !== undefined && at > 0n && (next === null || at < next)) next = at;
    };
    for (const thread of this.kernel.threads.values()) consider(thread.wait?.deadline);
    const { clock } = this.kernel;
    for (const { alarm, descriptors } of this.kernel.processes.values()) {
      consider(alarm.next);
      for (const [, { file }] of descriptors) {
        if (!(file instanceof TimerFd) || file.next === 0n) continue;
        const at = clock.toMonotonic(file.clock, file.next);
        // An expired timer that is not read cannot wake anything.
        if (at > clock.monotonic) consider(at);
      }
    }
    for (const timer of this.kernel.timers) consider(timer.next);
    return next;
  }

  waitsForHost(): boolean {
    return [...this.kernel.threads.values()].some(({ wait }) => wait?.outside);
  }

  /** What all threads wait for, as text. */
  describeWaits(): string {
    const waits = [...this.kernel.threads.values()].map(({ tid, wait, stopped, spin }) => {
      if (stopped) return `task ${tid} is stopped`;
      return `task ${tid} waits ${wait ? `for ${wait.what}` : spin ? 'in a loop' : 'for nothing'}`;
    });
    return waits.slice(0, 8).join(', ');
  }
}
