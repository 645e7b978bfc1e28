/** Signals that were sent and not delivered, and timers that run: what the kernel of the recording had of them. */

/** A signal that waits, for a process or one of its threads. */
export interface RecordedPending {
  readonly pid: number;
  /** 0: any thread of the process. */
  readonly tid: number;
  readonly number: number;
  /** The kernel's siginfo_t, as far as it is known. */
  readonly info: Uint8Array;
}

/** ITIMER_REAL among timers of timer_create(2). */
export const REAL_TIMER = -1;

export interface RecordedTimer {
  readonly pid: number;
  /** The kernel's number, or REAL_TIMER. */
  readonly id: number;
  readonly clock: number;
  /** 0: it sends none. */
  readonly signal: number;
  readonly value: bigint;
  /** SIGEV_THREAD_ID, or 0. */
  readonly tid: number;
  /** Nanoseconds of the clock, or after `armedAt`; 0: disarmed. */
  readonly first: bigint;
  readonly interval: bigint;
  readonly isAbsolute: boolean;
  /** The recorder's clock when it was armed, in seconds. */
  readonly armedAt: number;
}

const FIRST_REALTIME = 32;
/** A recording can send without end. */
const MOST = 1024;

/** Lists that are never changed in place: copies share them. */
export class RecordedSignals {
  constructor(
    public pending: readonly RecordedPending[] = [],
    public timers: readonly RecordedTimer[] = [],
  ) {}

  copy(): RecordedSignals {
    return new RecordedSignals(this.pending, this.timers);
  }

  /** Standard signals wait once, real-time ones in a queue. */
  sent(signal: RecordedPending): void {
    const { pid, tid, number } = signal;
    const isThere = this.pending.some((one) => one.pid === pid && one.tid === tid && one.number === number);
    if ((number < FIRST_REALTIME && isThere) || this.pending.length >= MOST) return;
    this.pending = [...this.pending, signal];
  }

  /** One is delivered to a thread, or a call of it has taken one. */
  taken(pid: number, tid: number, number: number): void {
    const of = (thread: number): number =>
      this.pending.findIndex((one) => one.pid === pid && one.tid === thread && one.number === number);
    const index = of(tid) >= 0 ? of(tid) : of(0);
    if (index >= 0) this.pending = this.pending.filter((_one, at) => at !== index);
  }

  /** A thread has exited; `pid`: and its process, else 0. */
  ended(tid: number, pid: number): void {
    if (this.pending.length > 0)
      this.pending = this.pending.filter((one) => one.tid !== tid && one.pid !== pid);
    if (pid !== 0) this.dropTimers((timer) => timer.pid === pid);
  }

  timer(pid: number, id: number): RecordedTimer | null {
    return this.timers.find((timer) => timer.pid === pid && timer.id === id) ?? null;
  }

  setTimer(timer: RecordedTimer): void {
    this.dropTimers(({ pid, id }) => pid === timer.pid && id === timer.id);
    if (this.timers.length < MOST) this.timers = [...this.timers, timer];
  }

  dropTimers(which: (timer: RecordedTimer) => boolean): void {
    if (this.timers.some(which)) this.timers = this.timers.filter((timer) => !which(timer));
  }
}
