import { invariant } from '../../engine/base/errors.js';
import { Reg, getSigned, getUnsigned, setSigned } from '../../engine/base/registers.js';
import { gva, type Gva } from '../../engine/base/address.js';
import type { DebugStop, LifecycleKind, RunRequest } from '../../engine/target.js';
import { DiversionEnded, isMemoryLimit, type Kernel } from '../kernel/kernel.js';
import type { Process, Thread } from '../kernel/process.js';
import { deliver, hasSignal, matters, takeSignal } from '../tasks/deliver.js';
import { Sig, type Signal } from '../kernel/pending.js';
import { sendFault } from '../signals/send.js';
import type { Dispatcher } from '../syscalls/dispatch.js';
import type { TaskRunner, RunStop } from './task-runner.js';
import { SpinWatch } from './spin.js';
import type { Stops } from './stops.js';
import { fireTimers } from './timers.js';
import { Turns } from './turns.js';

/** Work of one `turn`, so that a front end can check for an interrupt in between. */
const TURN_NANOS = 20_000_000n;
const BUDGET_MICROS = 20_000;
const MAX_SLEEP_MILLIS = 5;
/**
 * Multiples of BUDGET_MICROS without a system call, after which other runnable tasks are considered; then doubled.
 */
const PATIENT_SLICES = 10;
/** After this many, others are scheduled at any place of the thread. */
const LAST_SLICE = 500;

/** Schedules the tasks of a diversion, handles their stops, and reports to the front end. */
export class Scheduler {
  caught: readonly number[] | 'all' | 'none' = 'none';
  lifecycle: readonly LifecycleKind[] = [];
  private readonly turns: Turns;
  private readonly initial: ReadonlySet<number>;
  private request: RunRequest | null = null;
  private interrupted = false;
  private beganAt = 0n;
  /** The breakpoint that was reported last: passed over when its task runs on from there. */
  private stoodAt: { tid: number; address: Gva } | null = null;
  /** The call of a thread whose entry was reported, and which will be performed. */
  private entering: Thread | null = null;
  private over: string | null = null;
  /** Times used up since the last system call, and when others are thought of next. */
  private slices = 0;
  private nextLook = PATIENT_SLICES;
  private readonly spins: SpinWatch;
  /** What the signal that a run begins with has led to. */
  private due: DebugStop | null = null;

  constructor(
    private readonly kernel: Kernel,
    private readonly runner: TaskRunner,
    private readonly calls: Dispatcher,
    readonly stops: Stops,
  ) {
    this.turns = new Turns(kernel);
    this.spins = new SpinWatch(kernel.core, runner);
    this.initial = new Set(kernel.processes.keys());
  }

  begin(request: RunRequest, signal: Signal | null): void {
    this.request = request;
    this.interrupted = false;
    this.beganAt = this.kernel.clock.hostElapsed;
    this.reap();
    const thread = this.kernel.threads.get(request.tid);
    this.turns.begin(thread ?? null);
    this.due = signal && thread ? this.guarded(thread, () => this.deliver(thread, signal)) : null;
  }

  private deliver(thread: Thread, signal: Signal): DebugStop | null {
    deliver(this.kernel, thread, signal);
    return this.afterwards();
  }

  /**
   * A thread gets another instruction pointer.
   * @returns whether it was at the entry of a call
   */
  moved(thread: Thread): boolean {
    if (this.stoodAt?.tid === thread.tid) this.stoodAt = null;
    const entering = this.entering === thread;
    if (entering) this.entering = null;
    return entering;
  }

  interrupt(): void {
    this.interrupted = true;
  }

  /** Some milliseconds of work; null: no stop yet. */
  turn(): DebugStop | null {
    const { kernel, request } = this;
    invariant(request, 'no operation is running');
    const started = kernel.clock.hostElapsed;
    const focus = kernel.threads.get(request.tid) ?? null;
    do {
      const stop = this.due ?? this.limit(focus) ?? this.once(request, focus);
      if (stop) {
        this.request = this.due = null;
        return stop;
      }
    } while (kernel.clock.hostElapsed - started < TURN_NANOS);
    return null;
  }

  /** Why the run ends, independently of the program. */
  private limit(focus: Thread | null): DebugStop | null {
    const { kernel } = this;
    const tid = focus?.tid ?? this.request?.tid ?? 0;
    if (this.interrupted) return { kind: 'interrupted', tid };
    if (this.over !== null) return { kind: 'ended', tid, reason: this.over };
    const { seconds } = kernel.policy.limits;
    if (kernel.clock.hostElapsed - this.beganAt > BigInt(Math.round(seconds * 1e9)))
      return { kind: 'ended', tid, reason: `It has run for ${seconds} s, which is its limit.` };
    if (kernel.threads.size === 0) return { kind: 'ended', tid, reason: 'All its tasks have ended.' };
    return null;
  }

  private once(request: RunRequest, focus: Thread | null): DebugStop | null {
    fireTimers(this.kernel);
    const thread = this.turns.next(focus, request.mode.kind !== 'continue');
    if (!thread) return this.idle(focus?.tid ?? request.tid);
    return this.guarded(thread, () => this.run(thread, request));
  }

  /** All tasks wait. */
  private idle(tid: number): DebugStop | null {
    const { kernel } = this;
    const deadline = this.turns.nextDeadline();
    if (deadline === null && !this.turns.waitsForHost()) {
      const reason = `Deadlock: ${this.turns.describeWaits()}.`;
      return { kind: 'ended', tid, reason };
    }
    kernel.clock.wait(deadline, this.turns.waitsForHost(), MAX_SLEEP_MILLIS);
    this.turns.progress++;
    return null;
  }

  /** Limits that are reached while performing calls. */
  private guarded(thread: Thread, work: () => DebugStop | null): DebugStop | null {
    try {
      return work();
    } catch (error) {
      if (error instanceof DiversionEnded) this.over = error.reason;
      else if (isMemoryLimit(error)) {
        const mib = Math.round(this.kernel.policy.limits.memoryBytes / 2 ** 20);
        this.over = `It needs more memory than its limit of ${mib} MiB.`;
      } else throw error;
      return { kind: 'ended', tid: thread.tid, reason: this.over };
    }
  }

  private run(thread: Thread, request: RunRequest): DebugStop | null {
    const signalled = this.signals(thread);
    if (signalled !== 'none') return signalled;
    if (thread.wait || thread.dead) return null;
    thread.stood = null;
    const { core } = this.kernel;
    core.activate(thread.task);
    const rip = gva(getUnsigned(core.machine.context.registers, Reg.rip));
    if (this.entering === thread) return this.perform(thread, request);
    if (thread.again >= 0) {
      setSigned(core.machine.context.registers, Reg.rax, thread.again);
      thread.again = -1;
      return this.entered(thread, request);
    }
    if (thread.spin && !this.steps(thread, request)) {
      const { spin, stop } = this.spins.again(thread.task, thread.spin);
      thread.spin = spin && { ...spin, seen: this.turns.progress };
      if (stop) return this.ended(thread, request, stop);
      if (spin) this.turns.end();
      else this.turns.progress++;
      return null;
    }
    this.turns.progress++;
    const passing = this.stoodAt?.tid === thread.tid && this.stoodAt.address === rip;
    this.stoodAt = null;
    const stop = passing ? null : this.stops.at(thread, rip);
    if (stop) return this.stand(stop, rip);
    const how = this.steps(thread, request) || this.stops.has(thread, rip) ? 'singleStep' : 'freely';
    return this.ended(thread, request, this.runner.run(thread.task, BUDGET_MICROS, how));
  }

  private steps(thread: Thread, { tid, mode }: RunRequest): boolean {
    return tid === thread.tid && mode.kind !== 'continue';
  }

  /** The thread has run until something happened. */
  private ended(thread: Thread, request: RunRequest, end: RunStop): DebugStop | null {
    const watched = this.stops.hit(thread, this.runner.hits);
    if (watched && (end.kind === 'watch' || end.kind === 'step')) return watched;
    switch (end.kind) {
      case 'syscall':
        return this.entered(thread, request);
      case 'signal':
        thread.fault = end.fault;
        sendFault(this.kernel, thread, end.signal);
        return null;
      case 'breakpoint':
        return this.arrived(thread);
      case 'step':
        return this.stepped(thread, request);
      case 'slice':
        return this.computed(thread, request);
      case 'more':
      case 'watch':
        return null;
    }
  }

  /**
   * A thread has used up its time. How much it computed depends on this machine, so the program's
   * clocks do not advance, and its turn continues; but a thread in a polling loop waits for a timer
   * or another thread. This is detected eventually, always at the same place.
   */
  private computed(thread: Thread, request: RunRequest): DebugStop | null {
    const { kernel, turns } = this;
    if (++this.slices < this.nextLook) return null;
    if (!turns.othersWant(thread)) return null;
    const isRecorded = kernel.policy.clock === 'recorded';
    if (isRecorded && this.slices < LAST_SLICE) {
      this.nextLook = Math.min(2 * this.nextLook, LAST_SLICE);
      const { spin, stop } = this.spins.find(thread.task);
      if (stop) return this.ended(thread, request, stop);
      if (!spin) return null;
      thread.spin = { ...spin, seen: turns.progress };
      turns.end();
      this.restart();
      return null;
    }
    if (isRecorded)
      kernel.warnOnce(
        'computes',
        { tid: thread.tid },
        `task ${thread.tid} computes without a system call while others are runnable: they are scheduled at a time that ` +
          'depends on this machine, and the next run may have another order',
      );
    turns.end();
    kernel.clock.advance(BigInt(BUDGET_MICROS) * 1000n);
    return null;
  }

  private restart(): void {
    this.slices = 0;
    this.nextLook = PATIENT_SLICES;
  }

  private stand(stop: DebugStop, address: Gva): DebugStop {
    this.stoodAt = { tid: stop.tid, address };
    return stop;
  }

  /** At a breakpoint; its condition may be false. */
  private arrived(thread: Thread): DebugStop | null {
    const rip = gva(getUnsigned(this.kernel.core.registers(thread.task), Reg.rip));
    const stop = this.stops.at(thread, rip);
    this.stoodAt = { tid: thread.tid, address: rip };
    return stop;
  }

  /** `none`: it can run. */
  private signals(thread: Thread): DebugStop | null | 'none' {
    if (!hasSignal(thread)) return 'none';
    const signal = takeSignal(thread);
    if (!signal) return 'none';
    const { number, info } = signal;
    if (!matters(thread, number)) return null;
    if (number === Sig.KILL || !this.isWatched(thread.process)) {
      return this.deliver(thread, signal);
    }
    return { kind: 'signal', tid: thread.tid, signal: number, siginfo: info };
  }

  /** Processes that the front end knows: those from the replay, and all if it catches forks. */
  private isWatched(process: Process): boolean {
    return this.initial.has(process.pid) || this.lifecycle.includes('fork');
  }

  private entered(thread: Thread, request: RunRequest): DebugStop | null {
    const number = getSigned(this.kernel.core.registers(thread.task), Reg.rax);
    if (!this.catches(number)) return this.perform(thread, request);
    this.entering = thread;
    return { kind: 'syscall', tid: thread.tid, number, state: 'entering' };
  }

  private catches(number: number): boolean {
    return this.caught === 'all' || (this.caught !== 'none' && this.caught.includes(number));
  }

  private perform(thread: Thread, request: RunRequest): DebugStop | null {
    const caught = this.entering === thread;
    this.entering = null;
    const number = getSigned(this.kernel.core.registers(thread.task), Reg.rax);
    this.stops.look(thread);
    this.restart();
    this.turns.spend();
    this.calls.perform(thread);
    const stop = this.afterwards() ?? this.stops.changed(thread);
    if (stop || thread.dead || thread.wait) return stop;
    if (caught) return { kind: 'syscall', tid: thread.tid, number, state: 'exiting' };
    return this.stepped(thread, request);
  }

  /** What a call or a signal has led to besides. */
  private afterwards(): DebugStop | null {
    const { kernel } = this;
    const { event } = kernel;
    kernel.event = null;
    if (event && this.lifecycle.includes(event.kind)) return event;
    for (const departed of kernel.departed) {
      const { process } = departed;
      if (process.reported || !this.isWatched(process)) continue;
      process.reported = true;
      return { kind: 'exited', tid: departed.tid, pid: process.pid, status: process.status };
    }
    this.reap();
    return null;
  }

  private stepped(thread: Thread, { tid, mode }: RunRequest): DebugStop | null {
    if (thread.tid !== tid || mode.kind === 'continue') return null;
    if (mode.kind === 'range') {
      const rip = getUnsigned(this.kernel.core.registers(thread.task), Reg.rip);
      if (rip >= mode.start && rip < mode.end) return null;
    }
    return { kind: 'step', tid };
  }

  /** Releases tasks that ended. */
  private reap(): void {
    const { core, departed } = this.kernel;
    for (const { task } of departed.splice(0)) core.removeTask(task);
  }
}
